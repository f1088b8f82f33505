"""scripts/bench admission: what a review costs the webhook, and what the webhook costs a write.

Reviews are sent to the webhook over TLS on kept connections; the server has one core to itself, the generator and the idle control
plane the other; as root, server and generator run before all else. The ceiling is libevent's evhttp over OpenSSL that answers without
reading, on the same core. Writes are edits of managed objects that are allowed, through the API server: with nothing installed, with
the core rule alone, with Gitmoor's floor alone, with the webhook alone, in turns.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import policy
import reviews
from harness.api import ApiError
from harness.cluster import Cluster
from harness.moor import Moor
from harness.process import cpu_seconds, resident
from harness.waiting import wait_for
from table import median, row, tell

SERVER, OTHERS = 0, 1  # cores
OBJECTS = 20           # that writes go to in turn
REVIEW_PATH = "/review"


def pin(pid, cores):
    """All threads of a process."""
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            os.sched_setaffinity(int(task), cores)
        except ProcessLookupError:
            pass


def prefer(pid, wanted=True):
    """Before all else on its cores, so that what else runs on the machine is not measured; needs root. Whether that is so."""
    scheduler, priority = (os.SCHED_FIFO, 10) if wanted else (os.SCHED_OTHER, 0)
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(task), scheduler, os.sched_param(priority))
    except PermissionError:
        return False
    return True


def alone(cores):
    """For a child before it begins: on these cores, before all else."""
    os.sched_setaffinity(0, cores)
    prefer(os.getpid())


class Load:
    """Runs the load generator."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder

    def run(self, port, requests, connections=1, rate=0, seconds=5.0, token=None, cores=None):
        command = [self.program, "127.0.0.1", port, requests, connections, rate, seconds, min(1.0, seconds / 4)]
        done = subprocess.run([str(word) for word in command + ([token] if token else [])], capture_output=True, text=True, check=False,
                              preexec_fn=(lambda: alone(cores)) if cores else None)
        if done.returncode:
            raise SystemExit(f"the load generator failed: {done.stderr}{done.stdout}")
        return json.loads(done.stdout)


class Bench:
    def __init__(self, folder, programs, seconds, rounds):
        self.folder, self.programs, self.seconds, self.rounds = folder, programs, seconds, rounds
        self.load = Load(programs / "load", folder)
        self.notes = []

    def run(self):
        with Cluster(self.folder / "cluster", controller_manager=False) as self.cluster:
            self.api = self.cluster.api()
            self.namespace = self.cluster.new_namespace("bench")
            self.moor = Moor(self.cluster, self.folder / "moor", extra={"admission": ["--rotation-grace", "1s", "--floor"]})
            self.moor.start(only=("admission",))
            try:
                self.floor = wait_for(lambda: policy.read(self.api, "gitmoor-admission"), what="the floor")
                self.moor.processes["admission"].command.remove("--floor")
                self.moor.processes["admission"].stop()
                self.moor.start_one("admission")
                self.declare()
                return self.direct() + self.through_the_server()
            finally:
                self.moor.stop()

    def declare(self):
        self.label = f"{self.namespace}.shop"
        self.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application",
                        "metadata": {"name": "shop", "namespace": self.namespace},
                        "spec": {"source": {"repository": "shop", "path": "deploy"}}})
        self.api.patch("Application", self.namespace, "shop", {"status": {
            "lastAppliedRevision": "main@sha1:4f2a91c0ffee", "namespaces": [self.namespace]}}, subresource="status")

    # ------------------------------------------------------------------------------- reviews

    def reviews(self):
        """name -> a file with one review in it."""
        small = reviews.sized(self.api, lambda count: reviews.config_map(self.namespace, "small", count), self.label, 4096,
                              reviews.annotate)
        large = reviews.sized(self.api, lambda count: reviews.deployment(self.namespace, "large", count), self.label, 20480,
                              reviews.annotate)
        edited = reviews.update(small["request"]["oldObject"], reviews.recolor)
        # What the server would have done to the entries (PITFALLS §3).
        ours = edited["request"]["object"]["metadata"]["managedFields"][0]
        del ours["fieldsV1"]["f:data"]["f:setting-000"]
        found = {"4 KB": (small, '"allowed":true'), "20 KB": (large, '"allowed":true'), "4 KB refused": (edited, '"allowed":false')}
        self.notes.append("bytes of the reviews: " + ", ".join(f"{name} {len(reviews.text_of(body))}"
                                                               for name, (body, _) in found.items()))
        return {name: reviews.write(self.folder / f"review-{name.replace(' ', '-')}",
                                    [("POST", REVIEW_PATH, "application/json", wanted, body)])
                for name, (body, wanted) in found.items()}

    def start_echo(self):
        self.cluster.authority.issue("echo", ("127.0.0.1",))
        pki = self.folder / "cluster" / "pki"
        echo = subprocess.Popen([self.programs / "echo", pki / "echo.crt", pki / "echo.key"], stdout=subprocess.PIPE, text=True,
                                preexec_fn=lambda: alone({SERVER}))
        return echo, int(echo.stdout.readline())

    def direct(self):
        """Rows of reviews sent straight to the webhook."""
        files = self.reviews()
        files["echo"] = reviews.write(self.folder / "review-echo", [
            ("POST", REVIEW_PATH, "application/json", "-", Path(files["4 KB"]).read_text().splitlines()[1])])
        files["echo 20 KB"] = reviews.write(self.folder / "review-echo-20", [
            ("POST", REVIEW_PATH, "application/json", "-", Path(files["20 KB"]).read_text().splitlines()[1])])
        admission = self.moor.processes["admission"].pid
        for process in self.cluster.processes:
            pin(process.pid, {OTHERS})
        pin(admission, {SERVER})
        if not prefer(admission):
            self.notes.append("without root: whatever else runs on the machine is measured too")
        echo, echo_port = self.start_echo()
        port = self.moor.webhook_port
        try:
            measured = self.rounds_of_reviews(files, port, echo_port, admission)
        finally:
            echo.kill()
            echo.wait()
        prefer(admission, False)
        for pid in [process.pid for process in self.cluster.processes] + [admission]:
            pin(pid, {SERVER, OTHERS})
        return self.direct_rows(measured, resident(admission))

    def rounds_of_reviews(self, files, port, echo_port, admission):
        """what -> the results of each round."""
        measured = {}

        def measure(what, *arguments, **options):
            used = cpu_seconds(admission)
            found = self.load.run(*arguments, seconds=self.seconds, cores={OTHERS}, **options)
            found["server cpu"] = cpu_seconds(admission) - used
            measured.setdefault(what, []).append(found)

        for _ in range(self.rounds):
            measure("4 KB", port, files["4 KB"], connections=8)
            measure("4 KB ceiling", echo_port, files["echo"], connections=8)
            measure("20 KB", port, files["20 KB"], connections=8)
            measure("20 KB ceiling", echo_port, files["echo 20 KB"], connections=8)
            measure("4 KB refused", port, files["4 KB refused"], connections=8)
            measure("20 KB at 1,000/s", port, files["20 KB"], connections=16, rate=1000)
            measure("20 KB at 1,000/s ceiling", echo_port, files["echo 20 KB"], connections=16, rate=1000)
        return measured

    def direct_rows(self, measured, memory):
        def of(what, figure):
            return median([found[figure] for found in measured[what]])

        busiest = max(found["cpu"] for what in measured for found in measured[what])
        self.notes.append(f"the generator used at most {busiest:.0%} of its core")
        rows = []
        for size, target in (("4 KB", (5000, "≥ 5,000/s")), ("20 KB", None), ("4 KB refused", None)):
            ceiling = of(f"{size} ceiling", "rate") if f"{size} ceiling" in measured else None
            rows.append(row(f"reviews of {size}, one core", "1/s", of(size, "rate"), ceiling, target=target, most=False))
        for figure, target in (("p50", None), ("p99", (5, "< 5 ms")), ("p999", None)):
            rows.append(row(f"a review of 20 KB at 1,000/s, {figure}", "ms", of("20 KB at 1,000/s", figure),
                            of("20 KB at 1,000/s ceiling", figure), target=target))
        rows.append(row("resident memory after that", "MB", memory / 1e6, target=(20, "< 20 MB")))
        return rows

    # ------------------------------------------------------------------------------- writes

    def writes(self):
        """A file of edits that Git says nothing of, each another, so that each is written."""
        bodies = [reviews.config_map(self.namespace, f"edited-{number}", 10) for number in range(OBJECTS)]
        for body in bodies:
            reviews.apply(self.api, body, self.label)
        return reviews.write(self.folder / "writes", [
            ("PATCH", f"{reviews.path_of(bodies[number % OBJECTS])}?fieldManager=kubectl-annotate", reviews.MERGE, "-",
             {"metadata": {"annotations": {"example.org/note": f"number {number}"}}}) for number in range(5000)])

    def refuses(self):
        """Whether somebody keeps people from what Git declares."""
        try:
            self.api.request("PATCH", f"{reviews.path_of(reviews.config_map(self.namespace, 'edited-0', 0))}?dryRun=All",
                             {"data": {"setting-000": "x"}}, reviews.MERGE)
        except ApiError:
            return True
        return False

    def use(self, what):
        """Installs nothing, a policy, or the webhook; and waits until it holds."""
        if what == "webhook":
            self.moor.start_one("admission")
        if what in self.policies:
            policy.install(self.api, self.policies[what])
        wait_for(lambda: self.refuses() == (what != "nothing"), timeout=60, what=f"{what} installed")

    def drop(self, what):
        if what == "webhook":
            command = [*self.moor.processes["admission"].command, "--unregister"]
            self.moor.processes["admission"].stop()
            subprocess.run([str(word) for word in command], check=True, capture_output=True)
        if what in self.policies:
            policy.remove(self.api, self.policies[what])
        wait_for(lambda: not self.refuses(), timeout=60, what=f"{what} removed")

    def through_the_server(self):
        self.policies = {"core rule": policy.CORE, "floor": self.floor}
        file, port = self.writes(), int(self.cluster.server.rsplit(":", 1)[1])
        self.drop("webhook")
        measured = {what: [] for what in ("nothing", *self.policies, "webhook")}
        for _ in range(self.rounds):
            for what, found in measured.items():
                self.use(what)
                time.sleep(1)  # the server's own bookkeeping after a change of configuration
                found.append(self.load.run(port, file, connections=8, rate=100, seconds=2 * self.seconds,
                                           token=self.cluster.tokens["admin"]))
                self.drop(what)
        self.moor.start_one("admission")

        def of(what, figure):
            return median([each[figure] for each in measured[what]])

        rows = []
        for figure in ("p50", "p99"):
            rule = of("core rule", figure)
            for what, text in (("nothing", "nothing installed"), ("core rule", "the core rule as a policy"),
                               ("floor", "Gitmoor's floor alone")):
                rows.append(row(f"a write at 100/s, {figure}: {text}", "ms", of(what, figure)))
            rows.append(row(f"a write at 100/s, {figure}: Gitmoor's webhook", "ms", of("webhook", figure),
                            target=(rule + 2, "≤ core rule + 2 ms") if figure == "p99" else None))
        return rows


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench admission", description=__doc__.splitlines()[0])
    parser.add_argument("--programs", required=True, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement of reviews")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder), options.programs, options.seconds, options.rounds)
        rows = bench.run()
    return 0 if tell("admission", rows, (f"medians of {options.rounds} rounds", *bench.notes)) else 1


if __name__ == "__main__":
    sys.exit(main())
