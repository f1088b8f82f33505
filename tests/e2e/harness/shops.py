"""Many repositories and applications for a fleet, what Git declares in them, and what a watch has seen become of it."""
import json
import secrets
import shutil
import subprocess
import threading
import time
from pathlib import Path

from . import sample
from .api import path_of
from .mooring import config_map
from .repository import Repository
from .waiting import wait_for

REPOSITORIES = 40
APPLICATIONS = 100


def apps_of(number):
    return range(3 if number < APPLICATIONS - 2 * REPOSITORIES else 2)


class Shops:
    """The repositories r0, r1 …, one working copy of them all; what Git declares; what the watch has seen."""

    def __init__(self, cluster, git_server, folder):
        self.cluster, self.api = cluster, cluster.api()
        self.step, self.seen, self.deleted, self.versions = 0, {}, [], {}
        self.repository = Repository.create(git_server, folder, "shops-0")
        self.repository.commit(self.files())
        self.bare = [Path(self.repository.push_url)]
        for number in range(1, REPOSITORIES):
            self.bare.append(self.bare[0].with_name(f"shops-{number}.git"))
            shutil.copytree(self.bare[0], self.bare[-1])
        self.urls = [git_server.url(f"shops-{number}") for number in range(REPOSITORIES)]
        self.ending = False

    def files(self):
        return {f"deploy/{app}/c.yaml": config_map(f"c{app}", step=str(self.step)) for app in range(3)}

    def make(self):
        self.watch()
        for number in range(REPOSITORIES):
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"m{number}"}})
            self.api.apply(sample.ca_secret(f"m{number}", "git", self.repository.ca_file))
            self.api.apply(sample.git_repository(f"m{number}", "shops", self.urls[number], secret="git", interval="1h"))
            for app in apps_of(number):
                self.api.apply(sample.application(f"m{number}", f"a{app}", "shops", f"deploy/{app}", protection="Off"))

    def commit(self, files=None, only=None):
        """To all repositories, and a fetch asked for, as a push notification would."""
        self.push(files, only)
        self.nudge(only)

    def push(self, files=None, only=None):
        self.step += 1
        self.repository.commit({**self.files(), **(files or {})}, push=False)
        for number in range(REPOSITORIES) if only is None else only:
            subprocess.run(["git", "-C", self.repository.folder, "push", "-q", self.bare[number], "HEAD:refs/heads/main"], check=True)

    def nudge(self, only=None):
        for number in range(REPOSITORIES) if only is None else only:
            self.api.patch("GitRepository", f"m{number}", "shops", {
                "metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}})

    def landed(self, only=None):
        """Whether each application has applied the head."""
        revision = self.repository.revision()
        applications = [item for item in self.api.list("Application")
                        if only is None or item["metadata"]["namespace"] in {f"m{number}" for number in only}]
        behind = [f"{item['metadata']['namespace']}/{item['metadata']['name']}" for item in applications
                  if item.get("status", {}).get("lastAppliedRevision") != revision]
        return not behind or AssertionError(f"behind: {len(behind)} {behind[:5]}")

    def wait_landed(self, timeout=30, only=None):
        def landed():
            answer = self.landed(only)
            if answer is not True:
                raise answer
            return True
        wait_for(landed, timeout, f"step {self.step} everywhere", every=0.2)

    def repair(self, number, app=0):
        """Edits as a person does, and returns how long it took until that was gone."""
        start = time.monotonic()
        self.api.patch("ConfigMap", f"m{number}", f"c{app}", {"data": {"step": "by hand"}})
        wait_for(lambda: self.api.get("ConfigMap", f"m{number}", f"c{app}")["data"]["step"] == str(self.step), 25,
                 f"m{number}/c{app} repaired")
        return time.monotonic() - start

    def watch(self):
        """Again after an outage of the API server, which ends a watch."""
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        """Each step that each ConfigMap was given, in order."""
        path = path_of("ConfigMap") + "?watch=true&labelSelector=gitmoor.io%2Fmanaged-by"
        connection = self.api.new_connection()
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.api.token}"})
        answer = connection.getresponse()
        while not self.ending:
            try:
                line = answer.readline()
            except OSError:
                return
            if not line:
                return
            event = json.loads(line)
            found = event["object"]
            key = f"{found['metadata'].get('namespace')}/{found['metadata'].get('name')}"
            if event["type"] == "DELETED":
                self.deleted.append(key)
            elif event["type"] in ("ADDED", "MODIFIED"):
                self._note(key, found["metadata"]["resourceVersion"], found["data"]["step"])

    def _note(self, key, version, step):
        """A watch begins with what the one before has told already."""
        if self.versions.get(key) != version:
            self.versions[key] = version
            self.seen.setdefault(key, []).append(step)

    def forget(self, name):
        """The ConfigMaps of this name have gone, as they should."""
        for number in range(REPOSITORIES):
            key = f"m{number}/{name}"
            wait_for(lambda key=key: key not in self.seen or key in self.deleted, 10, f"{key} pruned")
            self.seen.pop(key, None)
        self.deleted = [key for key in self.deleted if not key.endswith(f"/{name}")]

    def check_history(self):
        """No step came twice but as a repair, and none after a later one: nothing was applied by two at once."""
        for key, steps in self.seen.items():
            numbers = [int(step) for step in steps if step != "by hand"]
            assert numbers == sorted(numbers), f"{key} went back: {steps}"
            twice = sum(before == after for before, after in zip(numbers, numbers[1:]))
            assert twice <= steps.count("by hand"), f"{key} was written twice: {steps}"
