"""A cluster that somebody else runs, given by its kubeconfig: Gitmoor's definitions and accounts are put into it, and taken away again.

The four processes run on this machine, each with a token of its service account. For the admission webhook, the API server must be
able to reach this machine at the address that it is reached from.
"""
import json
import secrets
import shutil
import socket
import urllib.parse
from pathlib import Path

from .api import Api
from .cluster import CRDS, DEVELOPMENT, NAMESPACE, PROCESSES, RBAC, Kubectl, write_kubeconfig

ADMIN = "gitmoor-demo-admin"


class ExistingCluster:
    """The same face as Cluster, as far as the demo needs it."""

    def __init__(self, kubeconfig: Path, folder: Path):
        self.folder = Path(folder)
        self.given = Kubectl(kubeconfig)
        self.server = None
        self.installed = False

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = json.loads(self.given("config", "view", "--raw", "--minify", "--flatten", "-o", "json"))
        cluster = config["clusters"][0]["cluster"]
        self.server = cluster["server"]
        if "certificate-authority-data" not in cluster:
            raise SystemExit("the kubeconfig names no certificate authority for its server; the demo does not go without")
        if self.given.run("get", "crd", "applications.gitmoor.io").returncode == 0:
            raise SystemExit("this cluster has Gitmoor already; the demo would disturb it")
        self.installed = True
        self.given("apply", "--server-side", "-f", CRDS, "-f", DEVELOPMENT)
        self.given("apply", "--server-side", "-f", RBAC)
        self.given("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": self._accounts()}))
        for user in ("admin", *PROCESSES):
            account = ADMIN if user == "admin" else f"gitmoor-{user}"
            token = self.given("create", "token", account, "-n", NAMESPACE, "--duration=4h").strip()
            write_kubeconfig(self.kubeconfig(user), self.server, cluster["certificate-authority-data"], user, token)
        self.kubectl("wait", "--for=condition=Established", "crd/applications.gitmoor.io", "crd/gitrepositories.gitmoor.io",
                     "crd/helmrepositories.gitmoor.io", "--timeout=60s")
        return self

    @staticmethod
    def _accounts():
        names = [ADMIN, *(f"gitmoor-{process}" for process in PROCESSES)]
        accounts = [{"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": NAMESPACE}}
                    for name in names]
        return [*accounts, {
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": ADMIN},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": ADMIN, "namespace": NAMESPACE}]}]

    def stop(self):
        """Takes everything away that start() put in; the webhooks first, since nobody answers them any more."""
        if not self.installed:
            return
        gone = ("--ignore-not-found", "--wait=true", "--timeout=120s")
        for kind in ("validatingwebhookconfiguration", "mutatingwebhookconfiguration"):
            self.given.run("delete", kind, "gitmoor", "gitmoor-admission", "--ignore-not-found")
        self.given.run("delete", "-f", CRDS, *gone)
        self.given.run("delete", "-f", RBAC, *gone)
        self.given.run("delete", "clusterrolebinding", ADMIN, "--ignore-not-found")
        self.given.run("delete", "-f", DEVELOPMENT, *gone)
        shutil.rmtree(self.folder, ignore_errors=True)

    def kubeconfig(self, user="admin"):
        return self.folder / f"{user}.kubeconfig"

    @property
    def kubectl(self):
        return Kubectl(self.kubeconfig())

    def api(self, user="admin"):
        return Api.from_kubeconfig(self.kubeconfig(user))

    def new_namespace(self, prefix="t"):
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.kubectl("create", "namespace", name)
        return name

    def own_address(self):
        """The address of this machine on the way to the API server."""
        parsed = urllib.parse.urlparse(self.server)
        with socket.create_connection((parsed.hostname, parsed.port or 443), timeout=10) as connection:
            return connection.getsockname()[0]
