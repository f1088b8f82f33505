"""Health rules of an Application, of the operator and of the shipped set: who judges which object, and when what changes is judged anew."""
import pytest

from harness.api import ApiError
from harness.mooring import config_map
from harness.waiting import wait_for
from test_differ import definition, resource


def check(word, *rules, **more):
    return {"group": "differ.example.org", "kind": word.capitalize(), "rules": list(rules), **more}


RUNS = {"status": "Current", "fields": [{"path": "/status/phase", "values": ["Running"]}]}
FAILS_IF_RUNNING = {"status": "Failed", "fields": [{"path": "/status/phase", "values": ["Running"]}]}
READY = {"status": "Current", "conditions": [{"type": "Ready", "status": "True"}]}


@pytest.fixture
def health(gitmoor):
    """The rules of the shared differ's file; afterwards there are none again."""
    yield gitmoor.health
    gitmoor.health.set()


@pytest.fixture
def database(repository, moored, api, namespace):
    """database(**spec) -> an Application with one custom resource; set_status(…) is its controller."""
    word = "h" + namespace.replace("-", "")
    api.apply(definition(word))
    repository.commit({"deploy/one.yaml": resource(word, "one"), "deploy/a.yaml": config_map("a", step="0")})

    def make(**spec):
        shop = moored(repository, **spec)
        shop.word = word
        shop.set_status = lambda **status: api.request(
            "PATCH", f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s/one?fieldManager=its-controller",
            {"status": status}, "application/merge-patch+json")
        return shop

    make.word = word
    return make


def wait_progressing(shop, *words):
    def progressing():
        found = shop.condition("Healthy")
        return found.get("status") == "Unknown" and all(word in found["message"] for word in words)
    wait_for(progressing, timeout=30, what=f"{words} is waited for")


def test_the_checks_of_an_application_judge_its_objects_and_a_change_of_them_judges_anew(database):
    shop = database(health={"checks": [check(database.word, READY)]})
    wait_progressing(shop, "one", "waiting for condition Ready")
    shop.set_status(phase="Running", conditions=[{"type": "Ready", "status": "False", "message": "no quorum yet"}])
    wait_progressing(shop, "one: InProgress: no quorum yet")
    shop.set_status(phase="Running", conditions=[{"type": "Ready", "status": "True"}])
    shop.wait_applied()
    shop.set(health={"checks": [check(database.word, FAILS_IF_RUNNING)]})
    shop.wait_not_ready("one", "Failed: /status/phase is Running", reason="HealthCheckFailed")
    shop.set(health={"checks": []})
    shop.wait_applied()


def test_the_rules_of_the_operator_hold_for_all_until_they_are_taken_back(database, health, gitmoor):
    shop = database()
    shop.wait_applied()  # kstatus: an object without conditions is current
    health.set(check(database.word, RUNS))
    wait_progressing(shop, "/status/phase is not set")
    shop.set_status(phase="Running")
    shop.wait_applied()
    health.set(check(database.word, FAILS_IF_RUNNING))
    shop.wait_not_ready("Failed: /status/phase is Running")
    health.write_and_wait("checks:\n- {group: a, kind: A, rules: [{status: Fine}]}\n", result="refused")
    assert gitmoor.metric("differ", "gitmoor_differ_health_rules_current") == 0
    assert "rules.yaml:2: checks[0].rules[0].status: must be Current, InProgress or Failed" in gitmoor.logs(200)
    shop.wait_not_ready("Failed: /status/phase is Running")
    shop.set(health={"checks": [check(database.word, RUNS)]})  # its own come first
    shop.wait_applied()
    health.set()
    assert gitmoor.metric("differ", "gitmoor_differ_health_rules_current") == 1
    shop.wait_applied()


def test_checks_that_cannot_be_are_refused_by_the_api_or_told_with_their_field(database):
    shop = database()
    with pytest.raises(ApiError) as refused:
        shop.set(health={"checks": [check("x", {"status": "Fine", "fields": [{"path": "/a", "set": True}]})]})
    assert "spec.health.checks[0].rules[0].status" in str(refused.value)
    with pytest.raises(ApiError) as refused:
        shop.set(health={"checks": [check("x", {"status": "Failed", "fields": [{"path": "status.phase", "set": True}]})]})
    assert "spec.health.checks[0].rules[0].fields[0].path" in str(refused.value)
    shop.set(health={"checks": [check("x", {"status": "Failed", "fields": [{"path": "/a", "values": [{"b": 1}]}]})]})
    shop.wait_not_ready("spec.health.checks[0].rules[0].fields[0].values[0]: must be a string, a number, true or false")
    shop.set(health={})
    shop.wait_applied()
