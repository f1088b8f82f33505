"""docs/migrate.md, run as it stands: objects as another tool leaves them change hands, and live on when that tool is told to go."""
import copy
import json
import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
import yaml

from harness import flux, paths, sample
from harness.api import ApiError
from harness.cluster import Cluster
from harness.helm import Helm
from harness.moor import Moor
from harness.mooring import LABEL
from harness.page import Page, Shell
from harness.repository import Repository
from harness.waiting import wait_for

PAGE = Page("migrate.md")

SETTINGS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: settings
data:
  currency: EUR
  banner: {banner}
"""

WEB = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
        - name: web
          image: registry.example.org/shop/web:1.0
"""

CHART = {
    "charts/cache/Chart.yaml": "apiVersion: v2\nname: cache\nversion: 1.0.0\n",
    "charts/cache/values.yaml": "memory: 64Mi\n",
    "charts/cache/templates/cache.yaml": WEB.replace("  name: web\n", "  name: {{ .Release.Name }}\n  labels:\n"
                                                     "    app.kubernetes.io/managed-by: {{ .Release.Service }}\n", 1).replace(
        "web:1.0\n", "web:1.0\n          resources: {limits: {memory: {{ .Values.memory }}}}\n"),
}


def manifests(banner):
    return {"deploy/settings.yaml": SETTINGS.format(banner=banner), "deploy/web.yaml": WEB}


def marked(text, namespace, labels=None, annotations=None):
    """The object with the marks of a tool; {kind} and {name} in a mark are the object's."""
    body = yaml.safe_load(text)
    body["metadata"]["namespace"] = namespace
    for field, marks in (("labels", labels), ("annotations", annotations)):
        body["metadata"][field] = {key: value.format(kind=body["kind"], name=body["metadata"]["name"])
                                   for key, value in (marks or {}).items()}
    return body


class Custodian:
    """Stands in for the old tool's controller where its own object is deleted: it deletes what it managed, if the object says so then,
    and lets the object go by removing its finalizer."""

    def __init__(self, api, group, plural, namespace, name, finalizer, deletes):
        self.api, self.group, self.plural, self.finalizer, self.deletes = api, group, plural, finalizer, deletes
        self.path = f"/apis/{group}/namespaces/{namespace}/{plural}/{name}"
        self.collection = self.path.rsplit("/", 1)[0]
        self.managed, self.found_it_so, self.definition = [], None, None
        self.ended, self.thread = threading.Event(), threading.Thread(target=self._run, daemon=True)

    def make(self, kind, **parts):
        """The object, of a kind that is defined loosely where the real definition is not there."""
        group, version = self.group.split("/")
        definition = {
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{self.plural}.{group}"},
            "spec": {"group": group, "scope": "Namespaced", "names": {"plural": self.plural, "kind": kind}, "versions": [{
                "name": version, "served": True, "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
        if not self.api.get("CustomResourceDefinition", None, definition["metadata"]["name"]):
            self.definition = self.api.apply(definition)["metadata"]["name"]
        metadata = {"name": self.path.rsplit("/", 1)[1], "finalizers": [self.finalizer], **parts.pop("metadata", {})}
        body = {"apiVersion": self.group, "kind": kind, "metadata": metadata, **parts}
        wait_for(lambda: self._created(body), what=f"{kind} can be made")
        self.thread.start()

    def _created(self, body):
        try:
            return self.api.request("POST", self.collection, body)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def _run(self):
        api = self.api
        while not self.ended.wait(0.05):
            try:
                found = api.request("GET", self.path)
            except ApiError as error:
                if error.status == 404:
                    continue
                raise
            if "deletionTimestamp" in found["metadata"]:
                self.found_it_so = found
                if self.deletes(found):
                    for kind, namespace, name in self.managed:
                        api.delete(kind, namespace, name)
                api.request("PATCH", self.path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")

    def stop(self):
        """Without the definition: other tests' `application` is of Gitmoor's kind."""
        if self.definition:
            self.api.delete("CustomResourceDefinition", None, self.definition)
            wait_for(lambda: self.api.get("CustomResourceDefinition", None, self.definition) is None, what=f"{self.definition} gone")
        self.ended.set()
        if self.thread.is_alive():
            self.thread.join()


class Household:
    """What changes hands: an Application's name and namespace, its repository, what the old tool has made of it."""

    def __init__(self, cluster, name, repository, objects):
        self.api, self.name, self.repository = cluster.api(), name, repository
        self.objects = objects  # (kind, name) of what Git declares
        self.custodians = []

    def live(self):
        return {key: self.api.get(key[0], self.name, key[1]) for key in self.objects}

    def identities(self):
        """The UIDs of all that runs, Pods included, and the specs of what makes Pods."""
        replicas = self.api.request("GET", f"/apis/apps/v1/namespaces/{self.name}/replicasets")["items"]
        found = [*self.live().values(), *replicas, *self.api.list("Pod", self.name)]
        return sorted((item["metadata"]["name"], item["metadata"]["uid"], json.dumps(item["spec"]) if "template" in item.get("spec", {}) else "")
                      for item in found)

    def generation(self):
        return self.api.get("Deployment", self.name, self.deployment())["metadata"]["generation"]

    def wait_running(self):
        def running():
            status = self.api.get("Deployment", self.name, self.deployment()).get("status", {})
            return status.get("readyReplicas") == 2 and status.get("updatedReplicas") == 2
        wait_for(running, timeout=60, what="the Pods of the old tool's Deployment are ready")

    def deployment(self):
        return next(name for kind, name in self.objects if kind == "Deployment")

    def managers(self):
        """Who owns fields of the objects, statuses apart."""
        return {entry["manager"] for item in self.live().values() for entry in item["metadata"]["managedFields"]
                if "subresource" not in entry}

    def take_over(self, *managers):
        self.api.request("PATCH", f"/apis/gitmoor.io/v1alpha1/namespaces/{self.name}/applications/{self.name}", {
            "spec": {"drift": {"takeOver": list(managers)}, "adopt": "Always"}}, "application/merge-patch+json")

    def wait_alone(self):
        wait_for(lambda: self.managers() == {"gitmoor"}, timeout=60, what="gitmoor alone owns what Git declares")


def plain(live):
    """What an object is, without what each write changes, and without our label."""
    live = copy.deepcopy(live)
    for field in ("managedFields", "resourceVersion"):
        live["metadata"].pop(field)
    live["metadata"].get("labels", {}).pop(LABEL, None)
    live["metadata"] = {key: value for key, value in live["metadata"].items() if value != {}}
    live.pop("status", None)
    return live


@pytest.fixture
def shell_for(git_server):
    """shell_for(cluster, repository) -> a shell in the working copy, with what the page's commands use."""
    made = []

    def make(cluster, repository):
        folder = Path(tempfile.mkdtemp(prefix="gm-migrate-", dir="/tmp"))
        made.append((Shell(folder, {
            **os.environ, "PATH": f"{paths.gitmoor_bin()}:{paths.cache() / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(folder),
            "KUBECONFIG": str(cluster.kubeconfig()), "KUBECACHEDIR": str(folder / "kubectl"), "URL": repository.url, "CA": str(git_server.ca_file)}), folder))
        made[-1][0].run(f"cd '{repository.folder}'\n")
        return made[-1][0]

    yield make
    for shell, folder in made:
        shell.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def household(cluster, gitmoor, make_repository):
    """household(name, objects, files) -> Household in a namespace of that name; the old tool's part is the test's."""
    made = []

    def make(name, objects, files):
        cluster.kubectl("create", "namespace", name)
        made.append(Household(cluster, name, make_repository(), objects))
        made[-1].repository.commit(files)
        return made[-1]

    yield make
    for house in made:
        for custodian in house.custodians:
            custodian.stop()
        for kind in ("Application", "GitRepository"):
            house.api.delete(kind, house.name, house.name)


PLAIN = [("ConfigMap", "settings"), ("Deployment", "web")]


def blocks(section, *words):
    """The blocks of one way over: its file, its commands, which have its name and these words, and the texts that belong to them."""
    chosen, inside = [], False
    for block in PAGE.blocks:
        if block.kind == "yaml":
            inside = not words and block.rest.split("/")[0] == section
        elif block.kind == "sh":
            inside = block.words[0] == section and ("after" in block.words) == ("after" in words)
        if inside:
            chosen.append(block)
    return chosen


def hand_over(house, shell, section, changes):
    """Runs the page's section; nothing is made anew, and what changes is what `changes` makes of the objects before."""
    house.wait_running()
    ran, before, generation = house.identities(), house.live(), house.generation()
    for body in before.values():
        changes(body)
    assert PAGE.run(shell, blocks(section)) >= 3
    assert (house.identities(), house.generation()) == (ran, generation), "nothing was deleted, made anew or restarted"
    after = house.live()
    for key, body in after.items():
        assert plain(body) == plain(before[key])
        assert body["metadata"]["labels"][LABEL] == f"{house.name}.{house.name}"
    for custodian in house.custodians:
        assert custodian.found_it_so, f"{custodian.path} was deleted"


def greeting(body):
    """What the newest commit changes of what the old tool has applied."""
    if body["kind"] == "ConfigMap":
        body["data"]["banner"] = "Hello"


def flux_object(api):
    return Custodian(api, "kustomize.toolkit.fluxcd.io/v1", "kustomizations", "flux-system", "shop", "finalizers.fluxcd.io",
                     lambda found: found["spec"]["prune"] and not found["spec"].get("suspend"))


def wait_for_namespace(api, name):
    if not api.get("Namespace", None, name):
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def keeps(house, custodian, kind, **parts):
    """The old tool's object, and what it would delete with it."""
    house.custodians.append(custodian)
    custodian.managed = [(kind_, house.name, name) for kind_, name in house.objects]
    wait_for_namespace(house.api, custodian.path.split("/")[5])
    custodian.make(kind, **parts)


def finish_and_leave_git(house, *managers):
    """The old tool's share is taken over: its marks go, and so does what leaves Git afterwards, which it would have held."""
    running = house.identities()
    if managers:
        house.take_over(*managers)
    house.wait_alone()
    assert house.identities() == running
    for body in house.live().values():
        marks = {**body["metadata"].get("labels", {}), **body["metadata"].get("annotations", {})}
        assert not [key for key in marks if any(word in key for word in ("flux", "argocd", "helm", "config", "last-applied"))], marks


def test_from_flux(household, shell_for, cluster):
    house = household("shop", PLAIN, manifests("Hello"))
    for text in manifests("Welcome").values():
        house.api.apply(marked(text, "shop", labels={"kustomize.toolkit.fluxcd.io/name": "shop",
                                                     "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}), manager="kustomize-controller")
    keeps(house, flux_object(house.api), "Kustomization", spec={"path": "deploy", "prune": True, "interval": "1h",
                                                               "sourceRef": {"kind": "GitRepository", "name": "shop"}})
    shell = shell_for(cluster, house.repository)
    hand_over(house, shell, "flux", greeting)
    assert PAGE.run(shell, blocks("flux", "after")) == 2
    finish_and_leave_git(house)
    house.repository.commit({"deploy/settings.yaml": SETTINGS.format(banner="Hello").replace("  currency: EUR\n", "")})
    shell.run("gitmoor reconcile repository/shop -n shop\n")
    wait_for(lambda: house.live()["ConfigMap", "settings"]["data"] == {"banner": "Hello"}, what="what leaves Git leaves the cluster")


def test_from_helm(household, shell_for, cluster, tmp_path):
    house = household("cache", [("Deployment", "cache")], CHART)
    Helm(tmp_path, cluster.kubeconfig())("install", "cache", house.repository.folder / "charts/cache", "--namespace=cache", "--set=memory=128Mi")
    house.api.request("PATCH", "/apis/apps/v1/namespaces/cache/deployments/cache?fieldManager=helm-controller", {"metadata": {"labels": {
        "helm.toolkit.fluxcd.io/name": "cache", "helm.toolkit.fluxcd.io/namespace": "cache"}}}, "application/merge-patch+json")
    keeps(house, Custodian(house.api, "helm.toolkit.fluxcd.io/v2", "helmreleases", "cache", "cache", "finalizers.fluxcd.io",
                           lambda found: not found["spec"].get("suspend")), "HelmRelease", spec={"interval": "1h"})
    hand_over(house, shell_for(cluster, house.repository), "helm", lambda body: None)
    assert "cache" not in Helm(tmp_path, cluster.kubeconfig())("list", "--all", "--namespace=cache"), "nobody can uninstall it"
    finish_and_leave_git(house, "helm", "helm-controller")


def test_from_argo_cd(household, shell_for, cluster):
    house = household("web", PLAIN, manifests("Hello"))
    settings, web = (marked(text, "web", annotations={"argocd.argoproj.io/tracking-id": f"web:{group}{{kind}}:web/{{name}}"})
                     for text, group in zip(manifests("Welcome").values(), ("/", "apps/")))
    cluster.kubectl("apply", "--field-manager=argocd-controller", "-f", "-", stdin=yaml.safe_dump(settings))  # as without ServerSideApply
    house.api.apply(web, manager="argocd-controller")
    keeps(house, Custodian(house.api, "argoproj.io/v1alpha1", "applications", "argocd", "web", "resources-finalizer.argocd.argoproj.io",
                           lambda found: True), "Application", spec={"syncPolicy": {"automated": {"prune": True}}})
    house.custodians[0].found_it_so = "its finalizer is gone before"
    hand_over(house, shell_for(cluster, house.repository), "argo", greeting)
    with pytest.raises(ApiError):
        house.api.request("GET", house.custodians[0].path)
    finish_and_leave_git(house, "argocd-controller")


def test_from_config_sync(household, shell_for, cluster):
    house = household("ledger", PLAIN, manifests("Hello"))
    for text in manifests("Welcome").values():
        house.api.apply(marked(text, "ledger", labels={
            "app.kubernetes.io/managed-by": "configmanagement.gke.io", "configsync.gke.io/declared-version": "v1"}, annotations={
            "configmanagement.gke.io/managed": "enabled", "configsync.gke.io/manager": ":root",
            "configsync.gke.io/resource-id": "_{kind}_ledger_{name}", "config.k8s.io/owning-inventory": "config-management-system_root-sync",
        }), manager="configsync")
    policy = "configsync.gke.io/deletion-propagation-policy"
    keeps(house, Custodian(house.api, "configsync.gke.io/v1beta1", "rootsyncs", "config-management-system", "root-sync",
                           "configsync.gke.io/reconciler", lambda found: found["metadata"]["annotations"][policy] == "Foreground"),
          "RootSync", metadata={"annotations": {policy: "Foreground"}}, spec={"sourceFormat": "unstructured"})
    hand_over(house, shell_for(cluster, house.repository), "config-sync", greeting)
    finish_and_leave_git(house, "configsync")


@pytest.fixture
def with_flux(scratch, tmp_path, git_server):
    """A cluster of its own with Gitmoor and Flux's source-controller and kustomize-controller."""
    with Cluster(scratch / "flux") as cluster, Moor(cluster, scratch / "flux-moor"):
        controllers = flux.Flux(cluster, tmp_path / "flux").start()
        yield cluster
        controllers.stop()


@pytest.mark.skipif(not flux.is_built(), reason="scripts/setup bench builds Flux's controllers")
def test_from_flux_whose_controllers_run(with_flux, make_repository, shell_for, git_server):
    cluster, api, repository = with_flux, with_flux.api(), make_repository()
    repository.commit(manifests("Welcome"))
    for namespace in ("shop", "doomed"):
        wait_for_namespace(api, namespace)
    api.apply(sample.ca_secret("flux-system", "git", git_server.ca_file))
    flux.create(api, flux.git_repository("flux-system", "shop", repository.url))
    for name in ("shop", "doomed"):
        body = flux.kustomization("flux-system", name, "./deploy", source="shop")
        body["spec"]["targetNamespace"] = name
        flux.create(api, body)
    house, doomed = (Household(cluster, name, repository, PLAIN) for name in ("shop", "doomed"))
    for each in (house, doomed):
        wait_for(lambda each=each: all(each.live().values()), timeout=60, what="Flux has applied")
    assert house.managers() == {"kustomize-controller"}
    repository.commit(manifests("Hello"))  # Flux asks in an hour

    path = flux.PATHS["Kustomization"].format("flux-system")
    shell = shell_for(cluster, repository)
    hand_over(house, shell, "flux", greeting)
    with pytest.raises(ApiError):
        api.request("GET", f"{path}/shop")
    assert PAGE.run(shell, blocks("flux", "after")) == 2
    finish_and_leave_git(house)

    running = house.identities()
    api.request("DELETE", f"{path}/doomed")  # the trap: neither suspended nor told not to prune
    wait_for(lambda: not any(doomed.live().values()), timeout=60, what="Flux deletes what it manages with its Kustomization")
    assert house.identities() == running


def test_each_block_of_the_page_is_one_that_the_test_knows():
    assert PAGE.is_understood()
    ways = {"flux", "helm", "argo", "config-sync"}
    for block in PAGE.blocks:
        first, *others = block.words or [""]
        known = {"yaml": first.split("/")[0] in ways, "text": not first,
                 "sh": block.rest == "example" or first in ways and set(others) <= {"fails", "after"}}
        assert known.get(block.kind), f"{block.where}: ```{block.kind} {block.rest}"
