"""HelmRepository: a chart from a real chart repository becomes live objects, follows its versions, and is refused where it must be."""
import base64
import json
import os
import secrets
import subprocess
from pathlib import Path

import pytest

from chartserver import basic
from harness import paths
from harness.api import condition
from harness.waiting import TimedOut, wait_for
from test_chart_registry import ROBOT, Registry

REQUESTED = "gitmoor.io/reconcile-requested-at"
TEMPLATE = """apiVersion: v1
kind: ConfigMap
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
data: {version: {{ .Chart.Version }}, colour: {{ .Values.colour }}, size: {{ .Values.size }}}
"""
FILES = {"values.yaml": "colour: blue\nsize: small\n", "values-big.yaml": "size: big\n", "templates/a.yaml": TEMPLATE}


@pytest.fixture
def gitmoor_cli(cluster):
    """gitmoor_cli("get", …): what it prints, as cluster-admin."""
    def run(*arguments, check=True):
        done = subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + done.stderr
    return run


class Chart:
    """A HelmRepository and an Application of the same name."""

    def __init__(self, api, namespace, server):
        self.api, self.namespace, self.server, self.name = api, namespace, server, "web"

    def apply(self, kind, spec):
        return self.api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": kind,
                               "metadata": {"name": self.name, "namespace": self.namespace}, "spec": spec})

    def secret(self, **data):
        encoded = {key.replace("_", "."): base64.b64encode(value.encode()).decode() for key, value in data.items()}
        self.api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "charts", "namespace": self.namespace},
                        "data": {"ca.crt": base64.b64encode(self.server.ca_file.read_bytes()).decode(), **encoded}})

    def follow(self, **spec):
        spec.setdefault("url", self.server.url)
        self.apply("HelmRepository", {"chart": "web", "interval": "1h", "secretRef": {"name": "charts"}, **spec})

    def render(self, **helm):
        self.apply("Application", {"source": {"helmRepository": self.name}, "render": {"helm": helm}})

    def nudge(self):
        self.api.patch("HelmRepository", self.namespace, self.name,
                       {"metadata": {"annotations": {REQUESTED: secrets.token_hex(8)}}}, manager="e2e")

    def get(self, kind="HelmRepository"):
        return self.api.get(kind, self.namespace, self.name) or {}

    def wait_revision(self, version, timeout=60):
        def there():
            found = self.get()
            ready = condition(found, "Ready") or {}
            revision = found.get("status", {}).get("revision", "")
            return found if (ready.get("status") == "True" and revision.startswith(f"{version}@sha1:")
                             and found["status"].get("observedGeneration") == found["metadata"]["generation"]) else None
        return wait_for(there, timeout, f"HelmRepository at {version}")

    def wait_failed(self, reason, kind="HelmRepository", timeout=60):
        def there():
            ready = condition(self.get(kind), "Ready") or {}
            return ready if ready.get("status") == "False" and ready.get("reason") == reason else None
        return wait_for(there, timeout, f"{kind} {reason}")

    def wait_applied(self):
        """Until the status says that the revision of now is applied and healthy: then it is in the history."""
        def there():
            status, revision = self.get("Application").get("status", {}), self.get()["status"]["revision"]
            return status.get("lastAppliedRevision") == revision == status.get("lastHealthyRevision")
        wait_for(there, 60, "the revision in the Application's status")

    def wait_data(self, timeout=60, **data):
        seen = {}

        def there():
            seen["data"] = (self.api.get("ConfigMap", self.namespace, self.name) or {}).get("data")
            seen["application"], seen["repository"] = self.get("Application").get("status"), self.get().get("status")
            return seen["data"] == data
        try:
            wait_for(there, timeout, f"data {data}")
        except TimedOut as late:
            raise TimedOut(f"{late}: {seen}") from None


@pytest.fixture
def chart(api, namespace, chart_server, gitmoor):  # noqa: ARG001
    chart_server.reset()
    made = Chart(api, namespace, chart_server)
    made.secret()
    yield made
    for kind in ("Application", "HelmRepository"):
        api.delete(kind, namespace, made.name)


def test_a_chart_becomes_live_objects_and_follows_its_range(chart, chart_server):
    digest = chart_server.add("web", "1.2.0", FILES)
    chart.follow(version="^1.2")
    chart.render(values={"colour": "red"}, valuesFiles=["values-big.yaml"])
    chart.wait_data(version="1.2.0", colour="red", size="big")
    found = chart.wait_revision("1.2.0")
    assert found["status"]["digest"] == digest
    wait_for(lambda: chart.get("Application")["status"].get("lastAppliedRevision") == found["status"]["revision"],
             what="the revision in the Application's status")
    chart_server.add("web", "2.0.0", FILES)
    chart_server.add("web", "1.10.0", FILES)
    chart.nudge()
    chart.wait_data(version="1.10.0", colour="red", size="big")
    events = wait_for(lambda: [event for event in chart.api.events(chart.namespace, chart.name) if event[1] == "NewRevision"
                               and "1.10.0@sha1:" in event[2]], what="an Event of the new version")
    assert events[0][0] == "Normal"
    chart.follow(version="1.2.0")
    chart.wait_data(version="1.2.0", colour="red", size="big")


def test_the_command_line_shows_a_chart_and_asks_for_it(chart, chart_server, gitmoor_cli):
    chart_server.add("web", "1.0.0", FILES)
    chart.follow()
    chart.render()
    revision = chart.wait_revision("1.0.0")["status"]["revision"]
    listed = gitmoor_cli("get", "-n", chart.namespace).splitlines()
    assert listed[0].split() == ["CHART", "URL", "CHART", "VERSION", "READY", "REVISION", "AGE"]
    assert listed[1].split()[:6] == ["web", chart_server.url, "web", "*", "True", revision]
    shown = gitmoor_cli("status", "chart/web", "-n", chart.namespace)
    assert revision in shown and chart_server.url in shown
    chart_server.add("web", "1.1.0", FILES)
    assert "1.1.0@sha1:" in gitmoor_cli("reconcile", "chart/web", "--wait", "-n", chart.namespace)
    assert "chart web, path ." in gitmoor_cli("status", "web", "-n", chart.namespace, check=False)


def test_an_earlier_version_is_put_back(chart, chart_server, gitmoor_cli):
    chart_server.add("web", "1.0.0", FILES)
    chart.follow()
    chart.render()
    chart.wait_data(version="1.0.0", colour="blue", size="small")
    chart.wait_applied()
    chart_server.add("web", "1.1.0", FILES)
    chart.nudge()
    chart.wait_data(version="1.1.0", colour="blue", size="small")
    chart.wait_applied()
    gitmoor_cli("rollback", "web", "-n", chart.namespace)
    chart.wait_data(version="1.0.0", colour="blue", size="small")
    chart_server.add("web", "1.2.0", FILES)
    chart.nudge()
    chart.wait_data(version="1.2.0", colour="blue", size="small")


ASKING = """apiVersion: v1
kind: ConfigMap
metadata: {name: asked}
data:
  kubernetes: {{ .Capabilities.KubeVersion.Version }}
  serves: {{ .Capabilities.APIVersions.Has "gitmoor.io/v1alpha1/Application" | quote }}
"""


def test_diff_fetches_the_chart_that_a_reconcile_would_render(chart, chart_server, cluster, api, tmp_path):
    def gitmoor(*arguments, kubeconfig=None):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *arguments, "-n", chart.namespace, "--kubeconfig",
                               kubeconfig or cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path,
                              env={**os.environ, "TMPDIR": str(tmp_path)})

    chart_server.credentials = basic("robot", "pa55")
    chart.secret(username="robot", password="pa55")
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "values", "namespace": chart.namespace},
               "data": {"values.yaml": "size: huge"}})
    chart_server.add("web", "1.0.0", {**FILES, "templates/asked.yaml": ASKING})
    chart.follow(version="1.x")
    chart.render(valuesFrom=[{"kind": "ConfigMap", "name": "values"}])
    chart.wait_data(version="1.0.0", colour="blue", size="huge")
    chart.wait_applied()
    asked = api.get("ConfigMap", chart.namespace, "asked")["data"]
    assert asked["kubernetes"].startswith("v1.") and asked["serves"] == "true", "the cluster's own, and the same for diff"
    done = gitmoor("diff", "web")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert json.loads(gitmoor("explain", "web", "-o", "json").stdout)["verdict"] == "part", "valuesFrom is not read by explain"

    # A version that nobody has asked for yet, and one that does not exist.
    chart_server.add("web", "1.1.0", {**FILES, "templates/a.yaml": TEMPLATE.replace(".Values.colour", '"green"')})
    done = gitmoor("diff", "web", "--revision", "1.1.0")
    assert done.returncode == 1 and "+  version: 1.1.0" in done.stdout and "+  color" not in done.stdout, done.stdout + done.stderr
    assert "+  colour: green" in done.stdout and "   size: huge" in done.stdout
    assert "+++ 1.1.0@sha1:" in done.stdout and "templates/a.yaml\n" in done.stdout
    assert "change 1 and delete 1" in done.stderr, "the ConfigMap asked is in the older one only"
    assert gitmoor("diff", "web").returncode == 0, "what is in force is still the older one"
    done = gitmoor("diff", "web", "--revision", "7.x")
    assert done.returncode == 2 and 'no version of chart web in "7.x"' in done.stderr and "--path DIR" in done.stderr

    # What a stranger has packed is opened by a child without the kubeconfig, in the sandbox of the fetcher's workers.
    seen = []

    def look(handler):
        chart_server.faults = {}
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if b"\0--fetch\0" in (folder / "cmdline").read_bytes():
                    seen.append(((folder / "status").read_text(), (folder / "environ").read_bytes()))
            except OSError:
                pass  # it has ended
        return handler.do_GET()

    chart_server.faults = {"index.yaml": look}
    assert gitmoor("diff", "web").returncode == 0
    ((status, environment),) = seen
    assert "NoNewPrivs:\t1" in status and b"KUBE" not in environment

    # Another chart of that version is not what is in force.
    chart_server.add("web", "1.0.0", {**FILES, "values.yaml": "colour: red"})
    done = gitmoor("diff", "web")
    assert done.returncode == 2 and "another chart of that version now" in done.stderr, done.stderr

    # Who may not read the Secret is told so.
    cluster.kubectl("create", "serviceaccount", "dev", "-n", chart.namespace)
    cluster.kubectl("create", "rolebinding", "dev", "-n", chart.namespace, "--clusterrole=view",
                    f"--serviceaccount={chart.namespace}:dev")
    cluster.kubectl("create", "role", "ours", "-n", chart.namespace, "--verb=get,list",
                    "--resource=applications.gitmoor.io,helmrepositories.gitmoor.io")
    cluster.kubectl("create", "rolebinding", "ours", "-n", chart.namespace, "--role=ours",
                    f"--serviceaccount={chart.namespace}:dev")
    config = json.loads(cluster.kubeconfig("admin").read_text())
    config["users"][0]["user"] = {"token": cluster.kubectl("create", "token", "dev", "-n", chart.namespace).strip()}
    (tmp_path / "dev").write_text(json.dumps(config))
    done = gitmoor("diff", "web", kubeconfig=tmp_path / "dev")
    assert done.returncode == 2, done.stderr
    assert f"you cannot read the Secret {chart.namespace}/charts, which its spec.secretRef names" in done.stderr, done.stderr
    assert "pa55" not in done.stderr
    assert [found.name for found in tmp_path.iterdir()] == ["dev"], "nothing is left behind"


def test_a_version_that_was_replaced_is_an_event(chart, chart_server):
    chart_server.add("web", "1.0.0", FILES)
    chart.follow()
    before = chart.wait_revision("1.0.0")["status"]["revision"]
    chart_server.add("web", "1.0.0", {**FILES, "values.yaml": "colour: green\nsize: s\n"})
    chart.nudge()
    wait_for(lambda: chart.get()["status"]["revision"] != before, 60, "the other chart")
    told = wait_for(lambda: [event for event in chart.api.events(chart.namespace, chart.name) if event[1] == "ChartReplaced"],
                    what="an Event")
    assert before in told[0][2]


def test_what_is_wrong_is_told_without_credentials_and_mends_itself(chart, chart_server, gitmoor):
    chart_server.add("web", "1.0.0", FILES)
    chart_server.credentials = basic("robot", "right-word")
    chart.secret(username="robot", password="wrong-word")
    chart.follow(interval="2s")
    chart.render()
    chart.wait_failed("AuthenticationFailed")
    ready = wait_for(lambda: (lambda found: found if found and "is not ready" in found.get("message", "") else None)(
        condition(chart.get("Application"), "Ready")), 60, "the Application tells of it")
    assert f"HelmRepository {chart.namespace}/web" in ready["message"]
    assert "wrong-word" not in json.dumps([chart.get(), chart.get("Application"), chart.api.events(chart.namespace)])
    chart.secret(username="robot", password="right-word")
    chart.nudge()
    chart.wait_data(version="1.0.0", colour="blue", size="small")
    chart.follow(version="^3")
    assert "1.0.0" in chart.wait_failed("VersionNotFound")["message"]
    series = f'repository="{chart.namespace}/helm:web",problem="VersionNotFound"'
    assert gitmoor.metric("fetcher", "gitmoor_fetcher_problems", series) == 1, "an alert rests on this"
    chart.wait_data(version="1.0.0", colour="blue", size="small")


def test_a_url_that_the_operator_does_not_list_is_refused(chart, chart_server, gitmoor):
    chart_server.add("web", "1.0.0", FILES)
    gitmoor.tenancy.set({"namespaces": [chart.namespace], "repositories": ["https://elsewhere.example/**"]}, only=["fetcher"])
    try:
        chart.follow()
        assert chart_server.url in chart.wait_failed("NotAllowed")["message"]
    finally:
        gitmoor.tenancy.set(only=["fetcher"])
    chart.wait_revision("1.0.0")


def test_a_chart_of_a_registry_becomes_live_objects(api, namespace, gitmoor, tmp_path):  # noqa: ARG001
    registry = Registry(tmp_path)
    chart = Chart(api, namespace, registry)
    digest = registry.push("charts", "1.0.0", FILES)
    chart.secret(**ROBOT)
    chart.follow(url=registry.url("charts"))
    chart.render()
    chart.wait_data(version="1.0.0", colour="blue", size="small")
    assert chart.wait_revision("1.0.0")["status"]["digest"] == digest
    registry.push("charts", "1.1.0", FILES)
    chart.nudge()
    chart.wait_data(version="1.1.0", colour="blue", size="small")
    for kind in ("Application", "HelmRepository"):
        api.delete(kind, namespace, chart.name)
    registry.stop()


@pytest.mark.parametrize("kind, spec, words", [
    ("HelmRepository", {"url": "http://charts.example", "chart": "web"}, "spec.url"),
    ("HelmRepository", {"url": "https://charts.example"}, "spec.chart"),
    ("HelmRepository", {"url": "https://charts.example", "chart": "../web"}, "spec.chart"),
    ("HelmRepository", {"url": "https://charts.example", "chart": "web", "digest": "md5:1"}, "spec.digest"),
    ("Application", {"source": {}}, "one of repository and helmRepository"),
    ("Application", {"source": {"repository": "a", "helmRepository": "b"}}, "one of repository and helmRepository"),
    ("GitRepository", {"url": "https://git.example/r", "ref": {"tag": "v1", "semver": "1.x"}}, "one of branch, tag"),
    ("GitRepository", {"url": "https://git.example/r", "ref": {"commit": "1" * 40, "semver": "1.x"}}, "a commit stays"),
    ("GitRepository", {"url": "https://git.example/r", "ref": {"name": "main"}}, "spec.ref.name"),
    ("GitRepository", {"url": "ssh://git.example/r", "proxySecretRef": {"name": "p"}}, "a proxy is for https"),
])
def test_the_api_refuses_what_cannot_be(api, namespace, kind, spec, words):
    with pytest.raises(Exception, match="(?s)" + words.replace("://", ".*")):
        api.apply({"apiVersion": "gitmoor.io/v1alpha1", "kind": kind, "metadata": {"name": "x", "namespace": namespace},
                   "spec": spec})
