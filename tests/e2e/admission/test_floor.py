"""The floor: a ValidatingAdmissionPolicy that refuses most of what the process refuses, while the process is dead."""
import re
import subprocess

import pytest

from harness.api import ApiError
from harness.guarded import CONFIGURATIONS, STRATEGIC, World
from harness.waiting import wait_for

from .test_rules import GREEN, IMAGE, OWNER, ROWS, grow

POLICY, BINDING = f"{CONFIGURATIONS}/validatingadmissionpolicies", f"{CONFIGURATIONS}/validatingadmissionpolicybindings"

# Rows of the table that only the process refuses, and why: admission/floor.c.
BEYOND = {
    "scaling declared replicas", "scaling by the autoscaler", "scaling a StatefulSet", "scaling a custom resource", "dry run of scaling",
    "scaling by PUT", "scaling by break-glass without a reason", "our field manager at the scale",
    "the reason that somebody else may use for scaling is not for everybody",
    "our entry with less in it through the scale, and then the scale",
    "a break-glass reason on a Namespace by anybody", "a break-glass reason on a Namespace through its status",
    "a Namespace with a break-glass reason", "a break-glass reason on a definition by anybody",
    "an edit by a service account of kube-system", "a deletion by a service account of kube-system",
    "dry run of deleting a Namespace that holds managed objects", "deletion of the definition of managed objects",
}


@pytest.fixture(scope="module")
def both(world):
    """Webhook and floor; what the webhook would not answer passes it, so that only the floor is left then."""
    with world.restarted_with("--floor", "--failure-policy", "Ignore"):
        probe = world.config_map()
        wait_for(lambda: "ValidatingAdmissionPolicy" in refused(lambda: probe.patch(GREEN)), what="the floor at work")
        yield world
    wait_for(lambda: not listed(world, POLICY) and not listed(world, BINDING), what="the floor gone, since it is not set any more")
    # The API server looks at its policies once a second.
    wait_for(lambda: ".admission.gitmoor.io" in refused(lambda: probe.patch(GREEN)), what="the webhook to refuse what the floor did")


@pytest.fixture
def floor(both):
    """The floor alone."""
    both.moor.kill("admission")
    yield both
    both.moor.start_one("admission")


def listed(world, path):
    return [each for each in world.api.request("GET", path)["items"] if each["metadata"]["name"] == "gitmoor-admission"]


def spec_of(world, path):
    """The spec, without the time since when it lists the applications: each admission that starts says it anew."""
    spec = world.api.request("GET", f"{path}/gitmoor-admission")["spec"]
    return {**spec, "variables": [each for each in spec.get("variables", []) if each["name"] != "since"]}


def is_listed(world, label):
    (policy,) = listed(world, POLICY)
    return any(f"'{label}'" in variable["expression"] for variable in policy["spec"]["variables"])


def refused(act):
    """The message by which webhook or floor refused it, or None if it passed."""
    try:
        act()
    except ApiError as error:
        message = error.body["message"]
        assert error.status == 403, message
        assert "denied the request" in message or "ValidatingAdmissionPolicy 'gitmoor-admission'" in message, message
        return message
    return None


def run_rows(world, is_expected):
    """Each row of the table (kubectl's send the same requests as others); returns those that went another way than expected."""
    wrong = []
    for name, make, act, words in ROWS:
        if not name.startswith("kubectl"):
            subject = make(world)
            message = refused(lambda act=act, subject=subject: act(subject))
            if bool(message) != is_expected(name, words):
                wrong.append((name, message))
    return wrong


def test_with_webhook_and_floor_each_row_ends_as_with_the_webhook(both):
    assert run_rows(both, lambda name, words: words is not None) == []


def test_the_floor_alone_refuses_what_the_process_refuses_but_for_what_is_beyond_it(floor):
    assert {row[0] for row in ROWS} >= BEYOND
    assert run_rows(floor, lambda name, words: words is not None and name not in BEYOND) == []


EVIL = {"spec": {"template": {"spec": {"containers": [{"name": "web", "image": "example.org/evil:1"}]}}}}

# what to make, what to do with it, words of the refusal
MESSAGES = {
    "fields": (World.config_map, lambda o: o.patch({"data": {"color": None, "size": "2", "a.b": "c"}}),
               ["ConfigMap prod/o", ".data.color, ", ".data.size, ", ", declared by application prod/shop. Change it in Git."]),
    "a field six levels down": (World.workload, lambda o: o.patch(EVIL, STRATEGIC), ["Deployment prod/o", f"{IMAGE}, declared by"]),
    "a name that is no identifier": (lambda w: w.config_map(data={"a.b": "1"}), lambda o: o.patch({"data": {"a.b": "2"}}), ['.data["a.b"],']),
    "a list item by two keys": (World.service, lambda o: o.patch({"spec": {"ports": [{"port": 81, "protocol": "TCP"}]}}),
                                ['.spec.ports[port=80,protocol="TCP"]']),
    "a deletion": (World.config_map, lambda o: o.delete(), ["it is declared by application prod/shop. Remove it from Git."]),
    "a cluster-scoped object": (World.blob, lambda o: o.delete(), ["Blob o"]),
    "our field manager": (World.config_map, lambda o: o.apply({}), ["reserved for Gitmoor's applier: admin may not write ConfigMap prod/o"]),
    "our entry with more in it": (World.config_map, lambda o: o.put(grow), ["reserved for Gitmoor's applier: admin may not write ConfigMap"]),
    "an ownerReference": (World.config_map, lambda o: o.patch({"metadata": {"ownerReferences": [OWNER]}}), ["garbage collector"]),
}


@pytest.mark.parametrize("case", MESSAGES)
def test_its_message_names(both, case):
    make, act, words = MESSAGES[case]
    message = refused(lambda: act(make(both)))
    assert "ValidatingAdmissionPolicy" in message
    for word in words:
        assert word in message, (word, message)


def test_its_message_names_each_lost_field_once(both):
    """In any order: CEL goes through a map as it likes."""
    message = refused(lambda: both.config_map().patch({"data": {"color": None, "size": "2", "a.b": "c"}}))
    told = re.search(r"is managed by Git: (.*), declared by", message)
    assert told and sorted(told.group(1).split(", ")) == [".data.color", ".data.size"], message


def test_it_follows_the_protection_of_applications(both):
    both.application("fickle", "prod", namespaces=["prod"])
    subject = both.config_map(application="fickle")
    assert refused(lambda: subject.patch(GREEN))
    both.application("fickle", "prod", namespaces=["prod"], protection="Warn")
    wait_for(lambda: refused(lambda: subject.patch(GREEN)) is None, what="the edit to pass under Warn")
    both.application("fickle", "prod", namespaces=["prod"], protection="Enforce")
    wait_for(lambda: "ValidatingAdmissionPolicy" in refused(lambda: subject.patch({"data": {"size": "2"}})), what="the edit refused again")


def test_it_follows_the_applications_that_there_are(both):
    """What an Application leaves behind that is deleted is nobody's; what one declares that is made anew is its own again."""
    both.application("mayfly", "prod", namespaces=["prod"])
    wait_for(lambda: is_listed(both, "prod.mayfly"), what="the floor to follow")
    left = both.config_map(application="mayfly")
    assert "ValidatingAdmissionPolicy" in refused(lambda: left.patch(GREEN))
    both.api.delete("Application", "prod", "mayfly")

    wait_for(lambda: not is_listed(both, "prod.mayfly"), what="the floor to follow")
    both.moor.kill("admission")  # which itself waits for a minute, lest the Application be one that it has not heard of yet
    try:
        wait_for(lambda: refused(lambda: left.patch({"data": {"size": "2"}})) is None, what="the edit to pass")
    finally:
        both.moor.start_one("admission")
    both.application("mayfly", "prod", namespaces=["prod"])
    wait_for(lambda: is_listed(both, "prod.mayfly"), what="the floor to follow")
    # The size is not ours any more; the colour is.
    wait_for(lambda: "ValidatingAdmissionPolicy" in refused(lambda: left.patch(GREEN)), what="the floor to refuse again")


@pytest.mark.parametrize("path, change", [
    (POLICY, lambda spec: spec["matchConditions"].append({"name": "never", "expression": "false"})),
    (POLICY, lambda spec: spec["matchConstraints"]["objectSelector"].update(matchLabels={"nobody": "has-this"})),
    (POLICY, lambda spec: spec["validations"].pop()),
    (BINDING, lambda spec: spec.update(matchResources={"objectSelector": {"matchLabels": {"nobody": "has-this"}}})),
    (BINDING, lambda spec: spec.update(validationActions=["Audit"])),
], ids=["condition-added", "selector-narrowed", "rule-removed", "binding-narrowed", "audit-only"])
def test_a_foreign_edit_of_it_is_put_back(both, path, change):
    before = spec_of(both, path)
    both.edit(f"{path}/gitmoor-admission", lambda edited: change(edited["spec"]))
    wait_for(lambda: spec_of(both, path) == before, timeout=60, what="the floor as it was")


@pytest.mark.parametrize("path", [POLICY, BINDING], ids=["policy", "binding"])
def test_deleted_it_comes_back(both, path):
    both.api.request("DELETE", f"{path}/gitmoor-admission")
    wait_for(lambda: listed(both, path), timeout=60, what="it back")


def test_uninstalling_removes_it_too(both):
    process = both.moor.processes["admission"]
    process.stop()
    try:
        done = subprocess.run([*process.command, "--unregister"], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        assert not listed(both, POLICY) and not listed(both, BINDING)
    finally:
        both.moor.start_one("admission")
