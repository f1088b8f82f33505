"""scripts/bench apply: 1,000 ConfigMaps in one application, first apply and a commit that changes all.

Ours with preflight On and Off, the ceiling (bare server-side apply requests, 16 in flight), and Flux's controllers, all on the same
API server. Each round has a fresh control plane; medians of the rounds are reported.
"""
import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from gitserver import GitServer
from harness import flux, sample
from harness.api import condition, path_of
from harness.cluster import Cluster
from harness.moor import Moor
from harness.mooring import Mooring
from harness.repository import Repository
from harness.waiting import wait_for
from table import median, row, tell
from usage import Usage

WINDOW = 16
PATIENCE = 60  # seconds until all is at rest


def manifest(number, generation):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"settings-{number:04}"},
            "data": {"number": str(number), "generation": str(generation), "color": "blue", "region": "eu-west-1"}}


def files(count, generation, per_file=10):
    """Ten objects a file, as YAML."""
    made = {}
    for first in range(0, count, per_file):
        documents = []
        for number in range(first, min(first + per_file, count)):
            data = manifest(number, generation)["data"]
            documents.append("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: " + f"settings-{number:04}\ndata:\n"
                             + "".join(f"  {key}: \"{value}\"\n" for key, value in data.items()))
        made[f"deploy/settings-{first:04}.yaml"] = "---\n".join(documents)
    return made


class Watch:
    """Watches one object from a moment on and takes the time at which a condition holds first."""

    def __init__(self, api, path, name, holds):
        self.api, self.holds, self.reached = api, holds, threading.Event()
        self.at = None
        self.connection = api.new_connection()
        self.connection.request("GET", f"{path}?watch=1&fieldSelector=metadata.name%3D{name}&timeoutSeconds=600",
                                headers={"Authorization": f"Bearer {api.token}"})
        self.answer = self.connection.getresponse()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        try:
            for line in self.answer:
                if self.holds(json.loads(line)["object"]):
                    self.at = time.monotonic()
                    self.reached.set()
                    return
        except (OSError, ValueError):
            pass

    def seconds_since(self, start, timeout=300):
        if not self.reached.wait(timeout):
            raise SystemExit("the benchmark's object was not Ready in time")
        self.connection.close()
        return self.at - start


def is_ready_at(revision_of):
    def holds(found):
        status = found.get("status", {})
        ready = condition(found, "Ready")
        return (revision_of() in status.get("lastAppliedRevision", "") and ready.get("status") == "True"
                and ready.get("observedGeneration") == found["metadata"]["generation"])
    return holds


class Round:
    def __init__(self, folder, ceiling, count):
        self.folder, self.ceiling_program, self.count = folder, ceiling, count
        self.cluster = self.git = None
        self.seconds, self.memory = {}, {}

    def run(self, with_flux):
        self.git = GitServer(self.folder / "git").start()
        with Cluster(self.folder / "cluster") as self.cluster:
            self.api = self.cluster.api()
            with Moor(self.cluster, self.folder / "moor") as moor:
                self.ceiling()
                for preflight in ("On", "Off"):
                    self.ours(preflight, moor)
                    self.memory.setdefault("ours", moor.memory())
                self.memory["ours at rest"] = self.at_rest(moor.processes)
            if with_flux:
                running = flux.Flux(self.cluster, self.folder / "flux").start()
                self.flux(running)
                running.stop()
        self.git.stop()
        return self

    def ceiling(self):
        namespace = self.cluster.new_namespace("ceiling")
        for what, generation in (("first", 0), ("change", 1)):
            lines = []
            for number in range(self.count):
                body = manifest(number, generation)
                lines.append(f"{path_of('ConfigMap', namespace, body['metadata']['name'])}?fieldManager=ceiling&force=true")
                lines.append(json.dumps(body))
            requests = self.folder / "requests"
            requests.write_text("\n".join(lines) + "\n")
            done = subprocess.run([str(self.ceiling_program), self.cluster.server, str(self.cluster.authority.certificate),
                                   self.cluster.tokens["admin"], str(requests), str(WINDOW)], capture_output=True, text=True,
                                  check=True)
            self.seconds[f"ceiling {what}"] = json.loads(done.stdout)["seconds"]

    def ours(self, preflight, moor):
        namespace = self.cluster.new_namespace("ours")
        repository = Repository.create(self.git, self.folder, f"ours-{preflight.lower()}")
        repository.commit(files(self.count, 0))
        shop = Mooring(self.cluster, namespace, repository, "bench", "deploy", preflight=preflight)
        shop.make_repository()
        shop.wait_source("True")
        path = path_of("Application", namespace)
        watch = Watch(self.api, path, "bench", is_ready_at(repository.head))
        start = time.monotonic()
        shop.make_application()
        self.seconds[f"ours {preflight} first"] = watch.seconds_since(start)
        self.check(namespace, "0")
        repository.commit(files(self.count, 1))
        head = repository.head()
        watch = Watch(self.api, path, "bench", is_ready_at(lambda: head))
        start = time.monotonic()
        shop.nudge()
        self.seconds[f"ours {preflight} change"] = watch.seconds_since(start)
        self.check(namespace, "1")

    def flux(self, running):
        namespace = self.cluster.new_namespace("flux")
        repository = Repository.create(self.git, self.folder, "flux-bench")
        repository.commit(files(self.count, 0))
        self.api.apply(sample.ca_secret(namespace, "git", repository.ca_file))
        flux.create(self.api, flux.git_repository(namespace, "bench", repository.url))
        path = flux.PATHS["GitRepository"].format(namespace)
        wait_for(lambda: condition(self.api.request("GET", f"{path}/bench"), "Ready").get("status") == "True", timeout=60,
                 what="Flux's GitRepository ready")
        path = flux.PATHS["Kustomization"].format(namespace)
        watch = Watch(self.api, path, "bench", is_ready_at(repository.head))
        start = time.monotonic()
        flux.create(self.api, flux.kustomization(namespace, "bench", "./deploy"))
        self.seconds["flux first"] = watch.seconds_since(start)
        self.check(namespace, "0")
        repository.commit(files(self.count, 1))
        head = repository.head()
        watch = Watch(self.api, path, "bench", is_ready_at(lambda: head))
        start = time.monotonic()
        flux.nudge(self.api, namespace, "bench")
        self.seconds["flux change"] = watch.seconds_since(start)
        self.check(namespace, "1")
        self.memory["flux"] = running.memory()
        self.memory["flux at rest"] = self.at_rest({process.name: process for process in running.processes})

    @staticmethod
    def at_rest(processes):
        Usage(list(processes.values())).wait_for_rest(PATIENCE)
        return {name: process.memory() for name, process in processes.items()}

    def check(self, namespace, generation):
        """What was measured is what is there."""
        live = [item for item in self.api.list("ConfigMap", namespace) if item["metadata"]["name"].startswith("settings-")]
        wrong = [item for item in live if item["data"]["generation"] != generation]
        if len(live) != self.count or wrong:
            raise SystemExit(f"{len(live)} of {self.count} objects, {len(wrong)} of them not as declared")


def report(rounds, count):
    def of(name):
        return median([done.seconds[name] for done in rounds if name in done.seconds])

    rows = []
    for what, text, factors in (("first", "first apply", {"On": 2.2, "Off": 1.3}),
                                ("change", "a commit that changes all", {"On": 2.4, "Off": 1.5})):
        ceiling = of(f"ceiling {what}")
        for preflight, factor in factors.items():
            rows.append(row(f"{count:,} ConfigMaps, {text}, preflight {preflight}", "s", of(f"ours {preflight} {what}"), ceiling,
                            of(f"flux {what}"), (factor * ceiling, f"≤ {factor} × ceiling")))

    def megabytes(who):
        return median([sum(done.memory[who].values()) / 1e6 for done in rounds if who in done.memory])

    for text, when in (("as soon as that is live", ""), ("at rest", " at rest")):
        rows.append(row(f"resident memory of all processes, {text}", "MB", megabytes(f"ours{when}"), None, megabytes(f"flux{when}"),
                        (60, "≤ 60 MB")))
    each = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in rounds[-1].memory["ours at rest"].items())
    return tell("apply", rows, (f"medians of {len(rounds)} rounds; memory at rest in MB: {each}",))


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench apply", description=__doc__.splitlines()[0])
    parser.add_argument("--ceiling", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--objects", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without-flux", action="store_true")
    options = parser.parse_args()
    rounds = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
            print(f"round {number + 1} of {options.rounds} …", flush=True)
            rounds.append(Round(Path(folder), options.ceiling, options.objects).run(not options.without_flux))
            print("  " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in rounds[-1].seconds.items()), flush=True)
    return 0 if report(rounds, options.objects) else 1


if __name__ == "__main__":
    sys.exit(main())
