"""Objects of ten kinds that need no Pod, each with a field that a person may edit, and applications that declare them.

An application is a namespace, with an equal number of objects of each kind. There is no controller manager beside these: the
benchmarks are the only other controllers.
"""
import json
from concurrent.futures import ThreadPoolExecutor

from harness import flux, sample
from harness.api import condition
from harness.mooring import Mooring
from harness.repository import Repository
from harness.waiting import wait_for

RBAC = "rbac.authorization.k8s.io"
TEMPLATE = {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "web", "image": "registry.example.org/web:1.0"}]}}
USER = {"apiGroup": RBAC, "kind": "User", "name": "jane"}


def _rules(verbs):
    return {"rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": verbs}]}


# kind -> (apiVersion, what the manifest has besides, the field as Git declares it, the same as a person writes it)
KINDS = {
    "ConfigMap": ("v1", {"data": {"region": "eu-west-1"}}, {"data": {"color": "blue"}}, {"data": {"color": "red"}}),
    "Secret": ("v1", {"type": "Opaque"}, {"data": {"token": "Ymx1ZQ=="}}, {"data": {"token": "cmVk"}}),
    "Service": ("v1", {"spec": {"ports": [{"port": 80, "protocol": "TCP", "targetPort": 8080}]}},
                {"spec": {"selector": {"app": "web"}}}, {"spec": {"selector": {"app": "other"}}}),
    "ServiceAccount": ("v1", {}, {"automountServiceAccountToken": False}, {"automountServiceAccountToken": True}),
    "Role": (f"{RBAC}/v1", {}, _rules(["get", "list"]), _rules(["*"])),
    "RoleBinding": (f"{RBAC}/v1", {"roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "role-0000"}},
                    {"subjects": [USER]}, {"subjects": [{**USER, "name": "mallory"}]}),
    "NetworkPolicy": ("networking.k8s.io/v1", {"spec": {"policyTypes": ["Ingress"]}},
                      {"spec": {"podSelector": {"matchLabels": {"app": "web"}}}},
                      {"spec": {"podSelector": {"matchLabels": {"app": "other"}}}}),
    "ResourceQuota": ("v1", {}, {"spec": {"hard": {"pods": "10"}}}, {"spec": {"hard": {"pods": "20"}}}),
    "LimitRange": ("v1", {}, {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}},
                   {"spec": {"limits": [{"type": "Container", "max": {"cpu": "4"}}]}}),
    "Deployment": ("apps/v1", {"spec": {"replicas": 0, "selector": {"matchLabels": {"app": "web"}}, "template": TEMPLATE}},
                   {"spec": {"minReadySeconds": 5}}, {"spec": {"minReadySeconds": 1}}),
}


def merged(one, other):
    """Two nested dicts as one."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other
    return {**one, **{key: merged(one.get(key), value) for key, value in other.items()}}


def holds(live, field):
    """Whether a live object has the field as given; what the server has put into it besides does not count."""
    if isinstance(field, dict):
        return isinstance(live, dict) and all(holds(live.get(key), value) for key, value in field.items())
    if isinstance(field, list):
        return isinstance(live, list) and len(live) == len(field) and all(map(holds, live, field))
    return live == field


def name_of(kind, number):
    return f"{kind.lower()}-{number:04}"


def manifest(kind, number, namespace=None):
    version, rest, declared, _ = KINDS[kind]
    meta = {"name": name_of(kind, number), **({"namespace": namespace} if namespace else {})}
    return merged({"apiVersion": version, "kind": kind, "metadata": meta, **rest}, declared)


def files(each, per_file=10):
    """Ten objects a file; JSON is YAML."""
    return {f"deploy/{kind.lower()}-{first:04}.yaml":
            "\n---\n".join(json.dumps(manifest(kind, number)) for number in range(first, min(first + per_file, each))) + "\n"
            for kind in KINDS for first in range(0, each, per_file)}


def count(api, namespace, each):
    """What is measured is what is there."""
    for kind, (_, _, declared, _) in KINDS.items():
        found = [item for item in api.list(kind, namespace) if item["metadata"]["name"].startswith(f"{kind.lower()}-")]
        wrong = [item["metadata"]["name"] for item in found if not holds(item, declared)]
        if len(found) != each or wrong:
            raise SystemExit(f"{kind}: {len(found)} of {each} objects, not as declared: {wrong[:5]}")


def deployed(message, generation=1):
    """The status of a Deployment of no replicas that has got there."""
    return {"observedGeneration": generation, "conditions": [
        {"type": kind, "status": "True", "reason": reason, "message": message} for kind, reason in
        (("Available", "MinimumReplicasAvailable"), ("Progressing", "NewReplicaSetAvailable"))]}


def settle(api, namespace, each):
    """Writes the status of each Deployment as its controller would, so that all are healthy."""
    def write(number):
        api.patch("Deployment", namespace, name_of("Deployment", number), {"status": deployed("up")}, "status", "deployment-controller")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(each)))


def moor(cluster, git, folder, names, each, patience=300):
    """One application of ours in each new namespace, applied and healthy; returns the namespaces."""
    repository = Repository.create(git, folder, f"{names[0]}-source")
    repository.commit(files(each))
    moorings = []
    for name in names:
        mooring = Mooring(cluster, cluster.new_namespace(name), repository, "bench", protection="Off")
        mooring.make()
        moorings.append(mooring)
    for mooring in moorings:
        wait_for(lambda mooring=mooring: mooring.status().get("lastAppliedRevision") == repository.revision(), patience,
                 f"{mooring.namespace} applied")
        count(mooring.api, mooring.namespace, each)
        settle(mooring.api, mooring.namespace, each)
    for mooring in moorings:
        mooring.wait_applied(timeout=patience)
    return [mooring.namespace for mooring in moorings]


def fluxed(cluster, git, folder, names, each, patience=300):
    """The same of Flux, at an interval of a minute."""
    api = cluster.api()
    repository = Repository.create(git, folder, f"{names[0]}-source")
    repository.commit(files(each))
    namespaces = [cluster.new_namespace(name) for name in names]
    for namespace in namespaces:
        api.apply(sample.ca_secret(namespace, "git", repository.ca_file))
        flux.create(api, flux.git_repository(namespace, "bench", repository.url))
        flux.create(api, flux.kustomization(namespace, "bench", "./deploy", "1m"))
    for namespace in namespaces:
        path = flux.PATHS["Kustomization"].format(namespace) + "/bench"
        wait_for(lambda path=path: condition(api.request("GET", path), "Ready").get("status") == "True", patience,
                 f"Flux applied {namespace}")
        count(api, namespace, each)
        settle(api, namespace, each)
    return namespaces


def edit(api, namespace, kind, number):
    """As a person with kubectl does it; returns the answer."""
    return api.patch(kind, namespace, name_of(kind, number), KINDS[kind][3])
