"""Break-glass from end to end: a person edits what Git declares, it is told, and it is healed, unless repairs are suspended."""
import time

from harness.mooring import config_map
from harness.waiting import wait_for

REASON = "gitmoor.io/break-glass-reason"

DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "example.org/web:1"}]}
"""


def edit(glass, namespace, name, reason="INC-1", **data):
    pairs = ",".join(f'"{key}":"{value}"' for key, value in data.items())
    glass("patch", "-n", namespace, "configmap", name, "--type=merge", "-p",
          f'{{"metadata":{{"annotations":{{"{REASON}":"{reason}"}}}},"data":{{{pairs}}}}}')


def drift_of(shop, name):
    return next((entry for entry in shop.status().get("drift", []) if entry["name"] == name), {})


def test_an_edit_stays_while_repairs_are_suspended_and_they_go_on_when_it_is_ended(repository, moored, gitmoor, namespace, glass, api):
    repository.commit({"deploy/a.yaml": config_map("a", color="red"), "deploy/b.yaml": config_map("b", step="1")})
    shop = moored(repository)
    shop.wait_applied()
    done = glass.gitmoor("break-glass", "shop", "configmap/a", "-n", namespace, "--reason", "it's INC-1", "--for", "1h")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: shop.condition("BreakGlass").get("status") == "True", what="the condition")
    assert "it's INC-1" in shop.condition("BreakGlass")["message"]
    assert shop.status()["breakGlass"]["reason"] == "it's INC-1" and shop.status()["breakGlass"]["by"]
    shop.wait_event("Warning", "BreakGlass", "suspended", "it's INC-1")
    wait_for(lambda: gitmoor.metric("differ", "gitmoor_differ_break_glass") >= 1, what="the metric")

    # What it printed is what a person does next.
    glass.script(done.stdout, "annotate --overwrite")
    glass.script(done.stdout, " edit ", [(" edit ", " patch "), (f" -n {namespace}", f" -n {namespace} -p '{{\"data\":{{\"color\":\"green\"}}}}'")])
    wait_for(lambda: shop.condition("Drifted").get("reason") == "BreakGlass", what="the drift told")
    event = shop.wait_event("Warning", "BreakGlassEdit", "ConfigMap", "/a", ".data.color")
    assert "it's INC-1" in event[2] and "green" not in event[2]
    entry = drift_of(shop, "a")
    assert entry["state"] == "Drifted" and entry["fields"] == [".data.color"] and entry["reason"] == "it's INC-1"
    assert entry["manager"].startswith("kubectl") and entry["time"]

    # Another process finds it in the Application, and asks the server what has drifted.
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    wait_for(lambda: gitmoor.metric("differ", "gitmoor_differ_plan_seconds_count", 'kind="question"') > 0, what="a dry-run")
    # Commits go on being applied, and leave alone what they do not change.
    shop.push({"deploy/b.yaml": config_map("b", step="2")})
    shop.wait_applied()
    assert shop.live() == {"a": {"color": "green"}, "b": {"step": "2"}}
    assert shop.condition("BreakGlass")["status"] == "True" and shop.condition("Drifted")["reason"] == "BreakGlass"
    assert "break-glass" in glass.gitmoor("get", "-n", namespace).stdout

    assert glass.gitmoor("break-glass", "shop", "-n", namespace, "--end").returncode == 0
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="the edit repaired")
    wait_for(lambda: shop.condition("Drifted").get("status") == "False" and not shop.condition("BreakGlass"), what="in sync")
    wait_for(lambda: drift_of(shop, "a").get("state") == "Repaired", what="the repair told")
    shop.wait_event("Normal", "BreakGlassEnded", f"The reason still stands on ConfigMap {namespace}/a: remove the annotation")
    assert "breakGlass" not in shop.status()


def test_repairs_go_on_by_themselves_when_the_time_is_over(repository, moored, namespace, glass):
    repository.commit({"deploy/a.yaml": config_map("a", color="red")})
    shop = moored(repository)
    shop.wait_applied()
    assert glass.gitmoor("break-glass", "shop", "-n", namespace, "--reason", "INC-2", "--for", "1h").returncode == 0
    wait_for(lambda: shop.condition("BreakGlass").get("status") == "True", what="the condition")
    edit(glass, namespace, "a", "INC-2", color="green")
    wait_for(lambda: shop.condition("Drifted").get("reason") == "BreakGlass", what="the drift told")
    began = time.monotonic()
    assert glass.gitmoor("break-glass", "shop", "-n", namespace, "--reason", "INC-2", "--for", "2s").returncode == 0
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="the edit repaired")
    assert time.monotonic() - began >= 2
    shop.wait_event("Normal", "BreakGlassEnded", "over")


def test_what_break_glass_lets_through_is_told_and_healed(repository, moored, gitmoor, namespace, glass, api):
    repository.commit({"deploy/a.yaml": config_map("a", color="red"), "deploy/b.yaml": config_map("b", step="1"),
                       "deploy/web.yaml": DEPLOYMENT})
    shop = moored(repository, health={"wait": False})
    shop.wait_applied()
    before = gitmoor.metric("differ", "gitmoor_differ_break_glass_edits_total")

    edit(glass, namespace, "a", color="green")
    shop.wait_event("Warning", "BreakGlassEdit", "ConfigMap", "/a", "INC-1", ".data.color")
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="the edit repaired")

    # A deletion and a /scale carry no reason: it stands on the object beforehand, and is no drift itself.
    glass("annotate", "-n", namespace, "configmap", "b", f"{REASON}=INC-4")
    glass("delete", "-n", namespace, "configmap", "b")
    shop.wait_event("Warning", "BreakGlassEdit", "ConfigMap", "/b", "deleted", "INC-4")
    wait_for(lambda: shop.config_map("b") == {"step": "1"}, what="the object back")

    glass("annotate", "-n", namespace, "deployment", "web", f"{REASON}=INC-5")
    glass("scale", "-n", namespace, "deployment", "web", "--replicas=1")
    shop.wait_event("Warning", "BreakGlassEdit", "Deployment", "/web", "INC-5", ".spec.replicas")
    wait_for(lambda: api.get("Deployment", namespace, "web")["spec"]["replicas"] == 0, what="the replicas back")

    assert gitmoor.metric("differ", "gitmoor_differ_break_glass_edits_total") >= before + 3
    wait_for(lambda: {entry["state"] for entry in shop.status().get("drift", [])} == {"Repaired"}, what="the repairs told")
    assert drift_of(shop, "b")["change"] == "Deleted" and drift_of(shop, "web")["subresource"] == "scale"


def test_drift_is_left_alone_by_a_differ_that_comes_to_it_when_self_heal_is_off(repository, moored, gitmoor, namespace, api):
    """Without the dry-run, what it has not applied itself would look as if it never had been."""
    repository.commit({"deploy/a.yaml": config_map("a", color="red"), "deploy/b.yaml": config_map("b", step="1")})
    shop = moored(repository, protection="Off", selfHeal=False)
    shop.wait_applied()
    wait_for(lambda: api.patch("ConfigMap", namespace, "a", {"data": {"color": "green"}}), what="an edit that is let through")
    shop.wait_event("Warning", "Drifted", "ConfigMap", "/a", ".data.color", "kubectl-edit")
    wait_for(lambda: shop.condition("Drifted").get("status") == "True", what="the drift told")
    gitmoor.kill("differ")
    gitmoor.start_one("differ")
    wait_for(lambda: gitmoor.metric("differ", "gitmoor_differ_plan_seconds_count", 'kind="question"') > 0, what="a dry-run")
    wait_for(lambda: shop.status()["objects"] == {"desired": 2, "inSync": 1, "drifted": 1, "unhealthy": 0}, what="judged")
    assert shop.config_map("a") == {"color": "green"}
    shop.set(selfHeal=True)
    wait_for(lambda: shop.config_map("a") == {"color": "red"}, what="repaired once it may be")
