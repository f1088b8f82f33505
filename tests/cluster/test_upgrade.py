"""helm upgrade from the version before, its chart and its programs (harness/previous.py), while everybody works: no legitimate write is
refused, no illegitimate one passes, no commit is lost, and the definitions are upgraded with what they hold."""
import json
import threading
import time

import pytest

from harness import previous
from harness.api import ApiError, condition
from harness.cluster import PROCESSES
from harness.mooring import config_map
from harness.realnode import TOOLBOX
from harness.waiting import wait_for
from installation import CHART
from witness import Witness

WEB = """apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}, annotations: {{step: "{step}"}}}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{{name: web, image: {image}, imagePullPolicy: Never, command: [sleep, "3600"]}}]
---
apiVersion: v1
kind: Service
metadata: {{name: web}}
spec:
  selector: {{app: web}}
  ports: [{{port: 80}}]
"""
LEASE = "/apis/coordination.k8s.io/v1/namespaces/{}/leases"


class Writer(threading.Thread):
    """Calls `write(n)` again and again until ended; what an ApiError refuses is kept, with the time."""

    def __init__(self, name, write, pause=0.02):
        super().__init__(name=name, daemon=True)
        self.write, self.pause, self.count, self.refused, self.broken, self.ending = write, pause, 0, [], None, threading.Event()

    def run(self):
        try:
            while not self.ending.wait(self.pause):
                self.count += 1
                try:
                    self.write(self.count)
                except ApiError as error:
                    self.refused.append((time.time(), str(error)))
        except Exception as error:  # the test tells of it
            self.broken = error

    def end(self):
        self.ending.set()
        self.join()
        if self.broken:
            raise self.broken
        return self


class Load:
    """Everybody who may write, and one who may not."""

    def __init__(self, cluster, kubectl, shop):
        self.cluster, self.kubectl, self.shop, self.namespace = cluster, kubectl, shop, shop.namespace
        api = cluster.api()
        api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": self.namespace}})
        api.request("POST", LEASE.format(self.namespace), {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                                                           "metadata": {"name": "elector"}, "spec": {"holderIdentity": "0"}})
        self.writers = {name: Writer(name, getattr(self, f"_{name}")(cluster.api()), pause) for name, pause in (
            ("unmanaged", 0.02), ("unowned", 0.02), ("lease", 0.1), ("creations", 0.1), ("pods", 2), ("commits", 1), ("edits", 0.05))}

    def _unmanaged(self, api):
        return lambda n: api.patch("ConfigMap", self.namespace, "mine", {"data": {"n": str(n)}})

    def _unowned(self, api):
        """Of a managed object, what Git does not declare."""
        return lambda n: api.patch("ConfigMap", self.namespace, "settings", {"metadata": {"annotations": {"note": str(n)}}},
                                   manager="some-controller")

    def _lease(self, api):
        return lambda n: api.request("PATCH", LEASE.format(self.namespace) + "/elector", {"spec": {"holderIdentity": str(n)}},
                                     "application/merge-patch+json")

    def _creations(self, api):
        def write(n):
            name = f"made-{n}"
            api.create("ConfigMap", self.namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
            api.delete("ConfigMap", self.namespace, name)
        return write

    def _pods(self, api):
        """Work for the controllers: what they make anew carries copies of what Git declares."""
        def write(_):
            pods = api.list("Pod", self.namespace, "?labelSelector=app%3Dweb")
            if pods:
                api.delete("Pod", self.namespace, pods[0]["metadata"]["name"])
        return write

    def _commits(self, _):
        """Each brings an object of its own, so that a lost one would be seen."""
        return lambda n: self.shop.push({f"deploy/commit-{n}.yaml": config_map(f"commit-{n}"),
                                         "deploy/web.yaml": WEB.format(image=TOOLBOX, step=n // 5)})

    def _edits(self, api):
        return lambda n: api.patch("ConfigMap", self.namespace, "settings", {"data": {"color": f"edited-{n}"}})

    def start(self):
        for writer in self.writers.values():
            writer.start()

    def end(self):
        return {name: writer.end() for name, writer in self.writers.items()}


def definition_text(kubectl):
    definition = json.loads(kubectl("get", "crd", "applications.gitmoor.io", "-o", "json"))
    return json.dumps(definition["spec"]["versions"][0]["schema"])


@pytest.mark.parametrize("topology", ["sidecar", "split"])
def test_an_upgrade_under_load_refuses_and_loses_nothing(topology, install, images, previous_chart, node_cluster, kubectl, moored,
                                                         repository, namespace):
    with install(topology, previous_chart, **{"image.tag": previous.TAG}) as installation:
        repository.commit({"deploy/settings.yaml": config_map("settings", color="red"), "deploy/web.yaml": WEB.format(image=TOOLBOX, step=0)})
        shop = moored(repository)
        shop.wait_applied(timeout=90)
        history = shop.status()["history"][-1]
        old = {pod["metadata"]["uid"] for process in ("fetcher", "admission") for pod in installation.pods(process)}
        assert "deletionPolicy" not in definition_text(kubectl), "the definitions are those of the version before"
        load = Load(node_cluster, kubectl, shop)
        with Witness(installation) as witness:
            load.start()
            time.sleep(5)  # of load before; nothing is waited for
            installation.chart = CHART
            installation.upgrade(**{"image.tag": ""})
            installation.wait_ready()
            wait_for(lambda: old.isdisjoint(pod["metadata"]["uid"] for process in ("fetcher", "admission")
                                            for pod in installation.pods(process)), 60, "none of the old Pods left")
            time.sleep(5)  # and after
            ended = load.end()
        assert witness.saw_connections_end(), witness.tell(time.time())

        edits = ended.pop("edits")
        for name, writer in ended.items():
            for at, told in writer.refused:
                pytest.fail(f"{name}: {len(writer.refused)} of {writer.count} refused, the first: {told}\n{witness.tell(at)}")
            assert writer.count > 3, name
        assert len(edits.refused) == edits.count > 20, "an edit of what Git declares passed"
        assert all("gitmoor" in told for _, told in edits.refused)

        shop.wait_applied(timeout=120)
        made = {f"commit-{n}" for n in range(1, ended["commits"].count + 1)}
        assert made <= set(shop.live()), "a commit is lost"
        assert shop.config_map("settings") == {"color": "red"}
        warnings = [event["message"] for event in node_cluster.api().list("Event", namespace)
                    if event["type"] == "Warning" and ("webhook" in event.get("message", "") or "gitmoor" in event.get("message", ""))
                    and event["reason"] not in ("EditRefused", "RenderFailed")]
        assert warnings == [], "a controller was refused"
        wait_for(lambda: node_cluster.api().get("Deployment", namespace, "web")["status"].get("readyReplicas") == 2, 60,
                 "the controllers have made all Pods anew")

        assert "deletionPolicy" in definition_text(kubectl), "the definitions are upgraded"
        assert history["revision"] in [entry["revision"] for entry in shop.status()["history"]] or ended["commits"].count > 9
        assert condition(shop.source(), "Ready")["status"] == "True"
        version = installation.helm("list", "-o", "json").stdout
        assert previous.VERSION not in version
        images_now = {container["image"] for process in PROCESSES for pod in installation.pods(process)
                      for container in pod["spec"]["containers"]}
        assert len(images_now) == 4 and not any(image.endswith(previous.TAG) for image in images_now)
        print(topology, {name: writer.count for name, writer in {**ended, "edits": edits}.items()})
