"""Several replicas of each process share the work by Leases: each repository and application is somebody's, and one's only.

One fleet for the whole file: 40 repositories in namespaces of their own, 100 applications of one ConfigMap each.
"""
import json
import secrets
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import sample
from harness.api import ApiError, path_of
from harness.cluster import Cluster
from harness.fleet import Fleet
from harness.mooring import config_map
from harness.repository import Repository
from harness.waiting import wait_for

REPOSITORIES = 40
APPLICATIONS = 100
LEASE_SECONDS = 15
ROLES = ("fetcher", "differ", "applier")
# What is somebody's share, as a gauge of each replica.
SHARES = {"fetcher": ("gitmoor_fetcher_repositories", REPOSITORIES), "differ": ("gitmoor_differ_applications", APPLICATIONS)}


def apps_of(number):
    return range(3 if number < APPLICATIONS - 2 * REPOSITORIES else 2)


class Shops:
    """The repositories r0, r1 …, one working copy of them all; what Git declares; what the watch has seen."""

    def __init__(self, cluster, git_server, folder):
        self.cluster, self.api = cluster, cluster.api()
        self.step, self.seen, self.deleted = 0, {}, []
        self.repository = Repository.create(git_server, folder, "shops-0")
        self.repository.commit(self.files())
        self.bare = [Path(self.repository.push_url)]
        for number in range(1, REPOSITORIES):
            self.bare.append(self.bare[0].with_name(f"shops-{number}.git"))
            shutil.copytree(self.bare[0], self.bare[-1])
        self.urls = [git_server.url(f"shops-{number}") for number in range(REPOSITORIES)]
        self.ending = False
        self.watcher = threading.Thread(target=self._watch, daemon=True)

    def files(self):
        return {f"deploy/{app}/c.yaml": config_map(f"c{app}", step=str(self.step)) for app in range(3)}

    def make(self):
        self.watcher.start()
        for number in range(REPOSITORIES):
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"m{number}"}})
            self.api.apply(sample.ca_secret(f"m{number}", "git", self.repository.ca_file))
            self.api.apply(sample.git_repository(f"m{number}", "shops", self.urls[number], secret="git", interval="1h"))
            for app in apps_of(number):
                self.api.apply(sample.application(f"m{number}", f"a{app}", "shops", f"deploy/{app}", protection="Off"))

    def commit(self, files=None, only=None):
        """To all repositories, and a fetch asked for, as a push notification would."""
        self.step += 1
        self.repository.commit({**self.files(), **(files or {})}, push=False)
        for number in range(REPOSITORIES) if only is None else only:
            subprocess.run(["git", "-C", self.repository.folder, "push", "-q", self.bare[number], "HEAD:refs/heads/main"], check=True)
            self.api.patch("GitRepository", f"m{number}", "shops", {
                "metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}})

    def landed(self, only=None):
        """Whether each application has applied the head."""
        revision = self.repository.revision()
        applications = [item for item in self.api.list("Application")
                        if only is None or item["metadata"]["namespace"] in {f"m{number}" for number in only}]
        behind = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in applications
                  if item.get("status", {}).get("lastAppliedRevision") != revision]
        return not behind or AssertionError(f"behind: {len(behind)} {behind[:5]}")

    def wait_landed(self, timeout=30, only=None):
        def landed():
            answer = self.landed(only)
            if answer is not True:
                raise answer
            return True
        wait_for(landed, timeout, f"step {self.step} everywhere", every=0.2)

    def repair(self, number, app=0):
        """Edits as a person does, and returns how long it took until that was gone."""
        start = time.monotonic()
        self.api.patch("ConfigMap", f"m{number}", f"c{app}", {"data": {"step": "by hand"}})
        wait_for(lambda: self.api.get("ConfigMap", f"m{number}", f"c{app}")["data"]["step"] == str(self.step), 25,
                 f"m{number}/c{app} repaired")
        return time.monotonic() - start

    def _watch(self):
        """Each step that each ConfigMap was given, in order."""
        path = path_of("ConfigMap") + "?watch=true&labelSelector=gitmoor.io%2Fmanaged-by"
        connection = self.api.new_connection()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.api.token}"})
        answer = connection.getresponse()
        while not self.ending:
            try:
                line = answer.readline()
            except OSError:
                return
            if not line:
                return
            event = json.loads(line)
            found = event["object"]
            key = f"{found['metadata'].get('namespace')}/{found['metadata'].get('name')}"
            if event["type"] == "DELETED":
                self.deleted.append(key)
            elif event["type"] in ("ADDED", "MODIFIED"):
                self.seen.setdefault(key, []).append(found["data"]["step"])

    def forget(self, name):
        """The ConfigMaps of this name have gone, as they should."""
        for number in range(REPOSITORIES):
            key = f"m{number}/{name}"
            wait_for(lambda key=key: key not in self.seen or key in self.deleted, 10, f"{key} pruned")
            self.seen.pop(key, None)
        self.deleted = [key for key in self.deleted if not key.endswith(f"/{name}")]

    def check_history(self):
        """No step came twice but as a repair, and none after a later one: nothing was applied by two at once."""
        for key, steps in self.seen.items():
            numbers = [int(step) for step in steps if step != "by hand"]
            assert numbers == sorted(numbers), f"{key} went back: {steps}"
            twice = sum(before == after for before, after in zip(numbers, numbers[1:]))
            assert twice <= steps.count("by hand"), f"{key} was written twice: {steps}"


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
    made.ending = True


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
    assert max(shops.repair(number) for number in range(6)) < 5
    shops.check_history()


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
            wait_for(lambda role=role: shared(fleet, role), 3, f"the share of the stopped {role} has moved")
        print(f"{role}: moved {time.monotonic() - start:.1f} s after SIGTERM")
    shops.commit()
    shops.wait_landed()
    assert max(shops.repair(number) for number in range(4)) < 5


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
    assert shops.repair(0) < 5
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
    live = {(item["metadata"]["namespace"], item["metadata"]["name"]): item["data"]["step"]
            for item in shops.api.list("ConfigMap", query="?labelSelector=gitmoor.io%2Fmanaged-by")}
    assert live == {(f"m{number}", f"c{app}"): str(shops.step) for number in range(REPOSITORIES) for app in apps_of(number)}
    assert not shops.deleted
    shops.check_history()
