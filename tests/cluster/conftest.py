"""Fixtures of the tests on a real node: containers run, Services answer, Gitmoor is installed by Helm."""
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from harness.realnode import NodeCluster  # noqa: E402


@pytest.fixture(scope="session")
def scratch():
    """A folder with a short name, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def node_cluster(scratch):
    """The control plane and the node that all tests share."""
    cluster = NodeCluster(scratch / "node").start()
    yield cluster
    cluster.stop()


@pytest.fixture(scope="session")
def api(node_cluster):
    """Requests as cluster-admin."""
    return node_cluster.api()


@pytest.fixture(scope="session")
def kubectl(node_cluster):
    """kubectl as cluster-admin."""
    return node_cluster.kubectl


@pytest.fixture
def namespace(node_cluster):
    """A fresh namespace, deleted after the test."""
    name = node_cluster.new_namespace()
    yield name
    node_cluster.kubectl("delete", "namespace", name, "--wait=false")
