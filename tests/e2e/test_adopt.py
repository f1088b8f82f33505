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

    held = shop.status()["adoption"]
    assert held["objects"] == 3 and held["revision"] == repository.revision()
    assert shown.stderr.splitlines()[-1].endswith(f", at {repository.revision()}, list {held['list']}.")
    missed = run("adopt", "shop", "--yes", "--revision", "main@sha1:" + "0" * 40)
    assert missed.returncode == 1 and f"is at {repository.revision()}" in missed.stderr and shop.live() == {}
    assert run("adopt", "shop", "--revision", repository.revision()).returncode == 2, "it is for --yes"
    assert run("adopt", "shop", "--list", held["list"]).returncode == 2, "likewise"
    missed = run("adopt", "shop", "--yes", "--list", "0" * 12)
    assert missed.returncode == 1 and "not the list" in missed.stderr and shop.live() == {}
    assert run("adopt", "shop", "--yes", "--revision", repository.revision(), "--list", held["list"]).returncode == 0
    shop.wait_applied()
    assert "adoption" not in shop.status() and shop.status()["adopted"] == held["list"]
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


def move(shop, path):
    shop.path = path
    shop.make_application()


def wait_held(shop, *names):
    """For what the names say, which are not touched."""
    shop.wait_not_ready(*names, reason="AdoptionNotApproved", timeout=60)
    wait_for(lambda: {error["object"].split("/")[-1] for error in shop.status()["errors"]} == set(names), what=f"held for {names}")
    return shop.status()["adoption"]


def test_what_is_approved_is_a_list_and_not_what_another_path_of_the_revision_takes_over(api, namespace, repository, moored):
    flux(api, namespace, "a")
    flux(api, namespace, "b")
    repository.commit({"deploy/a.yaml": config_map("a", step="new"), "other/b.yaml": config_map("b", step="new"),
                       "third/c.yaml": config_map("c")})
    shop = moored(repository, adopt="IfApproved", prune=False)
    held = wait_held(shop, "a")
    # Without gitmoor: kubectl annotate, as the message has it.
    word = f"{held['revision']} {held['list']}"
    assert f'gitmoor.io/adopt-revision="{word}"' in shop.condition("Ready")["message"]
    api.patch("Application", namespace, "shop", {"metadata": {"annotations": {"gitmoor.io/adopt-revision": word}}}, manager="e2e")
    shop.wait_applied()
    move(shop, "other")
    assert wait_held(shop, "b")["list"] != held["list"]
    assert shop.config_map("b")["step"] == "old"
    # Given up, it is another's again, and the word for it was used up.
    move(shop, "third")
    shop.wait_applied()
    wait_for(lambda: set(shop.live()) == {"c"}, what="a is given up")
    uid = api.get("ConfigMap", namespace, "a")["metadata"]["uid"]
    move(shop, "deploy")
    assert wait_held(shop, "a")["list"] != held["list"]
    assert api.get("ConfigMap", namespace, "a")["metadata"]["uid"] == uid and set(shop.live()) == {"c"}


def test_what_somebody_makes_between_the_look_and_the_word_is_asked_for_anew(api, namespace, repository, moored, run):
    flux(api, namespace, "a")
    repository.commit(declared(["a", "b"], "new"))
    shop = moored(repository, adopt="IfApproved")
    held = wait_held(shop, "a")
    helm(api, namespace, "b")
    assert run("adopt", "shop", "--yes", "--list", held["list"]).returncode == 0
    assert wait_held(shop, "a", "b")["objects"] == 2
    assert shop.live() == {} and shop.config_map("b")["step"] == "old"
    assert run("adopt", "shop", "--yes").returncode == 0
    shop.wait_applied()
    assert set(shop.live()) == {"a", "b"}


def test_approved_and_killed_it_goes_on_with_what_is_left_of_the_list(api, namespace, repository, moored, run, gitmoor):
    flux(api, namespace, "a")
    flux(api, namespace, "b")
    repository.commit(declared(["a", "b"], "new") | {"base/c.yaml": config_map("c")})
    shop = moored(repository, adopt="IfApproved", dependsOn=[{"name": "base"}])
    wait_held(shop, "a", "b")
    assert run("adopt", "shop", "--yes").returncode == 0
    wait_for(lambda: shop.status().get("adoption", {}).get("approved"), what="the word on record")
    gitmoor.kill("differ")
    api.delete("ConfigMap", namespace, "b")
    gitmoor.start_one("differ")
    shop.beside("base", "base").wait_applied(timeout=60)
    shop.wait_applied(timeout=60)
    assert set(shop.live()) >= {"a", "b"} and "adoption" not in shop.status()


def test_what_a_rollback_takes_over_is_shown_and_approved_likewise(api, namespace, repository, moored, run):
    first = repository.commit(declared(["mine", "later"], "1"))
    shop = moored(repository, adopt="IfApproved")
    shop.wait_applied()
    shop.push(declared(["mine"], "2") | {"deploy/later.yaml": None})
    shop.wait_applied()
    flux(api, namespace, "later")
    assert run("rollback", "shop").returncode == 0
    assert wait_held(shop, "later")["revision"].endswith(first)
    shown = run("adopt", "shop", "--yes")
    assert shown.returncode == 0 and "+  step: '1'" in shown.stdout.replace('"', "'"), shown.stdout + shown.stderr
    wait_for(lambda: {name: data["step"] for name, data in shop.live().items()} == {"mine": "1", "later": "1"}, what="rolled back")


def test_an_object_of_another_application_is_refused_by_name_all_the_same(repository, moored):
    repository.commit(declared(["c"], "1") | {"other/c.yaml": config_map("c", step="2")})
    shop = moored(repository)
    shop.wait_applied()
    other = shop.beside("other", "other", adopt="IfApproved")
    other.wait_not_ready(f"application {shop.namespace}/shop declares it too", reason="Invalid")
    wait_for(lambda: shop.config_map("c") == {"step": "1"}, what="it stays the first one's")
