"""What may fail, and what users have meanwhile: the table of docs/failure-modes.md, which test_failure_docs.py compares with this one.

A cause is a row. Of each of the COLUMNS it says
    goes on   as if nothing had happened
    waits     nothing is lost: it happens when the cause has ended
    closed    only for edits: every edit of a managed object is refused, the reason cannot be told
    no API    nobody can write to the cluster, so there is nothing to have
"""
import json
import os
import statistics
import time
from pathlib import Path

from . import paths
from .api import ApiError, condition
from .cluster import PROCESSES
from .mooring import config_map
from .waiting import allowance, wait_for

DRIFTING = 40
COLUMNS = ("edits", "drift", "commits", "status", "others")
CONVERGED = 30  # seconds from the end of the cause
GOES_ON, WAITS, CLOSED, NO_API = "goes on", "waits", "closed", "no API"

# What is lost without a process, whatever became of it.
WITHOUT = {
    "fetcher": {"commits": WAITS},
    "differ": {"drift": WAITS, "commits": WAITS, "status": WAITS},
    "applier": {"drift": WAITS, "commits": WAITS},
    "admission": {"edits": CLOSED},
}
NOTHING = dict.fromkeys(COLUMNS, NO_API) | dict.fromkeys(("drift", "commits", "status"), WAITS)


def row(**different):
    return dict.fromkeys(COLUMNS, GOES_ON) | different


ROWS = {
    **{f"{process} killed": row(**WITHOUT[process]) for process in PROCESSES},
    **{f"{process} Pod deleted": row(**WITHOUT[process]) for process in PROCESSES},
    "all Pods but admission's deleted": row(drift=WAITS, commits=WAITS, status=WAITS),
    "fetcher to differ cut": row(commits=WAITS),
    "differ to applier cut": row(drift=WAITS, commits=WAITS),
    "admission to differ cut": row(),
    **{f"{process} to API server cut": row(**WITHOUT[process]) for process in PROCESSES[:3]},
    "admission to API server cut": row(),
    "API server to admission cut": row(edits=CLOSED),
    "fetcher to Git server cut": row(commits=WAITS),
    "Git server gone": row(commits=WAITS),
    "node restarted": row(edits=CLOSED, drift=WAITS, commits=WAITS, status=WAITS),
    "API server restarted": NOTHING,
    "etcd paused": NOTHING,
}

AS_BREAK_GLASS = {"Impersonate-User": "admin", "Impersonate-Group": "system:masters",
                  "impersonate-group": "gitmoor:break-glass"}  # a dict holds a name once; HTTP does not mind the case
# A kind of which nobody but the test writes the status.
BOILERS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "boilers.drill.example.org"},
    "spec": {"group": "drill.example.org", "scope": "Namespaced",
             "names": {"plural": "boilers", "singular": "boiler", "kind": "Boiler"},
             "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {
                 "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
BOILER = "apiVersion: drill.example.org/v1\nkind: Boiler\nmetadata:\n  name: cellar\nspec:\n  degrees: 60\n"


def serve_boilers(api):
    api.apply(BOILERS)
    wait_for(lambda: api.request("GET", "/apis/drill.example.org/v1/boilers")["kind"] == "BoilerList", what="boilers are served")


class Drill:
    """Two applications of one repository, that can be asked at any time what their users have.

    `shop` has five ConfigMaps whose data is the number of the last commit, and forty that take turns in drifting: a field that
    somebody changes again and again would be a fight, from which the differ backs off. `cellar` is one object whose health the
    test decides.
    """

    def __init__(self, api, moored, repository):
        self.number = self.turn = self.let_through = 0
        serve_boilers(api)
        self.shop = moored(repository)
        self.api, self.namespace = self.shop.api, self.shop.namespace
        self.cellar = self.shop.beside("cellar", "cellar", health={"wait": True, "timeout": "1h"})
        self.shop.wait_applied(timeout=60)
        self.warm = False
        wait_for(lambda: self.report() or True, 60, "the boiler is there")
        wait_for(lambda: self.reported(), 60, "health is reported")

    def close(self):
        self.cellar.remove()

    @staticmethod
    def files(number=0):
        return {f"deploy/{n}.yaml": config_map(f"c{n}", step=str(number)) for n in range(5)} | {
            f"deploy/drifting-{n}.yaml": config_map(f"d{n}", step="0") for n in range(DRIFTING)} | {"cellar/boiler.yaml": BOILER}

    # ------------------------------------------------------------------------------- edits

    def edit(self):
        """What is said to a person who edits a managed object; None: it was let through."""
        try:
            self.api.patch("ConfigMap", self.namespace, "c0", {"data": {"step": "edited"}})
            self.let_through += 1  # wait_for would go on waiting
            return None
        except ApiError as error:
            return str(error)

    def explained(self):
        """An edit is refused, and the refusal names the field."""
        return ".data.step" in (self.edit() or "")

    # ------------------------------------------------------------------------------- drift

    def drift(self):
        """Drift that admission lets through."""
        turn = (self.turn + 1) % DRIFTING
        self.api.request("PATCH", f"/api/v1/namespaces/{self.namespace}/configmaps/d{turn}?fieldManager=kubectl-edit", {
            "metadata": {"annotations": {"gitmoor.io/break-glass-reason": "drill"}}, "data": {"step": "drift"}},
            "application/merge-patch+json", AS_BREAK_GLASS)
        self.turn = turn

    def healed(self):
        return self.shop.config_map(f"d{self.turn}") == {"step": "0"}

    # ------------------------------------------------------------------------------- commits

    def commit(self):
        """Pushed, and nobody told."""
        self.number += 1
        self.shop.repository.commit(self.files(self.number))

    def nudge(self):
        self.shop.nudge()
        return True

    def applied(self):
        live = self.shop.live()
        ready = condition(self.shop.application(), "Ready").get("status") == "True"
        return ready and {live[f"c{n}"]["step"] for n in range(5)} == {str(self.number)}

    # ------------------------------------------------------------------------------- status

    def report(self):
        """The health of the boiler changes."""
        warm = not self.warm
        self.api.request("PATCH", f"/apis/drill.example.org/v1/namespaces/{self.namespace}/boilers/cellar/status", {
            "status": {"conditions": [{"type": "Ready", "status": str(warm), "reason": "Drill", "message": ""}]}},
            "application/merge-patch+json")
        self.warm = warm

    def reported(self):
        return (condition(self.cellar.application(), "Healthy").get("status") == "True") == self.warm

    # ------------------------------------------------------------------------------- others

    def others(self):
        """Objects that nobody manages are written as ever."""
        name = f"by-hand-{time.monotonic_ns()}"
        self.api.create("ConfigMap", self.namespace, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}})
        self.api.delete("ConfigMap", self.namespace, name)

    # ------------------------------------------------------------------------------- a round

    def told(self):
        """What there is, for a round that does not end."""
        statuses = {name: found.get("status") for name, found in (("source", self.shop.source()), ("shop", self.shop.application()),
                                                                  ("cellar", self.cellar.application()))}
        return f"commit {self.number}, {self.shop.repository.revision()}; live {self.shop.live()}; {statuses}"

    def check(self, name, patience=CONVERGED):
        """While the cause `name` lasts, everything is as its row says."""
        expected = ROWS[name]
        if expected["edits"] == NO_API:
            self._check_no_api()
            return
        self.commit()
        self.nudge()
        self.report()
        self.drift()
        self._check_edits(expected["edits"])
        self.others()
        tests = {"drift": self.healed, "commits": self.applied, "status": self.reported}
        for column, test in tests.items():
            if expected[column] == GOES_ON:
                wait_for(test, patience, f"{name}: {column} goes on")
        for column, test in tests.items():
            assert expected[column] == GOES_ON or not test(), f"{name}: {column} does not wait: has anything failed?"
        assert not self.let_through, f"{name}: an edit was let through"

    def _check_edits(self, expected):
        if expected == GOES_ON:
            assert self.explained()
        else:
            told = self.edit()
            assert told and "failed calling webhook" in told, told

    def _check_no_api(self):
        self.commit()
        try:
            self.api.request("POST", f"/api/v1/namespaces/{self.namespace}/configmaps?timeout=2s",
                             {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "never-"}})
        except Exception:  # noqa: BLE001: refused, cut off or too late
            return
        raise AssertionError("the API server took a write")

    def converge(self, ended, told=True):
        """Everything works again; returns how many seconds after the cause's end, and after it for each column.

        With told=False nobody asks for a fetch: that of the commit during the cause has failed, and is tried again, though the interval
        is an hour. There is no other commit, which that fetch might or might not find.
        """
        took = {}

        def done(column, condition_):
            try:
                wait_for(condition_, CONVERGED, f"{column} after the end of the cause", every=0.03)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{self.told()}") from None
            took[column] = round(time.monotonic() - ended, 2)

        def again(action):
            return lambda: action() or True

        done("others", again(self.others))
        if told:
            self.commit()
            done("asked", self.nudge)
        done("commits", self.applied)
        done("drifted", again(self.drift))
        done("drift", self.healed)
        done("edits", self.explained)
        done("changed", again(self.report))
        done("status", self.reported)
        total = max(took.values())
        assert total <= allowance(CONVERGED), took
        assert not self.let_through, "an edit was let through"
        return total, took


class Measured:
    """The times of the rounds, kept in GITMOOR_FAIL_RESULTS (a JSON file) if that is set."""

    def __init__(self):
        named = os.environ.get("GITMOOR_FAIL_RESULTS")
        self.file = Path(named) if named else None

    def add(self, name, seconds):
        ordered = sorted(seconds)
        told = {"rounds": len(ordered), "median": round(statistics.median(ordered), 1), "max": round(ordered[-1], 1)}
        print(f"{name}: converged {told['median']} s (median), {told['max']} s (max) after the end, {told['rounds']} rounds: {seconds}")
        if self.file:
            held = json.loads(self.file.read_text()) if self.file.exists() else {}
            held[name] = told
            self.file.write_text(json.dumps(held, indent=1, sort_keys=True) + "\n")


def rounds(default):
    return int(os.environ.get("GITMOOR_FAIL_ROUNDS", str(default)))


DOCUMENT = paths.ROOT / "docs" / "failure-modes.md"
