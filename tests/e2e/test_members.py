"""Several replicas of each process share the work by Leases: each repository and application is somebody's, and one's only.

One fleet for the whole file: 40 repositories in namespaces of their own, 100 applications of one ConfigMap each.
"""
import json
import time

import pytest

from harness import sample
from harness.api import ApiError, now_rfc3339
from harness.cluster import Cluster
from harness.fleet import Fleet
from harness.mooring import config_map
from harness.shops import APPLICATIONS, REPOSITORIES, Shops
from harness.waiting import allowance, wait_for

LEASE_SECONDS = 15
ROLES = ("fetcher", "differ", "applier")
# What is somebody's share, as a gauge of each replica.
SHARES = {"fetcher": ("gitmoor_fetcher_repositories", REPOSITORIES), "differ": ("gitmoor_differ_applications", APPLICATIONS)}


@pytest.fixture(scope="module")
def members_cluster(scratch):
    with Cluster(scratch / "members") as running:
        yield running


@pytest.fixture(scope="module")
def fleet(members_cluster, scratch):
    running = Fleet(members_cluster, scratch / "fleet")
    try:
        yield running
        running.stop()
        assert not running.leases(), "each has given its Lease back"
    finally:
        for process in running.processes.values():
            process.kill()


@pytest.fixture(scope="module")
def shops(fleet, members_cluster, git_server, tmp_path_factory):
    made = Shops(members_cluster, git_server, tmp_path_factory.mktemp("shops"))
    yield made
    made.stop()


def shared(fleet, role, every=True):
    """Whether the shares of a role are a partition, and nobody has none."""
    metric, whole = SHARES[role]
    parts = fleet.each(role, metric)
    assert sum(parts.values()) == whole, f"the shares are {parts}"
    return not every or all(part > 0 for part in parts.values())


def work(fleet):
    """What has been done so far, by the replicas that run."""
    return {"fetches": fleet.total("fetcher", "gitmoor_fetcher_fetches_total"),
            "renders": fleet.total("differ", "gitmoor_differ_renders_total", 'result="rendered"'),
            "plans": fleet.total("differ", "gitmoor_differ_plans_total"),
            "executed": fleet.total("applier", "gitmoor_applier_plans_total")}


def test_work_is_shared_and_nothing_is_done_twice(fleet, shops):
    for role in (*ROLES, *ROLES, "admission"):
        fleet.add(role)
    shops.make()
    shops.wait_landed(90)
    for role in SHARES:
        assert shared(fleet, role)
    assert all(fleet.each("applier", "gitmoor_applier_plans_total").values()), "both appliers have work"
    once = {"fetches": REPOSITORIES, "renders": APPLICATIONS, "plans": APPLICATIONS, "executed": APPLICATIONS}
    assert work(fleet) == once
    shops.commit()
    shops.wait_landed()
    assert work(fleet) == {name: 2 * count for name, count in once.items()}


def test_drift_is_repaired_by_the_owner_alone(fleet, shops):
    repairs = fleet.total("differ", "gitmoor_differ_drift_repairs_total")
    for number in range(6):
        shops.repair(number)
    wait_for(lambda: fleet.total("differ", "gitmoor_differ_drift_repairs_total") == repairs + 6, what="six repairs, no more")
    shops.check_history()


def test_admission_reports_to_the_owner(fleet, shops):
    """The one differ that has the application tells of it; the others hear nothing."""
    for number in range(4):
        shops.api.apply(sample.application(f"m{number}", "a0", "shops", "deploy/0", protection="Enforce"))

        def refused(namespace=f"m{number}"):
            try:
                shops.api.patch("ConfigMap", namespace, "c0", {"data": {"step": "by hand"}})
            except ApiError as error:
                return "gitmoor" in str(error)
            return False

        wait_for(refused, 15, what="the edit to be refused", every=0.3)
        wait_for(lambda namespace=f"m{number}": any(reason == "EditRefused" for _, reason, _ in shops.api.events(namespace, "a0")), 10,
                 "an Event of the owner")
        shops.api.apply(sample.application(f"m{number}", "a0", "shops", "deploy/0", protection="Off"))
    assert fleet.metric(fleet.of("admission")[0], "gitmoor_admission_reports_lost_total") == 0


def test_an_object_moves_between_applications_of_a_repository_unharmed(fleet, shops):
    """They are with one differ, whichever that is, so that it knows that the object is still declared."""
    moving = config_map("moving", step="0")
    shops.commit({"deploy/0/moving.yaml": moving}, only=range(8))
    shops.wait_landed(only=range(8))
    before = {number: shops.api.get("ConfigMap", f"m{number}", "moving")["metadata"]["uid"] for number in range(8)}
    shops.commit({"deploy/0/moving.yaml": None, "deploy/1/moving.yaml": moving}, only=range(8))
    shops.wait_landed(only=range(8))
    for number, uid in before.items():
        live = shops.api.get("ConfigMap", f"m{number}", "moving")["metadata"]
        assert (live["uid"], live["labels"]["gitmoor.io/managed-by"]) == (uid, f"m{number}.a1")
    shops.commit({"deploy/1/moving.yaml": None})
    shops.wait_landed()
    shops.forget("moving")


def test_shares_of_killed_replicas_move_within_one_lease(fleet, shops):
    victims = [fleet.of(role)[0] for role in ROLES]
    start = time.monotonic()
    for victim in victims:
        fleet.kill(victim)
    shops.commit()
    for role in SHARES:
        wait_for(lambda role=role: shared(fleet, role), LEASE_SECONDS + 5, f"the share of the dead {role} has moved", every=0.2)
    took = time.monotonic() - start
    shops.wait_landed(15)
    print(f"moved after {took:.1f} s, landed after {time.monotonic() - start:.1f} s")
    assert max(shops.repair(number) for number in range(6)) < allowance(5)
    shops.check_history()


def test_an_heir_knows_what_is_applied_and_does_not_apply_it_again(fleet, shops):
    """All applications of a differ that runs are new to another that runs, which has seen their objects before their text."""
    shops.wait_landed()
    fleet.add("differ")
    wait_for(lambda: shared(fleet, "differ"), 10, "the new differ has a share")
    plans = fleet.total("applier", "gitmoor_applier_plans_total")
    fleet.remove(fleet.of("differ")[:-1])
    wait_for(lambda: fleet.total("differ", "gitmoor_differ_applications", 'state="applied"') == APPLICATIONS, 30,
             "the heir to know that everything is applied")
    assert fleet.total("applier", "gitmoor_applier_plans_total") == plans
    assert max(shops.repair(number) for number in range(4)) < allowance(5)
    fleet.add("differ")
    wait_for(lambda: shared(fleet, "differ"), 10, "two shares again")


def test_shares_of_stopped_replicas_move_at_once(fleet, shops):
    wait_for(lambda: set(fleet.leases()) == set(fleet.processes), 5, "the Leases of the dead to be deleted")
    for role in ROLES:
        old = fleet.of(role)
        fleet.add(role)
        if role in SHARES:
            wait_for(lambda role=role: shared(fleet, role), 10, f"the new {role} has a share")
        start = time.monotonic()
        fleet.remove(old)
        if role in SHARES:
            wait_for(lambda role=role: shared(fleet, role), LEASE_SECONDS - 3, f"the share of the stopped {role} has moved", exact=True)
        print(f"{role}: moved {time.monotonic() - start:.1f} s after SIGTERM")
    shops.commit()
    shops.wait_landed()
    assert max(shops.repair(number) for number in range(4)) < allowance(5)


@pytest.mark.parametrize("role", ROLES)
def test_scaling_from_one_to_four_and_back(fleet, shops, role):
    """Commits arrive while replicas come and go."""
    more, half = fleet.add(role, 3), range(0, REPOSITORIES, 2)
    shops.commit(only=half)
    if role in SHARES:
        wait_for(lambda: shared(fleet, role), 10, "four shares")
    shops.wait_landed(only=half)
    if role != "fetcher":
        worked = "gitmoor_differ_plans_total" if role == "differ" else "gitmoor_applier_plans_total"
        assert all(count > 0 for count in fleet.each(role, worked).values()), "all four have worked"
    shops.commit()
    fleet.remove(more)
    shops.wait_landed()
    if role in SHARES:
        assert shared(fleet, role)
    assert shops.repair(0) < allowance(5)
    shops.check_history()


def test_an_object_that_two_repositories_declare_is_not_fought_over(fleet, shops):
    """Whoever has it keeps it, though another differ has the other one; when it lets go, the other one makes it anew."""
    fleet.add("differ", 3)
    wait_for(lambda: shared(fleet, "differ"), 10, "four shares")
    contested = config_map("contested", namespace="m0", step="0")
    shops.commit({"deploy/0/contested.yaml": contested}, only=[0])
    shops.wait_landed(only=[0])
    uid = shops.api.get("ConfigMap", "m0", "contested")["metadata"]["uid"]
    shops.commit(only=range(1, 9))
    for number in range(1, 9):
        wait_for(lambda number=number: "m0/a0" in json.dumps(shops.api.get("Application", f"m{number}", "a0")["status"]), 15,
                 f"m{number}/a0 says who has it")
    live = shops.api.get("ConfigMap", "m0", "contested")["metadata"]
    assert (live["uid"], live["labels"]["gitmoor.io/managed-by"]) == (uid, "m0.a0")
    assert shops.seen["m0/contested"] == ["0"], "written once"
    shops.commit({"deploy/0/contested.yaml": None}, only=range(9))
    shops.wait_landed(only=range(9))
    shops.forget("contested")


def test_nothing_was_lost(fleet, shops):
    shops.commit()
    shops.wait_landed()
    assert shops.live() == shops.expected()
    assert not shops.deleted
    shops.check_history()


def test_an_outage_of_the_api_server_moves_nothing(fleet, members_cluster):
    """The last one. It is longer than a Lease lasts, but since nobody can renew, nobody is dead."""
    def leaving():
        return {name: process.log.read_text().count('"peer left"') for name, process in fleet.processes.items()}

    parts, done, left = {role: fleet.each(role, SHARES[role][0]) for role in SHARES}, work(fleet), leaving()
    members_cluster.restart_server(down=LEASE_SECONDS + 1)
    back = now_rfc3339()
    wait_for(lambda: all(renewed > back for renewed in fleet.leases().values()), 15, "each replica to have renewed its Lease")
    assert {role: fleet.each(role, SHARES[role][0]) for role in SHARES} == parts
    assert work(fleet) == done and leaving() == left
