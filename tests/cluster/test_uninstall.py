"""helm uninstall: nobody is locked out on the way, and nothing of Gitmoor is left."""
import json

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
