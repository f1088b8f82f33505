"""A control plane on loopback: etcd, kube-apiserver and kube-controller-manager, with one token user per process.

Everything it writes is in one folder, and nothing is left when stop() has run and the folder is gone. Instead of a node there is
node.py: Pods become Ready, though nothing runs in them. (realnode.py has a cluster with a node that runs them.)
"""
import base64
import http.client
import json
import secrets
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import paths, ports
from .api import Api
from .certs import Authority
from .process import Process
from .waiting import TimedOut, wait_for

PROCESSES = ("fetcher", "differ", "applier", "admission")
NAMESPACE = "gitmoor-system"
CRDS = paths.ROOT / "charts" / "gitmoor" / "files" / "crds"
RBAC = paths.ROOT / "charts" / "gitmoor" / "files" / "rbac.yaml"
DEVELOPMENT = paths.ROOT / "scripts" / "lib" / "development.yaml"


def user_of(process):
    """The user name that a process has, here as in a cluster."""
    return f"system:serviceaccount:{NAMESPACE}:gitmoor-{process}"


class Kubectl:
    """Runs kubectl as one user."""

    def __init__(self, kubeconfig):
        self.kubeconfig = kubeconfig

    def run(self, *arguments, stdin=None, check=False):
        """The finished kubectl, with .returncode, .stdout, .stderr as text."""
        done = subprocess.run([paths.control_plane("kubectl"), "--kubeconfig", str(self.kubeconfig), *map(str, arguments)],
                              input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"kubectl {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done

    def __call__(self, *arguments, stdin=None):
        """Its standard output; an exception when it fails."""
        return self.run(*arguments, stdin=stdin, check=True).stdout


@dataclass(frozen=True)
class Layout:
    """Where a control plane is and what it starts with. The default: on loopback, with node.py and Gitmoor's CRDs and roles."""
    address: str = "127.0.0.1"        # of kube-apiserver
    services: str = "10.96.0.0/16"    # addresses of Services
    kubernetes: str = "10.96.0.1"     # the Service `kubernetes`, the first of them
    real_node: bool = False           # a kubelet will join: no stand-in, no installation of Gitmoor
    users: tuple = ()                 # more token users: (name of the kubeconfig, user name, groups)


class Cluster:
    """A control plane of our own. Use start() and stop(), or as a context manager."""

    def __init__(self, folder: Path, daemon=False, controller_manager=True, server_flags=(), layout=Layout()):
        self.folder = Path(folder)
        self.layout = layout
        self.daemon = daemon
        self.with_controller_manager = controller_manager
        self.server_flags = list(server_flags)
        self.processes = []
        self.tokens = {}
        self.server = None
        self.authority = None

    # ------------------------------------------------------------------------------- life

    def start(self):
        """Start everything and wait until it serves; ports that were lost to a race are tried anew."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.authority = Authority(self.folder / "pki", "gitmoor-test")
        self._write_identities()
        for attempt in (1, 2, 3):
            try:
                self._start_servers()
                break
            except TimedOut:
                self.stop()
                if attempt == 3:
                    raise
        if self.layout.real_node:
            return self
        self._install()
        if self.with_controller_manager:
            self._spawn("node", ["--kubeconfig", self.kubeconfig("admin")], sys.executable, paths.HARNESS / "node.py")
        return self

    def stop(self):
        for process in reversed(self.processes):
            process.stop(timeout=1)  # whoever watches would be waited for, and all of it goes
        self.processes = []

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def process(self, name):
        return next(process for process in self.processes if process.name == name)

    def restart_server(self, down=0.0):
        """Stop kube-apiserver and start it again, as an upgrade does."""
        server = self.process("kube-apiserver")
        server.stop(timeout=5)  # its watches it would wait for, a minute
        if down:
            time.sleep(down)
        server.start()
        self._wait_ready(server)

    def wait_server(self):
        """Until kube-apiserver serves."""
        self._wait_ready(self.process("kube-apiserver"))

    def _write_identities(self):
        pki = self.folder / "pki"
        subprocess.run(["openssl", "genrsa", "-out", str(pki / "sa.key"), "2048"], check=True, capture_output=True)
        self.authority.issue("apiserver", ("127.0.0.1", "localhost", "kubernetes.default.svc", self.layout.kubernetes,
                                           self.layout.address))
        self.tokens = {"admin": secrets.token_hex(16)}
        lines = [f"{self.tokens['admin']},admin,admin,\"system:masters\""]
        if not self.layout.real_node:  # by its name, or admission takes what controllers do for edits; may do what they all may
            self.tokens["controllers"] = secrets.token_hex(16)
            lines.append(f"{self.tokens['controllers']},system:kube-controller-manager,controllers,\"system:masters\"")
        groups = f"system:serviceaccounts,system:serviceaccounts:{NAMESPACE}"
        for process in PROCESSES:
            self.tokens[process] = secrets.token_hex(16)
            lines.append(f"{self.tokens[process]},{user_of(process)},{process},\"{groups}\"")
        for name, user, group in self.layout.users:
            self.tokens[name] = secrets.token_hex(16)
            lines.append(f"{self.tokens[name]},{user},{name},\"{group}\"")
        tokens = self.folder / "tokens.csv"
        tokens.touch(mode=0o600)
        tokens.write_text("\n".join(lines) + "\n")

    def _start_servers(self):
        pki = self.folder / "pki"
        etcd_port, peer_port, server_port, manager_port = ports.free(4)
        self.server = f"https://{self.layout.address}:{server_port}"
        etcd_url, peer_url = f"http://127.0.0.1:{etcd_port}", f"http://127.0.0.1:{peer_port}"
        self._spawn("etcd", [
            "--data-dir", self.folder / f"etcd-{etcd_port}", "--unsafe-no-fsync", "--log-level=warn",
            f"--listen-client-urls={etcd_url}", f"--advertise-client-urls={etcd_url}",
            f"--listen-peer-urls={peer_url}", f"--initial-advertise-peer-urls={peer_url}",
            f"--initial-cluster=default={peer_url}"])
        reconciler = "lease" if self.layout.real_node else "none"  # makes the endpoints of the Service kubernetes
        admission = "DefaultIngressClass" if self.with_controller_manager else "ServiceAccount"
        server = self._spawn("kube-apiserver", [
            f"--etcd-servers={etcd_url}", f"--secure-port={server_port}", f"--bind-address={self.layout.address}",
            f"--advertise-address={self.layout.address}", f"--endpoint-reconciler-type={reconciler}",
            f"--cert-dir={pki}", f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--service-account-key-file={pki / 'sa.key'}",
            f"--service-account-signing-key-file={pki / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.folder / 'tokens.csv'}", "--authorization-mode=RBAC",
            f"--service-cluster-ip-range={self.layout.services}", "--allow-privileged=true",
            f"--disable-admission-plugins={admission}", *self.server_flags])
        self._write_kubeconfigs()
        self._wait_ready(server)
        if self.with_controller_manager:
            # With a real node its controllers are who they are in a cluster; otherwise all are one, who may do everything.
            user = "controller-manager" if self.layout.real_node else "controllers"
            self._spawn("kube-controller-manager", [
                f"--kubeconfig={self.kubeconfig(user)}", f"--secure-port={manager_port}",
                "--bind-address=127.0.0.1", "--leader-elect=false", f"--cert-dir={pki}",
                f"--controllers=*{'' if self.layout.real_node else ',-node-lifecycle-controller'}",
                f"--service-account-private-key-file={pki / 'sa.key'}",
                f"--root-ca-file={self.authority.certificate}", f"--use-service-account-credentials={str(self.layout.real_node).lower()}"])

    def _spawn(self, name, flags, *program):
        program = program or [paths.control_plane(name)]
        process = Process(name, [*program, *flags], self.folder, daemon=self.daemon)
        self.processes.append(process)
        return process.start()

    def _wait_ready(self, server):
        port = int(self.server.rsplit(":", 1)[1])
        context = ssl.create_default_context(cafile=str(self.authority.certificate))

        def ready():
            if not server.alive():
                return True  # told apart below
            connection = http.client.HTTPSConnection(self.layout.address, port, context=context, timeout=30)
            try:
                connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.tokens['admin']}"})
                return connection.getresponse().status == 200
            finally:
                connection.close()

        wait_for(ready, timeout=120, what="kube-apiserver ready", every=0.1)
        if not server.alive():
            raise TimedOut(f"kube-apiserver ended:\n{server.tail()}")

    def _install(self):
        kubectl = self.kubectl
        kubectl("apply", "--server-side", "-f", CRDS, "-f", DEVELOPMENT)
        kubectl("apply", "--server-side", "-f", RBAC)
        kubectl("wait", "--for=condition=Established", "crd/applications.gitmoor.io", "crd/gitrepositories.gitmoor.io",
                "crd/helmrepositories.gitmoor.io", "--timeout=60s")

    # ------------------------------------------------------------------------------- users

    def _write_kubeconfigs(self):
        authority = base64.b64encode(self.authority.certificate.read_bytes()).decode()
        for user, token in self.tokens.items():
            write_kubeconfig(self.kubeconfig(user), self.server, authority, user, token)

    def kubeconfig(self, user="admin"):
        """The kubeconfig file of admin, fetcher, differ, applier or admission."""
        return self.folder / f"{user}.kubeconfig"

    @property
    def kubectl(self):
        return Kubectl(self.kubeconfig("admin"))

    def api(self, user="admin"):
        return Api.from_kubeconfig(self.kubeconfig(user))

    def new_namespace(self, prefix="t"):
        """A namespace that no other test uses."""
        name = f"{prefix}-{secrets.token_hex(3)}"
        self.api().create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name


def write_kubeconfig(path, server, authority_base64, user, token):
    """JSON is YAML, so kubectl and others read this."""
    path.touch(mode=0o600)
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "gitmoor",
        "clusters": [{"name": "gitmoor", "cluster": {"server": server, "certificate-authority-data": authority_base64}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "gitmoor", "context": {"cluster": "gitmoor", "user": user}}],
    }, indent=2) + "\n")
