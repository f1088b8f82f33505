"""Fixtures of the end-to-end tests: a real control plane, a real Git server, the four processes."""
import base64
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from chartserver import ChartServer
from gitserver import GitServer
from harness import generators, parallel, paths
from harness.cluster import PROCESSES, Cluster, write_kubeconfig
from harness.health import HealthRules
from harness.moor import Moor
from harness.mooring import Mooring, config_map
from harness.proxy import Proxy
from harness.repository import Repository
from harness.tenancy import Tenancy


def pytest_configure(config):
    """Whoever ends the tests early gets their folders cleaned up too."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("ended by SIGTERM", returncode=143))


def pytest_collection_modifyitems(config, items):
    """In the processes of pytest-xdist; without it, the order of the files' names stays."""
    if hasattr(config, "workerinput"):
        parallel.sort(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return parallel.Scheduling(config, log)


@pytest.fixture(scope="session")
def scratch():
    """A folder with a short name (Unix sockets allow 107 characters), gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="gm-", dir="/tmp"))
    os.environ["KUBECACHEDIR"] = str(folder / "kubectl")  # not what another control plane served at the same port
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


@pytest.fixture(scope="session")
def git_server(scratch):
    """A Git server over HTTPS; its faults are reset after each test by the fixture `repository`."""
    server = GitServer(scratch / "git").start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chart_server(tmp_path_factory):
    """A chart repository over HTTPS; reset() makes it empty and well again."""
    server = ChartServer(tmp_path_factory.mktemp("charts")).start()
    yield server
    server.stop()


@pytest.fixture
def make_repository(git_server, tmp_path):
    """make_repository() -> Repository, as many as a test needs."""
    def make(name=None):
        return Repository.create(git_server, tmp_path, name or f"r-{secrets.token_hex(3)}")
    yield make
    git_server.faults.reset()
    git_server.use_certificate("good")
    git_server.credentials.basic.clear()
    git_server.credentials.bearer.clear()


@pytest.fixture
def repository(make_repository):
    """A fresh repository with a working copy."""
    return make_repository()


@pytest.fixture(scope="session")
def gitmoor(cluster, scratch):
    """The four processes, shared by the tests. A test that kills one must start it again."""
    tenancy, health = Tenancy(scratch / "tenancy"), HealthRules(scratch / "health")
    extra = {**tenancy.extra, "differ": [*tenancy.extra["differ"], *health.flags, "--generators",
                                  generators.write(scratch / "generators.yaml", generators.slow(scratch))]}
    with Moor(cluster, scratch / "moor", extra=extra) as running:
        running.tenancy, running.health = tenancy, health
        tenancy.moor = health.moor = running
        yield running
    statuses = running.stop()
    assert not any(statuses.values()), f"a process did not end cleanly: {statuses}"


@pytest.fixture
def moored(cluster, gitmoor, namespace):
    """moored(repository, name=…, path=…, **spec) -> Mooring, made and, after the test, removed."""
    made = []

    def make(repository, **options):
        made.append(Mooring(cluster, namespace, repository, **options).make())
        return made[-1]

    yield make
    for mooring in made:
        mooring.remove()


@pytest.fixture(scope="session")
def glass(cluster):
    """glass("edit", …): kubectl as a person who may break the glass; glass.gitmoor(…): gitmoor as cluster-admin."""
    cluster.kubectl("create", "clusterrolebinding", "break-glass", "--clusterrole=cluster-admin", "--group=gitmoor:break-glass")

    def run(*arguments):
        return cluster.kubectl("--as=oncall", "--as-group=gitmoor:break-glass", *arguments)

    def gitmoor(*arguments):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60)

    def script(text, word, replace=()):
        """Runs the printed command that has the word in it."""
        line = next(line for line in text.splitlines() if word in line)
        for old, new in replace:
            line = line.replace(old, new)
        program, *arguments = shlex.split(line)
        assert program == "kubectl"
        return subprocess.run([paths.control_plane("kubectl"), *arguments], capture_output=True, text=True, check=True, timeout=60)

    run.gitmoor, run.script = gitmoor, script
    return run


@pytest.fixture(scope="session")
def shaky(scratch, git_server, tmp_path_factory):
    """An application on a cluster of its own, whose API server the four processes reach through a proxy that can misbehave."""
    with Cluster(scratch / "shaky") as cluster:
        proxy = Proxy(cluster).start()
        authority = base64.b64encode(cluster.authority.certificate.read_bytes()).decode()
        folder = scratch / "shaky-kubeconfigs"
        folder.mkdir()
        for user in PROCESSES:
            write_kubeconfig(folder / f"{user}.kubeconfig", proxy.server_url, authority, user, cluster.tokens[user])
        with Moor(cluster, scratch / "shaky-moor", kubeconfig=lambda user: folder / f"{user}.kubeconfig") as moor:
            repository = Repository.create(git_server, tmp_path_factory.mktemp("shaky"), "shaky")
            repository.commit({f"deploy/{n}.yaml": config_map(f"c{n}", step="0") for n in range(5)})
            shop = Mooring(cluster, cluster.new_namespace("shaky"), repository).make()
            shop.proxy, shop.moor, shop.number = proxy, moor, 0
            yield shop
        proxy.stop()


@pytest.fixture
def calm(shaky):
    """The application before and after a fault: next_commit(), and settled() waits until it is in the cluster."""
    def next_commit():
        shaky.number += 1
        shaky.push({f"deploy/{n}.yaml": config_map(f"c{n}", step=str(shaky.number)) for n in range(5)})

    def settled(timeout=60):
        shaky.wait_applied(timeout=timeout)
        assert shaky.live() == {f"c{n}": {"step": str(shaky.number)} for n in range(5)}
        assert all(process.alive() for process in shaky.moor.processes.values()), "recovered without a restart"

    shaky.next_commit, shaky.settled = next_commit, settled
    settled()
    yield shaky
    shaky.proxy.faults.clear()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the ends of the processes' logs."""
    outcome = yield
    report = outcome.get_result()
    used = getattr(item, "funcargs", {})
    running = used["shaky"].moor if "shaky" in used else used.get("gitmoor") or used.get("fleet")
    if report.when == "call" and report.failed and running:
        report.sections.append(("logs of the processes", running.logs(20)))
