"""gitmoor-fetcher as a process: what it writes into status, when it fetches, how it recovers."""
import base64
import json
import os
import time

import pytest

from connectproxy import ConnectProxy
from harness.api import ApiError, condition
from harness.moor import Moor
from harness.process import children
from harness.waiting import allowance, wait_for

REQUESTED = "gitmoor.io/reconcile-requested-at"


@pytest.fixture(scope="module")
def moor(cluster, gitmoor, scratch):
    """The fetcher alone; nobody answers at the differ's address. It takes the place of the one that all tests share, which would
    fetch the same repositories and write the same statuses."""
    gitmoor.processes["fetcher"].stop()
    running = Moor(cluster, scratch / "fetcher", extra={"fetcher": ["--max-repository-size", "64Mi"]})
    running.start(only=("fetcher",))
    yield running
    assert running.stop() == {"fetcher": 0}
    gitmoor.start_one("fetcher")


class Repo:
    """A GitRepository object of one test."""

    def __init__(self, api, namespace, name="shop"):
        self.api, self.namespace, self.name = api, namespace, name

    def apply(self, spec):
        return self.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": "GitRepository",
                               "metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec})

    def patch(self, body):
        return self.api.patch("GitRepository", self.namespace, self.name, body)

    def get(self):
        return self.api.get("GitRepository", self.namespace, self.name)

    def condition(self, kind):
        return condition(self.get(), kind) or {}

    def wait_revision(self, revision, timeout=30):
        def there():
            found = self.get()
            ready = condition(found, "Ready") or {}
            return found if (ready.get("status") == "True" and found["status"].get("revision") == revision
                             and found["status"].get("observedGeneration") == found["metadata"]["generation"]) else None
        return wait_for(there, timeout, what=f"{self.name} Ready at {revision}, is {self.get().get('status')}")

    def wait_failed(self, reason, timeout=30):
        def there():
            ready = self.condition("Ready")
            return ready if ready.get("status") == "False" and ready.get("reason") == reason else None
        return wait_for(there, timeout, what=f"{self.name} Ready=False {reason}")

    def events(self, reason):
        return [event for event in self.api.events(self.namespace, self.name) if event[1] == reason]


@pytest.fixture
def secret(api, namespace):
    """secret(**text values) writes the Secret git-credentials of the namespace."""
    def write(**values):
        data = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in values.items()}
        api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "git", "namespace": namespace}, "data": data})
    return write


@pytest.fixture
def fetched(api, namespace, moor):  # noqa: ARG001
    """A GitRepository without a Secret. After the test the namespace's are removed, or each fetcher would go on asking for them."""
    yield Repo(api, namespace)
    for left in api.list("GitRepository", namespace):
        api.delete("GitRepository", namespace, left["metadata"]["name"])


@pytest.fixture
def repo(fetched, repository, secret):
    """A GitRepository whose Secret trusts the Git server."""
    secret(ca_crt=repository.ca_file.read_text())
    return fetched


def spec(repository, **more):
    return {"url": repository.url, "secretRef": {"name": "git"}, "interval": "1h", **more}


def test_a_commit_becomes_the_revision_of_the_status(repo, repository):
    repository.commit({"a.yaml": "a: 1\n"})
    repo.apply(spec(repository))
    found = repo.wait_revision(repository.revision())
    kinds = {item["type"] for item in found["status"]["conditions"]}
    assert kinds == {"Ready"}, "Reconciling and Stalled are there only while they are true"
    assert condition(found, "Ready")["reason"] == "Succeeded"
    assert wait_for(lambda: repo.events("NewRevision"), what="an Event")[0][0] == "Normal"


def test_kubectl_wait_sees_ready(repo, repository, kubectl):
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    kubectl("-n", repo.namespace, "wait", "--for=condition=Ready", "gitrepository/shop", "--timeout=120s")


def test_a_new_commit_is_found_by_interval(repo, repository):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, interval="1s"))
    repo.wait_revision(repository.revision())
    repository.commit({"a": "2"})
    repo.wait_revision(repository.revision(), timeout=10)


def test_a_new_commit_is_found_at_once_by_annotation(repo, repository):
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    repo.wait_revision(repository.revision())
    repository.commit({"a": "2"})
    began = time.monotonic()
    repo.patch({"metadata": {"annotations": {REQUESTED: "now-1"}}})
    found = repo.wait_revision(repository.revision(), timeout=10)
    assert time.monotonic() - began < allowance(3)
    assert found["status"]["lastHandledReconcileAt"] == "now-1"


def test_a_steady_state_writes_nothing(repo, repository, git_server):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, interval="1s"))
    before = repo.wait_revision(repository.revision())["metadata"]["resourceVersion"]
    asked = len(git_server.asked(repository.folder.name))
    wait_for(lambda: len(git_server.asked(repository.folder.name)) >= asked + 3, what="three fetches")
    assert repo.get()["metadata"]["resourceVersion"] == before


def test_a_forced_push_is_followed_and_told(repo, repository):
    repository.commit({"a": "1"})
    repository.commit({"a": "2"})
    repo.apply(spec(repository, interval="1s"))
    repo.wait_revision(repository.revision())
    repository.rewrite({"a": "3"})
    repo.wait_revision(repository.revision(), timeout=10)
    assert "rewritten" in wait_for(lambda: repo.events("ForcedPush"), what="an Event")[0][2]


def test_another_url_is_no_forced_push(repo, repository, make_repository):
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    repo.wait_revision(repository.revision())
    other = make_repository()
    other.commit({"b": "1"})
    repo.apply(spec(other))
    repo.wait_revision(other.revision())
    wait_for(lambda: len(repo.events("NewRevision")) == 2, what="an Event for each")
    assert not repo.events("ForcedPush")


def test_failures_are_told_once_clearly_and_recover_without_a_restart(repo, repository):
    repo.apply(spec(repository, interval="2s"))
    ready = repo.wait_failed("EmptyRepository")
    assert repository.url in ready["message"]
    assert repo.condition("Reconciling")["reason"] == "Retrying"
    assert wait_for(lambda: repo.events("EmptyRepository"), what="an Event")[0][0] == "Warning"
    repository.commit({"a": "1"})
    found = repo.wait_revision(repository.revision(), timeout=10)
    assert not condition(found, "Reconciling")


def test_a_branch_that_comes_later(repo, repository):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, ref={"branch": "later"}, interval="2s"))
    repo.wait_failed("BranchNotFound")
    repository.push("later")
    repo.wait_revision(repository.revision("later"), timeout=10)


def test_a_change_of_the_spec_is_dealt_with_at_once(repo, repository):
    first = repository.commit({"a": "1"})
    repository.git("tag", "v1")
    repository.commit({"a": "2"})
    repository.git("push", "-q", "origin", "--tags")
    repo.apply(spec(repository))
    repo.wait_revision(repository.revision())
    repo.apply(spec(repository, ref={"tag": "v1"}))
    repo.wait_revision(f"v1@sha1:{first}", timeout=10)


def test_credentials_that_are_refused_then_corrected(repo, repository, git_server, secret):
    repository.commit({"a": "1"})
    git_server.credentials.basic[repository.folder.name] = "user:right-word"
    ca = repository.ca_file.read_text()
    secret(ca_crt=ca, username="user", password="wrong-word\n")
    repo.apply(spec(repository))
    ready = repo.wait_failed("AuthenticationFailed")
    assert "wrong-word" not in json.dumps(repo.get()["status"])
    assert "wrong-word" not in json.dumps(repo.api.events(repo.namespace))
    assert "Secret" in ready["message"]
    secret(ca_crt=ca, username="user", password="right-word\n")
    repo.patch({"metadata": {"annotations": {REQUESTED: "corrected"}}})
    repo.wait_revision(repository.revision(), timeout=10)


def test_a_proxy_of_a_secret(repo, repository, api):
    repository.commit({"a": "1"})
    proxy = ConnectProxy("robot", "proxy-word").start()

    def secret(**values):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "proxy", "namespace": repo.namespace}, "data": data})

    secret(username="robot", password="proxy-word")
    repo.apply(spec(repository, proxySecretRef={"name": "proxy"}, interval="2s"))
    assert "address" in repo.wait_failed("SecretInvalid")["message"]
    secret(address=proxy.address, username="robot", password="proxy-word\n")
    repo.wait_revision(repository.revision())
    assert proxy.targets
    repo.patch({"spec": {"suspend": True}})
    proxy.stop()


def test_a_secret_that_does_not_exist_yet(repo, repository, api):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, secretRef={"name": "missing"}, interval="2s"))
    ready = repo.wait_failed("SecretInvalid")
    assert f"{repo.namespace}/missing" in ready["message"]
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "missing", "namespace": repo.namespace},
               "stringData": {"ca.crt": repository.ca_file.read_text()}})
    repo.wait_revision(repository.revision(), timeout=10)


@pytest.mark.parametrize("data", [{"other": "x"}, {"bearerToken": "a\nb"}, {"password": "x", "bearerToken": "y"}])
def test_a_secret_that_cannot_be_used(repo, repository, api, data):
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bad", "namespace": repo.namespace},
               "stringData": data})
    repo.apply(spec(repository, secretRef={"name": "bad"}))
    assert f"{repo.namespace}/bad" in repo.wait_failed("SecretInvalid")["message"]


@pytest.mark.parametrize("url,reason", [("ssh://git:secret-word@127.0.0.1/a.git", "UnsupportedURL"),
                                        ("file:///etc", "UnsupportedURL"),
                                        ("https://u:secret-word@127.0.0.1/a.git", "UnsupportedURL")])
def test_a_url_that_cannot_work_is_stalled(repo, url, reason):
    repo.apply({"url": url})
    repo.wait_failed(reason)
    assert repo.condition("Stalled")["status"] == "True"
    assert not repo.condition("Reconciling")
    assert "secret-word" not in json.dumps(repo.get()["status"])


def test_a_duration_that_cannot_be_stops_only_its_own_repository(repo, repository, make_repository, api):
    """Flux CVE-2022-39272: one bad duration stopped a whole kind."""
    repository.commit({"a": "1"})
    repo.apply(spec(repository, interval="99999h"))
    repo.wait_failed("InvalidSpec")
    other = Repo(api, repo.namespace, "other")
    other.apply(spec(repository))
    other.wait_revision(repository.revision())


@pytest.mark.parametrize("field", ["interval", "timeout"])
@pytest.mark.parametrize("duration", ["0s", "0h0m", "999ms", "-1s", "9999999999h"])
def test_a_duration_that_makes_no_sense_is_refused_by_the_api(repo, repository, field, duration):
    with pytest.raises(ApiError) as refused:
        repo.apply(spec(repository, **{field: duration}))
    assert f"spec.{field}" in str(refused.value)
    repo.apply(spec(repository, **{field: "1s"}))


def test_suspend_and_resume(repo, repository, git_server):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, interval="1s", suspend=True))
    wait_for(lambda: repo.get().get("status", {}).get("observedGeneration") == 1, what="seen")
    assert repo.condition("Ready")["reason"] == "Suspended"
    assert not git_server.asked(repository.folder.name)
    repo.apply(spec(repository, interval="1s"))
    repo.wait_revision(repository.revision(), timeout=10)
    repo.apply(spec(repository, interval="1s", suspend=True))
    wait_for(lambda: repo.get()["status"]["observedGeneration"] == 3, what="seen")
    assert repo.condition("Ready")["status"] == "True", "what was fetched stays"


def test_a_server_that_hangs_holds_nobody_else_up(repo, repository, make_repository, git_server, api, secret):
    slow = make_repository()
    repository.commit({"a": "1"})
    slow.commit({"a": "1"})
    git_server.faults.delay, git_server.faults.only = 60, slow.folder.name
    hanging = [Repo(api, repo.namespace, f"slow-{i}") for i in range(3)]
    for each in hanging:
        each.apply(spec(slow, timeout="2s"))
    repo.apply(spec(repository))
    repo.wait_revision(repository.revision(), timeout=10)
    for each in hanging:
        each.wait_failed("Timeout", timeout=15)


def test_a_repository_over_the_limit_is_refused(repo, repository):
    repository.without_deltas()
    repository.commit({f"big-{i}": os.urandom(8 << 20) for i in range(9)})
    repo.apply(spec(repository))
    ready = repo.wait_failed("TooLarge", timeout=60)
    assert "--max-repository-size" in ready["message"]


def test_deleting_the_object_removes_the_mirror(repo, repository, moor):
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    found = repo.wait_revision(repository.revision())
    mirror = moor.folder / "data" / "fetcher" / f"{found['metadata']['uid']}.git"
    assert mirror.is_dir()
    repo.api.delete("GitRepository", repo.namespace, repo.name)
    wait_for(lambda: not mirror.exists(), what="the mirror gone")


def test_killed_at_any_time_it_converges(repo, repository, moor):
    for round_ in range(5):
        repository.commit({"a": str(round_)})
        if round_ == 0:
            repo.apply(spec(repository, interval="1s"))
        time.sleep(0.02 * round_)  # the moment of the kill, not a wait
        moor.kill("fetcher")
        repository.commit({"b": str(round_)})
        moor.start_one("fetcher")
        repo.wait_revision(repository.revision(), timeout=15)


def test_a_mirror_whose_object_went_while_it_was_down_is_removed(repo, repository, moor):
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    found = repo.wait_revision(repository.revision())
    mirror = moor.folder / "data" / "fetcher" / f"{found['metadata']['uid']}.git"
    moor.processes["fetcher"].stop()
    repo.api.delete("GitRepository", repo.namespace, repo.name)
    moor.start_one("fetcher")
    wait_for(lambda: not mirror.exists(), what="the mirror gone")


def test_a_broken_mirror_is_mended(repo, repository, moor):
    repository.commit({"a": "1"})
    repo.apply(spec(repository, interval="1s"))
    found = repo.wait_revision(repository.revision())
    mirror = moor.folder / "data" / "fetcher" / f"{found['metadata']['uid']}.git"
    for file in mirror.glob("objects/pack/*"):
        file.chmod(0o600)
        file.write_bytes(b"broken")
    repository.commit({"a": "2"})
    repo.wait_revision(repository.revision(), timeout=10)


def test_no_worker_is_left_when_it_stops(repo, repository, moor, git_server):
    repository.commit({"a": "1"})
    git_server.faults.delay = 60
    repo.apply(spec(repository))
    process = moor.processes["fetcher"]
    workers = wait_for(lambda: children(process.pid), what="a worker")
    began = time.monotonic()
    assert process.stop() == 0
    assert time.monotonic() - began < allowance(5)
    wait_for(lambda: not any(_alive(pid) for pid in workers), what="the workers gone")
    git_server.faults.reset()
    moor.start_one("fetcher")
    repo.wait_revision(repository.revision())


def _alive(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_metrics_count_by_result(repo, repository, moor):
    before = moor.metric("fetcher", "gitmoor_fetcher_fetches_total", 'result="Succeeded"')
    repository.commit({"a": "1"})
    repo.apply(spec(repository))
    repo.wait_revision(repository.revision())
    assert moor.metric("fetcher", "gitmoor_fetcher_fetches_total", 'result="Succeeded"') > before
    assert moor.metric("fetcher", "gitmoor_fetcher_repositories") >= 1
