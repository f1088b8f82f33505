"""Directories with a kustomization: `gitmoor render` against `kustomize build`, and the differ by the same code."""
import json
import os
import subprocess

import pytest
import yaml

from harness import paths
from harness.mooring import config_map
from harness.waiting import wait_for

GITMOOR = paths.gitmoor_bin() / "gitmoor"
KUSTOMIZE = paths.control_plane("kustomize")
ENVIRONMENT = {**os.environ, "PATH": f"{os.path.dirname(KUSTOMIZE)}:{os.environ['PATH']}"}


class Loader(yaml.SafeLoader):
    """Dates stay strings, as in Kubernetes."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for letter, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()}


def canonical(item):
    return json.dumps(item, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def oracle(folder):
    done = subprocess.run([KUSTOMIZE, "build", folder], capture_output=True, text=True, check=True)
    return sorted(canonical(item) for item in yaml.load_all(done.stdout, Loader) if item)


def render(folder, *arguments, cwd=None):
    return subprocess.run([GITMOOR, "render", "-o", "json", *map(str, arguments), str(folder)], capture_output=True, text=True,
                          cwd=cwd, env=ENVIRONMENT, check=False)


def write(folder, files):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    subprocess.run(["git", "init", "-q", folder], check=True)
    return folder


def deployment(name="web", image="nginx:1.27", **more):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, **more, "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "main", "image": image, "env": [{"name": "A", "value": "1"}],
                                         "envFrom": [{"configMapRef": {"name": "settings"}}],
                                         "resources": {"limits": {"cpu": "100m"}}}]}}}}


def service(name="web"):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}}


BASE = {"base/kustomization.yaml": {"resources": ["web.yaml", "svc.yaml"]}, "base/web.yaml": deployment(), "base/svc.yaml": service()}
PATCH = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 5}}


def overlay(files=None, base=True, **kustomization):
    """app/ on top of base/."""
    resources = kustomization.pop("resources", ["../base"])
    return {**(BASE if base else {}), "app/kustomization.yaml": {"resources": resources, **kustomization},
            **{f"app/{name}": content for name, content in (files or {}).items()}}


CASES = {
    "resources alone": overlay({"cm.yaml": config_map("a")}, base=False, resources=["cm.yaml"]),
    "a base outside of the path": overlay(),
    "three storeys": {**overlay(resources=["../middle"], namePrefix="top-"),
                      "middle/kustomization.yaml": {"resources": ["../base"], "nameSuffix": "-mid"}},
    "a diamond of two bases": {**overlay(resources=["../left", "../right"]),
                               "left/kustomization.yaml": {"resources": ["../base"], "namePrefix": "l-"},
                               "right/kustomization.yaml": {"resources": ["../base"], "namePrefix": "r-"}},
    "kustomization.yml": {"app/kustomization.yml": "resources: [cm.yaml]\n", "app/cm.yaml": config_map("a")},
    "Kustomization": {"app/Kustomization": "resources:\n- cm.yaml\n", "app/cm.yaml": config_map("a")},
    "prefix, suffix and namespace": overlay(namePrefix="a-", nameSuffix="-z", namespace="shop"),
    "labels and annotations": overlay(labels=[{"pairs": {"team": "x"}, "includeSelectors": True, "includeTemplates": True}],
                                      commonAnnotations={"note": "yes"}),
    "commonLabels": overlay(commonLabels={"team": "x"}),
    "images": overlay(images=[{"name": "nginx", "newName": "registry.example.org/nginx", "newTag": "2"}]),
    "an image by digest": overlay(images=[{"name": "nginx", "digest": "sha256:" + "a" * 64}]),
    "replicas": overlay(replicas=[{"name": "web", "count": 9}]),
    "a patch by path": overlay({"patch.yaml": PATCH}, patches=[{"path": "patch.yaml"}]),
    "a patch in place": overlay(patches=[{"patch": yaml.safe_dump(PATCH)}]),
    "a JSON patch": overlay(patches=[{"target": {"kind": "Deployment", "name": "web"},
                                      "patch": "- {op: replace, path: /spec/replicas, value: 7}"}]),
    "a patch that deletes": overlay(patches=[{"patch": "$patch: delete\napiVersion: v1\nkind: Service\nmetadata: {name: web}\n"}]),
    "patchesStrategicMerge": overlay({"patch.yaml": PATCH}, patchesStrategicMerge=["patch.yaml", yaml.safe_dump(
        {**PATCH, "spec": {"template": {"spec": {"hostNetwork": True}}}})]),
    "patchesJson6902": overlay({"p.json": '[{"op": "remove", "path": "/spec/replicas"}]'}, patchesJson6902=[
        {"target": {"group": "apps", "version": "v1", "kind": "Deployment", "name": "web"}, "path": "p.json"}]),
    "a ConfigMap of files": overlay({"a.properties": "x=1\n", "b/c.txt": "hello\n"},
                                    configMapGenerator=[{"name": "settings", "files": ["a.properties", "key=b/c.txt"]}]),
    "a ConfigMap of literals, without suffix": overlay(configMapGenerator=[{"name": "settings", "literals": ["a=1", "b=x=y"]}],
                                                       generatorOptions={"disableNameSuffixHash": True, "labels": {"g": "h"}}),
    "a ConfigMap of an env file": overlay({"my.env": "A=1\nB=two\n"}, configMapGenerator=[{"name": "settings", "envs": ["my.env"]}]),
    "a Secret of files and literals": overlay({"key.pem": "-----BEGIN-----\n"}, secretGenerator=[
        {"name": "tls", "type": "Opaque", "files": ["key.pem"], "literals": ["password=hunter2"]}]),
    "a generator that merges with the base's": {
        "base/kustomization.yaml": {"configMapGenerator": [{"name": "c", "literals": ["a=1", "b=2"]}]},
        "app/kustomization.yaml": {"resources": ["../base"],
                                   "configMapGenerator": [{"name": "c", "behavior": "merge", "literals": ["b=3"]}]}},
    "components": {**overlay(components=["../components/tls"]),
                   "components/tls/kustomization.yaml": {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component",
                                                         "patches": [{"path": "p.yaml"}], "resources": ["extra.yaml"]},
                   "components/tls/p.yaml": PATCH, "components/tls/extra.yaml": config_map("extra")},
    "replacements by path": overlay({"r.yaml": [{"source": {"kind": "Service", "name": "web", "fieldPath": "metadata.name"}, "targets": [
        {"select": {"kind": "Deployment"}, "fieldPaths": ["spec.template.spec.containers.0.env.0.value"]}]}]},
        replacements=[{"path": "r.yaml"}]),
    "a List": overlay({"l.yaml": {"apiVersion": "v1", "kind": "List", "items": [yaml.safe_load(config_map(n)) for n in "xyz"]}},
                      base=False, resources=["l.yaml"], namePrefix="p-"),
    "many documents and comments": overlay({"m.yaml": f"# one\n{config_map('a')}---\n---\n# two\n{config_map('b')}"}, base=False,
                                           resources=["m.yaml"]),
    "an object of kind Kustomization": overlay({"flux.yaml": {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization",
                                                              "metadata": {"name": "x"}, "spec": {"path": "./y"}}}, base=False,
                                               resources=["flux.yaml"], namespace="flux"),
    "nulls and empty values": overlay({"n.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: n, annotations: {}}\ndata: {a: '', b: 'null'}\n"},
                                      base=False, resources=["n.yaml"]),
    "strings that look like something else": overlay({"s.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: s}\ndata: {a: 'yes', b: '0777', "
                                                                "c: '1e3', d: '2026-01-01', e: |\n    two\n    lines\n  , f: 'ü \U0001f600'}\n"
                                                      .replace("e: |\n    two\n    lines\n  , ", 'e: "two\\nlines\\n", ')},
                                                     base=False, resources=["s.yaml"]),
    "large numbers": overlay({"n.yaml": "apiVersion: x.example.org/v1\nkind: Thing\nmetadata: {name: n}\n"
                                        "spec: {a: 9007199254740993, b: 1000000, c: -5, d: 0.5}\n"}, base=False, resources=["n.yaml"]),
    "a custom resource with its schema": overlay({"t.yaml": {"apiVersion": "x.example.org/v1", "kind": "Thing", "metadata": {"name": "t"},
                                                             "spec": {"ref": "web"}},
                                                  "config.yaml": {"nameReference": [{"kind": "Service", "version": "v1", "fieldSpecs": [
                                                      {"kind": "Thing", "path": "spec/ref"}]}]}},
                                                 resources=["../base", "t.yaml"], configurations=["config.yaml"], namePrefix="q-"),
    "a built-in transformer": overlay({"t.yaml": {"apiVersion": "builtin", "kind": "PrefixTransformer", "metadata": {"name": "t"},
                                                  "prefix": "tt-", "fieldSpecs": [{"path": "metadata/name"}]}}, transformers=["t.yaml"]),
    "a built-in generator that reads a file": overlay({"g.yaml": {"apiVersion": "builtin", "kind": "ConfigMapGenerator",
                                                                  "metadata": {"name": "g"}, "files": ["data.txt"]}, "data.txt": "x\n"},
                                                      generators=["g.yaml"]),
    "a directory of built-in generators, one of which reads a file": overlay(
        {"gen/kustomization.yaml": {"resources": ["g.yaml"]}, "data.txt": "x\n",
         "gen/g.yaml": {"apiVersion": "builtin", "kind": "ConfigMapGenerator", "metadata": {"name": "g"}, "files": ["data.txt"]}},
        generators=["gen"]),
    "a directory that is called as a host": overlay(
        {"github.com/x/kustomization.yaml": {"resources": ["a.yaml"]}, "github.com/x/a.yaml": config_map("a")}, resources=["github.com/x"]),
    "files that are called as hosts and users": overlay({"github.com-a.yaml": config_map("a"), "b@c:d": "x"}, base=False, resources=[
        "github.com-a.yaml"], configMapGenerator=[{"name": "s", "files": ["b@c:d"]}]),
    "anchors and merge keys": overlay({"a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: &l {p: q, r: s}, annotations: {<<: *l, r: t}}\n"},
                                      base=False, resources=["a.yaml"]),
    "a byte order mark, and lines as Windows has them": overlay({"a.yaml": "\ufeff" + config_map("a").replace("\n", "\r\n")}, base=False,
                                                                resources=["a.yaml"]),
    "a transformer in place": overlay(transformers=[yaml.safe_dump({
        "apiVersion": "builtin", "kind": "AnnotationsTransformer", "metadata": {"name": "t"}, "annotations": {"a": "b"},
        "fieldSpecs": [{"path": "metadata/annotations", "create": True}]})]),
    "sorting, the old way": overlay({"z.yaml": {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "z"}}},
                                    resources=["../base", "z.yaml"], sortOptions={"order": "legacy"}),
    "JSON resources": overlay({"a.json": json.dumps(yaml.safe_load(config_map("a")))}, base=False, resources=["a.json"]),
    "a directory within": {"app/kustomization.yaml": "resources: [./sub/, cm.yaml]\n", "app/cm.yaml": config_map("a"),
                           "app/sub/kustomization.yaml": "resources: [b.yaml]\nnameSuffix: -s\n", "app/sub/b.yaml": config_map("b")},
    "nothing": {"app/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [cm.yaml]\n"
                                          "patches: [{patch: '{$patch: delete, apiVersion: v1, kind: ConfigMap, metadata: {name: a}}'}]\n",
                "app/cm.yaml": config_map("a")},
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_rendered_is_what_kustomize_builds(tmp_path, case):
    write(tmp_path, CASES[case])
    done = render("app", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(line for line in done.stdout.splitlines()) == oracle(tmp_path / "app")


def test_links_within_the_repository_are_followed_as_kustomize_does(tmp_path):
    write(tmp_path, {**BASE, "app/kustomization.yaml": "resources: [linked]\npatches: [{path: p.yaml}]\n", "app/real.yaml": PATCH})
    (tmp_path / "app/linked").symlink_to("../base")
    (tmp_path / "app/p.yaml").symlink_to("real.yaml")
    done = render("app", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == oracle(tmp_path / "app")


REFUSED = {
    "a field that does not exist": ({"app/kustomization.yaml": "resources: [a.yaml]\nnonsense: 1\n", "app/a.yaml": config_map("a")},
                                    "app/kustomization.yaml: kustomize: ", "nonsense"),
    "a broken resource": ({"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "a: [\n"}, "app/kustomization.yaml: ", "a.yaml"),
    "a broken kustomization": ({"app/kustomization.yaml": "resources: [a.yaml]\nx: [\n"}, "app/kustomization.yaml:3: ", ""),
    "a file that is not there": ({"app/kustomization.yaml": "resources:\n- a.yaml\n"}, "app/kustomization.yaml:2: ", "does not exist"),
    "a circle": ({"app/kustomization.yaml": "resources: [../b]\n", "b/kustomization.yaml": "resources: [../app]\n"},
                 "app/kustomization.yaml: kustomize: ", "cycle"),
    "a zero byte in what is built, on no line of the repository": (
        {"app/kustomization.yaml": "resources: [a.yaml]\n", "app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: \"a\\0b\"}\n"},
        "app/kustomization.yaml: ", "zero byte"),
    "a pointer of Git LFS": ({"app/kustomization.yaml": "configMapGenerator: [{name: c, files: [big.txt]}]\n",
                              "app/big.txt": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"},
                             "app/kustomization.yaml: ", "app/big.txt is a pointer of Git LFS"),
    "a pointer of Git LFS among plain manifests": ({"app/a.yaml": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"},
                                                   "app/a.yaml: ", "app/a.yaml is a pointer of Git LFS"),
    "a patch without a target": ({"app/kustomization.yaml": "resources: [a.yaml]\npatches: [{path: p.yaml}]\n",
                                  "app/a.yaml": config_map("a"), "app/p.yaml": config_map("b")}, "app/kustomization.yaml: kustomize: ", "no matches"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_error_names_files_as_the_repository_does(tmp_path, case):
    files, start, word = REFUSED[case]
    write(tmp_path, files)
    done = render("app", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(start) and word in done.stderr and "gitmoor-render" not in done.stderr, done.stderr


def test_what_the_application_adds(tmp_path):
    write(tmp_path, {**overlay(), "components/extra/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
                                                                         "resources: [e.yaml]\n", "components/extra/e.yaml": config_map("e")})
    spec = {"patches": [{"patch": yaml.safe_dump(PATCH)}], "images": [{"name": "nginx", "newTag": "3"}], "namePrefix": "a-",
            "nameSuffix": "-b", "components": ["../components/extra"],
            "commonMetadata": {"labels": {"team": "x"}, "annotations": {"note": "well"}}}
    write(tmp_path, {"application.yaml": {"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": "shop"},
                                          "spec": {"targetNamespace": "prod", "render": {"kustomize": spec}}},
                     "same/kustomization.yaml": {"resources": ["../app"], "components": ["../components/extra"],
                                                 **{key: spec[key] for key in ("patches", "images", "namePrefix", "nameSuffix")},
                                                 "labels": [{"pairs": {"team": "x"}}], "commonAnnotations": {"note": "well"}, "namespace": "prod"}})
    done = render("app", "--application", "application.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == oracle(tmp_path / "same")


def test_what_the_application_adds_to_plain_manifests(tmp_path):
    write(tmp_path, {"app/a.yaml": config_map("a"), "app/b/c.yaml": config_map("c"),
                     "application.yaml": {"kind": "Application", "spec": {"render": {"kustomize": {"namePrefix": "p-"}}}}})
    done = render("app", "--application", "application.yaml", cwd=tmp_path)
    assert [json.loads(line)["metadata"]["name"] for line in done.stdout.splitlines()] == ["p-a", "p-c"], done.stderr


def test_the_spec_says_that_manifests_are_plain(tmp_path):
    write(tmp_path, {"app/a.yaml": config_map("a"), "app/kustomization.yaml": "namePrefix: p-\nresources: [a.yaml]\n",
                     "application.yaml": {"kind": "Application", "spec": {"render": {"type": "Plain"}}}})
    done = render("app", "--application", "application.yaml", cwd=tmp_path)
    assert [json.loads(line)["metadata"]["name"] for line in done.stdout.splitlines()] == ["a"], done.stderr


# ------------------------------------------------------------------------------- the differ

def test_an_overlay_is_live_and_renders_only_for_what_it_reads(moored, namespace, repository):
    repository.commit({"base/kustomization.yaml": "resources: [a.yaml]\n", "base/a.yaml": config_map("a", x="1"),
                       "overlays/production/kustomization.yaml": "resources: [../../base]\nnamePrefix: prod-\n",
                       "other/o.yaml": config_map("o", x="1")}, "first")
    mooring = moored(repository, path="overlays/production", render={"kustomize": {"commonMetadata": {"labels": {"team": "shop"}}}})
    wait_for(lambda: mooring.config_map("prod-a") == {"x": "1"}, what="the overlay's object")
    assert mooring.api.get("ConfigMap", namespace, "prod-a")["metadata"]["labels"]["team"] == "shop"
    first = wait_for(lambda: mooring.status().get("lastAppliedRevision"), what="the revision")
    mooring.beside("other", "other")
    mooring.push({"other/o.yaml": config_map("o", x="2"), "overlays/production/notes.txt": "not read", "base/notes.yaml": "neither"})
    wait_for(lambda: mooring.config_map("o") == {"x": "2"}, what="the other application's change, rendered by the same run")
    assert mooring.status()["lastAppliedRevision"] == first, "nothing that it reads has changed"
    mooring.push({"base/a.yaml": config_map("a", x="2")})
    wait_for(lambda: mooring.config_map("prod-a") == {"x": "2"}, what="the base's change")
    mooring.push({"base/kustomization.yaml": "resources:\n- a.yaml\n- gone.yaml\n"})
    wait_for(lambda: mooring.condition()["reason"] == "Invalid", what="the refusal")
    (error,) = mooring.status()["errors"]
    assert (error["file"], error["line"]) == ("base/kustomization.yaml", 3) and "gone.yaml does not exist" in error["message"]
