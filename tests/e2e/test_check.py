"""gitmoor check, which helm test runs: what is well is told, and what is not fails it."""
import os
import subprocess

import pytest

from harness import paths
from harness.api import path_of
from harness.cluster import PROCESSES
from harness.ports import free


@pytest.fixture
def installation(cluster, api, gitmoor):
    """A namespace whose only Pod, as the API has it, is the four processes of this machine; pod(port=…) changes one of its ports."""
    namespace = cluster.new_namespace("check")

    def pod(**other):
        ports = {**gitmoor.listen, **other}
        api.delete("Pod", namespace, "gitmoor-0")
        api.create("Pod", namespace, {
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": "gitmoor-0", "namespace": namespace, "labels": {"app.kubernetes.io/name": "gitmoor"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": process, "image": "x", "ports": [{"name": f"http-{process}", "containerPort": ports[process]}]}
                for process in PROCESSES]}})
        api.request("PATCH", path_of("Pod", namespace, "gitmoor-0") + "/status",
                    {"status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]}},
                    "application/merge-patch+json")

    pod.namespace = namespace
    return pod


def check(cluster, namespace, *words):
    return subprocess.run([paths.gitmoor_bin() / "gitmoor", "check", "-n", namespace, *words], capture_output=True, text=True,
                          check=False, env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig())}, timeout=120)


def test_an_installation_that_works_and_what_is_not_well(installation, cluster, api, namespace):
    installation()
    done = check(cluster, installation.namespace, "--try-in", namespace, "--timeout=60s")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 8 and all(line.startswith("ok  ") for line in lines), done.stdout
    assert "ok    differ in Pod gitmoor-0: ready, 1 peer on fetcher-differ, 1 peer on differ-applier, 1 peer on admission-differ" in lines
    assert "ok    admission: lets pass what is nobody's concern, refuses a forged label" in lines
    assert "ok    fetcher: writes the status of HelmRepository objects" in lines
    assert "ok    differ: writes the status of Application objects" in lines
    for kind in ("ConfigMap", "GitRepository", "HelmRepository", "Application"):
        assert [found["metadata"]["name"] for found in api.list(kind, namespace) if found["metadata"]["name"] != "kube-root-ca.crt"] == []

    installation(applier=free(1)[0])
    done = check(cluster, installation.namespace, "--timeout=1s")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("FAIL")] == [
        "FAIL  applier in Pod gitmoor-0: does not answer at its port of metrics"]


def test_where_nothing_runs_and_nothing_answers(cluster, namespace):
    done = check(cluster, namespace, "--timeout=1s")
    assert done.returncode == 1 and f"none runs in namespace {namespace}" in done.stdout
    done = check(cluster, "no-such-namespace", "--try-in=no-such-namespace", "--timeout=1s")
    assert done.returncode == 1
    assert "FAIL  fetcher: " in done.stdout and '"no-such-namespace" not found' in done.stdout
