"""gitmoor diff and gitmoor drift against a live cluster: what a reconcile would change, and what has drifted by whom."""
import json
import subprocess

import pytest

from harness import paths
from harness.mooring import config_map
from harness.waiting import wait_for

SECRET = """apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {token: %s, same: unchanged-value}
"""
QUOTA = """apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  nodeSelector: {nobody: has-this}
  containers: [{name: c, image: "example.org/c:1", resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: "0.5"}}}]
"""


@pytest.fixture
def shop(repository, moored, namespace, cluster):
    """An application that has been applied and is not repaired, with a working copy of its repository."""
    repository.commit({"deploy/a.yaml": config_map("a", color="red", size="1"), "deploy/b.yaml": config_map("b", step="1"),
                       "deploy/keys.yaml": SECRET % "old-secret", "deploy/pod.yaml": QUOTA})
    shop = moored(repository, selfHeal=False, health={"wait": False})
    shop.wait_applied()

    def gitmoor(*arguments, user="admin", cwd=repository.folder):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *map(str, arguments), "-n", namespace,
                               "--kubeconfig", user if "/" in str(user) else cluster.kubeconfig(user)],
                              capture_output=True, text=True, check=False, timeout=60, cwd=cwd)

    shop.gitmoor = gitmoor
    return shop


def test_a_working_copy_is_compared_with_the_cluster(shop, repository, namespace, api):
    done = shop.gitmoor("diff", "shop")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), "the revision that the application is at"

    # What is not committed yet: one changed, one new, one gone, a Secret.
    work = repository.folder / "deploy"
    (work / "a.yaml").write_text(config_map("a", color="green", size="1"))
    (work / "c.yaml").write_text(config_map("c", new="yes"))
    (work / "b.yaml").unlink()
    (work / "keys.yaml").write_text(SECRET % "new-secret")
    done = shop.gitmoor("diff", "shop", "--path", "deploy")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "-  color: red" in lines and "+  color: green" in lines and "   size: '1'" in done.stdout.replace('"', "'")
    assert f"--- live, v1 ConfigMap {namespace}/a" in lines and "+++ deploy/a.yaml:1" in lines
    assert f"+    gitmoor.io/managed-by: {namespace}.shop" in lines and any("new:" in line for line in lines if line[0] == "+")
    assert "+++ deleted: it is not in Git" in lines and any("step:" in line for line in lines if line[0] == "-")
    assert "-  token: '*** (before)'" in done.stdout.replace('"', "'") and "+  token: '*** (after)'" in done.stdout.replace('"', "'")
    for secret in ("b2xkLXNlY3JldA", "bmV3LXNlY3JldA", "old-secret", "new-secret", "dW5jaGFuZ2Vk", "unchanged-value"):
        assert secret not in done.stdout + done.stderr
    assert "Pod" not in done.stdout, "another way to write a quantity is no difference"
    assert "make 1, change 2 and delete 1" in done.stderr and "\x1b" not in done.stdout
    assert "\x1b[31m-  color: red" in shop.gitmoor("diff", "shop", "--path", "deploy", "--color=always").stdout
    # Nothing has been written, nothing refused.
    assert shop.live() == {"a": {"color": "red", "size": "1"}, "b": {"step": "1"}}
    assert api.get("ConfigMap", namespace, "c") is None
    assert not [event for event in shop.events() if event[1] == "EditRefused"]

    # A commit of the clone that is not pushed; and what a reconcile makes of it when it is.
    repository.commit({"deploy/a.yaml": config_map("a", color="blue", size="1")}, "blue", push=False)
    done = shop.gitmoor("diff", "shop", "--revision", "HEAD")
    assert done.returncode == 1 and "+  color: blue" in done.stdout and "HEAD (" in done.stdout
    assert shop.gitmoor("diff", "shop", "--revision", "none").returncode == 2


def test_drift_is_shown_and_listed_with_who_did_it(shop, repository, namespace, api, glass):
    glass("-n", namespace, "patch", "configmap", "a", "--type=merge", "-p",
          '{"metadata":{"annotations":{"gitmoor.io/break-glass-reason":"INC-9"}},"data":{"color":"green"}}')
    glass("-n", namespace, "annotate", "configmap", "b", "gitmoor.io/break-glass-reason=INC-9")
    glass("-n", namespace, "delete", "configmap", "b")
    wait_for(lambda: shop.status()["objects"]["drifted"] == 2, what="the drift told")
    done = shop.gitmoor("diff")
    assert done.returncode == 1 and "-  color: green" in done.stdout and "+  color: red" in done.stdout, done.stderr
    assert "make 1, change 1 and delete 0" in done.stderr

    drift = json.loads(shop.gitmoor("drift", "shop", "--now", "-o", "json").stdout)
    found = {item["name"]: item for item in drift}
    assert found["a"]["fields"] == [".data.color"] and found["a"]["manager"] == "kubectl-patch" and found["a"]["time"]
    assert found["b"]["change"] == "Deleted" and {item["reason"] for item in drift} == {"INC-9"}
    assert "green" not in json.dumps(drift)
    shop.set(selfHeal=True)
    wait_for(lambda: shop.status()["objects"]["drifted"] == 0, what="repaired")
    wait_for(lambda: "Repaired" in shop.gitmoor("drift").stdout and "Drifted" not in shop.gitmoor("drift").stdout, what="told")
    assert shop.gitmoor("diff", "shop").returncode == 0


def test_who_may_not_act_in_the_name_of_the_applier_is_foretold(shop, repository, namespace, cluster, tmp_path):
    cluster.kubectl("create", "serviceaccount", "dev", "-n", namespace)
    cluster.kubectl("create", "rolebinding", "dev", "-n", namespace, "--clusterrole=admin", f"--serviceaccount={namespace}:dev")
    cluster.kubectl("create", "role", "apps", "-n", namespace, "--verb=get,list", "--resource=applications.gitmoor.io")
    cluster.kubectl("create", "rolebinding", "apps", "-n", namespace, "--role=apps", f"--serviceaccount={namespace}:dev")
    config = json.loads(cluster.kubeconfig("admin").read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", "dev", "-n", namespace).strip()}
    file = tmp_path / "dev.kubeconfig"
    file.write_text(json.dumps(config))
    (repository.folder / "deploy/a.yaml").write_text(config_map("a", color="green"))
    done = shop.gitmoor("diff", "shop", "--path", repository.folder / "deploy", user=file, cwd=tmp_path)
    assert "-  color: red" in done.stdout and "+  color: green" in done.stdout and "-  size:" in done.stdout, done.stderr
    assert "foretold" in done.stderr and done.returncode == 1
    assert not [event for event in shop.events() if event[1] == "EditRefused"], "admission was not asked in vain"


@pytest.mark.parametrize("arguments", [["--path", "deploy"], ["shop", "--path", "x", "--revision", "y"], ["repository/shop"],
                                       ["shop", "--color", "pink"], ["none"], ["shop", "--path", "/nowhere"]])
def test_what_cannot_be_told_is_neither_yes_nor_no(shop, arguments):
    assert shop.gitmoor("diff", *arguments).returncode == 2


@pytest.mark.parametrize("spec, field", [
    ({"substituteFrom": [{"kind": "ConfigMap", "name": "x"}]}, "spec.substituteFrom"),
    ({"render": {"type": "Helm", "helm": {"valuesFrom": [{"kind": "ConfigMap", "name": "x"}]}}}, "spec.render.helm.valuesFrom")])
def test_what_only_the_differ_reads_is_not_left_out_silently(shop, spec, field):
    shop.set(**spec)
    done = shop.gitmoor("diff", "shop")
    assert done.returncode == 2 and field in done.stderr, done.stderr
