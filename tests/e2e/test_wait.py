"""gitmoor wait: until a commit is live and healthy, also one that changes nothing of the application."""
import json
import subprocess

import pytest

from harness import paths
from harness.api import condition
from harness.cluster import write_kubeconfig
from harness.mooring import config_map

NEVER_HEALTHY = """apiVersion: apps/v1
kind: Deployment
metadata: {name: never}
spec:
  selector: {matchLabels: {app: never}}
  template:
    metadata: {labels: {app: never}}
    spec: {containers: [{name: c, image: example.org/broken}]}
"""


class Waiter:
    """gitmoor wait, as a user or as cluster-admin."""

    def __init__(self, kubeconfig, namespace):
        self.kubeconfig, self.namespace = kubeconfig, namespace

    def start(self, *arguments):
        return subprocess.Popen([paths.gitmoor_bin() / "gitmoor", "wait", *arguments, "-n", self.namespace, "--kubeconfig", self.kubeconfig],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments):
        process = self.start(*arguments)
        out, said = process.communicate(timeout=120)
        return process.returncode, out, said


@pytest.fixture
def waiter(cluster, namespace):
    return Waiter(cluster.kubeconfig("admin"), namespace)


@pytest.fixture
def shop(repository, moored):
    """An Application that is applied, and whose repository is not fetched by itself within an hour."""
    repository.commit({"deploy/a.yaml": config_map("a", key="1"), "other/x.yaml": config_map("x")})
    mooring = moored(repository)
    mooring.wait_applied()
    return mooring


def test_a_commit_is_waited_for_until_it_is_live(shop, repository, waiter):
    repository.commit({"deploy/a.yaml": config_map("a", key="2")})
    status, out, said = waiter.run("shop")
    assert (status, out) == (0, f"{shop.namespace}/shop is live and healthy at {repository.revision()}\n"), said
    assert shop.config_map("a") == {"key": "2"}
    assert waiter.run("application/shop", "--revision", repository.head()[:8])[0] == 0, "it has been there for a while"


def test_a_commit_that_changes_nothing_of_the_application_is_live_once_that_is_known(shop, repository, waiter):
    applied = repository.revision()
    repository.commit({"other/x.yaml": config_map("x", key="2")})
    status, out, said = waiter.run("shop", "--revision", repository.head())
    assert (status, out) == (0, f"{shop.namespace}/shop is live and healthy at {repository.revision()}\n"), said
    assert shop.status()["lastAppliedRevision"] == applied
    assert shop.status()["observedRevision"] == repository.revision()


def test_without_anybody_waiting_such_a_commit_is_no_reason_to_write(shop, repository, waiter, moored):
    """Beside it: whoever has seen the commit there knows that it has been looked at here."""
    other = shop.beside("other", "other")
    other.wait_applied()
    before = shop.application()["metadata"]["resourceVersion"]
    repository.commit({"other/x.yaml": config_map("x", key="3")})
    assert waiter.run("other")[0] == 0
    assert shop.application()["metadata"]["resourceVersion"] == before
    assert waiter.run("shop")[0] == 0
    assert shop.status()["observedRevision"] == repository.revision()


def test_a_commit_that_is_wrong_fails_with_file_and_line(shop, repository, waiter):
    repository.commit({"deploy/b.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: b}\ndata: 3\n"})
    status, out, said = waiter.run("shop", "--timeout", "100s")
    assert (status, out) == (1, "") and "deploy/b.yaml:1: ConfigMap" in said and "gitmoor status" in said, said


def test_what_is_refused_for_want_of_a_definition_is_live_when_that_comes(shop, repository, waiter, api):
    group = f"{shop.namespace}.example.org"
    schema = {"openAPIV3Schema": {"type": "object"}}
    repository.commit({"deploy/w.yaml": f"apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w}}\n"})
    waiting = waiter.start("shop", "--timeout", "100s")
    shop.wait_not_ready("Widget")
    api.apply({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"widgets.{group}"},
               "spec": {"group": group, "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets"},
                        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}]}})
    out, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 0 and repository.revision() in out, said


def test_what_is_not_pushed_or_not_healthy_is_told_when_the_time_is_over(shop, repository, waiter):
    status, out, said = waiter.run("shop", "--revision", "0123456789", "--timeout", "1s")
    assert (status, out) == (1, "") and "0123456789 is not there yet" in said and repository.revision() in said, said
    repository.commit({"deploy/never.yaml": NEVER_HEALTHY})
    shop.set(health={"wait": False})
    status, out, said = waiter.run("shop", "--timeout", "3s")
    assert (status, out) == (1, "") and "not healthy yet" in said and "never" in said, said
    assert condition(shop.application(), "Ready")["status"] == "True", "which does not wait for health"


def test_a_release_that_is_rolled_back_has_failed(repository, moored, waiter):
    repository.commit({"deploy/a.yaml": config_map("a", key="1")})
    shop = moored(repository, rollback={"onFailure": True}, health={"timeout": "2s"})
    shop.wait_applied()
    repository.commit({"deploy/never.yaml": NEVER_HEALTHY})
    status, out, said = waiter.run("shop")
    assert (status, out) == (1, "") and "never" in said and repository.revision() in said, said


def test_one_that_is_overtaken_is_live_with_what_came_after_it(shop, repository, waiter):
    first = repository.commit({"deploy/a.yaml": config_map("a", key="2")})
    assert waiter.run("shop")[0] == 0
    repository.commit({"deploy/a.yaml": config_map("a", key="3")})
    status, out, said = waiter.run("shop", "--revision", first)
    assert status == 0 and repository.revision() in out, said


def test_all_of_a_namespace_and_what_is_wrong_with_one(shop, repository, waiter):
    shop.beside("other", "other")
    status, out, said = waiter.run()
    assert status == 0 and [line.split()[0] for line in out.splitlines()] == [f"{shop.namespace}/other", f"{shop.namespace}/shop"], said
    shop.set(suspend=True)
    status, out, said = waiter.run()
    assert status == 1 and "shop: it is suspended" in said and out.startswith(f"{shop.namespace}/other"), said
    assert waiter.run("none")[0] == 1 and waiter.run("repository/shop")[0] == 2 and waiter.run("shop", "--timeout", "soon")[0] == 2


def test_nothing_but_the_request_is_written_and_no_failed_hook_is_run_again(shop, repository, waiter):
    """A wait is not a reconcile of the application: what failed there is not tried again for it."""
    repository.commit({"other/x.yaml": config_map("x", key="2")})
    assert waiter.run("shop")[0] == 0
    annotations = shop.application()["metadata"]["annotations"]
    assert annotations["gitmoor.io/awaited-revision"] == repository.revision()
    assert "gitmoor.io/reconcile-requested-at" not in annotations


@pytest.fixture
def reader(cluster, kubectl, namespace, tmp_path):
    """Somebody who may read the kinds of Gitmoor, as with the ClusterRole gitmoor-viewer, and nothing else."""
    kubectl("create", "serviceaccount", "reader", "-n", namespace)
    kubectl("create", "role", "reader", "-n", namespace, "--verb=get,list,watch", "--resource=applications.gitmoor.io,gitrepositories.gitmoor.io")
    kubectl("create", "rolebinding", "reader", "-n", namespace, "--role=reader", f"--serviceaccount={namespace}:reader")
    token = kubectl("create", "token", "reader", "-n", namespace).strip()
    admin = json.loads(cluster.kubeconfig("admin").read_text())["clusters"][0]["cluster"]
    write_kubeconfig(tmp_path / "reader.kubeconfig", admin["server"], admin["certificate-authority-data"], "reader", token)
    return Waiter(tmp_path / "reader.kubeconfig", namespace)


def test_who_may_only_read_waits_for_the_commit_that_is_named(shop, repository, reader):
    status, _, said = reader.run("shop", "--timeout", "5s")
    assert status == 1 and "forbidden" in said, "what is the newest nobody can tell who may not ask"
    commit = repository.commit({"deploy/a.yaml": config_map("a", key="2")})
    waiting = reader.start("shop", "--revision", commit, "--timeout", "100s")
    said = waiting.stderr.readline() + waiting.stderr.readline()
    assert "forbidden" in said and "its next fetch is waited for" in said, said
    shop.nudge()
    out, said = waiting.communicate(timeout=120)
    assert waiting.returncode == 0 and repository.revision() in out, said


def test_kubectl_waits_as_well(shop, repository, kubectl, namespace):
    """docs/cli.md: without the tool, the annotation and the field are enough."""
    repository.commit({"other/x.yaml": config_map("x", key="2")})
    kubectl("annotate", "application", "shop", "-n", namespace, f"gitmoor.io/awaited-revision={repository.head()}")
    shop.nudge()
    kubectl("wait", "application/shop", "-n", namespace, "--timeout=60s", f"--for=jsonpath={{.status.observedRevision}}={repository.revision()}")
    kubectl("wait", "application/shop", "-n", namespace, "--timeout=60s", "--for=condition=Ready")
