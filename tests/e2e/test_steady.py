"""What costs nothing: the steady state makes no request, a status-only change none, a restart writes nothing."""
import time

from harness.cluster import PROCESSES
from harness.waiting import wait_for


def quiet(calm, seconds):
    """The requests of the four processes in that time, without watches that are opened anew."""
    before = len(calm.proxy.requests)
    time.sleep(seconds)  # what is measured is a span of time
    return [request for request in calm.proxy.requests[before:] if "watch=" not in request]


def settle(calm):
    """Until nothing has been asked for a while: status and Events of earlier tests are written."""
    wait_for(lambda: not quiet(calm, 2), timeout=60, what="a quiet moment")


def test_the_steady_state_makes_no_request(calm):
    wait_for(lambda: not quiet(calm, 10), timeout=90, what="ten seconds without a request")


def test_a_change_that_git_does_not_declare_makes_no_request(calm):
    settle(calm)
    calm.api.patch("ConfigMap", calm.namespace, "c0", {"metadata": {"annotations": {"by": "somebody"}}}, manager="controller")
    assert not [request for request in quiet(calm, 3) if "/configmaps" in request or "/applications" in request]


def test_a_restart_writes_no_object(calm):
    settle(calm)
    versions = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in calm.api.list("ConfigMap", calm.namespace)}
    before = len(calm.proxy.requests)
    for name in PROCESSES:
        calm.moor.kill(name)
    for name in PROCESSES:
        calm.moor.start_one(name)
    settle(calm)
    calm.settled()
    assert {item["metadata"]["name"]: item["metadata"]["resourceVersion"]
            for item in calm.api.list("ConfigMap", calm.namespace)} == versions
    writes = [request for request in calm.proxy.requests[before:] if "/configmaps" in request and request.startswith("PATCH")]
    assert writes == []
