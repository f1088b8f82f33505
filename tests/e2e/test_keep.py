"""Objects that stay when they leave Git, or when their Application is deleted: `gitmoor.io/prune: disabled`, and what others say for it.
They are given up: nobody manages them, and admission lets anybody edit them."""
import subprocess

import pytest

from harness import paths
from harness.api import ApiError
from harness.mooring import LABEL, config_map
from harness.waiting import wait_for
from test_deletion import NAMESPACE, delete, wait_gone

PRUNE = "gitmoor.io/prune"


def kept(manifest, value="disabled", name=PRUNE):
    """The manifest with the annotation."""
    return manifest.replace("metadata:", f"metadata:\n  annotations: {{{name}: \"{value}\"}}", 1)


def edit(api, namespace, name, **data):
    return api.patch("ConfigMap", namespace, name, {"data": data})


def metadata(api, namespace, name):
    return api.get("ConfigMap", namespace, name)["metadata"]


def is_released(found):
    managers = {entry["manager"] for entry in found.get("managedFields", [])}
    return (LABEL not in found.get("labels", {}) and "gitmoor" not in managers
            and not any(name.startswith("gitmoor.io/") for name in found.get("annotations", {})))


def test_what_says_so_stays_is_anybodys_and_may_come_back(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": kept(config_map("b", color="red", size="1"))})
    shop = moored(repository)
    shop.wait_applied()
    before = metadata(api, namespace, "b")
    with pytest.raises(ApiError, match="Change it in Git"):
        edit(api, namespace, "b", color="green")
    api.patch("ConfigMap", namespace, "b", {"metadata": {"annotations": {"note": "mine"}}}, manager="controller")

    revision = shop.push({"deploy/b.yaml": None})
    shop.wait_applied()
    found = metadata(api, namespace, "b")
    assert found["uid"] == before["uid"] and is_released(found) and found["annotations"] == {"note": "mine"}, found
    assert shop.config_map("b") == {"color": "red", "size": "1"} and set(shop.live()) == {"a"}
    told = shop.status()["history"][0]
    assert (told["revision"], told["pruned"], told["released"]) == (revision, 0, 1)
    assert shop.status()["objects"] == {"desired": 1, "inSync": 1, "drifted": 0, "unhealthy": 0}
    shop.wait_event("Normal", "Released", f"kept, no longer managed: ConfigMap {namespace}/b")
    edit(api, namespace, "b", color="green")
    assert shop.config_map("b") == {"color": "green", "size": "1"}, "it is nobody's: neither refused nor repaired"

    shop.push({"deploy/b.yaml": config_map("b", color="blue")})
    shop.wait_applied()
    wait_for(lambda: shop.live() == {"a": {}, "b": {"color": "blue"}}, what="taken over, and as Git has it")
    shop.push({"deploy/b.yaml": None})
    shop.wait_applied()
    assert shop.config_map("b") is None, "it said nothing any more"


def test_all_that_an_application_has_may_leave_git_if_it_stays(repository, moored, api, namespace, cluster):
    repository.commit({"deploy/README.md": "", "deploy/namespace.yaml": NAMESPACE.format(name=f"{namespace}-inner"),
                       "deploy/inner.yaml": kept(config_map("inner", f"{namespace}-inner"), "Prune=false,Replace=true",
                                                 "argocd.argoproj.io/sync-options"),
                       "deploy/flux.yaml": kept(config_map("flux"), name="kustomize.toolkit.fluxcd.io/prune"),
                       "deploy/chart.yaml": kept(config_map("chart"), "keep", "helm.sh/resource-policy")})
    shop = moored(repository, pruneLimit=0)
    shop.wait_applied()
    objects = [f"Namespace {namespace}-inner", f"ConfigMap {namespace}-inner/inner", f"ConfigMap {namespace}/flux", f"ConfigMap {namespace}/chart"]
    for name in ("namespace", "inner", "flux", "chart"):
        (repository.folder / "deploy" / f"{name}.yaml").unlink()
    done = subprocess.run([paths.gitmoor_bin() / "gitmoor", "diff", "shop", "--path", "deploy", "-n", namespace, "--kubeconfig",
                           cluster.kubeconfig("admin")], capture_output=True, text=True, check=False, timeout=60, cwd=repository.folder)
    assert done.returncode == 1 and set(done.stdout.splitlines()) == {f"# kept, no longer managed: {it}" for it in objects}, done
    assert "make 0, change 0 and delete 0 objects, and no longer manage 4 that stay." in done.stderr

    shop.push()
    shop.wait_applied()
    told = shop.status()["history"][0]
    assert (told["pruned"], told["released"]) == (0, 4) and not [event for event in shop.events() if event[1] == "Held"]
    shop.wait_event("Normal", "Released", *objects)
    assert LABEL not in api.get("Namespace", None, f"{namespace}-inner")["metadata"]["labels"]
    edit(api, f"{namespace}-inner", "inner", by="hand")
    api.delete("Namespace", None, f"{namespace}-inner")


def test_the_live_object_has_the_last_word(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b"), "deploy/c.yaml": config_map("c"),
                       "deploy/d.yaml": kept(config_map("d"), "enabled")})
    shop = moored(repository)
    shop.wait_applied()
    for name, value in (("b", "disabled"), ("c", "no")):
        api.patch("ConfigMap", namespace, name, {"metadata": {"annotations": {PRUNE: value}}}, manager="kubectl-annotate")
    shop.push({"deploy/b.yaml": None, "deploy/c.yaml": None, "deploy/d.yaml": None})
    shop.wait_applied()
    assert is_released(metadata(api, namespace, "b")) and shop.config_map("d") is None
    assert set(shop.live()) == {"a", "c"}, "what says something unknown is neither deleted nor given up"
    assert [(error["object"], "gitmoor.io/prune" in error["message"]) for error in shop.status()["errors"]] == [(f"ConfigMap {namespace}/c", True)]
    api.patch("ConfigMap", namespace, "c", {"metadata": {"annotations": {PRUNE: "enabled"}}}, manager="kubectl-annotate")
    wait_for(lambda: shop.config_map("c") is None, what="it may be deleted now")


def test_an_unknown_word_in_git_is_refused(repository, moored, namespace):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": kept(config_map("b"), "false")})
    shop = moored(repository)
    shop.wait_not_ready("deploy/b.yaml:1", f"ConfigMap b: the annotation {PRUNE} must be \"disabled\" or \"enabled\", not \"false\"", reason="Invalid")
    assert shop.live() == {}


def test_what_says_so_stays_when_the_application_is_deleted(repository, moored, api, namespace):
    inner = f"{namespace}-inner"
    repository.commit({"deploy/namespace.yaml": NAMESPACE.format(name=inner), "deploy/data.yaml": kept(config_map("data", inner)),
                       "deploy/c.yaml": config_map("c", inner), "deploy/d.yaml": config_map("d")})
    shop = moored(repository, deletionPolicy="Delete")
    shop.wait_applied()
    delete(shop)
    wait_gone(shop)
    shop.wait_event("Normal", "Released", f"Namespace {inner}", f"ConfigMap {inner}/data")
    assert shop.config_map("c", inner) is None and shop.config_map("d") is None
    assert is_released(metadata(api, inner, "data"))
    edit(api, inner, "data", by="hand")
    api.delete("Namespace", None, inner)


def test_without_pruning_what_leaves_git_is_given_up_too(repository, moored, api, namespace):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": config_map("b", color="red")})
    shop = moored(repository, prune=False)
    shop.wait_applied()
    shop.push({"deploy/b.yaml": None})
    shop.wait_applied()
    assert is_released(metadata(api, namespace, "b"))
    edit(api, namespace, "b", color="green")
    shop.set(prune=True)
    shop.push({"deploy/a.yaml": config_map("a", step="1")})
    shop.wait_applied()
    assert shop.config_map("b") == {"color": "green"}
