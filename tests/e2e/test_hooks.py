"""Hooks: run once for each revision, before it, after it, or when it has failed (gitmoor.io/hook)."""
import json
import subprocess

import pytest

from harness import paths
from harness.mooring import config_map
from harness.node import ended
from harness.waiting import wait_for

JOB = """apiVersion: batch/v1
kind: Job
metadata:
  name: {name}
  annotations: {annotations}
spec:
  backoffLimit: 0
  {spec}
  template:
    spec:
      restartPolicy: Never
      containers: [{{name: c, image: "example.org/{image}", args: [{args!r}]}}]
"""


def job(name, moment, image="succeeds", args="1", spec="", **annotations):
    """Its Pod ends at once, well ("succeeds") or with exit code 3 ("fails"), or ("runs") when the test says so: harness/node.py."""
    said = {"gitmoor.io/hook": moment} | {f"gitmoor.io/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return JOB.format(name=name, image=image, args=args, spec=spec, annotations=json.dumps({k: v for k, v in said.items() if v}))


@pytest.fixture
def jobs(api, namespace):
    """jobs() -> name -> (UID, for which run)."""
    def look():
        return {found["metadata"]["name"]: (found["metadata"]["uid"], found["metadata"]["annotations"].get("gitmoor.io/hook-run"))
                for found in api.list("Job", namespace)}
    return look


@pytest.fixture
def end(api, kubectl, namespace):
    """end(JOB, code=0): the Job's Pod ends."""
    def pod_of(name):
        pods = api.list("Pod", namespace, f"?labelSelector=batch.kubernetes.io/job-name%3D{name}")
        return next((pod for pod in pods if pod.get("status", {}).get("startTime") and not pod["metadata"].get("deletionTimestamp")), None)

    def say(name, code=0):
        pod = wait_for(lambda: pod_of(name), what=f"a Pod of {name} on its node")
        kubectl("-n", namespace, "patch", "pod", pod["metadata"]["name"], "--subresource=status", "--type=merge",
                "-p", json.dumps({"status": ended(pod, code)}))
    return say


@pytest.fixture
def told(cluster, namespace):
    """told(APP): what `gitmoor status` says."""
    return lambda name: subprocess.run([paths.gitmoor_bin() / "gitmoor", "status", name, "-n", namespace, "--kubeconfig",
                                        cluster.kubeconfig("admin")], capture_output=True, text=True, check=False, timeout=60).stdout


def runs(shop):
    """(moment, name) -> result of what has been run for the last revision."""
    return {(run["moment"], run["name"]): run["result"] for run in shop.status().get("hooks", {}).get("runs", [])}


def wait_told(shop, *words, status="Unknown"):
    def told():
        ready = shop.condition() or {}
        return ready if ready.get("status") == status and all(word in ready.get("message", "") for word in words) else None
    return wait_for(told, what=f"Ready {status} with {words}: {shop.condition()}")


# ------------------------------------------------------------------------------- before

def test_a_before_hook_has_ended_before_anything_else_is_written(repository, moored, jobs, end):
    repository.commit({"deploy/job.yaml": job("migrate", "before", "runs"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    wait_told(shop, "before hook Job", "migrate")
    assert "migrate" in jobs() and shop.live() == {}
    end("migrate")
    shop.wait_applied()
    assert set(shop.live()) == {"c"} and runs(shop) == {("before", "migrate"): "Succeeded"}
    assert shop.status()["objects"]["desired"] == 1 and "migrate" in jobs(), "it is neither counted nor pruned"


def test_a_hook_runs_once_for_each_revision_and_its_job_is_replaced(repository, moored, jobs):
    files = {"deploy/job.yaml": job("migrate", "before", args="1"), "deploy/c.yaml": config_map("c", step="1")}
    repository.commit(files | {"other/x.yaml": config_map("x")})
    shop = moored(repository)
    shop.wait_applied()
    first = jobs()["migrate"]
    shop.push({"deploy/c.yaml": config_map("c", step="2"), "deploy/job.yaml": job("migrate", "before", args="2")})
    shop.wait_applied()
    second = jobs()["migrate"]
    assert first[0] != second[0] and first[1] != second[1]
    shop.push({"other/x.yaml": config_map("x", step="2")})
    shop.beside("other", "other").wait_applied()
    assert jobs()["migrate"] == second, "a commit elsewhere runs nothing"
    shop.push(files)
    shop.wait_applied()
    assert jobs()["migrate"][0] not in (first[0], second[0]), "what was before the last revision is attempted anew"


def test_a_hook_with_generate_name_is_run_anew_for_each_revision(repository, moored, jobs):
    def generated(args):
        return job("migrate-", "before", args=args).replace("  name: migrate-", "  generateName: migrate-")

    repository.commit({"deploy/job.yaml": generated("1"), "deploy/c.yaml": config_map("c", step="1")})
    shop = moored(repository)
    shop.wait_applied()
    ((name, (first, _)),) = jobs().items()
    assert name.startswith("migrate-") and runs(shop) == {("before", name): "Succeeded"}
    shop.push({"deploy/c.yaml": config_map("c", step="2")})
    shop.wait_applied()
    assert jobs().keys() == {name} and jobs()[name][0] != first
    shop.push({"deploy/job.yaml": generated("2")})
    shop.wait_applied()
    wait_for(lambda: len(jobs()) == 1 and name not in jobs(), what="the Job of the former content to be pruned")


def test_a_before_hook_that_fails_stops_the_commit(repository, moored, told):
    repository.commit({"deploy/c.yaml": config_map("c", step="1"), "deploy/old.yaml": config_map("old")})
    shop = moored(repository)
    shop.wait_applied()
    good = repository.revision()
    shop.push({"deploy/job.yaml": job("migrate", "before", "fails"), "deploy/c.yaml": config_map("c", step="2"), "deploy/old.yaml": None})
    message = shop.wait_not_ready(reason="HookFailed")["message"]
    assert all(word in message for word in ("migrate", "BackoffLimitExceeded", "container c: exit code 3", "no such table: orders"))
    assert shop.condition("Stalled")["reason"] == "HookFailed"
    assert f"before Job {shop.namespace}/migrate, Failed: BackoffLimitExceeded" in told("shop")
    shop.wait_event("Warning", "HookFailed", "migrate")
    assert shop.live() == {"c": {"step": "1"}, "old": {}} and shop.status()["lastAppliedRevision"] == good
    shop.push({"deploy/job.yaml": job("migrate", "before")})
    shop.wait_applied()
    assert shop.live() == {"c": {"step": "2"}}


def test_a_hook_that_does_not_end_in_time_has_failed(repository, moored):
    repository.commit({"deploy/job.yaml": job("migrate", "before", "runs"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository, health={"timeout": "2s"})
    shop.wait_not_ready("migrate", "health.timeout", reason="HookFailed")
    assert shop.live() == {}


def test_what_the_server_refuses_is_found_before_the_first_hook(repository, moored, jobs):
    repository.commit({"deploy/job.yaml": job("migrate", "before"), "deploy/c.yaml": config_map("C-is-no-name"),
                       "deploy/after.yaml": job("Smoke-is-no-name", "after")})
    shop = moored(repository)
    shop.wait_not_ready("C-is-no-name", "Smoke-is-no-name", reason="Invalid")
    assert jobs() == {}


def test_a_hook_that_is_misspelt_is_refused_with_its_file(repository, moored, jobs):
    repository.commit({"deploy/job.yaml": job("migrate", "befor")})
    moored(repository).wait_not_ready("deploy/job.yaml", "befor", reason="Invalid")
    assert jobs() == {}


def test_a_job_of_somebody_else_is_not_taken_for_the_hook(repository, moored, kubectl, namespace):
    kubectl("-n", namespace, "create", "-f", "-", stdin=job("migrate", ""))
    repository.commit({"deploy/job.yaml": job("migrate", "before"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_not_ready("migrate", "deploy/job.yaml", "exists already", reason="Invalid")
    kubectl("-n", namespace, "delete", "job", "migrate")
    shop.push({"deploy/c.yaml": config_map("c", step="2")})
    shop.wait_applied()


def in_turn(*jobs_):
    return "---\n".join(jobs_)


def test_waves_order_hooks_among_themselves(repository, moored, jobs, end):
    repository.commit({"deploy/jobs.yaml": in_turn(job("a-last", "before", "runs", wave="1"), job("z-first", "before", "runs", wave="-1")),
                       "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    wait_for(lambda: set(jobs()) == {"z-first"}, what="the first wave")
    wait_told(shop, "z-first")
    end("z-first")
    wait_for(lambda: set(jobs()) == {"z-first", "a-last"}, what="the second")
    assert shop.live() == {}
    end("a-last")
    shop.wait_applied()


POD_HOOK = """apiVersion: v1
kind: Pod
metadata: {{name: check, annotations: {{gitmoor.io/hook: before}}}}
spec: {{restartPolicy: Never, containers: [{{name: c, image: "example.org/{image}"}}]}}
"""


def test_any_kind_may_be_a_hook_and_a_pod_tells_its_exit_code(repository, moored, api, namespace):
    settings = config_map("settings", step="1").replace("metadata:", 'metadata:\n  annotations: {gitmoor.io/hook: before}', 1)
    repository.commit({"deploy/pod.yaml": POD_HOOK.format(image="fails"), "deploy/settings.yaml": settings, "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    message = shop.wait_not_ready(reason="HookFailed")["message"]
    assert "Pod" in message and "exit code 3" in message and "no such table: orders" in message
    uid = api.get("ConfigMap", namespace, "settings")["metadata"]["uid"]
    shop.push({"deploy/pod.yaml": POD_HOOK.format(image="succeeds"), "deploy/settings.yaml": settings.replace("'1'", "'2'")})
    shop.wait_applied()
    found = api.get("ConfigMap", namespace, "settings")
    assert found["metadata"]["uid"] == uid and found["data"] == {"step": "2"}, "what does not run to an end is not replaced"
    assert shop.config_map("c") == {}


def test_a_hook_that_leaves_git_is_pruned(repository, moored, jobs):
    repository.commit({"deploy/job.yaml": job("migrate", "before"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_applied()
    shop.push({"deploy/job.yaml": None})
    shop.wait_applied()
    wait_for(lambda: jobs() == {}, what="the Job pruned")
    assert "hooks" not in shop.status()
    shop.push({"deploy/job.yaml": job("migrate", "before")})
    shop.wait_applied()
    assert "migrate" in jobs(), "and run again when it comes back"


def test_drift_and_restarts_run_no_hooks(repository, moored, jobs, gitmoor, api, namespace):
    repository.commit({"deploy/job.yaml": in_turn(job("migrate", "before"), job("smoke", "after")), "deploy/c.yaml": config_map("c", step="1")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    before = jobs()
    api.delete("Job", namespace, "smoke")
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    api.patch("ConfigMap", namespace, "c", {"data": {"step": "edited"}}, manager="someone")
    wait_for(lambda: shop.config_map("c") == {"step": "1"}, 60, what="the repair")
    shop.wait_applied()
    assert jobs() == {"migrate": before["migrate"]}, "a hook that is deleted afterwards is no drift"
    assert shop.condition("Drifted")["status"] == "False"


def test_a_commit_of_a_hook_waits_for_a_sync_window(repository, moored, jobs):
    repository.commit({"deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_applied()
    shop.set(syncWindows=[{"kind": "Deny", "schedule": "* * * * *", "duration": "5m"}])
    shop.wait_applied()
    shop.push({"deploy/job.yaml": job("migrate", "before")})
    shop.wait_not_ready(reason="SyncWindowClosed")
    assert jobs() == {}
    shop.set(syncWindows=[])
    shop.wait_applied()
    assert set(jobs()) == {"migrate"}


def test_a_namespace_of_the_same_commit_is_there_for_its_hook(repository, moored, api, namespace):
    space = f"{namespace}-new"
    repository.commit({"deploy/ns.yaml": f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {space}}}\n",
                       "deploy/job.yaml": job("migrate", "before", "fails"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository, targetNamespace=space)
    shop.wait_not_ready("migrate", reason="HookFailed")
    assert api.get("Job", space, "migrate") and not api.get("ConfigMap", space, "c")
    shop.push({"deploy/job.yaml": job("migrate", "before")})
    shop.wait_applied()


# ------------------------------------------------------------------------------- after, and failure

POD = """apiVersion: v1
kind: Pod
metadata: {name: p}
spec: {containers: [{name: c, image: example.org/broken}]}
"""


def test_an_after_hook_runs_when_everything_is_healthy(repository, moored, jobs, end, kubectl, namespace, api):
    repository.commit({"deploy/job.yaml": job("smoke", "after", "runs"), "deploy/p.yaml": POD})
    shop = moored(repository)
    wait_told(shop, "waiting for health")
    wait_for(lambda: (api.get("Pod", namespace, "p") or {}).get("status", {}).get("startTime"), what="p on its node")
    assert jobs() == {}
    status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    kubectl("-n", namespace, "patch", "pod", "p", "--subresource=status", "--type=merge", "-p", json.dumps(status))
    wait_told(shop, "after hook Job", "smoke")
    assert "lastHealthyRevision" not in shop.status()
    end("smoke")
    shop.wait_applied()
    assert shop.status()["lastHealthyRevision"] == repository.revision()


def test_an_after_hook_that_fails_is_told_and_rolled_back_when_the_failure_hook_has_ended(repository, moored, jobs, end):
    repository.commit({"deploy/c.yaml": config_map("c", step="1")})
    shop = moored(repository, rollback={"onFailure": True})
    shop.wait_applied()
    good = repository.revision()
    bad = shop.push({"deploy/c.yaml": config_map("c", step="2"),
                     "deploy/jobs.yaml": in_turn(job("smoke", "after", "fails"), job("report", "failure", "runs"))})
    message = shop.wait_not_ready(reason="HookFailed")["message"]
    assert "smoke" in message and "applied" in message
    wait_for(lambda: "report" in jobs(), what="the failure hook")
    assert shop.config_map("c") == {"step": "2"} and not shop.condition("RolledBack"), "not before the failure hook has ended"
    end("report")
    wait_for(lambda: shop.config_map("c") == {"step": "1"}, what="the rollback")
    rolled = wait_for(lambda: shop.condition("RolledBack"), what="the condition")
    assert rolled["reason"] == "HookFailed" and "smoke" in rolled["message"] and bad in rolled["message"] and good in rolled["message"]
    assert runs(shop) == {("after", "smoke"): "Failed", ("failure", "report"): "Succeeded"}


def test_a_failure_hook_that_cannot_be_made_holds_a_rollback_up_for_a_time_only(repository, moored, jobs, api, namespace):
    report, smoke = job("report", "failure"), "deploy/smoke.yaml"
    repository.commit({"deploy/c.yaml": config_map("c", step="1"), "deploy/report.yaml": report, smoke: job("smoke", "after", "fails")})
    shop = moored(repository, rollback={"onFailure": True})
    shop.wait_not_ready(reason="HookFailed")
    wait_for(lambda: runs(shop).get(("failure", "report")) == "Succeeded", what="a Job of the failure hook")
    shop.push({smoke: job("smoke", "after")})
    shop.wait_applied()
    api.patch("Job", namespace, "report", {"metadata": {"finalizers": ["example.org/stuck"]}}, manager="e2e")
    shop.set(health={"timeout": "4s"})
    shop.push({"deploy/c.yaml": config_map("c", step="3"), smoke: job("smoke", "after", "fails")})
    try:
        shop.wait_not_ready("smoke", reason="RolledBack")
        wait_for(lambda: shop.config_map("c") == {"step": "1"}, what="the rollback")
        assert jobs()["report"]
    finally:
        api.patch("Job", namespace, "report", {"metadata": {"finalizers": []}}, manager="e2e")


def test_failure_hooks_run_when_the_objects_are_not_healthy_in_time(repository, moored, jobs):
    """The hook is a ConfigMap, which has succeeded when it is written: a Job might not end in that time on a busy machine."""
    report = config_map("report").replace("metadata:", "metadata:\n  annotations: {gitmoor.io/hook: failure}", 1)
    repository.commit({"deploy/report.yaml": report, "deploy/smoke.yaml": job("smoke", "after"), "deploy/p.yaml": POD})
    shop = moored(repository, health={"timeout": "4s"})
    shop.wait_not_ready(reason="HealthCheckFailed")
    wait_for(lambda: runs(shop) == {("failure", "report"): "Succeeded"}, what="the failure hook, and no other")
    assert shop.config_map("report") == {} and jobs() == {}


def test_failure_hooks_run_when_a_before_hook_has_failed(repository, moored):
    repository.commit({"deploy/jobs.yaml": in_turn(job("migrate", "before", "fails"), job("report", "before,failure"))})
    shop = moored(repository)
    shop.wait_not_ready("migrate", reason="HookFailed")
    wait_for(lambda: runs(shop).get(("failure", "report")) == "Succeeded", what="the failure hook")


def test_a_reconcile_that_is_asked_for_tries_a_failed_hook_again(repository, moored, jobs, api, namespace):
    repository.commit({"deploy/job.yaml": job("migrate", "before", "fails"), "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_not_ready(reason="HookFailed")
    first = jobs()["migrate"]
    api.patch("Application", namespace, "shop", {"metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": "now"}}}, manager="e2e")
    wait_for(lambda: jobs().get("migrate", first) != first, what="another run")
    shop.wait_not_ready(reason="HookFailed")


# ------------------------------------------------------------------------------- delete policies

def test_what_has_succeeded_is_deleted_by_its_policy(repository, moored, jobs):
    hooks = {"plain": {}, "succeeded": {"hook_delete_policy": "succeeded"}, "failed": {"hook_delete_policy": "failed"},
             "both": {"hook_delete_policy": "before-creation, failed,succeeded"}, "short": {"spec": "ttlSecondsAfterFinished: 0"},
             "long": {"spec": "ttlSecondsAfterFinished: 3600"}}
    repository.commit({"deploy/jobs.yaml": in_turn(*(job(name, "before", **options) for name, options in hooks.items())),
                       "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_applied()
    wait_for(lambda: set(jobs()) == {"plain", "failed", "long"}, what="what is to go gone")
    assert runs(shop) == {("before", name): "Succeeded" for name in hooks}


def test_what_has_failed_is_deleted_by_its_policy(repository, moored, jobs):
    hooks = {"plain": {}, "succeeded": {"hook_delete_policy": "succeeded"}, "failed": {"hook_delete_policy": "failed"}}
    repository.commit({"deploy/jobs.yaml": in_turn(*(job(name, "before", "fails", **options) for name, options in hooks.items()))})
    shop = moored(repository)
    shop.wait_not_ready(reason="HookFailed")
    wait_for(lambda: set(jobs()) == {"plain", "succeeded"}, what="what is to go gone")
    wait_for(lambda: runs(shop) == {("before", name): "Failed" for name in hooks}, what="each of them told")


# ------------------------------------------------------------------------------- other tools' hooks

CHART = "apiVersion: v2\nname: app\nversion: 1.0.0\n"


def helm_job(name, event, weight=0, policy="before-hook-creation"):
    return JOB.format(name=name, image="succeeds", args="1", spec="", annotations=json.dumps(
        {"helm.sh/hook": event, "helm.sh/hook-weight": str(weight), "helm.sh/hook-delete-policy": policy}))


def test_helm_hooks_of_installation_and_of_upgrade(repository, moored, jobs, told):
    hooks = {"install": "pre-install", "upgrade": "pre-upgrade", "both": "post-install,post-upgrade", "cleanup": "pre-delete", "check": "test"}
    repository.commit({"deploy/Chart.yaml": CHART, "deploy/templates/c.yaml": config_map("c", step="1")} |
                      {f"deploy/templates/{name}.yaml": helm_job(name, event) for name, event in hooks.items()})
    shop = moored(repository)
    shop.wait_applied()
    assert runs(shop) == {("before", "install"): "Succeeded", ("after", "both"): "Succeeded"} and set(jobs()) == {"install", "both"}
    assert "cleanup is left out" in told("shop")
    both = jobs()["both"]
    shop.push({"deploy/templates/c.yaml": config_map("c", step="2")})
    shop.wait_applied()
    assert runs(shop) == {("before", "upgrade"): "Succeeded", ("after", "both"): "Succeeded"}
    assert jobs()["both"][0] != both[0] and shop.live() == {"c": {"step": "2"}}


def test_hooks_of_argo_cd(repository, moored, jobs):
    def argo(name, event):
        return JOB.format(name=name, image="succeeds", args="1", spec="", annotations=json.dumps(
            {"argocd.argoproj.io/hook": event, "argocd.argoproj.io/hook-delete-policy": "HookSucceeded"}))
    repository.commit({"deploy/jobs.yaml": in_turn(argo("migrate", "PreSync"), argo("smoke", "PostSync"), argo("report", "SyncFail")),
                       "deploy/c.yaml": config_map("c")})
    shop = moored(repository)
    shop.wait_applied()
    assert runs(shop) == {("before", "migrate"): "Succeeded", ("after", "smoke"): "Succeeded"}
    wait_for(lambda: jobs() == {}, what="both deleted")
