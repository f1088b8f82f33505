"""What waits for what: an application for others (spec.dependsOn), an object for those of earlier waves."""
import json

import pytest

from harness.mooring import config_map, in_wave
from harness.waiting import wait_for

# It does not start ("broken", see harness/node.py): it is in progress until somebody says that it is ready.
POD = """apiVersion: v1
kind: Pod
metadata:
  name: {name}
spec: {{containers: [{{name: c, image: example.org/broken}}]}}
"""


def pod(name):
    return POD.format(name=name)


@pytest.fixture
def run(api, kubectl, namespace):
    """run(POD): it has started after all."""
    def say(name):
        wait_for(lambda: (api.get("Pod", namespace, name) or {}).get("status", {}).get("startTime"), what=f"{name} on its node")
        status = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
        kubectl("-n", namespace, "patch", "pod", name, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    return say


def depends(*names):
    return [{"name": name} for name in names]


def test_an_application_waits_until_what_it_depends_on_is_healthy(repository, moored, run):
    repository.commit({"base/p.yaml": pod("p"), "top/c.yaml": config_map("c", step="1")})
    base = moored(repository, name="base", path="base")
    top = base.beside("top", "top", dependsOn=depends("base"))
    message = top.wait_not_ready("Application", "base", reason="DependencyNotReady")["message"]
    assert f"{base.namespace}/base" in message
    assert top.condition("Reconciling")["status"] == "True" and not top.condition("Stalled")
    assert top.config_map("c") is None
    run("p")
    base.wait_applied()
    top.wait_applied()


def test_a_commit_to_both_lands_in_their_order(repository, moored, run):
    repository.commit({"base/p.yaml": pod("p1"), "top/c.yaml": config_map("c", step="1")})
    base = moored(repository, name="base", path="base")
    top = base.beside("top", "top", dependsOn=depends("base"))
    run("p1")
    top.wait_applied()
    base.push({"base/p.yaml": pod("p2"), "top/c.yaml": config_map("c", step="2")})
    top.wait_not_ready(reason="DependencyNotReady")
    assert top.config_map("c") == {"step": "1"}
    run("p2")
    top.wait_applied()
    assert top.config_map("c") == {"step": "2"}


def test_drift_is_repaired_while_it_waits(repository, moored, api, namespace):
    repository.commit({"deploy/c.yaml": config_map("c", step="1")})
    shop = moored(repository, protection="Off")
    shop.wait_applied()
    shop.set(dependsOn=depends("nobody"))
    shop.push({"deploy/c.yaml": config_map("c", step="1") + "---\n" + config_map("d")})
    assert "does not exist" in shop.wait_not_ready(reason="DependencyNotReady")["message"]
    api.patch("ConfigMap", namespace, "c", {"data": {"step": "edited"}}, manager="someone")
    wait_for(lambda: shop.config_map("c") == {"step": "1"}, what="the repair")
    assert shop.config_map("d") is None
    shop.set(dependsOn=[])
    shop.wait_applied()


@pytest.mark.parametrize("round_", [["one"], ["one", "two"], ["one", "two", "three"]])
def test_what_goes_round_is_refused_at_once_and_named(repository, moored, round_):
    repository.commit({f"{name}/c.yaml": config_map(name) for name in ("one", "two", "three")})
    following = dict(zip(round_, round_[1:] + round_[:1]))
    first = moored(repository, name="one", path="one", dependsOn=depends(following["one"]))
    others = [first.beside(name, name, dependsOn=depends(following[name])) for name in round_[1:]]
    for mooring in [first, *others]:
        message = mooring.wait_not_ready("goes round", reason="Invalid")["message"]
        assert all(f"{first.namespace}/{name}" in message for name in round_)
    first.set(dependsOn=[])
    for mooring in [first, *others]:
        mooring.wait_applied()


def test_what_waits_for_ever_holds_nobody_else_up(repository, moored):
    repository.commit({f"{n}/c.yaml": config_map(f"c{n}") for n in range(20)} | {"base/p.yaml": pod("p")})
    base = moored(repository, name="base", path="base")
    waiting = [base.beside(f"w{n}", str(n), dependsOn=depends("base")) for n in range(10)]
    good = [base.beside(f"g{n}", str(n)) for n in range(10, 20)]
    for mooring in good:
        mooring.wait_applied()
    for mooring in waiting:
        mooring.wait_not_ready(reason="DependencyNotReady")


def test_stuck_applications_do_nothing_while_they_wait_and_nothing_is_done_for_them(repository, moored, gitmoor):
    """In counts; `scripts/bench stuck` has it in seconds. They wait for health, for an earlier wave, and for each other."""
    stuck = {f"s{n}/p.yaml": pod(f"s{n}") for n in range(12)}
    stuck |= {f"s{n}/later.yaml": in_wave(1, config_map(f"later-{n}")) for n in range(4, 8)}
    repository.commit(stuck | {f"g{n}/c.yaml": config_map(f"g{n}", step="0") for n in range(3)})
    first = moored(repository, name="s0", path="s0")
    waiting = [first] + [first.beside(f"s{n}", f"s{n}", **({"dependsOn": depends("s0")} if n >= 8 else {})) for n in range(1, 12)]
    good = [first.beside(f"g{n}", f"g{n}") for n in range(3)]
    for mooring in good:
        mooring.wait_applied()
    reasons = {"s0": "Progressing", "s4": "Progressing", "s8": "DependencyNotReady"}
    for mooring in waiting:
        wait_for(lambda mooring=mooring: mooring.condition().get("status") in ("Unknown", "False") and mooring.status().get("renderKey"),
                 what=f"{mooring.name} waits")
    for name, reason in reasons.items():
        mooring = next(each for each in waiting if each.name == name)
        wait_for(lambda mooring=mooring, reason=reason: mooring.condition().get("reason") == reason, what=f"{name}: {reason}")

    def counts():
        return {"plans": gitmoor.metric("differ", "gitmoor_differ_plans_total"),
                "renders": gitmoor.metric("differ", "gitmoor_differ_renders_total", 'result="rendered"'),
                "requests": gitmoor.metric("applier", "gitmoor_applier_requests_total")}

    before = counts()
    for step in ("1", "2", "3"):
        first.push({f"g{n}/c.yaml": config_map(f"g{n}", step=step) for n in range(3)})
        for mooring in good:
            mooring.wait_applied()
    after = counts()
    assert after["plans"] - before["plans"] == 9 and after["renders"] - before["renders"] == 9, "three for each of three commits"
    assert after["requests"] - before["requests"] == 18, "a dry-run and an apply for each"


# ------------------------------------------------------------------------------- waves

ROLE_AND_SERVICE = """apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: readers}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: jane}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""


def test_a_role_binding_and_a_service_are_applied_together(repository, moored, api, namespace):
    repository.commit({"deploy/all.yaml": ROLE_AND_SERVICE})
    moored(repository).wait_applied()
    assert api.get("RoleBinding", namespace, "readers") and api.get("Service", namespace, "web")


def wave_pod(wave, name):
    return in_wave(wave, pod(name))


def test_a_wave_begins_when_those_before_are_healthy(repository, moored, run):
    repository.commit({"deploy/z.yaml": in_wave(-1, config_map("first")), "deploy/p.yaml": wave_pod(0, "p"),
                       "deploy/a.yaml": in_wave(1, config_map("second")), "deploy/b.yaml": in_wave(5, config_map("third"))})
    shop = moored(repository)
    wait_for(lambda: "wave 0" in (shop.condition() or {}).get("message", ""), what="it to tell of the wave")
    assert set(shop.live()) == {"first"} and shop.condition()["status"] == "Unknown"
    assert "Pod" in shop.condition()["message"] and "2 objects" in shop.condition()["message"]
    run("p")
    shop.wait_applied()
    assert set(shop.live()) == {"first", "second", "third"}


def test_what_leaves_git_is_pruned_after_the_last_wave(repository, moored, run):
    repository.commit({"deploy/p.yaml": wave_pod(0, "p1"), "deploy/old.yaml": config_map("old")})
    shop = moored(repository)
    run("p1")
    shop.wait_applied()
    shop.push({"deploy/p.yaml": wave_pod(0, "p2"), "deploy/old.yaml": None, "deploy/new.yaml": in_wave(1, config_map("new"))})
    wait_for(lambda: "wave 0" in shop.condition()["message"], what="the wave")
    assert set(shop.live()) == {"old"}
    run("p2")
    shop.wait_applied()
    wait_for(lambda: set(shop.live()) == {"new"}, what="old pruned")


def test_all_waves_are_dry_run_before_the_first_is_applied(repository, moored):
    repository.commit({"deploy/a.yaml": config_map("a"), "deploy/b.yaml": in_wave(3, config_map("B-is-no-name"))})
    shop = moored(repository)
    shop.wait_not_ready("B-is-no-name", reason="Invalid")
    assert shop.config_map("a") is None


def test_a_wave_that_is_not_healthy_in_time_is_told_and_rolled_back(repository, moored, run):
    repository.commit({"deploy/a.yaml": config_map("a", step="1")})
    shop = moored(repository, health={"timeout": "2s"}, rollback={"onFailure": True})
    shop.wait_applied()
    good = repository.revision()
    shop.push({"deploy/a.yaml": in_wave(1, config_map("a", step="2")), "deploy/p.yaml": wave_pod(0, "p")})
    assert "Pod" in shop.wait_not_ready(reason="RolledBack")["message"]
    wait_for(lambda: shop.status()["lastAppliedRevision"] == good, what="the revision before")
    assert shop.config_map("a") == {"step": "1"}


@pytest.mark.parametrize("wave", ["soon", "1.5", "99999999"])
def test_a_wave_that_is_no_number_is_refused(repository, moored, wave):
    repository.commit({"deploy/a.yaml": in_wave(wave, config_map("a"))})
    moored(repository).wait_not_ready("gitmoor.io/wave", "deploy/a.yaml", reason="Invalid")
