"""Many repositories and applications for a fleet, what Git declares in them, and what watches have seen become of it."""
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from . import sample
from .api import path_of
from .follow import Follow
from .mooring import LABEL, config_map
from .repository import Repository
from .waiting import wait_for

REPOSITORIES = 40
APPLICATIONS = 100


class Shops:
    """Repository r is GitRepository m<r>/shops; its application a is m<r>/a<a> and declares the ConfigMaps c<a>, c<a>-1, c<a>-2 …

    Each commit is a step, a number that it writes into the ConfigMaps it touches. All repositories have one working copy.
    """

    def __init__(self, cluster, git_server, folder, repositories=REPOSITORIES, applications=APPLICATIONS, objects=1):
        self.cluster, self.api = cluster, cluster.api()
        self.count, self.applications, self.objects = repositories, applications, objects
        self.namespaces = {f"m{number}" for number in range(repositories)}
        self.step, self.steps = 0, [0] * objects
        self.seen, self.deleted, self.versions, self.applied, self.follows = {}, [], {}, {}, []
        self.repository = Repository.create(git_server, folder, "shops-0")
        self.repository.commit(self.files())
        self.bare = [Path(self.repository.push_url)]
        for number in range(1, repositories):
            self.bare.append(self.bare[0].with_name(f"shops-{number}.git"))
            shutil.copytree(self.bare[0], self.bare[-1])
        self.urls = [git_server.url(f"shops-{number}") for number in range(repositories)]
        self.heads = {number: self.repository.revision() for number in range(repositories)}
        self.declared = {number: list(self.steps) for number in range(repositories)}

    def apps_of(self, number):
        """The applications of a repository."""
        return range(self.applications // self.count + (number < self.applications % self.count))

    def keys(self, only=None):
        """The applications, as namespace/name."""
        return [f"m{number}/a{app}" for number in (range(self.count) if only is None else only) for app in self.apps_of(number)]

    @staticmethod
    def object_name(app, number):
        return f"c{app}-{number}" if number else f"c{app}"

    def files(self):
        return {f"deploy/{app}/c.yaml": "---\n".join(config_map(self.object_name(app, number), step=str(step))
                                                    for number, step in enumerate(self.steps))
                for app in self.apps_of(0)}

    def owns(self, found):
        """Not what another test has left in its namespace."""
        return found["metadata"]["namespace"] in self.namespaces

    def expected(self):
        """(namespace, name) -> the step that Git declares."""
        return {(f"m{number}", self.object_name(app, at)): str(step) for number in range(self.count)
                for app in self.apps_of(number) for at, step in enumerate(self.declared[number])}

    def live(self):
        """The same of what is there."""
        return {(item["metadata"]["namespace"], item["metadata"]["name"]): item["data"]["step"]
                for item in self.api.list("ConfigMap", query=f"?labelSelector={LABEL.replace('/', '%2F')}") if self.owns(item)}

    # ------------------------------------------------------------------------------- doing

    def make(self, **spec):
        self.follow()
        for number in range(self.count):
            self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"m{number}"}})
            self.api.apply(sample.ca_secret(f"m{number}", "git", self.repository.ca_file))
            self.api.apply(sample.git_repository(f"m{number}", "shops", self.urls[number], secret="git", interval="1h"))
            for app in self.apps_of(number):
                self.api.apply(sample.application(f"m{number}", f"a{app}", "shops", f"deploy/{app}", **{"protection": "Off", **spec}))

    def commit(self, files=None, only=None, touch=1):
        """To all repositories, and a fetch asked for, as a push notification would."""
        self.push(files, only, touch)
        self.nudge(only)

    def push(self, files=None, only=None, touch=1):
        """touch: how many objects of each application the commit changes."""
        self.step += 1
        self.steps[:touch] = [self.step] * len(self.steps[:touch])
        self.repository.commit({**self.files(), **(files or {})}, push=False)
        revision = self.repository.revision()
        for number in range(self.count) if only is None else only:
            subprocess.run(["git", "-C", self.repository.folder, "push", "-q", self.bare[number], "HEAD:refs/heads/main"], check=True)
            self.heads[number], self.declared[number] = revision, list(self.steps)

    def nudge(self, only=None):
        for number in range(self.count) if only is None else only:
            self.api.patch("GitRepository", f"m{number}", "shops", {
                "metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}})

    def repair(self, number, app=0):
        """Edits as a person does, and returns how long it took until that was gone."""
        start = time.monotonic()
        step = str(self.declared[number][0])
        self.api.patch("ConfigMap", f"m{number}", f"c{app}", {"data": {"step": "by hand"}})
        wait_for(lambda: self.api.get("ConfigMap", f"m{number}", f"c{app}")["data"]["step"] == step, 25,
                 f"m{number}/c{app} repaired")
        return time.monotonic() - start

    # ------------------------------------------------------------------------------- seeing

    def behind(self, only=None):
        """The applications that have not applied the head."""
        return [f"m{number}/a{app}" for number in (range(self.count) if only is None else only) for app in self.apps_of(number)
                if self.applied.get(f"m{number}/a{app}") != self.heads[number]]

    def wait_landed(self, timeout=30, only=None):
        def landed():
            behind = self.behind(only)
            assert not behind, f"behind: {len(behind)} {behind[:5]}"
            return True
        wait_for(landed, timeout, f"step {self.step} everywhere")

    def follow(self):
        self.follows = [Follow(self.api, path_of("ConfigMap"), self._take_object, LABEL.replace("/", "%2F")),
                        Follow(self.api, path_of("Application"), self._take_application)]

    def stop(self):
        """Seen enough."""
        for follow in self.follows:
            follow.stop()

    def _take_application(self, what, found):
        key = f"{found['metadata']['namespace']}/{found['metadata']['name']}"
        self.applied[key] = None if what == "DELETED" else found.get("status", {}).get("lastAppliedRevision")

    def _take_object(self, what, found):
        """Each step that each ConfigMap was given, in order. A list that follows a watch tells again what was told."""
        if not self.owns(found):
            return
        key, version = f"{found['metadata']['namespace']}/{found['metadata']['name']}", found["metadata"]["resourceVersion"]
        if what == "DELETED":
            self.deleted.append(key)
        elif "step" in found.get("data", {}) and self.versions.get(key) != version:
            self.versions[key] = version
            self.seen.setdefault(key, []).append(found["data"]["step"])

    def forget(self, name):
        """The ConfigMaps of this name have gone, as they should."""
        for number in range(self.count):
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
