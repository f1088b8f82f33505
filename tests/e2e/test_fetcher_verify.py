"""spec.verify of a GitRepository: a commit or tag that is not signed by one of the keys is never announced."""
import base64
import os
import shutil
import subprocess
import tempfile

import pytest

from harness.api import condition
from harness.waiting import wait_for
from test_fetcher import fetched, moor, spec  # noqa: F401
from test_fetcher_worker import refused, worker  # noqa: F401

PGP = "ops@example.org"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """SSH keys `mine` and `other`, and the OpenPGP key of PGP: name → (arguments of git to sign with it, public key)."""
    folder = tmp_path_factory.mktemp("keys")
    made = {}
    for name in ("mine", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
        made[name] = (["-c", "gpg.format=ssh", "-c", f"user.signingkey={folder / name}"], (folder / f"{name}.pub").read_bytes())
    home = tempfile.mkdtemp(prefix="gm-gpg-", dir="/tmp")  # a short name, for the agent's socket
    os.environ["GNUPGHOME"] = home
    subprocess.run(["gpg", "--batch", "-q", "--passphrase", "", "--quick-gen-key", PGP, "ed25519", "sign"], check=True,
                   capture_output=True)
    public = subprocess.run(["gpg", "--batch", "--export", PGP], check=True, capture_output=True).stdout
    made["pgp"] = (["-c", "gpg.format=openpgp", "-c", f"user.signingkey={PGP}"], public)
    yield made
    subprocess.run(["gpgconf", "--kill", "all"], check=False, capture_output=True)
    del os.environ["GNUPGHOME"]
    shutil.rmtree(home, ignore_errors=True)


def commit(repository, keys, signer, tag=None, tag_signer=None):
    """A commit signed by `signer` (None: unsigned), and an annotated tag of it."""
    with_key = keys[signer][0] if signer else []
    repository.git(*with_key, "commit", "-q", "--allow-empty", "-m", "c", *(["-S"] if signer else []))
    if tag:
        with_key = keys[tag_signer][0] if tag_signer else []
        repository.git(*with_key, "tag", "-f", "-s" if tag_signer else "-a", "-m", "t", tag)
        repository.git("push", "-q", "--force", "origin", tag)
    repository.push()
    return repository.head()


def demand(keys, *names, head=True, tag=False):
    files = {f"{name}.pub": base64.b64encode(keys[name][1]).decode() for name in names}
    return {"verifyHead": head, "verifyTag": tag, "keys": files}


@pytest.mark.parametrize("signer, words", [("mine", "SSH key SHA256:"), ("pgp", PGP)])
def test_a_commit_signed_by_a_key_is_taken(worker, repository, keys, signer, words):  # noqa: F811
    commit(repository, keys, signer)
    answer = worker.fetch(repository.url, **demand(keys, "mine", "pgp"))
    assert answer["ok"] and words in answer["signer"], answer
    assert not list(worker.mirror.glob("gitmoor-verify-*"))


@pytest.mark.parametrize("signer, accepted, words", [(None, ["mine"], "not signed"), ("other", ["mine", "pgp"], "SHA256"),
                                                     ("pgp", ["mine"], "no OpenPGP key"), ("mine", ["pgp"], "SHA256")])
def test_any_other_commit_is_refused(worker, repository, keys, signer, accepted, words):  # noqa: F811
    head = commit(repository, keys, signer)
    message = refused(worker.fetch(repository.url, **demand(keys, *accepted)), "VerificationFailed", "spec.verify", words)
    assert head in message


# (commit's signer, tag's signer, what is demanded, accepted)
MODES = [("mine", None, "HEAD", True), (None, "mine", "HEAD", False), (None, "mine", "Tag", True), ("mine", None, "Tag", False),
         (None, "pgp", "Tag", True), (None, "other", "Tag", False), ("mine", "pgp", "TagAndHEAD", True),
         ("mine", "other", "TagAndHEAD", False), ("other", "mine", "TagAndHEAD", False)]


@pytest.mark.parametrize("signer, tag_signer, mode, accepted", MODES)
def test_the_mode_says_what_must_be_signed(worker, repository, keys, signer, tag_signer, mode, accepted):  # noqa: F811
    head = commit(repository, keys, signer, "v1", tag_signer)
    answer = worker.fetch(repository.url, tag="v1", **demand(keys, "mine", "pgp", head=mode != "Tag", tag=mode != "HEAD"))
    if accepted:
        assert answer["ok"] and answer["commit"] == head, answer
        again = worker.fetch(repository.url, tag="v1", **demand(keys, "mine", "pgp", head=mode != "Tag", tag=mode != "HEAD"))
        assert again["ok"] and again["receivedBytes"] == 0, again
    else:
        refused(answer, "VerificationFailed")


def test_a_tag_that_is_no_object_cannot_be_signed(worker, repository, keys):  # noqa: F811
    commit(repository, keys, None)
    repository.git("tag", "light")
    repository.git("push", "-q", "origin", "light")
    refused(worker.fetch(repository.url, tag="light", **demand(keys, "mine", head=False, tag=True)), "VerificationFailed",
            "tag light", "not signed")


def test_the_tag_is_fetched_even_where_its_commit_is_here(worker, repository, keys):  # noqa: F811
    commit(repository, keys, "mine", "v1", "mine")
    assert worker.fetch(repository.url)["ok"]
    assert worker.fetch(repository.url, tag="v1", **demand(keys, "mine", head=False, tag=True))["ok"]


def test_keys_that_cannot_be_read_are_told_by_name(worker, repository, keys):  # noqa: F811
    commit(repository, keys, "mine")
    request = demand(keys, "mine")
    request["keys"]["broken.pub"] = base64.b64encode(b"ssh-ed25519 AAAA\n").decode()
    refused(worker.fetch(repository.url, **request), "SecretInvalid", "broken.pub")
    refused(worker.fetch(repository.url, verifyHead=True, keys={}), "VerificationFailed")


def test_the_status_tells_who_signed_and_keeps_the_last_good_revision(api, namespace, repository, fetched, keys):  # noqa: F811
    for name, data in (("git", {"ca.crt": repository.ca_file.read_bytes()}), ("signers", {"mine.pub": keys["mine"][1]})):
        api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
                   "data": {key: base64.b64encode(value).decode() for key, value in data.items()}})
    good = commit(repository, keys, "mine")
    repo = fetched
    repo.apply(spec(repository, interval="1s", verify={"secretRef": {"name": "signers"}}))
    found = repo.wait_revision(f"main@sha1:{good}")
    verified = condition(found, "SourceVerified")
    assert verified["status"] == "True" and "SHA256:" in verified["message"] and good in verified["message"]

    bad = commit(repository, keys, "other")
    assert bad in repo.wait_failed("VerificationFailed")["message"]
    assert repo.condition("SourceVerified")["status"] == "False"
    assert repo.get()["status"]["revision"] == f"main@sha1:{good}"
    assert wait_for(lambda: repo.events("VerificationFailed"), what="an Event")[0][0] == "Warning"

    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signers", "namespace": namespace},
               "data": {"other.pub": base64.b64encode(keys["other"][1]).decode()}})
    repo.wait_revision(f"main@sha1:{bad}")
    repo.apply(spec(repository, interval="1s"))
    wait_for(lambda: not repo.condition("SourceVerified"), what="no SourceVerified without spec.verify")


def test_a_secret_of_signers_that_is_not_there(api, namespace, repository, fetched, keys):  # noqa: F811
    commit(repository, keys, "mine")
    repo = fetched
    repo.apply({"url": repository.url, "verify": {"secretRef": {"name": "nobody"}}})
    assert "spec.verify.secretRef" in repo.wait_failed("SecretInvalid")["message"]
    assert "revision" not in repo.get()["status"]


def test_the_tag_that_a_range_chose_must_be_signed(worker, repository, keys):  # noqa: F811
    signed = commit(repository, keys, None, "v1.2.0", "mine")
    wanted = demand(keys, "mine", head=False, tag=True)
    assert worker.fetch(repository.url, semver="1.x", **wanted)["commit"] == signed
    commit(repository, keys, None, "v1.3.0", "other")
    refused(worker.fetch(repository.url, semver="1.x", **wanted), "VerificationFailed", "tag v1.3.0")
