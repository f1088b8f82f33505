"""Each process alone by `kubectl scale` 1 → 4 → 1, and one of four lost as with its node, while commits arrive and edits are refused.

Counted, not supposed: what was fetched by the Git server, what was written by the API server, what was rendered and planned by the
logs of all Pods, dead ones too (ledger.py). GITMOOR_SCALE=REPOSITORIES,APPLICATIONS,OBJECTS sets the size; 100,400,10000 is the issue's.
"""
import contextlib
import os
import signal
import statistics
import threading
import time
from collections import Counter

import pytest

from harness.api import ApiError
from harness.fleet import owner
from harness.shops import Shops
from harness.waiting import TimedOut, wait_for
from installation import NAMESPACE
from ledger import Ledger
from test_replicas import leases

REPOSITORIES, APPLICATIONS, OBJECTS = map(int, os.environ.get("GITMOOR_SCALE", "24,96,960").split(","))
PATIENCE = 60 + APPLICATIONS  # seconds for what must come
LEASE_SECONDS = 15
FROZEN_SECONDS = 30  # less than a node that says nothing is thought to be well (50 s)
QUARTERS = 4
PROTECTED = 4  # applications whose objects are edited
pytestmark = pytest.mark.timeout(900 + OBJECTS // 4)  # each object is written seven times and more


class Waves(threading.Thread):
    """Commits to a quarter of the repositories after the other, each when the one before has been applied everywhere."""

    def __init__(self, shops, touch):
        super().__init__(daemon=True)
        self.shops, self.touch, self.times, self.error, self.ending = shops, touch, [], None, False
        self.start()

    def run(self):
        try:
            while not self.ending:
                some = range(len(self.times) % QUARTERS, self.shops.count, QUARTERS)
                start = time.monotonic()
                self.shops.commit(only=some, touch=self.touch)
                self.shops.wait_landed(PATIENCE, only=some)
                self.times.append(time.monotonic() - start)
        except BaseException as error:  # pylint: disable=broad-exception-caught
            self.error = error

    def wait_for(self, more):
        """Until so many more have landed."""
        goal = len(self.times) + more
        wait_for(lambda: len(self.times) >= goal or self.error, PATIENCE * more, "commits to land")

    def stop(self):
        self.ending = True
        self.join()
        if self.error:
            raise self.error


class Scale:
    """The shops, the installation, the ledger, and what is done and asked in all tests."""

    def __init__(self, installation, shops, ledger, capsys):
        self.installation, self.shops, self.ledger = installation, shops, ledger
        self.kubectl, self.cluster, self.capsys = installation.kubectl, installation.cluster, capsys

    def tell(self, text):
        with self.capsys.disabled():
            print(f"\n    {text}", end="", flush=True)

    # ------------------------------------------------------------------------------- doing

    def scale(self, role, replicas):
        self.kubectl("scale", "-n", NAMESPACE, f"deployment/gitmoor-{role}", f"--replicas={replicas}")

    def wait_replicas(self, role, count):
        """Until there are as many, all have Leases, and nobody else has. Returns the Pods."""
        def settled():
            pods = {pod["metadata"]["name"]: pod["status"].get("podIP") for pod in self.installation.pods(role)}
            held = {pod for pod, what in leases(self.kubectl).items() if what == role}
            assert len(pods) == count and held == pods.keys() and all(pods.values()), f"Pods {pods}, Leases {held}"
            return True
        wait_for(settled, 90, f"{count} replicas of {role}", every=0.1)
        return self.installation.pods(role)

    def wait_shares(self, role, pods):
        """Until each of the Pods has exactly the share that hashing gives it."""
        names = [pod["metadata"]["name"] for pod in pods]
        metric = {"fetcher": "gitmoor_fetcher_repositories", "differ": "gitmoor_differ_applications"}.get(role)
        if not metric:
            return
        wanted = Counter({name: 0 for name in names})
        for number in range(self.shops.count):
            wanted[owner(f"m{number}/shops", names)] += 1 if role == "fetcher" else len(self.shops.apps_of(number))

        def shared():
            found = {pod["metadata"]["name"]: int(self.installation.metric(role, metric, pod=pod)) for pod in pods}
            assert found == wanted, f"{role}: {found}, to be {dict(wanted)}"
            return True
        wait_for(shared, 60, f"the shares of {role}", every=0.1)

    @contextlib.contextmanager
    def frozen_kubelet(self):
        """Nobody restarts containers or removes Pods meanwhile, as when the node is gone; for FROZEN_SECONDS at most."""
        os.kill(self.cluster.kubelet.program, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.cluster.kubelet.program, signal.SIGCONT)

    # ------------------------------------------------------------------------------- seeing

    def names(self, role):
        return [pod["metadata"]["name"] for pod in self.installation.pods(role)]

    def running(self, role):
        """How many Pods there are, with those on their way out."""
        return len(self.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name", "-l", f"app.kubernetes.io/component={role}").split())

    def objects(self, touch):
        """Those that a commit to all changes, with the step that it gives them."""
        return {((f"m{number}", self.shops.object_name(app, at)), str(self.shops.step))
                for number in range(self.shops.count) for app in self.shops.apps_of(number) for at in range(touch)}

    def check_once(self, touch):
        """A commit to all repositories: everything is done, once, by whom hashing says."""
        shops = self.shops
        self.ledger.turn()
        start = time.monotonic()
        shops.commit(touch=touch)
        shops.wait_landed(PATIENCE)
        took = time.monotonic() - start
        applications = {(key, shops.heads[0]): 1 for key in shops.keys()}
        objects = dict.fromkeys(self.objects(touch), 1)
        wanted = {"fetches": {(f"shops-{number}", shops.heads[0].split(":")[1]): 1 for number in range(shops.count)},
                  "renders": applications, "plans": applications, "writes": objects, "dry_runs": objects}

        def once():
            work = self.ledger.now()
            for kind, counts in wanted.items():
                found = dict(getattr(work, kind))
                differing = {key: (found.get(key, 0), counts.get(key, 0)) for key in found.keys() | counts.keys()
                             if found.get(key, 0) != counts.get(key, 0)}
                assert not differing, f"{kind} (counted, to be): {len(differing)} {list(differing.items())[:5]}"
            return True
        wait_for(once, 20 + OBJECTS // 200, "everything has been done once")
        self.check_owners(self.ledger.turn())
        return took

    def check_owners(self, work):
        """Each share was worked on by its owner."""
        by_address = {pod["status"]["podIP"]: pod["metadata"]["name"] for pod in self.installation.pods("fetcher")}
        pods = {role: self.names(role) for role in ("fetcher", "differ", "applier")}
        for number in range(self.shops.count):
            assert [by_address[address] for address in work.fetchers[f"shops-{number}"]] == [owner(f"m{number}/shops", pods["fetcher"])]
            for key in self.shops.keys([number]):
                assert work.differs[key] == [owner(f"m{number}/shops", pods["differ"])]
                assert work.appliers[key] == [owner(key.replace("/", "."), pods["applier"])]

    def check_nothing_lost(self):
        """What is there is what Git declares; nothing went back, was deleted, or was changed by two."""
        assert self.shops.live() == self.shops.expected()
        assert not self.shops.deleted
        wait_for(lambda: self.shops.check_history() is None, 5, "the history of each object")


@pytest.fixture(scope="module")
def stage(install, node_cluster, git_server, tmp_path_factory):
    """Installation, shops and ledger; afterwards nothing is left of them."""
    with install("split", logLevel="debug", **{"admission.replicas": "1"}) as installation:
        ledger = Ledger(node_cluster, git_server)
        shops = Shops(node_cluster, git_server, tmp_path_factory.mktemp("scale"), REPOSITORIES, APPLICATIONS, OBJECTS // APPLICATIONS)
        start = time.monotonic()
        shops.make()
        shops.wait_landed(PATIENCE * 2)
        shops.made_in = time.monotonic() - start
        yield installation, shops, ledger
        shops.stop()
        ledger.stop()
        node_cluster.kubectl("delete", "applications,gitrepositories", "--all", "--all-namespaces")
    node_cluster.kubectl("delete", "namespaces", *{f"m{number}" for number in range(REPOSITORIES)}, "--wait=false")


@pytest.fixture
def scene(stage, capsys):
    return Scale(*stage, capsys)


def median(times):
    return f"{statistics.median(times):.1f} s (at most {max(times):.1f} s)" if times else "none"


def change(scene, role, before, after, touch):
    """kubectl scale while commits arrive. Each lands, nothing is written twice."""
    scene.ledger.turn()
    base = scene.shops.step
    waves = Waves(scene.shops, touch)
    waves.wait_for(1)
    start, since = time.monotonic(), time.time()
    scene.scale(role, after)
    pods = scene.wait_replicas(role, after)
    known = time.monotonic() - start
    scene.wait_shares(role, pods)
    moved = time.monotonic() - start
    waves.wait_for(QUARTERS)
    waves.stop()
    work = scene.ledger.turn()
    scene.tell(f"{role} {before} → {after}: Leases after {known:.1f} s, shares moved after {moved:.1f} s; {len(waves.times)} commits "
               f"landed in {median(waves.times)}; done again: {work.again()}")
    served = sorted(at - since for pod, at in work.first_plans.items() if at > since and pod in {each["metadata"]["name"] for each in pods})
    if role == "applier" and after > before:
        scene.tell(f"applier {before} → {after}: the new ones have been given work after {', '.join(f'{at:.1f} s' for at in served)}")
    scene.check_nothing_lost()
    check_again(role, work, base)


def check_again(role, work, base):
    """What an heir must do anew to know what it has, and no more; and nothing that no commit of the page changed is even dry-run."""
    again = work.again()
    assert again["renders"] <= sum(len(pods) - 1 for pods in work.differs.values()), "one Pod renders a revision once"
    idle = [key for key in [*work.writes, *work.dry_runs] if int(key[1]) <= base]
    assert not idle, f"{len(idle)} objects were written or dry-run that no commit had changed: {idle[:5]}"
    if role == "fetcher":
        assert again["renders"] == again["plans"] == again["writes"] == 0, again
    else:
        assert again["fetches"] == 0, again


def lose_one(scene, role, touch):
    """One of four is killed and does not come back, as with its node; a commit to all is made at that moment."""
    shops, pods = scene.shops, scene.installation.pods(role)
    lost = pods[0]
    pid = scene.installation.pid(role, lost)
    shops.push(touch=touch)
    scene.ledger.turn()
    with scene.frozen_kubelet():
        start = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        shops.nudge()
        scene.wait_shares(role, pods[1:])
        moved = time.monotonic() - start
        with contextlib.suppress(TimedOut):
            shops.wait_landed(FROZEN_SECONDS - moved)
    shops.wait_landed(PATIENCE)
    landed = time.monotonic() - start
    work = scene.ledger.turn()
    scene.tell(f"{role} killed, 1 of 4: " + (f"its share moved after {moved:.1f} s; " if role != "applier" else "")
               + f"the commit of that moment had landed after {landed:.1f} s; done again: {work.again()}")
    if role != "applier":
        assert moved < LEASE_SECONDS + 10
    scene.installation.wait_ready(90)
    scene.check_nothing_lost()
    check_again(role, work, shops.step - 1)


@pytest.mark.parametrize("role,touch", [("fetcher", 1), ("differ", 1), ("applier", OBJECTS // APPLICATIONS)])
def test_scaling_1_4_1_does_nothing_twice_and_loses_nothing(scene, role, touch):
    if role == "fetcher":
        scene.tell(f"{REPOSITORIES} repositories, {APPLICATIONS} applications, {OBJECTS} objects: made in {scene.shops.made_in:.1f} s")
    scene.tell(f"{role}: with 1, a commit to all lands in {scene.check_once(touch):.1f} s")
    change(scene, role, 1, 4, touch)
    scene.wait_shares(role, scene.wait_replicas(role, 4))
    scene.tell(f"{role}: with 4, a commit to all lands in {scene.check_once(touch):.1f} s")
    lose_one(scene, role, touch)
    scene.wait_shares(role, scene.wait_replicas(role, 4))
    change(scene, role, 4, 1, touch)
    scene.wait_shares(role, scene.wait_replicas(role, 1))
    scene.tell(f"{role}: with 1 again, a commit to all lands in {scene.check_once(touch):.1f} s")


# ------------------------------------------------------------------------------- admission

class Edits:
    """Edits of managed objects by several people at once, each of which must be refused by name."""

    def __init__(self, scene, people=4):
        self.scene, self.outcomes, self.ending = scene, [], False
        self.threads = [threading.Thread(target=self._edit, args=(number,), daemon=True) for number in range(people)]
        for thread in self.threads:
            thread.start()

    def _edit(self, person):
        api = self.scene.cluster.api()
        while not self.ending:
            at = time.monotonic()
            try:
                api.patch("ConfigMap", f"m{person % PROTECTED}", "c0", {"data": {"step": "by hand"}})
                outcome = "passed"
            except ApiError as error:
                refused = error.status == 403 and "c0" in str(error) and "gitmoor" in str(error) and "failed calling" not in str(error)
                outcome = "refused" if refused else str(error)
            except OSError as error:
                outcome = repr(error)
            self.outcomes.append((at, time.monotonic() - at, outcome))

    def wait_for(self, more):
        goal = len(self.outcomes) + more
        wait_for(lambda: len(self.outcomes) >= goal, 60, "edits to be answered")

    def stop(self):
        self.ending = True
        for thread in self.threads:
            thread.join()

    def unanswered(self):
        return [(at, outcome) for at, _, outcome in self.outcomes if outcome != "refused"]

    def rate(self):
        return len(self.outcomes) / (self.outcomes[-1][0] - self.outcomes[0][0])


def reviews(scene):
    return {pod["metadata"]["name"]: int(scene.installation.metric("admission", "gitmoor_admission_reviews_total", pod=pod))
            for pod in scene.installation.pods("admission")}


@pytest.fixture
def protected(scene):
    def protect(mode):
        for number in range(PROTECTED):
            scene.shops.api.patch("Application", f"m{number}", "a0", {"spec": {"protection": mode}})

    def refused(number):
        try:
            scene.shops.api.patch("ConfigMap", f"m{number}", "c0", {"data": {"step": "by hand"}})
        except ApiError as error:
            return "c0" in str(error)
        return False

    protect("Enforce")
    for number in range(PROTECTED):
        wait_for(lambda number=number: refused(number), 15, "the edit to be refused", every=0.5)
    scene.shops.wait_landed(PATIENCE)
    yield
    protect("Off")


@pytest.mark.usefixtures("protected")
def test_scaling_admission_1_4_1_answers_every_review(scene):
    for before, after in ((1, 4), (4, 1)):
        edits = Edits(scene)
        try:
            edits.wait_for(50)
            start = time.monotonic()
            scene.scale("admission", after)
            scene.wait_replicas("admission", after)
            scene.installation.wait_ready()
            ready = time.monotonic() - start
            wait_for(lambda after=after: scene.running("admission") == after, 60, "those that stop to have stopped", every=0.3)
            edits.wait_for(100)
            if after > before:
                wait_for(lambda: min(reviews(scene).values()) > 0, 180, "each replica to be asked", every=1)
                asked = time.monotonic() - start
        finally:
            edits.stop()
        times = sorted(took for _, took, _ in edits.outcomes)
        scene.tell(f"admission {before} → {after}: there after {ready:.1f} s{f', all asked after {asked:.0f} s' if after > before else ''}; {len(edits.outcomes)} edits, {edits.rate():.0f} a second, "
                   f"p50 {times[len(times) // 2] * 1000:.0f} ms, at most {times[-1] * 1000:.0f} ms; by replica {reviews(scene)}")
        assert not edits.unanswered(), f"{len(edits.unanswered())}: {edits.unanswered()[:3]}"
        if after == 4:
            kill_admission(scene)


def kill_admission(scene):
    """One of four is killed: what it was asked is refused (failurePolicy Fail), until Services know that it is gone; nothing passes."""
    pod = scene.installation.pods("admission")[0]
    edits = Edits(scene)
    try:
        edits.wait_for(50)
        pid = scene.installation.pid("admission", pod)
        start = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: time.monotonic() - start > 5 and not [at for at, _ in edits.unanswered() if at > time.monotonic() - 3],
                 30, "reviews to be answered by the others")
    finally:
        edits.stop()
    failed = edits.unanswered()
    until = max([start, *(at for at, _ in failed)]) - start
    scene.tell(f"admission killed, 1 of 4: {len(failed)} of {len(edits.outcomes)} edits got no answer, the last after {until:.1f} s")
    assert not [outcome for _, outcome in failed if outcome == "passed"]
    scene.installation.wait_ready(90)
