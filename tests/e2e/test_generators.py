"""Languages that a program of the operator's renders: HCL, by `gitmoor render` and by the differ; and what such a program cannot do."""
import json

import pytest
import yaml

from harness import generators, sample, sops
from harness.api import ApiError
from harness.waiting import wait_for
from test_render_kustomize import render, write

SHOP = """
locals {
  replicas = 3
}
manifest {
  apiVersion = "v1"
  kind       = "ConfigMap"
  metadata   = { name = "shop", labels = { app = "shop" } }
  data       = { replicas = "x${local.replicas}", name = upper("shop") }
}
manifest {
  apiVersion = "v1"
  kind       = "Service"
  metadata   = { name = "shop" }
  spec       = { ports = [{ port = 80 }] }
}
"""
HCL = {"generator": {"name": "hcl"}}


def generated(folder, files, *more, allowed=True, **spec):
    spec.setdefault("render", HCL)
    write(folder / "r", files)
    file = generators.write(folder / "generators.yaml", *more)
    (folder / "application.yaml").write_text(yaml.safe_dump(sample.application("default", "shop", "shop", path="app", **spec)))
    return render(folder / "r" / "app", "--application", folder / "application.yaml", *(["--generators", file] if allowed else []))


def objects(done):
    assert done.returncode == 0, done.stderr
    return {item["kind"]: item for item in map(json.loads, done.stdout.splitlines())}


def refused(done, *words):
    assert done.returncode == 1 and done.stdout == "", done
    for word in words:
        assert word in done.stderr, done.stderr


def test_hcl_becomes_objects(tmp_path):
    found = objects(generated(tmp_path, {"app/shop.hcl": SHOP}))
    assert found["ConfigMap"]["data"] == {"replicas": "x3", "name": "SHOP"} and found["Service"]["spec"]["ports"] == [{"port": 80}]


def test_it_knows_the_application_and_nothing_else_of_its_surroundings(tmp_path):
    text = 'manifest {\n  apiVersion = "v1"\n  kind = "ConfigMap"\n  metadata = { name = "e" }\n  data = env\n}\n'
    data = objects(generated(tmp_path, {"app/e.hcl": text}))["ConfigMap"]["data"]
    assert data["GITMOOR_NAME"] == "shop" and data["GITMOOR_NAMESPACE"] == "default"
    assert set(data) <= {"GITMOOR_NAME", "GITMOOR_NAMESPACE", "GOTRACEBACK", "GOMAXPROCS", "GOMEMLIMIT", "GOGC", "HELM_CACHE_HOME", "HELM_CONFIG_HOME",
                         "HELM_DATA_HOME"}


def test_what_is_rendered_is_substituted_and_decrypted_as_other_objects_are(tmp_path):
    text = SHOP.replace('upper("shop")', '"$${city}"')
    assert objects(generated(tmp_path / "a", {"app/s.hcl": text}, substitute={"city": "berlin"}))["ConfigMap"]["data"]["name"] == "berlin"
    refused(generated(tmp_path / "b", {"app/s.hcl": SHOP, "app/x.env": sops.encrypt("A=b\n", "x.env")}), "app/x.env:1: it is encrypted by SOPS")


WITH_LIBRARY = {"name": "library", "command": [str(generators.HCL), "../library/base.hcl"]}


def test_more_of_the_repository_is_included_when_the_application_says_so(tmp_path):
    files = {"app/x.txt": "", "library/base.hcl": SHOP}
    library = {"generator": {"name": "library", "include": ["../library"]}}
    assert set(objects(generated(tmp_path / "a", files, WITH_LIBRARY, render=library))) == {"ConfigMap", "Service"}
    refused(generated(tmp_path / "b", files, WITH_LIBRARY, render={"generator": {"name": "library"}}), "library/base.hcl")
    for path, word in (("../../etc", "leads out of the repository"), ("../none", "does not exist in the repository")):
        refused(generated(tmp_path / "c", files, WITH_LIBRARY, render={"generator": {"name": "library", "include": [path]}}), "include: " + path, word)


CASES = {
    "an error of the program": ({"app/shop.hcl": SHOP.replace("local.replicas", "local.none")}, {}, ["hcl: shop.hcl:9,", "none"]),
    "no objects but text": ({"app/shop.hcl": SHOP.replace('kind       = "Service"\n', "")}, {}, ["has no kind"]),
    "a name that the operator does not allow": ({"app/shop.hcl": SHOP}, {"generator": {"name": "cue"}}, [
        "spec.render.generator: there is no generator called cue here; the operator allows: hcl"]),
    "a type without one": ({"app/shop.hcl": SHOP}, {"type": "Generator"}, ["type is Generator, and generator does not name one"]),
    "another type": ({"app/shop.hcl": SHOP}, {"type": "Plain", **HCL}, ["generator is set, and type is not Generator"]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_told(tmp_path, case):
    files, spec, words = CASES[case]
    refused(generated(tmp_path, files, render=spec or HCL), *words)


def test_none_is_allowed_unless_the_operator_says_so(tmp_path):
    refused(generated(tmp_path, {"app/shop.hcl": SHOP}, allowed=False), "no generator called hcl here; the operator allows: none")
    missing = {"name": "gone", "command": ["/none/gone"]}
    refused(generated(tmp_path, {"app/a": ""}, missing, render={"generator": {"name": "gone"}}), "the generator gone cannot be run: there is no /none/gone")


SETTINGS = {
    "a relative program": ("generators: [{name: a, command: [hcl]}]", "absolute path"), "no name": ("generators: [{command: [/a]}]", "a name of"),
    "two of a name": ("generators:\n- {name: a, command: [/a]}\n- {name: a, command: [/a]}", ":3: there is another"),
    "a word that is unknown": ("generators:\n- name: a\n  command: [/a]\n  shell: true", ":4: a generator has name, command and paths"),
    "a relative path": ("generators: [{name: a, command: [/a], paths: [b]}]", "list of absolute paths"), "no list": ("hcl: 1", "one list, generators"),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_settings_that_are_wrong_are_refused_with_their_line(tmp_path, case):
    text, words = SETTINGS[case]
    (tmp_path / "g.yaml").write_text(text)
    done = render(tmp_path, "--generators", tmp_path / "g.yaml")
    assert done.returncode == 2 and f"--generators: {tmp_path}/g.yaml:" in done.stderr and words in done.stderr


HOSTILE = """
import json, os, socket
def attempt(what):
    try:
        return str(what())
    except OSError as problem:
        return type(problem).__name__
def fork():
    if os.fork() == 0:
        os._exit(0)
print(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {
    "passwd": attempt(lambda: open("/etc/passwd").read()), "outside": attempt(lambda: open("../outside.txt").read()),
    "write": attempt(lambda: open("made", "w")), "network": attempt(socket.socket), "fork": attempt(fork),
    "execute": attempt(lambda: os.execv("/bin/sh", ["sh", "-c", "echo kind: Pod"])), "environ": os.environ.get("SECRET_TOKEN", "none"),
    "parent": attempt(lambda: open("/proc/%d/environ" % os.getppid()).read()), "own": open("own.txt").read()}}))
"""


def test_an_interpreter_is_confined_as_well(tmp_path, monkeypatch):
    """A program with libraries and a script beside it: `paths` has what it needs, and it gets no more."""
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    script = tmp_path / "hostile.py"
    script.write_text(HOSTILE)
    hostile = generators.python("hostile", script)
    data = objects(generated(tmp_path, {"app/own.txt": "mine", "outside.txt": "secret"}, hostile, render={"generator": {"name": "hostile"}}))["ConfigMap"]["data"]
    assert data.pop("own") == "mine" and data.pop("environ") == "none"
    assert data.pop("outside") == "FileNotFoundError"
    assert set(data.values()) == {"PermissionError"}, data


@pytest.mark.parametrize("spec, word", [
    ({"generator": {}}, "name"), ({"generator": {"name": "../x"}}, "name"), ({"type": "Generator"}, "needs generator"),
    ({"generator": {"name": "a"}, "type": "Plain"}, "the type is Generator"), ({"generator": {"name": "a"}, "helm": {}}, "neither helm nor kustomize")])
def test_the_api_refuses_what_makes_no_sense(api, namespace, spec, word):
    with pytest.raises(ApiError) as refusal:
        api.apply(sample.application(namespace, "x", "x", render=spec))
    assert word in str(refusal.value)


def test_hcl_is_live_and_follows_its_files(moored, api, namespace, repository):
    repository.commit({"app/shop.hcl": SHOP}, "hcl")
    mooring = moored(repository, path="app", render={"generator": {"name": "jsonnet"}})
    wait_for(lambda: any("there is no generator called jsonnet here; the operator allows: hcl" in error["message"]
                         for error in mooring.status().get("errors", [])), timeout=60, what="the refusal")
    assert mooring.live() == {}
    mooring.set(render=HCL)
    wait_for(lambda: mooring.config_map("shop") == {"replicas": "x3", "name": "SHOP"}, timeout=60, what="the ConfigMap")
    assert api.get("Service", namespace, "shop")["spec"]["ports"][0]["port"] == 80
    mooring.push({"app/shop.hcl": SHOP.replace("replicas = 3", "replicas = 5")})
    wait_for(lambda: mooring.config_map("shop")["replicas"] == "x5", timeout=60, what="the change")
