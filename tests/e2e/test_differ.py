"""What the differ must never do: run in circles, delete what moved, claim what is not so, forget what it waits for."""
import contextlib
import threading
import time

import pytest

from harness.api import ApiError, condition, path_of
from harness.follow import Follow
from harness.mooring import Mooring, config_map
from harness.proxy import Fault
from harness.waiting import wait_for

WORKERS = "gitmoor_differ_worker_seconds_count"
PLANS = "gitmoor_differ_plans_total"


def counted(gitmoor, metric, seconds, label=""):
    """How much a counter of the differ grows in that time."""
    before = gitmoor.metric("differ", metric, label)
    time.sleep(seconds)  # what is measured is a span of time
    return gitmoor.metric("differ", metric, label) - before


@contextlib.contextmanager
def watched(mooring):
    """Every status that the Application has had meanwhile."""
    seen, stop = [], threading.Event()

    def look():
        while not stop.is_set():
            found = mooring.application()
            if found and (not seen or seen[-1] != found):
                seen.append(found)
            stop.wait(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def uid(api, namespace, name):
    found = api.get("ConfigMap", namespace, name)
    return found and found["metadata"]["uid"]


def definition(word, group="differ.example.org", versions=("v1",)):
    served = [{"name": version, "served": True, "storage": version == versions[0],
               "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
              for version in versions]
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{word}s.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "versions": served,
                     "names": {"kind": word.capitalize(), "plural": f"{word}s", "singular": word}}}


def resource(word, name, version="v1", size=1):
    return f"apiVersion: differ.example.org/{version}\nkind: {word.capitalize()}\nmetadata: {{name: {name}}}\nspec: {{size: {size}}}\n"


def found_resource(api, namespace, word, name, version="v1"):
    try:
        return api.request("GET", f"/apis/differ.example.org/{version}/namespaces/{namespace}/{word}s/{name}")
    except ApiError as error:
        if error.status == 404:
            return None
        raise


# ------------------------------------------------------------------------------- circles

def test_an_unknown_kind_is_not_rendered_again_and_again(repository, moored, gitmoor, api, namespace):
    word = "w" + namespace.replace("-", "")
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/w.yaml": resource(word, "one")})
    shop = moored(repository)
    shop.wait_not_ready("deploy/w.yaml", word.capitalize())
    assert counted(gitmoor, WORKERS, 5) <= 1
    api.apply(definition(word))
    shop.wait_applied(timeout=90)
    assert found_resource(api, namespace, word, "one")["spec"] == {"size": 1}


def test_an_object_that_waits_for_its_deletion_is_not_fought_over(repository, moored, gitmoor, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    wait_for(lambda: api.patch("ConfigMap", namespace, "a", {"metadata": {"finalizers": ["example.org/hold"]}}), what="held")
    first = uid(api, namespace, "a")
    api.delete("ConfigMap", namespace, "a")
    assert counted(gitmoor, PLANS, 3) <= 1
    assert shop.condition("Drifted").get("reason") != "Fight"
    api.patch("ConfigMap", namespace, "a", {"metadata": {"finalizers": None}})
    wait_for(lambda: uid(api, namespace, "a") not in (None, first), timeout=10, what="made anew once it is gone")


def test_a_repair_that_is_refused_is_tried_with_backoff_and_is_no_fight(repository, moored, gitmoor, api, cluster):
    inner = cluster.new_namespace("inner")
    repository.commit({"deploy/a.yaml": config_map("a", inner, color="red"), "deploy/b.yaml": config_map("b", color="red")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    # A namespace that cannot go: its contents go, and nothing may be made in it.
    api.request("PATCH", f"/api/v1/namespaces/{inner}/configmaps/kube-root-ca.crt", {"metadata": {"finalizers": ["example.org/hold"]}},
                "application/merge-patch+json")
    api.delete("Namespace", None, inner)
    wait_for(lambda: uid(api, inner, "a") is None, what="the contents gone")
    assert counted(gitmoor, PLANS, 6) <= 5
    assert shop.condition("Drifted").get("reason") != "Fight"
    shop.wait_not_ready(inner)
    wait_for(lambda: api.patch("ConfigMap", shop.namespace, "b", {"data": {"color": "blue"}}), what="another drift")
    wait_for(lambda: shop.config_map("b") == {"color": "red"}, timeout=10, what="repaired meanwhile")
    api.request("PATCH", f"/api/v1/namespaces/{inner}/configmaps/kube-root-ca.crt", {"metadata": {"finalizers": None}},
                "application/merge-patch+json")


@pytest.mark.parametrize("status", [403, 422, 500])
def test_a_status_that_cannot_be_written_is_no_loop(calm, status):
    calm.proxy.faults.append(Fault(status=status, method="PATCH", path="/applications/shop/status"))
    calm.next_commit()
    fault, tries = calm.proxy.faults[0], 3 if status == 500 else 1  # of one write, by the client
    wait_for(lambda: fault.hits > 2 * tries, what="two statuses refused, and a third")
    assert min(later - earlier for earlier, later in zip(fault.at, fault.at[tries:])) > 1.9  # WRITE_RETRY_MS
    calm.proxy.faults.clear()
    calm.settled()


# ------------------------------------------------------------------------------- moves and prunes

def test_an_object_that_moves_to_another_application_is_not_deleted(repository, moored, api, namespace):
    files = {"deploy/keep.yaml": config_map("keep"), "other/keep.yaml": config_map("keep-other")}
    names = [f"m{n}" for n in range(6)]
    repository.commit({**files, **{f"deploy/{name}.yaml": config_map(name) for name in names}})
    shop = moored(repository)
    other = shop.beside("other", "other")
    shop.wait_applied()
    other.wait_applied()
    before = {name: uid(api, namespace, name) for name in names}
    folders = ["deploy", "other"]
    for _ in range(4):
        folders.reverse()
        shop.push({**{f"{folders[0]}/{name}.yaml": config_map(name) for name in names},
                   **{f"{folders[1]}/{name}.yaml": None for name in names}})
        shop.wait_applied()
        other.wait_applied()
        owner = other if folders[0] == "other" else shop
        wait_for(lambda: set(names) < set(owner.live()), what="they belong to the other")
        assert {name: uid(api, namespace, name) for name in names} == before
    other.remove()


def test_two_applications_that_declare_one_object_do_not_swap_it_at_a_restart(repository, moored, gitmoor, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", by="shop"), "deploy/b.yaml": config_map("b", by="shop")})
    shop = moored(repository)
    shop.wait_applied()
    repository.commit({"other/a.yaml": config_map("a", by="other"), "other/b.yaml": config_map("b", by="other")})
    other = shop.beside("other", "other")
    shop.nudge()
    other.wait_not_ready("ConfigMap", f"{namespace}/shop declares it too")
    for _ in range(3):
        gitmoor.kill("differ")
        gitmoor.start_one("differ")
        other.wait_not_ready(f"{namespace}/shop declares it too")
        assert shop.config_map("a") == {"by": "shop"}
    shop.push({"deploy/a.yaml": None})
    shop.push({"other/b.yaml": None})
    other.wait_applied(timeout=15)
    assert shop.config_map("a") == {"by": "other"}
    other.remove()


def test_another_target_namespace_moves_everything(repository, moored, api, cluster, namespace):
    elsewhere = cluster.new_namespace("else")
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b")})
    shop = moored(repository)
    shop.wait_applied()
    shop.set(targetNamespace=elsewhere)
    shop.wait_applied()
    wait_for(lambda: uid(api, elsewhere, "a") and uid(api, elsewhere, "b"), what="there")
    wait_for(lambda: not uid(api, namespace, "a") and not uid(api, namespace, "b"), what="no longer here")


def test_another_path_is_pruned_to(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/both.yaml": config_map("both", of="deploy"),
                       "second/b.yaml": config_map("b"), "second/both.yaml": config_map("both", of="second")})
    shop = moored(repository)
    shop.wait_applied()
    shop.path = "second"
    shop.make_application()
    shop.wait_applied()
    wait_for(lambda: shop.live() == {"b": {}, "both": {"of": "second"}}, what="only what the new path declares")


# ------------------------------------------------------------------------------- what Ready says

def test_ready_never_speaks_of_a_revision_before_it_is_applied(repository, moored):
    def files(step):
        return {"deploy/all.yaml": "---\n".join(config_map(f"c{n}", step=step) for n in range(1500))}
    repository.commit(files("1"))
    shop = moored(repository)
    shop.wait_applied(timeout=60)
    with watched(shop) as seen:
        shop.push(files("2"))
        shop.wait_applied(timeout=60)
    for found in seen:
        ready, status = condition(found, "Ready"), found["status"]
        if ready["status"] == "True" and repository.revision() in ready["message"]:
            assert status["lastAppliedRevision"] == repository.revision(), status
    assert not [found for found in seen if condition(found, "Ready")["status"] == "False"]


def test_a_source_that_does_not_exist_is_not_ready(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a")})
    shop = moored(repository)
    shop.wait_applied()
    shop.repository_name = "nowhere"
    shop.make_application()
    shop.wait_not_ready("nowhere", "does not exist")
    assert shop.config_map("a") == {}
    shop.repository_name = "shop"
    shop.make_application()
    shop.wait_applied()


def test_a_repository_that_is_deleted_and_comes_back_with_other_content_is_followed(repository, make_repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", of="first")})
    shop = moored(repository)
    shop.wait_applied()
    api.delete("GitRepository", namespace, "shop")
    shop.wait_not_ready("shop", "does not exist")
    assert shop.config_map("a") == {"of": "first"}
    second = make_repository()
    second.commit({"deploy/a.yaml": config_map("a", of="second")})
    shop.repository = second
    shop.make_repository()
    shop.wait_applied()
    assert shop.config_map("a") == {"of": "second"}


def test_an_application_that_is_deleted_and_made_again_takes_its_objects_over(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a", step="1"), "deploy/b.yaml": config_map("b")})
    shop = moored(repository)
    shop.wait_applied()
    before = uid(api, namespace, "a")
    api.delete("Application", namespace, "shop")
    shop.push({"deploy/a.yaml": config_map("a", step="2"), "deploy/b.yaml": None})
    shop.make_application()
    shop.wait_applied()
    assert shop.config_map("a") == {"step": "2"} and uid(api, namespace, "a") == before
    wait_for(lambda: set(shop.live()) == {"a"}, what="b pruned")


def test_the_timeout_of_health_may_be_changed_while_it_is_waited_for(repository, moored):
    from test_path import DEPLOYMENT
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas=1, image="example.org/broken:1")})
    shop = moored(repository)
    wait_for(lambda: shop.condition().get("reason") == "Progressing" and shop.status().get("lastAppliedRevision"), what="waiting")
    shop.set(health={"timeout": "2s"})
    shop.wait_not_ready(reason="HealthCheckFailed", timeout=10)
    shop.set(health={"timeout": "5m"})
    wait_for(lambda: shop.condition().get("reason") == "Progressing", timeout=10, what="waiting again")


def test_ready_waits_for_the_rollout_of_the_new_revision(repository, moored):
    from test_path import DEPLOYMENT
    repository.commit({"deploy/web.yaml": DEPLOYMENT.format(replicas=2, image="example.org/web:1")})
    shop = moored(repository)
    shop.wait_applied()
    good = repository.revision()
    with watched(shop) as seen:
        shop.push({"deploy/web.yaml": DEPLOYMENT.format(replicas=2, image="example.org/broken:2")})
        wait_for(lambda: shop.status().get("lastAppliedRevision") == repository.revision(), what="applied")
    assert {found["status"]["lastHealthyRevision"] for found in seen} == {good}
    assert not [found for found in seen if condition(found, "Ready")["status"] == "True"
                and found["status"]["lastAppliedRevision"] == repository.revision()]


# ------------------------------------------------------------------------------- kinds that come and go

def test_a_definition_that_is_deleted_and_made_again_brings_its_objects_back(repository, moored, api, namespace):
    word = "x" + namespace.replace("-", "")
    api.apply(definition(word))
    repository.commit({"deploy/one.yaml": resource(word, "one"), "deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository, protection="Off")
    shop.wait_applied(timeout=60)
    api.delete("CustomResourceDefinition", None, f"{word}s.differ.example.org")
    shop.wait_not_ready(word.capitalize())
    wait_for(lambda: api.patch("ConfigMap", namespace, "a", {"data": {"color": "blue"}}), what="another drift")
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, timeout=10, what="repaired meanwhile")
    wait_for(lambda: api.apply(definition(word)), what="it is there again")
    wait_for(lambda: found_resource(api, namespace, word, "one"), timeout=90, what="its object is back")
    shop.wait_applied(timeout=60)
    api.request("DELETE", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one")
    wait_for(lambda: found_resource(api, namespace, word, "one"), timeout=60, what="it is watched again")


ASKS = """apiVersion: v1
kind: ConfigMap
metadata: {name: a}
data: {served: {{ .Capabilities.APIVersions.Has "differ.example.org/v1/%s" | quote }}}
"""


def test_a_chart_is_rendered_again_when_somebody_else_changes_what_the_cluster_serves(repository, moored, api, namespace):
    word = "z" + namespace.replace("-", "")
    repository.commit({"deploy/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "deploy/templates/a.yaml": ASKS % word.capitalize()})
    shop = moored(repository)
    shop.wait_applied()
    assert shop.config_map("a") == {"served": "false"}
    api.apply(definition(word))
    wait_for(lambda: shop.config_map("a") == {"served": "true"}, what="the chart rendered with the new kind")
    api.delete("CustomResourceDefinition", None, f"{word}s.differ.example.org")
    wait_for(lambda: shop.config_map("a") == {"served": "false"}, what="and without it")


def test_a_version_that_is_no_longer_served_is_no_longer_watched(repository, moored, api, namespace):
    word = "y" + namespace.replace("-", "")
    api.apply(definition(word, versions=("v1beta1", "v1")))
    repository.commit({"deploy/one.yaml": resource(word, "one", "v1beta1")})
    shop = moored(repository, protection="Off")
    shop.wait_applied(timeout=60)
    shop.push({"deploy/one.yaml": resource(word, "one", "v1")})
    shop.wait_applied()
    changed = definition(word, versions=("v1", "v1beta1"))
    changed["spec"]["versions"][1]["served"] = False
    api.apply(changed)
    wait_for(lambda: found_resource(api, namespace, word, "one", "v1"), what="served")

    def repaired():
        live = found_resource(api, namespace, word, "one", "v1")
        if live["spec"]["size"] != 1:
            return False
        api.request("PATCH", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one?fieldManager=kubectl-edit",
                    {"spec": {"size": 2}}, "application/merge-patch+json")
        try:
            wait_for(lambda: found_resource(api, namespace, word, "one", "v1")["spec"]["size"] == 1, timeout=5, exact=True)
        except AssertionError:
            api.request("PATCH", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one?fieldManager=kubectl-edit",
                        {"spec": {"size": 1}}, "application/merge-patch+json")
            return False
        return True

    wait_for(repaired, timeout=90, what="a drift noticed in the version that is served")


# ------------------------------------------------------------------------------- what is written

def test_a_commit_writes_the_status_once_and_a_restart_never(calm):
    """Each commit makes one status that is Ready; what takes half a second is told meanwhile, as not yet Ready."""
    calm.next_commit()
    calm.settled()
    seen = []  # of the Application, each version
    follow = Follow(calm.api, path_of("Application", calm.namespace), lambda _, found: seen.append(found))
    wait_for(follow.listed.is_set, what="the list")

    def ready():
        return [found["status"]["lastAppliedRevision"] for found in seen[1:] if condition(found, "Ready")["status"] == "True"]

    calm.moor.kill("differ")
    calm.moor.start_one("differ")
    revisions = []
    for _ in range(2):  # the second shows that the first was not told again
        calm.next_commit()
        calm.settled()
        revisions.append(calm.repository.revision())
    wait_for(lambda: revisions[-1] in ready(), what="the last status seen")
    follow.stop()
    assert ready() == revisions
