"""Dependency tracking: a commit renders the applications that read what it changes and no other (counted), and `gitmoor explain` says
what that is."""
import json
import subprocess

import pytest

from harness import paths
from harness.mooring import config_map
from harness.waiting import wait_for

RENDERS = "gitmoor_differ_renders_total"
KUSTOMIZATION = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
FILES = {
    "plain/a.yaml": config_map("plain-a", step="0"),
    "shared/b.yaml": config_map("plain-b", step="0"),
    "base/kustomization.yaml": KUSTOMIZATION + ("resources: [a.yaml]\nconfigMapGenerator:\n"
                                                "- {name: settings, envs: [settings.env], options: {disableNameSuffixHash: true}}\n"),
    "base/a.yaml": config_map("built", step="0"),
    "base/settings.env": "STEP=0\n",
    "base/README.md": "0\n",
    "components/mark/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
                                          "commonAnnotations: {step: '0'}\n",
    "overlays/prod/kustomization.yaml": KUSTOMIZATION + "resources: [../../base]\ncomponents: [../../components/mark]\n",
    "charts/app/Chart.yaml": "apiVersion: v2\nname: app\nversion: 0.1.0\n",
    "charts/app/values.yaml": "step: none\n",
    "charts/app/templates/a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: chart}\ndata: {step: {{ .Values.step | quote }}}\n",
    "environments/prod.yaml": "step: '0'\n",
    "environments/staging.yaml": "step: '0'\n",
    "elsewhere/c.yaml": config_map("nobodys", step="0"),
}
# What is changed, and who reads that.
READERS = {
    "plain/a.yaml": {"plain"},
    "shared/b.yaml": {"plain"},  # through a link
    "base/a.yaml": {"overlay"},
    "base/settings.env": {"overlay"},
    "components/mark/kustomization.yaml": {"overlay"},
    "overlays/prod/kustomization.yaml": {"overlay"},
    "charts/app/templates/a.yaml": {"chart"},
    "charts/app/values.yaml": {"chart"},
    "environments/prod.yaml": {"chart"},
    "base/README.md": set(),
    "environments/staging.yaml": set(),
    "elsewhere/c.yaml": set(),
}
READ = {
    "plain": {"plain/a.yaml", "shared/b.yaml"},
    "overlay": {"overlays/prod/kustomization.yaml", "base/kustomization.yaml", "base/a.yaml", "base/settings.env",
                "components/mark/kustomization.yaml"},
    "chart": {"charts/app/Chart.yaml", "charts/app/values.yaml", "charts/app/templates/a.yaml", "environments/prod.yaml"},
}


@pytest.fixture
def run(cluster, namespace):
    def call(*arguments):
        return subprocess.run([paths.gitmoor_bin() / "gitmoor", *map(str, arguments), "-n", namespace,
                               "--kubeconfig", cluster.kubeconfig("admin")],
                              capture_output=True, text=True, check=False, timeout=60)
    return call


@pytest.fixture
def applications(repository, moored, run):
    """name -> Mooring of three applications of one repository: plain manifests, an overlay, a chart."""
    repository.write(FILES)
    (repository.folder / "plain/link.yaml").symlink_to("../shared/b.yaml")
    repository.commit()
    made = {"plain": moored(repository, name="plain", path="plain")}
    made["overlay"] = made["plain"].beside("overlay", "overlays/prod")
    made["chart"] = made["plain"].beside("chart", "charts/app", render={"helm": {"valuesFiles": ["../../environments/prod.yaml"]}})
    for mooring in made.values():
        mooring.wait_applied()
    # What other tests have changed of what the cluster serves, the differ may not have heard of yet.
    wait_for(lambda: run("explain", "chart", "--repository", repository.folder).returncode == 0, what="the key with what is served now")
    yield made
    for mooring in made.values():
        mooring.api.delete("Application", mooring.namespace, mooring.name)


def keys(applications):
    return {name: mooring.status()["renderKey"] for name, mooring in applications.items()}


def test_a_commit_renders_those_who_read_what_it_changes(applications, repository, gitmoor):
    def looked_at():
        return {result: gitmoor.metric("differ", RENDERS, f'result="{result}"') for result in ("rendered", "unchanged", "failed")}

    for number, (path, readers) in enumerate(READERS.items(), start=1):
        before, keys_before = looked_at(), keys(applications)
        text = FILES[path]
        yaml = path.endswith(".yaml") and not path.startswith("environments")
        changed = text + f"# {number}\n" if yaml else text.replace("0", str(number))
        revision = applications["plain"].push({path: changed})
        wait_for(lambda: sum(looked_at().values()) >= sum(before.values()) + 3, what=f"{path} is looked at")
        now = looked_at()
        assert now["rendered"] - before["rendered"] == len(readers), f"{path}: {now} after {before}"
        assert now["unchanged"] - before["unchanged"] == 3 - len(readers), f"{path}: {now} after {before}"
        for name in readers:
            applications[name].wait_applied(revision)
        keys_now = keys(applications)
        assert {name for name in keys_now if keys_now[name] != keys_before[name]} == readers, path


def test_explain_lists_what_is_read_and_computes_the_key_of_the_cluster(applications, repository, run):
    first = repository.head()
    for name, mooring in applications.items():
        done = run("explain", name, "--repository", repository.folder, "-o", "json")
        assert done.returncode == 0, done.stderr + done.stdout
        told = json.loads(done.stdout)
        assert {each["path"] for each in told["files"]} == READ[name]
        assert told["verdict"] == "same" and told["computedKey"] == told["renderKey"] == mooring.status()["renderKey"]
        for each in told["files"]:
            assert each["id"] == repository.git("rev-parse", f"HEAD:{each['path']}")
        text = run("explain", name, "--repository", repository.folder).stdout
        assert told["renderKey"] in text and all(path in text for path in READ[name])
    settings = {each["what"]: each["value"] for each in told["settings"]}  # of the chart
    assert settings["release"] == "chart" and settings["Kubernetes version"].startswith("v1.") and "API versions" in settings
    overlay = json.loads(run("explain", "overlay", "--repository", repository.folder, "-o", "json").stdout)
    absent = {each["path"] for each in overlay["paths"] if each["id"] == ""}
    assert "overlays/prod/Chart.yaml" in absent, "what would change the rendering if it came is in the key too"
    # Of another revision it says whether that would be rendered.
    repository.commit({"base/a.yaml": config_map("built", step="1")}, push=False)
    assert run("explain", "overlay", "--repository", repository.folder, "--revision", "HEAD").returncode == 1
    assert run("explain", "plain", "--repository", repository.folder, "--revision", "HEAD").returncode == 0
    assert run("explain", "overlay", "--repository", repository.folder, "--revision", first).returncode == 0
    assert run("explain", "overlay", "--repository", repository.folder, "--revision", "nothing").returncode == 2
    assert run("explain", "repository/plain", "--repository", repository.folder).returncode == 2


def test_explain_names_objects_of_the_cluster_and_no_values(repository, moored, run, api, namespace):
    api.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "words", "namespace": namespace},
               "stringData": {"word": "hunter2"}})
    api.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace},
               "data": {"color": "crimson"}})
    repository.commit({"deploy/a.yaml": config_map("a", color="${color}", word="${word}")})
    shop = moored(repository, substituteFrom=[{"kind": "ConfigMap", "name": "settings"}, {"kind": "Secret", "name": "words"}])
    shop.wait_applied()
    for output in ("json", "text"):
        done = run("explain", shop.name, "--repository", repository.folder, "-o", output)
        assert done.returncode == 0, done.stderr
        assert "settings" in done.stdout and "words" in done.stdout and "spec.substituteFrom" in done.stdout
        assert "hunter2" not in done.stdout and "crimson" not in done.stdout
    told = json.loads(run("explain", shop.name, "--repository", repository.folder, "-o", "json").stdout)
    assert told["verdict"] == "part" and "computedKey" not in told
    assert [each["name"] for each in told["objects"] if each["resourceVersion"]] == ["settings", "words"]
    api.delete("Secret", namespace, "words")
    told = json.loads(run("explain", shop.name, "--repository", repository.folder, "-o", "json").stdout)
    assert told["objects"][1]["problem"] == "it does not exist"
