"""The four processes of Gitmoor against a cluster, on one host over ipc://, as in development."""
import http.client
import secrets
import tempfile
from pathlib import Path

from . import paths, ports
from .cluster import PROCESSES, user_of
from .process import Process
from .waiting import wait_for

# Who holds the key of which link (common/bus/bus.h).
LINKS = {"fetcher-differ": ("fetcher", "differ"), "differ-applier": ("differ", "applier"),
         "admission-differ": ("admission", "differ")}


class Moor:
    """start(), stop(); kill(NAME) and start_one(NAME) for one of fetcher, differ, applier, admission.

    The folder `bus`, by default one in folder, must have a short path: Unix sockets allow 107 characters.
    """

    def __init__(self, cluster, folder: Path, daemon=False, binaries=None, webhook_host="127.0.0.1", extra=None,
                 kubeconfig=None, users=None, bus=None):
        self.cluster, self.folder, self.daemon = cluster, Path(folder), daemon
        self.binaries = Path(binaries or paths.gitmoor_bin())
        self.webhook_host = webhook_host
        self.extra = extra or {}
        self.kubeconfig = kubeconfig or cluster.kubeconfig
        self.applier_user = (users or user_of)("applier")
        self.bus = Path(bus or self.folder / "bus")
        # A daemon outlives this process, and the folder would not.
        self.memory_folder = None if daemon else tempfile.TemporaryDirectory(prefix="gitmoor-", dir="/dev/shm")
        self.processes = {}
        self.listen = {}
        self.webhook_port = None

    def start(self, only=PROCESSES):
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_keys()
        *listen, self.webhook_port = ports.free(len(PROCESSES) + 1)
        self.listen = dict(zip(PROCESSES, listen))
        for name in only:
            self.processes[name] = Process(f"gitmoor-{name}", [self.binaries / f"gitmoor-{name}", *self._flags(name)],
                                           self.folder, daemon=self.daemon)
            self.processes[name].start()
        for name in only:
            self.wait_ready(name)
        return self

    def stop(self):
        """SIGTERM to all; returns name -> exit status."""
        return {name: process.stop() for name, process in self.processes.items()}

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def kill(self, name):
        self.processes[name].kill()

    def start_one(self, name, wait=True):
        self.processes[name].start()
        if wait:
            self.wait_ready(name)

    def wait_ready(self, name, timeout=30):
        process = self.processes[name]

        def ready():
            return not process.alive() or self.http(name, "/readyz")[0] == 200

        wait_for(ready, timeout, what=f"gitmoor-{name} ready")
        if not process.alive():
            raise RuntimeError(f"gitmoor-{name} ended with {process.child.returncode}:\n{process.tail()}")

    def http(self, name, path):
        """GET of a process's own endpoint: (status, text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.listen[name], timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name, metric, label=""):
        """The value of one series, the sum over its labels unless `label` (text such as reason="x") picks some; 0 if none."""
        total = 0.0
        for line in self.http(name, "/metrics")[1].splitlines():
            series, _, value = line.rpartition(" ")
            if series.split("{")[0] == metric and label in series:
                total += float(value)
        return total

    def memory(self):
        """name -> resident bytes, children included."""
        return {name: process.memory() for name, process in self.processes.items()}

    def logs(self, lines=15):
        return "\n".join(f"--- {name}\n{process.tail(lines)}" for name, process in self.processes.items())

    def inbox(self, name):
        return f"ipc://{self.bus}/{name}"

    def _write_keys(self):
        for link, holders in LINKS.items():
            key = secrets.token_hex(32)
            for holder in holders:
                folder = self.folder / "keys" / holder
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                file = folder / f"{link}.key"
                file.touch(mode=0o600)
                file.write_text(key + "\n")

    def _flags(self, name):
        flags = ["--kubeconfig", self.kubeconfig(name), "--listen", f"127.0.0.1:{self.listen[name]}",
                 "--bus", self.inbox(name), "--bus-keys", self.folder / "keys" / name, "--instance", f"{name}-0"]
        if name in ("fetcher", "differ"):
            flags += ["--data-dir", self.folder / "data" / name]
        if name == "fetcher":
            flags += ["--differ", self.inbox("differ")]
        if name == "differ":
            flags += ["--memory-dir", self.memory_folder.name] if self.memory_folder else []
            for peer in ("fetcher", "applier", "admission"):
                flags += [f"--{peer}", self.inbox(peer)]
        if name == "applier":
            flags += ["--differ", self.inbox("differ"), "--default-service-account", "gitmoor-system/gitmoor-default"]
        if name == "admission":
            flags += ["--differ", self.inbox("differ"), "--applier", self.applier_user,
                      "--webhook-url", f"https://{self.webhook_host}:{self.webhook_port}",
                      "--webhook-listen", f"{self.webhook_host}:{self.webhook_port}", "--webhook-timeout", "3s"]
        return flags + list(self.extra.get(name, ()))
