"""The differ and the applier are killed with SIGKILL at each step of running hooks: each hook runs once for each revision, neither
twice nor not at all. The instants are exact: a proxy before the API server kills as the request passes.

GITMOOR_HOOK_KILLS=all runs the whole table (scripts/test fail), the default is a part of it."""
import collections
import os
import secrets

import pytest

from harness.follow import Follow
from harness.mooring import Mooring, config_map
from harness.proxy import Fault
from harness.repository import Repository
from harness.waiting import wait_for
from test_hooks import job

STATUS, JOBS = "/applications/hooked/status", "/jobs/"
# Who is killed at which request: the so-manieth of the commit that matches, before (False) or after (True) the API server has executed it.
TABLE = [
    # The record of the attempt, the end of the first hook, of the second, …: the differ's writes of the status.
    ("differ", "PATCH", STATUS, 0, False), ("differ", "PATCH", STATUS, 0, True),
    ("differ", "PATCH", STATUS, 1, False), ("differ", "PATCH", STATUS, 1, True),
    ("differ", "PATCH", STATUS, 2, False), ("differ", "PATCH", STATUS, 2, True),
    ("differ", "PATCH", STATUS, 3, True), ("differ", "PATCH", STATUS, 4, True),
    # The hooks and what is between them: the applier's writes.
    *[(who, "PATCH", path, 0, executed) for path in (JOBS + "first", JOBS + "second", "/configmaps/c", JOBS + "smoke")
      for who in ("differ", "applier", "differ applier") for executed in (False, True)],
    # What is deleted: the Job of the revision before, and the one that is not to stay.
    *[(who, "DELETE", JOBS + name, 0, executed) for name in ("first", "second") for who in ("differ", "applier", "differ applier")
      for executed in (False, True)],
]
SOME = [("differ", "PATCH", STATUS, 1, True), ("differ applier", "PATCH", JOBS + "first", 0, True),
        ("differ", "DELETE", JOBS + "second", 0, True)]


@pytest.fixture(scope="module")
def hooked(shaky, git_server, tmp_path_factory):
    """An application with hooks behind the proxy; .seen: (hook, run) -> UIDs of the Jobs that there have been."""
    repository = Repository.create(git_server, tmp_path_factory.mktemp("hooked"), f"hooked-{secrets.token_hex(3)}")
    repository.commit(files(0))
    made = Mooring(shaky.cluster, shaky.cluster.new_namespace("hooked"), repository, name="hooked").make()
    made.seen = collections.defaultdict(set)

    def take(_, found):
        meta = found["metadata"]
        made.seen[(meta["name"], meta.get("annotations", {}).get("gitmoor.io/hook-run"))].add(meta["uid"])

    follow = Follow(made.api, f"/apis/batch/v1/namespaces/{made.namespace}/jobs", take)
    made.wait_applied(timeout=60)
    made.number = 0
    yield made
    follow.stop()
    made.remove()


def files(number):
    """A revision with three hooks: `first` stays until the next, `second` is deleted when it has succeeded, `smoke` comes last."""
    text = str(number)
    return {"deploy/first.yaml": job("first", "before", args=text),
            "deploy/second.yaml": job("second", "before", args=text, wave="1", hook_delete_policy="succeeded"),
            "deploy/smoke.yaml": job("smoke", "after", args=text), "deploy/c.yaml": config_map("c", step=text)}


@pytest.mark.parametrize("victims, method, path, skip, executed", TABLE if os.environ.get("GITMOOR_HOOK_KILLS") == "all" else SOME)
def test_each_hook_runs_once_whoever_is_killed(hooked, shaky, victims, method, path, skip, executed):
    moor, dead = shaky.moor, []

    def kill():
        for victim in victims.split():
            moor.kill(victim)
        dead.extend(victims.split())

    hooked.seen.clear()
    hooked.number += 1
    fault = Fault(method=method, path=path, but="dryRun", skip=skip, executed=executed, act=kill, times=1)
    shaky.proxy.faults.append(fault)
    try:
        hooked.push(files(hooked.number))
        wait_for(lambda: dead, timeout=60, what=f"{method} {path}: {hooked.status()}")
        for victim in dead:
            moor.start_one(victim, wait=False)
        hooked.wait_applied(timeout=90)
    finally:
        shaky.proxy.faults.clear()
    assert hooked.config_map("c") == {"step": str(hooked.number)}
    results = {run["name"]: run["result"] for run in hooked.status()["hooks"]["runs"]}
    assert results == {"first": "Succeeded", "second": "Succeeded", "smoke": "Succeeded"}
    run = hooked.status()["hooks"]["run"]
    ours = {key: uids for key, uids in hooked.seen.items() if key[1] and key[1].startswith(run)}
    assert {key[0] for key in ours} == {"first", "second", "smoke"} and all(len(uids) == 1 for uids in ours.values()), hooked.seen
    others = {key for key in hooked.seen if key not in ours and key[1] and not key[1].startswith(run)}
    assert len({key[1].split(".")[0] for key in others}) <= 1, "no other attempt but the one before"
