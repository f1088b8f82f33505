"""scripts/bench stuck: what applications that never become healthy cost those beside them.

The good applications (four ConfigMaps each, in one repository) are installed and then changed, all at once by one commit each time,
alone; then beside stuck ones of the same repository, which wait: for a Deployment that no controller makes ready, as a whole or in
the first of two waves, or for an application that waits so (dependsOn). Then alone again, so that what is measured is not the
machine's mood. Times run from the push notification until the last good application is Ready at the commit; medians.
"""
import argparse
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from audited import Requests, write_policy
from gitserver import GitServer
from harness import sample
from harness.api import condition, path_of
from harness.audit import flags
from harness.cluster import PROCESSES, Cluster, user_of
from harness.environment import bus_folder
from harness.follow import Follow
from harness.moor import Moor
from harness.mooring import config_map
from harness.repository import Repository
from harness.waiting import wait_for
from table import median, row, tell
from usage import Usage

PATIENCE, IDLE_SECONDS = 300, 20
DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}}}
spec:
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec: {{containers: [{{name: web, image: example.org/web}}]}}
"""
IN_WAVE = "metadata:\n  annotations: {gitmoor.io/wave: '1'}\n"


def good_files(count, color):
    return {f"good/{n}/{part}.yaml": config_map(f"g{n}-{part}", color=color) for n in range(count) for part in "abcd"}


def stuck_files(count):
    """Of each three: one that is not healthy, one whose first wave is not, one that depends on the first."""
    files = {}
    for n in range(count):
        files[f"stuck/{n}/a.yaml"] = config_map(f"s{n}") if n % 3 == 2 else DEPLOYMENT.format(name=f"s{n}")
        if n % 3 == 1:
            files[f"stuck/{n}/b.yaml"] = config_map(f"s{n}-later").replace("metadata:\n", IN_WAVE)
    return files


def stuck_spec(n):
    return {"health": {"timeout": "2h"}, **({"dependsOn": [{"name": "stuck-0"}]} if n % 3 == 2 else {})}


class Run:
    def __init__(self, folder, options):
        self.options, self.folder = options, folder
        self.git = GitServer(folder / "git").start()
        (folder / "audit").mkdir()
        write_policy(folder / "audit" / "audit-policy.json", [user_of(process) for process in PROCESSES])
        self.cluster = Cluster(folder / "cluster", controller_manager=False, server_flags=flags(folder / "audit")).start()
        self.api, self.bus = self.cluster.api(), bus_folder()
        self.moor = Moor(self.cluster, folder / "moor", bus=self.bus).start()
        self.namespace = self.cluster.new_namespace("stuck")
        self.repository = Repository.create(self.git, folder, "shop")
        self.color = 0
        self.ready = {}  # name -> (when, revision that it is Ready at)
        self.good = [f"good-{n}" for n in range(options.good)]

    def close(self):
        self.moor.stop()
        self.cluster.stop()
        self.git.stop()
        shutil.rmtree(self.bus, ignore_errors=True)

    def _take(self, _, found):
        ready = condition(found, "Ready")
        at = found["status"].get("lastAppliedRevision") if ready.get("status") == "True" else None
        if self.ready.get(found["metadata"]["name"], (0, None))[1] != at:
            self.ready[found["metadata"]["name"]] = (time.monotonic(), at)

    def begin(self):
        self.repository.commit({**good_files(self.options.good, "none"), **stuck_files(self.options.stuck)})
        self.api.apply(sample.ca_secret(self.namespace, "git", self.repository.ca_file))
        self.api.apply(sample.git_repository(self.namespace, "shop", self.repository.url, interval="1h", secret="git"))
        wait_for(lambda: condition(self.api.get("GitRepository", self.namespace, "shop"), "Ready").get("status") == "True", 60)
        self.follow = Follow(self.api, path_of("Application", self.namespace), self._take)
        self.follow.listed.wait(60)

    def wait_good(self, start):
        head = f"main@sha1:{self.repository.head()}"
        wait_for(lambda: all(self.ready.get(name, (0, None))[1] == head for name in self.good), PATIENCE, "the good ones are Ready",
                 every=0.02)
        return max(self.ready[name][0] for name in self.good) - start

    def create(self, names, spec, path):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda n: self.api.create("Application", self.namespace, sample.application(
                self.namespace, names[n], "shop", path(n), **spec(n))), range(len(names))))

    def install_good(self):
        start = time.monotonic()
        self.create(self.good, lambda n: {}, lambda n: f"good/{n}")
        return self.wait_good(start)

    def add_stuck(self):
        names = [f"stuck-{n}" for n in range(self.options.stuck)]
        self.create(names, stuck_spec, lambda n: f"stuck/{n}")

        def waits(found):
            ready = condition(found, "Ready")
            return ready.get("reason") in ("Progressing", "DependencyNotReady", "WaveNotReady") or "wait" in ready.get("message", "")

        def all_wait():
            found = [item for item in self.api.list("Application", self.namespace) if item["metadata"]["name"] in names]
            return len(found) == len(names) and all(waits(item) for item in found)

        wait_for(all_wait, PATIENCE, "the stuck ones wait")
        Usage(list(self.moor.processes.values())).wait_for_rest(PATIENCE)

    def remove_stuck(self):
        for n in range(self.options.stuck):
            self.api.delete("Application", self.namespace, f"stuck-{n}")
        Usage(list(self.moor.processes.values())).wait_for_rest(PATIENCE)

    def commits(self):
        """Seconds of each."""
        taken = []
        for _ in range(self.options.commits):
            self.color += 1
            self.repository.commit(good_files(self.options.good, f"c{self.color}"))
            start = time.monotonic()
            self.api.patch("GitRepository", self.namespace, "shop", {"metadata": {"annotations": {
                "gitmoor.io/reconcile-requested-at": str(time.time_ns())}}}, manager="git-server")
            taken.append(self.wait_good(start))
            time.sleep(1)  # statuses of the last are written
        return taken

    def idle(self):
        """Requests and processor seconds of the four in a while of waiting."""
        usage, requests = Usage(list(self.moor.processes.values())), Requests(self.folder / "audit" / "audit.log")
        time.sleep(IDLE_SECONDS)
        return sum(requests.count().values()), usage.total()


def measure(run, options):
    run.begin()
    alone = [run.install_good()]
    first = run.commits()
    run.add_stuck()
    beside = run.commits()
    requests, seconds = run.idle()
    memory = sum(run.moor.memory().values()) / 1e6
    run.remove_stuck()
    last = run.commits()
    head = f"{options.good} good applications × 4, "
    quiet = median(first + last)
    rows = [row(head + "alone: a commit to all, all Ready after", "s", quiet),
            row(head + f"beside {options.stuck} stuck: a commit to all, all Ready after", "s", median(beside)),
            row(head + "longer by", "%", (median(beside) / quiet - 1) * 100, None, None, (10, "≤ 10 %")),
            row(head + "alone: installed", "s", alone[0]),
            row(f"{options.stuck} stuck: requests in {IDLE_SECONDS} s", "", requests, None, None, (0, "0")),
            row(f"{options.stuck} stuck: processor time in {IDLE_SECONDS} s", "s", seconds),
            row(f"{options.stuck} stuck, {options.good} good: resident memory of all processes", "MB", memory)]
    notes = [f"{name}: {', '.join(f'{value:.3f}' for value in values)} s"
             for name, values in (("alone, before", first), ("beside", beside), ("alone, after", last))]
    return rows, notes


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench stuck", description=__doc__.splitlines()[0])
    parser.add_argument("--good", type=int, default=50)
    parser.add_argument("--stuck", type=int, default=200)
    parser.add_argument("--commits", type=int, default=7, help="of each of the three rounds (default: 7)")
    parser.add_argument("--quick", action="store_true", help="5 good, 9 stuck, 2 commits; bench/results stays as it is")
    options = parser.parse_args()
    if options.quick:
        options.good, options.stuck, options.commits = 5, 9, 2
    with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
        run = Run(Path(folder), options)
        try:
            rows, notes = measure(run, options)
        finally:
            run.close()
    return 0 if tell("stuck", rows, notes, keep=not options.quick) else 1


if __name__ == "__main__":
    sys.exit(main())
