"""Charts: `gitmoor render` against `helm template`, and the differ by the same code."""
import json
import os
import subprocess

import pytest
import yaml

from harness import paths, sample
from harness.api import ApiError
from harness.waiting import wait_for
from test_render_kustomize import GITMOOR, Loader, canonical, write

HELM = paths.control_plane("helm")
ENVIRONMENT = {**os.environ, "PATH": f"{os.path.dirname(HELM)}:{os.environ['PATH']}"}
CHART = "apiVersion: v2\nname: shop\nversion: 1.2.3\nappVersion: '4.5'\n"


def template(text, name="a.yaml", chart="app"):
    return {f"{chart}/templates/{name}": text}


def chart(*parts, values=None, head=CHART, folder="app"):
    files = {f"{folder}/Chart.yaml": head, f"{folder}/values.yaml": values or {}}
    for part in parts:
        files.update(part)
    return files


def sub_chart(name, folder, text, values=None):
    return chart(template(text, chart=f"{folder}/{name}"), folder=f"{folder}/{name}", values=values,
                 head=f"apiVersion: v2\nname: {name}\nversion: 0.1.0\n")


MAP = """apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-%s
  namespace: {{ .Release.Namespace }}
data:
"""
HELPERS = {"app/templates/_helpers.tpl": '{{- define "shop.name" -}}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{- end -}}\n'
                                         '{{- define "shop.labels" -}}\napp: {{ include "shop.name" . }}\nchart: {{ .Chart.Name }}-{{ .Chart.Version }}\n{{- end -}}\n'}
CRD = yaml.safe_dump({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.x.example.org"},
                      "spec": {"group": "x.example.org", "names": {"kind": "Thing", "plural": "things"}, "scope": "Namespaced", "versions": []}})
# name → (files, arguments that both understand)
CASES = {
    "a template": (chart(template(MAP % "a" + "  x: '1'\n")), []),
    "release and chart": (chart(template(MAP % "a" + "  x: {{ .Release.Service }}-{{ .Chart.AppVersion }}-{{ .Release.Revision }}\n"
                                                     "  second: '{{ .Release.IsInstall }} {{ .Release.IsUpgrade }}'\n")), ["--release-name", "other"]),
    "a namespace": (chart(template(MAP % "a" + "  x: hello\n")), ["-n", "prod"]),
    "values of the chart": (chart(template(MAP % "a" + "  x: {{ .Values.x.y | quote }}\n"), values={"x": {"y": 7}}), []),
    "values by file": ({**chart(template(MAP % "a" + "  x: {{ .Values.x | toJson | quote }}\n"), values={"x": {"a": 1, "b": [1, 2], "c": {"d": 1}}}),
                        "v.yaml": {"x": {"a": 2, "b": [3], "c": {"e": 2}}}}, ["-f", "v.yaml"]),
    "two files of values": ({**chart(template(MAP % "a" + "  x: {{ .Values.x | toJson | quote }}\n"), values={"x": {"a": 1}}),
                             "v.yaml": {"x": {"a": 2, "b": {"c": 1}}}, "w.yaml": {"x": {"b": {"d": 2}, "e": "f"}}}, ["-f", "v.yaml", "-f", "w.yaml"]),
    "null takes a value away": ({**chart(template(MAP % "a" + "  x: {{ .Values.x | toJson | quote }}\n"), values={"x": {"a": 1, "b": 2}}),
                                 "v.yaml": "x: {a: null}\n"}, ["-f", "v.yaml"]),
    "large numbers in values": ({**chart(template(MAP % "a" + "  x: {{ .Values.x | quote }}\n  second: {{ int64 .Values.x | quote }}\n  third: {{ .Values.z | quote }}\n"),
                                         values={"x": 1}), "v.yaml": "x: 12345678\nz: 1.50\n"}, ["-f", "v.yaml"]),
    "helpers": (chart(HELPERS, template("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ include \"shop.name\" . }}\n  labels:\n"
                                        "    {{- include \"shop.labels\" . | nindent 4 }}\n")), []),
    "conditions and loops": (chart(template("{{- range $i, $n := .Values.names }}\n{{- if ne $n \"skip\" }}\n---\napiVersion: v1\nkind: ConfigMap\n"
                                            "metadata: {name: {{ $n }}}\ndata: {i: '{{ $i }}'}\n{{- end }}\n{{- end }}\n"),
                                   values={"names": ["a", "skip", "b"]}), []),
    "nothing": (chart(template("{{- if .Values.on }}\nkind: X\n{{- end }}\n"), values={"on": False}), []),
    "files": (chart({"app/files/a.txt": "hello\nworld\n", "app/files/b.json": '{"x": 1}'},
                    template(MAP % "a" + "  a: {{ .Files.Get \"files/a.txt\" | quote }}\n{{ (.Files.Glob \"files/*\").AsConfig | indent 2 }}\n")), []),
    "tpl": (chart(template(MAP % "a" + "  x: {{ tpl .Values.t . | quote }}\n"), values={"t": "{{ .Release.Name }}!"}), []),
    "definitions in crds/": (chart({"app/crds/thing.yaml": CRD}, template("apiVersion: x.example.org/v1\nkind: Thing\nmetadata: {name: t}\n")), []),
    "a definition with templates' braces": (chart({"app/crds/thing.yaml": CRD.replace("things.x", "'things.x").replace("org\n", "org'\n", 1)}), []),
    "tests are left out": (chart(template(MAP % "a" + "  x: hello\n"), template("apiVersion: v1\nkind: Pod\nmetadata:\n  name: t\n  annotations: {helm.sh/hook: test}\n",
                                                                            "tests/t.yaml")), []),
    "a dependency in charts/": ({**chart(template(MAP % "a" + "  x: hello\n"), head=CHART + "dependencies:\n- {name: db, version: 0.1.0}\n",
                                         values={"db": {"size": 5}, "global": {"g": "h"}}),
                                 **sub_chart("db", "app/charts", MAP % "db" + "  size: '{{ .Values.size }}'\n  g: {{ .Values.global.g }}\n", {"size": 1})}, []),
    "a dependency with a condition": ({**chart(head=CHART + "dependencies:\n- {name: db, version: 0.1.0, condition: db.enabled}\n", values={"db": {"enabled": False}}),
                                       **template(MAP % "a" + "  x: hello\n"), **sub_chart("db", "app/charts", MAP % "db" + "  x: hello\n")}, []),
    "a dependency with an alias": ({**chart(head=CHART + "dependencies:\n- {name: db, version: 0.1.0, alias: store}\n"),
                                    **sub_chart("db", "app/charts", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Chart.Name }}}\n")}, []),
    "a library chart": ({**chart(template('{{ include "lib.map" . }}'), head=CHART + "dependencies:\n- {name: lib, version: 0.1.0}\n"),
                         "app/charts/lib/Chart.yaml": "apiVersion: v2\nname: lib\nversion: 0.1.0\ntype: library\n",
                         "app/charts/lib/templates/_map.tpl": '{{ define "lib.map" }}\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: lib}\n{{ end }}'}, []),
    "the old form": (chart(template(MAP % "a" + "  x: hello\n"), head="apiVersion: v1\nname: shop\nversion: 0.1.0\n"), []),
    "a schema": (chart(template(MAP % "a" + "  x: '{{ .Values.count }}'\n"), {"app/values.schema.json": '{"properties": {"count": {"type": "integer"}}}'}, values={"count": 3}), []),
    "notes": (chart(template(MAP % "a" + "  x: hello\n"), {"app/templates/NOTES.txt": "Thank you for {{ .Chart.Name }}\n"}), []),
    "ignored files": (chart({"app/.helmignore": "*.bak\n", "app/templates/b.yaml.bak": "{{ fail \"read\" }}"}, template(MAP % "a" + "  x: hello\n")), []),
    "the cluster's version": (chart(template(MAP % "a" + "  x: {{ .Capabilities.KubeVersion.Version }}\n  second: '{{ semverCompare \">=1.30-0\" .Capabilities.KubeVersion.GitVersion }}'\n")),
                              ["--kube-version", "v1.29.3"]),
    "its APIs": (chart(template(MAP % "a" + "  x: '{{ .Capabilities.APIVersions.Has \"x.example.org/v1/Thing\" }}'\n"
                                            "  second: '{{ .Capabilities.APIVersions.Has \"y.example.org/v1\" }}'\n")),
                 ["--api-versions", "x.example.org/v1/Thing", "--api-versions", "x.example.org/v1,z.example.org/v2"]),
    "a List": (chart(template("apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}}\n"
                              "- {apiVersion: v1, kind: ConfigMap, metadata: {name: two}}\n")), []),
    "many documents in a file": (chart(template("# first\n" + MAP % "a" + "  x: hello\n---\n# empty\n---\n" + MAP % "b" + "  x: |\n    # Source: not/one\n    ---\n")), []),
    "lookup finds nothing": (chart(template(MAP % "a" + "  x: {{ lookup \"v1\" \"Secret\" \"kube-system\" \"\" | toJson | quote }}\n")), []),
}


def render(folder, *arguments, cwd=None):
    return subprocess.run([GITMOOR, "render", "-o", "json", *map(str, arguments), str(folder)], capture_output=True, text=True,
                          cwd=cwd, env=ENVIRONMENT, check=False)


def oracle(folder, arguments=(), cwd=None):
    words, release = list(arguments), "app"
    if "--release-name" in words:
        at = words.index("--release-name")
        release = words[at + 1]
        del words[at:at + 2]
    done = subprocess.run([HELM, "template", release, folder, "--include-crds", "--skip-tests", *words], capture_output=True, text=True,
                          cwd=cwd, env=ENVIRONMENT, check=True)
    found = []
    for item in yaml.load_all(done.stdout, Loader):
        found += item["items"] if item and item["kind"] == "List" else [item] if item else []
    return sorted(canonical(item) for item in found)


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_what_helm_renders(tmp_path, case):
    files, arguments = CASES[case]
    write(tmp_path, files)
    done = render("app", *arguments, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == oracle("app", arguments, cwd=tmp_path)


def test_a_packed_dependency(tmp_path):
    write(tmp_path, {**chart(head=CHART + "dependencies:\n- {name: db, version: 0.1.0}\n"), **sub_chart("db", "outside", MAP % "db" + "  x: hello\n")})
    (tmp_path / "app/charts").mkdir()
    subprocess.run([HELM, "package", "outside/db", "-d", "app/charts"], cwd=tmp_path, check=True, capture_output=True, env=ENVIRONMENT)
    done = render("app", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == oracle("app", cwd=tmp_path)


def test_our_own_chart(tmp_path):
    """The largest chart at hand."""
    arguments = ["--release-name", "gitmoor", "-n", "gitmoor-system"]
    done = render(paths.ROOT / "charts/gitmoor", *arguments, "--application", application(tmp_path, {"hooks": "Omit", "values": {"bus": {"createKeys": False}}}))
    assert done.returncode == 0, done.stderr
    objects = [json.loads(line) for line in done.stdout.splitlines()]
    assert {"CustomResourceDefinition", "Deployment", "ClusterRole"} <= {item["kind"] for item in objects}


def application(folder, helm=None, **spec):
    path = folder / "application.yaml"
    path.write_text(yaml.safe_dump({"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": "web", "namespace": "ns"},
                                    "spec": {"render": {"helm": helm or {}}, **spec}}))
    return path


def test_what_the_application_says(tmp_path):
    write(tmp_path, {**chart(template("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}.{{ .Release.Namespace }}'}\n"
                                      "data: {v: {{ .Values | toJson | quote }}}\n"), values={"a": 1, "b": 1, "c": 1, "m": {"x": 1}}),
                     "environments/prod.yaml": {"b": 2, "c": 2, "m": {"yy": 2}}, "app/more.yaml": {"e": 5}})
    helm = {"valuesFiles": ["../environments/prod.yaml", "more.yaml"], "values": {"c": 3, "m": {"z": 3}}}
    done = render("app", "--application", application(tmp_path, helm), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (made,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert made["metadata"]["name"] == "web.ns"
    assert json.loads(made["data"]["v"]) == {"a": 1, "b": 2, "c": 3, "e": 5, "m": {"x": 1, "yy": 2, "z": 3}}
    done = render("app", "--application", application(tmp_path, {"releaseName": "r", "namespace": "inner"}), cwd=tmp_path)
    assert json.loads(done.stdout)["metadata"]["name"] == "r.inner"
    done = render("app", "--application", application(tmp_path, targetNamespace="t"), cwd=tmp_path)
    assert json.loads(done.stdout)["metadata"]["name"] == "web.t"


HOOK = "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: migrate\n  annotations: {helm.sh/hook: '%s'}\n"


def test_hooks_are_rendered_refused_or_left_out_as_the_application_says(tmp_path):
    write(tmp_path, chart(template(MAP % "a" + "  x: hello\n"), template(HOOK % "pre-install, pre-upgrade", "jobs/migrate.yaml")))
    done = render("app", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2), done.stderr
    done = render("app", "--application", application(tmp_path, {"hooks": "Refuse"}), cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("app/templates/jobs/migrate.yaml: Job migrate is a Helm hook (pre-install, pre-upgrade)"), done.stderr
    done = render("app", "--application", application(tmp_path, {"hooks": "Omit"}), cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr


@pytest.mark.parametrize("event, hooks", [("pre-delete", "Omit"), ("post-delete", "Refuse"), ("pre-rollback", "Omit"), ("test", "Run"),
                                          ("test-success", "Run")])
def test_hooks_of_other_moments_are_left_out(tmp_path, event, hooks):
    write(tmp_path, chart(template(MAP % "a" + "  x: hello\n"), template(HOOK % event, "hook.yaml")))
    done = render("app", "--application", application(tmp_path, {"hooks": hooks}), cwd=tmp_path)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


REFUSED = {
    "a template that fails": (chart(template("a: 1\nb: {{ .Values.x.y.z }}\n")), "app/templates/a.yaml:2: helm: ", "nil pointer"),
    "one that says so itself": (chart(template('{{ fail "no name given" }}')), "app/templates/a.yaml:1: helm: ", "no name given"),
    "what it makes is no YAML": (chart(template("a: [\n")), "app/templates/a.yaml: helm: ", "YAML parse error"),
    "what it makes is no object": (chart(template("a: 1\n")), "app/templates/a.yaml: ", "no apiVersion and no kind"),
    "a dependency that is not there": (chart(head=CHART + "dependencies:\n- {name: db, version: 0.1.0, repository: 'https://charts.example.org'}\n"),
                                       "app/Chart.yaml: helm: ", "db"),
    "a dependency that is not there, of a chart whose name ends many words": (
        chart(head=CHART.replace("shop", "s") + "dependencies:\n- {name: db, version: 0.1.0}\n"), "app/Chart.yaml: helm: ", "charts/"),
    "a dependency that is a pointer of Git LFS": (
        chart({"app/charts/db-0.1.0.tgz": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"}),
        "app/Chart.yaml: ", "app/charts/db-0.1.0.tgz is a pointer of Git LFS"),
    "values against the schema": (chart(template(MAP % "a" + "  x: hello\n"), {"app/values.schema.json": '{"properties": {"count": {"type": "integer"}}}'},
                                        values={"count": "three"}), "app/Chart.yaml: helm: ", "schema"),
    "a broken Chart.yaml": ({"app/Chart.yaml": "name: [\n"}, "app/Chart.yaml: ", "app/Chart.yaml:2"),
    "a chart without a version": (chart(head="apiVersion: v2\nname: shop\n"), "app/Chart.yaml: helm: ", "version"),
    "a kustomization beside it": ({**chart(), "app/kustomization.yaml": "resources: []\n"}, "app/kustomization.yaml: ", "spec.render.type"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_names_file_and_line_of_the_repository(tmp_path, case):
    files, start, word = REFUSED[case]
    write(tmp_path, files)
    done = render("app", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(start) and word in done.stderr and "gitmoor-render" not in done.stderr, done.stderr


@pytest.mark.parametrize("text, why", [("a: 1\na: 2\n", "v.yaml:2: duplicate key \"a\""), ("# none\n- 1\n", "v.yaml:2: the values are not a mapping")])
def test_an_error_names_where_values_are_from(tmp_path, text, why):
    write(tmp_path, {**chart(template(MAP % "a" + "  x: hello\n")), "v.yaml": text})
    done = render("app", "-f", "v.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.strip()) == (1, "", f"spec.render.helm: {why}")


def test_values_files_stay_inside_of_the_repository(tmp_path):
    write(tmp_path / "repository", chart(template(MAP % "a" + "  x: hello\n")))
    (tmp_path / "secret.yaml").write_text("a: 1\n")
    for file, why in (("../../secret.yaml", "leads out of the repository"), ("/etc/hostname", "leads out of the repository"),
                      ("none.yaml", "does not exist"), ("templates", "is not a file")):
        done = render("app", "--application", application(tmp_path, {"valuesFiles": [file]}), cwd=tmp_path / "repository")
        assert done.returncode == 1 and why in done.stderr and file in done.stderr, done.stderr


# ------------------------------------------------------------------------------- the differ

@pytest.mark.parametrize("render, word", [
    ({"helm": {}, "kustomize": {}}, "not by both"), ({"type": "Jsonnet"}, "Jsonnet"), ({"helm": {"hooks": "Always"}}, "Always"),
    ({"helm": {"releaseName": "Not a name"}}, "releaseName"), ({"helm": {"valuesFrom": [{"kind": "Pod", "name": "x"}]}}, "Pod"),
    ({"kustomize": {"patches": [{"target": {}}]}}, "patch")])
def test_the_api_refuses_what_makes_no_sense(api, namespace, render, word):
    with pytest.raises(ApiError) as refusal:
        api.apply(sample.application(namespace, "x", "x", render=render))
    assert word in str(refusal.value)


def test_a_chart_is_live_with_values_from_the_cluster(moored, api, namespace, repository):
    files = chart(
        template(MAP % "a" + "  x: {{ .Values.x | quote }}\n  password: {{ .Values.password | quote }}\n  version: {{ .Capabilities.KubeVersion.Version }}\n"
                             "  moored: '{{ .Capabilities.APIVersions.Has \"gitmoor.io/v1alpha1/Application\" }}'\n"), values={"x": 1, "password": ""})
    repository.commit({name: text if isinstance(text, str) else yaml.safe_dump(text) for name, text in files.items()}, "chart")
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {"values.yaml": "x: 2\n"}})
    mooring = moored(repository, path="app", render={"helm": {"valuesFrom": [{"kind": "ConfigMap", "name": "settings"},
                                                                             {"kind": "Secret", "name": "keys", "key": "password.yaml"}]}})
    wait_for(lambda: mooring.condition()["reason"] == "Invalid", what="the Secret to be missed")
    (error,) = mooring.status()["errors"]
    assert error["file"] == "spec.render.helm.valuesFrom" and f"the Secret keys does not exist in the namespace {namespace}" in error["message"]
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys", "namespace": namespace}, "stringData": {"password.yaml": "password: hunter2\n"}})
    live = wait_for(lambda: mooring.config_map("shop-a"), what="the chart's object")
    version = api.request("GET", "/version")["gitVersion"]
    assert live == {"x": "2", "password": "hunter2", "version": version, "moored": "true"}
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {"values.yaml": "x: 3\n"}})
    wait_for(lambda: mooring.config_map("shop-a")["x"] == "3", what="the new value")
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace}, "data": {"values.yaml": "x: [\n"}})
    wait_for(lambda: any("the ConfigMap settings, key values.yaml:2: " in error["message"] for error in mooring.status().get("errors", [])),
             what="the broken values to be named")
    deep = "end"
    for _ in range(60):
        deep = {"level": deep}
    mooring.set(render={"helm": {"releaseName": "other", "values": {"x": "own", "deep": deep}}})
    wait_for(lambda: (mooring.config_map("other-a") or {}).get("x") == "own" and mooring.config_map("shop-a") is None, what="the other release")
