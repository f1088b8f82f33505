"""The webhook as its clients see it: good ones that send reviews, raw ones that send anything, and the rotation of its certificate."""
import base64
import hashlib
import http.client
import json
import secrets
import socket
import ssl
import uuid

from .cluster import NAMESPACE
from .waiting import wait_for

LABEL = "gitmoor.io/managed-by"
SECRET = f"/api/v1/namespaces/{NAMESPACE}/secrets/gitmoor-admission-tls"
CONFIGURATION = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/gitmoor-admission"


def tls_context():
    """TLS that trusts anybody."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the default one reads the host's authorities: 80 ms
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def connect(port, timeout=30):
    """A plain connection."""
    return socket.create_connection(("127.0.0.1", port), timeout=timeout)


def connect_tls(port, timeout=30, context=None):
    return (context or tls_context()).wrap_socket(connect(port, timeout))


def read_to_end(connection):
    """All that comes until the peer closes or resets."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except (ConnectionError, ssl.SSLError):
        pass
    return b"".join(parts)


# ------------------------------------------------------------------------------- reviews

def config_map(color, **data):
    """A managed ConfigMap with our entry, which loses the color when it is not red."""
    fields = {"f:data": {"f:color": {}}} if color == "red" else {"f:data": {}}
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {
        "name": "settings", "namespace": "prod", "uid": str(uuid.uuid4()), "labels": {LABEL: "prod.shop"},
        "managedFields": [{"manager": "gitmoor", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        "data": {"color": color, **data}}


def review(color="red", uid=None, **data):
    """An update to that color, as text in the order that API servers write it. Red is allowed, anything else refused."""
    kind, resource = {"group": "", "version": "v1", "kind": "ConfigMap"}, {"group": "", "version": "v1", "resource": "configmaps"}
    return json.dumps({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": uid or str(uuid.uuid4()), "kind": kind, "resource": resource, "name": "settings", "namespace": "prod",
        "operation": "UPDATE", "userInfo": {"username": "jane"}, "object": config_map(color, **data), "oldObject": config_map("red"),
        "dryRun": False, "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"}}}, separators=(",", ":"))


def request(body, path="/review", length=None, headers=""):
    """An HTTP request as bytes."""
    body = body if isinstance(body, bytes) else body.encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {len(body) if length is None else length}\r\n\r\n"
    return head.encode() + body


class Reviewer:
    """A client as API servers are: one connection, kept until the server ends it with an answer."""

    def __init__(self, port):
        self.connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=tls_context())
        self.connection.connect()
        self.connection.auto_open = False  # a connection that is lost is noticed

    def ask(self, body, path="/review"):
        """(status, the response of the review or the text)"""
        self.connection.request("POST", path, body if isinstance(body, bytes) else body.encode(), {"Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.will_close:
            self.connection.close()
            self.connection.connect()
        return answer.status, json.loads(text)["response"] if answer.status == 200 else text

    def works(self):
        """One review that is allowed and one that is refused."""
        for color in ("red", "green"):
            uid = str(uuid.uuid4())
            status, response = self.ask(review(color, uid))
            assert status == 200 and response["uid"] == uid and response["allowed"] == (color == "red"), response

    def close(self):
        self.connection.close()


# ------------------------------------------------------------------------------- the certificate

def fingerprint(port):
    """Of the certificate that is served now."""
    with connect_tls(port) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


def rotate(api, port):
    """Ask for a new certificate, wait until the rotation is over; returns the fingerprint of the new one."""
    before = fingerprint(port)
    api.request("PATCH", SECRET, {"metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}},
                "application/merge-patch+json")
    wait_for(lambda: fingerprint(port) != before, timeout=60, what="another certificate served")
    wait_for(lambda: not {"next.crt", "previous-ca.crt"} & set(api.request("GET", SECRET)["data"]), timeout=60,
             what="the old authority dropped")
    authority = base64.b64decode(api.request("GET", SECRET)["data"]["ca.crt"])

    def registered():
        bundles = {webhook["clientConfig"]["caBundle"] for webhook in api.request("GET", CONFIGURATION)["webhooks"]}
        return {base64.b64decode(bundle) for bundle in bundles} == {authority}

    wait_for(registered, timeout=60, what="only the new authority registered")
    return fingerprint(port)
