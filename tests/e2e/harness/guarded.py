"""A control plane of its own with admission in it, and ways to go at managed objects: for the tests of admission.

The control plane is one of its own, since its controllers must act under their own names here, and since admission is taken down in
parts. The applier is played by requests that carry its mark; the differ is not needed.
"""
import base64
import contextlib
import json
import os
import subprocess

from . import paths
from .api import ApiError
from .cluster import NAMESPACE, Cluster, user_of
from .httpserver import Handler, Server
from .moor import Moor
from .waiting import wait_for

LABEL = "gitmoor.io/managed-by"
REASON = "gitmoor.io/break-glass-reason"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
JSON_PATCH, STRATEGIC = "application/json-patch+json", "application/strategic-merge-patch+json"
BREAK_GLASS = {"Impersonate-User": "oncall", "Impersonate-Group": "gitmoor:break-glass"}
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def system(controller):
    return {"Impersonate-User": f"system:serviceaccount:kube-system:{controller}"}


def ours(live):
    """The entry of our manager in managedFields."""
    return next(entry for entry in live["metadata"]["managedFields"] if entry["manager"] == "gitmoor")


def age(live):
    """Our entry is of long ago; the server takes another time only beside another change."""
    ours(live)["time"] = "2001-01-01T00:00:00Z"
    live["metadata"]["annotations"] = {"note": "old"}


# A service account of kube-system that is no controller of Kubernetes itself.
HELPER = {**system("helper"), "Impersonate-Group": "system:masters"}
# A controller that may write everything.
MASTER = {**system("replicaset-controller"), "Impersonate-Group": "system:masters"}


class OwnCluster(Cluster):
    """Controllers under their own service accounts, as in every real cluster."""

    def _spawn(self, name, flags, *program):
        flags = ["--use-service-account-credentials=true" if str(flag).startswith("--use-service-account") else flag
                 for flag in flags]
        return super()._spawn(name, flags, *program)


def definition(kind, scope, versions):
    plural = f"{kind.lower()}s"
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.test.example.org"},
            "spec": {"group": "test.example.org", "scope": scope, "versions": versions,
                     "names": {"kind": kind, "plural": plural, "singular": kind.lower()}}}


def without_schema(kind, scope="Cluster"):
    return definition(kind, scope, [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}])


WIDGET = definition("Widget", "Namespaced", [{
    "name": name, "served": True, "storage": name == "v1",
    "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}},
    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "size": {"type": "integer"}, "replicas": {"type": "integer"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                      "items": {"type": "object", "required": ["name"], "properties": {
                          "name": {"type": "string"}, "weight": {"type": "integer"}}}},
            "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}}}}}},
} for name in ("v1", "v2")])

# Every refusal and warning of ConfigMaps, with the annotations that admission gives.
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "rules": [
    {"level": "Metadata", "verbs": ["patch"], "resources": [{"resources": ["configmaps"]}]}, {"level": "None"}]}

COLLECTIONS = {
    "ConfigMap": ("/api/v1", "configmaps"), "Secret": ("/api/v1", "secrets"), "Service": ("/api/v1", "services"),
    "Pod": ("/api/v1", "pods"), "Deployment": ("/apis/apps/v1", "deployments"), "StatefulSet": ("/apis/apps/v1", "statefulsets"),
    "Widget": ("/apis/test.example.org/v1", "widgets"), "Blob": ("/apis/test.example.org/v1", "blobs"),
    "Event": ("/apis/test.example.org/v1", "events"), "ServiceAccount": ("/api/v1", "serviceaccounts"),
    "Lease": ("/apis/coordination.k8s.io/v1", "leases"),
    "ClusterRole": ("/apis/rbac.authorization.k8s.io/v1", "clusterroles"), "Namespace": ("/api/v1", "namespaces"),
    "EndpointSlice": ("/apis/discovery.k8s.io/v1", "endpointslices"),
}
CLUSTER_SCOPED = ("ClusterRole", "Namespace", "Blob", "Event")


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

    def put(self, change, query="", subresource="", **options):
        live = self.get()
        change(live)
        return self.world.api.request("PUT", self.path + (f"/{subresource}" if subresource else "") + query, live, **options)

    def delete(self, headers=None, body=None, query=""):
        return self.world.api.request("DELETE", self.path + query, body, headers=headers)

    def scale(self, replicas, headers=None, **metadata):
        return self.patch({"spec": {"replicas": replicas}, **({"metadata": metadata} if metadata else {})}, subresource="scale",
                          headers=headers)

    def put_scale(self, replicas, headers=None, **metadata):
        """As controllers do it."""
        scale = self.world.api.request("GET", f"{self.path}/scale")
        scale["spec"]["replicas"] = replicas
        scale["metadata"].update(metadata)
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

    def application(self, name, namespace, namespaces=(), kinds=(), **spec):
        self.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": name, "namespace": namespace},
                        "spec": {"source": {"repository": "shop", "path": f"deploy/{name}"}, **spec}})
        self.api.patch("Application", namespace, name, {"status": {
            "lastAppliedRevision": "main@sha1:4f2a91c0ffee", "namespaces": list(namespaces), "kinds": list(kinds)}}, subresource="status")

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
        if kind not in CLUSTER_SCOPED:
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

    def blob(self, **options):
        return self.make("Blob", spec={"list": [1, 2], "map": {"a": "b"}}, **options)

    def owned(self):
        """One that a controller has given an owner, beside what Git declares."""
        made, owner = self.config_map(), self.config_map(managed=False)
        made.owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": owner.get()["metadata"]["uid"]}
        made.patch({"metadata": {"ownerReferences": [made.owner]}}, headers=MASTER)
        return made

    def orphan(self):
        """One that was applied long ago, by an application that is not there."""
        made = self.config_map(application="gone")
        aged = made.put(age, headers=self.applier)
        # The server deletes by what its cache says, and asks admission of that first; it answers this once the cache has caught up.
        self.api.request("GET", f"{made.path}?resourceVersion={aged['metadata']['resourceVersion']}")
        return made

    def pod(self, resources=None, gated=False, **options):
        """gated: not bound to any node."""
        web = containers("web")
        web[0]["resources"] = resources or {}
        gates = {"schedulingGates": [{"name": "example.org/gate"}]} if gated else {}
        return self.make("Pod", spec={"containers": web, "terminationGracePeriodSeconds": 0, **gates}, **options)

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

    def edit(self, path, change):
        """Somebody edits what is at the path; again, if another was quicker."""
        while True:
            edited = self.api.request("GET", path)
            change(edited)
            try:
                return self.api.request("PUT", path, edited)
            except ApiError as error:
                if error.status != 409:
                    raise

    @contextlib.contextmanager
    def restarted_with(self, *flags):
        """Admission runs with these flags too, and afterwards as before; either way its registration stands."""
        process = self.moor.processes["admission"]
        before = process.command
        process.stop()
        process.command = [*before, *flags]
        self.moor.start_one("admission")
        try:
            yield
        finally:
            process.stop()
            process.command = before
            self.moor.start_one("admission")


class Unwaited(Moor):
    """Started, and not waited for."""

    def wait_ready(self, *_, **__):
        pass


def start(scratch, cluster, folder, flags=(), kind=Moor):
    return kind(cluster, scratch / folder, extra={"admission": ["--rotation-grace", "1s", *flags]})


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


def gone(world, path):
    """Whether it is, as a condition to wait for."""
    def check():
        try:
            world.api.request("GET", path)
        except ApiError as error:
            return error.status == 404
        return False
    return check


class _Webhook(Handler):
    """The owner is its answer."""

    def do_POST(self):
        review = json.loads(self.body())
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
            "uid": review["request"]["uid"], "allowed": True, **(self.server.owner(review) or {})}}).encode()
        self.answer(200, body, [("Content-Type", "application/json")])


@contextlib.contextmanager
def webhook(world, answer):
    """A webhook of somebody else's: answer(review) -> what its response holds. Yields its clientConfig."""
    authority = world.cluster.authority
    server = Server(answer, _Webhook, authority.issue("webhook")).start()
    try:
        yield {"url": f"{server.url}/", "caBundle": base64.b64encode(authority.certificate.read_bytes()).decode()}
    finally:
        server.stop()


@contextlib.contextmanager
def guarded(folder):
    """A World; everything it started is gone afterwards."""
    folder.mkdir(parents=True)
    policy = folder / "audit-policy.json"
    policy.write_text(json.dumps(AUDIT))
    audit = [f"--audit-policy-file={policy}", f"--audit-log-path={folder / 'audit.log'}"]
    with OwnCluster(folder / "cluster", server_flags=audit) as cluster:
        moor = start(folder, cluster, "moor").start(only=("admission",))
        try:
            world = World(cluster, moor)
            world.audit_log = folder / "audit.log"
            prepare(world)
            yield world
        finally:
            statuses = moor.stop()
    assert not any(statuses.values()), f"admission did not end cleanly: {statuses}"


def prepare(world):
    for crd in (WIDGET, without_schema("Blob"), without_schema("Gadget"), without_schema("Event")):
        world.api.request("POST", CRDS, crd)
    world.cluster.kubectl("wait", "--for=condition=Established", "crd/widgets.test.example.org", "crd/blobs.test.example.org",
                          "crd/events.test.example.org", "--timeout=60s")
    world.cluster.kubectl("create", "clusterrolebinding", "break-glass", "--clusterrole=cluster-admin", "--group=gitmoor:break-glass")
    world.namespace("prod")
    wait_for(lambda: world.api.get("ServiceAccount", "prod", "default"), what="the default service account")
    world.application("shop", "prod", namespaces=["prod"], kinds=["ConfigMap", "Deployment.apps", "Widget.test.example.org"])
    world.application("lax", "prod", namespaces=["lax"], protection="Warn")
    world.application("open", "prod", namespaces=["open"], protection="Off")
    for name in ("lax", "open"):
        world.namespace(name)
    # The watch has told admission of the last of them when its edit passes.
    probe = world.config_map(application="open")
    wait_for(lambda: probe.patch({"data": {"color": "blue"}}), what="admission knows the applications")
