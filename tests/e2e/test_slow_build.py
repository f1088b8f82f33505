"""What takes its time to render holds up nobody else: not the plain manifests of the same commit, nor those of the next, nor other
repositories. And what follows from another application not declaring an object waits until that is known (ADR 17)."""
import os
import signal
import time
from pathlib import Path

import pytest

from harness.generators import slow_build
from harness.mooring import config_map
from harness.waiting import allowance, stretch, wait_for
from test_differ import uid

RENDERS = "gitmoor_differ_renders_total"
SLOW = {"generator": {"name": "slow"}}


def seconds():
    """Longer than a plain commit takes to be live here and now, and within --build-timeout."""
    return min(20.0, 3 * stretch())


@pytest.fixture
def pair(repository, moored):
    """Two applications of one repository, both applied: plain manifests, and what a slow generator makes. pair(files) moors them."""
    def make(files=None, **spec):
        repository.commit({"plain/README.md": "", "plain/a.yaml": config_map("a", step="0"),
                           "slow/build.json": slow_build(0, s={"step": "0"}), **(files or {})})
        plain = moored(repository, path="plain", **spec)
        slow = plain.beside("slow", "slow", render=SLOW)
        plain.wait_applied()
        slow.wait_applied()
        made.append(slow)
        return plain, slow
    made = []
    yield make
    for slow in made:
        slow.remove()


def test_a_plain_application_is_live_while_another_of_its_commit_is_being_built(pair, gitmoor):
    plain, slow = pair()
    first = plain.push({"plain/a.yaml": config_map("a", step="1"), "slow/build.json": slow_build(seconds(), s={"step": "1"})})
    began = time.monotonic()
    wait_for(lambda: plain.config_map("a") == {"step": "1"}, every=0.01, what="the plain one is live")
    assert time.monotonic() - began < allowance(1)
    plain.wait_applied()
    assert slow.config_map("s") == {"step": "0"}, "that one is still being built"
    before = gitmoor.metric("differ", RENDERS, 'result="rendered"')
    plain.push({"plain/a.yaml": config_map("a", step="2")})
    plain.wait_applied()
    assert slow.config_map("s") == {"step": "0"}, "nor does the next commit wait for it"
    wait_for(lambda: slow.config_map("s") == {"step": "1"}, what="the slow one too")
    slow.wait_applied(first)
    assert gitmoor.metric("differ", RENDERS, 'result="rendered"') - before == 2, "the next commit is none of its: built once"


def test_an_object_that_moves_to_what_is_being_built_is_not_deleted_meanwhile(pair, api, namespace):
    plain, slow = pair({"plain/m.yaml": config_map("m", by="plain"), "plain/gone.yaml": config_map("gone")})
    before = uid(api, namespace, "m")
    plain.push({"plain/a.yaml": config_map("a", step="1"), "plain/m.yaml": None, "plain/gone.yaml": None,
                "slow/build.json": slow_build(seconds(), s={"step": "1"}, m={"by": "slow"})})
    told = wait_for(lambda: plain.condition() if "declares no more" in plain.condition().get("message", "") else None,
                    what="it tells what it waits for")
    assert told["status"] == "Unknown" and f"2 objects that it declares no more are deleted once application {namespace}/slow" in told["message"]
    assert plain.config_map("a") == {"step": "1"}, "the rest does not wait"
    plain.wait_applied()
    slow.wait_applied()
    wait_for(lambda: slow.live() == {"s": {"step": "1"}, "m": {"by": "slow"}}, what="it belongs to the other")
    assert uid(api, namespace, "m") == before and uid(api, namespace, "gone") is None


def test_an_object_that_moves_from_what_is_being_built_is_no_conflict_meanwhile(pair, repository, api, namespace):
    plain, slow = pair({"slow/build.json": slow_build(0, s={"step": "0"}, m={"by": "slow"})})
    before = uid(api, namespace, "m")
    plain.push({"plain/m.yaml": config_map("m", by="plain"), "slow/build.json": slow_build(seconds(), s={"step": "1"})})
    wait_for(lambda: f"waiting for application {namespace}/slow to be rendered" in plain.condition().get("message", ""), what="it waits")
    assert plain.condition()["status"] == "Unknown"
    slow.wait_applied()
    plain.wait_applied()
    wait_for(lambda: plain.live() == {"a": {"step": "0"}, "m": {"by": "plain"}}, what="it is handed over")
    assert uid(api, namespace, "m") == before
    assert not [event for event in plain.events() if "declares it too" in event[2]], "nobody was told of a conflict"


def test_a_conflict_is_told_once_it_is_one(pair, namespace):
    plain, slow = pair()
    plain.push({"plain/s.yaml": config_map("s", by="plain"), "slow/build.json": slow_build(seconds(), s={"step": "1"})})
    wait_for(lambda: f"waiting for application {namespace}/slow" in plain.condition().get("message", ""), what="it may be one")
    plain.wait_not_ready("ConfigMap", f"{namespace}/slow declares it too", reason="Invalid")
    slow.wait_applied()
    assert slow.config_map("s") == {"step": "1"}
    plain.push({"plain/s.yaml": None, "slow/build.json": slow_build(0, s={"step": "2"}, a={"by": "slow"})})
    slow.wait_not_ready(f"{namespace}/shop declares it too", reason="Invalid")
    plain.wait_applied()
    assert plain.config_map("a") == {"step": "0"}


def test_all_that_an_application_has_may_move_without_being_held(pair, api, namespace):
    plain, slow = pair()
    before = uid(api, namespace, "a")
    plain.push({"plain/a.yaml": None, "slow/build.json": slow_build(seconds(), s={"step": "1"}, a={"by": "slow"})})
    wait_for(lambda: "it would be held" in plain.condition().get("message", ""), what="it waits")
    assert plain.condition()["status"] == "Unknown"
    slow.wait_applied()
    plain.wait_applied()
    assert slow.config_map("a") == {"by": "slow"} and uid(api, namespace, "a") == before
    assert not [event for event in plain.events() if event[1] == "Held"]


def test_what_depends_on_it_waits_for_it(repository, pair):
    plain, slow = pair(dependsOn=[{"name": "slow"}])
    plain.push({"plain/a.yaml": config_map("a", step="1"), "slow/build.json": slow_build(seconds(), s={"step": "1"})})
    plain.wait_not_ready("slow", "is not ready", reason="DependencyNotReady")
    assert plain.config_map("a") == {"step": "0"} and slow.config_map("s") == {"step": "0"}
    plain.wait_applied()
    assert slow.config_map("s") == {"step": "1"}


# ------------------------------------------------------------------------------- several repositories, and what fails

def of_slow_builds(make_repository, moored, name, count):
    """A repository of so many applications that take a second each; not yet fetched."""
    repository = make_repository()
    repository.commit({f"{n}/build.json": slow_build(1, times=True, **{f"{name}-{n}": {}}) for n in range(count)})
    first = moored(repository, name=f"{name}-0", path="0", render=SLOW)
    return [first] + [first.beside(f"{name}-{n}", str(n), render=SLOW) for n in range(1, count)]


def spans(applications):
    """When each was built: (began, ended), in the order of applications."""
    found = [application.config_map(application.name) for application in applications]
    return all(found) and [(float(data["began"]), float(data["ended"])) for data in found]


def test_two_builds_run_at_once_whoever_wants_them_and_repositories_take_turns(make_repository, moored):
    many = of_slow_builds(make_repository, moored, "many", 6)
    wait_for(lambda: any(spans([application]) for application in many), every=0.02, what="the first of many is built")
    few = of_slow_builds(make_repository, moored, "few", 2)
    built = wait_for(lambda: spans(many + few), timeout=60, what="all are built")
    for began, _ in built:
        assert sum(start <= began < end for start, end in built) <= 2, f"more than --builds at once: {built}"
    assert min(built[6:])[0] < max(built[:6])[0], f"the few wait for one build, not for all: {built}"
    for application in many[1:] + few[1:]:
        application.remove()


def children(pid):
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_worker_that_is_killed_in_mid_answer_is_begun_again(pair, gitmoor, api, namespace):
    plain, slow = pair({"plain/m.yaml": config_map("m", by="plain")})
    before = uid(api, namespace, "m")
    plain.push({"plain/a.yaml": config_map("a", step="1"), "plain/m.yaml": None,
                "slow/build.json": slow_build(seconds(), s={"step": "1"}, m={"by": "slow"})})
    wait_for(lambda: plain.config_map("a") == {"step": "1"}, what="the plain one is live")
    worker = wait_for(lambda: children(gitmoor.processes["differ"].pid), every=0.01, what="the worker that builds")[0]
    os.kill(worker, signal.SIGKILL)
    slow.wait_not_ready("died of signal 9", reason="RenderFailed")
    assert uid(api, namespace, "m") == before, "nothing half of it is taken for the whole"
    slow.wait_applied()
    plain.wait_applied()
    assert slow.config_map("m") == {"by": "slow"} and uid(api, namespace, "m") == before
