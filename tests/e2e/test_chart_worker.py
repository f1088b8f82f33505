"""The fetcher's worker alone, with charts of a real repository (made by helm): what it fetches, and what it refuses."""
import json
import os
import subprocess
import tarfile

import pytest

from chartserver import CHART_YAML, ChartServer, basic, pack
from connectproxy import ConnectProxy
from harness.certs import Authority
from test_fetcher_worker import Worker, refused

MIB = 1 << 20
TEMPLATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}}\ndata: {colour: {{ .Values.colour }}}\n"
FILES = {"values.yaml": "colour: blue\n", "templates/a.yaml": TEMPLATE, "crds/.keep": ""}


@pytest.fixture
def charts(chart_server):
    """The repository, empty and well."""
    chart_server.reset()
    return chart_server


class Charts(Worker):
    def fetch(self, url, **fields):
        return super().fetch(url, **{"chart": "web", **fields})

    def files(self, commit):
        listed = subprocess.run(["git", "--git-dir", self.mirror, "ls-tree", "-r", "--name-only", commit], capture_output=True,
                                text=True, check=True, env={**os.environ, "GIT_CONFIG_COUNT": "1",
                                                            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"})
        return listed.stdout.split()


@pytest.fixture
def worker(tmp_path, charts):
    return Charts(tmp_path, charts.ca_file)


def test_the_highest_version_in_the_range_becomes_a_commit(worker, charts):
    for version in ("1.2.0", "1.10.0", "1.9.0", "2.0.0-rc.1"):
        charts.add("web", version, FILES)
    charts.add("other", "9.9.9")
    answer = worker.fetch(charts.url, version="1.x")
    assert answer["ok"] and answer["revision"] == f"1.10.0@sha1:{answer['commit']}", answer
    assert answer["cloned"] and not answer["forced"]
    assert answer["digest"].removeprefix("sha256:") in (charts.folder / "index.yaml").read_text()
    assert set(worker.files(answer["commit"])) == {"Chart.yaml", "crds/.keep", "templates/a.yaml", "values.yaml"}
    assert worker.fetch(charts.url)["revision"].startswith("1.10.0@"), "no pre-release unless the range names one"
    assert worker.fetch(charts.url, version=">1-0")["revision"].startswith("2.0.0-rc.1@")
    assert worker.fetch(charts.url, version="1.2.0")["revision"].startswith("1.2.0@")
    pack_answer, packed = worker.pack(answer["commit"])
    assert pack_answer["ok"] and packed.startswith(b"PACK"), "earlier versions stay for rollbacks"


def test_the_same_chart_makes_the_same_commit_anywhere(worker, charts, tmp_path):
    charts.add("web", "1.0.0", FILES)
    first = worker.fetch(charts.url)
    (tmp_path / "elsewhere").mkdir()
    second = Charts(tmp_path / "elsewhere", charts.ca_file).fetch(charts.url)
    assert first["commit"] == second["commit"]


def test_what_is_here_is_not_downloaded_again(worker, charts):
    charts.add("web", "1.0.0", FILES)
    first = worker.fetch(charts.url)
    charts.requests.clear()
    again = worker.fetch(charts.url, previous=first["revision"])
    assert again["commit"] == first["commit"] and not again["forced"]
    assert [path for path, _ in charts.requests] == ["index.yaml"]


def test_an_index_that_is_unchanged_is_not_sent_again(worker, charts):
    for version in ("1.0.0", "1.1.0"):
        charts.add("web", version, FILES)
    first = worker.fetch(charts.url)
    again = worker.fetch(charts.url, previous=first["revision"])
    assert again["receivedBytes"] == 0 and again["revision"] == first["revision"] and again["digest"] == first["digest"], again
    assert not again["forced"] and not again["cloned"]
    assert worker.fetch(charts.url, version="1.0.0")["revision"].startswith("1.0.0@"), "other wishes are asked anew"
    assert worker.fetch(charts.url)["revision"] == first["revision"]
    refused(worker.fetch(charts.url, digest="sha256:" + "0" * 64), "DigestMismatch")
    charts.add("web", "1.2.0", FILES)
    assert worker.fetch(charts.url)["revision"].startswith("1.2.0@")
    charts.faults["index"] = lambda request: request.answer(304, b"")
    assert worker.fetch(charts.url)["ok"]
    refused(worker.fetch(charts.url, version="^1"), "FetchFailed", "redirects to nothing")


def test_a_version_that_was_replaced_is_followed_and_told_unless_its_digest_is_given(worker, charts):
    digest = charts.add("web", "1.0.0", FILES)
    first = worker.fetch(charts.url, digest=digest)
    assert first["ok"], first
    other = charts.add("web", "1.0.0", {**FILES, "values.yaml": "colour: red\n"})
    message = refused(worker.fetch(charts.url, digest=digest), "DigestMismatch", digest, other)
    assert "stays in force" in message
    second = worker.fetch(charts.url, previous=first["revision"])
    assert second["forced"] and second["digest"] == other and second["commit"] != first["commit"], second


@pytest.mark.parametrize("fields, reason, words", [
    ({"chart": "wbe"}, "ChartNotFound", ["wbe", "It has web"]),
    ({"version": "1.5.1"}, "VersionNotFound", ['"1.5.1"', "1.5.2", "1.5.0"]),
    ({"version": "^3"}, "VersionNotFound", ['"^3"', "2.0.0"]),
    ({"version": "newest"}, "InvalidSpec", ["spec.version", '"newest"']),
    ({"digest": "sha256:12"}, "InvalidSpec", ["spec.digest"]),
    ({"chart": "../web"}, "InvalidSpec", ["spec.chart"]),
])
def test_what_is_not_there_is_told_with_what_is(worker, charts, fields, reason, words):
    charts.write_index({"web": [{"version": version, "urls": ["a.tgz"]} for version in ("1.5.0", "1.5.2", "2.0.0", "1.0.0")]})
    refused(worker.fetch(charts.url, **fields), reason, *words)


def test_credentials_and_a_client_certificate(worker, charts):
    charts.add("web", "1.0.0", FILES)
    charts.credentials = basic("robot", "secret-word")
    assert worker.fetch(charts.url, username="robot", password="secret-word")["ok"]
    assert "secret-word" not in refused(worker.fetch(charts.url, username="robot", password="secret-wort"), "AuthenticationFailed")
    refused(worker.fetch(charts.url), "AuthenticationFailed", "secretRef")
    charts.require_client_certificate()
    certificate, key = charts.authority.issue("robot", usage="clientAuth")
    identity = {"certificate": certificate.read_text(), "key": key.read_text()}
    assert worker.fetch(charts.url, username="robot", password="secret-word", **identity)["ok"]
    refused(worker.fetch(charts.url, certificate=certificate.read_text()), "SecretInvalid", "tls.key")
    other = Authority(charts.folder.parent / "other", "other").issue("other")[1].read_text()
    refused(worker.fetch(charts.url, certificate=certificate.read_text(), key=other), "SecretInvalid", "not the private key")


def test_credentials_do_not_go_to_another_server(worker, charts, tmp_path):
    elsewhere = ChartServer(tmp_path / "elsewhere", charts.authority).start()
    digest = elsewhere.add("web", "1.0.0", FILES).removeprefix("sha256:")
    charts.credentials = basic("robot", "secret-word")
    named = f"{elsewhere.url}/web-1.0.0.tgz"
    charts.write_index({"web": [{"version": "1.0.0", "urls": [named], "digest": digest}]})
    robot = {"username": "robot", "password": "secret-word"}
    assert worker.fetch(charts.url, **robot)["ok"], "an archive on another server, as GitHub has them"
    charts.write_index({"web": [{"version": "1.0.1", "urls": ["moved.tgz"]}]})
    charts.faults["moved"] = lambda request: request.answer(302, b"", [("Location", named)])
    refused(worker.fetch(charts.url, **robot), "InvalidChart", "should be web 1.0.1")
    assert [path for path, _ in elsewhere.requests] == ["web-1.0.0.tgz", "web-1.0.0.tgz"]
    assert not any(authorization for _, authorization in elsewhere.requests), elsewhere.requests
    refused(worker.fetch(charts.url, servers=["https://*.example/**"], **robot), "NotAllowed", elsewhere.url, "tenancy")
    elsewhere.stop()


def test_through_a_proxy(worker, charts):
    charts.add("web", "1.0.0", FILES)
    proxy = ConnectProxy("robot", "proxy-word").start()
    given = {"proxy": proxy.address, "proxyUsername": "robot"}
    assert worker.fetch(charts.url, proxyPassword="proxy-word", **given)["ok"]
    assert set(proxy.targets) == {charts.url.removeprefix("https://")}
    message = refused(worker.fetch(charts.url, proxyPassword="other-word", **given), "Unreachable", "407")
    assert "other-word" not in message
    proxy.stop()
    refused(worker.fetch(charts.url, proxyPassword="proxy-word", **given), "Unreachable")
    for address in ("socks5://127.0.0.1:1", "proxy", "http://robot:proxy-word@127.0.0.1:1"):
        assert "proxy-word" not in refused(worker.fetch(charts.url, proxy=address), "SecretInvalid", "spec.proxySecretRef")


@pytest.mark.parametrize("urls", [[], ["http://127.0.0.1/web.tgz"], ["file:///etc/passwd"], ["https://u:p@127.0.0.1/web.tgz"], [7]])
def test_an_index_that_names_no_archive_over_https(worker, charts, urls):
    charts.write_index({"web": [{"version": "1.0.0", "urls": urls}]})
    refused(worker.fetch(charts.url), "InvalidIndex", "https://")


def endless(request):
    request.stream(b"# nothing\n" * 100000 for _ in iter(int, 1))


@pytest.mark.parametrize("path, fault, reason, words", [
    ("index.yaml", lambda request: request.answer(404, b""), "RepositoryNotFound", ["index.yaml"]),
    ("index.yaml", lambda request: request.answer(403, b""), "AuthenticationFailed", ["403"]),
    ("index.yaml", lambda request: request.answer(503, b"", [("Retry-After", "120")]), "Unreachable", ["503"]),
    ("index.yaml", lambda request: request.answer(429, b"", [("Retry-After", "90")]), "TooManyRequests", ["429"]),
    ("index.yaml", lambda request: request.answer(302, b"", [("Location", request.path)]), "FetchFailed", ["redirects more than five"]),
    ("index.yaml", lambda request: request.answer(302, b"", [("Location", "http://127.0.0.1/")]), "FetchFailed", ["https://"]),
    ("index.yaml", lambda request: request.answer(200, b"<html>"), "InvalidIndex", ["spec.url"]),
    ("index.yaml", lambda request: request.answer(200, b"entries: [1]\n"), "InvalidIndex", ["entries"]),
    ("index.yaml", lambda request: request.answer(200, b"a: &a [*a]\n"), "InvalidIndex", ["index.yaml:1"]),
    ("index.yaml", endless, "TooLarge", ["32 MiB"]),
    (".tgz", endless, "TooLarge", ["32 MiB"]),
    (".tgz", lambda request: request.answer(404, b""), "RepositoryNotFound", ["web-1.0.0.tgz"]),
    (".tgz", lambda request: request.answer(200, b"other"), "DigestMismatch", ["web-1.0.0.tgz", "damaged"]),
])
def test_a_server_that_misbehaves(worker, charts, path, fault, reason, words):
    charts.add("web", "1.0.0", FILES)
    charts.faults[path] = fault
    answer = worker.fetch(charts.url)
    refused(answer, reason, *words)
    assert answer.get("retryAfterMs", 0) == {"429": 90000, "503": 120000}.get(words[0], 0)


GOOD = {"web/Chart.yaml": CHART_YAML.format(name="web", version="1.0.0")}
LINK, HARD, DEVICE, FIFO = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE
HOSTILE = {
    "a path with ..": (pack({**GOOD, "web/../../etc/passwd": "x"}), "InvalidChart", '".."'),
    "an absolute path": (pack({**GOOD, "/etc/passwd": "x"}), "InvalidChart", "absolute"),
    "a symbolic link out": (pack(GOOD, links=[("web/values.yaml", LINK, "/etc/passwd")]), "InvalidChart", "symbolic link"),
    "a symbolic link to a directory": (pack(GOOD, links=[("web/templates", LINK, "/")]), "InvalidChart", "symbolic link"),
    "a hard link": (pack(GOOD, links=[("web/values.yaml", HARD, "web/Chart.yaml")]), "InvalidChart", "hard link"),
    "a device": (pack(GOOD, links=[("web/values.yaml", DEVICE, "")]), "InvalidChart", "neither a regular file"),
    "a pipe": (pack(GOOD, links=[("web/values.yaml", FIFO, "")]), "InvalidChart", "neither a regular file"),
    "a file over the limit": (pack({**GOOD, "web/values.yaml": bytes(9 * MIB)}), "TooLarge", "8 MiB"),
    "a bomb": (pack({**GOOD, **{f"web/{n}": bytes(8 * MIB) for n in range(12)}}), "TooLarge", "64 MiB"),
    "a name that is too long": (pack({**GOOD, "web/" + "n" * 300: "x"}), "InvalidChart", "255"),
    "a path that is too long": (pack({**GOOD, "web/" + "n/" * 600 + "n": "x"}), "InvalidChart", "1024"),
    "a path that is nested too deep": (pack({**GOOD, "web/" + "n/" * 70 + "n": "x"}), "InvalidChart", "64"),
    "a file of Git's": (pack({**GOOD, "web/.git/config": "x"}), "InvalidChart", ".git"),
    "a file that is there twice": (pack({**GOOD, "./web/Chart.yaml": "x"}), "InvalidChart", "twice"),
    "a file beside the directory": (pack({**GOOD, "values.yaml": "x"}), "InvalidChart", "not below"),
    "a second directory": (pack({**GOOD, "api/values.yaml": "x"}), "InvalidChart", "another directory"),
    "a control character": (pack({**GOOD, "web/a\nb": "x"}), "InvalidChart", "control character"),
    "no Chart.yaml": (pack({"web/values.yaml": "x"}), "InvalidChart", "no Chart.yaml"),
    "a Chart.yaml that is none": (pack({"web/Chart.yaml": "{"}), "InvalidChart", "Chart.yaml:"),
    "another chart": (pack({"web/Chart.yaml": CHART_YAML.format(name="api", version="1.0.0")}), "InvalidChart", "api 1.0.0"),
    "another version": (pack({"web/Chart.yaml": CHART_YAML.format(name="web", version="1.0.1")}), "InvalidChart", "web 1.0.1"),
    "nothing": (pack({}), "InvalidChart", "no file"),
    "no archive": (b"hello", "InvalidChart", "no archive"),
    "half an archive": (pack({**GOOD, "web/a": os.urandom(MIB)})[:MIB // 2], "InvalidChart", "no archive"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_archive_is_refused_by_name(worker, charts, what):
    archive, reason, word = HOSTILE[what]
    charts.put("web", "1.0.0", archive)
    message = refused(worker.fetch(charts.url), reason, word, "web-1.0.0.tgz")
    assert json.dumps(message), "it can be told to anybody"
    assert not (worker.mirror / "refs/heads/gitmoor").exists()


def test_what_was_refused_leaves_what_was_fetched_before(worker, charts):
    charts.add("web", "1.0.0", FILES)
    first = worker.fetch(charts.url)
    charts.put("web", "1.1.0", HOSTILE["a bomb"][0])
    refused(worker.fetch(charts.url), "TooLarge")
    charts.index()
    os.unlink(charts.folder / "web-1.1.0.tgz")
    charts.index()
    assert worker.fetch(charts.url, previous=first["revision"])["commit"] == first["commit"]
    assert worker.pack(first["commit"])[0]["ok"]
