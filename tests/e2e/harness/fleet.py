"""Several replicas of each process on one host, over tcp:// on loopback, that find each other by Leases as in a cluster."""
import hashlib

from . import ports
from .cluster import NAMESPACE
from .moor import Moor
from .process import Process
from .waiting import wait_for


def owner(key, names):
    """Whose share a key is: rendezvous hashing, as common/kube/peers.c does it."""
    return max(names, key=lambda name: hashlib.sha256(f"{key}\n{name}".encode()).digest())


class Fleet(Moor):
    """add(ROLE, COUNT), remove(NAMES), kill(NAME). A replica is named differ-0, differ-1 …; its number is used once."""

    def __init__(self, cluster, folder, **options):
        super().__init__(cluster, folder, **options)
        self.number, self.webhook_ports = 0, {}
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._write_keys()

    def add(self, role, count=1, kubeconfig=None):
        """More replicas of a role; returns their names when they are ready and hold their Leases."""
        names = []
        for _ in range(count):
            name = f"{role}-{self.number}"
            self.number += 1
            (self.listen[name],) = ports.free()
            if role == "admission":
                (self.webhook_port,) = ports.free()
                self.webhook_ports[name] = self.webhook_port
            self.processes[name] = Process(name, [self.binaries / f"gitmoor-{role}", *self._flags_of(role, name, kubeconfig)], self.folder)
            self.processes[name].start()
            names.append(name)
        for name in names:
            self.wait_ready(name)
        wait_for(lambda: set(names) <= set(self.leases()), what=f"Leases of {names}")
        return names

    def remove(self, names):
        """SIGTERM to all of them at once, once; they must end well."""
        for name in names:
            self.processes[name].child.terminate()
        for name in names:
            status = self.processes.pop(name).child.wait(60)
            assert status == 0, f"{name} ended with {status}"

    def kill(self, name):
        self.processes.pop(name).kill()

    def stop(self):
        """SIGTERM to all at once, once; they must end well."""
        self.remove(list(self.processes))

    def of(self, role):
        """The names of the replicas that run."""
        return [name for name in self.processes if name.rpartition("-")[0] == role]

    def each(self, role, metric, label=""):
        """name -> value, of the replicas of a role that run."""
        return {name: self.metric(name, metric, label) for name in self.of(role)}

    def total(self, role, metric, label=""):
        return sum(self.each(role, metric, label).values())

    def leases(self):
        """Replica -> when it last renewed its Lease."""
        found = self.cluster.api().request("GET", f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases")["items"]
        return {lease["spec"]["holderIdentity"]: lease["spec"]["renewTime"] for lease in found
                if "gitmoor.io/role" in lease["metadata"].get("labels", {})}

    def _flags_of(self, role, name, kubeconfig):
        flags = ["--kubeconfig", kubeconfig or self.kubeconfig(role), "--listen", f"127.0.0.1:{self.listen[name]}",
                 "--bus", f"tcp://127.0.0.1:{ports.row(2)}",  # hints, and blobs beside them
                 "--bus-keys", self.folder / "keys" / role, "--instance", name,
                 "--lease-namespace", NAMESPACE]
        if role in ("fetcher", "differ"):
            flags += ["--data-dir", self.folder / "data" / name]
        if role == "differ":
            flags += ["--memory-dir", self.memory_folder.name]
        if role == "applier":
            flags += ["--default-service-account", f"{NAMESPACE}/gitmoor-default"]
        if role == "admission":
            flags += ["--applier", self.applier_user, "--webhook-url", f"https://{self.webhook_host}:{self.webhook_port}",
                      "--webhook-listen", f"{self.webhook_host}:{self.webhook_port}", "--webhook-timeout", "3s"]
        return flags + list(self.extra.get(role, ()))
