"""Drift: what people add goes, what controllers add stays, and what belongs to nobody else is put back. Rows of PITFALLS §2."""
import json
import threading
import time

import pytest

from harness.api import ApiError, path_of
from harness.mooring import LABEL, config_map
from harness.waiting import wait_for
from test_differ import definition, found_resource, resource

PEOPLE = {"merge": "application/merge-patch+json", "strategic": "application/strategic-merge-patch+json",
          "apply": "application/apply-patch+yaml"}


def write(api, kind, namespace, name, body, manager, verb="merge"):
    """A write by this field manager: merge, strategic, json (patches), apply, update."""
    path = path_of(kind, namespace, name)
    if verb == "update":
        return api.request("PUT", f"{path}?fieldManager={manager}", body)
    if verb == "json":
        return api.request("PATCH", f"{path}?fieldManager={manager}", body, "application/json-patch+json")
    force = "&force=true" if verb == "apply" else ""
    return api.request("PATCH", f"{path}?fieldManager={manager}{force}", body, PEOPLE[verb])


def owners(live):
    return {entry["manager"] for entry in live["metadata"]["managedFields"]}


def gone(found, *path):
    """Whether the path leads nowhere."""
    for step in path:
        if step not in (found or {}):
            return True
        found = found[step]
    return False


@pytest.fixture
def open_app(moored, api, namespace):
    """open_app(repository, **spec) -> Mooring, applied, that admission lets everybody write to."""
    def make(repository, **spec):
        shop = moored(repository, protection="Off", **spec)
        shop.wait_applied()
        name = next(iter(shop.live()))
        wait_for(lambda: api.patch("ConfigMap", namespace, name, {"data": {"probe": "x"}}, manager="kubectl-probe"),
                 what="an edit that is let through")
        wait_for(lambda: "probe" not in shop.config_map(name), what="its repair")
        return shop
    return make


# ------------------------------------------------------------------------------- what people add

@pytest.mark.parametrize("verb", ["merge", "strategic", "json", "apply", "update"])
def test_what_a_person_adds_goes_and_what_a_controller_adds_stays(verb, repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    open_app(repository)

    def add(manager, key):
        body = {"data": {key: "1"}, "metadata": {"annotations": {f"example.org/{key}": "1"}}}
        if verb == "json":
            body = [{"op": "add", "path": f"/data/{key}", "value": "1"},
                    {"op": "add", "path": "/metadata/annotations", "value": {f"example.org/{key}": "1"}}]
        if verb == "apply":
            body = {"apiVersion": "v1", "kind": "ConfigMap", **body}
        if verb == "update":
            found = api.get("ConfigMap", namespace, "a")
            found["data"][key] = "1"
            found["metadata"].setdefault("annotations", {})[f"example.org/{key}"] = "1"
            body = found
        write(api, "ConfigMap", namespace, "a", body, manager, verb)

    add("some-controller", "kept")
    if verb == "json":  # it replaces all annotations
        add = lambda manager, key: write(api, "ConfigMap", namespace, "a", [  # noqa: E731
            {"op": "add", "path": f"/data/{key}", "value": "1"},
            {"op": "add", "path": f"/metadata/annotations/example.org~1{key}", "value": "1"}], manager, "json")
    add("kubectl-edit", "added")
    found = wait_for(lambda: (now := api.get("ConfigMap", namespace, "a")) and "added" not in now["data"] and now, what="it gone")
    assert found["data"] == {"color": "red", "kept": "1"}
    assert found["metadata"]["annotations"] == {"example.org/kept": "1"}
    assert owners(found) == {"gitmoor", "some-controller"}


def test_whatever_a_person_uses_it_is_taken_over(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    open_app(repository)
    for manager in ("kubectl-client-side-apply", "kubectl", "kubectl-create", "Mozilla", "node-fetch", "k9s"):
        write(api, "ConfigMap", namespace, "a", {"data": {manager: "1"}}, manager)
    wait_for(lambda: api.get("ConfigMap", namespace, "a")["data"] == {"color": "red"}, what="all of it gone")
    wait_for(lambda: owners(api.get("ConfigMap", namespace, "a")) == {"gitmoor"}, what="the entries merged into ours")


def test_what_others_hold_too_is_not_taken_away(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    open_app(repository)
    write(api, "ConfigMap", namespace, "a", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"shared": "1"}}, "some-controller", "apply")
    write(api, "ConfigMap", namespace, "a", {"apiVersion": "v1", "kind": "ConfigMap", "data": {"shared": "1", "added": "1"}}, "kubectl",
          "apply")
    found = wait_for(lambda: (now := api.get("ConfigMap", namespace, "a")) and "added" not in now["data"] and now, what="it gone")
    assert found["data"] == {"color": "red", "shared": "1"}
    assert owners(found) == {"gitmoor", "some-controller"}


def test_words_of_people_to_gitmoor_finalizers_and_restarts_stay(repository, moored, api, namespace):
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas="replicas: 2")})
    moored(repository, protection="Off").wait_applied()
    write(api, "Deployment", namespace, "web", {
        "metadata": {"annotations": {"gitmoor.io/break-glass-reason": "fire", "note": "mine"}, "finalizers": ["example.org/hold"]},
        "spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}, "kubectl-edit")
    found = wait_for(lambda: (now := api.get("Deployment", namespace, "web")) and "note" not in now["metadata"]["annotations"] and now,
                     what="the note gone")
    assert found["metadata"]["annotations"]["gitmoor.io/break-glass-reason"] == "fire"
    assert found["metadata"]["finalizers"] == ["example.org/hold"]
    assert found["spec"]["template"]["metadata"]["annotations"] == {"kubectl.kubernetes.io/restartedAt": "now"}
    api.patch("Deployment", namespace, "web", {"metadata": {"finalizers": None}})


def test_after_client_side_apply_what_is_not_in_git_goes_and_what_leaves_git_is_pruned(repository, moored, kubectl, api, namespace):
    made = config_map("a", color="red", size="1", old="x")
    kubectl("apply", "-n", namespace, "-f", "-", stdin=made)
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1")})
    shop = moored(repository)
    shop.wait_applied()
    wait_for(lambda: shop.config_map("a") == {"color": "red", "size": "1"}, what="what is not in Git gone")
    found = wait_for(lambda: (now := api.get("ConfigMap", namespace, "a")) and owners(now) == {"gitmoor"} and now, what="one owner")
    assert "annotations" not in found["metadata"], "the last applied configuration is gone too"
    shop.push({"deploy/a.yaml": config_map("a", color="red")})
    shop.wait_applied()
    assert shop.config_map("a") == {"color": "red"}


def test_after_a_managed_fields_reset_what_leaves_git_is_pruned(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1")})
    shop = open_app(repository)
    api.patch("ConfigMap", namespace, "a", {"metadata": {"managedFields": [{}]}, "data": {"added": "1"}})
    found = wait_for(lambda: (now := api.get("ConfigMap", namespace, "a")) and owners(now) == {"gitmoor"} and now, what="one owner")
    assert found["data"] == {"color": "red", "size": "1"}
    shop.push({"deploy/a.yaml": config_map("a", color="red")})
    shop.wait_applied()
    assert shop.config_map("a") == {"color": "red"}


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
        - {{name: web, image: "example.org/web:1"}}
"""


def scale(api, namespace, replicas, manager="kube-controller-manager"):
    """As a HorizontalPodAutoscaler does it."""
    return api.request("PATCH", f"{path_of('Deployment', namespace, 'web')}/scale?fieldManager={manager}",
                       {"spec": {"replicas": replicas}}, "application/merge-patch+json")


class Replicas:
    """Every number of replicas that a Deployment has had meanwhile."""

    def __init__(self, api, namespace):
        self.api, self.namespace, self.seen = api, namespace, []
        self.version = api.get("Deployment", namespace, "web")["metadata"]["resourceVersion"]

    def all(self):
        """Up to now, from the server's own history."""
        path = path_of("Deployment", self.namespace) + f"?watch=1&timeoutSeconds=1&resourceVersion={self.version}"
        answer = self.api.request("GET", path)
        events = [json.loads(line) for line in answer.splitlines()] if isinstance(answer, str) else [answer] if answer else []
        return [event["object"]["spec"]["replicas"] for event in events]


def test_replicas_that_git_does_not_declare_are_nobodys_drift(repository, moored, api, namespace):
    """HPA against declared replicas (flux2#1842)."""
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas="")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    scale(api, namespace, 3)
    history = Replicas(api, namespace)
    write(api, "Deployment", namespace, "web", {"spec": {"replicas": 4}, "metadata": {"annotations": {"note": "mine"}}}, "kubectl-edit")
    wait_for(lambda: gone(api.get("Deployment", namespace, "web"), "metadata", "annotations", "note"), what="the note gone")
    wait_for(lambda: {4} <= set(history.all()) <= {3, 4}, what="4 and never 1 among the numbers of replicas")
    assert api.get("Deployment", namespace, "web")["spec"]["replicas"] == 4


def test_replicas_that_leave_git_are_handed_over_without_a_dip_and_come_back(repository, moored, api, namespace):
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas="replicas: 3")})
    shop = moored(repository, protection="Off", health={"wait": False})
    shop.wait_applied()
    history = Replicas(api, namespace)
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas="").replace("web:1", "web:2")})
    shop.wait_applied()
    scale(api, namespace, 5)
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas="").replace("web:1", "web:3")})
    shop.wait_applied()
    assert api.get("Deployment", namespace, "web")["spec"]["replicas"] == 5
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas="replicas: 2").replace("web:1", "web:3")})
    shop.wait_applied()
    assert api.get("Deployment", namespace, "web")["spec"]["replicas"] == 2
    wait_for(lambda: sorted(set(history.all())) == [2, 3, 5], what="these and never 1 among the numbers of replicas")


# ------------------------------------------------------------------------------- exact, and what is ignored

def test_an_application_that_is_exact_takes_everything_away_but_what_allowed_managers_add(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = open_app(repository, drift={"mode": "Exact", "allow": ["istio-*"]})
    for manager in ("some-controller", "istio-pilot", "kube-controller-manager"):
        write(api, "ConfigMap", namespace, "a", {"data": {manager: "1"}}, manager)
    wait_for(lambda: shop.config_map("a") == {"color": "red", "istio-pilot": "1", "kube-controller-manager": "1"}, what="the rest gone")
    shop.set(drift={"mode": "Exact"})
    wait_for(lambda: shop.config_map("a") == {"color": "red", "kube-controller-manager": "1"}, what="what is no longer allowed gone")
    shop.set(drift={"mode": "Declared"})
    write(api, "ConfigMap", namespace, "a", {"data": {"kept": "1"}}, "some-controller")
    write(api, "ConfigMap", namespace, "a", {"data": {"added": "1"}}, "kubectl")
    wait_for(lambda: shop.config_map("a") == {"color": "red", "kube-controller-manager": "1", "kept": "1"}, what="a person's gone")


def test_what_is_ignored_is_left_to_others_and_comes_back_when_it_is_not(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1"), "deploy/b.yaml": config_map("b", color="red")})
    shop = moored(repository)
    shop.wait_applied()
    with pytest.raises(ApiError, match="data.color"):
        write(api, "ConfigMap", namespace, "a", {"data": {"color": "blue"}}, "kubectl-edit")
    shop.set(ignore=[{"target": {"group": "", "kind": "Config*", "name": "a", "namespace": namespace}, "paths": ["/data/color", "/data/none"]}])
    shop.wait_applied()
    assert shop.config_map("a") == {"color": "red", "size": "1"}, "given up, not taken away"
    assert [entry["fieldsV1"]["f:data"] for entry in api.get("ConfigMap", namespace, "a")["metadata"]["managedFields"]
            if entry["manager"] == "gitmoor"] == [{"f:size": {}}]
    write(api, "ConfigMap", namespace, "a", {"data": {"color": "blue"}}, "kubectl-edit")  # admission lets it pass
    for name, data in (("b", {"color": "blue"}), ("a", {"size": "2"})):
        with pytest.raises(ApiError, match="gitmoor:break-glass"):
            write(api, "ConfigMap", namespace, name, {"data": data}, "kubectl-edit")
    shop.push({"deploy/a.yaml": config_map("a", color="green", size="2")})
    shop.wait_applied()
    assert shop.config_map("a") == {"color": "blue", "size": "2"}
    write(api, "ConfigMap", namespace, "a", {"data": {"added": "1"}}, "kubectl-edit")
    wait_for(lambda: shop.config_map("a") == {"color": "blue", "size": "2"}, what="what is not ignored gone")
    shop.set(ignore=[])
    wait_for(lambda: shop.config_map("a") == {"color": "green", "size": "2"}, what="what is no longer ignored back")


def test_ignored_replicas_are_handed_to_an_autoscaler_and_back_without_a_dip(repository, moored, api, namespace):
    """HPA against declared replicas (flux2#1842)."""
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas="replicas: 3")})
    shop = moored(repository, health={"wait": False})
    shop.wait_applied()
    history = Replicas(api, namespace)
    with pytest.raises(ApiError, match="replicas"):
        scale(api, namespace, 5)
    shop.set(ignore=[{"target": {"kind": "Deployment"}, "paths": ["/spec/replicas"]}])
    shop.wait_applied()
    scale(api, namespace, 5)
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas="replicas: 2").replace("web:1", "web:2")})
    shop.wait_applied()
    assert api.get("Deployment", namespace, "web")["spec"]["replicas"] == 5
    shop.set(ignore=[])
    shop.wait_applied()
    assert api.get("Deployment", namespace, "web")["spec"]["replicas"] == 2
    wait_for(lambda: sorted(set(history.all())) == [2, 3, 5], what="these and never 1 among the numbers of replicas")


@pytest.mark.parametrize("path", ["", "spec/replicas", "/kind", "/metadata/name", "/metadata/labels", "/metadata/labels/gitmoor.io~1managed-by",
                                  "/spec/~2"])
def test_a_path_that_cannot_be_ignored_is_refused_at_once(path, cluster, namespace, repository):
    from harness import sample
    with pytest.raises(ApiError) as refused:
        cluster.api().apply(sample.application(namespace, "shop", "shop", "deploy", ignore=[{"paths": [path]}]))
    assert refused.value.status == 422 and "spec.ignore[0].paths[0]" in str(refused.value)


# ------------------------------------------------------------------------------- fights

def test_a_fight_is_noticed_named_slowed_down_and_over_when_the_other_stops(repository, open_app, gitmoor, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red"), "deploy/b.yaml": config_map("b", color="red")})
    shop = open_app(repository)
    stop, writes, fights = threading.Event(), [], gitmoor.metric("differ", "gitmoor_differ_fights_total")

    def fight():
        while not stop.is_set():
            if api.get("ConfigMap", namespace, "a")["data"]["color"] == "red":
                write(api, "ConfigMap", namespace, "a", {"data": {"color": "blue"}}, "stubborn-operator")
                writes.append(time.monotonic())
            stop.wait(0.002)

    thread = threading.Thread(target=fight)
    thread.start()
    try:
        found = wait_for(lambda: (now := shop.condition("Drifted")).get("reason") == "Fight" and now, what="the fight noticed")
        assert found["status"] == "True"
        for word in (f"ConfigMap {namespace}/a", ".data.color", "stubborn-operator"):
            assert word in found["message"], found
        shop.wait_event("Warning", "Fight", ".data.color", "stubborn-operator")
        assert gitmoor.metric("differ", "gitmoor_differ_fights_total") == fights + 1
        assert gitmoor.metric("differ", "gitmoor_differ_fights") >= 1
        before = len(writes)
        write(api, "ConfigMap", namespace, "b", {"data": {"color": "blue"}}, "kubectl-edit")
        wait_for(lambda: shop.config_map("b") == {"color": "red"}, what="what nobody fights over repaired at once")
        assert len(writes) <= before + 4, "slowed down"
    finally:
        stop.set()
        thread.join()
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="repaired after the pause")
    wait_for(lambda: shop.condition("Drifted").get("status") == "False", timeout=60, what="over")
    shop.wait_event("Normal", "FightEnded", f"ConfigMap {namespace}/a")


# ------------------------------------------------------------------------------- deleted, tampered with, moved

def test_tampering_with_label_and_managed_fields_is_put_right_without_a_new_object(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = open_app(repository)
    uid = api.get("ConfigMap", namespace, "a")["metadata"]["uid"]
    for body in ({"metadata": {"labels": {LABEL: None}}}, {"metadata": {"labels": {LABEL: "other.app"}}},
                 {"metadata": {"labels": None}, "data": {"color": "blue"}}, {"metadata": {"managedFields": [{}]}, "data": None}):
        write(api, "ConfigMap", namespace, "a", body, "kubectl-edit")
        found = wait_for(lambda: (now := api.get("ConfigMap", namespace, "a")) and now.get("data") == {"color": "red"}
                         and now["metadata"]["labels"] == {LABEL: f"{namespace}.shop"} and owners(now) == {"gitmoor"} and now, what=str(body))
        assert found["metadata"]["uid"] == uid
    assert shop.status()["objects"]["desired"] == 1


def test_what_is_added_is_only_reported_when_self_heal_is_off_or_it_is_suspended(repository, open_app, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = open_app(repository)
    for off, on in (({"selfHeal": False}, {"selfHeal": True}), ({"suspend": True}, {"suspend": False})):
        shop.set(**off)
        wait_for(lambda: shop.status()["observedGeneration"] == shop.application()["metadata"]["generation"], what="seen")
        write(api, "ConfigMap", namespace, "a", {"data": {"added": "1"}}, "kubectl-edit")
        wait_for(lambda: shop.condition("Drifted").get("status") == "True", what="the drift reported")
        assert shop.status()["objects"]["drifted"] == 1
        assert shop.config_map("a") == {"color": "red", "added": "1"}
        shop.set(**on)
        wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="gone once it may be")
        wait_for(lambda: shop.condition("Drifted").get("status") == "False", what="in sync again")


def test_a_deleted_namespace_comes_back_with_its_contents(repository, moored, api, namespace):
    inner = f"{namespace}-inner"
    repository.commit({"deploy/n.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {inner}}}\n",
                       "deploy/a.yaml": config_map("a", inner, color="red")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    before = api.get("Namespace", None, inner)["metadata"]["uid"]
    wait_for(lambda: api.request("DELETE", path_of("Namespace", None, inner)), what="a deletion that is let through")
    wait_for(lambda: api.get("Namespace", None, inner)["metadata"]["uid"] != before, timeout=60, what="made anew")
    wait_for(lambda: shop.config_map("a", inner) == {"color": "red"}, timeout=60, what="its contents too")
    shop.wait_applied(timeout=60)


def test_an_application_that_is_renamed_takes_its_objects_along(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository)
    shop.wait_applied()
    uid = api.get("ConfigMap", namespace, "a")["metadata"]["uid"]
    api.delete("Application", namespace, "shop")
    wait_for(lambda: api.get("Application", namespace, "shop") is None, what="the former gone")
    store = shop.beside("store", "deploy")
    store.wait_applied()
    assert store.live() == {"a": {"color": "red"}}
    assert api.get("ConfigMap", namespace, "a")["metadata"]["uid"] == uid
    store.remove()


def test_a_kind_that_nobody_declares_any_more_is_watched_no_more(repository, moored, gitmoor, api, namespace):
    word = "k" + namespace.replace("-", "")
    api.apply(definition(word))
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/k.yaml": resource(word, "one")})
    shop = moored(repository)
    shop.wait_applied(timeout=60)
    assert f"{word.capitalize()}.differ.example.org" in shop.status()["kinds"]
    kinds = gitmoor.metric("differ", "gitmoor_differ_watched_kinds")
    shop.push({"deploy/k.yaml": None})
    shop.wait_applied()
    wait_for(lambda: gitmoor.metric("differ", "gitmoor_differ_watched_kinds") < kinds, what="it is watched no more")
    wait_for(lambda: shop.status()["kinds"] == ["ConfigMap."], what="and so told")
    shop.push({"deploy/k.yaml": resource(word, "two")})
    shop.wait_applied()
    assert found_resource(api, namespace, word, "two")


def test_a_new_version_with_a_defaulted_field_does_not_stop_applies(repository, moored, api, namespace):
    """Every managedFields apiVersion needs migration then (kustomize-controller 1.8.4)."""
    word = "d" + namespace.replace("-", "")
    old, new = {"size": {"type": "integer"}}, {"size": {"type": "integer"}, "color": {"type": "string", "default": "red"}}

    def served(*versions):
        made = definition(word, versions=[name for name, _ in versions])
        for version, (_, fields) in zip(made["spec"]["versions"], versions):
            version["schema"] = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}}
        api.apply(made)

    served(("v1", old))
    repository.commit({"deploy/one.yaml": resource(word, "one", "v1")})
    shop = moored(repository, protection="Off")
    shop.wait_applied(timeout=60)
    api.request("PATCH", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one?fieldManager=some-controller",
                {"metadata": {"annotations": {"example.org/kept": "1"}}}, "application/merge-patch+json")
    served(("v2", new), ("v1", old))
    wait_for(lambda: found_resource(api, namespace, word, "one", "v2"), what="the new version served")
    for size in (2, 3):
        shop.push({"deploy/one.yaml": resource(word, "one", "v2", size)})
        shop.wait_applied(timeout=60)
        found = found_resource(api, namespace, word, "one", "v2")
        assert found["spec"] == {"size": size, "color": "red"}
        assert found["metadata"]["annotations"] == {"example.org/kept": "1"}
    assert {entry["manager"] for entry in found["metadata"]["managedFields"]} == {"gitmoor", "some-controller"}


# ------------------------------------------------------------------------------- the same in other words

AWKWARD = """
{{apiVersion: v1, kind: Secret, metadata: {{name: s}}, stringData: {{plain: text}}, data: {{coded: dGV4dA==}}}}
---
{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{selector: {{app: web}}, ports: [{{port: 80, name: a}}, {{port: 81, name: b, targetPort: 8081}}]}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: awkward, creationTimestamp: null}}
spec:
  replicas: 1
  strategy: {{}}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{creationTimestamp: null, labels: {{app: web}}}}
    spec:
      nodeSelector: null
      containers:
        - name: web
          image: example.org/web:1
          env: [{{name: EMPTY, value: ""}}, {{name: SET, value: x}}]
          ports: [{{containerPort: 80}}, {{containerPort: 81, protocol: UDP}}]
          resources: {{limits: {{cpu: 1000m, memory: 1024Mi}}, requests: {{cpu: 0.1, memory: 1e6}}}}
        - {{name: second, image: example.org/second:1, resources: {{}}}}
status: {{}}
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {{name: r}}, rules: [{{apiGroups: [""], resources: [pods, nodes], verbs: [get]}}]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: {ns}-whole}}
aggregationRule: {{clusterRoleSelectors: [{{matchLabels: {{part-of: {ns}}}}}]}}
rules: []
---
{{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {{name: {ns}-part, labels: {{part-of: {ns}}}}}, rules: [{{apiGroups: [""], resources: [pods], verbs: [get]}}]}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: h}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: none}}
  minReplicas: 2
  maxReplicas: 4
  metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: 80}}}}}}]
---
{{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {{name: p}}, spec: {{minAvailable: 50%, selector: {{matchLabels: {{app: web}}}}}}}}
---
{{apiVersion: v1, kind: ResourceQuota, metadata: {{name: q}}, spec: {{hard: {{requests.cpu: "1.50", memory: 2048Mi}}}}}}
---
{{apiVersion: differ.example.org/v1, kind: {Word}, metadata: {{name: one}}, spec: {{deep: {{list: [1, 2.0, {{a: null}}], empty: {{}}, none: []}}, number: 1.50, big: 9007199254740993}}}}
"""


def test_what_the_server_writes_in_another_way_is_no_drift(repository, moored, gitmoor, api, namespace):
    """stringData, ports without protocol, null and empty, quantities, int and float, roles, aggregation, no schema, status in Git."""
    word = "v" + namespace.replace("-", "")
    api.apply(definition(word))
    repository.commit({"deploy/all.yaml": AWKWARD.format(ns=namespace, Word=word.capitalize())})
    shop = moored(repository, protection="Off", health={"wait": False})
    shop.wait_applied(timeout=60)
    desired = shop.status()["objects"]["desired"]
    role = f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{namespace}-whole"
    wait_for(lambda: api.request("GET", role)["rules"], what="the controller has aggregated the role")

    def versions():
        """Of all objects, as managedFields has our last write: other writers do not count."""
        found = {}
        for path in (path_of("Secret", namespace), path_of("Service", namespace), path_of("Deployment", namespace),
                     path_of("Role", namespace), path_of("ClusterRole"), f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s",
                     f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers",
                     f"/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets", f"/api/v1/namespaces/{namespace}/resourcequotas"):
            for item in api.request("GET", f"{path}?labelSelector={LABEL}%3D{namespace}.shop")["items"]:
                entry, = (entry for entry in item["metadata"]["managedFields"] if entry["manager"] == "gitmoor")
                found[path, item["metadata"]["name"]] = entry
        return found

    before, plans = versions(), gitmoor.metric("differ", "gitmoor_differ_plans_total")
    assert len(before) == desired
    for action in ("nudge", "restart"):
        if action == "nudge":
            shop.push({"deploy/README": "not a manifest\n"})
        else:
            gitmoor.kill("differ")
            gitmoor.start_one("differ")
        wait_for(lambda: shop.status()["objects"] == {"desired": desired, "inSync": desired, "drifted": 0, "unhealthy": 0}
                 or shop.status()["objects"]["inSync"] == desired, what="in sync")
        assert versions() == before, action
    assert api.request("GET", role)["rules"], "the controller's"
    write(api, "Deployment", namespace, "awkward", {"spec": {"template": {"spec": {"containers": [
        {"name": "web", "image": "example.org/web:2", "resources": {"limits": {"cpu": "2"}}}]}}}}, "kubectl-edit", "strategic")
    write(api, "Secret", namespace, "s", {"stringData": {"plain": "other"}}, "kubectl-edit")
    api.request("PATCH", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one?fieldManager=kubectl-edit",
                [{"op": "remove", "path": "/spec/deep"}], "application/json-patch+json")

    def repaired():
        web = api.get("Deployment", namespace, "awkward")["spec"]["template"]["spec"]["containers"][0]
        return (web["image"] == "example.org/web:1" and web["resources"]["limits"]["cpu"] == "1"
                and api.get("Secret", namespace, "s")["data"]["plain"] == "dGV4dA=="
                and found_resource(api, namespace, word, "one")["spec"]["deep"]["list"] == [1, 2.0, {"a": None}])

    wait_for(repaired, what="drift of such objects repaired")
