"""Substitution: ${variables} of an Application in what is rendered, by `gitmoor render` and by the differ."""
import base64
import json

import pytest
import yaml

from harness import sample
from harness.api import ApiError
from harness.waiting import wait_for
from test_render_kustomize import render, write

WEB = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: ${cluster}-web
  annotations: {revision: "${replicas}"}
spec:
  replicas: ${replicas}
  template:
    spec:
      containers:
      - name: main
        image: nginx:${tag:-1.27}
"""
SCRIPT = """apiVersion: v1
kind: ConfigMap
metadata:
  name: script
%sdata:
  run: |
    echo ${HOME} $USER ${array[0]} ${cluster}
"""
DISABLED = "  %s: {gitmoor.io/substitute: disabled}\n"
VARIABLES = {"cluster": "berlin", "replicas": "3"}


def application(**spec):
    return sample.application("default", "shop", "shop", path="app", **spec)


def rendered(folder, *arguments, **spec):
    (folder / "application.yaml").write_text(yaml.safe_dump(application(**spec)))
    return render(folder / "app", "--application", folder / "application.yaml", *arguments)


def objects(done):
    assert done.returncode == 0, done.stderr
    return {item["kind"]: item for item in map(json.loads, done.stdout.splitlines())}


KINDS = {
    "plain": {"app/web.yaml": WEB},
    "kustomize": {"app/kustomization.yaml": {"resources": ["web.yaml"], "commonAnnotations": {"zone": "${zone:-a}"}}, "app/web.yaml": WEB},
    "helm": {"app/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.2.3\n", "app/templates/web.yaml": WEB}}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_rendered_has_its_variables_and_types(tmp_path, kind):
    (web,) = objects(rendered(write(tmp_path, KINDS[kind]), substitute=VARIABLES)).values()
    assert web["metadata"]["name"] == "berlin-web" and web["metadata"]["annotations"]["revision"] == "3"
    assert web["spec"]["replicas"] == 3
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.27"
    assert web["metadata"]["annotations"].get("zone", "a") == "a"


def test_without_variables_scripts_and_crds_are_not_touched(tmp_path):
    script = objects(rendered(write(tmp_path, {"app/script.yaml": SCRIPT % ""})))["ConfigMap"]
    assert script["data"]["run"] == "echo ${HOME} $USER ${array[0]} ${cluster}\n"


@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_an_object_may_opt_out(tmp_path, field):
    files = {"app/script.yaml": SCRIPT % (DISABLED % field), "app/web.yaml": WEB}
    found = objects(rendered(write(tmp_path, files), substitute=VARIABLES))
    assert found["ConfigMap"]["data"]["run"] == "echo ${HOME} $USER ${array[0]} ${cluster}\n"
    assert found["Deployment"]["metadata"]["name"] == "berlin-web"


def test_an_unknown_variable_is_an_error_with_object_file_and_line(tmp_path):
    done = rendered(write(tmp_path, {"app/web.yaml": WEB, "app/script.yaml": SCRIPT % ""}), substitute={"cluster": "hunter2"})
    assert done.returncode == 1 and done.stdout == ""
    for line in (5, 7):
        assert f"app/web.yaml:{line}: Deployment ${{cluster}}-web: ${{replicas}}: the variable is not set" in done.stderr
    assert "app/script.yaml:6: ConfigMap script: ${HOME}" in done.stderr
    assert "hunter2" not in done.stderr


def test_variables_of_the_cluster_come_from_a_file(tmp_path):
    write(tmp_path, {"app/web.yaml": WEB, "v.yaml": {"cluster": "paris", "replicas": "5"}, "w.yaml": {"replicas": "7"}, "bad.yaml": {"replicas": 7}})
    source = {"substituteFrom": [{"kind": "ConfigMap", "name": "x"}], "substitute": {"cluster": "berlin"}}
    refused = rendered(tmp_path, **source)
    assert refused.returncode == 2 and "--substitute-from FILE" in refused.stderr
    found = objects(rendered(tmp_path, "--substitute-from", tmp_path / "v.yaml", "--substitute-from", tmp_path / "w.yaml", **source))["Deployment"]
    assert found["metadata"]["name"] == "berlin-web" and found["spec"]["replicas"] == 7
    wrong = rendered(tmp_path, "--substitute-from", tmp_path / "bad.yaml", **source)
    assert wrong.returncode == 2 and "replicas is not a string" in wrong.stderr


@pytest.mark.parametrize("spec, word", [({"substitute": {"n": 3}}, "substitute"), ({"substituteFrom": [{"kind": "Pod", "name": "x"}]}, "Pod")])
def test_the_api_refuses_what_makes_no_sense(api, namespace, spec, word):
    with pytest.raises(ApiError) as refusal:
        api.apply(sample.application(namespace, "x", "x", **spec))
    assert word in str(refusal.value)


def test_variables_of_the_cluster_become_live_and_change(moored, api, namespace, repository):
    def put(kind, name, **data):
        if kind == "Secret":  # not stringData: what goes from there stays in data
            data = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
        api.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}, "data": data})

    repository.commit({"app/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n"
                                     "  x: '${x}'\n  u: '${u}'\n  z: '${z}'\n  d: '${d:-none}'\n"}, "variables")
    put("ConfigMap", "first", x="1", u="1", z="1")
    mooring = moored(repository, path="app", substitute={"z": "3"}, substituteFrom=[
        {"kind": "ConfigMap", "name": "first"}, {"kind": "Secret", "name": "second"}, {"kind": "ConfigMap", "name": "third", "optional": True}])
    wait_for(lambda: mooring.condition()["reason"] == "Invalid", what="the Secret to be missed")
    (error,) = mooring.status()["errors"]
    assert error["file"] == "spec.substituteFrom" and f"the Secret second does not exist in the namespace {namespace}" in error["message"]
    put("Secret", "second", u="hunter2", z="2")
    wait_for(lambda: mooring.config_map("a") == {"x": "1", "u": "hunter2", "z": "3", "d": "none"}, what="the variables")
    put("ConfigMap", "third", d="set")
    wait_for(lambda: mooring.config_map("a")["d"] == "set", what="the optional one")
    put("ConfigMap", "first", x="new", u="1")
    wait_for(lambda: mooring.config_map("a")["x"] == "new", what="the new value")
    mooring.set(substitute={"z": "4"})
    wait_for(lambda: mooring.config_map("a")["z"] == "4", what="the new variable of the spec")
    put("Secret", "second", z="2")
    put("ConfigMap", "first", x="new")
    wait_for(lambda: any("${u}: the variable is not set" in error["message"] and "hunter2" not in error["message"] and error["line"] == 7
                         for error in mooring.status().get("errors", [])), what="the unknown variable")
