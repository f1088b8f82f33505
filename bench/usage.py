"""Processor time and memory of processes, with their children, those that have ended too."""
import os
import time

from harness.process import children

REST_SECONDS, REST_SHARE = 3.0, 0.02  # at rest: that long less than this share of a core


def _seconds(pid):
    """Of a process, its ended children, and its living ones."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    own = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    return own + sum(_seconds(child) for child in children(pid))


def _proportional(pid):
    """Resident bytes, of which a page that several processes share counts in parts."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            return sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    except OSError:
        return 0


class Usage:
    """From here on."""

    def __init__(self, processes):
        self.processes = processes
        self.before = {process.name: _seconds(process.pid) for process in processes}

    def take(self):
        return {process.name: _seconds(process.pid) - self.before[process.name] for process in self.processes}

    def total(self):
        return sum(self.take().values())

    def memory(self):
        """Resident bytes of all."""
        return sum(process.memory() for process in self.processes)

    def memory_proportional(self):
        """The same, where what is shared counts once."""
        return sum(_proportional(pid) for process in self.processes for pid in [process.pid, *children(process.pid)])

    def told(self):
        return ", ".join(f"{process.name} {seconds:.2f} s {process.memory() / 1e6:.1f} MB"
                         for process, seconds in zip(self.processes, self.take().values()))

    def wait_for_rest(self, patience):
        """Until they use next to nothing; returns since when (time.monotonic())."""
        deadline = time.monotonic() + patience
        since, before = time.monotonic(), self.total()
        while time.monotonic() < deadline:
            time.sleep(0.25)
            now, used = time.monotonic(), self.total()
            if used - before > REST_SHARE * REST_SECONDS:
                since, before = now, used
            elif now - since >= REST_SECONDS:
                return since
        raise SystemExit(f"no rest in {patience} s")
