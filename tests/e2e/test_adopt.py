"""Objects that somebody else has made before: what is shown of them, what waits for a word, what is taken over."""
import subprocess

import pytest

from harness import paths
from harness.mooring import LABEL, config_map
from harness.waiting import wait_for


def flux(api, namespace, name):
    """As Flux's kustomize-controller leaves it: server-side applied under its name, with its labels."""
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "data": {"step": "old", "extra": "flux"},
               "metadata": {"name": name, "namespace": namespace, "labels": {
                   "kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}}},
              manager="kustomize-controller")


def helm(api, namespace, name):
    api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps?fieldManager=helm", {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"step": "old"}, "metadata": {
            "name": name, "labels": {"app.kubernetes.io/managed-by": "Helm"},
            "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": "prod"}}})


@pytest.fixture
def others(api, namespace, cluster):
    """Three objects of three tools; Argo CD applies client-side, with its tracking annotation."""
    flux(api, namespace, "flux")
    helm(api, namespace, "helm")
    done = subprocess.run([paths.control_plane("kubectl"), "--kubeconfig", cluster.kubeconfig("admin"), "apply",
                           "--field-manager=argocd-controller", "-f", "-"], text=True, capture_output=True, check=False, timeout=60,
                          input=config_map("argo", namespace, step="old").replace(
                              "metadata:\n", "metadata:\n  annotations: {argocd.argoproj.io/tracking-id: 'web:/ConfigMap:x/y'}\n", 1))
    assert done.returncode == 0, done.stderr
    return ["argo", "flux", "helm"]


@pytest.fixture
def run(cluster, namespace, repository):
    def gitmoor(*arguments):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "-n", namespace, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60, cwd=repository.folder)
    return gitmoor


def declared(names, step):
    return {f"deploy/{name}.yaml": config_map(name, step=step) for name in names}


def test_by_default_what_git_declares_is_taken_over(others, repository, moored):
    repository.commit(declared(others, "new"))
    shop = moored(repository)
    shop.wait_applied()
    assert {name: data["step"] for name, data in shop.live().items()} == dict.fromkeys(others, "new")
    live = shop.api.get("ConfigMap", shop.namespace, "flux")
    assert live["data"]["extra"] == "flux", "what Git does not declare stays, with its owner"
    assert live["metadata"]["labels"][LABEL] == f"{shop.namespace}.shop"


def test_where_the_spec_says_so_it_waits_until_a_person_has_looked(others, repository, moored, run):
    repository.commit(declared([*others, "fresh"], "new"))
    shop = moored(repository, adopt="IfApproved")
    shop.wait_not_ready("gitmoor adopt shop", "kustomize-controller", "helm", "argocd-controller", reason="AdoptionNotApproved")
    told = {error["object"].split("/")[-1]: error for error in shop.status()["errors"]}
    assert set(told) == set(others) and told["flux"]["file"] == "deploy/flux.yaml", "not of what is new"
    assert shop.live() == {} and shop.config_map("flux")["step"] == "old" and shop.config_map("fresh") is None
    shop.wait_event("Warning", "AdoptionNotApproved")

    shown = run("adopt", "shop")
    assert shown.returncode == 1, shown.stderr
    lines = shown.stdout.splitlines()
    head = {line.split("/")[1].split(":")[0]: line for line in lines if line.startswith("# ConfigMap")}
    assert "Flux Kustomization flux-system/apps; field managers kustomize-controller" in head["flux"]
    assert "Helm release prod/web; field managers helm" in head["helm"] and "Argo CD" in head["argo"]
    assert "fresh" not in head and lines.count("-  step: old") == 3 and lines.count("+  step: new") == 3
    assert "3 objects exist already" in shown.stderr

    assert shown.stderr.splitlines()[-1].endswith(f", at {repository.revision()}.")
    missed = run("adopt", "shop", "--yes", "--revision", "main@sha1:" + "0" * 40)
    assert missed.returncode == 1 and f"is at {repository.revision()}" in missed.stderr and shop.live() == {}
    assert run("adopt", "shop", "--revision", repository.revision()).returncode == 2, "it is for --yes"
    assert run("adopt", "shop", "--yes", "--revision", repository.revision()).returncode == 0
    shop.wait_applied()
    assert {name: data["step"] for name, data in shop.live().items()} == dict.fromkeys([*others, "fresh"], "new")
    none_left = run("adopt", "shop")
    assert (none_left.returncode, none_left.stdout) == (0, ""), none_left.stderr


def test_each_revision_that_takes_something_over_is_held_by_itself(api, repository, moored, run):
    repository.commit(declared(["mine"], "new"))
    shop = moored(repository, adopt="IfApproved")
    shop.wait_applied()
    flux(api, shop.namespace, "later")
    shop.push(declared(["mine", "later"], "newer"))
    shop.wait_not_ready("later", "kustomize-controller", reason="AdoptionNotApproved")
    assert shop.config_map("mine")["step"] == "new"
    shop.push({"deploy/later.yaml": None})
    shop.wait_applied()
    assert shop.config_map("later")["step"] == "old" and shop.config_map("mine")["step"] == "newer"
    shop.push(declared(["later"], "newest"))
    shop.wait_not_ready("later", reason="AdoptionNotApproved")
    shop.set(adopt="Always")
    shop.wait_applied()
    assert run("adopt", "shop").returncode == 0


def test_an_object_of_another_application_is_refused_by_name_all_the_same(repository, moored):
    repository.commit(declared(["c"], "1") | {"other/c.yaml": config_map("c", step="2")})
    shop = moored(repository)
    shop.wait_applied()
    other = shop.beside("other", "other", adopt="IfApproved")
    other.wait_not_ready(f"application {shop.namespace}/shop declares it too", reason="Invalid")
    wait_for(lambda: shop.config_map("c") == {"step": "1"}, what="it stays the first one's")
