"""A small client of the Kubernetes API, for assertions that poll (kubectl costs 0.1 s a call)."""
import base64
import http.client
import json
import ssl
import threading
import time
import urllib.parse


class ApiError(Exception):
    """An answer of 400 or more: .status is the HTTP status, .body the Status object."""

    def __init__(self, method, path, status, body):
        self.status, self.body = status, body
        message = body.get("message") if isinstance(body, dict) else body
        super().__init__(f"{method} {path}: {status}: {message}")


BUSY_ATTEMPTS = 3


def is_busy(error):
    """Nothing was done, since a webhook did not answer within its three seconds: the product's limit, and no test's subject."""
    return error.status == 500 and "failed calling webhook" in str(error) and "deadline exceeded" in str(error)


_KINDS = {
    "ConfigMap": ("/api/v1", "configmaps"), "Secret": ("/api/v1", "secrets"),
    "Service": ("/api/v1", "services"), "Pod": ("/api/v1", "pods"),
    "ServiceAccount": ("/api/v1", "serviceaccounts"), "Event": ("/api/v1", "events"),
    "Namespace": ("/api/v1", "namespaces"),
    "Deployment": ("/apis/apps/v1", "deployments"), "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Job": ("/apis/batch/v1", "jobs"), "PersistentVolumeClaim": ("/api/v1", "persistentvolumeclaims"),
    "Role": ("/apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "NetworkPolicy": ("/apis/networking.k8s.io/v1", "networkpolicies"),
    "ResourceQuota": ("/api/v1", "resourcequotas"), "LimitRange": ("/api/v1", "limitranges"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"),
    "ClusterRoleBinding": ("/apis/rbac.authorization.k8s.io/v1", "clusterrolebindings"),
    "CustomResourceDefinition": ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions"),
    "ValidatingWebhookConfiguration": ("/apis/admissionregistration.k8s.io/v1",
                                       "validatingwebhookconfigurations"),
    "ValidatingAdmissionPolicy": ("/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicies"),
    "ValidatingAdmissionPolicyBinding": ("/apis/admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings"),
    "GitRepository": ("/apis/gitmoor.io/v1alpha1", "gitrepositories"),
    "HelmRepository": ("/apis/gitmoor.io/v1alpha1", "helmrepositories"),
    "Application": ("/apis/gitmoor.io/v1alpha1", "applications"),
}


def path_of(kind, namespace=None, name=None):
    """The URL path of a kind that the tests use: path_of("ConfigMap", "shop", "settings")."""
    prefix, plural = _KINDS[kind]
    path = prefix + (f"/namespaces/{namespace}" if namespace else "") + f"/{plural}"
    return path + (f"/{urllib.parse.quote(name)}" if name else "")


class Api:
    """Requests as one user. Connections are kept, one a thread."""

    def __init__(self, server, context, token):
        parsed = urllib.parse.urlparse(server)
        self.host, self.port = parsed.hostname, parsed.port or 443
        self.context, self.token = context, token
        self._local = threading.local()

    @classmethod
    def from_kubeconfig(cls, path):
        """A kubeconfig as the harness writes it: JSON, CA data, a token."""
        config = json.loads(path.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        return cls(cluster["server"], ssl.create_default_context(cadata=authority), user["token"])

    def new_connection(self):
        return http.client.HTTPSConnection(self.host, self.port, context=self.context, timeout=60)

    def _connection(self):
        if getattr(self._local, "connection", None) is None:
            self._local.connection = self.new_connection()
        return self._local.connection

    def request(self, method, path, body=None, content_type="application/json", headers=None):
        """Returns the decoded answer; raises ApiError for 400 and above. What a busy machine was too slow for is asked again."""
        for _ in range(BUSY_ATTEMPTS - 1):
            try:
                return self._request(method, path, body, content_type, headers)
            except ApiError as error:
                if not is_busy(error):
                    raise
        return self._request(method, path, body, content_type, headers)

    def _request(self, method, path, body, content_type, headers):
        payload = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
        sent = {"Authorization": f"Bearer {self.token}", "Accept": "application/json",
                **({"Content-Type": content_type} if body is not None else {}), **(headers or {})}
        for attempt in (1, 2):
            connection = self._connection()
            try:
                connection.request(method, path, payload, sent)
                answer = connection.getresponse()
                text = answer.read()
                break
            except (http.client.HTTPException, OSError):
                connection.close()  # an idle connection that the server closed: once more
                self._local.connection = None
                if attempt == 2:
                    raise
        try:
            decoded = json.loads(text) if text else {}
        except ValueError:
            decoded = text.decode(errors="replace")
        if answer.status >= 400:
            raise ApiError(method, path, answer.status, decoded)
        return decoded

    def get(self, kind, namespace=None, name=None):
        """An object, or None if there is none."""
        try:
            return self.request("GET", path_of(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind, namespace=None, query=""):
        return self.request("GET", path_of(kind, namespace) + query)["items"]

    def create(self, kind, namespace, body):
        return self.request("POST", path_of(kind, namespace), body)

    def apply(self, body, manager="e2e", force=True):
        """Server-side apply of one object; kinds of the table above only."""
        meta = body["metadata"]
        path = path_of(body["kind"], meta.get("namespace"), meta["name"])
        return self.request("PATCH", f"{path}?fieldManager={manager}&force={str(force).lower()}",
                            body, "application/apply-patch+yaml")

    def patch(self, kind, namespace, name, body, subresource="", manager="kubectl-edit"):
        """Merge patch, as a person with kubectl does it."""
        path = path_of(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return self.request("PATCH", f"{path}?fieldManager={manager}", body,
                            "application/merge-patch+json")

    def delete(self, kind, namespace, name):
        """Delete; no error if it is gone already."""
        try:
            return self.request("DELETE", path_of(kind, namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def events(self, namespace, name=None):
        """Events about an object of a namespace, oldest first: (type, reason, message)."""
        found = [event for event in self.list("Event", namespace)
                 if name is None or event["involvedObject"]["name"] == name]
        found.sort(key=lambda event: event.get("lastTimestamp") or event.get("eventTime") or "")
        return [(event["type"], event["reason"], event.get("message", "")) for event in found]


def condition(subject, kind):
    """One condition of an object's status as a dict; {} if it has none of that type."""
    for found in (subject or {}).get("status", {}).get("conditions", []):
        if found["type"] == kind:
            return found
    return {}


def now_rfc3339():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
