"""The whole path: a commit becomes live objects, and edits that did not come through Git are refused or repaired."""
import pytest

from harness.api import ApiError, condition
from harness.mooring import LABEL, config_map
from harness.waiting import wait_for


def managers(live):
    return [entry["manager"] for entry in live["metadata"]["managedFields"]]


# ------------------------------------------------------------------------------- install, change, remove

def test_a_commit_becomes_live_objects(repository, moored, api, kubectl, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red") + "---\n" + config_map("b", color="blue"),
                       "deploy/more/c.yaml": config_map("c"), "deploy/notes.txt": "not a manifest\n",
                       "elsewhere/d.yaml": config_map("d")})
    shop = moored(repository)
    shop.wait_applied()
    assert shop.live() == {"a": {"color": "red"}, "b": {"color": "blue"}, "c": {}}
    assert shop.config_map("d") is None
    live = api.get("ConfigMap", namespace, "a")
    assert live["metadata"]["labels"][LABEL] == f"{namespace}.shop"
    assert managers(live) == ["gitmoor"]

    status = shop.status()
    assert status["objects"]["desired"] == status["objects"]["inSync"] == 3
    assert status["namespaces"] == [namespace]
    assert status["history"][0]["revision"] == repository.revision()
    assert condition(shop.application(), "Healthy")["status"] == "True"
    assert condition(shop.application(), "Drifted")["status"] == "False"
    assert condition(shop.source(), "Ready")["status"] == "True"
    assert shop.source()["status"]["revision"] == repository.revision()
    shop.wait_event("Normal", "Applied", repository.revision())
    kubectl("wait", "-n", namespace, "--for=condition=Ready", "application/shop", "gitrepository/shop", "--timeout=60s")


def test_a_change_is_applied_and_nothing_else_is_written(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1"), "deploy/b.yaml": config_map("b", color="blue")})
    shop = moored(repository)
    shop.wait_applied()
    before = api.get("ConfigMap", namespace, "b")["metadata"]["resourceVersion"]
    shop.push({"deploy/a.yaml": config_map("a", color="green")})
    shop.wait_applied()
    assert shop.live() == {"a": {"color": "green"}, "b": {"color": "blue"}}
    assert api.get("ConfigMap", namespace, "b")["metadata"]["resourceVersion"] == before


def test_what_leaves_git_is_pruned_and_nothing_else(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b")})
    shop = moored(repository)
    shop.wait_applied()
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-hand", "namespace": namespace}})
    shop.push({"deploy/b.yaml": None})
    shop.wait_applied()
    wait_for(lambda: shop.config_map("b") is None, what="b pruned")
    assert set(shop.live()) == {"a"}
    assert shop.config_map("by-hand") is not None


def test_prune_false_keeps_what_leaves_git(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b")})
    shop = moored(repository, prune=False)
    shop.wait_applied()
    shop.push({"deploy/b.yaml": None})
    shop.wait_applied()
    assert shop.config_map("b") is not None


def test_a_commit_that_would_delete_everything_is_held(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b"), "README": "x\n"})
    shop = moored(repository)
    shop.wait_applied()
    shop.push({"deploy/a.yaml": "# nothing\n", "deploy/b.yaml": "# nothing\n"})
    shop.wait_not_ready(reason="Held")
    assert set(shop.live()) == {"a", "b"}
    shop.push({"deploy/a.yaml": config_map("a", back="yes")})
    shop.wait_applied()
    assert shop.live() == {"a": {"back": "yes"}}


def test_a_reverted_commit_brings_back_what_was(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository)
    shop.wait_applied()
    shop.push({"deploy/a.yaml": config_map("a", color="green"), "deploy/b.yaml": config_map("b")})
    shop.wait_applied()
    repository.revert()
    shop.nudge()
    shop.wait_applied()
    wait_for(lambda: shop.live() == {"a": {"color": "red"}}, what="the state before")
    assert [entry["revision"] for entry in shop.status()["history"]][0] == repository.revision()


def test_a_change_is_found_by_polling_too(repository, moored, cluster):
    repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    shop = moored(repository)
    shop.wait_applied()
    shop.repository_spec["interval"] = "1s"
    shop.make_repository()
    repository.commit({"deploy/a.yaml": config_map("a", step="2")})
    shop.wait_applied()
    assert shop.config_map("a") == {"step": "2"}


def test_a_forced_push_is_followed_and_reported(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    repository.commit({"deploy/a.yaml": config_map("a", step="2"), "deploy/b.yaml": config_map("b")})
    shop = moored(repository)
    shop.wait_applied()
    repository.rewrite({"deploy/a.yaml": config_map("a", step="3")})
    shop.nudge()
    shop.wait_applied()
    wait_for(lambda: shop.live() == {"a": {"step": "3"}}, what="the rewritten state")
    wait_for(lambda: any("forced" in message.lower() or "rewritten" in message.lower()
                         for _, _, message in shop.source_events()), what=f"an Event about it; {shop.source_events()}")


@pytest.mark.parametrize("kind", ["tag", "commit", "branch"])
def test_a_tag_a_commit_and_a_branch_can_be_followed(kind, repository, moored, cluster, namespace, gitmoor):
    from harness.mooring import Mooring
    first = repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    repository.git("tag", "v1")
    repository.git("push", "-q", "origin", "v1", f"{first}:refs/heads/stable")
    repository.commit({"deploy/a.yaml": config_map("a", step="2")})
    shop = Mooring(cluster, namespace, repository)
    shop.repository_spec["ref"] = {"tag": {"tag": "v1"}, "commit": {"branch": "main", "commit": first},
                                   "branch": {"branch": "stable"}}[kind]
    shop.make()
    wait_for(lambda: shop.config_map("a") == {"step": "1"}, what="the state of the first commit")
    assert first in wait_for(lambda: shop.status().get("lastAppliedRevision"), what="its revision")
    shop.remove()


# ------------------------------------------------------------------------------- several applications, stages, accounts

def test_a_bad_commit_does_not_hinder_a_good_application(repository, moored, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", step="1"), "other/o.yaml": config_map("o", step="1")})
    shop = moored(repository)
    other = shop.beside("other", "other")
    shop.wait_applied()
    other.wait_applied()
    bad = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: bad\nimmutable: maybe\n"
    shop.push({"deploy/a.yaml": config_map("a", step="2"), "deploy/bad.yaml": bad, "other/o.yaml": config_map("o", step="2")})
    other.wait_applied()
    assert other.config_map("o") == {"step": "2"}
    shop.wait_not_ready("deploy/bad.yaml", "immutable")
    assert shop.config_map("a") == {"step": "1"}, "the dry-run comes before the first write"
    assert shop.status()["errors"][0]["file"] == "deploy/bad.yaml"
    shop.wait_event("Warning", "deploy/bad.yaml")
    shop.push({"deploy/bad.yaml": None})
    shop.wait_applied()
    assert shop.config_map("a") == {"step": "2"}


def test_without_preflight_the_good_objects_are_written(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
                       "  name: bad\nimmutable: maybe\n"})
    shop = moored(repository, preflight="Off")
    shop.wait_not_ready("deploy/bad.yaml")
    wait_for(lambda: shop.config_map("a") is not None, what="a written")


CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.e2e.example.org}}
spec:
  group: e2e.example.org
  scope: Namespaced
  names: {{kind: {kind}, plural: {plural}, singular: {singular}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {{type: object, properties: {{size: {{type: integer}}}}}}
"""


def test_a_definition_its_resources_a_namespace_and_its_contents_come_in_one_commit(repository, moored, api, namespace):
    word = namespace.replace("-", "")
    inner = f"{namespace}-inner"
    repository.commit({
        "deploy/10-resource.yaml": f"apiVersion: e2e.example.org/v1\nkind: {word.capitalize()}\nmetadata: {{name: one}}\n"
                                   "spec: {size: 1}\n",
        "deploy/20-inner.yaml": config_map("inside", inner),
        "deploy/30-crd.yaml": CRD.format(kind=word.capitalize(), plural=f"{word}s", singular=word),
        "deploy/40-namespace.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {inner}}}\n"})
    shop = moored(repository)
    shop.wait_applied()
    assert shop.config_map("inside", inner) == {}
    path = f"/apis/e2e.example.org/v1/namespaces/{namespace}/{word}s/one"
    assert api.request("GET", path)["spec"] == {"size": 1}
    assert sorted(shop.status()["namespaces"]) == sorted([namespace, inner])


def test_an_application_writes_with_its_own_service_account(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a")})
    api.create("ServiceAccount", namespace, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "limited"}})
    shop = moored(repository, serviceAccountName="limited")
    shop.wait_not_ready("forbidden", f"system:serviceaccount:{namespace}:limited", "spec.serviceAccountName")
    assert shop.config_map("a") is None
    api.create("Role", namespace, {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "limited"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch", "delete"]}]})
    api.create("RoleBinding", namespace, {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"},
        "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": namespace}]})
    shop.wait_applied(timeout=90)
    assert shop.config_map("a") == {}


# ------------------------------------------------------------------------------- health

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      containers:
        - {{name: web, image: "{image}"}}
"""


def test_ready_waits_for_health(repository, moored):
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas=2, image="example.org/web:1")})
    shop = moored(repository)
    shop.wait_applied()
    assert shop.status()["lastHealthyRevision"] == repository.revision()
    healthy = repository.revision()
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas=2, image="example.org/broken:2")})
    shop.set(health={"timeout": "2s"})
    shop.wait_not_ready("web", reason="HealthCheckFailed")
    assert shop.condition("Healthy")["status"] == "False"
    assert shop.status()["lastHealthyRevision"] == healthy
    assert shop.status()["lastAppliedRevision"] == repository.revision()
    shop.set(health={"timeout": "5m"})
    shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas=2, image="example.org/web:3")})
    shop.wait_applied()
    assert shop.condition("Healthy")["status"] == "True"


# ------------------------------------------------------------------------------- edits

def edit(api, namespace, name, **data):
    return api.patch("ConfigMap", namespace, name, {"data": data})


def edited_when_known(api, namespace, name, **data):
    """Edit as soon as admission has heard that the protection is not Enforce."""
    wait_for(lambda: edit(api, namespace, name, **data), what="an edit that is let through")


def test_an_edit_is_refused_and_the_message_says_everything(repository, moored, kubectl, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1")})
    shop = moored(repository)
    shop.wait_applied()
    done = kubectl.run("patch", "-n", namespace, "configmap", "a", "--type=merge", "-p", '{"data":{"color":"green"}}')
    assert done.returncode != 0
    for word in (f"ConfigMap {namespace}/a", ".data.color", f"application {namespace}/shop", "repository shop", "path deploy",
                 repository.head(), "Change it in Git", "gitmoor:break-glass"):
        assert word in done.stderr, (word, done.stderr)
    assert ".data.size" not in done.stderr
    assert shop.config_map("a") == {"color": "red", "size": "1"}

    done = kubectl.run("delete", "-n", namespace, "configmap", "a")
    assert done.returncode != 0 and "Remove it from Git" in done.stderr, done.stderr
    assert shop.config_map("a") is not None

    shop.wait_event("Warning", "a")


def test_what_git_does_not_declare_may_be_edited(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    moored(repository).wait_applied()
    api.patch("ConfigMap", namespace, "a", {"metadata": {"annotations": {"note": "mine"}}}, manager="controller")
    assert api.get("ConfigMap", namespace, "a")["metadata"]["annotations"]["note"] == "mine"


def test_nobody_else_writes_as_field_manager_gitmoor(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    moored(repository).wait_applied()
    with pytest.raises(ApiError, match="gitmoor"):
        api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace},
                   "data": {"color": "green"}}, manager="gitmoor")


def test_an_edit_is_repaired_when_protection_is_off(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    edited_when_known(api, namespace, "a", color="green")
    wait_for(lambda: shop.config_map("a") == {"color": "red", "size": "1"}, timeout=10, what="the edit repaired")
    edit(api, namespace, "a", color=None)
    wait_for(lambda: shop.config_map("a") == {"color": "red", "size": "1"}, timeout=10, what="the removed field back")
    api.delete("ConfigMap", namespace, "a")
    wait_for(lambda: shop.config_map("a") == {"color": "red", "size": "1"}, timeout=10, what="the deleted object back")
    wait_for(lambda: shop.condition("Drifted").get("status") == "False", what="in sync again")


def test_a_warning_goes_with_an_edit_when_protection_is_warn(repository, moored, kubectl, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository, protection="Warn")
    shop.wait_applied()

    def warned():
        done = kubectl.run("patch", "-n", namespace, "configmap", "a", "--type=merge", "-p", '{"data":{"color":"green"}}')
        return done if done.returncode == 0 else None

    done = wait_for(warned, what="an edit that is let through")
    assert "Warning" in done.stderr and ".data.color" in done.stderr
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, timeout=10, what="the edit repaired")


def test_drift_is_only_reported_when_self_heal_is_off(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository, protection="Off", selfHeal=False)
    shop.wait_applied()
    edited_when_known(api, namespace, "a", color="green")
    wait_for(lambda: shop.condition("Drifted").get("status") == "True", what="the drift reported")
    assert shop.status()["objects"]["drifted"] == 1
    assert shop.config_map("a") == {"color": "green"}
    shop.set(selfHeal=True)
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="repaired once it may be")
    wait_for(lambda: shop.condition("Drifted").get("status") == "False", what="in sync again")


def test_a_suspended_application_stays_as_it_is(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    shop = moored(repository)
    neighbour = shop.beside("other", "other")
    shop.wait_applied()
    shop.set(suspend=True)
    wait_for(lambda: shop.status().get("observedGeneration") == shop.application()["metadata"]["generation"], what="seen")
    shop.push({"deploy/a.yaml": config_map("a", step="2"), "other/o.yaml": config_map("o")})
    neighbour.wait_applied()
    assert shop.config_map("a") == {"step": "1"}
    shop.set(suspend=False)
    shop.wait_applied()
    assert shop.config_map("a") == {"step": "2"}
