"""Hooks whose Pods run: tests/e2e/test_hooks.py has the rules, with Pods that only say that they ran."""
import json
from datetime import datetime

import pytest

from harness.mooring import config_map
from harness.realnode import TOOLBOX
from harness.waiting import wait_for
from webserver import web

JOB = """apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  annotations: {annotations}
spec:
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      containers:
        - name: main
          image: {image}
          imagePullPolicy: Never
          command: [sh, -c, {script}]
          terminationMessagePolicy: FallbackToLogsOnError
"""
# What a smoke test does: asks through kube-proxy, from a Pod.
ASK = r"""printf 'GET /index.html HTTP/1.0\r\n\r\n' | nc -w 5 "$WEB_SERVICE_HOST" 80 | grep -x """


def job(name, script, annotations):
    return JOB.format(name=name, image=TOOLBOX, script=json.dumps(script), annotations=json.dumps(annotations))


def ours(name, moment, script):
    return job(name, script, {"gitmoor.io/hook": moment})


@pytest.fixture(scope="module")
def gitmoor(install):
    with install("sidecar") as installation:
        yield installation


def runs(shop):
    return {(run["moment"], run["name"]): run["result"] for run in shop.status().get("hooks", {}).get("runs", [])}


def when(text):
    return datetime.fromisoformat(text)


def logs(kubectl, namespace, name):
    return kubectl("logs", "-n", namespace, f"job/{name}")


def test_before_and_after_run_around_what_they_are_for(gitmoor, moored, repository, api, kubectl, namespace):
    repository.commit({"deploy/web.yaml": web("one"), "deploy/before.yaml": ours("migrate", "before", "echo migrated"),
                       "deploy/after.yaml": ours("smoke", "after", ASK + "one")})
    shop = moored(repository)
    shop.wait_applied(timeout=120)
    assert runs(shop) == {("before", "migrate"): "Succeeded", ("after", "smoke"): "Succeeded"}
    assert logs(kubectl, namespace, "migrate") == "migrated\n" and logs(kubectl, namespace, "smoke") == "one\n"
    deployment, migrate, smoke = api.get("Deployment", namespace, "web"), *(api.get("Job", namespace, name) for name in ("migrate", "smoke"))
    assert when(migrate["status"]["completionTime"]) <= when(deployment["metadata"]["creationTimestamp"])
    available = next(condition for condition in deployment["status"]["conditions"] if condition["type"] == "Available")
    assert when(available["lastTransitionTime"]) <= when(smoke["status"]["startTime"])

    shop.push({"deploy/web.yaml": web("two"),
               "deploy/after.yaml": ours("smoke", "after", ASK + "two")})
    shop.wait_applied(timeout=120)
    assert logs(kubectl, namespace, "smoke") == "two\n", "no Pod of the revision before answers any more"
    assert api.get("Job", namespace, "migrate")["metadata"]["uid"] != migrate["metadata"]["uid"], "each revision has a run of its own"


def test_a_before_hook_that_fails_tells_its_last_words_and_the_failure_hook_runs(gitmoor, moored, repository, kubectl, namespace):
    repository.commit({"deploy/settings.yaml": config_map("settings", step="1")})
    shop = moored(repository)
    shop.wait_applied(timeout=60)
    good = repository.revision()
    shop.push({"deploy/settings.yaml": config_map("settings", step="2"),
               "deploy/before.yaml": ours("migrate", "before", "echo no such table: orders; exit 3"),
               "deploy/failure.yaml": ours("report", "failure", "echo told the people on call")})
    shop.wait_not_ready("migrate", "exit code 3", "no such table: orders", reason="HookFailed", timeout=120)
    wait_for(lambda: runs(shop) == {("before", "migrate"): "Failed", ("failure", "report"): "Succeeded"}, 60, "the failure hook")
    assert logs(kubectl, namespace, "report") == "told the people on call\n"
    assert shop.config_map("settings") == {"step": "1"} and shop.status()["lastAppliedRevision"] == good
    shop.push({"deploy/before.yaml": ours("migrate", "before", "echo migrated")})
    shop.wait_applied(timeout=120)
    assert shop.config_map("settings") == {"step": "2"} and logs(kubectl, namespace, "migrate") == "migrated\n"


def test_an_after_hook_that_fails_puts_the_earlier_revision_back(gitmoor, moored, repository, api, namespace):
    repository.commit({"deploy/web.yaml": web("one"),
                       "deploy/after.yaml": ours("smoke", "after", ASK + "one")})
    shop = moored(repository, rollback={"onFailure": True})
    shop.wait_applied(timeout=120)
    shop.push({"deploy/web.yaml": web("wrong")})
    shop.wait_not_ready("smoke", reason="RolledBack", timeout=120)
    wait_for(lambda: "echo one " in json.dumps(api.get("Deployment", namespace, "web")["spec"]), 60, "the earlier revision")


def test_a_chart_brings_its_hooks(gitmoor, moored, repository, api, kubectl, namespace):
    """The first time those of installation, then those of an upgrade; they are deleted as the chart says."""
    chart = {"deploy/Chart.yaml": "apiVersion: v2\nname: shop\nversion: 1.0.0\n", "deploy/values.yaml": "color: red\n",
             "deploy/templates/settings.yaml": config_map("settings", color="{{ .Values.color }}")}
    for name, event, policy in (("install", "pre-install", "hook-succeeded"), ("upgrade", "pre-upgrade", "before-hook-creation"),
                                ("smoke", "post-install,post-upgrade", "before-hook-creation")):
        chart[f"deploy/templates/{name}.yaml"] = job(name, "echo {{ .Values.color }}", {
            "helm.sh/hook": event, "helm.sh/hook-delete-policy": policy})
    repository.commit(chart)
    shop = moored(repository)
    shop.wait_applied(timeout=120)
    assert runs(shop) == {("before", "install"): "Succeeded", ("after", "smoke"): "Succeeded"}
    assert logs(kubectl, namespace, "smoke") == "red\n" and shop.config_map("settings") == {"color": "red"}
    wait_for(lambda: not api.get("Job", namespace, "install"), 60, "hook-succeeded")
    shop.push({"deploy/values.yaml": "color: green\n"})
    shop.wait_applied(timeout=120)
    assert runs(shop) == {("before", "upgrade"): "Succeeded", ("after", "smoke"): "Succeeded"}
    assert logs(kubectl, namespace, "upgrade") == "green\n" and logs(kubectl, namespace, "smoke") == "green\n"
