"""scripts/bench monorepo: many applications in one repository that holds other files too: installation, and small commits.

Once with plain manifests, once as Kustomize overlays of one base; each layout has a fresh control plane, on which Flux has the same
after us. Times run from the request that asks for it (the first Application created; the push notification, after the push) until a
watch of the benchmark's own tells that it is live. Processor time is that of all processes with their ended children, until they
have come to rest.
"""
import argparse
import json
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gitserver import GitServer
from harness import flux, sample
from harness.api import condition, path_of
from harness.cluster import Cluster
from harness.environment import bus_folder
from harness.follow import Follow
from harness.moor import Moor
from harness.repository import Repository
from harness.waiting import wait_for
from layouts import LAYOUTS, OBJECTS, name_of, other_files
from table import RESULTS, median, row, tell
from usage import Usage

PATIENCE = 1800
REPOSITORY = "mono"


class Seen:
    """What a watch tells of objects: name -> a value of each, and when all wanted ones had the value wanted."""

    def __init__(self, api, path, value_of):
        self.values, self.changed, self.value_of = {}, threading.Condition(), value_of
        self.follow = Follow(api, path, self._take)
        self.follow.listed.wait(60)

    def _take(self, _, found):
        with self.changed:
            self.values[found["metadata"]["name"]] = self.value_of(found)
            self.changed.notify_all()

    def wait(self, names, holds, what):
        """When the last of the names had a value that holds."""
        with self.changed:
            if not self.changed.wait_for(lambda: all(holds(self.values.get(name)) for name in names), PATIENCE):
                wrong = [name for name in names if not holds(self.values.get(name))]
                raise SystemExit(f"{what}: not in {PATIENCE} s for {len(wrong)} of {len(names)}: {wrong[:3]}, "
                                 f"{self.values.get(wrong[0])}")
        return time.monotonic()

    def stop(self):
        self.follow.stop()


def ready_revision(found):
    """The revision that an Application or Kustomization is Ready at, or None."""
    ready = condition(found, "Ready")
    current = ready.get("status") == "True" and ready.get("observedGeneration") == found["metadata"]["generation"]
    return found["status"].get("lastAppliedRevision") if current else None


class Ours:
    who = "ours"

    def __init__(self, cluster, folder):
        self.cluster, self.api, self.bus = cluster, cluster.api(), bus_folder()
        self.moor = Moor(cluster, folder / "moor", bus=self.bus).start()
        self.processes = list(self.moor.processes.values())

    def stop(self):
        self.moor.stop()
        shutil.rmtree(self.bus, ignore_errors=True)

    def renders(self):
        return self.moor.metric("differ", "gitmoor_differ_renders_total", 'result="rendered"')

    def make_repository(self, namespace, url):
        self.api.apply(sample.git_repository(namespace, REPOSITORY, url, interval="1h", secret="git"))
        wait_for(lambda: condition(self.api.get("GitRepository", namespace, REPOSITORY), "Ready").get("status") == "True", 120,
                 "the GitRepository is ready")

    @staticmethod
    def applications(namespace):
        return path_of("Application", namespace)

    def make_application(self, namespace, number, path):
        self.api.create("Application", namespace, sample.application(namespace, name_of(number), REPOSITORY, path))

    def notify(self, namespace):
        self.api.patch("GitRepository", namespace, REPOSITORY, {"metadata": {"annotations": {
            "gitmoor.io/reconcile-requested-at": str(time.time_ns())}}}, manager="git-server")

    @staticmethod
    def settled_names(names, changed):
        """Who tells of a commit: only those that it changes."""
        return changed


class Theirs:
    who = "flux"

    def __init__(self, cluster, folder):
        self.api = cluster.api()
        self.flux = flux.Flux(cluster, folder / "flux").start()
        self.processes = self.flux.processes

    def stop(self):
        self.flux.stop()

    @staticmethod
    def renders():
        return 0.0

    def make_repository(self, namespace, url):
        flux.create(self.api, flux.git_repository(namespace, REPOSITORY, url))
        path = flux.PATHS["GitRepository"].format(namespace) + f"/{REPOSITORY}"
        wait_for(lambda: condition(self.api.request("GET", path), "Ready").get("status") == "True", 120, "Flux's GitRepository is ready")

    @staticmethod
    def applications(namespace):
        return flux.PATHS["Kustomization"].format(namespace)

    def make_application(self, namespace, number, path):
        flux.create(self.api, flux.kustomization(namespace, name_of(number), f"./{path}", source=REPOSITORY))

    def notify(self, namespace):
        flux.nudge(self.api, namespace, REPOSITORY)

    @staticmethod
    def settled_names(names, changed):
        return names


class Side:
    """One of the two with one layout in a namespace of its own."""

    def __init__(self, bench, runner, layout):
        self.bench, self.runner, self.layout, self.options = bench, runner, layout, bench.options
        self.api = bench.cluster.api()
        self.namespace = bench.cluster.new_namespace(runner.who)
        self.repository = Repository.create(bench.git, bench.folder, f"{runner.who}-{REPOSITORY}")
        self.names = [name_of(number) for number in range(self.options.applications)]
        self.settings = {name: f"{name}-settings" for name in self.names}
        self.measured = {}

    def note(self, name, value):
        self.measured.setdefault(name, []).append(value)

    def of(self, name):
        return median(self.measured.get(name))

    def run(self, commits):
        self.repository.commit({**self.layout.files(self.options.applications), **other_files(self.options.other_files)})
        self.api.apply(sample.ca_secret(self.namespace, "git", self.repository.ca_file))
        self.runner.make_repository(self.namespace, self.repository.url)
        self.ready = Seen(self.api, self.runner.applications(self.namespace), ready_revision)
        self.live = Seen(self.api, path_of("ConfigMap", self.namespace), lambda found: found.get("data", {}))
        self.install()
        for number in range(commits):
            self.commit(self.layout.commits[0], self.layout.change(number, f"red-{number}"), self.names[number:number + 1],
                        ("color", f"red-{number}"))
        if len(self.layout.commits) > 1:
            self.commit(self.layout.commits[1], self.layout.change_base("CHF"), self.names, ("currency", "CHF"))
        self.ready.stop()
        self.live.stop()
        return self

    def head(self):
        return f"main@sha1:{self.repository.head()}"

    def install(self):
        usage, renders, head = Usage(self.runner.processes), self.runner.renders(), self.head()
        start = time.monotonic()
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda number: self.runner.make_application(self.namespace, number, self.layout.path(number)),
                          range(self.options.applications)))
        ready = self.ready.wait(self.names, lambda revision: revision == head, "installed")
        self.note("install", ready - start)
        self.rest("install", usage, start, renders)
        self.check()

    def commit(self, what, files, changed, value):
        self.repository.commit(files)
        usage, renders, head = Usage(self.runner.processes), self.runner.renders(), self.head()
        start = time.monotonic()
        self.runner.notify(self.namespace)
        key, wanted = value
        live = self.live.wait([self.settings[name] for name in changed], lambda data: data and data.get(key) == wanted, what)
        self.note(what, live - start)
        self.ready.wait(self.runner.settled_names(self.names, changed), lambda revision: revision == head, f"{what}, settled")
        self.rest(what, usage, start, renders)

    def rest(self, what, usage, start, renders):
        """Until all processes are at rest: what it took."""
        at = usage.wait_for_rest(PATIENCE)
        self.note(f"{what}: settled", at - start)
        self.note(f"{what}: cpu", usage.total())
        self.note(f"{what}: renders", self.runner.renders() - renders)
        self.note(f"{what}: memory", usage.memory() / 1e6)
        self.note(f"{what}: proportional", usage.memory_proportional() / 1e6)
        self.note(f"{what}: usage", usage.told())
        print(f"    {self.runner.who}, {what}: {self.measured[what][-1]:.2f} s, settled after {at - start:.1f} s, "
              f"{self.measured[f'{what}: renders'][-1]:.0f} renders, {usage.told()}", flush=True)

    def check(self):
        """What was measured is what is there."""
        for kind, suffix in (("ConfigMap", "settings"), ("Service", "web"), ("ServiceAccount", "web"), ("Role", "web")):
            found = {item["metadata"]["name"] for item in self.api.list(kind, self.namespace)}
            missing = [name for name in self.names if f"{name}-{suffix}" not in found]
            if missing:
                raise SystemExit(f"{kind}: {len(missing)} of {len(self.names)} are not there: {missing[:3]}")


class Bench:
    def __init__(self, folder, options):
        self.folder, self.options = folder, options
        self.git = self.cluster = None

    def run(self, layout):
        """(ours, Flux's or None) of one layout."""
        self.git = GitServer(self.folder / "git").start()
        try:
            with Cluster(self.folder / "cluster", controller_manager=False) as self.cluster:
                sides = [self.side(Ours, layout, self.options.commits)]
                if not self.options.without_flux:
                    sides.append(self.side(Theirs, layout, 1))
        finally:
            self.git.stop()
        return sides[0], sides[1] if len(sides) > 1 else None

    def side(self, kind, layout, commits):
        runner = kind(self.cluster, self.folder)
        try:
            return Side(self, runner, layout).run(commits)
        finally:
            runner.stop()


class Report:
    """Rows of one layout."""

    def __init__(self, layout, ours, theirs, options):
        self.layout, self.ours, self.theirs, self.rows = layout, ours, theirs, []
        self.head = f"{options.applications:,} applications × {OBJECTS}, {layout.name}: "
        self.options = options

    def add(self, what, unit, name, target=None):
        self.rows.append(row(self.head + what, unit, self.ours.of(name), None, self.theirs and self.theirs.of(name) or None, target))

    def make(self):
        plain = self.layout.name == "plain manifests"
        self.add("installed", "s", "install", (15, "≤ 15 s") if plain else None)
        self.add("installed, processor time until at rest", "s", "install: cpu")
        self.add("resident memory of all processes", "MB", "install: memory", (60, "≤ 60 MB") if plain else None)
        self.add("the same, with what they share counted once", "MB", "install: proportional")
        one = self.layout.commits[0]
        self.add(f"a commit to {one}, live after", "s", one, (1, "≤ 1 s"))
        self.add(f"a commit to {one}, at rest after", "s", f"{one}: settled")
        self.add(f"a commit to {one}, processor time until at rest", "s", f"{one}: cpu", (1, "≤ 1 s"))
        self.add(f"a commit to {one}, applications rendered", "", f"{one}: renders", (1, "1"))
        if len(self.layout.commits) > 1:
            base = self.layout.commits[1]
            self.add(f"a commit to {base}, live everywhere after", "s", base)
            self.add(f"a commit to {base}, processor time until at rest", "s", f"{base}: cpu")
            self.add(f"a commit to {base}, applications rendered", "", f"{base}: renders")
        notes = [f"{self.head}{side.runner.who}, {name}: {side.measured[f'{name}: usage'][0]}"
                 for side in filter(None, (self.ours, self.theirs)) for name in ("install", *self.layout.commits)]
        return self.rows, notes


def kept(layouts):
    """The rows and notes of the layouts that were not measured this time."""
    file = RESULTS / "monorepo.json"
    others = [kind.name for name, kind in LAYOUTS.items() if name not in layouts]
    before = json.loads(file.read_text()) if file.exists() else {"rows": [], "notes": []}

    def is_other(text):
        return any(f", {name}: " in text for name in others)
    return [item for item in before["rows"] if is_other(item["what"])], [note for note in before["notes"] if is_other(note)]


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench monorepo", description=__doc__.splitlines()[0])
    parser.add_argument("--applications", type=int, default=500)
    parser.add_argument("--other-files", type=int, default=1000)
    parser.add_argument("--commits", type=int, default=5, help="to one application each; Flux has one (default: 5)")
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS), help="of the others the results are kept")
    parser.add_argument("--without-flux", action="store_true")
    parser.add_argument("--quick", action="store_true", help="25 applications, without Flux; bench/results stays as it is")
    options = parser.parse_args()
    if options.quick:
        options.applications, options.without_flux = 25, True
    rows, notes = ([], []) if options.quick else kept(options.layouts)
    for name in options.layouts:
        with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
            layout = LAYOUTS[name]()
            print(f"{layout.name} …", flush=True)
            found, told = Report(layout, *Bench(Path(folder), options).run(layout), options).make()
            rows, notes = rows + found, notes + told
    return 0 if tell("monorepo", rows, notes, keep=not options.quick) else 1


if __name__ == "__main__":
    sys.exit(main())
