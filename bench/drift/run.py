"""scripts/bench drift: edits by hand, one after another, at random over objects of ten kinds; how long until the field is back.

The time runs from the API server's answer to the editor until a watch of the editor's own (one of each kind, opened before) tells
that the field is back: nothing is polled. How much later than the answer that watch tells of the edit itself is measured too, as the
resolution. The ceiling is the editor, who puts the field back with a bare server-side apply as soon as the answer is there. Flux has
the same objects and an interval of a minute, on the same API server in the same run.
"""
import argparse
import random
import shutil
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import kinds
from gitserver import GitServer
from harness.api import path_of
from harness.cluster import Cluster
from harness.environment import bus_folder
from harness.flux import Flux
from harness.follow import Follow
from harness.moor import Moor
from table import row, tell

FLUX_PAUSE = 17  # seconds between Flux's edits, which do not wait for each other: they fall into different parts of its minute


class Sight:
    """What the editor's watches tell of one namespace, and when."""

    def __init__(self, api, namespace):
        self.told, self.changed = {}, threading.Condition()
        self.follows = [Follow(api, path_of(kind, namespace), self._taker(kind)) for kind in kinds.KINDS]
        for follow in self.follows:
            follow.listed.wait(60)

    def _taker(self, kind):
        def take(_, found):
            at, meta = time.monotonic(), found["metadata"]
            with self.changed:
                self.told.setdefault((kind, meta["name"]), []).append(
                    (at, int(meta["resourceVersion"]), kinds.holds(found, kinds.KINDS[kind][2])))
                self.changed.notify_all()
        return take

    def when(self, kind, number, version, back, timeout):
        """When it was told that the edit with this version was there, or (back) undone."""
        name = (kind, kinds.name_of(kind, number))

        def found():
            return next((at for at, seen, whole in self.told.get(name, ())
                         if (back and whole and seen > version) or (not back and seen == version)), None)
        with self.changed:
            if not self.changed.wait_for(lambda: found() is not None, timeout):
                raise SystemExit(f"{kind} {name[1]} was not {'repaired' if back else 'seen'} in {timeout} s")
            return found()

    def stop(self):
        for follow in self.follows:
            follow.stop()


def percentile(values, part):
    return statistics.quantiles(values, n=100, method="inclusive")[part - 1] if len(values) > 1 else values[0]


class Bench:
    def __init__(self, folder, options):
        self.folder, self.options, self.each = folder, options, max(1, options.objects // len(kinds.KINDS))
        self.random = random.Random(options.seed)
        self.git = self.cluster = self.api = None
        self.ours, self.ceiling, self.flux, self.resolution = [], [], [], []

    def run(self):
        self.git = GitServer(self.folder / "git").start()
        bus = bus_folder()
        try:
            with Cluster(self.folder / "cluster", controller_manager=False) as self.cluster:
                self.api = self.cluster.api()
                self.bare()
                with Moor(self.cluster, self.folder / "moor", bus=bus):
                    self.gitmoor()
                if self.options.flux_edits:
                    self.compare()
        finally:
            shutil.rmtree(bus, ignore_errors=True)
            self.git.stop()
        return self.report()

    def picks(self, count):
        return [(self.random.choice(list(kinds.KINDS)), self.random.randrange(self.each)) for _ in range(count)]

    def edit(self, sight, namespace, kind, number):
        """Returns the version that the edit made, and when it was answered."""
        answer = kinds.edit(self.api, namespace, kind, number)
        answered = time.monotonic()
        version = int(answer["metadata"]["resourceVersion"])
        self.resolution.append(max(0.0, sight.when(kind, number, version, False, 60) - answered))
        return version, answered

    def bare(self):
        namespace = self.cluster.new_namespace("ceiling")
        for kind in kinds.KINDS:
            for number in range(self.each):
                self.api.apply(kinds.manifest(kind, number, namespace), manager="ceiling")
        sight = Sight(self.api, namespace)
        for kind, number in self.picks(self.options.edits):
            answer = kinds.edit(self.api, namespace, kind, number)
            answered = time.monotonic()
            self.api.apply(kinds.manifest(kind, number, namespace), manager="ceiling")
            version = int(answer["metadata"]["resourceVersion"])
            self.ceiling.append(max(0.0, sight.when(kind, number, version, True, 60) - answered))
        sight.stop()
        kinds.count(self.api, namespace, self.each)

    def gitmoor(self):
        (namespace,) = kinds.moor(self.cluster, self.git, self.folder, ["ours"], self.each)
        sight = Sight(self.api, namespace)
        for kind, number in self.picks(self.options.edits):
            version, answered = self.edit(sight, namespace, kind, number)
            self.ours.append(max(0.0, sight.when(kind, number, version, True, 60) - answered))
        sight.stop()
        kinds.count(self.api, namespace, self.each)

    def compare(self):
        running = Flux(self.cluster, self.folder / "flux").start()
        try:
            (namespace,) = kinds.fluxed(self.cluster, self.git, self.folder, ["flux"], self.each)
            sight = Sight(self.api, namespace)
            edits = []
            for place, (kind, number) in enumerate(self.picks(self.options.flux_edits)):
                time.sleep(FLUX_PAUSE if place else 0)
                edits.append((kind, number, *self.edit(sight, namespace, kind, number)))
            for kind, number, version, answered in edits:
                self.flux.append(sight.when(kind, number, version, True, 180) - answered)
            sight.stop()
        finally:
            running.stop()

    def report(self):
        what = f"{self.options.edits:,} edits over {self.each * len(kinds.KINDS):,} objects of {len(kinds.KINDS)} kinds, until the field is back"
        rows = []
        for part, limit in ((50, 25), (99, 150)):
            flux = percentile(self.flux, part) * 1e3 if self.flux and part == 50 else None
            rows.append(row(f"{what}, p{part}", "ms", percentile(self.ours, part) * 1e3, percentile(self.ceiling, part) * 1e3, flux,
                            (limit, f"≤ {limit} ms")))
        rows.append(row("the longest", "ms", max(self.ours) * 1e3, max(self.ceiling) * 1e3, max(self.flux) * 1e3 if self.flux else None))
        resolution = [percentile(self.resolution, part) * 1e3 for part in (50, 99)]
        notes = [f"seen by the editor's own watches, which told of the edit itself {resolution[0]:.2f} ms (p50) and {resolution[1]:.2f} ms "
                 f"(p99) after its answer; seed {self.options.seed}"]
        if self.flux:
            notes.append(f"Flux: {len(self.flux)} edits, interval 1m, 17 s from one to the next: "
                         + ", ".join(f"{seconds:.1f} s" for seconds in self.flux))
        return tell("drift", rows, notes)


def main():
    parser = argparse.ArgumentParser(prog="scripts/bench drift", description=__doc__.splitlines()[0])
    parser.add_argument("--objects", type=int, default=1000, help="a tenth of them of each kind (default: 1000)")
    parser.add_argument("--edits", type=int, default=1000, help="one after another (default: 1000)")
    parser.add_argument("--flux-edits", type=int, default=3, help="0 leaves Flux out (default: 3)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gm-bench-", ignore_cleanup_errors=True) as folder:
        return 0 if Bench(Path(folder), options).run() else 1


if __name__ == "__main__":
    sys.exit(main())
