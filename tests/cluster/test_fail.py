"""What must go on goes on while something has failed, and all converges within 30 s of the end of the cause."""
import os
import signal

import pytest

from harness.api import ApiError
from harness.cluster import PROCESSES
from harness.mooring import config_map
from harness.waiting import wait_for
from installation import NAMESPACE

CONVERGED = 30


@pytest.fixture(scope="module")
def gitmoor(install):
    with install("split") as installation:
        yield installation


@pytest.fixture
def shop(gitmoor, moored, repository):
    """An application that is in sync, and can be asked to prove that everything works."""
    gitmoor.wait_ready()
    repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}", step="0") for n in range(5)})
    mooring = moored(repository)
    mooring.wait_applied(timeout=60)
    mooring.number = 0

    def next_commit():
        mooring.number += 1
        mooring.push({f"deploy/{n}.yaml": config_map(f"c{n}", step=str(mooring.number)) for n in range(5)})

    def converged(timeout=CONVERGED):
        mooring.wait_applied(timeout=timeout)
        assert mooring.live() == {f"c{n}": {"step": str(mooring.number)} for n in range(5)}

    mooring.next_commit, mooring.converged = next_commit, converged
    return mooring


def guarded(shop):
    """An edit is refused."""
    try:
        shop.api.patch("ConfigMap", shop.namespace, "c0", {"data": {"step": "edited"}})
        return False
    except ApiError as error:
        return "gitmoor" in str(error) and "c0" in str(error)


def drift_by_break_glass(shop):
    """Drift that admission lets through, whatever the protection."""
    done = shop.cluster.kubectl.run("--as=admin", "--as-group=system:masters", "--as-group=gitmoor:break-glass", "patch", "configmap",
                                    "c1", "-n", shop.namespace, "--type=merge", "-p",
                                    '{"metadata":{"annotations":{"gitmoor.io/break-glass-reason":"drill"}},"data":{"step":"drift"}}')
    assert done.returncode == 0, done.stderr


def scale(gitmoor, process, replicas):
    gitmoor.kubectl("scale", "-n", NAMESPACE, f"deployment/{gitmoor.workload(process)}", f"--replicas={replicas}")
    if replicas == 0:
        wait_for(lambda: not gitmoor.kubectl("get", "pods", "-n", NAMESPACE, "-o", "name", "-l",
                                             f"app.kubernetes.io/component={process}"), 60, f"{process} gone")


@pytest.fixture
def without(gitmoor):
    """without("fetcher", …): none of these runs; afterwards they do again."""
    gone = {}

    def take_away(*processes):
        for process in processes:
            gone[process] = len(gitmoor.pods(process))
            scale(gitmoor, process, 0)

    def give_back():
        for process, replicas in gone.items():
            scale(gitmoor, process, replicas)
        gone.clear()
        gitmoor.wait_ready()

    take_away.end = give_back
    yield take_away
    give_back()


# ------------------------------------------------------------------------------- one is down

def test_admission_refuses_with_all_others_down(gitmoor, shop, without):
    without("fetcher", "differ", "applier")
    assert guarded(shop)
    shop.next_commit()
    without.end()
    shop.converged()


def test_drift_is_repaired_with_the_fetcher_down(shop, without):
    without("fetcher")
    drift_by_break_glass(shop)
    wait_for(lambda: shop.config_map("c1") == {"step": "0"}, what="repaired without a fetcher")
    shop.next_commit()
    without.end()
    shop.converged()


@pytest.mark.parametrize("process", ["differ", "applier"])
def test_a_commit_made_while_one_is_down_arrives_when_it_is_back(shop, without, process):
    without(process)
    shop.next_commit()
    assert guarded(shop)
    without.end()
    shop.converged()


def test_commits_are_applied_and_edits_wait_with_admission_down(shop, without):
    """failurePolicy Fail: nobody can edit what is managed, and the applier's own writes wait too, until a replica answers."""
    without("admission")
    with pytest.raises(ApiError):
        shop.api.patch("ConfigMap", shop.namespace, "c0", {"data": {"step": "edited"}})
    shop.api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "by-hand", "namespace": shop.namespace}})
    shop.next_commit()
    without.end()
    shop.converged()


# ------------------------------------------------------------------------------- killed, deleted, cut, restarted

@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_killed(gitmoor, shop, process):
    for _ in range(2):
        shop.next_commit()
        gitmoor.kill(process)
        shop.converged()
    wait_for(lambda: guarded(shop), what="guarded")


def test_every_pod_is_deleted(gitmoor, shop, kubectl):
    kubectl("delete", "pods", "--all", "-n", NAMESPACE, "--grace-period=0", "--force")
    shop.next_commit()
    gitmoor.wait_ready()
    shop.converged()
    wait_for(lambda: guarded(shop), what="guarded")


def test_the_api_server_restarts(node_cluster, gitmoor, shop):
    node_cluster.restart_server(down=2)
    shop.next_commit()
    shop.converged()
    assert guarded(shop)


def test_etcd_stands_still(node_cluster, gitmoor, shop):
    etcd = node_cluster.process("etcd").pid
    os.kill(etcd, signal.SIGSTOP)
    try:
        shop.repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}", step="1") for n in range(5)})
        shop.number = 1
        with pytest.raises(ApiError):  # the API server gives up after its own while
            shop.api.request("POST", f"/api/v1/namespaces/{shop.namespace}/configmaps?timeout=3s",
                             {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "never"}})
    finally:
        os.kill(etcd, signal.SIGCONT)
    wait_for(lambda: shop.nudge() or True, what="the API server answers")
    shop.converged()
    assert guarded(shop)


@pytest.mark.parametrize("pair", ["fetcher differ", "differ applier", "differ admission"])
def test_the_network_between_two_is_cut(node_cluster, gitmoor, shop, pair):
    """In the node's own network namespace, where packets between Pods are forwarded."""
    one, other = pair.split()
    rules = [(left["status"]["podIP"], right["status"]["podIP"])
             for first, second in ((one, other), (other, one)) for left in gitmoor.pods(first) for right in gitmoor.pods(second)]
    for source, destination in rules:
        node_cluster.machine.run("iptables", "-w", "-I", "FORWARD", "-s", source, "-d", destination, "-j", "DROP")
    try:
        shop.next_commit()
        assert guarded(shop), "admission needs nobody"
        if "applier" not in pair:
            drift_by_break_glass(shop)
            wait_for(lambda: shop.config_map("c1") in ({"step": "0"}, {"step": "1"}), 30, "repaired")
    finally:
        for source, destination in rules:
            node_cluster.machine.run("iptables", "-w", "-D", "FORWARD", "-s", source, "-d", destination, "-j", "DROP")
    shop.converged()
    assert guarded(shop)


def test_the_node_restarts(node_cluster, gitmoor, shop):
    node_cluster.reboot()
    shop.next_commit()
    node_cluster.wait_node()
    gitmoor.wait_ready(timeout=90)
    shop.converged()
    wait_for(lambda: guarded(shop), what="guarded")
