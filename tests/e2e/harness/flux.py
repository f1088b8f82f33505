"""Flux's source-controller and kustomize-controller as programs against a cluster, to compare with, and to come from."""
import json
import os
from pathlib import Path

from . import paths, ports
from .process import Process
from .waiting import wait_for

CONTROLLERS = ("source-controller", "kustomize-controller")


def is_built():
    return all((paths.cache() / "bin" / f"flux-{name}").exists() for name in CONTROLLERS)


class Flux:
    def __init__(self, cluster, folder: Path, user="admin"):
        self.cluster, self.folder, self.user, self.processes = cluster, Path(folder), user, []

    def start(self):
        crds = sorted((paths.cache() / "flux" / "crds").glob("*.yaml"))
        if not crds:
            raise SystemExit("Flux is not built; run scripts/setup bench")
        self.cluster.kubectl("apply", "--server-side", *(word for crd in crds for word in ("-f", crd)))
        self.cluster.kubectl("create", "namespace", "flux-system")
        storage, *health = ports.free(3)
        env = {"KUBECONFIG": str(self.cluster.kubeconfig(self.user)), "RUNTIME_NAMESPACE": "flux-system", "TMPDIR": str(self.folder)}
        for name, port in zip(CONTROLLERS, health):
            flags = ["--watch-all-namespaces", "--enable-leader-election=false", "--log-level=error", "--metrics-addr=0",
                     f"--health-addr=127.0.0.1:{port}", "--events-addr="]
            if name == "source-controller":
                flags += [f"--storage-path={self.folder / 'artifacts'}", f"--storage-addr=127.0.0.1:{storage}",
                          f"--storage-adv-addr=127.0.0.1:{storage}"]
            (self.folder / "artifacts").mkdir(parents=True, exist_ok=True)
            process = Process(f"flux-{name}", [paths.cache() / "bin" / f"flux-{name}", *flags], self.folder, env=env)
            self.processes.append(process.start())
        for process, port in zip(self.processes, health):
            wait_for(lambda process=process, port=port: self._healthy(process, port), timeout=60, what=f"{process.name} ready")
        return self

    @staticmethod
    def _healthy(process, port):
        import http.client
        if not process.alive():
            raise RuntimeError(process.tail())
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200

    def stop(self):
        for process in self.processes:
            process.stop()

    def memory(self):
        return {process.name: process.memory() for process in self.processes}


def git_repository(namespace, name, url):
    return {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository", "metadata": {"name": name, "namespace": namespace},
            "spec": {"url": url, "interval": "1h", "ref": {"branch": "main"}, "secretRef": {"name": "git"}}}


def kustomization(namespace, name, path, interval="1h", source=None):
    return {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"interval": interval, "path": path, "prune": True, "wait": False, "targetNamespace": namespace,
                     "sourceRef": {"kind": "GitRepository", "name": source or name}}}


PATHS = {"GitRepository": "/apis/source.toolkit.fluxcd.io/v1/namespaces/{}/gitrepositories",
         "Kustomization": "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{}/kustomizations"}


def create(api, body):
    path = PATHS[body["kind"]].format(body["metadata"]["namespace"])
    return api.request("POST", path, json.dumps(body))


def nudge(api, namespace, name):
    path = PATHS["GitRepository"].format(namespace) + f"/{name}"
    api.request("PATCH", path, {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": os.urandom(8).hex()}}},
                "application/merge-patch+json")
