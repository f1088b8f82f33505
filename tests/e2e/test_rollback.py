"""Rollback: by itself when a revision is not healthy, and by hand; held until a newer commit, across restarts."""
import shutil
import subprocess

import pytest

from harness import paths
from harness.api import ApiError, condition
from harness.mooring import config_map, in_wave
from harness.waiting import wait_for

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  progressDeadlineSeconds: {deadline}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: c, image: "example.org/{image}"}}]}}
"""


def release(image, deadline=600, **data):
    return {"deploy/web.yaml": DEPLOYMENT.format(image=image, deadline=deadline), "deploy/c.yaml": config_map("c", image=image, **data)}


def image_of(shop):
    live = shop.api.get("Deployment", shop.namespace, "web") or {"spec": {"template": {"spec": {"containers": [{}]}}}}
    return live["spec"]["template"]["spec"]["containers"][0].get("image", "").rpartition("/")[2]


def wait_rolled_back(shop, bad, good, timeout=40):
    """Until the good revision is in force in the place of the bad one; returns the status."""
    def there():
        status = shop.status()
        ready = condition(shop.application(), "Ready") or {}
        return status if (ready.get("reason") == "RolledBack" and ready["status"] == "False" and
                          status.get("lastAppliedRevision") == good and status.get("lastAttemptedRevision") == bad) else None
    return wait_for(there, timeout, what=f"{shop.name} rolled back from {bad} to {good}: {shop.status()}")


@pytest.fixture
def run(cluster, namespace):
    def gitmoor(*arguments, check=True):
        done = subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "-n", namespace, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done
    return gitmoor


@pytest.fixture
def shop(repository, moored):
    """An Application that rolls back, healthy at its first revision."""
    repository.commit(release("v1") | {"other/x.yaml": config_map("x")})
    mooring = moored(repository, rollback={"onFailure": True}, health={"timeout": "30s"})
    mooring.wait_applied()
    return mooring


def test_a_release_that_fails_is_rolled_back_whole_and_told(shop, repository):
    good = repository.revision()
    bad = shop.push(release("broken", deadline=2, more="x") | {"deploy/new.yaml": config_map("new")})
    status = wait_rolled_back(shop, bad, good)
    wait_for(lambda: image_of(shop) == "v1" and shop.config_map("c") == {"image": "v1"}, what="the good release again")
    assert shop.config_map("new") is None, "what only the bad revision had is pruned"
    rolled = condition(shop.application(), "RolledBack")
    assert rolled["status"] == "True" and rolled["reason"] == "HealthCheckFailed"
    assert bad in rolled["message"] and good in rolled["message"] and "web" in rolled["message"]
    assert status["rollback"]["from"] == bad and status["rollback"]["to"] == good
    assert shop.condition("Stalled")["reason"] == "RolledBack"
    shop.wait_event("Warning", "RolledBack", bad, good)
    wait_for(lambda: (shop.condition("Healthy") or {})["status"] == "True", what="healthy again")


def test_a_release_that_is_not_healthy_in_time_is_rolled_back(shop, repository):
    shop.set(health={"timeout": "2s"})
    good = repository.revision()
    bad = shop.push(release("broken"))
    wait_rolled_back(shop, bad, good)
    assert "in time" in shop.condition("RolledBack")["message"]


def test_it_stays_until_a_newer_commit_of_its_own_files(shop, repository, gitmoor):
    good = repository.revision()
    bad = shop.push(release("broken", deadline=2))
    wait_rolled_back(shop, bad, good)
    shop.push({"other/x.yaml": config_map("x", step="2")})
    shop.beside("other", "other").wait_applied()
    assert shop.condition()["reason"] == "RolledBack" and image_of(shop) == "v1"
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    shop.push(release("v2"))
    shop.wait_applied(timeout=60)
    assert image_of(shop) == "v2" and not shop.condition("RolledBack") and "rollback" not in shop.status()


@pytest.mark.parametrize("data", ["kept", "lost"])
def test_after_a_restart_it_is_still_held_and_drift_is_repaired(shop, repository, gitmoor, data):
    shop.set(protection="Off")
    shop.wait_applied()
    good = repository.revision()
    bad = shop.push(release("broken", deadline=2))
    wait_rolled_back(shop, bad, good)
    gitmoor.kill("differ")
    if data == "lost":
        shutil.rmtree(gitmoor.folder / "data" / "differ")
    gitmoor.start_one("differ")
    shop.api.patch("ConfigMap", shop.namespace, "c", {"data": {"image": "edited"}}, manager="someone")
    wait_for(lambda: shop.config_map("c") == {"image": "v1"}, 60, what="the drift repaired to the earlier revision")
    wait_rolled_back(shop, bad, good)
    assert image_of(shop) == "v1"


def test_without_being_asked_for_nothing_is_rolled_back(shop, repository):
    shop.set(rollback={"onFailure": False})
    shop.push(release("broken", deadline=2))
    shop.wait_not_ready(reason="HealthCheckFailed")
    assert image_of(shop) == "broken" and not shop.condition("RolledBack")


def test_a_first_revision_that_fails_has_nothing_to_go_back_to(repository, moored):
    repository.commit(release("broken", deadline=2))
    mooring = moored(repository, rollback={"onFailure": True})
    mooring.wait_not_ready(reason="HealthCheckFailed")
    assert not mooring.condition("RolledBack")


def test_git_revert_is_simply_a_newer_commit(shop, repository):
    good = repository.revision()
    wait_rolled_back(shop, shop.push(release("broken", deadline=2)), good)
    repository.revert()
    shop.nudge()
    shop.wait_applied()
    assert image_of(shop) == "v1" and not shop.condition("RolledBack")


def test_after_a_restart_with_a_commit_that_is_invalid_drift_is_repaired_all_the_same(repository, moored, gitmoor):
    repository.commit({"deploy/c.yaml": config_map("c", image="v1"), "deploy/d.yaml": config_map("d")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    shop.push({"deploy/c.yaml": "kind: ConfigMap\n"})
    shop.wait_not_ready("deploy/c.yaml", reason="Invalid")
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    shop.api.patch("ConfigMap", shop.namespace, "c", {"data": {"image": "edited"}}, manager="someone")
    wait_for(lambda: shop.config_map("c") == {"image": "v1"}, 60, what="the drift repaired")
    assert shop.config_map("d") is not None, "nothing is pruned"
    assert shop.wait_not_ready("deploy/c.yaml", reason="Invalid") and not shop.condition("RolledBack")
    shop.push({"deploy/c.yaml": config_map("c", image="v2")})
    shop.wait_applied()


def test_a_rollback_that_deletes_too_much_is_held_and_approved_like_a_commit(repository, moored, run):
    repository.commit(release("v1"))
    shop = moored(repository, rollback={"onFailure": True}, pruneLimit="25%")
    shop.wait_applied()
    good = repository.revision()
    bad = shop.push(release("broken", deadline=1) | {f"deploy/n{n}.yaml": config_map(f"n{n}") for n in range(4)})
    shop.wait_not_ready("pruneLimit", "gitmoor rollback --cancel", reason="Held")
    assert shop.status()["held"]["revision"] == good and image_of(shop) == "broken"
    rolled = shop.condition("RolledBack")
    assert (rolled["status"], rolled["reason"]) == ("False", "Held") and "not in force yet" in rolled["message"]
    run("approve", "shop", "--revision", good)
    wait_rolled_back(shop, bad, good)
    assert shop.condition("RolledBack")["status"] == "True" and "stays in force" in shop.condition("RolledBack")["message"]
    wait_for(lambda: set(shop.live()) == {"c"} and image_of(shop) == "v1", what="the earlier revision alone")


def values(shop, **data):
    shop.api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values", "namespace": shop.namespace}, "data": data})


@pytest.fixture
def valued(repository, moored, namespace, api):
    """Takes a value from the cluster; broken, and rolled back: (shop, bad, good)."""
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values", "namespace": namespace}, "data": {"v": "1"}})
    repository.commit(release("v1", value="${v}"))
    mooring = moored(repository, rollback={"onFailure": True}, substituteFrom=[{"kind": "ConfigMap", "name": "values"}])
    mooring.wait_applied()
    good = repository.revision()
    bad = mooring.push(release("broken", deadline=1, value="${v}"))
    wait_rolled_back(mooring, bad, good)
    return mooring, bad, good


@pytest.mark.parametrize("differ", ["there", "gone"])
def test_what_is_no_commit_does_not_bring_the_bad_revision_back(valued, repository, gitmoor, differ):
    """A value from the cluster has changed, and with it the render key of all revisions."""
    shop, bad, good = valued
    shop.push({"elsewhere/x.yaml": config_map("x")})
    elsewhere = repository.git("rev-parse", "HEAD").strip()
    wait_for(lambda: shop.status()["rollback"]["commit"] == elsewhere, what="the newest commit known to be the same")
    if differ == "gone":
        gitmoor.kill("differ")
    values(shop, v="2")
    if differ == "gone":
        gitmoor.start_one("differ")
    wait_for(lambda: shop.config_map("c") == {"image": "v1", "value": "2"}, 60, what="the earlier revision with the new value")
    wait_rolled_back(shop, bad, good)
    assert len([event for event in shop.events() if event[1] == "RolledBack"]) == 1 and image_of(shop) == "v1"
    shop.push(release("v2", value="${v}"))
    shop.wait_applied()


def test_an_earlier_revision_that_cannot_be_rendered_is_told_and_tried_again_when_it_may_be(repository, moored, run, api, namespace):
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values", "namespace": namespace}, "data": {"old": "1", "new": "2"}})
    repository.commit({"deploy/c.yaml": config_map("c", value="${old}")})
    shop = moored(repository, substituteFrom=[{"kind": "ConfigMap", "name": "values"}])
    shop.wait_applied()
    first = repository.revision()
    second = shop.push({"deploy/c.yaml": config_map("c", value="${new}")})
    shop.wait_applied()
    values(shop, new="2")
    run("rollback", "shop")
    shop.wait_not_ready("old", f"earlier revision {first}", reason="Invalid")
    assert shop.config_map("c") == {"value": "2"}
    values(shop, old="3", new="2")
    wait_rolled_back(shop, second, first)
    assert shop.config_map("c") == {"value": "3"}


def test_an_earlier_revision_that_is_not_healthy_either_is_told(shop, repository, run):
    first = repository.revision()
    second = shop.push(release("v2"))
    shop.wait_applied()
    shop.api.apply({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": shop.namespace},
                    "spec": {"hard": {"pods": "0"}}})
    shop.set(health={"timeout": "2s"})
    shop.wait_applied()
    run("rollback", "shop")
    wait_rolled_back(shop, second, first)
    assert "web" in shop.wait_not_ready("That is not healthy either: Deployment", second, first, reason="RolledBack")["message"]
    assert shop.condition("Healthy")["status"] == "False"


# ------------------------------------------------------------------------------- by hand

def test_history_and_rollback_by_hand(shop, repository, run):
    first = repository.revision()
    second = shop.push(release("v2"))
    shop.wait_applied()
    lines = run("history", "shop").stdout.splitlines()
    assert lines[1].startswith(second) and "in force" in lines[1] and lines[2].startswith(first)
    assert first in run("rollback", "shop").stderr
    wait_rolled_back(shop, second, first)
    assert shop.condition("RolledBack")["reason"] == "Requested" and image_of(shop) == "v1"
    assert "rolled back" in run("history", "shop").stdout
    run("rollback", "shop", "--cancel")
    shop.wait_applied(second)
    assert image_of(shop) == "v2" and not shop.condition("RolledBack")
    run("rollback", "shop", "--to", first.rpartition(":")[2][:8])
    wait_rolled_back(shop, second, first)
    shop.push(release("v3"))
    shop.wait_applied()


def test_to_the_newest_is_to_cancel_it(shop, repository, run):
    first = repository.revision()
    second = shop.push(release("v2"))
    shop.wait_applied()
    run("rollback", "shop")
    wait_rolled_back(shop, second, first)
    run("rollback", "shop", "--to", second)
    shop.wait_applied(second)
    assert image_of(shop) == "v2" and not shop.condition("RolledBack")


def test_it_does_not_wait_for_what_the_application_depends_on(repository, moored, run):
    repository.commit({"base/b.yaml": config_map("b"), "top/c.yaml": config_map("c", step="1")})
    base = moored(repository, name="base", path="base")
    top = base.beside("top", "top", dependsOn=[{"name": "base"}])
    top.wait_applied()
    base.push({"top/c.yaml": config_map("c", step="2")})
    top.wait_applied()
    base.push({"base/b.yaml": "kind: ConfigMap\n"})
    base.wait_not_ready(reason="Invalid")
    run("rollback", "top")
    wait_for(lambda: top.config_map("c") == {"step": "1"}, what="the earlier revision")


def test_only_what_was_applied_can_be_gone_back_to(shop, repository, run):
    done = run("rollback", "shop", "--to", "0123456789", check=False)
    assert done.returncode == 1 and "gitmoor history" in done.stderr
    shop.api.patch("Application", shop.namespace, "shop",
                   {"metadata": {"annotations": {"gitmoor.io/rollback-to": "main@sha1:" + "0" * 40}}}, manager="e2e")
    shop.wait_event("Warning", "RollbackRefused", "status.history")
    assert run("rollback", "nowhere", check=False).returncode == 1
    assert run("rollback", "shop", "--cancel", "--to", "x", check=False).returncode == 2


# ------------------------------------------------------------------------------- held commits

@pytest.mark.parametrize("wave", [0, 1])
def test_a_commit_that_deletes_more_than_the_limit_is_held_until_approved(repository, moored, run, wave):
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}") for n in range(4)})
    shop = moored(repository, pruneLimit="25%")
    shop.wait_applied()
    assert "not held" in run("approve", "shop", check=False).stderr
    shop.push({"deploy/0.yaml": None})
    shop.wait_applied()
    held = shop.push({"deploy/1.yaml": None, "deploy/2.yaml": None, "deploy/new.yaml": config_map("new"),
                      "deploy/last.yaml": in_wave(wave, config_map("last"))})
    shop.wait_not_ready("pruneLimit", "gitmoor approve shop", reason="Held")
    assert set(shop.live()) == {"c1", "c2", "c3"}, "nothing of it is applied"
    shown = run("approve", "shop", "--show").stdout
    assert "c1 would be deleted" in shown and "c2 would be deleted" in shown and "c3 would" not in shown
    assert run("approve", "shop", "--revision", "main@sha1:0", check=False).returncode == 1
    run("approve", "shop", "--revision", held)
    shop.wait_applied()
    wait_for(lambda: set(shop.live()) == {"c3", "new", "last"}, what="the approved commit")


def test_what_is_approved_is_a_list_and_no_other_that_the_revision_comes_to_delete(repository, moored, run):
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}") for n in range(4)} |
                      {"some/0.yaml": config_map("c0"), "other/0.yaml": config_map("other")})
    shop = moored(repository, pruneLimit="25%")
    shop.wait_applied()
    shop.path = "some"
    shop.make_application()
    shop.wait_not_ready("c3", reason="Held")
    held = shop.status()["held"]
    assert held["deletes"] == 3 and held["revision"] == repository.revision()
    assert f"--list {held['list']}" in run("approve", "shop", "--show").stderr
    shop.path = "other"  # of the same revision
    shop.make_application()
    wait_for(lambda: shop.status().get("held", {}).get("deletes") == 4, what="another list")
    missed = run("approve", "shop", "--list", held["list"], check=False)
    assert missed.returncode == 1 and "not the list" in missed.stderr
    annotations = {"gitmoor.io/approved-revision": f"{held['revision']} {held['list']}"}
    shop.api.patch("Application", shop.namespace, "shop", {"metadata": {"annotations": annotations}}, manager="e2e")
    shop.path = "some"
    shop.make_application()
    shop.wait_applied()
    assert set(shop.live()) == {"c0"} and "held" not in shop.status()
    shop.path = "other"
    shop.make_application()
    shop.wait_not_ready("c0", reason="Held")


def test_a_namespace_in_the_place_of_another_does_not_save_it(repository, moored, api, namespace):
    def spaces(*names):
        return {"deploy/n.yaml": "---\n".join(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}-{name}}}\n" for name in names)}

    repository.commit(spaces("a") | {"deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_applied()
    shop.push(spaces("b"))
    shop.wait_not_ready("every Namespace", f"Namespace {namespace}-a", reason="Held")
    assert api.get("Namespace", None, f"{namespace}-b") is None
    shop.push(spaces("a", "b"))
    shop.wait_applied()


def test_approved_and_killed_on_the_way_it_goes_on(repository, moored, run, gitmoor):
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}") for n in range(6)})
    shop = moored(repository, pruneLimit=1, protection="Off")
    shop.wait_applied()
    shop.push({f"deploy/{n}.yaml": None for n in range(5)})
    shop.wait_not_ready(reason="Held")
    gitmoor.kill("applier")
    run("approve", "shop")
    wait_for(lambda: shop.status()["held"].get("approved"), what="the approval on record")
    gitmoor.kill("differ")
    shop.api.delete("ConfigMap", shop.namespace, "c0")  # a part of the list
    gitmoor.start_one("differ")
    gitmoor.start_one("applier")
    shop.wait_applied(timeout=60)
    assert set(shop.live()) == {"c5"} and "held" not in shop.status()


@pytest.mark.parametrize("limit", ["-1", "101%", "half", -1])
def test_a_limit_that_cannot_be_is_refused_by_the_api(repository, moored, limit):
    repository.commit({"deploy/a.yaml": config_map("a")})
    with pytest.raises(ApiError) as refused:
        moored(repository, pruneLimit=limit)
    assert "pruneLimit" in str(refused.value)


@pytest.mark.parametrize("timeout", ["0s", "0.0h0m", "999ms", "-5m", "9999999999h"])
def test_a_health_timeout_that_would_roll_every_commit_back_is_refused_by_the_api(repository, moored, timeout):
    repository.commit({"deploy/a.yaml": config_map("a")})
    with pytest.raises(ApiError) as refused:
        moored(repository, health={"timeout": timeout})
    assert "spec.health.timeout" in str(refused.value)
    moored(repository, health={"timeout": "1s"}).wait_applied()


@pytest.mark.parametrize("duration", ["0s", "59s", "8785h"])
def test_a_sync_window_that_is_too_short_or_too_long_is_refused_by_the_api(repository, moored, duration):
    with pytest.raises(ApiError) as refused:
        moored(repository, syncWindows=[{"kind": "Deny", "schedule": "* * * * *", "duration": duration}])
    assert "from 1m to 8784h" in str(refused.value)
