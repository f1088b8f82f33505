"""`gitmoor review`: it gives the verdicts of the process, on the reviews that the API server sends for the rows of the table."""
import json
import subprocess

import pytest
import yaml

from harness import paths
from harness.api import ApiError
from harness.cluster import user_of
from harness.guarded import CONFIGURATIONS, webhook
from harness.waiting import wait_for

from .test_rules import GREEN, ROWS

# What a replica remembers is not in the review: the reason that was written on the object before.
REMEMBERED = {"scaling by break-glass with the reason set on the object beforehand"}


class Recorder:
    """Is sent what admission is sent: its configurations, with another address."""

    def __init__(self, world):
        self.world, self.reviews = world, []
        self.made = []

    def record(self, review):
        self.reviews.append(review)

    def register(self, client):
        for kind in ("Validating", "Mutating"):
            path = f"{CONFIGURATIONS}/{kind.lower()}webhookconfigurations"
            # What it is too slow for would be recorded among the reviews of the next row.
            hooks = [{**hook, "clientConfig": client, "failurePolicy": "Ignore", "timeoutSeconds": 30} for hook in
                     self.world.configuration(f"{kind.lower()}webhookconfigurations")["webhooks"]
                     if not hook["name"].startswith("reasons.")]
            # Mutating webhooks are called one after the other, in the order of names: this one before ours.
            self.made.append(f"{path}/a-recorder")
            self.world.api.request("POST", path, {
                "apiVersion": "admissionregistration.k8s.io/v1", "kind": f"{kind}WebhookConfiguration",
                "metadata": {"name": "a-recorder"}, "webhooks": hooks})

    def unregister(self):
        for path in self.made:
            self.world.api.request("DELETE", path)


@pytest.fixture(scope="module")
def recorder(world):
    recorder = Recorder(world)
    with webhook(world, recorder.record) as client:
        try:
            recorder.register(client)
            probes = world.config_map(), world.workload()

            def is_asked():
                recorder.reviews.clear()
                for act in (lambda: probes[0].patch(GREEN), lambda: probes[1].scale(5)):
                    with pytest.raises(ApiError):
                        act()
                return len(recorder.reviews) == 2

            wait_for(is_asked, what="the recorder to be asked too")
            yield recorder
        finally:
            recorder.unregister()


@pytest.fixture(scope="module")
def applications(world, tmp_path_factory):
    file = tmp_path_factory.mktemp("review") / "applications.yaml"
    items = world.api.request("GET", "/apis/gitmoor.io/v1alpha1/applications")["items"]
    named = [{"apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", **item} for item in items]
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": named}))
    return file


def review(*arguments, text=None):
    return subprocess.run([paths.gitmoor_bin() / "gitmoor", "review", "--applier", user_of("applier"), *arguments],
                          input=text, capture_output=True, text=True, check=False, timeout=60)


def test_it_gives_the_verdicts_of_the_process(world, recorder, applications):
    wrong, judged = [], 0
    for name, make, act, words in ROWS:
        if name.startswith("kubectl") or name in REMEMBERED:
            continue
        subject = make(world)
        recorder.reviews.clear()
        message = None
        try:
            act(subject)
        except ApiError as error:
            message = error.body["message"]
        refusals = []
        for each in recorder.reviews:
            text = json.dumps(each) if judged % 4 else yaml.safe_dump(each)
            done = review("--application", applications, "-f", "-", text=text)
            assert done.returncode == 0, (name, done.stderr)
            answer = json.loads(done.stdout)["response"]
            assert answer["uid"] == each["request"]["uid"]
            judged += 1
            if not answer["allowed"]:
                refusals.append(answer["status"]["message"])
        if bool(refusals) != bool(words) or message and not any(message.endswith(each) for each in refusals):
            wrong.append((name, message, refusals))
    assert wrong == [] and judged > 100


GOOD = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
    "uid": "u", "operation": "DELETE", "kind": {"group": "", "version": "v1", "kind": "ConfigMap"},
    "resource": {"group": "", "version": "v1", "resource": "configmaps"}, "oldObject": {"metadata": {"name": "c"}}}}
BAD = {
    "nothing": ("", "empty"),
    "only blanks": (" \n", "empty"),
    "no JSON": ("{", "line"),
    "no YAML": ("a: [", ":2"),
    "a list": ("- 1\n", "no object"),
    "two reviews": (f"{yaml.safe_dump(GOOD)}---\n{yaml.safe_dump(GOOD)}", "one AdmissionReview is wanted"),
    "another kind": ("apiVersion: v1\nkind: Pod\n", "apiVersion v1, kind Pod: an AdmissionReview of admission.k8s.io/v1 is wanted"),
    "another version": (json.dumps({**GOOD, "apiVersion": "admission.k8s.io/v1beta1"}), "v1beta1"),
    "no request": (json.dumps({**GOOD, "request": None}), "holds no request"),
    "no uid": (json.dumps({**GOOD, "request": {**GOOD["request"], "uid": ""}}), "request.uid"),
    "an operation that there is not": (json.dumps({**GOOD, "request": {**GOOD["request"], "operation": "PATCH"}}),
                                       "request.operation is PATCH"),
    "no old object": (json.dumps({**GOOD, "request": {**GOOD["request"], "oldObject": None}}), "request.oldObject is missing"),
    "a key twice": ('{"apiVersion": "x", "apiVersion": "y"}', "apiVersion"),
    "too deep": ("[" * 300, "deep"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named(case, tmp_path):
    text, word = BAD[case]
    file = tmp_path / "review.in"
    file.write_text(text)
    for done in (review("-f", file), review("-f", "-", text=text)):
        assert (done.returncode, done.stdout) == (1, ""), done.stderr
        assert done.stderr.startswith("gitmoor review: ") and word in done.stderr, done.stderr
    assert "review.in" in review("-f", file).stderr


def test_only_of_a_list_is_it_known_which_applications_there_are(world, tmp_path):
    left = world.orphan().get()
    asked = {**GOOD, "request": {**GOOD["request"], "oldObject": left}}
    shop = world.api.get("Application", "prod", "shop")
    for applications, allowed in ((shop, False), ({"apiVersion": "v1", "kind": "List", "items": [shop]}, True),
                                  ({"apiVersion": "v1", "kind": "List", "items": []}, True)):
        file = tmp_path / "applications.yaml"
        file.write_text(yaml.safe_dump(applications))
        done = review("--application", file, "-f", "-", text=json.dumps(asked))
        assert json.loads(done.stdout)["response"]["allowed"] == allowed, (applications, done.stdout, done.stderr)
    file.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": [{"kind": "Pod"}]}))
    assert "line 1" in review("--application", file, "-f", "-", text=json.dumps(asked)).stderr


def test_what_cannot_be_read_is_named(tmp_path):
    good = tmp_path / "good.json"
    good.write_text(json.dumps(GOOD))
    assert review("-f", good).returncode == 0
    for arguments, words in ((["-f", tmp_path / "none"], ["none", "No such file"]), (["-f", tmp_path], ["directory"]),
                             (["-f", good, "--application", tmp_path / "none"], ["none", "No such file"]),
                             ([good], ["too much", "-f FILE"]), (["-f", good, good], ["too much", "-f FILE"]), ([], ["--file"])):
        done = review(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        for word in words:
            assert word in done.stderr, (word, done.stderr)
    empty = tmp_path / "empty.yaml"
    empty.write_text("# nothing\n")
    done = review("-f", good, "--application", empty)
    assert done.returncode == 1 and "holds no Application" in done.stderr
