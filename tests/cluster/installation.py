"""Gitmoor as Helm installs it into a NodeCluster, with what the tests ask of it."""
import http.client
import json
import os
import signal
import subprocess
from pathlib import Path

from harness import paths
from harness.cluster import PROCESSES
from harness.waiting import wait_for

CHART = paths.ROOT / "charts" / "gitmoor"
NAMESPACE = "gitmoor-system"
REGISTRY = "gitmoor.test"  # a name only: containerd knows an image without one by a registry's name, which kubelet adds
PORTS = {"fetcher": 9401, "differ": 9402, "applier": 9403, "admission": 9404}
WEBHOOKS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")


class Installation:
    """install(), upgrade(), uninstall() of the chart; then pods, metrics, logs by process."""

    def __init__(self, cluster, topology, chart=CHART, release="gitmoor", namespace=NAMESPACE):
        self.release, self.namespace = release, namespace
        self.cluster, self.kubectl, self.topology, self.chart = cluster, cluster.kubectl, topology, chart
        self.values = {"topology": topology, "image.registry": REGISTRY, "image.pullPolicy": "Never",
                       "defaultServiceAccount.create": "true"}

    def helm(self, *words, check=True):
        done = subprocess.run([paths.control_plane("helm"), "--kubeconfig", str(self.cluster.kubeconfig()), "-n", self.namespace,
                               *map(str, words)], capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise RuntimeError(f"helm {' '.join(map(str, words))}: {done.stderr.strip()}\n{self.describe()}")
        return done

    def install(self, **values):
        """Over the definitions that others have left, whatever their release was called."""
        self._deploy("install", "--create-namespace", "--take-ownership", **values)
        return self.wait_guarded()

    def upgrade(self, **values):
        """With some values changed; names with dots: upgrade(**{"bus.rotation": "2"})."""
        return self._deploy("upgrade", **values)

    def _deploy(self, verb, *words, **values):
        self.values.update(values)
        flags = [word for name, value in self.values.items() for word in ("--set", f"{name}={value}")]
        self.helm(verb, self.release, self.chart, "--wait", "--timeout=120s", *words, *flags)
        return self

    def uninstall(self):
        self.helm("uninstall", self.release, "--wait", "--timeout=120s")

    def wait_guarded(self):
        """Until the webhook configurations are there: from then on edits are refused."""
        for resource in WEBHOOKS:
            wait_for(lambda resource=resource: self.kubectl("get", resource, "gitmoor-admission", "-o", "name"),
                     what=f"{resource} of gitmoor-admission")
        return self

    # ------------------------------------------------------------------------------- seeing

    def component(self, process):
        return process if self.topology == "split" else "all"

    def workload(self, process):
        return f"gitmoor-{process}" if self.topology == "split" else "gitmoor"

    def pods(self, process):
        """The Pods that run a process and are not on their way out, oldest first."""
        listed = json.loads(self.kubectl("get", "pods", "-n", self.namespace, "-o", "json", "-l",
                                         f"app.kubernetes.io/component={self.component(process)}"))["items"]
        listed.sort(key=lambda pod: pod["metadata"]["creationTimestamp"])
        return [pod for pod in listed if "deletionTimestamp" not in pod["metadata"]]

    def pid(self, process, pod=None):
        """The host's pid of a process."""
        pod = pod or self.pods(process)[0]
        return self.cluster.container_pid(self.namespace, pod["metadata"]["name"], process)

    def token(self, process):
        """The token that the process has."""
        return Path(f"/proc/{self.pid(process)}/root/var/run/secrets/kubernetes.io/serviceaccount/token").read_text()

    def kill(self, process):
        """SIGKILL to one process; returns when kubelet has noticed and it is there again."""
        pod = self.pods(process)[0]
        before = self.restarts(pod, process)
        os.kill(self.pid(process, pod), signal.SIGKILL)

        def again():
            now = next(each for each in self.pods(process) if each["metadata"]["name"] == pod["metadata"]["name"])
            return self.restarts(now, process) > before

        wait_for(again, 30, f"{process} restarted")
        return self.wait_ready()

    @staticmethod
    def restarts(pod, process):
        return next(status["restartCount"] for status in pod["status"]["containerStatuses"] if status["name"] == process)

    def wait_ready(self, timeout=60):
        for workload in sorted({self.workload(process) for process in PROCESSES}):
            self.kubectl("rollout", "status", "-n", self.namespace, f"deployment/{workload}", f"--timeout={timeout}s")
        return self

    def http(self, process, path, pod=None):
        """GET of a process's own endpoint, by its Pod's address: (status, text)."""
        pod = pod or self.pods(process)[0]
        connection = http.client.HTTPConnection(pod["status"]["podIP"], PORTS[process], timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, process, metric, label="", pod=None):
        """The sum of a metric's series whose labels contain `label`, over all Pods of the process or in one."""
        total = 0.0
        for each in [pod] if pod else self.pods(process):
            for line in self.http(process, "/metrics", each)[1].splitlines():
                series, _, value = line.rpartition(" ")
                if series.split("{")[0] == metric and label in series:
                    total += float(value)
        return total

    def logs(self, lines=20):
        told = []
        for process in PROCESSES:
            for pod in self.pods(process):
                name = pod["metadata"]["name"]
                done = self.kubectl.run("logs", "-n", self.namespace, name, "-c", process, f"--tail={lines}")
                told.append(f"--- {name} {process}\n{done.stdout}{done.stderr}")
        return "\n".join(told)

    def describe(self):
        pods = self.kubectl.run("get", "pods", "-n", self.namespace, "-o", "wide").stdout
        events = self.kubectl.run("get", "events", "-n", self.namespace, "--field-selector=type=Warning").stdout
        return f"{pods}\n{events}\n{self.logs()}"
