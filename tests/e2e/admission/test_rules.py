"""Who may change what: admission against a real kube-apiserver and kube-controller-manager.

test_drills.py shows what happens when it is down, and what it keeps in the API server.
"""
import base64
import json
import secrets
import time
from pathlib import Path

import pytest

from harness.api import ApiError
from harness.cluster import NAMESPACE, user_of
from harness.guarded import APPLY, BREAK_GLASS, CONFIGURATIONS, CRDS, HELPER, JSON_PATCH, LABEL, MERGE, REASON, STRATEGIC, Refused, \
    World, age, gone, ours, refusal, system, webhook
from harness.waiting import wait_for

IMAGE = '.spec.template.spec.containers[name="web"].image'

# ------------------------------------------------------------------------------- the table

def unlabel(live):
    del live["metadata"]["labels"][LABEL]


def forget(live):
    live["metadata"]["managedFields"] = [{}]


def recolor(live):
    live["data"]["color"] = "green"


def forge(live):
    live["metadata"]["managedFields"].append({
        "manager": "gitmoor", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:color": {}}}})


def shrink(live):
    ours(live)["fieldsV1"] = {"f:metadata": {"f:labels": {"f:" + LABEL: {}}}}


def grow(live):
    ours(live)["fieldsV1"]["f:data"]["f:shape"] = {}


def flatten(live):
    """As if the applier owned the map, and not what is in it: whoever changes that then takes nothing away."""
    ours(live)["fieldsV1"]["f:data"] = {}


def double(live):
    live["metadata"]["managedFields"].append({**ours(live), "fieldsV1": {"f:metadata": {"f:labels": {"f:" + LABEL: {}}}}})


def entry(**changed):
    return lambda live: ours(live).update(changed)


def relabel(live):
    live["metadata"]["labels"]["tier"] = "back"


def anew(*changes):
    """Of whatever version it is by now: Pods and Deployments are written by others meanwhile."""
    def change(live):
        live["metadata"].pop("resourceVersion")
        for each in changes:
            each(live)
    return change


def resize(live):
    live["spec"]["size"] = 2


def rescale(live):
    live["spec"]["replicas"] = 5


def nothing(world):
    """For requests that make what they are about."""
    return world


def claim(**metadata):
    return {"metadata": {"namespace": "prod", "labels": {LABEL: "prod.shop"}, "name": f"c{secrets.token_hex(4)}", **metadata}}


def apply_claim(world, manager):
    name = f"c{secrets.token_hex(4)}"
    world.api.request("PATCH", f"/api/v1/namespaces/prod/configmaps/{name}?fieldManager={manager}",
                      {"apiVersion": "v1", "kind": "ConfigMap", **claim(name=name)}, APPLY)


OWNER = {"apiVersion": "v1", "kind": "ConfigMap", "name": "nobody", "uid": "00000000-0000-4000-8000-000000000000"}
LABEL_PATH = '.metadata.labels["gitmoor.io/managed-by"]'
GREEN = {"data": {"color": "green"}}

# name, what to make, what to do with it, words of the refusal (None: it is allowed)
ROWS = [
    # ---- values
    ("merge patch of a value", World.config_map, lambda o: o.patch(GREEN), [".data.color is declared by"]),
    ("merge patch that removes a key", World.config_map, lambda o: o.patch({"data": {"color": None}}), [".data.color"]),
    ("merge patch to the same value", World.config_map, lambda o: o.patch({"data": {"color": "red"}}), None),
    ("merge patch of a new key", World.config_map, lambda o: o.patch({"data": {"shape": "round"}}), None),
    ("dry run of a merge patch", World.config_map, lambda o: o.patch(GREEN, query="&dryRun=All"), [".data.color"]),
    ("JSON patch of a value", World.config_map,
     lambda o: o.patch([{"op": "replace", "path": "/data/color", "value": "green"}], JSON_PATCH), [".data.color"]),
    ("JSON patch that removes a list item", World.workload,
     lambda o: o.patch([{"op": "remove", "path": "/spec/template/spec/containers/0/env/0"}], JSON_PATCH),
     ['.spec.template.spec.containers[name="web"].env[name="A"]']),
    ("JSON patch that adds a list item", World.workload,
     lambda o: o.patch([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "C"}}], JSON_PATCH), None),
    ("strategic patch of an image", World.workload,
     lambda o: o.patch({"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "example.org/evil:1"}]}}}}, STRATEGIC),
     [f"{IMAGE} is declared by"]),
    ("strategic patch that adds a sidecar", World.workload,
     lambda o: o.patch({"spec": {"template": {"spec": {"containers": [{"name": "side", "image": "example.org/side:1"}]}}}}, STRATEGIC),
     None),
    ("PUT of a changed value", World.config_map, lambda o: o.put(recolor), [".data.color"]),
    ("PUT of what was read", World.config_map, lambda o: o.put(lambda live: None), None),
    ("PUT without managedFields", World.config_map, lambda o: o.put(lambda live: live["metadata"].pop("managedFields")), None),
    ("apply by another manager with force", World.config_map, lambda o: o.apply({}, "other", data={"color": "green"}), [".data.color"]),
    ("apply by another manager of the same value", World.config_map, lambda o: o.apply({}, "other"), None),
    ("a field of a ClusterRole",
     lambda w: w.make("ClusterRole", rules=[{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
     lambda o: o.patch({"rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}), [".rules", "ClusterRole o"]),
    ("more than ten fields", lambda w: w.config_map({f"k{i:02}": "v" for i in range(14)}),
     lambda o: o.patch({"data": {f"k{i:02}": "w" for i in range(14)}}), [".data.k09 and 4 more"]),
    ("JSON patch that removes a value", World.config_map, lambda o: o.patch([{"op": "remove", "path": "/data/color"}], JSON_PATCH),
     [".data.color"]),
    ("JSON patch that moves a value", World.config_map,
     lambda o: o.patch([{"op": "move", "from": "/data/color", "path": "/data/colour"}], JSON_PATCH), [".data.color"]),
    ("JSON patch that only tests", World.config_map,
     lambda o: o.patch([{"op": "test", "path": "/data/color", "value": "red"}], JSON_PATCH), None),
    ("strategic patch that deletes a list item", World.workload,
     lambda o: o.patch({"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A", "$patch": "delete"}]}]}}}},
                       STRATEGIC), ['.spec.template.spec.containers[name="web"].env[name="A"]']),
    ("strategic patch that replaces a list", World.workload,
     lambda o: o.patch({"spec": {"template": {"spec": {"containers": [{"$patch": "replace"}, {"name": "x", "image": "x"}]}}}}, STRATEGIC),
     [IMAGE]),
    ("merge patch of a list", World.workload,
     lambda o: o.patch({"spec": {"template": {"spec": {"containers": [{"name": "x", "image": "x"}]}}}}), [IMAGE]),
    ("dry run of a PUT", World.config_map, lambda o: o.put(recolor, query="?dryRun=All"), [".data.color"]),
    ("dry run of an apply by another manager", World.config_map,
     lambda o: o.apply({}, "other", query="&dryRun=All", data={"color": "green"}), [".data.color"]),
    ("apply by another manager that adds a key", World.config_map, lambda o: o.apply({}, "other", data={"shape": "round"}), None),
    ("a field of a Namespace", lambda w: w.make("Namespace"), lambda o: o.patch({"metadata": {"labels": {"tier": "back"}}}),
     [".metadata.labels.tier", "Namespace o"]),
    ("a new label of a Namespace", lambda w: w.make("Namespace"), lambda o: o.patch({"metadata": {"labels": {"mine": "yes"}}}), None),
    # ---- metadata
    ("annotation of a new key", World.config_map, lambda o: o.annotate(note="mine"), None),
    ("overwriting a declared label", World.config_map, lambda o: o.patch({"metadata": {"labels": {"tier": "back"}}}),
     [".metadata.labels.tier"]),
    ("a new label", World.config_map, lambda o: o.patch({"metadata": {"labels": {"mine": "yes"}}}), None),
    ("removing our label", World.config_map, lambda o: o.patch({"metadata": {"labels": {LABEL: None}}}), [LABEL_PATH]),
    ("removing our label by PUT", World.config_map, lambda o: o.put(unlabel), [LABEL_PATH]),
    ("changing our label", World.config_map, lambda o: o.patch({"metadata": {"labels": {LABEL: "prod.open"}}}),
     [LABEL_PATH, "application prod/shop"]),
    ("managedFields set to [{}]", World.config_map, lambda o: o.put(forget), [".data.color"]),
    ("managedFields set to []", World.config_map, lambda o: o.patch({"metadata": {"managedFields": []}}), [".data.color"]),
    ("managedFields set to [] by JSON patch", World.config_map,
     lambda o: o.patch([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}], JSON_PATCH), [".data.color"]),
    ("managedFields set to null", World.config_map, lambda o: o.patch({"metadata": {"managedFields": None}}), None),
    ("a finalizer", World.config_map, lambda o: o.patch({"metadata": {"finalizers": ["example.org/keep"]}}), None),
    ("an ownerReference", World.config_map, lambda o: o.patch({"metadata": {"ownerReferences": [OWNER]}}),
     [f'.metadata.ownerReferences[uid="{OWNER["uid"]}"]', "garbage collector"]),
    ("an annotation that Git declares", lambda w: w.config_map(metadata={"annotations": {"note": "git"}}),
     lambda o: o.annotate(note="mine"), [".metadata.annotations.note"]),
    ("a finalizer that Git declares", lambda w: w.config_map(metadata={"finalizers": ["example.org/keep"]}),
     lambda o: o.patch({"metadata": {"finalizers": []}}), ['.metadata.finalizers["example.org/keep"]']),
    ("removing label and entry at once", World.config_map, lambda o: o.put(lambda live: (unlabel(live), forget(live))), [".data.color"]),
    ("an ownerReference by PUT", World.config_map, lambda o: o.put(lambda live: live["metadata"].update(ownerReferences=[OWNER])),
     [".metadata.ownerReferences"]),
    ("a break-glass reason by anybody", World.config_map, lambda o: o.annotate(**{REASON: "INC-1"}),
     ["only break-glass may write the annotation"]),
    ("a break-glass reason in a dry run", World.config_map,
     lambda o: o.patch({"metadata": {"annotations": {REASON: "INC-1"}}}, query="&dryRun=All"), ["only break-glass"]),
    ("a break-glass reason by break-glass", World.config_map, lambda o: o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), None),
    ("a break-glass reason through the status", World.service,
     lambda o: o.patch({"metadata": {"annotations": {REASON: "INC-1"}}}, subresource="status"), ["only break-glass"]),
    ("a break-glass reason on a Namespace by anybody", lambda w: w.make("Namespace", managed=False),
     lambda o: o.annotate(**{REASON: "INC-1"}), ["only break-glass may write the annotation", "of Namespace o"]),
    ("a break-glass reason on a Namespace through its status", lambda w: w.make("Namespace", managed=False),
     lambda o: o.patch({"metadata": {"annotations": {REASON: "INC-1"}}}, subresource="status"), ["only break-glass"]),
    ("a break-glass reason on a managed Namespace by anybody", lambda w: w.make("Namespace"), lambda o: o.annotate(**{REASON: "INC-1"}),
     ["only break-glass"]),
    ("a break-glass reason on a Namespace by break-glass, and its end", lambda w: w.make("Namespace", managed=False),
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.annotate(**{REASON: None})), None),
    ("a Namespace with a break-glass reason", nothing,
     lambda w: w.create("Namespace", {"metadata": {"name": f"c{secrets.token_hex(4)}", "annotations": {REASON: "INC-1"}}}),
     ["only break-glass"]),
    ("a break-glass reason on a definition by anybody", nothing,
     lambda w: w.api.request("PATCH", f"{CRDS}/gadgets.test.example.org",
                             {"metadata": {"annotations": {REASON: f"INC-{secrets.token_hex(4)}"}}}, MERGE),
     ["only break-glass", "gadgets.test.example.org"]),
    ("changing the break-glass reason", World.config_map,
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.annotate(**{REASON: "INC-2"})), ["only break-glass"]),
    ("removing the break-glass reason", World.config_map,
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.annotate(**{REASON: None})), None),
    ("an edit of another key while a reason stands", World.config_map,
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.put(lambda live: live["data"].update(shape="round"))), None),
    ("strategic patch that replaces the labels", World.config_map,
     lambda o: o.patch({"metadata": {"labels": {"$patch": "replace", LABEL: "prod.shop"}}}, STRATEGIC), [".metadata.labels.tier"]),
    ("strategic patch that replaces all", World.config_map, lambda o: o.patch({"$patch": "replace", "metadata": {"name": o.name}}, STRATEGIC),
     [".data.color", LABEL_PATH]),
    ("strategic patch that deletes a finalizer", lambda w: w.config_map(metadata={"finalizers": ["example.org/keep"]}),
     lambda o: o.patch({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.org/keep"]}}, STRATEGIC),
     ['.metadata.finalizers["example.org/keep"]']),
    ("strategic patch that retains other keys only", World.workload,
     lambda o: o.patch({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}, STRATEGIC), None),
    ("a further list item of the same name", World.workload,
     lambda o: o.patch([{"op": "add", "path": "/spec/template/spec/containers/0/env/-", "value": {"name": "A", "value": "9"}}], JSON_PATCH),
     ['.spec.template.spec.containers[name="web"].env[name="A"]']),
    ("a kind of another group that is called Event", lambda w: w.make("Event", data={"color": "red"}), lambda o: o.patch(GREEN),
     [".data.color", "Event o"]),
    # ---- managedFields
    ("our entry with less in it", World.config_map, lambda o: o.put(shrink), [".data.color"]),
    ("our entry with more in it", World.config_map, lambda o: o.put(grow), ["reserved for Gitmoor's applier", "managedFields"]),
    ("our entry with a map instead of its keys", World.config_map, lambda o: o.put(flatten), ["reserved for Gitmoor's applier"]),
    ("our entry twice, and a value", World.config_map, lambda o: o.put(lambda live: (double(live), recolor(live))), [".data.color"]),
    ("our entry in another version", World.widget, lambda o: o.put(entry(apiVersion="test.example.org/v2")), [".spec.size"]),
    ("our entry as another operation", World.config_map, lambda o: o.put(entry(operation="Update")), ["reserved for Gitmoor's applier"]),
    ("our entry of a subresource", World.config_map, lambda o: o.put(entry(subresource="status")), [".data.color"]),
    ("our entry in capitals", World.config_map, lambda o: o.put(entry(manager="Gitmoor")), [".data.color"]),
    ("our entry with another time, and a value", World.config_map,
     lambda o: o.put(lambda live: (age(live), recolor(live))), [".data.color"]),
    ("our entry with another time", World.config_map, lambda o: o.put(age), None),
    ("our entry with less in it through the status, and then the object", World.widget,
     lambda o: (o.put(shrink, subresource="status"), o.patch({"spec": {"size": 2}})), [".spec.size"]),
    ("our entry with less in it through the scale, and then the scale", World.workload,
     lambda o: (o.put_scale(2, resourceVersion=None, managedFields=[{}]), o.scale(5)), [".spec.replicas"]),
    ("the spec through the status, and then the object", World.widget,
     lambda o: (o.put(resize, subresource="status"), o.patch({"spec": {"size": 2}})), [".spec.size"]),
    ("the spec of a Deployment through the status, and then the object", World.workload,
     lambda o: (o.put(anew(rescale), subresource="status"), o.patch({"spec": {"replicas": 5}})), [".spec.replicas"]),
    # ---- owners
    ("an ownerReference that gets another name", World.owned,
     lambda o: o.patch({"metadata": {"ownerReferences": [{**o.owner, "name": "nobody"}]}}), ["garbage collector"]),
    ("an ownerReference that gets another kind", World.owned,
     lambda o: o.patch({"metadata": {"ownerReferences": [{**o.owner, "kind": "Secret"}]}}), ["garbage collector"]),
    ("an ownerReference that Git does not declare is removed", World.owned, lambda o: o.patch({"metadata": {"ownerReferences": None}}), None),
    # ---- the field manager
    ("our field manager, unchanged content", World.config_map, lambda o: o.apply({}), ["reserved for Gitmoor's applier", "admin"]),
    ("our field manager, dry run", World.config_map, lambda o: o.apply({}, query="&dryRun=All"), ["reserved for Gitmoor's applier"]),
    ("our field manager in a merge patch", World.config_map, lambda o: o.patch({"data": {"shape": "round"}}, manager="gitmoor"), ["reserved for Gitmoor's applier"]),
    ("our name as the User-Agent", World.config_map,
     lambda o: o.patch({"data": {"shape": "round"}}, headers={"User-Agent": "gitmoor/1.0"}, manager=""),
     ["reserved for Gitmoor's applier"]),
    ("our field manager by break-glass", World.config_map,
     lambda o: o.patch({"metadata": {"annotations": {REASON: "INC-1"}}}, headers=BREAK_GLASS, manager="gitmoor"),
     ["reserved for Gitmoor's applier"]),
    ("our field manager in a PUT", World.config_map, lambda o: o.put(lambda live: None, query="?fieldManager=gitmoor"),
     ["reserved for Gitmoor's applier"]),
    ("our field manager through the status", World.service,
     lambda o: o.patch({"metadata": {"labels": {"mine": "yes"}}}, subresource="status", manager="gitmoor"),
     ["reserved for Gitmoor's applier"]),
    ("our field manager at the scale", World.workload, lambda o: o.patch({"spec": {"replicas": 2}}, subresource="scale", manager="gitmoor"),
     ["reserved for Gitmoor's applier"]),
    ("an entry of our manager put into managedFields", World.config_map, lambda o: o.put(forge), ["reserved for Gitmoor's applier"]),
    ("our field manager on what is not managed", lambda w: w.config_map(managed=False), lambda o: o.patch(GREEN, manager="gitmoor"), None),
    # ---- subresources
    ("the status of a Deployment", World.workload, lambda o: o.patch({"status": {"replicas": 7}}, subresource="status"), None),
    ("our label through the status of a Service", World.service,
     lambda o: o.patch({"metadata": {"labels": {LABEL: None}}}, subresource="status"), [LABEL_PATH]),
    ("eviction of a managed Pod", World.pod,
     lambda o: o.world.api.request("POST", f"{o.path}/eviction", {
         "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": o.name, "namespace": o.namespace}}), None),
    ("the labels of a Namespace through its finalizers", lambda w: w.make("Namespace"), lambda o: o.put(relabel, subresource="finalize"),
     [".metadata.labels.tier", "Namespace o"]),
    ("our label through the finalizers of a Namespace", lambda w: w.make("Namespace"), lambda o: o.put(unlabel, subresource="finalize"),
     [LABEL_PATH]),
    ("the labels of a Pod beside ephemeral containers", World.pod,
     lambda o: o.put(anew(relabel), subresource="ephemeralcontainers"), [".metadata.labels.tier"]),
    ("our field manager through the status, nothing else", World.widget,
     lambda o: o.patch({"status": {"replicas": 7}}, subresource="status", manager="gitmoor"), ["reserved for Gitmoor's applier"]),
    ("scaling declared replicas", World.workload, lambda o: o.scale(5), ["Deployment prod/o", ".spec.replicas", "ignore"]),
    ("scaling to the declared number", World.workload, lambda o: o.scale(2), None),
    ("scaling what Git leaves out", lambda w: w.workload(replicas=None), lambda o: o.scale(5), None),
    ("scaling by the autoscaler", World.workload, lambda o: o.put_scale(5, system("horizontal-pod-autoscaler")), [".spec.replicas"]),
    ("scaling a StatefulSet", lambda w: w.workload("StatefulSet"), lambda o: o.scale(5), ["StatefulSet prod/o", ".spec.replicas"]),
    ("scaling a custom resource", World.widget, lambda o: o.scale(5), [".spec.replicas"]),
    ("replicas through the object", World.workload, lambda o: o.patch({"spec": {"replicas": 5}}), [".spec.replicas", "ignore"]),
    ("dry run of scaling", World.workload, lambda o: o.patch({"spec": {"replicas": 5}}, subresource="scale", query="&dryRun=All"),
     [".spec.replicas"]),
    ("scaling by PUT", World.workload, lambda o: o.put_scale(5, {}), [".spec.replicas"]),
    ("scaling by another field manager's apply", World.workload, lambda o: o.apply({}, "hpa", spec={**o.body["spec"], "replicas": 5}),
     [".spec.replicas"]),
    ("the status of a custom resource", World.widget, lambda o: o.patch({"status": {"replicas": 7}}, subresource="status"), None),
    ("an ephemeral container", World.pod,
     lambda o: o.patch({"spec": {"ephemeralContainers": [{"name": "debug", "image": "example.org/debug:1"}]}}, STRATEGIC,
                       subresource="ephemeralcontainers"), None),
    ("a token of a managed ServiceAccount", lambda w: w.make("ServiceAccount"),
     lambda o: o.world.api.request("POST", f"{o.path}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                                               "spec": {"expirationSeconds": 600}}), None),
    ("resize of declared resources", lambda w: w.pod(resources={"requests": {"cpu": "100m"}}, gated=True),
     lambda o: o.patch({"spec": {"containers": [{"name": "web", "resources": {"requests": {"cpu": "200m"}}}]}}, STRATEGIC,
                       subresource="resize"), ['.spec.containers[name="web"].resources.requests.cpu']),
    # ---- custom resources
    ("a field of a custom resource", World.widget, lambda o: o.patch({"spec": {"size": 2}}), [".spec.size"]),
    ("a field through another version", World.widget,
     lambda o: o.world.api.request("PATCH", o.path.replace("/v1/", "/v2/"), {"spec": {"size": 2}}, MERGE), [".spec.size"]),
    ("appending to a list without a schema", World.widget, lambda o: o.patch({"spec": {"free": {"list": [1, 2, 3]}}}),
     [".spec.free.list"]),
    ("a new key in a map without a schema", World.widget, lambda o: o.patch({"spec": {"free": {"map": {"c": "d"}}}}), None),
    ("an item of a list by keys", World.widget, lambda o: o.patch({"spec": {"parts": [{"name": "wheel", "weight": 4}]}}),
     ['.spec.parts[name="wheel"].weight']),
    ("an item of a set", World.widget, lambda o: o.patch({"spec": {"tags": ["x"]}}), ['.spec.tags["y"]']),
    ("a further item of a set", World.widget, lambda o: o.patch({"spec": {"tags": ["x", "y", "z"]}}), None),
    ("deletion through another version", World.widget,
     lambda o: o.world.api.request("DELETE", o.path.replace("/v1/", "/v2/")), ["Widget prod/o"]),
    ("our field manager through another version", World.widget,
     lambda o: o.world.api.request("PATCH", o.path.replace("/v1/", "/v2/") + "?fieldManager=gitmoor", {"spec": {"size": 1}}, MERGE),
     ["reserved for Gitmoor's applier"]),
    ("a new field through another version", World.widget,
     lambda o: o.world.api.request("PATCH", o.path.replace("/v1/", "/v2/"), {"spec": {"free": {"map": {"c": "d"}}}}, MERGE), None),
    ("a list of a kind without a schema", World.blob, lambda o: o.patch({"spec": {"list": [1, 2, 3]}}), [".spec.list", "Blob o"]),
    ("a map key of a kind without a schema", World.blob, lambda o: o.patch({"spec": {"map": {"a": "c"}}}), [".spec.map.a"]),
    ("a new key in a kind without a schema", World.blob, lambda o: o.patch({"spec": {"map": {"c": "d"}, "other": [1]}}), None),
    ("deletion of a kind without a schema", World.blob, lambda o: o.delete(), ["Blob o"]),
    # ---- deletion
    ("deletion", World.config_map, lambda o: o.delete(), ["it is declared by application prod/shop", "Remove it from Git"]),
    ("dry run of a deletion", World.config_map, lambda o: o.delete(body={"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}),
     ["it is declared by"]),
    ("deletion that orphans", World.workload,
     lambda o: o.delete(body={"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"}), ["it is declared by"]),
    ("deletion of a collection", World.config_map,
     lambda o: o.world.api.request("DELETE", f"{o.collection}?fieldSelector=metadata.name%3D{o.name}"), ["ConfigMap prod/o"]),
    ("deletion of a cluster-scoped object", lambda w: w.make("ClusterRole", rules=[]), lambda o: o.delete(), ["ClusterRole o"]),
    ("deletion of a custom resource", World.widget, lambda o: o.delete(), ["Widget prod/o"]),
    ("deletion by the namespace controller", World.config_map, lambda o: o.delete(system("namespace-controller")), None),
    ("deletion of what is not managed", lambda w: w.config_map(managed=False), lambda o: o.delete(), None),
    ("deletion in the foreground", World.workload,
     lambda o: o.delete(body={"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Foreground"}), ["it is declared by"]),
    ("dry run of a deletion of a collection", World.config_map,
     lambda o: o.world.api.request("DELETE", f"{o.collection}?fieldSelector=metadata.name%3D{o.name}&dryRun=All"), ["ConfigMap prod/o"]),
    ("deletion of a cluster-scoped collection", World.blob,
     lambda o: o.world.api.request("DELETE", f"{o.collection}?fieldSelector=metadata.name%3D{o.name}"), ["Blob o"]),
    ("dry run of deleting a Namespace that holds managed objects", World.config_map,
     lambda o: o.world.api.request("DELETE", "/api/v1/namespaces/prod?dryRun=All"), ["holds objects that are managed by Git"]),
    ("deletion of the definition of managed objects", World.widget,
     lambda o: o.world.api.request("DELETE", f"{CRDS}/widgets.test.example.org?dryRun=All"),
     ["Widget is declared by application prod/shop", "they would be deleted with it"]),
    ("deletion of a definition that nobody uses", World.config_map,
     lambda o: o.world.api.request("DELETE", f"{CRDS}/gadgets.test.example.org?dryRun=All"), None),
    # ---- claims
    ("creating with our label", nothing, lambda w: w.create("ConfigMap", claim()), ["claims to be managed by Git"]),
    ("dry run of creating with our label", nothing, lambda w: w.create("ConfigMap", claim(), query="?dryRun=All"), ["claims to be managed"]),
    ("creating with our label and a name to be made", nothing, lambda w: w.create("ConfigMap", claim(name="", generateName="c-")),
     ["ConfigMap prod/c-"]),
    ("creating a cluster-scoped object with our label", nothing,
     lambda w: w.create("ClusterRole", {**claim(namespace=None), "rules": []}), ["claims to be managed"]),
    ("creating with our label by apply", nothing, lambda w: apply_claim(w, "somebody"), ["claims to be managed"]),
    ("creating with our label by our field manager", nothing, lambda w: apply_claim(w, "gitmoor"), ["reserved for Gitmoor's applier"]),
    ("creating with our label by break-glass", nothing, lambda w: w.create("ConfigMap", claim(), headers=BREAK_GLASS),
     ["claims to be managed"]),
    ("our label on what is not managed", lambda w: w.config_map(managed=False),
     lambda o: o.patch({"metadata": {"labels": {LABEL: "prod.shop"}}}), ["claims to be managed"]),
    ("creating without our label", nothing, lambda w: w.create("ConfigMap", claim(labels={"tier": "front"})), None),
    # ---- break-glass
    ("break-glass with a reason", World.config_map,
     lambda o: o.patch({**GREEN, "metadata": {"annotations": {REASON: "INC-1"}}}, headers=BREAK_GLASS), None),
    ("break-glass without a reason", World.config_map, lambda o: o.patch(GREEN, headers=BREAK_GLASS), ["Break-glass needs a reason"]),
    ("break-glass with a blank reason", World.config_map,
     lambda o: o.patch({**GREEN, "metadata": {"annotations": {REASON: "  "}}}, headers=BREAK_GLASS), ["Break-glass needs a reason"]),
    ("a reason without the group", World.config_map, lambda o: o.patch({**GREEN, "metadata": {"annotations": {REASON: "INC-1"}}}),
     [".data.color", "gitmoor:break-glass"]),
    ("deletion by break-glass without a reason", World.config_map, lambda o: o.delete(BREAK_GLASS), ["Break-glass needs a reason"]),
    ("deletion by break-glass with the reason set beforehand", World.config_map,
     lambda o: (o.patch({"metadata": {"annotations": {REASON: "INC-1"}}}, headers=BREAK_GLASS), o.delete(BREAK_GLASS)), None),
    ("scaling by break-glass without a reason", World.workload, lambda o: o.scale(5, BREAK_GLASS), ["Break-glass needs a reason"]),
    ("scaling by break-glass with a reason in the Scale", World.workload,
     lambda o: o.scale(5, BREAK_GLASS, annotations={REASON: "INC-1"}), None),
    ("scaling by break-glass with the reason set on the object beforehand", World.workload,
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.scale(5, BREAK_GLASS)), None),
    ("the reason that somebody else may use for scaling is not for everybody", World.workload,
     lambda o: (o.annotate(BREAK_GLASS, **{REASON: "INC-1"}), o.scale(5)), [".spec.replicas"]),
    # ---- kubectl
    ("kubectl set image", World.workload, lambda o: o.kubectl("set", "image", "{}", "web=example.org/evil:1"), [IMAGE]),
    ("kubectl scale", World.workload, lambda o: o.kubectl("scale", "{}", "--replicas=5"), [".spec.replicas"]),
    ("kubectl rollout restart", World.workload, lambda o: o.kubectl("rollout", "restart", "{}"), None),
    ("kubectl label", World.config_map, lambda o: o.kubectl("label", "{}", f"{LABEL}-"), [LABEL_PATH]),
    ("kubectl annotate", World.config_map, lambda o: o.kubectl("annotate", "{}", "note=mine"), None),
    ("kubectl delete", World.config_map, lambda o: o.kubectl("delete", "{}"), ["Remove it from Git"]),
    ("kubectl edit", World.config_map, lambda o: o.edit("red", "green"), [".data.color"]),
    ("kubectl apply of something else", World.config_map, lambda o: o.kubectl("apply", "-f", "-", stdin=manifest(o, "green")),
     [".data.color"]),
    ("kubectl apply of the same", World.config_map, lambda o: o.kubectl("apply", "-f", "-", stdin=manifest(o, "red")), None),
    ("kubectl replace", World.config_map, lambda o: o.kubectl("replace", "-f", "-", stdin=manifest(o, "green")), [".data.color"]),
    ("kubectl set env", World.workload, lambda o: o.kubectl("set", "env", "{}", "A=2"), ['.env[name="A"].value']),
    ("kubectl replace --force", World.config_map, lambda o: o.kubectl("replace", "--force", "-f", "-", stdin=manifest(o, "green")),
     ["Remove it from Git"]),
    ("kubectl apply --server-side", World.config_map,
     lambda o: o.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifest(o, "green")), [".data.color"]),
    ("kubectl diff, which is a dry run", World.config_map, lambda o: o.kubectl("diff", "-f", "-", stdin=manifest(o, "red")), None),
    # ---- protection
    ("an edit under Warn", lambda w: w.config_map(application="lax"), lambda o: o.patch(GREEN), None),
    ("an edit under Off", lambda w: w.config_map(application="open"), lambda o: o.patch(GREEN), None),
    ("a deletion under Off", lambda w: w.config_map(application="open"), lambda o: o.delete(), None),
    ("an edit under an application that does not exist", lambda w: w.config_map(application="gone"), lambda o: o.patch(GREEN),
     ["application prod/gone (not known to admission yet)"]),
    ("an edit of an orphan", World.orphan, lambda o: o.patch(GREEN), None),
    ("a deletion of an orphan", World.orphan, lambda o: o.delete(), None),
    ("our label taken from an orphan", World.orphan, lambda o: o.put(unlabel), None),
    ("our label put on another object in the name of an application that is gone", nothing,
     lambda w: w.create("ConfigMap", claim(labels={LABEL: "prod.gone"})), ["claims to be managed"]),
    ("scaling in a namespace of Warn", lambda w: w.workload(namespace="lax", application="lax"), lambda o: o.scale(5), None),
    ("a deletion under Warn", lambda w: w.config_map(application="lax"), lambda o: o.delete(), None),
    ("our label under Warn", nothing, lambda w: w.create("ConfigMap", claim(labels={LABEL: "prod.lax"})), None),
    ("our field manager under Off", lambda w: w.config_map(application="open"), lambda o: o.apply({}), None),
    # ---- the applier
    ("the applier changes a value", World.config_map, lambda o: o.apply(data={"color": "green"}), None),
    ("the applier deletes", World.config_map, lambda o: o.delete(World.applier), None),
    ("the applier's name in capitals", World.config_map,
     lambda o: o.patch(GREEN, headers={"Impersonate-User": user_of("applier").upper(), "Impersonate-Group": "system:masters"}), [".data.color"]),
    ("the applier's mark in capitals", World.config_map,
     lambda o: o.patch(GREEN, headers={**World.applier, "Impersonate-Group": "system:masters",
                                       "Impersonate-Extra-gitmoor.io%2fapplier": user_of("applier").upper()}), [".data.color"]),
    ("an edit by a service account of kube-system", World.config_map, lambda o: o.patch(GREEN, headers=HELPER), [".data.color"]),
    ("a deletion by a service account of kube-system", World.config_map, lambda o: o.delete(HELPER), ["it is declared by"]),
    ("the applier's mark with another name", World.config_map,
     lambda o: o.patch(GREEN, headers={**World.applier, "Impersonate-Extra-gitmoor.io%2fapplier": "somebody"}), [".data.color"]),
]


def manifest(managed, color):
    return (f"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {managed.name}\n  labels:\n    {LABEL}: prod.shop\n"
            f"    tier: front\ndata: {{color: {color}, size: '1'}}\n")


@pytest.mark.parametrize("make, act, words", [row[1:] for row in ROWS], ids=[row[0].replace(" ", "-") for row in ROWS])
def test_row(world, make, act, words):
    subject = make(world)
    if words is None:
        act(subject)
        return
    message = refusal(lambda: act(subject))
    for word in words:
        assert word in message, (word, message)


def resource_lists(api):
    """What the server serves, by group and version."""
    versions = [group["preferredVersion"]["groupVersion"] for group in api.request("GET", "/apis")["groups"]]
    return [api.request("GET", "/api/v1"), *(api.request("GET", f"/apis/{version}") for version in versions)]


def test_every_subresource_that_can_be_updated_is_guarded(world):
    hooks = [hook for kind in ("validating", "mutating") for hook in world.configuration(f"{kind}webhookconfigurations")["webhooks"]]
    guarded = {name.removeprefix("*/") for hook in hooks for rule in hook["rules"] for name in rule["resources"] if name.startswith("*/")}
    updated = {each["name"].partition("/")[2] for found in resource_lists(world.api) for each in found["resources"]
               if "/" in each["name"] and {"update", "patch"} & set(each["verbs"])}
    updated.discard("proxy")  # carries no object
    assert updated >= {"status", "scale", "finalize", "ephemeralcontainers", "approval"} and updated <= guarded, (updated, guarded)


# ------------------------------------------------------------------------------- messages

def test_a_message_names_everything_and_no_secret_value(world):
    hidden = base64.b64encode(b"hunter2-old").decode()
    secret = world.make("Secret", data={"password": hidden})
    message = refusal(lambda: secret.patch({"stringData": {"password": "hunter2-new"}}))
    for word in (f"Secret prod/{secret.name} is managed by Git", ".data.password is declared by application prod/shop",
                 "repository shop", "path deploy/shop", "revision main@sha1:4f2a91c0ffee", "Change it in Git", "--as-group"):
        assert word in message, (word, message)
    for value in ("hunter2", hidden, base64.b64encode(b"hunter2-new").decode()):
        assert value not in message and value not in world.moor.processes["admission"].log.read_text()


def test_warn_lets_it_pass_and_kubectl_prints_the_warning(world):
    done = world.config_map(application="lax").kubectl("patch", "{}", "--type=merge", "-p", '{"data":{"color":"green"}}')
    assert "Warning: ConfigMap prod/" in done.stderr and ".data.color is declared by application prod/lax" in done.stderr


def test_what_an_application_that_is_gone_has_left_may_be_edited_and_deleted_with_a_warning(world):
    """A minute after it was applied last; until then its Application might be one that admission has not heard of yet."""
    def as_if_applied_before(live):
        ours, = (entry for entry in live["metadata"]["managedFields"] if entry["manager"] == "gitmoor")
        ours["time"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 90))
        live["metadata"].setdefault("annotations", {})["note"] = "the server leaves out what changes nothing but such times"

    subject = world.config_map(application="gone")
    assert "application prod/gone (not known to admission yet)" in refusal(lambda: subject.patch(GREEN))
    subject.put(as_if_applied_before)
    done = subject.kubectl("patch", "{}", "--type=merge", "-p", '{"data":{"color":"green"}}')
    for words in ("Warning: ConfigMap prod/", ".data.color is declared by application prod/gone (which does not exist any more)",
                  "Let through, since nobody keeps it"):
        assert words in done.stderr, done.stderr
    assert subject.get()["data"]["color"] == "green"
    assert "Warning: " in subject.kubectl("delete", "{}").stderr
    again = world.config_map(application="gone")
    again.put(as_if_applied_before)
    again.apply(data={"color": "blue"})
    refusal(lambda: again.patch(GREEN))  # applied just now


def test_verdicts_are_in_the_audit_log(world):
    lax, strict = world.config_map(application="lax"), world.config_map()
    lax.patch(GREEN)
    refusal(lambda: strict.patch(GREEN))

    def annotations(subject):
        events = [json.loads(line) for line in world.audit_log.read_text().splitlines() if f'"{subject.name}"' in line]
        told = [event["annotations"] for event in events if "annotations" in event]
        return next(each for each in told if any("verdict" in key for key in each))

    for subject, verdict, application in ((lax, "warned", "prod.lax"), (strict, "refused", "prod.shop")):
        found = wait_for(lambda subject=subject: annotations(subject), what="the annotations in the audit log")
        mine = {key.rpartition("/")[2]: value for key, value in found.items() if "admission.gitmoor.io" in key}
        assert mine == {"verdict": verdict, "rule": "fields", "application": application, "fields": ".data.color"}


def test_each_object_of_delete_all_is_refused_by_its_name(world):
    namespace = world.namespace("collection")
    for _ in range(3):
        world.config_map(namespace=namespace)
    with pytest.raises(Refused) as caught:
        world.kubectl("delete", "configmap", "--all", namespace=namespace)
    names = {found["metadata"]["name"] for found in world.api.list("ConfigMap", namespace, f"?labelSelector={LABEL}")}
    assert len(names) == 3 and all(f"ConfigMap {namespace}/{name}" in str(caught.value) for name in names)


# ------------------------------------------------------------------------------- what a webhook of others changes

def paint(review):
    patch = [{"op": "replace", "path": "/data/color", "value": "black"}]
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}


@pytest.fixture
def meddler(world):
    """Objects with the label meddle=yes are painted black by somebody's webhook whenever they are updated."""
    path = f"{CONFIGURATIONS}/mutatingwebhookconfigurations"
    with webhook(world, paint) as client:
        world.api.request("POST", path, {
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "meddler"},
            "webhooks": [{"name": "meddler.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None", "failurePolicy": "Ignore",
                          "objectSelector": {"matchLabels": {"meddle": "yes"}}, "clientConfig": client,
                          "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"],
                                     "resources": ["configmaps"]}]}]})
        yield
        world.api.request("DELETE", f"{path}/meddler")


def test_a_value_that_a_mutating_webhook_changes_in_somebody_elses_request_is_refused(world, meddler):
    free = world.config_map(managed=False, metadata={"labels": {"meddle": "yes"}})
    wait_for(lambda: free.patch({"data": {"size": secrets.token_hex(2)}})["data"]["color"] == "black", what="the other webhook at work")
    subject = world.config_map(metadata={"labels": {LABEL: "prod.shop", "meddle": "yes"}})
    assert ".data.color is declared by" in refusal(lambda: subject.annotate(note="mine"))
    assert subject.get()["data"]["color"] == "red"
    subject.apply(data={"color": "red", "size": "2"})  # the applier's own writes may be mutated: Git's state is what it wrote
    assert subject.get()["data"] == {"color": "black", "size": "2"}


# ------------------------------------------------------------------------------- copies

def test_controllers_copy_our_label_to_endpoint_slices_and_anybody_may_delete_those(world):
    service = world.service()
    query = f"?labelSelector=kubernetes.io/service-name%3D{service.name}"
    path = f"/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices{query}"
    copies = wait_for(lambda: world.api.request("GET", path)["items"], what="the EndpointSlice of the Service")
    assert copies[0]["metadata"]["labels"][LABEL] == "prod.shop"
    world.api.request("DELETE", f"/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices/{copies[0]['metadata']['name']}")


def test_an_entry_of_ours_cannot_be_forged_into_a_copy(world):
    service = world.service()
    path = f"/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices?labelSelector=kubernetes.io/service-name%3D{service.name}"
    copy = wait_for(lambda: world.api.request("GET", path)["items"], what="the EndpointSlice of the Service")[0]
    copy["metadata"]["managedFields"].append({
        "manager": "gitmoor", "operation": "Apply", "apiVersion": "discovery.k8s.io/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:metadata": {"f:labels": {"f:" + LABEL: {}}}}})
    message = refusal(lambda: world.api.request("PUT", path.split("?")[0] + "/" + copy["metadata"]["name"], {
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", **copy}))
    assert "claims to be managed" in message


# ------------------------------------------------------------------------------- Namespaces, garbage collection, termination

def test_a_namespace_that_holds_managed_objects_goes_only_by_break_glass_and_then_wholly(world):
    namespace = world.namespace("doomed")
    world.application("doomed", "prod", namespaces=[namespace])
    world.config_map(namespace=namespace, application="doomed")
    world.workload(namespace=namespace, application="doomed")
    path = f"/api/v1/namespaces/{namespace}"

    def known():
        return "holds objects that are managed by Git" in refusal(lambda: world.api.request("DELETE", path + "?dryRun=All"))

    wait_for(known, what="admission knows what the namespace holds")
    message = refusal(lambda: world.api.request("DELETE", path))
    assert "application prod/doomed" in message
    message = refusal(lambda: world.kubectl("delete", "namespace", namespace, namespace=None))
    assert f"Namespace {namespace}" in message
    world.api.request("PATCH", path, {"metadata": {"annotations": {REASON: "INC-2"}}}, MERGE, BREAK_GLASS)
    world.api.request("DELETE", path, headers=BREAK_GLASS)
    wait_for(gone(world, path), timeout=60, what="the namespace emptied and gone")
    world.application("doomed", "prod")


def test_a_managed_namespace_is_not_deleted_and_any_other_is(world):
    managed = world.make("Namespace")
    assert "is managed by Git" in refusal(managed.delete)
    assert "is managed by Git" in refusal(lambda: managed.delete(body={"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}))
    free = world.namespace("free")
    world.api.request("DELETE", f"/api/v1/namespaces/{free}")
    wait_for(gone(world, f"/api/v1/namespaces/{free}"), timeout=60, what="the namespace gone")


def test_the_garbage_collector_takes_managed_objects_whose_owner_git_declares(world):
    owner = world.config_map(managed=False)
    uid = owner.get()["metadata"]["uid"]
    child = world.config_map(metadata={"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": uid}]})
    owner.delete()
    wait_for(gone(world, child.path), what="the dependent collected")


def test_orphaning_takes_a_declared_owner_reference_off(world):
    owner = world.config_map(managed=False)
    uid = owner.get()["metadata"]["uid"]
    child = world.config_map(metadata={"ownerReferences": [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": uid}]})
    owner.delete(body={"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Orphan"})
    wait_for(gone(world, owner.path), what="the owner gone")
    assert "ownerReferences" not in child.get()["metadata"]


def test_what_terminates_may_be_deleted_again_and_lose_its_finalizers(world):
    subject = world.config_map(metadata={"finalizers": ["example.org/keep"]})
    subject.delete(World.applier)
    assert subject.get()["metadata"]["deletionTimestamp"]
    subject.delete()
    subject.patch({"metadata": {"finalizers": None}})
    wait_for(gone(world, subject.path), what="the object gone")


def test_a_deployment_of_ours_rolls_out(world):
    subject = world.workload()
    wait_for(lambda: subject.get().get("status", {}).get("readyReplicas") == 2, what="the Pods ready")
    subject.kubectl("rollout", "restart", "{}")
    wait_for(lambda: subject.get()["status"]["observedGeneration"] == subject.get()["metadata"]["generation"], what="it rolled")


# ------------------------------------------------------------------------------- what is not guarded

def test_leases_and_the_own_namespace_and_kube_system_are_not_guarded(world):
    for kind, namespace in (("Lease", "prod"), ("ConfigMap", NAMESPACE), ("ConfigMap", "kube-system")):
        made = world.make(kind, namespace=namespace, **({"spec": {"holderIdentity": "a"}} if kind == "Lease" else {"data": {"a": "b"}}))
        made.patch({"spec": {"holderIdentity": "b"}} if kind == "Lease" else {"data": {"a": "c"}})
        made.delete()


# ------------------------------------------------------------------------------- steady state

def test_no_request_is_made_to_answer_a_review(world):
    subject = world.config_map()
    refusal(lambda: subject.patch(GREEN))
    reviews = world.moor.metric("admission", "gitmoor_admission_reviews_total")
    requests = world.moor.metric("admission", "gitmoor_kube_requests_total")
    for _ in range(50):
        refusal(lambda: subject.patch(GREEN))
    assert world.moor.metric("admission", "gitmoor_admission_reviews_total") >= reviews + 50  # and those of controllers
    assert world.moor.metric("admission", "gitmoor_kube_requests_total") - requests <= 2  # a watch may have been renewed


def test_admission_stays_small(world):
    if "libasan" in Path(f"/proc/{world.moor.processes['admission'].pid}/maps").read_text():
        pytest.skip("AddressSanitizer keeps a shadow of the memory")
    assert world.moor.memory()["admission"] < 20e6
