"""Whatever people and controllers do to managed objects, in the end the cluster is as Git says, what allowed controllers added is
there, and no object was written more often than it was damaged.

The edits are drawn with a fixed seed. GITMOOR_SOAK_SECONDS says for how long (default 20; `scripts/test soak` sets 600); the number of
objects grows with it, so that none is edited so often that it would count as a fight.
"""
import base64
import copy
import json
import os
import random
import threading
import time
from collections import Counter, defaultdict

import pytest

from harness.api import ApiError, path_of
from harness.mooring import LABEL
from harness.waiting import stretch, wait_for
from test_differ import definition

SECONDS = float(os.environ.get("GITMOOR_SOAK_SECONDS", "20"))
SEED = int(os.environ.get("GITMOOR_SOAK_SEED", "20261124"))
PER_SECOND = 15            # edits, at most
EDITS_OF_ONE = 6           # at most, in twenty seconds: ten in a row would be a fight
PEOPLE = ("kubectl-edit", "kubectl", "Mozilla")
CONTROLLERS = ("some-operator", "istio-pilot")
GONE = object()


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def manifest(kind, number, word):
    """What Git declares."""
    name, base = f"{kind.lower()}-{number}", {"metadata": {"name": f"{kind.lower()}-{number}", "labels": {"app": name_of(kind, number)},
                                                           "annotations": {"declared": "yes"}}}
    assert name == name_of(kind, number)
    return {
        "ConfigMap": {"apiVersion": "v1", "kind": kind, **base, "data": {"a": "1", "b": "2"}},
        "Secret": {"apiVersion": "v1", "kind": kind, **base, "data": {"a": encoded("1")}, "stringData": {"b": "2"}},
        "Service": {"apiVersion": "v1", "kind": kind, **base, "spec": {"selector": {"app": name}, "ports": [{"port": 80}],
                                                                       "sessionAffinity": "None"}},
        "Deployment": {"apiVersion": "apps/v1", "kind": kind, **base, "spec": {
            "replicas": 0, "minReadySeconds": 1, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {
                "terminationGracePeriodSeconds": 5, "containers": [{"name": "web", "image": "example.org/web:1"}]}}}},
        "Role": {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **base,
                 "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]},
        word.capitalize(): {"apiVersion": "differ.example.org/v1", "kind": word.capitalize(), **base,
                            "spec": {"size": 1, "deep": {"a": "1", "list": [1, 2]}}},
    }[kind]


def name_of(kind, number):
    return f"{kind.lower()}-{number}"


# Declared fields, and values that somebody may set.
DECLARED = {
    "ConfigMap": [(("data", "a"), "x"), (("data", "b"), "y")],
    "Secret": [(("data", "a"), encoded("x")), (("data", "b"), encoded("y"))],
    "Service": [(("spec", "sessionAffinity"), "ClientIP"), (("spec", "selector", "app"), "x")],
    "Deployment": [(("spec", "replicas"), 1), (("spec", "minReadySeconds"), 2),
                   (("spec", "template", "spec", "terminationGracePeriodSeconds"), 6)],
    "Role": [(("rules",), [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}])],
    None: [(("spec", "size"), 2), (("spec", "deep", "a"), "x"), (("spec", "deep", "list"), [3])],
}
EVERYWHERE = [(("metadata", "annotations", "declared"), "no"), (("metadata", "labels", "app"), "other")]
NEVER_REMOVED = {("spec", "sessionAffinity"), ("spec", "selector", "app")}  # what the API does not let go, or takes for another Service


def get_in(tree, path):
    for step in path:
        if not isinstance(tree, dict) or step not in tree:
            return GONE
        tree = tree[step]
    return tree


def set_in(tree, path, value):
    for step in path[:-1]:
        tree = tree.setdefault(step, {}) if tree.get(step) is not None else tree.__setitem__(step, {}) or tree[step]
    if value is GONE:
        tree.pop(path[-1], None)
    else:
        tree[path[-1]] = value


def nested(path, value):
    tree = {}
    set_in(tree, path, None if value is GONE else value)
    return tree


class Subject:
    """One object: what Git declares, what controllers have added, how often it was damaged."""

    def __init__(self, world, kind, number):
        self.world, self.kind, self.name = world, kind, name_of(kind, number)
        self.git = manifest(kind, number, world.word)
        plural = world.plurals[kind]
        self.path = f"{plural}/{self.name}"
        self.added = {}      # path -> value, by controllers that update
        self.applied = {}    # the same, by one that applies
        self.allowed = 1     # writes of ours: it was made
        self.serial = 0

    def get(self):
        return self.world.api.request("GET", self.path)

    # -------------------------------------------------------------------- writing

    def send(self, method, body, manager, content_type="application/json", query=""):
        """A write; its version is noted as not ours."""
        found = self.world.api.request(method, f"{self.path}?fieldManager={manager}{query}", body, content_type)
        self.world.theirs.add(found["metadata"]["resourceVersion"])
        return found

    def write(self, verb, path, value, manager):
        if verb == "apply":
            body = {"apiVersion": self.git["apiVersion"], "kind": self.kind, **nested(path, value)}
            return self.send("PATCH", body, manager, "application/apply-patch+yaml", "&force=true")
        if verb == "json":
            found = self.get()
            if get_in(found, path[:-1]) is GONE or (value is GONE and get_in(found, path) is GONE):
                verb = "merge"
            else:
                pointer = "/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in path)
                operation = {"op": "remove", "path": pointer} if value is GONE else {"op": "add", "path": pointer, "value": value}
                return self.send("PATCH", [operation], manager, "application/json-patch+json")
        if verb == "update":
            found = self.get()
            set_in(found, path, value)
            return self.send("PUT", found, manager)
        kind = "strategic-merge" if verb == "strategic" else "merge"
        return self.send("PATCH", nested(path, value), manager, f"application/{kind}-patch+json")

    # -------------------------------------------------------------------- what may happen to it

    def change(self, draw):
        """Somebody, a person or a controller, sets a declared field."""
        path, value = draw.choice(DECLARED.get(self.kind, DECLARED[None]) + EVERYWHERE)
        # The server adds a timeout to an affinity, and to whoever set that: an addition too.
        self.allowed += 3 if path[-1] == "sessionAffinity" else 1
        who = PEOPLE if path[-1] == "sessionAffinity" else PEOPLE + CONTROLLERS
        self.write(self.world.verb(draw, self), path, value, draw.choice(who))

    def remove(self, draw):
        path, _ = draw.choice([each for each in DECLARED.get(self.kind, DECLARED[None]) + EVERYWHERE if each[0] not in NEVER_REMOVED])
        self.allowed += 1
        self.write(draw.choice(("merge", "json", "update")), path, GONE, draw.choice(PEOPLE + CONTROLLERS))

    def own_path(self, draw, who):
        self.serial += 1
        return ("metadata", draw.choice(("annotations", "labels")), f"{who}.example.org/{self.serial}")

    def person_adds(self, draw):
        self.allowed += 2  # it is taken over, then applied
        self.write(self.world.verb(draw, self), self.own_path(draw, "person"), "1", draw.choice(PEOPLE))

    def controller_adds(self, draw):
        if draw.random() < 0.5:
            self.applied[self.own_path(draw, "applier")] = "1"
            body = {"apiVersion": self.git["apiVersion"], "kind": self.kind}
            for path, value in self.applied.items():
                set_in(body, path, value)
            self.send("PATCH", body, "applying-operator", "application/apply-patch+yaml", "&force=true")
        else:
            path = draw.choice(list(self.added) or [None]) if draw.random() < 0.5 else None
            path = path or self.own_path(draw, "controller")
            value = str(draw.randrange(1000))
            self.write(draw.choice(("merge", "json", "update")), path, value, draw.choice(CONTROLLERS))
            self.added[path] = value

    def delete(self, draw):
        self.allowed += 1
        self.added, self.applied = {}, {}
        self.world.api.request("DELETE", self.path)

    def tamper(self, draw):
        if draw.random() < 0.5:
            self.allowed += 1
            self.write(draw.choice(("merge", "json", "update")), ("metadata", "labels", LABEL), draw.choice((GONE, "no.body")),
                       draw.choice(PEOPLE))
        else:
            # Nobody knows any more who has added what: it is all taken over.
            self.allowed += 3
            self.added, self.applied = {}, {}
            self.write("merge", ("metadata", "managedFields"), [{}], draw.choice(PEOPLE))

    def damage(self, draw):
        act = draw.choices((self.change, self.remove, self.person_adds, self.controller_adds, self.delete, self.tamper),
                           (6, 3, 5, 5, 1, 1))[0]
        for _ in range(20):
            before = copy.deepcopy((self.added, self.applied, self.allowed))
            try:
                act(draw)
                return act.__name__
            except ApiError as error:
                self.added, self.applied, self.allowed = before
                if error.status not in (404, 409, 422):  # being made anew, changed meanwhile, or not there any more: once more
                    raise
                time.sleep(0.05)
        return "nothing"

    # -------------------------------------------------------------------- what has come of it

    def wrong(self):
        """What is not as it should be, as text; empty if all is well."""
        try:
            found = self.get()
        except ApiError as error:
            return f"{self.path}: {error}"
        told = []
        git = copy.deepcopy(self.git)
        for key, value in git.pop("stringData", {}).items():
            git["data"][key] = encoded(value)
        metadata = git["metadata"]
        for what, declared in (("labels", {**metadata["labels"], LABEL: self.world.label}), ("annotations", metadata["annotations"])):
            wanted = {**declared, **{path[2]: value for path, value in {**self.added, **self.applied}.items() if path[1] == what}}
            live = {key: value for key, value in found["metadata"][what].items() if not key.startswith("deployment.kubernetes.io/")}
            if live != wanted:
                told.append(f"{what} {live} instead of {wanted}")
        for path, _ in DECLARED.get(self.kind, DECLARED[None]):
            if get_in(found, path) != get_in(git, path):
                told.append(f"{path} {get_in(found, path)} instead of {get_in(git, path)}")
        people = {entry["manager"] for entry in found["metadata"]["managedFields"] if "f:metadata" in entry["fieldsV1"]}
        if people & {*PEOPLE, "before-first-apply"}:
            told.append(f"owned by {people}")
        return f"{self.path}: {'; '.join(told)}" if told else ""


class World:
    def __init__(self, api, namespace, kinds, word):
        self.api, self.namespace, self.word, self.label = api, namespace, word, f"{namespace}.shop"
        self.plurals = {kind: path_of(kind, namespace) for kind in kinds}
        self.plurals[word.capitalize()] = f"/apis/differ.example.org/v1/namespaces/{namespace}/{word}s"
        self.theirs, self.events, self.stopped = set(), defaultdict(list), threading.Event()
        self.threads = []

    @staticmethod
    def verb(draw, subject):
        schema = subject.kind in DECLARED
        return draw.choice(("merge", "json", "apply", "update") + (("strategic",) if schema else ()))

    def watch(self):
        """Notes each version of each object."""
        for plural in self.plurals.values():
            version = self.api.request("GET", plural + "?limit=1")["metadata"]["resourceVersion"]
            self.threads.append(threading.Thread(target=self._watch, args=(plural, version), daemon=True))
            self.threads[-1].start()

    def _watch(self, plural, version):
        while not self.stopped.is_set():
            connection = self.api.new_connection()
            connection.request("GET", f"{plural}?watch=1&resourceVersion={version}&timeoutSeconds=60",
                               headers={"Authorization": f"Bearer {self.api.token}"})
            with connection.getresponse() as answer:
                for line in answer:
                    event = json.loads(line)
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "DELETED":
                        self.events[f"{plural}/{event['object']['metadata']['name']}"].append(event["object"])
                    if self.stopped.is_set():
                        break
            connection.close()

    def our_writes(self, path):
        """How many of the object's versions were not written by the test, nor by a controller of the control plane."""
        count, before = 0, None
        for found in self.events[path]:
            ours = [entry.get("fieldsV1") for entry in found["metadata"].get("managedFields", []) if entry["manager"] == "gitmoor"]
            seen = (found["metadata"]["uid"], found["metadata"].get("generation"), found["metadata"].get("labels"), ours,
                    {key: value for key, value in found["metadata"].get("annotations", {}).items() if "deployment." not in key},
                    found.get("data"), found.get("rules"))
            if seen != before and found["metadata"]["resourceVersion"] not in self.theirs:
                count += 1
            before = seen
        return count


@pytest.mark.timeout(SECONDS + 600)
def test_random_edits_end_in_what_git_says_and_cost_no_more_writes_than_they_did_damage(repository, moored, gitmoor, api, namespace):
    word = "s" + namespace.replace("-", "")
    kinds = ("ConfigMap", "Secret", "Service", "Deployment", "Role")
    count = max(8, int(SECONDS * PER_SECOND / EDITS_OF_ONE / (len(kinds) + 1) / max(1, SECONDS / 120)))
    api.apply(definition(word))
    world = World(api, namespace, kinds, word)
    subjects = [Subject(world, kind, number) for kind in (*kinds, word.capitalize()) for number in range(count)]
    repository.commit({f"deploy/{subject.name}.json": json.dumps(subject.git) for subject in subjects})
    shop = moored(repository, protection="Off", health={"wait": False})
    wait_for(lambda: world.watch() or True, what="the watches")
    shop.wait_applied(timeout=120)
    first, merge = subjects[0], "application/merge-patch+json"
    wait_for(lambda: first.send("PATCH", {"metadata": {"annotations": {"probe": "1"}}}, "kubectl-probe", merge), what="an edit that is let through")
    wait_for(lambda: not first.wrong(), what="its repair")
    first.allowed += 2

    draw, done, end = random.Random(SEED), Counter(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        for subject in draw.sample(subjects, len(subjects)):
            started = time.monotonic()
            done[subject.damage(draw)] += 1
            if started >= end:
                break
            time.sleep(max(0.0, started + 1 / PER_SECOND - time.monotonic()))  # the pace of the edits
    print(f"{len(subjects)} objects, edits: {dict(done)}")

    deadline = time.monotonic() + 120 * stretch()
    while wrong := list(filter(None, (subject.wrong() for subject in subjects))):
        assert time.monotonic() < deadline, "not as Git says:\n" + "\n".join(wrong)
        time.sleep(0.5)  # between two looks at all of it
    wait_for(lambda: shop.condition("Drifted").get("status") == "False", timeout=60, what="and so told")
    shop.wait_applied()
    last = first.send("PATCH", {"metadata": {"annotations": {"last": "1"}}}, "some-operator", merge)["metadata"]["resourceVersion"]
    wait_for(lambda: any(found["metadata"]["resourceVersion"] == last for found in world.events[first.path]), what="all events seen")
    world.stopped.set()
    too_often = {subject.path: (world.our_writes(subject.path), subject.allowed) for subject in subjects
                 if world.our_writes(subject.path) > subject.allowed}
    assert not too_often, f"written (times, allowed): {too_often}"
    for name in ("fetcher", "differ", "applier", "admission"):
        assert gitmoor.processes[name].alive()
