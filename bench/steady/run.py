"""scripts/bench steady: managed objects whose statuses another controller changes; what it costs us.

Requests are counted from the API server's audit log, for each user. Watches and whatever is for Leases do not count.
"""
import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

import kinds
from audited import Requests, write_policy
from gitserver import GitServer
from harness.audit import flags
from harness.cluster import PROCESSES, Cluster, Layout, user_of
from harness.environment import bus_folder
from harness.flux import Flux
from harness.moor import Moor
from harness.process import children, cpu_seconds
from table import row, tell

OBJECTS_EACH = 1000  # of one application
WITH_STATUS = ("Deployment", "Service", "ResourceQuota")
QUIET_SECONDS = 5    # between the last apply and the first update


def status(kind, round_):
    """A status that differs each round and says the same of health."""
    if kind == "Deployment":
        return kinds.deployed(f"round {round_}")
    if kind == "Service":
        return {"conditions": [{"type": "Announced", "status": "True", "reason": "Announced", "message": f"round {round_}",
                                "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    return {"hard": {"pods": "10"}, "used": {"pods": str(round_ % 10)}}


class Usage:
    """Processor time from here on, and memory now, of processes with their children."""

    def __init__(self, processes):
        self.processes = processes
        self.before = {process.name: self._seconds(process) for process in processes}

    @staticmethod
    def _seconds(process):
        return sum(cpu_seconds(pid) for pid in [process.pid, *children(process.pid)])

    def take(self):
        """name -> (CPU seconds, resident MB)"""
        return {process.name: (self._seconds(process) - self.before[process.name], process.memory() / 1e6)
                for process in self.processes}


class Measured:
    def __init__(self, requests, usage, updates, seconds):
        self.requests, self.usage, self.rate = requests, usage, updates / seconds

    def cpu(self):
        return sum(seconds for seconds, _ in self.usage.values())

    def memory(self):
        return sum(size for _, size in self.usage.values())

    def told(self):
        return ", ".join(f"{count} {user.rsplit(':', 1)[-1]} {verb} {resource}"
                         for (user, verb, resource), count in self.requests.most_common(8)) or "none"


class Bench:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.applications = max(1, options.objects // OBJECTS_EACH)
        self.each = options.objects // self.applications // len(kinds.KINDS)
        self.git = self.cluster = self.api = None

    def run(self):
        self.git = GitServer(self.folder / "git").start()
        bus = bus_folder()
        users = [*(user_of(process) for process in PROCESSES), "flux"]
        (self.folder / "audit").mkdir()
        write_policy(self.folder / "audit" / "audit-policy.json", users)
        theirs = None
        try:
            with Cluster(self.folder / "cluster", controller_manager=False, server_flags=flags(self.folder / "audit"),
                         layout=Layout(users=(("flux", "flux", "system:masters"),))) as self.cluster:
                self.api = self.cluster.api()
                with Moor(self.cluster, self.folder / "moor", bus=bus) as moor:
                    ours = self.measure(kinds.moor(self.cluster, self.git, self.folder, self.names("ours"), self.each),
                                        moor.processes.values())
                if not self.options.without_flux:
                    running = Flux(self.cluster, self.folder / "flux", user="flux").start()
                    theirs = self.measure(kinds.fluxed(self.cluster, self.git, self.folder, self.names("flux"), self.each),
                                          running.processes)
                    running.stop()
        finally:
            shutil.rmtree(bus, ignore_errors=True)
            self.git.stop()
        return self.report(ours, theirs)

    def names(self, who):
        return [f"{who}-{number}" for number in range(self.applications)]

    def measure(self, namespaces, processes):
        """Changes statuses for the given minutes."""
        print(f"{len(namespaces)} applications of {self.each * len(kinds.KINDS)} objects are there", flush=True)
        time.sleep(QUIET_SECONDS)
        targets = [(kind, namespace, number) for number in range(self.each) for kind in WITH_STATUS for namespace in namespaces]
        requests, usage = Requests(self.folder / "audit" / "audit.log"), Usage(list(processes))
        start, done = time.monotonic(), 0
        while (passed := time.monotonic() - start) < self.options.minutes * 60:
            if (early := done / self.options.rate - passed) > 0:
                time.sleep(early)
            kind, namespace, number = targets[done % len(targets)]
            self.api.patch(kind, namespace, kinds.name_of(kind, number), {"status": status(kind, done // len(targets) + 1)}, "status",
                           "bench-controller")
            done += 1
        return Measured(requests.count(), usage.take(), done, time.monotonic() - start)

    def report(self, ours, theirs):
        options = self.options
        what = f"{self.applications * self.each * len(kinds.KINDS):,} objects, {options.minutes:g} min of {options.rate} status updates a second"
        rows = [row(f"{what}: requests beyond watches and Leases", "", float(ours.requests.total()), None,
                    float(theirs.requests.total()) if theirs else None, (0, "0")),
                row("processor time of all processes", "s", ours.cpu(), None, theirs.cpu() if theirs else None),
                row("resident memory of all processes", "MB", ours.memory(), None, theirs.memory() if theirs else None, (80, "≤ 80 MB"))]
        notes = [f"ours: requests: {ours.told()}; {ours.rate:.1f} updates a second"]
        if theirs:
            notes.append(f"Flux: requests: {theirs.told()}; {theirs.rate:.1f} updates a second")
        for who in filter(None, (ours, theirs)):
            notes.append("processor seconds and MB: " + ", ".join(
                f"{name} {seconds:.2f} s {size:.1f} MB" for name, (seconds, size) in who.usage.items()))
        return tell("steady", rows, notes)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench steady", description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=10000, help=f"in applications of {OBJECTS_EACH} (default: 10000)")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=50, help="status updates a second (default: 50)")
    parser.add_argument("--without-flux", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
        return 0 if Bench(Path(folder), options).run() else 1


if __name__ == "__main__":
    sys.exit(main())
