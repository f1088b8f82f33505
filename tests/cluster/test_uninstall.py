"""helm uninstall: nobody is locked out on the way, and nothing of Gitmoor is left."""
import json
from concurrent.futures import ThreadPoolExecutor

from harness.mooring import config_map
from harness.waiting import wait_for
from installation import NAMESPACE, WEBHOOKS

# What controllers and the cluster itself make and remove at their own pace, and what users wrote.
NOT_COUNTED = ("events", "leases", "endpointslices", "endpoints", "pods", "replicasets", "controllerrevisions", "componentstatuses",
               "applications", "gitrepositories", "helmrepositories", "ipaddresses")
# Kept, as the chart says: deleting the definitions would delete every Application.
KEPT = {"CustomResourceDefinition /applications.gitmoor.io", "CustomResourceDefinition /gitrepositories.gitmoor.io",
        "CustomResourceDefinition /helmrepositories.gitmoor.io",
        "APIService /v1alpha1.gitmoor.io"}
# The cluster puts these into each namespace.
IN_A_NAMESPACE = {f"Namespace /{NAMESPACE}", f"ConfigMap {NAMESPACE}/kube-root-ca.crt", f"ServiceAccount {NAMESPACE}/default"}


def objects(kubectl):
    """Everything in the cluster, as lines of kind, namespace and name."""
    kinds = [kind for kind in kubectl("api-resources", "--verbs=list", "-o", "name").split() if kind.split(".")[0] not in NOT_COUNTED]
    listed = kubectl("get", ",".join(kinds), "--all-namespaces", "-o", "json")
    return {f"{found['kind']} {found['metadata'].get('namespace', '')}/{found['metadata']['name']}"
            for found in json.loads(listed)["items"]}


def test_uninstalling_leaves_nothing_but_what_was_applied(node_cluster, install, kubectl, moored, repository, namespace):
    before = objects(kubectl)
    with install("split") as installation:
        repository.commit({"deploy/settings.yaml": config_map("settings", color="red")})
        shop = moored(repository)
        shop.wait_applied(timeout=60)
        assert kubectl.run("delete", "configmap", "settings", "-n", namespace).returncode, "guarded"
        installation.uninstall()
        for resource in WEBHOOKS:
            assert "gitmoor" not in kubectl("get", resource, "-o", "name")
        wait_for(lambda: kubectl("get", "pods", "-n", NAMESPACE, "-o", "name") == "", what="no Pod left")
        left = {line for line in objects(kubectl) - before if f" {namespace}/" not in line}
        assert left <= KEPT | IN_A_NAMESPACE, left
        assert shop.config_map("settings") == {"color": "red"}, "what Git declared still runs"
        kubectl("delete", "configmap", "settings", "-n", namespace)
        shop.remove()


def finish(api, namespace, *names):
    for name in names:
        api.patch("ConfigMap", namespace, name, {"metadata": {"finalizers": None}}, manager="holder")


def test_no_application_is_left_with_a_finalizer_that_nobody_takes_away(install, api, kubectl, moored, repository, namespace):
    """Three with deletionPolicy Delete: one is kept, one is being deleted and gets to the end of that, one cannot."""
    names = ("kept", "going", "stuck")
    with install("sidecar", **{"uninstall.awaitDeletions": "30"}) as installation, ThreadPoolExecutor(1) as pool:
        repository.commit({f"{name}/map.yaml": config_map(name) for name in names})
        kept = moored(repository, name="kept", path="kept", deletionPolicy="Delete")
        shops = {"kept": kept, **{name: kept.beside(name, name, deletionPolicy="Delete") for name in names[1:]}}
        for name, shop in shops.items():
            shop.wait_applied(timeout=60)
            assert shop.application()["metadata"]["finalizers"] == ["gitmoor.io/prune"], name
        for name in names[1:]:
            api.patch("ConfigMap", namespace, name, {"metadata": {"finalizers": ["example.org/hold"]}}, manager="holder")
            api.delete("Application", namespace, name)
        for name in names[1:]:
            wait_for(lambda name=name: "deletionTimestamp" in api.get("ConfigMap", namespace, name)["metadata"], what=f"{name}: being deleted")

        uninstalled = pool.submit(installation.uninstall)
        wait_for(lambda: api.list("Pod", NAMESPACE, "?labelSelector=app.kubernetes.io%2Fcomponent%3Duninstall"), what="the first step")
        finish(api, namespace, "going")
        wait_for(lambda: not shops["going"].application(), what="the deletion that was under way is done")
        assert installation.pods("applier"), "by Gitmoor, which is waited for"
        uninstalled.result()

        assert not api.get("ConfigMap", namespace, "going")
        assert not shops["stuck"].application(), "what could not be done within the bound is let go"
        assert api.get("ConfigMap", namespace, "stuck"), "and its object is where it was"
        assert "finalizers" not in kept.application()["metadata"] and kept.config_map("kept") == {}
        kubectl("delete", "application", "kept", "-n", namespace, "--timeout=10s")
        assert kept.config_map("kept") == {}
        finish(api, namespace, "stuck")
        left = kubectl("get", "serviceaccounts,clusterroles,clusterrolebindings", "-A", "-l", "app.kubernetes.io/part-of=gitmoor", "-o", "name")
        assert left == ""
