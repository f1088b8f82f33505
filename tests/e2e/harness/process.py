"""Child processes with a log file each.

A child ends with the process that started it (PR_SET_PDEATHSIG), unless it is made a daemon, which
scripts/dev does: then it has a session of its own and a pid file.
"""
import ctypes
import os
import signal
import subprocess
import time
from pathlib import Path

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class Process:
    """One program: start, stop, kill, restart; its output goes to LOGS/NAME.log."""

    def __init__(self, name, command, folder: Path, env=None, daemon=False):
        self.name = name
        self.command = [str(word) for word in command]
        self.log = Path(folder) / f"{name}.log"
        self.pid_file = Path(folder) / f"{name}.pid"
        self.env = {**os.environ, **(env or {})}
        self.daemon = daemon
        self.child = None

    def start(self):
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log, "ab") as log:
            self.child = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env,
                start_new_session=self.daemon,
                preexec_fn=None if self.daemon else _die_with_parent)
        if self.daemon:
            self.pid_file.write_text(f"{self.child.pid}\n")
        return self

    @property
    def pid(self):
        return self.child.pid if self.child else None

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def stop(self, timeout=60.0):
        """SIGTERM, and SIGKILL if it is still there after timeout. Returns the exit status."""
        if self.child is None:
            return None
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                self.child.kill()
        status = self.child.wait()
        self.pid_file.unlink(missing_ok=True)
        self.child = None
        return status

    def kill(self):
        """SIGKILL, as a crash would."""
        if self.child is not None:
            self.child.kill()
            self.child.wait()
            self.child = None

    def restart(self):
        self.stop()
        return self.start()

    def tail(self, lines=15):
        if not self.log.exists():
            return "(no log)"
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def memory(self):
        """Resident bytes of the process and its children."""
        return sum(resident(pid) for pid in [self.pid, *children(self.pid)]) if self.pid else 0


def resident(pid):
    """Resident bytes of a process; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def children(pid):
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as listed:
            return [int(word) for word in listed.read().split()]
    except OSError:
        return []


def cpu_seconds(pid):
    """User and system time that a process has used."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0


def end_daemon(pid_file: Path, expected, timeout=15.0):
    """End the daemon of a pid file, if that pid still runs the expected program."""
    try:
        pid = int(pid_file.read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except (OSError, ValueError):
        pid_file.unlink(missing_ok=True)
        return False
    if expected not in command:
        pid_file.unlink(missing_ok=True)
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout
    while Path(f"/proc/{pid}").exists() and not _zombie(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = time.monotonic() + timeout
        time.sleep(0.05)
    pid_file.unlink(missing_ok=True)
    return True


def _zombie(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True
