"""Sync windows: what waits, what goes on, and how it is let go."""
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from harness import paths
from harness.api import condition
from harness.mooring import config_map
from harness.waiting import wait_for

CLOSED = {"kind": "Deny", "schedule": "* * * * *", "duration": "5m"}  # never opens
EDIT = {"data": {"step": "edited"}}


def closed_for(seconds):
    """A window of kind Deny that is open now and ends then; and that end."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    begin = now.replace(second=0) - timedelta(minutes=1)
    end = now + timedelta(seconds=seconds)
    return {"kind": "Deny", "schedule": f"{begin.minute} {begin.hour} {begin.day} {begin.month} *",
            "duration": f"{int((end - begin).total_seconds())}s"}, end


def instant(text):
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)


@pytest.fixture
def run(cluster, namespace):
    def gitmoor(*arguments):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "-n", namespace, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60)
    return gitmoor


@pytest.fixture
def shop(repository, moored):
    """Applied, and closed from then on."""
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}", step="0") for n in range(3)} | {"other/o.yaml": config_map("o")})
    mooring = moored(repository, protection="Off", health={"timeout": "60s"})
    mooring.wait_applied()
    mooring.set(syncWindows=[CLOSED])
    mooring.wait_applied()
    return mooring


def steps(shop):
    return {name: data.get("step") for name, data in shop.live().items()}


def wait_waiting(shop, revision, changed, pruned=0):
    def waits():
        told = shop.status().get("syncWindow", {})
        ready = shop.condition()
        return ready if (told.get("revision"), told.get("changed"), told.get("pruned")) == (revision, changed, pruned) and \
            ready["reason"] == "SyncWindowClosed" and ready["status"] == "False" else None
    return wait_for(waits, 30, f"{revision} waits: {shop.status()}")


def test_in_a_closed_window_a_revision_waits_and_what_is_applied_is_kept(shop, run):
    assert run("sync", "shop").returncode == 1, "nothing waits"
    applied = shop.status()["lastAppliedRevision"]
    waiting = shop.push({"deploy/0.yaml": config_map("c0", step="1"), "deploy/2.yaml": None, "deploy/new.yaml": config_map("new")})
    ready = wait_waiting(shop, waiting, changed=2, pruned=1)
    assert waiting in ready["message"] and "gitmoor sync shop" in ready["message"] and "accepts" in ready["message"]
    assert condition(shop.application(), "Reconciling")["status"] == "True"
    shop.wait_event("Normal", "SyncWindowClosed", waiting)
    for name in ("c0", "c1"):  # the first is what the waiting revision changes
        shop.api.patch("ConfigMap", shop.namespace, name, EDIT, manager="someone")
    wait_for(lambda: steps(shop) == {"c0": "0", "c1": "0", "c2": "0"}, what="what is applied, repaired")
    assert shop.status()["lastAppliedRevision"] == applied
    assert run("sync", "shop", "--revision", "main@sha1:0").returncode == 1, "another waits"
    assert run("sync", "shop").returncode == 0
    wait_for(lambda: steps(shop) == {"c0": "1", "c1": "0", "new": None}, what="the revision, by hand")
    shop.wait_applied()
    assert "syncWindow" not in shop.status()
    wait_waiting(shop, shop.push({"deploy/0.yaml": config_map("c0", step="2")}), changed=1)
    assert steps(shop)["c0"] == "1", "the override is for one revision"


def test_a_revision_that_the_server_refuses_is_told_before_the_window_opens(shop):
    shop.push({"deploy/bad.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name}\n"})
    shop.wait_not_ready("Bad_Name", "deploy/bad.yaml", reason="Invalid")
    wait_waiting(shop, shop.push({"deploy/bad.yaml": config_map("good")}), changed=1)
    assert shop.config_map("good") is None
    shop.push({"deploy/bad.yaml": "kind: ConfigMap\n"})
    shop.wait_not_ready("deploy/bad.yaml", reason="Invalid")
    shop.api.patch("ConfigMap", shop.namespace, "c0", EDIT, manager="someone")
    wait_for(lambda: steps(shop)["c0"] == "0", what="repaired meanwhile")


def test_a_commit_that_changes_nothing_of_the_application_does_not_wait(shop):
    shop.push({"other/o.yaml": config_map("o", step="1"), "deploy/README.md": "words\n"})
    shop.wait_applied(shop.status()["lastAppliedRevision"])
    shop.push({"deploy/0.yaml": "# words\n" + config_map("c0", step="0")})
    shop.wait_applied()


def test_it_is_applied_when_the_window_opens_and_not_before(shop):
    window, end = closed_for(3600)
    shop.set(syncWindows=[window])
    revision = shop.push({"deploy/0.yaml": config_map("c0", step="1")})
    wait_waiting(shop, revision, changed=1)
    assert instant(shop.status()["syncWindow"]["opensAt"]) == end
    window, end = closed_for(3)
    shop.set(syncWindows=[window])
    shop.wait_applied(timeout=60)
    assert instant(shop.status()["history"][0]["appliedAt"]) >= end and steps(shop)["c0"] == "1"


@pytest.mark.parametrize("edited", ["c0", "c1"])
def test_after_a_restart_it_still_waits_and_what_is_applied_is_repaired(shop, gitmoor, edited):
    waiting = shop.push({"deploy/0.yaml": config_map("c0", step="1"), "deploy/2.yaml": None})
    wait_waiting(shop, waiting, changed=1, pruned=1)
    gitmoor.kill("differ")
    shop.api.patch("ConfigMap", shop.namespace, edited, EDIT, manager="someone")
    gitmoor.start_one("differ")
    wait_for(lambda: steps(shop) == {"c0": "0", "c1": "0", "c2": "0"}, 60, what="as applied")
    wait_waiting(shop, waiting, changed=1, pruned=1)
    shop.set(syncWindows=[])
    shop.wait_applied(timeout=60)
    assert steps(shop) == {"c0": "1", "c1": "0"}


def test_after_a_restart_with_nothing_new_it_is_ready(shop, gitmoor):
    shop.push({"other/o.yaml": config_map("o", step="1")})
    shop.beside("other", "other").wait_applied()
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    shop.api.patch("ConfigMap", shop.namespace, "c0", EDIT, manager="someone")
    wait_for(lambda: steps(shop)["c0"] == "0" and shop.condition()["status"] == "True", 60, what="repaired and ready")
    assert "syncWindow" not in shop.status()


def test_drift_waits_too_where_the_window_says_so(shop):
    window, _ = closed_for(3600)
    shop.set(syncWindows=[CLOSED, window | {"drift": "Wait"}])
    wait_for(lambda: shop.status()["observedGeneration"] == shop.application()["metadata"]["generation"], what="the windows are known")
    shop.api.patch("ConfigMap", shop.namespace, "c0", EDIT, manager="someone")
    wait_for(lambda: shop.condition("Drifted")["reason"] == "SyncWindowClosed", what="drift is told")
    assert steps(shop)["c0"] == "edited"
    window, end = closed_for(3)
    shop.set(syncWindows=[CLOSED, window | {"drift": "Wait"}])
    ended = wait_for(lambda: shop.status()["drift"][0].get("endedAt"), 60, what="repaired once the window for repairs opens")
    assert steps(shop)["c0"] == "0" and instant(ended) >= end


def test_a_changed_spec_waits_too(shop):
    shop.path = "other"
    shop.make_application()
    wait_for(lambda: shop.status().get("syncWindow", {}).get("specChanged"), what="the other path waits")
    assert steps(shop) == {"c0": "0", "c1": "0", "c2": "0"}


def test_a_first_revision_waits_until_a_person_says_so(repository, moored, run):
    repository.commit({"deploy/0.yaml": config_map("c0", step="0")})
    shop = moored(repository, syncWindows=[CLOSED])
    wait_waiting(shop, repository.revision(), changed=1)
    assert shop.live() == {}
    assert run("sync", "shop").returncode == 0
    shop.wait_applied()


def test_a_window_that_cannot_be_understood_is_named_and_nothing_new_is_applied(shop):
    shop.set(syncWindows=[CLOSED | {"schedule": "0 25 * * *"}])
    shop.wait_not_ready("spec.syncWindows[0]", "hour", reason="Invalid")
    shop.push({"deploy/0.yaml": config_map("c0", step="1")})
    shop.set(syncWindows=[CLOSED | {"timeZone": "Europe/Atlantis"}])
    shop.wait_not_ready("spec.syncWindows[0]", "Europe/Atlantis", reason="Invalid")
    assert steps(shop)["c0"] == "0"
    shop.set(syncWindows=[])
    shop.wait_applied()
