"""What must go on goes on while something has failed, and all converges within 30 s of the end of the cause: docs/failure-modes.md.

Each round: the cause, what is had while it lasts, its end, and the time until everything works again. GITMOOR_FAIL_ROUNDS=20 makes
a measurement of it: scripts/test fail. Of ten rounds one lasts longer than a Lease and than any patience of the bus.
"""
import contextlib
import os
import signal
import socket
import time

import pytest

from harness.cluster import PROCESSES
from harness.failures import Drill, Measured, rounds
from harness.realnode import NODE
from harness.waiting import wait_for
from installation import NAMESPACE

LONG = 17  # seconds
pytestmark = pytest.mark.timeout(3600)


@pytest.fixture(scope="module")
def gitmoor(install):
    with install("split") as installation:
        yield installation


@pytest.fixture(scope="module")
def measured():
    return Measured()


@pytest.fixture
def drill(api, gitmoor, moored, repository):
    """An application that is in sync."""
    gitmoor.wait_ready()
    repository.commit(Drill.files())
    made = Drill(api, moored, repository)
    yield made
    made.close()


@pytest.fixture
def fail(drill, measured):
    """fail("differ Pod deleted", cause): rounds of it. cause(number) is a context manager; what it yields, if anything, ends the cause
    and returns when that was."""
    def run(name, cause, long=True, told=True):
        took = []
        for number in range(rounds(2)):
            began = time.monotonic()
            with cause(number) as end:
                drill.check(name)
                if long and number % 10 == 1:
                    time.sleep(max(0.0, began + LONG - time.monotonic()))  # so long the cause lasts
                ended = end() if end else None
            total, columns = drill.converge(ended or time.monotonic(), told)
            print(f"{name}, round {number}: {columns}")
            took.append(total)
        measured.add(name, took)
    return run


# ------------------------------------------------------------------------------- Pods

@pytest.fixture
def no_room(kubectl, gitmoor):
    """no_room(processes, number): their Pods are deleted, by turns gently and at once, while no node takes new ones."""
    @contextlib.contextmanager
    def gone(processes, number):
        force = ["--grace-period=0", "--force"] if number % 2 else []
        gitmoor.wait_ready()
        pods = [(process, pod) for process in processes for pod in gitmoor.pods(process)]
        pids = [gitmoor.pid(process, pod) for process, pod in pods]
        kubectl("cordon", NODE)
        try:
            kubectl("delete", "pods", "-n", NAMESPACE, *(pod["metadata"]["name"] for _, pod in pods), *force)
            wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids), 60, f"{processes} ended")

            def end():
                ended = time.monotonic()
                kubectl("uncordon", NODE)
                return ended

            yield end
        finally:
            kubectl("uncordon", NODE)

    return gone


@pytest.mark.parametrize("process", PROCESSES)
def test_the_pods_of_a_process_are_deleted(fail, no_room, process):
    fail(f"{process} Pod deleted", lambda number: no_room([process], number))


def test_all_pods_but_admissions_are_deleted(fail, no_room):
    fail("all Pods but admission's deleted", lambda number: no_room(["fetcher", "differ", "applier"], number))


@pytest.mark.parametrize("process", PROCESSES)
def test_a_container_is_killed(gitmoor, drill, process):
    """kubelet starts it again. (What is had meanwhile: tests/e2e/test_kill.py.)"""
    for _ in range(2):
        ended = time.monotonic()
        gitmoor.kill(process)
        drill.converge(ended)


# ------------------------------------------------------------------------------- links

@pytest.fixture
def cut(node_cluster):
    """with cut(ends): no packet passes, in the node's own network namespace, where those of Pods are forwarded. ends: pairs of what
    iptables matches, one of each direction."""
    @contextlib.contextmanager
    def dropped(rules):
        try:
            for rule in rules:
                node_cluster.machine.run("iptables", "-w", "-I", "FORWARD", *rule, "-j", "DROP")
            yield None
        finally:
            for rule in rules:
                node_cluster.machine.run("iptables", "-w", "-D", "FORWARD", *rule, "-j", "DROP", check=False)

    return dropped


def addresses(gitmoor, process):
    return [pod["status"]["podIP"] for pod in gitmoor.pods(process)]


def between(ones, others):
    return [("-s", source, "-d", destination) for one in ones for other in others for source, destination in ((one, other), (other, one))]


def to_port(clients, server, port):
    """Connections of the clients (None: of anyone) to a port."""
    told = []
    for client in clients:
        source, destination = (["-s", client], ["-d", client]) if client else ([], [])
        told.append([*source, "-d", server, "-p", "tcp", "--dport", port])
        told.append([*destination, "-s", server, "-p", "tcp", "--sport", port])
    return told


@pytest.mark.parametrize("link", ["fetcher to differ", "differ to applier", "admission to differ"])
def test_the_link_between_two_processes_is_cut(gitmoor, fail, cut, link):
    one, other = link.split(" to ")
    fail(f"{link} cut", lambda _: cut(between(addresses(gitmoor, one), addresses(gitmoor, other))))


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_cut_off_from_the_api_server(node_cluster, gitmoor, fail, cut, process):
    port = node_cluster.server.rsplit(":", 1)[1]
    fail(f"{process} to API server cut", lambda _: cut(to_port(addresses(gitmoor, process), node_cluster.address, port)))


def test_the_api_server_is_cut_off_from_admission(kubectl, gitmoor, fail, cut):
    port = kubectl("get", "pods", "-n", NAMESPACE, "-l", "app.kubernetes.io/component=admission", "-o",
                   "jsonpath={.items[0].spec.containers[0].ports[?(@.name==\"webhook\")].containerPort}")
    fail("API server to admission cut",
         lambda _: cut([rule for address in addresses(gitmoor, "admission") for rule in to_port([None], address, port)]))


def test_the_fetcher_is_cut_off_from_the_git_server(node_cluster, gitmoor, git_server, fail, cut):
    fail("fetcher to Git server cut", lambda _: cut(to_port(addresses(gitmoor, "fetcher"), node_cluster.address, git_server.port)),
         told=False)


# ------------------------------------------------------------------------------- the cluster

def test_the_node_restarts(node_cluster, fail):
    @contextlib.contextmanager
    def off(_):
        node_cluster.power_off()

        def end():
            node_cluster.power_on()
            return time.monotonic()

        yield end

    fail("node restarted", off, long=False)
    node_cluster.wait_node()


def test_the_api_server_restarts(node_cluster, fail):
    @contextlib.contextmanager
    def down(number):
        server = node_cluster.process("kube-apiserver")
        if number % 2:
            server.kill()
        else:
            server.stop(timeout=20)
        try:
            yield None
        finally:
            server.start()
            node_cluster.wait_server()
            service = (node_cluster.network.kubernetes, 443)  # which has no endpoint until kube-proxy has seen that it is back
            wait_for(lambda: socket.create_connection(service, timeout=1).close() or True, 90, "Pods reach the API server")

    fail("API server restarted", down)


def test_etcd_stands_still(node_cluster, fail):
    @contextlib.contextmanager
    def stopped(_):
        etcd = node_cluster.process("etcd").pid
        os.kill(etcd, signal.SIGSTOP)
        try:
            yield None
        finally:
            os.kill(etcd, signal.SIGCONT)

    fail("etcd paused", stopped)
