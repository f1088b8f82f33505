"""The fetcher's worker alone, against a real Git server over HTTPS: what it fetches, and what it says when it cannot."""
import json
import os
import subprocess
import time

import pytest

from connectproxy import ConnectProxy
from harness import paths
from harness.certs import Authority
from harness.httpserver import Handler, Server
from harness.waiting import allowance

MIB = 1 << 20


class Worker:
    """ask(operation, …) runs `gitmoor-fetcher worker` once and returns (answer, pack)."""

    def __init__(self, folder, ca_file):
        self.mirror = folder / "mirror.git"
        self.mirror.mkdir()
        self.authorities = ca_file.read_text()

    def ask(self, operation, **fields):
        request = {"operation": operation, "directory": str(self.mirror), **fields}
        done = subprocess.run([paths.gitmoor_bin() / "gitmoor-fetcher", "worker"], input=json.dumps(request).encode(),
                              capture_output=True, check=False, timeout=120, env={"PATH": "/usr/bin:/bin"})
        assert done.returncode == 0, done.stderr.decode()
        pack, _, line = done.stdout.removesuffix(b"\n").rpartition(b"\n")
        return json.loads(line), pack

    def fetch(self, url, **fields):
        fields = {"authorities": self.authorities, "sizeMaximum": 100 * MIB, "timeoutMs": 60000, **fields}
        return self.ask("fetch", url=url, **{key: value for key, value in fields.items() if value is not None})[0]

    def pack(self, want, have=(), maximum=100 * MIB):
        return self.ask("pack", want=want, have=list(have), sizeMaximum=maximum)


@pytest.fixture
def worker(tmp_path, git_server):
    return Worker(tmp_path, git_server.ca_file)


def refused(answer, reason, *words):
    assert not answer["ok"], answer
    assert answer["reason"] == reason, answer
    for word in words:
        assert word in answer["message"], answer
    return answer["message"]


# ---- What it fetches ----

def test_the_default_branch_is_the_one_that_head_names(worker, repository):
    commit = repository.commit({"a.yaml": "a: 1\n"})
    answer = worker.fetch(repository.url)
    assert answer["ok"] and answer["commit"] == commit, answer
    assert answer["revision"] == f"main@sha1:{commit}"
    assert answer["cloned"] and not answer["forced"]


def test_only_what_is_new_is_fetched(worker, repository):
    repository.commit({"big.bin": os.urandom(3 * MIB)})
    assert worker.fetch(repository.url)["receivedBytes"] > 3 * MIB
    commit = repository.commit({"small.yaml": "a: 1\n"})
    answer = worker.fetch(repository.url)
    assert answer["commit"] == commit and not answer["cloned"]
    assert 0 < answer["receivedBytes"] < 10000


def test_nothing_is_fetched_when_nothing_is_new(worker, repository, git_server):
    repository.commit({"a": "1"})
    worker.fetch(repository.url)
    before = len(git_server.asked(repository.folder.name))
    assert worker.fetch(repository.url)["ok"]
    asked = git_server.asked(repository.folder.name)[before:]
    assert asked and not any("POST" in request for request in asked), asked


def test_a_fetch_is_one_connection(worker, repository, git_server):
    connections = git_server.connections[repository.folder.name]
    for generation in range(2):
        repository.commit({"a": f"{generation}"})
        before = len(connections)
        assert worker.fetch(repository.url)["receivedBytes"] > 0
        assert len(connections) - before == 1, "the list of references and the pack by one connection"


def test_a_branch_a_tag_an_annotated_tag_and_a_commit(worker, repository):
    first = repository.commit({"a": "1"})
    repository.git("tag", "light")
    repository.git("tag", "-a", "heavy", "-m", "heavy")
    second = repository.commit({"a": "2"})
    repository.git("push", "-q", "origin", "--tags", "HEAD:refs/heads/feature/x")
    assert worker.fetch(repository.url, branch="feature/x")["revision"] == f"feature/x@sha1:{second}"
    assert worker.fetch(repository.url, tag="light")["revision"] == f"light@sha1:{first}"
    assert worker.fetch(repository.url, tag="heavy")["revision"] == f"heavy@sha1:{first}"
    assert worker.fetch(repository.url, commit=first)["revision"] == f"sha1:{first}"
    assert worker.fetch(repository.url, branch="main", commit=first)["revision"] == f"main@sha1:{first}"
    assert worker.fetch(repository.url, tag="heavy", commit=first)["revision"] == f"heavy@sha1:{first}"


def test_the_highest_tag_in_a_range(worker, repository):
    commits = {}
    for version in ("v1.2.0", "v1.10.0", "1.9.9", "v2.0.0-rc.1", "20260101", "nightly"):
        commits[version] = repository.commit({"a": version}, push=False)
        repository.git("tag", *(["-a", "-m", version] if version == "v1.10.0" else []), version)
    repository.git("push", "-q", "origin", "--tags", "HEAD:refs/heads/main")

    def at(version):
        return f"{version}@sha1:{commits[version]}"

    assert worker.fetch(repository.url, semver="^1.2")["revision"] == at("v1.10.0"), "numbers, not text; an annotated tag"
    assert worker.fetch(repository.url, semver=">=1.3 <1.10 || ~4.0")["revision"] == at("1.9.9")
    assert worker.fetch(repository.url, semver="*")["revision"] == at("v1.10.0"), "neither pre-releases nor what is no version"
    assert worker.fetch(repository.url, semver=">=2.0.0-0")["revision"] == at("v2.0.0-rc.1")
    previous = at("v2.0.0-rc.1")
    assert not worker.fetch(repository.url, semver="1.x", previous=previous)["forced"], "a lower tag is no rewritten branch"
    refused(worker.fetch(repository.url, semver="1.2.1"), "TagNotFound", '"1.2.1"', "It has v2.0.0-rc.1, v1.10.0, 1.9.9, v1.2.0")
    refused(worker.fetch(repository.url, semver="latest"), "InvalidSpec", "spec.ref.semver", '"latest"')


def test_a_reference_by_its_full_name(worker, repository):
    first = repository.commit({"a": "1"})
    second = repository.commit({"a": "2"}, push=False)
    repository.git("tag", "-a", "heavy", "-m", "heavy")
    repository.git("push", "-q", "origin", "--tags", "HEAD:refs/pull/1/head")
    assert worker.fetch(repository.url, name="refs/pull/1/head")["revision"] == f"refs/pull/1/head@sha1:{second}"
    assert worker.fetch(repository.url, name="refs/heads/main")["revision"] == f"refs/heads/main@sha1:{first}"
    assert worker.fetch(repository.url, name="refs/tags/heavy")["revision"] == f"refs/tags/heavy@sha1:{second}"
    assert worker.fetch(repository.url, name="refs/pull/1/head", commit=first)["commit"] == first
    rewritten = repository.rewrite({"a": "3"})
    repository.git("push", "-q", "--force", "origin", "HEAD:refs/pull/1/head")
    answer = worker.fetch(repository.url, name="refs/pull/1/head", previous=f"refs/pull/1/head@sha1:{second}")
    assert answer["commit"] == rewritten and answer["forced"], answer
    refused(worker.fetch(repository.url, name="refs/pull/2/head"), "ReferenceNotFound", "refs/pull/2/head", repository.url)
    for name in ("main", "refs/heads/*", "refs/heads/a:refs/heads/b", "HEAD", "refs/../x"):
        refused(worker.fetch(repository.url, name=name), "InvalidSpec", "spec.ref.name")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_commit_alone_is_found_whether_or_not_the_server_hands_commits_out_by_name(worker, repository, git_server,
                                                                                  allowed):
    first = repository.commit({"a": "1"})
    repository.commit({"a": "2"})
    bare = git_server.create(repository.folder.name)
    subprocess.run(["git", "-C", bare, "config", "uploadpack.allowReachableSHA1InWant", str(allowed).lower()], check=True)
    answer = worker.fetch(repository.url, commit=first)
    assert answer["ok"] and answer["commit"] == first, answer
    before = git_server.asked(repository.folder.name)
    assert before, "it was fetched from here"
    assert worker.fetch(repository.url, commit=first)["ok"]
    assert git_server.asked(repository.folder.name) == before, "a commit that is here needs no request"
    refused(worker.fetch(repository.url, commit="1" * 40), "CommitNotFound", "1" * 40, repository.url)


def test_a_forced_push_is_followed_and_told(worker, repository):
    repository.commit({"a": "1"})
    before = repository.commit({"a": "2"})
    worker.fetch(repository.url)
    after = repository.rewrite({"a": "3"})
    answer = worker.fetch(repository.url, previous=f"main@sha1:{before}")
    assert answer["commit"] == after and answer["forced"], answer
    ordinary = repository.commit({"a": "4"})
    answer = worker.fetch(repository.url, previous=f"main@sha1:{after}")
    assert answer["commit"] == ordinary and not answer["forced"], answer


def test_a_forced_push_is_told_even_when_the_mirror_was_lost(worker, repository):
    repository.commit({"a": "1"})
    before = repository.commit({"a": "2"})
    repository.rewrite({"a": "3"})
    assert worker.fetch(repository.url, previous=f"main@sha1:{before}")["forced"]


def test_another_branch_in_the_spec_is_no_forced_push(worker, repository):
    main = repository.commit({"a": "1"})
    repository.git("checkout", "-q", "--orphan", "other")
    repository.commit({"b": "1"}, push=False)
    repository.push("other")
    worker.fetch(repository.url)
    assert not worker.fetch(repository.url, branch="other", previous=f"main@sha1:{main}")["forced"]


def test_through_a_proxy(worker, repository, git_server):
    commit = repository.commit({"a": "1"})
    proxy = ConnectProxy("robot", "proxy-word").start()
    given = {"proxy": proxy.address, "proxyUsername": "robot", "proxyPassword": "proxy-word"}
    assert worker.fetch(repository.url, **given)["commit"] == commit
    assert set(proxy.targets) == {f"127.0.0.1:{git_server.port}"}
    proxy.stop()


def test_a_client_certificate(worker, repository, git_server):
    """The server does not ask for it here (test_chart_worker.py has one that does); what cannot be one is refused before."""
    repository.commit({"a": "1"})
    refused(worker.fetch(repository.url, certificate="x", key="y"), "SecretInvalid", "tls.crt")
    certificate, key = git_server.authority.issue("client", usage="clientAuth")
    assert worker.fetch(repository.url, certificate=certificate.read_text(), key=key.read_text())["ok"]


def test_basic_and_bearer_credentials(worker, repository, git_server):
    repository.commit({"a": "1"})
    name = repository.folder.name
    git_server.credentials.basic[name] = "user:secret-word"
    assert worker.fetch(repository.url, username="user", password="secret-word")["ok"]
    git_server.credentials.basic.clear()
    git_server.credentials.bearer[name] = "secret-token"
    assert worker.fetch(repository.url, bearerToken="secret-token")["ok"]


def test_fifty_megabytes_are_handed_over_once(worker, repository):
    """test_bad_input.py has 200 of them."""
    repository.without_deltas()
    repository.write({f"blob-{i}": os.urandom(10 * MIB) for i in range(5)})
    commit = repository.commit({"deploy/app.yaml": "a: 1\n"})
    answer = worker.fetch(repository.url)
    assert answer["ok"] and answer["commit"] == commit, answer
    answer, pack = worker.pack(commit)
    assert answer["ok"] and len(pack) > 50 * MIB
    second = repository.commit({"deploy/app.yaml": "a: 2\n"})
    assert worker.fetch(repository.url)["receivedBytes"] < 10000
    answer, pack = worker.pack(second, [commit])
    assert answer["ok"] and len(pack) < 10000


def test_many_small_fetches_do_not_leave_many_packs(worker, repository):
    for i in range(40):
        repository.commit({"a": str(i)})
        assert worker.fetch(repository.url)["ok"]
    packs = list(worker.mirror.glob("objects/pack/*.pack"))
    assert len(packs) <= 33, len(packs)
    subprocess.run(["git", "-C", worker.mirror, "fsck", "--strict"], check=True, capture_output=True)
    answer, _ = worker.pack(repository.head())
    assert answer["ok"]


# ---- What it says when it cannot ----

def test_a_repository_that_does_not_exist(worker, git_server):
    url = git_server.url("nowhere")
    refused(worker.fetch(url), "RepositoryNotFound", url, "Check spec.url")


@pytest.mark.parametrize("fields", [{}, {"username": "user", "password": "wrong-word"}, {"bearerToken": "wrong-word"}])
def test_refused_credentials_are_not_told(worker, repository, git_server, fields):
    repository.commit({"a": "1"})
    git_server.credentials.basic[repository.folder.name] = "user:secret-word"
    message = refused(worker.fetch(repository.url, **fields), "AuthenticationFailed", repository.url, "Secret")
    assert "wrong-word" not in message and "secret-word" not in message


@pytest.mark.parametrize("which", ["wrong-host", "unknown"])
def test_a_broken_certificate(worker, repository, git_server, which):
    repository.commit({"a": "1"})
    git_server.use_certificate(which)
    refused(worker.fetch(repository.url), "CertificateInvalid", repository.url, "ca.crt")


def test_a_certificate_of_an_unknown_authority_without_ca_crt(worker, repository):
    repository.commit({"a": "1"})
    refused(worker.fetch(repository.url, authorities=None), "CertificateInvalid", "ca.crt")


def test_a_ca_crt_that_is_no_certificate(worker, repository):
    refused(worker.fetch(repository.url, authorities="hello"), "SecretInvalid", "ca.crt")


def test_an_empty_repository(worker, repository):
    refused(worker.fetch(repository.url), "EmptyRepository", repository.url, "Push")
    commit = repository.commit({"a": "1"})
    assert worker.fetch(repository.url)["commit"] == commit


def test_names_that_are_not_there(worker, repository):
    first = repository.commit({"a": "1"})
    repository.git("tag", "v1")
    repository.commit({"a": "2"})
    repository.git("push", "-q", "origin", "--tags")
    repository.git("checkout", "-q", "-b", "side")
    side = repository.commit({"b": "1"}, push=False)
    repository.push("side")
    refused(worker.fetch(repository.url, branch="nope"), "BranchNotFound", repository.url, "nope")
    refused(worker.fetch(repository.url, tag="nope"), "TagNotFound", repository.url, "nope")
    refused(worker.fetch(repository.url, branch="main", commit=side), "CommitNotFound", side, "main")
    refused(worker.fetch(repository.url, tag="v1", commit=side), "CommitNotFound", side, first)


@pytest.mark.parametrize("fields", [{"branch": "*"}, {"branch": "a..b"}, {"tag": "v1^{}"}, {"tag": "a:b"}, {"branch": "-"
                                                                                                         " x"}])
def test_names_that_git_does_not_allow(worker, repository, fields):
    repository.commit({"a": "1"})
    refused(worker.fetch(repository.url, **fields), "InvalidSpec")


def test_a_sha256_commit_is_refused_with_its_reason(worker, repository):
    refused(worker.fetch(repository.url, commit="a" * 64), "UnsupportedFormat", "SHA-256")


def test_a_sha256_repository_is_refused_with_its_reason(worker, git_server, tmp_path):
    bare = git_server.root / "sha256.git"
    subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha256", "-b", "main", bare], check=True)
    work = tmp_path / "work"
    subprocess.run(["git", "init", "-q", "--object-format=sha256", "-b", "main", work], check=True)
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run(["git", "-C", work, *who, "commit", "-q", "--allow-empty", "-m", "one"], check=True)
    subprocess.run(["git", "-C", work, "push", "-q", bare, "main"], check=True)
    refused(worker.fetch(git_server.url("sha256")), "UnsupportedFormat", "SHA-1")


@pytest.mark.parametrize("url,words", [("ssh://git@example.org", "ssh://"), ("file:///tmp/a", "--allow-file-urls"),
                                       ("http://example.org/a", "https://"), ("https:///a", "HOST")])
def test_urls_that_are_not_supported(worker, url, words):
    refused(worker.fetch(url), "UnsupportedURL", words)


def test_a_url_with_a_password_is_refused_without_telling_it(worker):
    message = refused(worker.fetch("https://user:secret-word@example.org/a.git"), "UnsupportedURL", "Secret")
    assert "secret-word" not in message


def test_a_server_that_is_not_there(worker):
    refused(worker.fetch("https://127.0.0.1:1/a.git"), "Unreachable", "https://127.0.0.1:1/a.git")


@pytest.mark.parametrize("status, reason", [(429, "TooManyRequests"), (500, "Unreachable"), (503, "Unreachable")])
def test_a_server_in_trouble(worker, repository, git_server, status, reason):
    repository.commit({"a": "1"})
    git_server.faults.status = status
    refused(worker.fetch(repository.url), reason, str(status))


def test_a_connection_that_breaks_in_the_pack(worker, repository, git_server):
    commit = repository.commit({"big": os.urandom(2 * MIB)})
    git_server.faults.drop_after, git_server.faults.only = MIB, "git-upload-pack"
    git_server.faults.only = repository.folder.name + ".git/git-upload-pack"
    refused(worker.fetch(repository.url), "Unreachable", repository.url)
    git_server.faults.reset()
    assert worker.fetch(repository.url)["commit"] == commit


def test_a_server_that_is_slower_than_the_timeout(worker, repository, git_server):
    repository.commit({"a": "1"})
    git_server.faults.delay = 90
    began = time.monotonic()
    refused(worker.fetch(repository.url, timeoutMs=1000), "Timeout", "spec.timeout")
    assert time.monotonic() - began < 60


def test_a_repository_over_the_limit(worker, repository):
    repository.commit({"big": os.urandom(3 * MIB)})
    refused(worker.fetch(repository.url, sizeMaximum=2 * MIB), "TooLarge", "--max-repository-size")
    assert worker.fetch(repository.url)["ok"]


def test_dead_history_over_the_limit_is_dropped(worker, repository):
    repository.commit({"a": "1"})
    repository.commit({"big": os.urandom(3 * MIB)})
    assert worker.fetch(repository.url, sizeMaximum=4 * MIB)["ok"]
    repository.rewrite({"other": os.urandom(3 * MIB)})
    answer = worker.fetch(repository.url, sizeMaximum=4 * MIB)
    assert answer["ok"] and answer["cloned"], answer


# ---- Redirects ----

class _Redirect(Handler):
    def do_GET(self):
        owner = self.server.owner
        owner.seen.append(self.headers.get("Authorization"))
        self.answer(301, b"", [("Location", owner.target + self.path.replace("/moved", "", 1))])


class Redirector:
    """Answers every request with a redirect to `target` + the request's path without /moved."""

    def __init__(self, folder):
        authority = Authority(folder, "redirector")
        self.ca_file, self.target, self.seen = authority.certificate, None, []
        self.server = Server(self, _Redirect, authority.issue("redirector")).start()
        self.url = self.server.url


@pytest.fixture
def redirector(tmp_path):
    running = Redirector(tmp_path / "pki")
    yield running
    running.server.stop()


def test_a_redirect_to_another_server_is_not_followed(worker, repository, git_server, redirector):
    repository.commit({"a": "1"})
    redirector.target = repository.url.rsplit("/", 1)[0]
    both = worker.authorities + redirector.ca_file.read_text()
    answer = worker.fetch(f"{redirector.url}/moved/{repository.folder.name}.git", authorities=both, username="u",
                          password="secret-word")
    refused(answer, "FetchFailed", "redirects", "spec.url")
    assert redirector.seen and not git_server.asked(repository.folder.name)


def test_a_redirect_loop_on_the_same_server_ends(worker, redirector):
    redirector.target = redirector.url + "/moved"
    answer = worker.fetch(redirector.url + "/moved/a.git", authorities=redirector.ca_file.read_text())
    refused(answer, "FetchFailed", "redirects")
    assert len(redirector.seen) <= 10


# ---- A mirror that is not what it should be ----

def test_what_a_killed_worker_leaves_behind_does_not_hinder_the_next(worker, repository):
    repository.commit({"a": "1"})
    worker.fetch(repository.url)
    for name in ("refs/heads/gitmoor.lock", "HEAD.lock", "config.lock", "objects/pack/pack_git2_aBcDeF",
                 "objects/pack/tmp_pack_x"):
        (worker.mirror / name).write_bytes(b"half")
    commit = repository.commit({"a": "2"})
    assert worker.fetch(repository.url)["commit"] == commit
    assert not list(worker.mirror.rglob("*.lock")) and not list(worker.mirror.rglob("pack_git2*"))


@pytest.mark.parametrize("damage", ["pack", "index", "reference", "head", "config", "strange files"])
def test_a_broken_mirror_is_cloned_anew(worker, repository, damage):
    repository.commit({"a": "1", "big": os.urandom(100000)})
    worker.fetch(repository.url)
    commit = repository.commit({"a": "2"})

    def spoil(pattern, content):
        for file in worker.mirror.glob(pattern):
            file.chmod(0o600)
            file.write_bytes(content)

    if damage == "pack":
        spoil("objects/pack/*.pack", b"PACK but no more")
    elif damage == "index":
        spoil("objects/pack/*.idx", b"")
    elif damage == "reference":
        spoil("refs/heads/gitmoor", b"nonsense\n")
    elif damage == "head":
        (worker.mirror / "HEAD").unlink()
    elif damage == "config":
        spoil("config", b"[[[")
    else:
        for file in worker.mirror.glob("*"):
            if file.is_file():
                file.unlink()
        (worker.mirror / "a").mkdir()
        (worker.mirror / "a" / "b").write_text("c")
    answer = worker.fetch(repository.url)
    assert answer["ok"] and answer["commit"] == commit, answer
    assert worker.pack(commit)[0]["ok"]
    subprocess.run(["git", "-C", worker.mirror, "fsck", "--strict"], check=True, capture_output=True)


def test_a_mirror_of_another_url_is_not_used(worker, make_repository):
    one, two = make_repository(), make_repository()
    commit = one.commit({"a": "1"})
    two.commit({"b": "1"})
    assert worker.fetch(one.url, commit=commit)["ok"]
    refused(worker.fetch(two.url, commit=commit), "CommitNotFound")


def test_a_worker_killed_at_any_moment_leaves_a_mirror_that_works(worker, repository):
    repository.commit({f"f{i}": os.urandom(20000) for i in range(50)})
    for round_ in range(12):
        commit = repository.commit({"a": str(round_)})
        request = {"operation": "fetch", "directory": str(worker.mirror), "url": repository.url, "sizeMaximum": 100 * MIB,
                   "timeoutMs": 10000, "authorities": worker.authorities}
        with subprocess.Popen([paths.gitmoor_bin() / "gitmoor-fetcher", "worker"], stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            child.stdin.write(json.dumps(request).encode())
            child.stdin.close()
            try:
                child.wait(timeout=0.005 * round_)
            except subprocess.TimeoutExpired:
                child.kill()
        answer = worker.fetch(repository.url)
        assert answer["ok"] and answer["commit"] == commit, answer


# ---- The sandbox ----

def test_the_worker_cannot_read_outside_its_mirror(worker, repository, tmp_path):
    """An alternates file pointing outside is what a stranger would plant; the sandbox makes it worthless."""
    commit = repository.commit({"a": "1"})
    worker.fetch(repository.url)
    elsewhere = tmp_path / "elsewhere.git"
    subprocess.run(["git", "clone", "-q", "--bare", repository.push_url, elsewhere], check=True)
    for file in worker.mirror.glob("objects/pack/*"):
        file.unlink()
    (worker.mirror / "objects" / "info").mkdir(exist_ok=True)
    (worker.mirror / "objects" / "info" / "alternates").write_text(f"{elsewhere}/objects\n")
    refused(worker.pack(commit)[0], "BrokenMirror", "Permission denied")


# ---- Packs ----

class Database:
    """A bare repository that holds nothing but the packs it was given, as the differ's does."""

    def __init__(self, folder):
        self.folder = folder
        subprocess.run(["git", "init", "-q", "--bare", folder], check=True)

    def add(self, pack):
        subprocess.run(["git", "-C", self.folder, "index-pack", "--stdin"], input=pack, check=True,
                       capture_output=True)

    def has_all_of(self, commit):
        listed = subprocess.run(["git", "-C", self.folder, "ls-tree", "-r", "-t", commit], capture_output=True, text=True,
                                check=True).stdout
        names = [line.split()[2] for line in listed.splitlines() if line.split()[1] != "commit"]
        checked = subprocess.run(["git", "-C", self.folder, "cat-file", "--batch-check"], input="\n".join(names) + "\n",
                                 capture_output=True, text=True, check=True).stdout
        return bool(names) and "missing" not in checked


def test_a_pack_holds_what_the_haves_lack_and_nothing_else(worker, repository, tmp_path):
    first = repository.commit({"a/b/c.yaml": "1", "a/d.yaml": "1", "e.yaml": "1", "big": os.urandom(MIB)})
    for i in range(5):
        repository.commit({"between": os.urandom(50000)})
    last = repository.commit({"a/b/c.yaml": "2", "new/x": "1", "between": None})
    worker.fetch(repository.url)
    database = Database(tmp_path / "differ.git")
    answer, pack = worker.pack(first)
    assert answer["ok"]
    database.add(pack)
    assert database.has_all_of(first)
    answer, pack = worker.pack(last, [first])
    assert answer["ok"] and len(pack) < 3000, "no history between, no blob that is there"
    database.add(pack)
    assert database.has_all_of(last)


def test_a_pack_for_a_commit_whose_tree_is_there_is_the_commit_alone(worker, repository, tmp_path):
    first = repository.commit({"a": "1"})
    repository.commit({"a": "2"})
    reverted = repository.revert()
    worker.fetch(repository.url)
    database = Database(tmp_path / "differ.git")
    database.add(worker.pack(first)[1])
    _, pack = worker.pack(reverted, [first])
    assert int.from_bytes(pack[8:12], "big") == 1
    database.add(pack)
    assert database.has_all_of(reverted)


def test_moved_and_swapped_directories_unpack(worker, repository, tmp_path):
    first = repository.commit({"x/a/1": "one", "x/a/2": "two", "y/b": "three", "z": "file"})
    repository.git("mv", "x/a", "moved")
    repository.git("rm", "-q", "z")
    second = repository.commit({"z/now/a/directory": "four", "y/copy/1": "one"})
    worker.fetch(repository.url)
    database = Database(tmp_path / "differ.git")
    database.add(worker.pack(first)[1])
    database.add(worker.pack(second, [first])[1])
    assert database.has_all_of(second)


def test_haves_that_the_mirror_does_not_know_are_passed_over(worker, repository, tmp_path):
    commit = repository.commit({"a": "1"})
    worker.fetch(repository.url)
    answer, pack = worker.pack(commit, ["1" * 40, "nonsense", commit[:39] + "g"])
    assert answer["ok"]
    database = Database(tmp_path / "differ.git")
    database.add(pack)
    assert database.has_all_of(commit)


def test_a_submodule_is_not_packed(worker, repository, tmp_path):
    repository.commit({"a": "1"})
    repository.git("update-index", "--add", "--cacheinfo", "160000," + "1" * 40 + ",sub")
    repository.git("commit", "-q", "-m", "submodule")
    repository.push()
    worker.fetch(repository.url)
    answer, pack = worker.pack(repository.head())
    assert answer["ok"]
    database = Database(tmp_path / "differ.git")
    database.add(pack)
    assert database.has_all_of(repository.head())


def test_a_want_that_is_not_there(worker, repository):
    repository.commit({"a": "1"})
    worker.fetch(repository.url)
    refused(worker.pack("1" * 40)[0], "CommitNotFound", "1" * 40)
    refused(worker.pack("nonsense")[0], "CommitNotFound")


def test_a_pack_over_the_limit(worker, repository):
    commit = repository.commit({"big": os.urandom(MIB)})
    worker.fetch(repository.url)
    refused(worker.pack(commit, maximum=1000)[0], "TooLarge", "--max-repository-size")


def test_a_tree_of_sixteen_to_the_sixteenth_paths_is_walked_once(worker, repository):
    """Each level names the level below sixteen times: few objects, endless paths."""
    blob = repository.git("hash-object", "-w", "--stdin", check=True)
    entries = "\n".join(f"100644 blob {blob}\tf{i:02}" for i in range(16))

    def tree(lines):
        done = subprocess.run(["git", "-C", repository.folder, "mktree"], input=lines + "\n", capture_output=True,
                              text=True, check=True)
        return done.stdout.strip()

    level = tree(entries)
    for _ in range(16):
        level = tree("\n".join(f"040000 tree {level}\td{i:02}" for i in range(16)))
    commit = repository.git("commit-tree", "-m", "bomb", level)
    repository.git("push", "-q", "origin", f"{commit}:refs/heads/main")
    answer = worker.fetch(repository.url)
    assert answer["ok"], answer
    began = time.monotonic()
    answer, pack = worker.pack(commit)
    assert answer["ok"] and len(pack) < 10000
    assert time.monotonic() - began < allowance(5)


def test_directories_without_end_are_refused(worker, repository):
    blob = repository.git("hash-object", "-w", "--stdin")
    level, kind = blob, "100644 blob"
    for _ in range(400):
        done = subprocess.run(["git", "-C", repository.folder, "mktree"], input=f"{kind} {level}\td\n",
                              capture_output=True, text=True, check=True)
        level, kind = done.stdout.strip(), "040000 tree"
    commit = repository.git("commit-tree", "-m", "deep", level)
    repository.git("push", "-q", "origin", f"{commit}:refs/heads/main")
    assert worker.fetch(repository.url)["ok"]
    refused(worker.pack(commit)[0], "TooLarge", "256")
