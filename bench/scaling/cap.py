"""A limit of CPU for one process and its children, as limits.cpu of a container is: by the kernel's quota (cgroup version 1 or 2)."""
import os
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PERIOD = 100000  # microseconds, as kubelet sets it; with shorter ones the kernel gives too much


class Cap:
    """Cap(pid, 0.1): a tenth of a core, until lift(). OSError where one may not do that."""

    def __init__(self, pid, cores):
        old = (TOP / "cpu" / "cgroup.procs").exists()
        self.home = TOP / "cpu" if old else TOP
        self.folder, self.pid = self.home / f"gitmoor-bench-{os.getpid()}-{pid}", pid
        self.folder.mkdir()
        quota = int(PERIOD * cores)
        if old:
            (self.folder / "cpu.cfs_period_us").write_text(str(PERIOD))
            (self.folder / "cpu.cfs_quota_us").write_text(str(quota))
        else:
            (self.folder / "cpu.max").write_text(f"{quota} {PERIOD}")
        self._move(self.folder, [pid])

    def lift(self):
        self._move(self.home, map(int, (self.folder / "cgroup.procs").read_text().split()))
        self.folder.rmdir()

    @staticmethod
    def _move(folder, pids):
        for pid in pids:
            try:
                (folder / "cgroup.procs").write_text(str(pid))
            except ProcessLookupError:
                pass
