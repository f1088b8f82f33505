"""The user's walk: Helm install in both topologies, a commit becomes live, edits are refused, drift is repaired, Git is reverted, and an
upgrade refuses nobody."""
import base64
import json
import threading
import urllib.request
from pathlib import Path

import pytest

from harness.api import ApiError
from harness.cluster import PROCESSES
from harness.mooring import LABEL, config_map
from harness.waiting import wait_for
from installation import NAMESPACE
from webserver import web


@pytest.fixture(scope="module", params=["sidecar", "split"])
def topology(request, install):
    """Every test of this file runs in both topologies, each installed once."""
    with install(request.param) as installation:
        yield installation


@pytest.fixture
def shop(topology, moored, repository):
    """An application that runs: a web server, and a ConfigMap."""
    repository.commit({"deploy/web.yaml": web("one"), "deploy/settings.yaml": config_map("settings", color="red")})
    mooring = moored(repository)
    mooring.wait_applied(timeout=60)
    return mooring


def answer_of(kubectl, namespace):
    address = kubectl("get", "-n", namespace, "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    with urllib.request.urlopen(f"http://{address}/index.html", timeout=5) as answer:
        return answer.read().decode().strip()


def test_a_commit_becomes_a_running_program_and_a_revert_takes_it_back(shop, kubectl, namespace):
    wait_for(lambda: answer_of(kubectl, namespace) == "one", what="the first commit answers")
    shop.push({"deploy/web.yaml": web("two")})
    shop.wait_applied(timeout=60)
    wait_for(lambda: answer_of(kubectl, namespace) == "two", what="the second commit answers")
    shop.repository.revert()
    shop.nudge()
    shop.wait_applied(timeout=60)
    wait_for(lambda: answer_of(kubectl, namespace) == "one", what="the revert answers")


def test_an_edit_is_refused_with_the_commit_and_a_way_out(shop, kubectl, namespace):
    revision = shop.repository.revision()
    for words in (["set", "image", "deployment/web", "web=example.org/other:1"], ["scale", "deployment/web", "--replicas=3"],
                  ["delete", "deployment/web"], ["label", "deployment/web", f"{LABEL}-"]):
        done = kubectl.run(*words, "-n", namespace)
        assert done.returncode and "gitmoor" in done.stderr, words
        assert f"{namespace}/shop" in done.stderr or f"{namespace}.shop" in done.stderr, done.stderr
    done = kubectl.run("set", "image", "deployment/web", "web=example.org/other:1", "-n", namespace)
    assert '.spec.template.spec.containers[name="web"].image' in done.stderr and revision.split(":")[1][:7] in done.stderr
    kubectl("annotate", "deployment/web", "note=mine", "-n", namespace)
    kubectl("rollout", "restart", "deployment/web", "-n", namespace)  # a new key: takes nothing from Git
    assert kubectl.run("delete", "namespace", namespace).returncode


def test_drift_is_repaired(shop, kubectl, namespace):
    shop.set(protection="Warn")
    shop.wait_applied(timeout=60)
    wait_for(lambda: "Warning" in kubectl.run("patch", "configmap", "settings", "-n", namespace, "--type=merge", "-p",
                                              json.dumps({"data": {"color": "blue"}})).stderr, what="a warning instead of a refusal")
    wait_for(lambda: shop.config_map("settings") == {"color": "red"}, what="the edit repaired")
    wait_for(lambda: answer_of(kubectl, namespace) == "one", what="the web server")
    kubectl("delete", "service", "web", "-n", namespace)
    wait_for(lambda: answer_of(kubectl, namespace) == "one", what="the deleted Service is back")


def test_what_leaves_git_is_pruned(shop, kubectl, namespace):
    shop.push({"deploy/web.yaml": None})
    shop.wait_applied(timeout=60)
    wait_for(lambda: not kubectl("get", "deployments,services", "-n", namespace, "-o", "name", "-l", LABEL), what="pruned")
    assert shop.config_map("settings") == {"color": "red"}


def test_helm_test_says_that_it_works(topology):
    assert "Phase:          Succeeded" in topology.helm("test", "gitmoor", "--timeout=90s").stdout
    wait_for(lambda: not topology.kubectl.run("get", "namespace", "gitmoor-test").stdout, 60, "what it tried in is gone")


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_holds_no_privilege(topology, process):
    pid = topology.pid(process)
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    assert status["Uid"].split() == ["65532"] * 4 and status["Gid"].split() == ["65532"] * 4
    for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[capabilities], 16) == 0, capabilities
    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    root = next(line for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines() if line.split()[4] == "/")
    assert root.split()[5].split(",")[0] == "ro", "the root filesystem is read-only"


@pytest.mark.parametrize("process", PROCESSES)
def test_an_image_holds_no_shell(topology, kubectl, process):
    pod = topology.pods(process)[0]["metadata"]["name"]
    for shell in ("sh", "/bin/sh", "/bin/bash", "/bin/busybox"):
        done = kubectl.run("exec", "-n", NAMESPACE, pod, "-c", process, "--", shell, "-c", "true")
        assert done.returncode and ("no such file" in done.stderr or "not found" in done.stderr), done.stderr


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_itself_to_the_api_server(topology, process):
    """In the one Pod of sidecar too, whose account is the applier's."""
    claims = topology.token(process).split(".")[1]
    subject = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]
    assert subject == f"system:serviceaccount:{NAMESPACE}:gitmoor-{process}"


class Load(threading.Thread):
    """Legitimate writes without a pause: to an object that is managed, of what Git does not declare, and to one that is not."""

    def __init__(self, api, namespace):
        super().__init__(daemon=True)
        self.api, self.namespace, self.count, self.refused, self.ending = api, namespace, 0, [], threading.Event()

    def run(self):
        while not self.ending.is_set():
            self.count += 1
            note = {"metadata": {"annotations": {"note": str(self.count)}}}
            for name in ("settings", "mine"):
                try:
                    self.api.patch("ConfigMap", self.namespace, name, note, manager="controller")
                except ApiError as error:
                    self.refused.append(str(error))

    def end(self):
        self.ending.set()
        self.join()
        assert self.refused == [], f"{len(self.refused)} of {2 * self.count} writes, the first: {self.refused[0]}"


def test_an_upgrade_and_new_keys_refuse_no_legitimate_write(topology, shop, node_cluster, namespace):
    api = node_cluster.api()
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": namespace}})
    before = {pod["metadata"]["name"] for pod in topology.pods("admission")}
    load = Load(node_cluster.api(), namespace)
    load.start()
    topology.upgrade(**{"podAnnotations.version": "next", "bus.rotation": "second"})
    topology.wait_ready()
    wait_for(lambda: before.isdisjoint(pod["metadata"]["name"] for pod in topology.pods("admission")), what="new Pods")
    load.end()
    assert load.count > 100
    shop.push({"deploy/settings.yaml": config_map("settings", color="green")})
    shop.wait_applied(timeout=60)
    assert shop.config_map("settings") == {"color": "green"}
    with pytest.raises(ApiError, match="gitmoor"):
        api.patch("ConfigMap", namespace, "settings", {"data": {"color": "blue"}})
