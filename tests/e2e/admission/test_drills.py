"""Admission when it is down, restarted, upgraded or removed; and what it keeps in the API server: its registration, its certificate.

Whatever happens to it, a cluster must not be locked out: each drill is a test.
"""
import base64
import contextlib
import secrets
import socket
import subprocess
import threading

import pytest

from harness.api import Api, ApiError
from harness.guarded import BREAK_GLASS, CONFIGURATIONS, CRDS, LABEL, MERGE, REASON, Unwaited, gone, refusal, start
from harness.waiting import wait_for
from harness.webhook import SECRET, fingerprint

GREEN = {"data": {"color": "green"}}
KINDS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")

# ------------------------------------------------------------------------------- lock-out drills

@pytest.fixture
def dead(world):
    """Admission is gone, under Fail, and nobody answers, until the test is over."""
    world.moor.kill("admission")
    yield world
    world.moor.start_one("admission")


def unanswered(act):
    with pytest.raises(ApiError, match="failed calling webhook"):
        act()


def own(owner):
    return {"ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": owner.name, "uid": owner.get()["metadata"]["uid"]}]}


def test_with_every_replica_killed_under_fail_only_edits_of_managed_objects_fail(dead):
    free = dead.config_map(managed=False)
    free.patch({"data": {"color": "green"}})
    free.delete()
    dead.create("ConfigMap", {"metadata": {"namespace": "prod", "name": f"n{secrets.token_hex(3)}"}})
    managed = dead.config_map()  # the applier goes on
    managed.apply(data={"color": "blue"})
    unanswered(lambda: managed.patch(GREEN))
    unanswered(managed.delete)
    unanswered(lambda: dead.create("ConfigMap", {"metadata": {"namespace": "prod", "name": "claimed", "labels": {LABEL: "prod.shop"}}}))
    managed.delete(dead.applier)


def test_with_every_replica_killed_under_ignore_everything_passes(world):
    with world.restarted_with("--failure-policy", "Ignore"):
        managed, workload = world.config_map(), world.workload()
        refusal(lambda: managed.patch(GREEN))
        world.moor.kill("admission")
        assert wait_for(lambda: managed.patch(GREEN), what="the edit to pass")["data"]["color"] == "green"
        assert workload.scale(5)["spec"]["replicas"] == 5
        managed.delete()
        free = world.namespace("ignored")
        world.api.request("DELETE", f"/api/v1/namespaces/{free}")


def test_with_every_replica_killed_break_glass_goes_on(dead):
    managed, workload, other, widget = dead.config_map(), dead.workload(), dead.workload(), dead.widget()
    managed.patch({**GREEN, "metadata": {"annotations": {REASON: "INC-3"}}}, headers=BREAK_GLASS)
    managed.delete(BREAK_GLASS)
    assert workload.scale(5, BREAK_GLASS, annotations={REASON: "INC-3"})["spec"]["replicas"] == 5
    unanswered(lambda: other.scale(5, BREAK_GLASS))
    unanswered(lambda: widget.patch({"spec": {"size": 2}}, headers=BREAK_GLASS))
    for path in ("/api/v1/namespaces/prod", f"{CRDS}/widgets.test.example.org"):
        unanswered(lambda path=path: dead.api.request("DELETE", path + "?dryRun=All", headers=BREAK_GLASS))
        dead.api.request("PATCH", path, {"metadata": {"annotations": {REASON: "INC-3"}}}, MERGE, BREAK_GLASS)
        dead.api.request("DELETE", path + "?dryRun=All", headers=BREAK_GLASS)
        dead.api.request("PATCH", path, {"metadata": {"annotations": {REASON: None}}}, MERGE, BREAK_GLASS)


def test_with_every_replica_killed_nodes_register_and_renew_their_leases(dead):
    name = f"n{secrets.token_hex(3)}"
    dead.api.request("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
    dead.api.request("PATCH", f"/api/v1/nodes/{name}/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}, MERGE)
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    wait_for(lambda: dead.api.get("Namespace", None, "kube-node-lease"), what="the namespace of the nodes' Leases")
    dead.api.request("POST", leases, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name},
                                      "spec": {"holderIdentity": name}})
    dead.api.request("PATCH", f"{leases}/{name}", {"spec": {"leaseDurationSeconds": 40}}, MERGE)
    # Nor do Leases wait that somebody has labelled, such as those that leaders are elected by.
    dead.create("Lease", {"metadata": {"namespace": "prod", "name": name, "labels": {LABEL: "prod.shop"}}})


def test_with_every_replica_killed_controllers_roll_out_collect_and_copy_labels(dead):
    owner = dead.config_map(managed=False)
    child = dead.config_map(metadata=own(owner))
    workload, service = dead.workload(), dead.service()
    owner.delete()
    wait_for(gone(dead, child.path), what="the dependent collected")
    wait_for(lambda: workload.get().get("status", {}).get("readyReplicas") == 2, what="the Pods ready")
    query = f"?labelSelector=kubernetes.io/service-name%3D{service.name}"
    wait_for(lambda: dead.api.request("GET", f"/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices{query}")["items"],
             what="the EndpointSlice of the Service")


def test_with_every_replica_killed_a_terminating_namespace_empties(world):
    namespace = world.namespace("sinking")
    held = [world.config_map(namespace=namespace), world.widget(namespace=namespace)]
    world.moor.kill("admission")
    try:
        path = f"/api/v1/namespaces/{namespace}"
        unanswered(lambda: world.api.request("DELETE", path))
        world.api.request("PATCH", path, {"metadata": {"annotations": {REASON: "INC-4"}}}, MERGE, BREAK_GLASS)
        world.api.request("DELETE", path, headers=BREAK_GLASS)
        for each in held:
            wait_for(gone(world, each.path), timeout=60, what=f"{each.kind} gone")
        wait_for(gone(world, path), timeout=60, what="the namespace gone")
    finally:
        world.moor.start_one("admission")


class Balancer:
    """One address before several replicas, as a Service is: a connection goes to the first that takes it."""

    def __init__(self):
        self.ports, self.listener = [], socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = self._connect()
            if not server:
                client.close()
                continue
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, target), daemon=True).start()

    def _connect(self):
        for port in self.ports:
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=30)
            except OSError:
                continue
        return None

    @staticmethod
    def _copy(source, target):
        with contextlib.suppress(OSError):
            source.settimeout(None)
            target.settimeout(None)
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self):
        self.listener.close()


@contextlib.contextmanager
def attempts(world, subject):
    """Somebody tries to edit all the time; yields what became of it: (how often, what went wrong)."""
    failures, counts, stop = [], [0], threading.Event()

    def edit():
        api = Api.from_kubeconfig(world.cluster.kubeconfig())
        while not stop.is_set():
            try:
                api.request("PATCH", subject.path, GREEN, MERGE)
                failures.append("an edit was let through")
            except ApiError as error:
                if error.status != 403 and "deadline exceeded" not in str(error):  # a busy machine is not the upgrade's doing
                    failures.append(str(error))
            counts[0] += 1

    threads = [threading.Thread(target=edit) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        yield counts, failures
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_no_review_fails_while_admission_is_upgraded(world, scratch):
    """The new replica comes up, with other settings, before the old one is told to go: as a Deployment's rollout does it."""
    balancer, replicas, subject = Balancer(), [], world.config_map()
    url = ["--webhook-url", f"https://127.0.0.1:{balancer.port}"]
    assert world.moor.processes["admission"].stop() == 0
    try:
        replicas.append(start(scratch, world.cluster, "old", flags=url))
        replicas[0].start(only=("admission",))
        balancer.ports.append(replicas[0].webhook_port)
        wait_for(lambda: refusal(lambda: subject.patch(GREEN)), what="edits refused by the old one")
        with attempts(world, subject) as (counts, failures):
            replicas.append(start(scratch, world.cluster, "new", flags=[*url, "--webhook-timeout", "2s"], kind=Unwaited))
            replicas[1].start(only=("admission",))
            wait_for(lambda: fingerprint(replicas[1].webhook_port), what="the new one serves")
            balancer.ports.insert(0, replicas[1].webhook_port)
            assert replicas[0].stop() == {"admission": 0}
            after = counts[0]
            wait_for(lambda: counts[0] > after + 50, what="more attempts")
        assert failures == []
        wait_for(lambda: {each["timeoutSeconds"] for each in world.configuration()["webhooks"] if each["name"].startswith("objects.")} == {2},
                 timeout=60, what="the new one's settings registered")
    finally:
        for replica in replicas:
            replica.stop()
        balancer.close()
        world.moor.start_one("admission")


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
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
            assert done.returncode == 0, done.stderr
        for kind in KINDS:
            with pytest.raises(ApiError, match="404"):
                world.configuration(kind)
        world.config_map().patch(GREEN)
    finally:
        world.moor.start_one("admission")
    refusal(lambda: world.config_map().patch(GREEN))


# ------------------------------------------------------------------------------- registration

def test_a_deleted_configuration_comes_back(world):
    world.api.request("DELETE", f"{CONFIGURATIONS}/validatingwebhookconfigurations/gitmoor-admission")
    wait_for(lambda: world.configuration(), timeout=60, what="the configuration back")
    wait_for(lambda: refusal(lambda: world.config_map().patch(GREEN)), what="edits are refused again")


def add_to(webhooks):
    webhooks[0]["matchConditions"].append({"name": "never", "expression": "false"})
    webhooks[0]["objectSelector"]["matchLabels"] = {"nobody": "has-this"}
    webhooks.append({**webhooks[0], "name": "another.example.org"})


def change_in(webhooks):
    webhooks[0]["failurePolicy"] = "Ignore" if webhooks[0]["failurePolicy"] == "Fail" else "Fail"
    webhooks[0]["rules"][0]["operations"] = ["CONNECT"]
    webhooks[0]["clientConfig"]["caBundle"] = ""


def remove_from(webhooks):
    webhooks[0]["matchConditions"].pop()
    webhooks[0]["objectSelector"] = {}
    webhooks.pop()


@pytest.mark.parametrize("change", [add_to, change_in, remove_from], ids=["added-to", "changed", "removed-from"])
def test_a_foreign_edit_of_the_configurations_is_put_back(world, change):
    wanted = {kind: world.configuration(kind)["webhooks"] for kind in KINDS}
    for kind in KINDS:
        world.edit(f"{CONFIGURATIONS}/{kind}/gitmoor-admission", lambda edited: change(edited["webhooks"]))
    for kind in KINDS:
        wait_for(lambda kind=kind: world.configuration(kind)["webhooks"] == wanted[kind], timeout=60, what=f"the {kind} as they were")


def test_the_configuration_never_lacks_a_bundle_and_no_webhook_matches_all(world):
    for kind in KINDS:
        for webhook in world.configuration(kind)["webhooks"]:
            assert webhook["clientConfig"]["caBundle"]
            assert webhook["sideEffects"] == "None" and webhook["timeoutSeconds"] <= 3 and webhook["matchPolicy"] == "Equivalent"
            assert webhook["failurePolicy"] == ("Ignore" if webhook["name"].startswith("reasons.") else "Fail")


# ------------------------------------------------------------------------------- the certificate

def test_a_lost_or_damaged_secret_is_put_back_and_the_certificate_stays(world):
    before = fingerprint(world.moor.webhook_port)
    data = world.api.request("GET", SECRET)["data"]
    world.api.request("DELETE", SECRET)
    wait_for(lambda: world.api.request("GET", SECRET)["data"] == data, what="the Secret back")
    world.api.request("PATCH", SECRET, {"data": {"tls.crt": base64.b64encode(b"nothing").decode()}}, MERGE)
    wait_for(lambda: world.api.request("GET", SECRET)["data"] == data, what="the Secret repaired")
    assert fingerprint(world.moor.webhook_port) == before
    refusal(lambda: world.config_map().patch(GREEN))


def test_replicas_that_start_at_once_share_one_certificate(world, scratch):
    assert world.moor.processes["admission"].stop() == 0
    world.api.request("DELETE", SECRET)
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
