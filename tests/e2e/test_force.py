"""Immutable fields: told without spec.force; with it, what loses nothing is made anew, and nothing else is."""
import json

import pytest

from harness.api import ApiError
from harness.mooring import config_map
from harness.waiting import wait_for

KINDS = {
    "Deployment": """apiVersion: apps/v1
kind: Deployment
metadata: {{name: x}}
spec:
  selector: {{matchLabels: {{app: "{v}"}}}}
  template:
    metadata: {{labels: {{app: "{v}"}}}}
    spec: {{containers: [{{name: c, image: example.org/c}}]}}
""",
    "StatefulSet": """apiVersion: apps/v1
kind: StatefulSet
metadata: {{name: x}}
spec:
  replicas: 0
  serviceName: s{v}
  selector: {{matchLabels: {{app: s}}}}
  template:
    metadata: {{labels: {{app: s}}}}
    spec: {{containers: [{{name: c, image: example.org/c}}]}}
""",
    "Job": """apiVersion: batch/v1
kind: Job
metadata: {{name: x}}
spec:
  suspend: true
  template:
    spec: {{restartPolicy: Never, containers: [{{name: c{v}, image: example.org/c}}]}}
""",
    "RoleBinding": """apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: x}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: role{v}}}
""",
    "ConfigMap": """apiVersion: v1
kind: ConfigMap
metadata: {{name: x}}
immutable: true
data: {{v: "{v}"}}
""",
    "Secret": """apiVersion: v1
kind: Secret
metadata: {{name: x}}
type: example.org/{v}
stringData: {{password: topsecret}}
""",
    "Service": """apiVersion: v1
kind: Service
metadata: {{name: x}}
spec: {{ports: [{{port: 80}}], clusterIP: {address}}}
""",
    "PersistentVolumeClaim": """apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: x, annotations: {{{annotation}}}}}
spec: {{accessModes: [ReadWriteOnce], storageClassName: c{v}, resources: {{requests: {{storage: 1Gi}}}}}}
""",
}
ADDRESS = "10.96.0.2{v}"  # of the Service: one of the first 256, which no Service is given that does not ask for it
HARMLESS = [kind for kind in KINDS if kind != "PersistentVolumeClaim"]


def manifests(kinds, v, annotation=""):
    return {f"deploy/{kind}.yaml": KINDS[kind].format(v=v, annotation=annotation, address=ADDRESS.format(v=v))
            for kind in kinds}


@pytest.fixture
def shop(repository, moored):
    def make(kinds, **spec):
        repository.commit(manifests(kinds, 1) | {"deploy/c.yaml": config_map("c", step="1")})
        mooring = moored(repository, health={"wait": False}, **spec)
        mooring.wait_applied()
        mooring.uids = lambda: {kind: mooring.api.get(kind, mooring.namespace, "x")["metadata"]["uid"] for kind in kinds}
        return mooring
    return make


def test_what_loses_nothing_is_made_anew_where_force_says_so(shop):
    mooring = shop(HARMLESS)
    before = mooring.uids()
    mooring.push(manifests(HARMLESS, 2) | {"deploy/c.yaml": config_map("c", step="2")})
    ready = mooring.wait_not_ready("deploy/Deployment.yaml", "immutable", "spec.force", reason="Invalid")
    assert "topsecret" not in json.dumps(mooring.application())
    told = {error["object"].split()[0]: error["message"] for error in mooring.status()["errors"]}
    assert set(told) == set(HARMLESS) and all("spec.force" in message for message in told.values()), told
    assert "spec.selector" in told["Deployment"] and "type" in told["Secret"] and "roleRef" in told["RoleBinding"], ready
    assert mooring.uids() == before and mooring.config_map("c") == {"step": "1"}, "nothing of the commit was written"
    mooring.set(force=True)
    mooring.wait_applied(timeout=90)
    after = mooring.uids()
    assert not [kind for kind in HARMLESS if after[kind] == before[kind]], "each is another by now"
    assert mooring.config_map("x") == {"v": "2"} and mooring.config_map("c") == {"step": "2"}
    mooring.wait_event("Normal", "Recreated", "Deployment")
    assert mooring.status()["history"][0]["pruned"] == 0


def test_what_holds_data_is_made_anew_only_if_it_says_so_itself(shop):
    mooring = shop(["PersistentVolumeClaim"], force=True)
    before = mooring.uids()
    mooring.push(manifests(["PersistentVolumeClaim"], 2))
    mooring.wait_not_ready("PersistentVolumeClaim", "gitmoor.io/force", "data", reason="Invalid")
    assert mooring.uids() == before
    mooring.push(manifests(["PersistentVolumeClaim"], 2, 'gitmoor.io/force: "true"'))
    mooring.wait_applied(timeout=60)
    assert mooring.uids() != before


def test_an_object_may_forbid_it(shop, gitmoor):
    mooring = shop(["ConfigMap"], force=True)
    before = mooring.uids()

    def problems():
        return {word for word in ("NotReady", "Stalled", "RolledBack", "Drifted", "Fight") if gitmoor.metric(
            "differ", "gitmoor_differ_problems", f'application="{mooring.namespace}/shop",problem="{word}"') == 1}

    assert problems() == set(), "alerts rest on this"
    mooring.push({"deploy/ConfigMap.yaml": KINDS["ConfigMap"].format(v=2).replace(
        "{name: x}", '{name: x, annotations: {gitmoor.io/force: "false"}}')})
    mooring.wait_not_ready("ConfigMap", "immutable", "forbids", reason="Invalid")
    assert mooring.uids() == before and "NotReady" in problems()
    mooring.set(suspend=True)
    wait_for(lambda: problems() == set(), what="it is suspended, and meant to be so")


def test_nothing_is_deleted_where_something_else_is_wrong_too(shop):
    mooring = shop(["Deployment"], force=True)
    before = mooring.uids()
    broken = KINDS["Deployment"].format(v=2).replace("image: example.org/c", 'image: ""')
    mooring.push({"deploy/Deployment.yaml": broken})
    mooring.wait_not_ready("image", reason="Invalid")
    assert mooring.uids() == before
    mooring.push(manifests(["Deployment"], 2) | {"deploy/bad.yaml": config_map("Bad_Name")})
    mooring.wait_not_ready("Bad_Name", reason="Invalid")
    assert mooring.uids() == before, "another object's error holds the whole commit up"


POLICY = {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [
    {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
    "validations": [{"expression": "!has(object.data.v) || object.data.v != '2'", "message": "the second one is not wanted"}]}


@pytest.fixture
def policy(api, namespace):
    """refuses the creation, not the change, of the ConfigMap's second version in the namespace."""
    name = f"force-{namespace}"
    kinds = ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy")
    selector = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    for kind, spec in ((kinds[1], POLICY), (kinds[0], {"policyName": name, "validationActions": ["Deny"], "matchResources": selector})):
        api.apply({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec})
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "second", "namespace": namespace}, "data": {"v": "2"}}

    def works():
        try:
            return not api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps?dryRun=All", config)
        except ApiError as error:
            return "not wanted" in str(error)
    wait_for(works, what="the policy works")
    yield
    for kind in kinds:
        api.delete(kind, None, name)


@pytest.mark.parametrize("preflight", ["On", "Off"])
def test_what_a_policy_would_refuse_anew_is_not_deleted(shop, policy, preflight):  # noqa: ARG001
    mooring = shop(["ConfigMap"], force=True, preflight=preflight)
    before = mooring.uids()
    mooring.push(manifests(["ConfigMap"], 2))
    ready = mooring.wait_not_ready("the second one is not wanted", "It stays as it is", "deploy/ConfigMap.yaml")
    assert mooring.uids() == before and mooring.config_map("x") == {"v": "1"}, ready
    mooring.push(manifests(["ConfigMap"], 3))
    mooring.wait_applied(timeout=60)
    assert mooring.uids() != before and mooring.config_map("x") == {"v": "3"}


def test_a_full_quota_has_room_for_one_in_the_place_of_another(shop, api, namespace):
    mooring = shop(["ConfigMap"], force=True)
    before = mooring.uids()
    count = len(api.list("ConfigMap", namespace))
    api.create("ResourceQuota", namespace, {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"},
                                            "spec": {"hard": {"count/configmaps": str(count)}}})
    wait_for(lambda: api.get("ResourceQuota", namespace, "full").get("status", {}).get("used", {}).get("count/configmaps") == str(count),
             what="the quota counts")
    mooring.push(manifests(["ConfigMap"], 2))
    mooring.wait_applied(timeout=60)
    assert mooring.uids() != before and mooring.config_map("x") == {"v": "2"}


def test_killed_between_the_deletion_and_the_creation_it_is_made_all_the_same(shop, gitmoor):
    mooring = shop(["ConfigMap"], force=True, protection="Off")
    before = mooring.uids()
    mooring.api.patch("ConfigMap", mooring.namespace, "x", {"metadata": {"finalizers": ["example.org/wait"]}}, manager="someone")
    mooring.push(manifests(["ConfigMap"], 2))
    wait_for(lambda: mooring.api.get("ConfigMap", mooring.namespace, "x")["metadata"].get("deletionTimestamp"), what="its deletion")
    gitmoor.kill("applier")
    mooring.api.patch("ConfigMap", mooring.namespace, "x", {"metadata": {"finalizers": None}}, manager="someone")
    wait_for(lambda: mooring.config_map("x") is None, what="it is gone")
    gitmoor.start_one("applier")
    mooring.wait_applied(timeout=60)
    assert mooring.config_map("x") == {"v": "2"} and mooring.uids() != before
