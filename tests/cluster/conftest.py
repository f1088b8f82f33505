"""Fixtures of the tests on a real node: containers run, Services answer, Gitmoor is installed by Helm."""
import contextlib
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "e2e"))

from gitserver import GitServer  # noqa: E402
from harness import paths, previous  # noqa: E402
from harness.mooring import Mooring  # noqa: E402
from harness.realnode import NodeCluster  # noqa: E402
from harness.repository import Repository  # noqa: E402
from harness.waiting import TimedOut, wait_for  # noqa: E402
from installation import CHART, NAMESPACE, REGISTRY, WEBHOOKS, Installation  # noqa: E402


@pytest.fixture(scope="session")
def scratch():
    """A folder with a short name, gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gm-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def node_cluster(scratch):
    """The control plane and the node that all tests share."""
    cluster = NodeCluster(scratch / "node", people=["red-person"]).start()
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
    """A fresh namespace, deleted after the test, unless Gitmoor refuses that for longer than it takes to know that an Application is gone."""
    name = node_cluster.new_namespace()
    yield name
    with contextlib.suppress(TimedOut):
        wait_for(lambda: node_cluster.kubectl.run("delete", "namespace", name, "--ignore-not-found", "--wait=false").returncode == 0,
                 10, every=0.5)


# ------------------------------------------------------------------------------- Gitmoor

def build_and_import(cluster, folder, binaries, *words):
    """Images of these binaries, from this machine's packages, into the node."""
    build = subprocess.run([sys.executable, paths.ROOT / "images" / "build.py", "--output", folder, "--prefix", f"{REGISTRY}/gitmoor",
                            "--binaries", binaries, *words], capture_output=True, text=True, check=False)
    assert build.returncode == 0, build.stderr
    cluster.import_image(folder / "images.tar")
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def images(node_cluster, scratch):
    """Gitmoor's images, from the release build, in the node."""
    build_and_import(node_cluster, scratch / "images", paths.gitmoor_bin())


@pytest.fixture(scope="session")
def previous_chart(node_cluster, scratch):
    """The package of the chart before; its images are in the node, tagged previous.TAG."""
    build_and_import(node_cluster, scratch / "previous-images", previous.binaries(), "--tag", previous.TAG)
    return previous.chart(scratch)


@pytest.fixture(scope="session")
def install(node_cluster, images):
    """with install("split") as installation: Gitmoor by Helm, one at a time; uninstalled afterwards."""
    @contextlib.contextmanager
    def installed(topology, chart=CHART, release="gitmoor", home=NAMESPACE, **values):
        installation = Installation(node_cluster, topology, chart, release, home)
        node_cluster.installation = installation
        hooks = ["--no-hooks"]  # which need what failed to come up
        try:
            yield installation.install(**values)
            hooks = []
        finally:
            installation.helm("uninstall", release, "--ignore-not-found", "--wait", "--timeout=120s", *hooks)
            if hooks:
                node_cluster.kubectl("delete", *(f"{resource}/gitmoor-admission" for resource in WEBHOOKS), "--ignore-not-found")
            node_cluster.kubectl("delete", "namespace", home, "--ignore-not-found", "--timeout=60s")
            node_cluster.installation = None

    return installed


@pytest.fixture(scope="session")
def git_server(node_cluster, scratch):
    """A Git server over HTTPS, where Pods reach it."""
    server = GitServer(scratch / "git", address=node_cluster.address).start()
    yield server
    server.stop()


@pytest.fixture
def repository(git_server, tmp_path):
    """A fresh repository with a working copy."""
    return Repository.create(git_server, tmp_path, f"r-{secrets.token_hex(3)}")


@pytest.fixture
def moored(node_cluster, namespace):
    """moored(repository, name=…, path=…, **spec) -> Mooring, made and, after the test, removed."""
    made = []

    def make(repository, **options):
        made.append(Mooring(node_cluster, namespace, repository, **options).make())
        return made[-1]

    yield make
    for mooring in made:
        mooring.remove()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows Gitmoor's Pods and the ends of their logs."""
    outcome = yield
    report = outcome.get_result()
    cluster = getattr(item, "funcargs", {}).get("node_cluster")
    if report.when == "call" and report.failed and cluster is not None and getattr(cluster, "installation", None):
        report.sections.append(("Gitmoor in the cluster", cluster.installation.describe()))
