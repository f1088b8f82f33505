"""Charts in an OCI registry: a real one that `helm push` pushes to, with tokens and passwords; and what hostile ones are refused for."""
import hashlib
import json
import shutil
import subprocess

import pytest

from chartserver import CHART_YAML, ChartServer, basic, pack
from harness import paths
from harness.certs import Authority
from harness.helm import CHART, Helm
from test_chart_worker import FILES, Charts
from test_fetcher_worker import refused

ROBOT = {"username": "robot", "password": "secret-word"}
LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"


class Registry:
    """Distribution's registry behind a door that wants tokens, or passwords after ask_for_passwords()."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = Authority(folder / "pki", "registry")
        certificate, key = self.authority.issue("registry")
        shutil.copy(certificate, folder / "tls.crt")
        shutil.copy(key, folder / "tls.key")
        self.helm = Helm(folder / "helm")
        self.child = subprocess.Popen([paths.control_plane("oci-registry"), str(folder)], stdout=subprocess.PIPE, text=True)
        self.host = self.child.stdout.readline().strip()
        self.sources = ChartServer(folder / "sources", self.authority)

    @property
    def ca_file(self):
        return self.authority.certificate

    def url(self, path):
        return f"oci://{self.host}/{path}"

    def ask_for_passwords(self, wanted=True):
        file = self.folder / "basic"
        file.touch() if wanted else file.unlink(missing_ok=True)

    def push(self, path, version, files=None, name="web"):
        """helm package, helm push; returns the digest of the manifest as helm tells it."""
        self.helm("package", self.sources.source(name, version, files or FILES), "--destination", self.folder)
        done = self.helm.run("push", self.folder / f"{name}-{version}.tgz", self.url(path), "--ca-file", self.ca_file,
                             "--username", ROBOT["username"], "--password", ROBOT["password"])
        assert done.returncode == 0, done.stderr
        return next(line.split()[1] for line in (done.stdout + done.stderr).splitlines() if line.startswith("Digest:"))

    def stop(self):
        self.child.terminate()
        self.child.wait(timeout=30)
        self.child.stdout.close()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    running = Registry(tmp_path_factory.mktemp("registry"))
    yield running
    running.stop()


@pytest.fixture
def worker(tmp_path, registry):
    registry.ask_for_passwords(False)
    return Charts(tmp_path, registry.ca_file)


def test_what_helm_pushed_is_fetched_by_range_with_a_token(worker, registry):
    """The registry lists two versions at a time."""
    digests = {version: registry.push("charts/a", version) for version in ("1.2.0", "1.10.0", "1.3.0+build.7", "2.0.0-rc.1")}
    url = registry.url("charts/a")
    answer = worker.fetch(url, version="^1.2", **ROBOT)
    assert answer["ok"] and answer["revision"] == f"1.10.0@sha1:{answer['commit']}", answer
    assert answer["digest"] == digests["1.10.0"], "as helm push told it"
    assert set(worker.files(answer["commit"])) == {"Chart.yaml", "crds/.keep", "templates/a.yaml", "values.yaml"}
    assert worker.fetch(url, version="~1.3", digest=digests["1.3.0+build.7"], **ROBOT)["revision"].startswith("1.3.0+build.7@")
    assert worker.fetch(url, version="1.2.0", **ROBOT)["digest"] == digests["1.2.0"]
    refused(worker.fetch(url, version="1.2.0", digest=digests["1.10.0"], **ROBOT), "DigestMismatch", digests["1.2.0"])
    refused(worker.fetch(url, version="1.4.0", **ROBOT), "VersionNotFound", '"1.4.0"', "1.3.0+build.7", "1.10.0")
    again = worker.fetch(url, version="^1.2", **ROBOT)
    assert again["commit"] == answer["commit"]


def test_passwords_that_the_registry_itself_asks_for(worker, registry):
    registry.push("charts/c", "1.0.0")
    registry.ask_for_passwords()
    assert worker.fetch(registry.url("charts/c"), **ROBOT)["ok"]
    message = refused(worker.fetch(registry.url("charts/c"), username="robot", password="other-word"), "AuthenticationFailed")
    assert "other-word" not in message


def test_credentials_that_give_no_token(worker, registry):
    refused(worker.fetch(registry.url("charts/a"), username="robot", password="other-word"), "AuthenticationFailed", "token")
    refused(worker.fetch(registry.url("charts/a")), "AuthenticationFailed", "secretRef")


def test_a_chart_that_is_not_there(worker, registry):
    refused(worker.fetch(registry.url("charts/none"), **ROBOT), "ChartNotFound", "web", registry.url("charts/none"))


def test_gitmoors_own_chart_is_installed_from_a_registry(registry):
    """As docs/install.md has it."""
    login = ("--ca-file", registry.ca_file, "--username", ROBOT["username"], "--password", ROBOT["password"])
    registry.helm("package", CHART, "--destination", registry.folder)
    (package,) = registry.folder.glob("gitmoor-*.tgz")
    registry.helm("push", package, registry.url("own"), *login)
    values = ("--namespace", "gitmoor-system", "--set", "bus.createKeys=false")
    assert registry.helm("template", "gitmoor", registry.url("own/gitmoor"), *values, *login) == registry.helm("template", "gitmoor", CHART, *values)


# ---- Hostile registries: files of an ordinary server ----

@pytest.fixture(scope="module")
def server(tmp_path_factory, registry):
    running = ChartServer(tmp_path_factory.mktemp("fake"), registry.authority).start()
    yield running
    running.stop()


class Fake:
    """One chart, charts/web 1.0.0, of a registry of files."""

    def __init__(self, server):
        server.reset()
        self.server, self.base = server, server.folder / "v2/charts/web"
        for folder in ("tags", "manifests", "blobs"):
            (self.base / folder).mkdir(parents=True)
        self.tags(["1.0.0"])
        self.chart(pack({"web/Chart.yaml": CHART_YAML.format(name="web", version="1.0.0")}))

    @property
    def url(self):
        return self.server.url.replace("https://", "oci://") + "/charts"

    def tags(self, tags):
        (self.base / "tags/list").write_text(json.dumps({"name": "charts/web", "tags": tags}))

    def manifest(self, layers):
        (self.base / "manifests/1.0.0").write_text(json.dumps({"schemaVersion": 2, "layers": layers}))

    def chart(self, archive, digest=None, kind=LAYER):
        self.digest = digest or "sha256:" + hashlib.sha256(archive).hexdigest()
        (self.base / "blobs" / self.digest).write_bytes(archive)
        self.manifest([{"mediaType": kind, "digest": self.digest, "size": len(archive)}])


@pytest.fixture
def fake(server):
    return Fake(server)


def test_a_blob_on_another_server_gets_no_credentials(worker, fake, tmp_path):
    elsewhere = ChartServer(tmp_path / "elsewhere", fake.server.authority).start()
    shutil.copy(fake.base / "blobs" / fake.digest, elsewhere.folder / "blob")
    fake.server.credentials = basic("robot", "secret-word")
    fake.server.faults["/blobs/"] = lambda request: request.answer(307, b"", [("Location", f"{elsewhere.url}/blob")])
    assert worker.fetch(fake.url, **ROBOT)["ok"]
    assert elsewhere.requests == [("blob", None)]
    elsewhere.stop()


def challenge(realm):
    def answer(request):
        if request.headers.get("Authorization", "").startswith("Bearer "):
            return request.answer(200, b'{"tags": []}')
        return request.answer(401, b"", [("WWW-Authenticate", f'Bearer realm="{realm}",service="s",scope="repository:x:pull"')])
    return answer


@pytest.mark.parametrize("fault, reason, words", [
    (("tags/list", challenge("http://127.0.0.1/token")), "AuthenticationFailed", "https://"),
    (("tags/list", challenge("")), "AuthenticationFailed", "https://"),
    (("tags/list", lambda request: request.answer(401, b"", [("WWW-Authenticate", "Bearer")])), "AuthenticationFailed", "401"),
    (("tags/list", lambda request: request.answer(200, b"[1")), "InvalidIndex", "no answer of a registry"),
    (("tags/list", lambda request: request.answer(200, b"{}")), "VersionNotFound", "no version at all"),
    (("tags/list", lambda request: request.answer(200, b'{"tags": ["a"]}', [("Link", f'<{request.path}>; rel="next"')])), "TooLarge",
     "more versions"),
    (("tags/list", lambda request: request.answer(429, b"", [("Retry-After", "7")])), "TooManyRequests", "429"),
    (("manifests/", lambda request: request.answer(404, b"")), "VersionNotFound", "no manifest"),
    (("manifests/", lambda request: request.answer(200, b"{}")), "InvalidChart", "no Helm chart"),
    (("manifests/", lambda request: request.stream(b" " * 65536 for _ in iter(int, 1))), "TooLarge", "4 MiB"),
    (("/blobs/", lambda request: request.answer(200, b"other")), "DigestMismatch", "damaged"),
    (("/blobs/", lambda request: request.stream(b"x" * 1000000 for _ in iter(int, 1))), "TooLarge", "32 MiB"),
    (("/blobs/", lambda request: request.answer(302, b"", [("Location", request.path)])), "FetchFailed", "five times"),
])
def test_a_registry_that_misbehaves(worker, fake, fault, reason, words):
    part, answer = fault
    fake.server.faults[part] = answer
    refused(worker.fetch(fake.url, **ROBOT), reason, words)


@pytest.mark.parametrize("spoil", [
    lambda fake: fake.manifest([]),
    lambda fake: fake.manifest([{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": fake.digest}]),
    lambda fake: fake.manifest([{"mediaType": LAYER, "digest": "sha512:00"}]),
    lambda fake: fake.manifest([{"mediaType": LAYER, "digest": "sha256:../../etc/passwd"}]),
    lambda fake: fake.manifest([{"mediaType": LAYER}]),
])
def test_a_manifest_that_is_no_charts(worker, fake, spoil):
    spoil(fake)
    refused(worker.fetch(fake.url), "InvalidChart", "no Helm chart")


def test_what_the_tenancy_settings_do_not_list_is_not_asked(worker, fake, tmp_path):
    elsewhere = ChartServer(tmp_path / "elsewhere", fake.server.authority).start()
    fake.server.faults["tags/list"] = challenge(f"{elsewhere.url}/token")
    refused(worker.fetch(fake.url, servers=[], **ROBOT), "NotAllowed", elsewhere.url)
    assert not elsewhere.requests
    elsewhere.stop()
