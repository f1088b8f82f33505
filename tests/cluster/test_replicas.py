"""Two replicas of each process, as the chart installs them: they find each other by Leases, scale by kubectl, and fail one by one."""
import json

import pytest

from harness.cluster import PROCESSES
from harness.mooring import config_map
from harness.waiting import wait_for
from installation import NAMESPACE


@pytest.fixture(scope="module")
def pairs(install):
    with install("split", **{f"{process}.replicas": "2" for process in PROCESSES}) as installation:
        yield installation


def leases(kubectl):
    """Pod -> role, of the Leases of replicas."""
    listed = json.loads(kubectl("get", "leases", "-n", NAMESPACE, "-o", "json", "-l", "gitmoor.io/role"))["items"]
    return {lease["metadata"]["ownerReferences"][0]["name"]: lease["metadata"]["labels"]["gitmoor.io/role"] for lease in listed}


def pods(installation):
    return {pod["metadata"]["name"]: process for process in PROCESSES for pod in installation.pods(process)}


def test_replicas_share_the_work_scale_and_fail_one_by_one(pairs, kubectl, moored, repository):
    """The last step uninstalls: nothing of membership is left."""
    wait_for(lambda: leases(kubectl) == pods(pairs), 30, "a Lease of each Pod")
    assert len(pods(pairs)) == 2 * len(PROCESSES)
    files = {f"deploy/{n}/c.yaml": config_map(f"c{n}", step="0") for n in range(8)}
    repository.commit(files)
    shop = moored(repository, path="deploy/0")
    shops = [shop, *(shop.beside(f"shop-{n}", f"deploy/{n}") for n in range(1, 8))]

    def landed(step):
        for each in shops:
            each.wait_applied(timeout=60)
        assert [each.config_map(f"c{n}") for n, each in enumerate(shops)] == [{"step": str(step)}] * 8

    landed(0)
    assert pairs.metric("differ", "gitmoor_differ_applications") == 8, "each application is with one differ"
    assert pairs.metric("fetcher", "gitmoor_fetcher_repositories") == 1

    for process in ("fetcher", "differ", "applier"):  # as a node that dies
        kubectl("delete", "pod", "-n", NAMESPACE, pairs.pods(process)[0]["metadata"]["name"], "--grace-period=0", "--force")
    shop.push({path: text.replace("'0'", "'1'") for path, text in files.items()})
    landed(1)

    for process, count in (("fetcher", 1), ("differ", 3), ("applier", 1)):
        kubectl("scale", "-n", NAMESPACE, f"deployment/gitmoor-{process}", f"--replicas={count}")
    wait_for(lambda: len(pods(pairs)) == 7 and leases(kubectl) == pods(pairs), 60, "Leases follow the Pods")
    shop.push({path: text.replace("'0'", "'2'") for path, text in files.items()})
    landed(2)
    assert pairs.metric("differ", "gitmoor_differ_applications") == 8

    pairs.uninstall()
    wait_for(lambda: not leases(kubectl), 60, "the Leases to go with the Pods")
