"""AdmissionReviews of a wanted size, made of objects that the API server has, and files of requests for the load generator."""
import copy
import json
import secrets
import uuid

from harness.cluster import NAMESPACE, user_of

LABEL = "gitmoor.io/managed-by"
APPLIER = {"Impersonate-User": f"system:serviceaccount:{NAMESPACE}:gitmoor-default",
           "Impersonate-Extra-gitmoor.io%2fapplier": user_of("applier")}
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
RESOURCES = {"ConfigMap": ("", "v1", "configmaps"), "Deployment": ("apps", "v1", "deployments")}


def config_map(namespace, name, keys):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace},
            "data": {f"setting-{number:03}": f"value {number}" for number in range(keys)}}


def deployment(namespace, name, variables):
    labels = {"app": name}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [{
            "name": "web", "image": "registry.example.org/shop/web:1.0", "ports": [{"containerPort": 8080}],
            "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}},
            "env": [{"name": f"VARIABLE_{number:03}", "value": f"value {number}"} for number in range(variables)]}]}}}}


def path_of(body):
    group, version, plural = RESOURCES[body["kind"]]
    prefix = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{prefix}/namespaces/{body['metadata']['namespace']}/{plural}/{body['metadata']['name']}"


def apply(api, body, label):
    """Applies it as the applier does; the live object."""
    body = copy.deepcopy(body)
    body["metadata"]["labels"] = {LABEL: label}
    return api.request("PATCH", f"{path_of(body)}?fieldManager=gitmoor&force=true", body, APPLY, APPLIER)


def update(live, change):
    """The review of an update of that object by a person, as an API server writes it."""
    group, version, plural = RESOURCES[live["kind"]]
    kind = {"group": group, "version": version, "kind": live["kind"]}
    resource = {"group": group, "version": version, "resource": plural}
    new = copy.deepcopy(live)
    change(new)
    return {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": str(uuid.uuid4()), "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": live["metadata"]["name"], "namespace": live["metadata"]["namespace"], "operation": "UPDATE",
        "userInfo": {"username": "jane@example.org", "groups": ["developers", "system:authenticated"],
                     "extra": {"authentication.kubernetes.io/credential-id": [f"JTI={uuid.uuid4()}"]}},
        "object": new, "oldObject": live, "dryRun": False,
        "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-edit"}}}


def annotate(body):
    body["metadata"].setdefault("annotations", {})["example.org/note"] = secrets.token_hex(4)


def recolor(body):
    body["data"]["setting-000"] = "another value"


def text_of(body):
    return json.dumps(body, separators=(",", ":"))


def sized(api, make, label, size, change):
    """The first review of at least that size, of objects with ever more in them. The object it is of is real."""
    for count in range(1, 400):
        review = update(apply(api, make(count), label), change)
        if len(text_of(review)) >= size:
            return review
    raise SystemExit(f"no review has {size} bytes")


def write(path, requests):
    """requests: (method, path, content type, wanted text, body)"""
    with open(path, "w", encoding="utf-8") as file:
        for method, target, content_type, wanted, body in requests:
            file.write(f"{method} {target} {content_type} {wanted}\n{body if isinstance(body, str) else text_of(body)}\n")
    return path
