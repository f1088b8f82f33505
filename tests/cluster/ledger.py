"""What was done, counted by those who cannot be mistaken: the Git server, the API server, and the logs of all Pods, dead ones too."""
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from harness import audit
from harness.cluster import user_of
from installation import NAMESPACE


class Growing:
    """Reads what has been added to a file since the last time, by whole lines. It is held open: what is deleted is read to its end."""

    def __init__(self, path):
        self.file, self.rest = open(path, "rb"), b""

    def lines(self):
        *whole, self.rest = (self.rest + self.file.read()).split(b"\n")
        return whole

    def close(self):
        self.file.close()


RENDERED, TAKEN = "application rendered", "plan taken"  # of a differ and of an applier


class PodLogs(threading.Thread):
    """What Gitmoor's Pods log of that, from the node's disk: (Pod, fields). kubelet deletes a file with its Pod, so it is quick."""

    TOLD = tuple(f'"{message}"'.encode() for message in (RENDERED, TAKEN))

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.files, self.found = folder, {}, []
        self.lock, self.ending = threading.Lock(), threading.Event()
        self.start()

    def run(self):
        while not self.ending.wait(0.1):
            self.read()

    def stop(self):
        self.ending.set()
        self.join()
        for file in self.files.values():
            file.close()

    def read(self):
        with self.lock:
            for path in self.folder.glob(f"{NAMESPACE}_*/*/*.log"):
                try:
                    key = (str(path), path.stat().st_ino)  # another one of the same name: kubelet rotates them
                    if key not in self.files:
                        self.files[key] = Growing(path)
                except OSError:
                    continue
            for (path, _), file in self.files.items():
                pod = path.split("/")[-3].split("_")[1]
                for line in file.lines():
                    text = line.split(b" ", 3)[-1]  # time, stream and tag are containerd's
                    if text.startswith(b"{") and any(told in text for told in self.TOLD):
                        self.found.append((pod, json.loads(text)))


@dataclass
class Work:
    """What was done in a while. Applications are named by namespace/name, objects by (namespace, name)."""
    fetches: Counter = field(default_factory=Counter)    # (repository, commit)
    renders: Counter = field(default_factory=Counter)    # (application, revision)
    plans: Counter = field(default_factory=Counter)      # (application, revision)
    writes: Counter = field(default_factory=Counter)     # (object, step)
    dry_runs: Counter = field(default_factory=Counter)   # (object, step)
    deletes: Counter = field(default_factory=Counter)    # object
    fetchers: dict = field(default_factory=dict)         # repository -> addresses that fetched it, in order
    differs: dict = field(default_factory=dict)          # application -> Pods that rendered it, in order
    appliers: dict = field(default_factory=dict)         # application -> Pods that were given its plans, in order
    first_plans: dict = field(default_factory=dict)      # Pod -> when (seconds since 1970)

    def again(self):
        """How often something was done that had been done already, by kind."""
        return {kind: sum(count - 1 for count in getattr(self, kind).values())
                for kind in ("fetches", "renders", "plans", "writes", "dry_runs")}


def _note(who, key, name):
    if who.setdefault(key, [name])[-1] != name:
        who[key].append(name)


class Ledger:
    """since_last() -> Work since the call before. One reader."""

    def __init__(self, cluster, git_server):
        self.git_server = git_server
        self.wants = len(git_server.wants)
        self.logs = PodLogs(cluster.pod_logs)
        self.logs.read()
        self.told = len(self.logs.found)
        self.audit = Growing(cluster.folder / "audit.log")
        self.audit.lines()
        self.work = Work()

    def stop(self):
        self.logs.stop()
        self.audit.close()

    def now(self):
        """The Work since the last turn(), so far."""
        self._read_git()
        self._read_audit()
        self.logs.read()
        for pod, line in self.logs.found[self.told:]:
            self._read_line(pod, line)
        self.told = len(self.logs.found)
        return self.work

    def turn(self):
        """Begins a new page; returns the old one."""
        done, self.work = self.now(), Work()
        return done

    def _read_git(self):
        wants = self.git_server.wants[self.wants:]
        self.wants += len(wants)
        for address, repository, commit in wants:
            self.work.fetches[repository, commit] += 1
            _note(self.work.fetchers, repository, address)

    def _read_audit(self):
        for line in self.audit.lines():
            write = audit.read(line)
            if write.user != user_of("applier"):
                continue
            named = (write.namespace, write.name)
            if write.verb == "delete":
                self.work.deletes[named] += not write.dry_run
            elif write.resource == "configmaps":
                count = self.work.dry_runs if write.dry_run else self.work.writes
                count[named, write.body["data"]["step"]] += 1

    def _read_line(self, pod, line):
        message = line.get("message")
        if message == RENDERED:
            self.work.renders[line["application"], line["revision"]] += 1
            _note(self.work.differs, line["application"], pod)
        elif message == TAKEN:
            application = f"{line['namespace']}/{line['application']}"
            self.work.plans[application, line["revision"]] += 1
            _note(self.work.appliers, application, pod)
            self.work.first_plans.setdefault(pod, datetime.fromisoformat(line["time"]).timestamp())
