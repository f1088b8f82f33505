"""The differ and the applier are killed with SIGKILL at each step of a rollback: it is finished all the same, told once, and nothing
of the revision that was left stays. The instants are exact: a proxy before the API server kills as the request passes.

GITMOOR_ROLLBACK_KILLS=all runs the whole table (scripts/test fail), the default is a part of it."""
import os
import secrets

import pytest

from harness.mooring import Mooring, config_map
from harness.proxy import Fault
from harness.repository import Repository
from harness.waiting import wait_for
from test_rollback import image_of, release, wait_rolled_back

DEPLOYMENT, NEW, CHANGED = "/deployments/web", "/configmaps/new", "/configmaps/c"
# Who is killed at which write of the rollback, before (False) or after (True) the API server has executed it.
TABLE = [(who, method, path, executed) for method, path in (("PATCH", "/applications/back/status"), ("PATCH", DEPLOYMENT),
                                                            ("PATCH", CHANGED), ("DELETE", NEW))
         for who in ("differ", "applier", "differ applier") for executed in (False, True)]
SOME = [("differ", "PATCH", "/applications/back/status", True), ("differ applier", "PATCH", DEPLOYMENT, True), ("applier", "DELETE", NEW, False)]


@pytest.fixture(scope="module")
def back(shaky, git_server, tmp_path_factory):
    """An application behind the proxy that rolls back; healthy at its first revision."""
    repository = Repository.create(git_server, tmp_path_factory.mktemp("back"), f"back-{secrets.token_hex(3)}")
    repository.commit(release("v1"))
    made = Mooring(shaky.cluster, shaky.cluster.new_namespace("back"), repository, name="back", rollback={"onFailure": True}).make()
    made.wait_applied(timeout=60)
    made.good, made.number = repository.revision(), 0
    yield made
    made.remove()


@pytest.mark.parametrize("victims, method, path, executed", TABLE if os.environ.get("GITMOOR_ROLLBACK_KILLS") == "all" else SOME)
def test_a_rollback_is_finished_whoever_is_killed(back, shaky, victims, method, path, executed):
    moor, dead = shaky.moor, []

    def kill():
        for victim in victims.split():
            moor.kill(victim)
        dead.extend(victims.split())

    def is_left():
        return image_of(back) == "broken" and back.config_map("new") is not None

    back.number += 1
    bad = back.push(release("broken", deadline=4, number=str(back.number)) | {"deploy/new.yaml": config_map("new")})
    wait_for(is_left, what="the bad revision in force")
    wait_for(lambda: (back.condition() or {}).get("reason") == "Progressing", what="it waits for health")
    shaky.proxy.faults.append(Fault(method=method, path=path, but="dryRun", executed=executed, act=kill, times=1))
    try:
        wait_for(lambda: dead, timeout=60, what=f"{method} {path}: {back.status()}")
        for victim in dead:
            moor.start_one(victim, wait=False)
        wait_rolled_back(back, bad, back.good, timeout=90)
    finally:
        shaky.proxy.faults.clear()
    wait_for(lambda: image_of(back) == "v1" and back.live() == {"c": {"image": "v1"}}, what="the earlier revision, and nothing else")
    assert back.status()["rollback"]["from"] == bad
    wait_for(lambda: (back.condition("Healthy") or {}).get("status") == "True", what="healthy")
