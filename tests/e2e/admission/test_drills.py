"""Admission when it is down, restarted, upgraded or removed; and what it keeps in the API server: its registration, its certificate.

Whatever happens to it, a cluster must not be locked out: each drill is a test.
"""
import base64
import hashlib
import secrets
import socket
import ssl
import subprocess
import threading

import pytest

from harness.api import Api, ApiError
from harness.cluster import NAMESPACE
from harness.guarded import BREAK_GLASS, CONFIGURATIONS, LABEL, MERGE, REASON, Unwaited, refusal, start
from harness.waiting import wait_for

GREEN = {"data": {"color": "green"}}

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
