"""scripts/bench scaling: what 1, 2 and 4 replicas of each process do, and how long a commit takes to land.

Each process alone: its replicas are held to a part of a core each, so that they are the limit, not this host, on which
kube-apiserver, etcd and the Git server run too; all other processes run free. Then 1, 2 and 4 of all, without a limit: what is left
of it where the host is the limit. No Pod runs: what is measured are processes, and ConfigMaps are what they write.
"""
import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "admission"))

import reviews  # noqa: E402: what bench/admission sends
from cap import Cap
from gitserver import GitServer
from harness import sample
from harness.api import path_of
from harness.cluster import Cluster
from harness.fleet import Fleet
from harness.follow import Follow
from harness.process import children, resident
from harness.shops import Shops
from harness.waiting import wait_for
from table import median, row, tell

ROLES = ("fetcher", "differ", "applier")
COUNTS = (1, 2, 4)
REPOSITORIES, APPLICATIONS, OBJECTS = 40, 100, 10  # objects of one application
CORES = {"fetcher": 0.2, "differ": 0.1, "applier": 0.05, "admission": 0.1}
PATIENCE = 180
REVIEW_PATH, REVIEW_BYTES, REVIEW_SECONDS, REVIEW_CONNECTIONS = "/review", 4096, 4.0, 4


class Bench:
    def __init__(self, folder, load, counts, rounds):
        self.folder, self.load, self.counts, self.rounds = folder, load, counts, rounds
        self.fetched, self.placed, self.rows, self.notes = {}, False, [], []

    def run(self):
        server = GitServer(self.folder / "git").start()
        try:
            with Cluster(self.folder / "cluster") as self.cluster:
                self.api = self.cluster.api()
                self.fleet = Fleet(self.cluster, self.folder / "fleet")
                self.shops = Shops(self.cluster, server, self.folder, REPOSITORIES, APPLICATIONS, OBJECTS)
                for role in (*ROLES, "admission"):
                    self.fleet.add(role)
                Follow(self.api, path_of("GitRepository"), self.take_repository)
                self.shops.make()
                self.shops.wait_landed(PATIENCE)
                self.alone()
                self.together()
                self.fleet.stop()
        finally:
            server.stop()
        return tell("scaling", self.rows, self.notes)

    def take_repository(self, _, found):
        self.fetched[found["metadata"]["namespace"]] = found.get("status", {}).get("revision")

    # ------------------------------------------------------------------------------- each alone

    def alone(self):
        work = {"fetcher": ("repositories fetched", self.fetch), "differ": ("applications rendered anew", self.render),
                "applier": ("objects dry-run and written", self.write), "admission": ("reviews answered", self.review)}
        for role, (what, measure) in work.items():
            for count in self.counts:
                self.resize(role, count)
                try:
                    with self.held(role):
                        rates = [measure() for _ in range(self.rounds)]
                except OSError as error:
                    self.notes.append(f"CPU cannot be limited here, so no process was measured alone: {error}")
                    return
                self.rows.append(row(f"{what}, {count} {role} of {CORES[role] * 1000:.0f}m CPU each", "/s", median(rates)))
                print(f"  {self.rows[-1]['what']}: {', '.join(f'{rate:.1f}' for rate in rates)} /s", flush=True)
            if role in ("fetcher", "differ"):
                self.note_shares(role)
            self.resize(role, 1)

    def resize(self, role, count):
        """Replicas come and go; returns when all is theirs and applied."""
        names = self.fleet.of(role)
        self.fleet.add(role, max(0, count - len(names)))
        self.fleet.remove(names[count:])
        wait_for(lambda: sum(self.fleet.each("differ", "gitmoor_differ_applications", 'state="applied"').values()) == APPLICATIONS,
                 PATIENCE, "everything is applied", every=0.2)
        wait_for(lambda: sum(self.fleet.each("fetcher", "gitmoor_fetcher_repositories").values()) == REPOSITORIES, PATIENCE, "shares")

    @contextlib.contextmanager
    def held(self, role):
        """Its replicas are held to their part of a core."""
        with contextlib.ExitStack() as caps:
            for name in self.fleet.of(role):
                caps.callback(Cap(self.fleet.processes[name].pid, CORES[role]).lift)
            yield

    def note_shares(self, role):
        metric = {"fetcher": "gitmoor_fetcher_repositories", "differ": "gitmoor_differ_applications"}[role]
        shares = sorted(map(int, self.fleet.each(role, metric).values()), reverse=True)
        self.notes.append(f"shares of {len(shares)} {role}s: {' + '.join(map(str, shares))}; the largest is the last to end")

    def fetch(self):
        """A commit to all, from the notifications to the last revision known."""
        self.shops.push()
        start = time.monotonic()
        self.shops.nudge()
        wait_for(lambda: all(self.fetched.get(f"m{number}") == head for number, head in self.shops.heads.items()), PATIENCE, "fetched")
        took = time.monotonic() - start
        self.shops.wait_landed(PATIENCE)
        return REPOSITORIES / took

    def render(self):
        """A change of each Application's spec that makes it be rendered anew, and changes nothing: no fetch, no write."""
        self.placed = not self.placed
        rendered, start = self.rendered(), time.monotonic()
        self.patch(lambda namespace: {"targetNamespace": namespace if self.placed else None})
        wait_for(lambda: self.rendered() == rendered + APPLICATIONS, PATIENCE, "rendered anew")
        return APPLICATIONS / (time.monotonic() - start)

    def write(self):
        """A commit to all that is fetched and rendered already, when its applications are resumed: nothing is left but to write it."""
        self.patch(lambda _: {"suspend": True})
        rendered = self.rendered()
        self.shops.push(touch=OBJECTS)
        self.shops.nudge()
        wait_for(lambda: self.rendered() == rendered + APPLICATIONS, PATIENCE, "rendered")
        start = time.monotonic()
        self.patch(lambda _: {"suspend": False})
        self.shops.wait_landed(PATIENCE)
        return APPLICATIONS * OBJECTS / (time.monotonic() - start)

    def rendered(self):
        return self.fleet.total("differ", "gitmoor_differ_renders_total", 'result="rendered"')

    def patch(self, spec_of):
        """Changes the spec of all Applications, by several connections."""
        def one(key):
            namespace, name = key.split("/")
            self.api.patch("Application", namespace, name, {"spec": spec_of(namespace)})

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(one, self.shops.keys()))

    def commit(self, touch):
        """Seconds from the notifications to the last application applied."""
        self.shops.push(touch=touch)
        start = time.monotonic()
        self.shops.nudge()
        self.shops.wait_landed(PATIENCE)
        return time.monotonic() - start

    def review(self):
        """Reviews of 4 KB, to all replicas at once, as a Service would spread them."""
        file = self.folder / "review"
        if not file.exists():
            self.declare()
            body = reviews.sized(self.api, lambda count: reviews.config_map("bench", "reviewed", count), "bench.reviewed", REVIEW_BYTES,
                                 reviews.annotate)
            reviews.write(file, [("POST", REVIEW_PATH, "application/json", '"allowed":true', body)])

        def one(name):
            command = [self.load, "127.0.0.1", self.fleet.webhook_ports[name], file, REVIEW_CONNECTIONS, 0, REVIEW_SECONDS, 1.0]
            done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"the load generator failed: {done.stderr}{done.stdout}")
            return json.loads(done.stdout)["rate"]

        names = self.fleet.of("admission")
        with ThreadPoolExecutor(len(names)) as pool:
            return sum(pool.map(one, names))

    def declare(self):
        """An application that is never rendered, so that what carries its label is left alone."""
        self.api.create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "bench"}})
        self.api.apply(sample.application("bench", "reviewed", "none"))
        self.api.patch("Application", "bench", "reviewed", {"status": {"namespaces": ["bench"]}}, subresource="status")

    # ------------------------------------------------------------------------------- all together

    def together(self):
        for count in self.counts:
            for role in ROLES:
                self.resize(role, count)
            before = self.cpu()
            times = [self.commit(1) for _ in range(self.rounds + 1)]
            used = {name: (seconds - before[name]) / len(times) * 1000 for name, seconds in self.cpu().items()}
            self.rows.append(row(f"a commit to {REPOSITORIES} repositories lands in all {APPLICATIONS} applications, {count} of each, no "
                                 "limit", "s", median(times)))
            self.notes.append(f"{count} of each, CPU a commit in ms, and MB of the largest: " + "; ".join(
                f"{role} {' + '.join(f'{used[name]:.0f}' for name in self.fleet.of(role))}, {self.largest(role) / 1e6:.0f} MB"
                for role in ROLES))
            print(f"  {self.rows[-1]['what']}: {', '.join(f'{took:.1f}' for took in times)} s", flush=True)

    def cpu(self):
        """name -> seconds of CPU, those of workers that have ended included (proc(5): cutime, cstime)."""
        found = {}
        for name, process in self.fleet.processes.items():
            fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
            found[name] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        return found

    def largest(self, role):
        return max(sum(resident(pid) for pid in [self.fleet.processes[name].pid, *children(self.fleet.processes[name].pid)])
                   for name in self.fleet.of(role))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--load", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--replicas", type=int, nargs="+", default=COUNTS, metavar="N")
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
        return 0 if Bench(Path(folder), options.load, sorted(options.replicas), options.rounds).run() else 1


if __name__ == "__main__":
    sys.exit(main())
