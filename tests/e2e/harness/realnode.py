"""A cluster with a node that runs containers: containerd, kubelet, kube-proxy, CoreDNS. Needs root.

The node is a machine of its own as far as Linux allows: namespaces for mounts, network and processes (machine.py is its first
process), joined to the host by one veth pair. So nothing of it is in the host's iptables, mounts or interfaces, and when its
first process ends, everything ends: containers, mounts, rules. What remains are its cgroups, which stop() removes.

The control plane is on the host, at the host's end of the veth pair, as a managed control plane is: the API server reaches Pods and
Services by routes through the node, and Pods reach it, and the Git server, at `NodeCluster.address`.
"""
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from . import audit, image, manifests, paths
from .cluster import Cluster, Layout, write_kubeconfig
from .process import Process, children
from .waiting import wait_for

NODE = "node-1"
PAUSE = "gitmoor.test/pause:1"
COREDNS = "gitmoor.test/coredns:1"
TOOLBOX = "gitmoor.test/toolbox:1"  # busybox: sh, httpd, nc, nslookup
SYSTEM_USERS = (
    ("kubelet", f"system:node:{NODE}", "system:nodes"),
    ("kube-proxy", "system:kube-proxy", ""),
    ("scheduler", "system:kube-scheduler", ""),
    ("controller-manager", "system:kube-controller-manager", ""),
)
CGROUPS = Path("/sys/fs/cgroup")


def run(*words, check=True):
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def namespaced_pids():
    """For each process below a namespace of its own, its pids from the host's to the innermost."""
    for folder in Path("/proc").iterdir():
        try:
            status = (folder / "status").read_text() if folder.name.isdigit() else ""
        except OSError:
            continue
        pids = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
        if len(pids) > 1:
            yield pids


class Network:
    """Addresses that nothing on this host uses: 10.N.0.0/16, cut into Pods, Services and the link to the host."""

    def __init__(self):
        used = {route.get("dst", "").split("/")[0] for route in json.loads(run("ip", "-j", "route", "show", "table", "all"))}
        self.reserved = socket.socket(socket.AF_UNIX)  # an abstract name: the kernel frees it, whatever becomes of this process
        self.number = next(n for n in range(200, 250)
                           if not any(dst.startswith(f"10.{n}.") for dst in used) and self._reserve(f"\0gitmoor-node-{n}"))
        prefix = f"10.{self.number}"
        self.pods, self.services = f"{prefix}.0.0/18", f"{prefix}.128.0/18"
        self.kubernetes, self.dns = f"{prefix}.128.1", f"{prefix}.128.10"
        self.host, self.node = f"{prefix}.255.1", f"{prefix}.255.2"
        self.interface = f"gitmoor{self.number}"

    def _reserve(self, name):
        """So that two clusters that start at the same time do not choose the same addresses."""
        try:
            self.reserved.bind(name)
            return True
        except OSError:
            return False


class Inside(Process):
    """A process in the machine's namespaces. The child is nsenter, and its only child is the program: signals go to that."""

    def __init__(self, machine, name, command, folder):
        super().__init__(name, [*machine.enter, *command], folder)

    @property
    def program(self):
        found = children(self.child.pid) if self.child else []
        return found[0] if found else None

    def stop(self, timeout=10.0):
        if self.alive() and self.program:
            os.kill(self.program, 15)
            try:
                self.child.wait(timeout)
            except subprocess.TimeoutExpired:
                os.kill(self.program, 9)
        return super().stop(timeout)

    def kill(self):
        if self.alive() and self.program:
            os.kill(self.program, 9)
        super().kill()


class Machine:
    """The namespaces, and the link to the host."""

    def __init__(self, folder, network):
        self.folder, self.network = Path(folder), network
        self.cgroup = f"gitmoor-{network.number}"
        self.first = Process("machine", ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child",
                                         "--mount-proc", "--propagation", "private",
                                         sys.executable, paths.HARNESS / "machine.py", self.folder], self.folder)
        self.pid = None

    @property
    def enter(self):
        return ["nsenter", "--target", self.pid, "--mount", "--net", "--pid", "--ipc", "--uts", "--"]

    def start(self):
        for folder in self._cgroups():
            folder.mkdir(exist_ok=True)
        self.first.start()
        wait_for(lambda: "ready" in self.first.log.read_text() or not self.first.alive(), what="the machine's namespaces")
        if not self.first.alive():
            raise RuntimeError(f"no machine: {self.first.tail()}")
        self.pid = children(self.first.pid)[0]
        net, link = self.network, self.network.interface
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", self.pid)
        run("ip", "address", "add", f"{net.host}/30", "dev", link)
        run("ip", "link", "set", link, "up")
        self.run("ip", "address", "add", f"{net.node}/30", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run("ip", "route", "add", "default", "via", net.host)
        self.run("ip", "route", "add", "blackhole", net.pods)  # a Pod that is gone answers nothing, as in many networks
        for range_ in (net.pods, net.services):
            run("ip", "route", "add", range_, "via", net.node)
        return self

    def stop(self):
        self.first.kill()
        run("ip", "link", "delete", self.network.interface, check=False)
        wait_for(self._remove_cgroups, timeout=30, what="the node's cgroups empty", every=0.2)

    def run(self, *words, check=True):
        """Run a command inside; returns its output."""
        return run(*self.enter, *words, check=check)

    def _cgroups(self):
        """Our cgroup in every hierarchy: of version 1 there are several, of version 2 one."""
        if (CGROUPS / "cgroup.procs").exists():
            return [CGROUPS / self.cgroup]
        hierarchies = [folder for folder in CGROUPS.iterdir() if (folder / "cgroup.procs").exists() and not folder.is_symlink()]
        return [folder / self.cgroup for folder in hierarchies]

    def kill_containers(self):
        """SIGKILL to every process that runs in a container."""
        for top in self._cgroups():
            for file in top.rglob("cgroup.procs"):
                for pid in file.read_text().split():
                    try:
                        os.kill(int(pid), 9)
                    except ProcessLookupError:
                        pass

    def _remove_cgroups(self):
        for top in self._cgroups():
            for folder, _, _ in os.walk(top, topdown=False):
                os.rmdir(folder)
        return True


class NodeCluster(Cluster):
    """start(), stop(). A control plane, a node that is Ready, DNS, and the images PAUSE, COREDNS and TOOLBOX."""

    def __init__(self, folder, people=()):
        """people: names of users without any right, each with a kubeconfig."""
        if os.geteuid():
            raise PermissionError("a real node needs root: run as root, or in a virtual machine of your own")
        self.network = Network()
        self.machine = Machine(Path(folder) / "machine", self.network)
        self.kubelet = self.containerd = self.proxy = None
        pki = Path(folder) / "pki"
        users = SYSTEM_USERS + tuple((name, name, "") for name in people)
        super().__init__(folder, layout=Layout(self.network.host, self.network.services, self.network.kubernetes, True, users),
                         server_flags=["--authorization-mode=Node", "--kubelet-preferred-address-types=InternalIP",
                                       f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
                                       f"--kubelet-client-key={pki / 'kubelet-client.key'}", *audit.flags(Path(folder))])

    @property
    def address(self):
        """Of the host, as Pods reach it."""
        return self.network.host

    @property
    def pod_logs(self):
        """The folder of the logs of all containers, NAMESPACE_POD_UID/CONTAINER/N.log."""
        return self.folder / "machine" / "hidden" / "var-log" / "pods"

    # ------------------------------------------------------------------------------- life

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self.machine.start()
            self._start_containerd()
            super().start()
            self._start_node()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self):
        self.machine.stop()  # with everything in it
        for process in self.processes:
            process.kill()  # nothing of it is kept
        self.processes = []

    def _write_identities(self):
        super()._write_identities()
        self.authority.issue("kubelet-client", usage="clientAuth")
        audit.write_policy(self.folder / "audit-policy.json")

    def _start_node(self):
        for name, flags in (("kubelet", self._kubelet_flags()), ("kube-proxy", self._proxy_flags())):
            process = Inside(self.machine, name, [paths.control_plane(name), *flags], self.folder).start()
            self.processes.append(process)
        self.kubelet, self.proxy = self.process("kubelet"), self.process("kube-proxy")
        self._spawn("kube-scheduler", [f"--kubeconfig={self.kubeconfig('scheduler')}", "--leader-elect=false",
                                       "--bind-address=127.0.0.1", "--secure-port=0",
                                       f"--authentication-kubeconfig={self.kubeconfig('scheduler')}",
                                       f"--authorization-kubeconfig={self.kubeconfig('scheduler')}"])
        self._start_dns()
        self.wait_node()

    def wait_node(self, timeout=90):
        """Until the node is Ready and names resolve."""
        def ready():
            node = self.api().request("GET", f"/api/v1/nodes/{NODE}")
            return any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))

        wait_for(ready, timeout, what=f"node Ready; kubelet said\n{self.kubelet.tail(5)}\n", every=0.3)
        self.kubectl("rollout", "status", "-n", "kube-system", "deployment/coredns", f"--timeout={timeout}s")

    def power_off(self):
        """kubelet, containerd and every container die at once."""
        self.kubelet.kill()
        self.containerd.kill()
        self.machine.run("pkill", "-KILL", "containerd-shim", check=False)
        self.machine.kill_containers()

    def power_on(self):
        """They start again; returns when kubelet does."""
        self.containerd.start()
        self.wait_containerd()
        self.kubelet.start()

    # ------------------------------------------------------------------------------- containers

    def _start_containerd(self):
        folder = self.folder / "containerd"
        folder.mkdir()
        network = {"cniVersion": "0.4.0", "name": "gitmoor", "plugins": [{
            "type": "ptp", "ipMasq": False, "ipam": {"type": "host-local", "ranges": [[{"subnet": self.network.pods}]],
                                                     "routes": [{"dst": "0.0.0.0/0"}]}}, {
            "type": "portmap", "capabilities": {"portMappings": True}}]}
        (folder / "cni").mkdir()
        (folder / "cni" / "10-gitmoor.conflist").write_text(json.dumps(network))
        (folder / "config.toml").write_text(manifests.CONTAINERD.format(root=folder / "root", cni=folder / "cni", pause=PAUSE))
        self.containerd = Inside(self.machine, "containerd", ["containerd", "--config", folder / "config.toml"], self.folder).start()
        self.processes.append(self.containerd)
        self.wait_containerd()
        built = self.folder / "images"
        built.mkdir()
        for archive in (image.pause(built, PAUSE), image.toolbox(built, TOOLBOX),
                        image.from_files(built, COREDNS, {"/coredns": Path(paths.control_plane("coredns"))}, ["/coredns"])):
            self.import_image(archive)
        shutil.rmtree(built)

    def wait_containerd(self):
        wait_for(lambda: self.machine.run("ctr", "version"), what=f"containerd; it said\n{self.containerd.tail()}\n", every=0.2)

    def import_image(self, archive):
        """An image archive (docker or OCI) into containerd; its name is what the archive says."""
        return self.machine.run("ctr", "--namespace", "k8s.io", "images", "import", "--all-platforms", archive)

    def images(self):
        return self.machine.run("ctr", "--namespace", "k8s.io", "images", "list", "--quiet").split()

    def container_pid(self, namespace, pod, container):
        """The host's pid of a container's first process."""
        found = self.kubectl("get", "pod", "-n", namespace, pod, "-o",
                             f"jsonpath={{.status.containerStatuses[?(@.name==\"{container}\")].containerID}}")
        task = found.removeprefix("containerd://").strip()
        listed = self.machine.run("ctr", "--namespace", "k8s.io", "tasks", "list").splitlines()
        inside = next(line.split()[1] for line in listed if line.startswith(task))
        return next(int(pids[0]) for pids in namespaced_pids() if pids[1] == inside)

    # ------------------------------------------------------------------------------- node

    def _kubelet_flags(self):
        folder = self.folder / "kubelet"
        folder.mkdir()
        write_kubeconfig(folder / "kubeconfig", self.server, self._authority_base64(), "kubelet", self.tokens["kubelet"])
        (folder / "resolv.conf").write_text("")
        config = manifests.kubelet(folder, self.authority.certificate, self.network.dns, "/" + self.machine.cgroup)
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        return [f"--config={folder / 'config.json'}", f"--kubeconfig={folder / 'kubeconfig'}", f"--root-dir={folder / 'root'}",
                f"--cert-dir={folder / 'pki'}", f"--hostname-override={NODE}", f"--node-ip={self.network.node}", "--v=1"]

    def _proxy_flags(self):
        return ["--proxy-mode=iptables", f"--kubeconfig={self.kubeconfig('kube-proxy')}", f"--hostname-override={NODE}",
                f"--cluster-cidr={self.network.pods}", "--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0", "--metrics-bind-address=127.0.0.1:10249",
                "--healthz-bind-address=127.0.0.1:10256", "--iptables-min-sync-period=100ms"]

    def _authority_base64(self):
        return json.loads(self.kubeconfig().read_text())["clusters"][0]["cluster"]["certificate-authority-data"]

    def _start_dns(self):
        self.kubectl("apply", "--server-side", "-f", "-", stdin=manifests.coredns(COREDNS, self.network.dns))
