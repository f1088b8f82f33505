"""How long a commit to 40 repositories with 100 applications takes to land by the number of replicas, and what each replica costs.

    bench/scaling.py [REPLICAS...]      default: 1 2 4; prints the table of docs/scaling.md

Everything runs on this host, kube-apiserver, etcd and the Git server included, so with few cores the machine is the limit, not the
replicas: the columns of CPU say how the work spreads.
"""
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "e2e"))

from gitserver import GitServer  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.fleet import Fleet  # noqa: E402
from harness.process import children, resident  # noqa: E402
from harness.shops import Shops  # noqa: E402
from harness.waiting import wait_for  # noqa: E402

ROLES = ("fetcher", "differ", "applier")
COMMITS = 4
MEGABYTE = 1 << 20


def cpu(fleet):
    """name -> seconds of CPU, those of workers that have ended included (proc(5): cutime, cstime)."""
    found = {}
    for name, process in fleet.processes.items():
        fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()
        found[name] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return found


def measure(fleet, shops):
    """The row of one number of replicas."""
    before, times = cpu(fleet), []
    for _ in range(COMMITS):
        shops.push()
        start = time.monotonic()
        shops.nudge()
        shops.wait_landed(60)
        times.append(time.monotonic() - start)
    used = {name: seconds - before[name] for name, seconds in cpu(fleet).items()}
    cells = [f"{statistics.median(times):.1f} s"]
    for role in ROLES:
        cells.append(" + ".join(f"{used[name] / COMMITS * 1000:.0f}" for name in fleet.of(role)) + " ms")
    for role in ROLES:
        most = max(sum(resident(pid) for pid in [fleet.processes[name].pid, *children(fleet.processes[name].pid)])
                   for name in fleet.of(role))
        cells.append(f"{most / MEGABYTE:.0f} MB")
    return cells


def main(arguments):
    counts = sorted(int(word) for word in arguments) or [1, 2, 4]
    folder = Path(tempfile.mkdtemp(prefix="gm-"))
    server = GitServer(folder / "git").start()
    try:
        with Cluster(folder / "cluster") as cluster:
            fleet = Fleet(cluster, folder / "fleet")
            shops = Shops(cluster, server, folder)
            print("| replicas of each | a commit lands everywhere after | CPU of fetchers a commit | of differs | of appliers "
                  "| largest fetcher | differ | applier |\n| --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
            for count in counts:
                for role in ROLES:
                    fleet.add(role, count - len(fleet.of(role)))
                if count == counts[0]:
                    shops.make()
                shops.commit()
                shops.wait_landed(90)
                wait_for(lambda: sum(fleet.each("differ", "gitmoor_differ_applications").values()) == 100, what="shares")
                print("| " + " | ".join([str(count), *measure(fleet, shops)]) + " |", flush=True)
            fleet.stop()
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
