"""Admission against a real kube-apiserver and kube-controller-manager: who may change what, and what happens when it is down.

The control plane is one of its own, since its controllers must act under their own names here, and since it is taken down in
parts. The applier is played by requests that carry its mark; the differ is not needed.
"""
import base64
import hashlib
import os
import secrets
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import pytest

from harness import paths
from harness.api import Api, ApiError
from harness.cluster import NAMESPACE, Cluster, user_of
from harness.moor import Moor
from harness.waiting import wait_for

LABEL = "gitmoor.io/managed-by"
REASON = "gitmoor.io/break-glass-reason"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
BREAK_GLASS = {"Impersonate-User": "oncall", "Impersonate-Group": "gitmoor:break-glass"}
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
IMAGE = '.spec.template.spec.containers[name="web"].image'


def system(controller):
    return {"Impersonate-User": f"system:serviceaccount:kube-system:{controller}"}


# ------------------------------------------------------------------------------- the world

class OwnCluster(Cluster):
    """Controllers under their own service accounts, as in every real cluster."""

    def _spawn(self, name, flags, *program):
        flags = ["--use-service-account-credentials=true" if str(flag).startswith("--use-service-account") else flag
                 for flag in flags]
        return super()._spawn(name, flags, *program)


CRD = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.test.example.org"},
    "spec": {
        "group": "test.example.org", "scope": "Namespaced", "names": {"kind": "Widget", "plural": "widgets", "singular": "widget"},
        "versions": [{
            "name": name, "served": True, "storage": name == "v1",
            "subresources": {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {
                    "size": {"type": "integer"}, "replicas": {"type": "integer"},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                              "items": {"type": "object", "required": ["name"], "properties": {
                                  "name": {"type": "string"}, "weight": {"type": "integer"}}}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}},
                "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}},
        } for name in ("v1", "v2")]}}

COLLECTIONS = {
    "ConfigMap": ("/api/v1", "configmaps"), "Secret": ("/api/v1", "secrets"), "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"), "Deployment": ("/apis/apps/v1", "deployments"), "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Widget": ("/apis/test.example.org/v1", "widgets"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"), "Namespace": ("/api/v1", "namespaces"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
}


def containers(*names):
    return [{"name": name, "image": f"example.org/{name}:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]}
            for name in names]


class Managed:
    """An object that the applier has applied, and ways for others to go at it."""

    def __init__(self, world, body):
        self.world, self.body, self.kind = world, body, body["kind"]
        self.name, self.namespace = body["metadata"]["name"], body["metadata"].get("namespace")
        prefix, plural = COLLECTIONS[self.kind]
        self.collection = prefix + (f"/namespaces/{self.namespace}" if self.namespace else "") + f"/{plural}"
        self.path = f"{self.collection}/{self.name}"
        self.plural = plural

    def apply(self, headers=None, manager="gitmoor", force=True, query="", **changed):
        """Server-side apply: the applier's, unless headers say otherwise."""
        headers = self.world.applier if headers is None else headers
        return self.world.api.request("PATCH", f"{self.path}?fieldManager={manager}&force={str(force).lower()}{query}",
                                      {**self.body, **changed}, APPLY, headers)

    def get(self):
        return self.world.api.request("GET", self.path)

    def patch(self, body, content_type=MERGE, headers=None, subresource="", query="", manager="kubectl-patch"):
        path = self.path + (f"/{subresource}" if subresource else "")
        manager = f"fieldManager={manager}" if manager else ""
        return self.world.api.request("PATCH", f"{path}?{manager}{query}", body, content_type, headers)

    def annotate(self, headers=None, **annotations):
        return self.patch({"metadata": {"annotations": annotations}}, headers=headers)

    def put(self, change, **options):
        live = self.get()
        change(live)
        return self.world.api.request("PUT", self.path, live, **options)

    def delete(self, headers=None, body=None):
        return self.world.api.request("DELETE", self.path, body, headers=headers)

    def scale(self, replicas, headers=None, **metadata):
        return self.patch({"spec": {"replicas": replicas}, **({"metadata": metadata} if metadata else {})}, subresource="scale",
                          headers=headers)

    def put_scale(self, replicas, headers):
        """As controllers do it."""
        scale = self.world.api.request("GET", f"{self.path}/scale")
        scale["spec"]["replicas"] = replicas
        return self.world.api.request("PUT", f"{self.path}/scale", scale, headers=headers)

    def kubectl(self, *arguments, stdin=None):
        """kubectl VERB … with KIND/NAME in the place of {}; a refusal raises as Api does."""
        words = [f"{self.kind.lower()}/{self.name}" if word == "{}" else word for word in arguments]
        return self.world.kubectl(*words, namespace=self.namespace, stdin=stdin)

    def edit(self, old, new):
        """kubectl edit, with sed as the editor."""
        return self.world.kubectl("edit", f"{self.kind.lower()}/{self.name}", namespace=self.namespace,
                                  environment={"KUBE_EDITOR": f"sed -i s/{old}/{new}/"})


class Refused(Exception):
    """kubectl was refused; the message as it prints it."""


class World:
    """A control plane with admission, and an Application prod/shop that holds objects in prod."""

    applier = {"Impersonate-User": f"system:serviceaccount:{NAMESPACE}:gitmoor-default",
               "Impersonate-Extra-gitmoor.io%2fapplier": user_of("applier")}

    def __init__(self, cluster, moor):
        self.cluster, self.moor, self.api = cluster, moor, cluster.api()
        self.count = 0

    def application(self, name, namespace, namespaces=(), **spec):
        self.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": namespace},
                        "spec": {"source": {"repository": "shop", "path": f"deploy/{name}"}, **spec}})
        self.api.patch("Application", namespace, name, {"status": {
            "lastAppliedRevision": "main@sha1:4f2a91c0ffee", "namespaces": list(namespaces)}}, subresource="status")

    def namespace(self, name):
        self.api.create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        return name

    def make(self, kind, namespace="prod", application="shop", managed=True, metadata=None, **rest):
        """A fresh object, applied by the applier; managed=False: made by anybody, without our label."""
        self.count += 1
        prefix, _ = COLLECTIONS[kind]
        version = prefix.removeprefix("/apis/").removeprefix("/api/")
        labels = {LABEL: f"prod.{application}"} if managed else {}
        meta = {"name": f"o{self.count}", "labels": {**labels, "tier": "front"}, **(metadata or {})}
        if kind not in ("ClusterRole", "Namespace"):
            meta["namespace"] = namespace
        made = Managed(self, {"apiVersion": version, "kind": kind, "metadata": meta, **rest})
        made.apply() if managed else made.apply(headers={}, manager="somebody")
        return made

    def config_map(self, data=None, **options):
        return self.make("ConfigMap", data=data or {"color": "red", "size": "1"}, **options)

    def workload(self, kind="Deployment", replicas=2, **options):
        labels = {"app": "web"}
        spec = {"selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers("web")}}}
        if replicas is not None:
            spec["replicas"] = replicas
        if kind == "StatefulSet":
            spec["serviceName"] = "web"
        return self.make(kind, spec=spec, **options)

    def widget(self, **options):
        return self.make("Widget", spec={"size": 1, "replicas": 2, "free": {"list": [1, 2], "map": {"a": "b"}}, "tags": ["x", "y"],
                                         "parts": [{"name": "wheel", "weight": 3}]}, **options)

    def service(self, **options):
        return self.make("Service", spec={"selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]}, **options)

    def pod(self, **options):
        return self.make("Pod", spec={"containers": containers("web"), "terminationGracePeriodSeconds": 0}, **options)

    def kubectl(self, *arguments, namespace="prod", stdin=None, environment=None):
        words = ["-n", namespace, *arguments] if namespace else arguments
        done = subprocess.run([paths.control_plane("kubectl"), "--kubeconfig", str(self.cluster.kubeconfig()), *words],
                              input=stdin, capture_output=True, text=True, check=False,
                              env={**os.environ, **(environment or {})})
        if done.returncode:
            raise Refused(done.stderr)
        return done

    def create(self, kind, body, headers=None, query=""):
        prefix, plural = COLLECTIONS[kind]
        version = prefix.removeprefix("/apis/").removeprefix("/api/")
        namespace = body["metadata"].get("namespace")
        path = prefix + (f"/namespaces/{namespace}" if namespace else "") + f"/{plural}{query}"
        return self.api.request("POST", path, {"apiVersion": version, "kind": kind, **body}, headers=headers)

    def configuration(self, kind="validatingwebhookconfigurations"):
        return self.api.request("GET", f"{CONFIGURATIONS}/{kind}/gitmoor-admission")


class Unwaited(Moor):
    """Started, and not waited for."""

    def wait_ready(self, *_, **__):
        pass


def start(scratch, cluster, folder, flags=(), kind=Moor):
    return kind(cluster, scratch / folder, extra={"admission": ["--rotation-grace", "1s", *flags]})


@pytest.fixture(scope="module")
def world(scratch):
    with OwnCluster(scratch / "guarded") as cluster:
        moor = start(scratch, cluster, "guard").start(only=("admission",))
        try:
            world = World(cluster, moor)
            world.api.request("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", CRD)
            cluster.kubectl("wait", "--for=condition=Established", "crd/widgets.test.example.org", "--timeout=60s")
            cluster.kubectl("create", "clusterrolebinding", "break-glass", "--clusterrole=cluster-admin",
                            "--group=gitmoor:break-glass")
            world.namespace("prod")
            wait_for(lambda: world.api.get("ServiceAccount", "prod", "default"), what="the default service account")
            world.application("shop", "prod", namespaces=["prod"])
            world.application("lax", "prod", namespaces=["lax"], protection="Warn")
            world.application("open", "prod", namespaces=["open"], protection="Off")
            for name in ("lax", "open"):
                world.namespace(name)
            # The watch has told admission of the last of them when its edit passes.
            probe = world.config_map(application="open")
            wait_for(lambda: probe.patch({"data": {"color": "blue"}}), what="admission knows the applications")
            yield world
        finally:
            assert not any(moor.stop().values())


def refusal(act):
    """The message that the request was refused with by admission; fails if it was not."""
    try:
        act()
    except ApiError as error:
        message = error.body["message"]
        assert error.status == 403, message
        assert error.body["reason"] == "Forbidden"
    except Refused as error:
        message = str(error)
    else:
        raise AssertionError("the request was let through")
    assert "admission.gitmoor.io" in message and "denied the request" in message, message
    return message


# ------------------------------------------------------------------------------- the table

def unlabel(live):
    del live["metadata"]["labels"][LABEL]


def forget(live):
    live["metadata"]["managedFields"] = [{}]


def recolor(live):
    live["data"]["color"] = "green"


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
    # ---- subresources
    ("the status of a Deployment", World.workload, lambda o: o.patch({"status": {"replicas": 7}}, subresource="status"), None),
    ("our label through the status of a Service", World.service,
     lambda o: o.patch({"metadata": {"labels": {LABEL: None}}}, subresource="status"), [LABEL_PATH]),
    ("eviction of a managed Pod", World.pod,
     lambda o: o.world.api.request("POST", f"{o.path}/eviction", {
         "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": o.name, "namespace": o.namespace}}), None),
    ("scaling declared replicas", World.workload, lambda o: o.scale(5), ["Deployment prod/o", ".spec.replicas", "ignore"]),
    ("scaling to the declared number", World.workload, lambda o: o.scale(2), None),
    ("scaling what Git leaves out", lambda w: w.workload(replicas=None), lambda o: o.scale(5), None),
    ("scaling by the autoscaler", World.workload, lambda o: o.put_scale(5, system("horizontal-pod-autoscaler")), [".spec.replicas"]),
    ("scaling a StatefulSet", lambda w: w.workload("StatefulSet"), lambda o: o.scale(5), ["StatefulSet prod/o", ".spec.replicas"]),
    ("scaling a custom resource", World.widget, lambda o: o.scale(5), [".spec.replicas"]),
    ("replicas through the object", World.workload, lambda o: o.patch({"spec": {"replicas": 5}}), [".spec.replicas", "ignore"]),
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
    # ---- protection
    ("an edit under Warn", lambda w: w.config_map(application="lax"), lambda o: o.patch(GREEN), None),
    ("an edit under Off", lambda w: w.config_map(application="open"), lambda o: o.patch(GREEN), None),
    ("a deletion under Off", lambda w: w.config_map(application="open"), lambda o: o.delete(), None),
    ("an edit under an application that does not exist", lambda w: w.config_map(application="gone"), lambda o: o.patch(GREEN),
     ["application prod/gone (not known to admission yet)"]),
    ("scaling in a namespace of Warn", lambda w: w.workload(namespace="lax", application="lax"), lambda o: o.scale(5), None),
    # ---- the applier
    ("the applier changes a value", World.config_map, lambda o: o.apply(data={"color": "green"}), None),
    ("the applier deletes", World.config_map, lambda o: o.delete(World.applier), None),
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


def test_each_object_of_delete_all_is_refused_by_its_name(world):
    namespace = world.namespace("collection")
    for _ in range(3):
        world.config_map(namespace=namespace)
    with pytest.raises(Refused) as caught:
        world.kubectl("delete", "configmap", "--all", namespace=namespace)
    names = {found["metadata"]["name"] for found in world.api.list("ConfigMap", namespace, f"?labelSelector={LABEL}")}
    assert len(names) == 3 and all(f"ConfigMap {namespace}/{name}" in str(caught.value) for name in names)


# ------------------------------------------------------------------------------- claims

def claim(**metadata):
    return {"metadata": {"namespace": "prod", "labels": {LABEL: "prod.shop"}, "name": f"c{secrets.token_hex(4)}", **metadata}}


def test_nobody_else_creates_objects_with_our_label(world):
    refusal(lambda: world.create("ConfigMap", claim()))
    refusal(lambda: world.create("ConfigMap", claim(), query="?dryRun=All"))
    refusal(lambda: world.create("ConfigMap", claim(name="", generateName="c-")))
    refusal(lambda: world.create("ClusterRole", {**claim(namespace=None), "rules": []}))
    assert "claims to be managed" in refusal(lambda: world.create("ConfigMap", claim()))
    subject = world.config_map(managed=False)
    assert "claims to be managed" in refusal(lambda: subject.patch({"metadata": {"labels": {LABEL: "prod.shop"}}}))


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

def gone(world, path):
    def check():
        try:
            world.api.request("GET", path)
        except ApiError as error:
            return error.status == 404
        return False
    return check


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


# ------------------------------------------------------------------------------- lock-out drills

@pytest.fixture
def dead(world):
    """Admission is gone, and nobody answers, until the test is over."""
    world.moor.kill("admission")
    yield world
    world.moor.start_one("admission")


def test_with_admission_dead_only_edits_of_managed_objects_fail(dead):
    world = dead
    free = world.config_map(managed=False)
    free.patch({"data": {"color": "green"}})
    free.delete()
    world.create("ConfigMap", {"metadata": {"namespace": "prod", "name": f"n{secrets.token_hex(3)}"}})
    managed = world.config_map()  # the applier goes on
    managed.apply(data={"color": "blue"})
    with pytest.raises(ApiError, match="failed calling webhook"):
        managed.patch(GREEN)
    with pytest.raises(ApiError, match="failed calling webhook"):
        managed.delete()
    managed.patch({"data": {"color": "green"}, "metadata": {"annotations": {REASON: "INC-3"}}}, headers=BREAK_GLASS)
    managed.delete(BREAK_GLASS)
    world.create("Lease", {"metadata": {"namespace": "prod", "name": f"l{secrets.token_hex(3)}", "labels": {LABEL: "prod.shop"}}})
    world.api.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"n{secrets.token_hex(3)}"}})


def test_with_admission_dead_a_deployment_still_rolls_out(dead):
    subject = dead.workload()
    wait_for(lambda: subject.get().get("status", {}).get("readyReplicas") == 2, what="the Pods ready")


def test_admission_is_restarted_with_the_same_certificate(world):
    before = fingerprint(world.moor.webhook_port)
    assert world.moor.processes["admission"].stop() == 0
    world.moor.start_one("admission")
    assert fingerprint(world.moor.webhook_port) == before
    refusal(lambda: world.config_map().patch(GREEN))


def test_the_configurations_can_be_removed_before_uninstalling(world):
    assert world.moor.processes["admission"].stop() == 0
    command = [*world.moor.processes["admission"].command, "--unregister"]
    try:
        for _ in range(2):  # the second finds nothing, which is as well
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
            assert done.returncode == 0, done.stderr
        for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
            with pytest.raises(ApiError, match="404"):
                world.configuration(kind)
        world.config_map().patch(GREEN)
    finally:
        world.moor.start_one("admission")
    refusal(lambda: world.config_map().patch(GREEN))


# ------------------------------------------------------------------------------- registration

@pytest.mark.parametrize("kind", ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"])
@pytest.mark.parametrize("change", [
    lambda webhooks: webhooks[0].update(failurePolicy="Ignore" if webhooks[0]["failurePolicy"] == "Fail" else "Fail"),
    lambda webhooks: webhooks[0]["objectSelector"].update(matchLabels={"nobody": "has-this"}),
    lambda webhooks: webhooks[0]["matchConditions"].append({"name": "never", "expression": "false"}),
    lambda webhooks: webhooks[0]["matchConditions"].pop(),
    lambda webhooks: webhooks[0]["rules"][0].update(operations=["CONNECT"]),
    lambda webhooks: webhooks[0]["clientConfig"].update(caBundle=""),
    lambda webhooks: webhooks.append({**webhooks[0], "name": "another.example.org"}),
    lambda webhooks: webhooks.clear(),
], ids=["policy", "selector", "condition-added", "condition-removed", "rules", "bundle", "webhook-added", "webhooks-removed"])
def test_a_foreign_edit_of_the_configuration_is_put_back(world, kind, change):
    wanted = world.configuration(kind)["webhooks"]
    edited = world.configuration(kind)
    change(edited["webhooks"])
    world.api.request("PUT", f"{CONFIGURATIONS}/{kind}/gitmoor-admission", edited)
    wait_for(lambda: world.configuration(kind)["webhooks"] == wanted, timeout=60, what="the configuration as it was")


def test_a_deleted_configuration_comes_back(world):
    world.api.request("DELETE", f"{CONFIGURATIONS}/validatingwebhookconfigurations/gitmoor-admission")
    wait_for(lambda: world.configuration(), timeout=60, what="the configuration back")
    wait_for(lambda: refusal(lambda: world.config_map().patch(GREEN)), what="edits are refused again")


def test_the_configuration_never_lacks_a_bundle_and_no_webhook_matches_all(world):
    for kind in ("validatingwebhookconfigurations", "mutatingwebhookconfigurations"):
        for webhook in world.configuration(kind)["webhooks"]:
            assert webhook["clientConfig"]["caBundle"]
            assert webhook["sideEffects"] == "None" and webhook["timeoutSeconds"] <= 3 and webhook["matchPolicy"] == "Equivalent"
            assert webhook["failurePolicy"] == ("Ignore" if webhook["name"].startswith("reasons.") else "Fail")


# ------------------------------------------------------------------------------- the certificate

def fingerprint(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain, context.wrap_socket(plain) as tls:
        return hashlib.sha256(tls.getpeercert(binary_form=True)).hexdigest()


def secret_path():
    return f"/api/v1/namespaces/{NAMESPACE}/secrets/gitmoor-admission-tls"


def rotate(world):
    """Ask for a new certificate, wait until the rotation is over; returns the fingerprint of the new one."""
    before = fingerprint(world.moor.webhook_port)
    world.api.request("PATCH", secret_path(), {"metadata": {"annotations": {
        "gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}}, MERGE)
    wait_for(lambda: fingerprint(world.moor.webhook_port) != before, what="another certificate served")
    wait_for(lambda: not {"next.crt", "previous-ca.crt"} & set(world.api.request("GET", secret_path())["data"]),
             what="the old authority dropped")
    after = fingerprint(world.moor.webhook_port)
    authority = world.api.request("GET", secret_path())["data"]["ca.crt"]

    def registered():
        return {webhook["clientConfig"]["caBundle"] for webhook in world.configuration()["webhooks"]} == {authority}

    wait_for(registered, what="only the new authority registered")
    return after


def test_no_review_fails_while_the_certificate_is_rotated(world):
    subject = world.config_map()
    failures, counts, stop = [], [0], threading.Event()

    def edit():
        api = Api.from_kubeconfig(world.cluster.kubeconfig())
        while not stop.is_set():
            try:
                api.request("PATCH", subject.path, GREEN, MERGE)
                failures.append("an edit was let through")
            except ApiError as error:
                if error.status != 403:
                    failures.append(str(error))
            counts[0] += 1

    threads = [threading.Thread(target=edit) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        seen = {rotate(world) for _ in range(3)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) == 3 and counts[0] > 100 and failures == []


def test_a_lost_or_damaged_secret_is_put_back_and_the_certificate_stays(world):
    before = fingerprint(world.moor.webhook_port)
    data = world.api.request("GET", secret_path())["data"]
    world.api.request("DELETE", secret_path())
    wait_for(lambda: world.api.request("GET", secret_path())["data"] == data, what="the Secret back")
    world.api.request("PATCH", secret_path(), {"data": {"tls.crt": base64.b64encode(b"nothing").decode()}}, MERGE)
    wait_for(lambda: world.api.request("GET", secret_path())["data"] == data, what="the Secret repaired")
    assert fingerprint(world.moor.webhook_port) == before
    refusal(lambda: world.config_map().patch(GREEN))


def test_replicas_that_start_at_once_share_one_certificate(world, scratch):
    assert world.moor.processes["admission"].stop() == 0
    world.api.request("DELETE", secret_path())
    replicas = []
    try:
        for number in range(3):
            # All are reached by the same name, as replicas behind a Service are.
            replicas.append(start(scratch, world.cluster, f"replica{number}", kind=Unwaited,
                                  flags=["--webhook-url", f"https://127.0.0.1:{world.moor.webhook_port}"]))
            replicas[-1].start(only=("admission",))
        served = wait_for(lambda: {fingerprint(replica.webhook_port) for replica in replicas}, what="all serve")
        assert len(served) == 1
    finally:
        for replica in replicas:
            replica.stop()
        world.moor.start_one("admission")
    assert fingerprint(world.moor.webhook_port) in served


# ------------------------------------------------------------------------------- steady state

def test_no_request_is_made_to_answer_a_review(world):
    subject = world.config_map()
    refusal(lambda: subject.patch(GREEN))
    reviews = world.moor.metric("admission", "gitmoor_admission_reviews_total")
    requests = world.moor.metric("admission", "gitmoor_kube_requests_total")
    for _ in range(50):
        refusal(lambda: subject.patch(GREEN))
    assert world.moor.metric("admission", "gitmoor_admission_reviews_total") == reviews + 50
    assert world.moor.metric("admission", "gitmoor_kube_requests_total") - requests <= 2  # a watch may have been renewed


def test_admission_stays_small(world):
    if "libasan" in Path(f"/proc/{world.moor.processes['admission'].pid}/maps").read_text():
        pytest.skip("AddressSanitizer keeps a shadow of the memory")
    assert world.moor.memory()["admission"] < 20e6
