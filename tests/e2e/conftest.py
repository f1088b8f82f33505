"""Fixtures of the end-to-end tests: a real control plane, a real Git server, the four processes."""
import shutil
import tempfile
from pathlib import Path

import pytest

from harness.cluster import Cluster


@pytest.fixture(scope="session")
def scratch():
    """A folder with a short name (Unix sockets allow 107 characters), gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def cluster(scratch):
    """The control plane that all tests share; namespaces keep them apart."""
    with Cluster(scratch / "cluster") as running:
        yield running


@pytest.fixture(scope="session")
def api(cluster):
    """Requests as cluster-admin."""
    return cluster.api()


@pytest.fixture(scope="session")
def kubectl(cluster):
    """kubectl as cluster-admin: kubectl("get", "ns")."""
    return cluster.kubectl


@pytest.fixture
def namespace(cluster):
    """A fresh namespace for one test. It is not deleted: the control plane goes away as a whole."""
    return cluster.new_namespace()
