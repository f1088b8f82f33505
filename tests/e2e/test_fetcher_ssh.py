"""Git over SSH with a deploy key: what the worker fetches, and what it says when it cannot."""
import json
import os
import subprocess
import time

import pytest

from harness.waiting import wait_for
from sshserver import SshServer
from test_fetcher import fetched, moor  # noqa: F401
from test_fetcher_worker import MIB, Worker, refused, worker  # noqa: F401


def new_key(folder, name, kind="ed25519", passphrase=""):
    file = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", name, "-f", file], check=True)
    return file


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ssh")
    return {"deploy": new_key(folder, "deploy"), "rsa": new_key(folder, "rsa", "rsa"), "ecdsa": new_key(folder, "ecdsa", "ecdsa"),
            "stranger": new_key(folder, "stranger"), "locked": new_key(folder, "locked", passphrase="word")}


@pytest.fixture(scope="module")
def ssh(git_server, keys):
    server = SshServer(git_server.root).start()
    for name in ("deploy", "rsa", "ecdsa", "locked"):
        server.authorize(keys[name].with_suffix(".pub"))
    yield server
    server.stop()


@pytest.fixture
def fetch(worker, ssh, keys, repository):  # noqa: F811
    """fetch(key=NAME, **fields of the request): a fetch of `repository` over SSH."""
    def run(key="deploy", name=None, **fields):
        fields = {"identity": keys[key].read_text(), "knownHosts": ssh.known_hosts(), "authorities": None, **fields}
        return worker.fetch(fields.pop("url", ssh.url(name or repository.folder.name)), **fields)
    return run


@pytest.mark.parametrize("key", ["deploy", "rsa", "ecdsa"])
def test_a_deploy_key_of_each_kind_fetches(fetch, repository, ssh, key):
    commit = repository.commit({"a.yaml": "a: 1\n", "big.bin": os.urandom(MIB)})
    answer = fetch(key)
    assert answer["ok"] and answer["commit"] == commit, answer
    assert answer["receivedBytes"] > MIB and ssh.users[-1] == "git"


def test_only_what_is_new_is_fetched_over_ssh_too(fetch, repository):
    repository.commit({"big.bin": os.urandom(MIB)})
    assert fetch()["ok"]
    commit = repository.commit({"small": "1"})
    answer = fetch()
    assert answer["commit"] == commit and 0 < answer["receivedBytes"] < 10000 and not answer["cloned"]
    assert fetch()["receivedBytes"] == 0


def test_the_user_is_git_unless_the_url_names_another(fetch, repository, ssh):
    repository.commit({"a": "1"})
    assert fetch(url=ssh.url(repository.folder.name, user=""))["ok"]
    refused(fetch(url=ssh.url(repository.folder.name, user="root@")), "AuthenticationFailed")


def test_a_key_that_the_server_does_not_know(fetch, repository):
    repository.commit({"a": "1"})
    refused(fetch("stranger"), "AuthenticationFailed", "public key of identity")


def test_a_server_whose_key_is_not_known_is_not_trusted(fetch, repository, ssh):
    repository.commit({"a": "1"})
    before = len(ssh.commands)
    refused(fetch(knownHosts="example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA==\n"), "HostKeyInvalid", "ssh-keyscan")
    refused(fetch(knownHosts=ssh.known_hosts("other")), "HostKeyInvalid", "known_hosts")
    assert len(ssh.commands) == before, "nothing was asked of it"


def test_a_server_whose_key_has_changed_is_not_trusted(fetch, repository, ssh):
    repository.commit({"a": "1"})
    known = ssh.known_hosts()
    ssh.use_host_key("other")
    try:
        refused(fetch(knownHosts=known), "HostKeyInvalid")
    finally:
        ssh.use_host_key("good")


@pytest.mark.parametrize("fields, reason, word", [
    ({"identity": None}, "SecretInvalid", "identity"),
    ({"knownHosts": None}, "SecretInvalid", "known_hosts"),
    ({"identity": "not a key\n"}, "SecretInvalid", "ssh-keygen"),
    ({"identity": "-----BEGIN OPENSSH PRIVATE KEY-----\nYQ==\n-----END OPENSSH PRIVATE KEY-----\n"}, "SecretInvalid", "identity"),
    ({"name": "nowhere"}, "RepositoryNotFound", "spec.url"),
    ({"url": "ssh://git@127.0.0.1:1/a.git"}, "Unreachable", "network"),
    ({"url": "ssh://git:word@127.0.0.1/a.git"}, "UnsupportedURL", "password"),
    ({"url": "ssh://-oProxyCommand=touch/a.git"}, "UnsupportedURL", "ssh://"),
    ({"url": "ssh://127.0.0.1/a.git'; touch x;'"}, "UnsupportedURL", "quotes"),
])
def test_what_cannot_work_is_told_clearly(fetch, repository, keys, fields, reason, word):
    repository.commit({"a": "1"})
    message = refused(fetch(**fields), reason, word)
    assert "word@" not in message and keys["deploy"].read_text()[100:140] not in message


def test_a_key_with_a_passphrase_is_refused_and_not_asked_for(fetch, repository):
    repository.commit({"a": "1"})
    refused(fetch("locked"), "SecretInvalid", "passphrase")


def test_a_server_that_hangs_is_left_at_the_deadline(fetch, repository, ssh):
    repository.commit({"a": "1"})
    ssh.hang = True
    try:
        began = time.monotonic()
        refused(fetch(timeoutMs=2000), "Timeout", "spec.timeout")
        assert time.monotonic() - began < 30
    finally:
        ssh.hang = False


def test_no_key_is_left_on_the_disk(fetch, repository, keys, worker):  # noqa: F811
    repository.commit({"a": "1"})
    assert fetch()["ok"]
    secret = keys["deploy"].read_bytes().splitlines()[1]
    assert not [file for file in worker.mirror.rglob("*") if file.is_file() and secret in file.read_bytes()]


def test_a_repository_over_ssh_becomes_ready(api, namespace, fetched, repository, ssh, keys):  # noqa: F811
    commit = repository.commit({"a": "1"})
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deploy", "namespace": namespace},
               "stringData": {"identity": keys["deploy"].read_text(), "known_hosts": ssh.known_hosts()}})
    repo = fetched
    repo.apply({"url": ssh.url(repository.folder.name), "secretRef": {"name": "deploy"}, "interval": "1h"})
    repo.wait_revision(f"main@sha1:{commit}")
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deploy", "namespace": namespace},
               "stringData": {"identity": keys["stranger"].read_text()}})
    repo.patch({"metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": "now"}}})
    assert "public key" in repo.wait_failed("AuthenticationFailed")["message"]
    assert wait_for(lambda: repo.events("AuthenticationFailed"), what="an Event")
    assert json.dumps(repo.get()["status"]).count(commit) >= 1, "what was fetched before stays"
