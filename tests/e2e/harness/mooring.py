"""A GitRepository and an Application of one test, with what tests ask of them."""
import secrets

from . import sample
from .api import condition
from .waiting import wait_for

LABEL = "gitmoor.io/managed-by"


def config_map(name, namespace=None, **data):
    """A ConfigMap manifest as text, four lines and one for each value."""
    lines = ["apiVersion: v1", "kind: ConfigMap", "metadata:", f"  name: {name}"]
    if namespace:
        lines.append(f"  namespace: {namespace}")
    if data:
        lines.append("data:")
        lines += [f"  {key}: {value!r}" for key, value in data.items()]
    return "\n".join(lines) + "\n"


def in_wave(wave, manifest):
    """The manifest with the annotation that orders it."""
    return manifest.replace("metadata:", f"metadata:\n  annotations: {{gitmoor.io/wave: \"{wave}\"}}", 1)


class Mooring:
    """make() creates both objects. The interval is long: push() and nudge() ask for a fetch, as a push notification would."""

    def __init__(self, cluster, namespace, repository, name="shop", path="deploy", **spec):
        self.cluster, self.api, self.namespace = cluster, cluster.api(), namespace
        self.repository, self.name, self.path, self.spec = repository, name, path, spec
        self.repository_name = name
        self.repository_spec = {"interval": "1h"}

    def make(self):
        self.make_repository()
        return self.make_application()

    def make_repository(self, **secret):
        self.api.apply(sample.ca_secret(self.namespace, f"{self.name}-git", self.repository.ca_file, **secret))
        self.api.apply(sample.git_repository(self.namespace, self.repository_name, self.repository.url,
                                             secret=f"{self.name}-git", **self.repository_spec))
        return self

    def make_application(self):
        self.api.apply(sample.application(self.namespace, self.name, self.repository_name, self.path, **self.spec))
        return self

    def beside(self, name, path, **spec):
        """Another Application of the same repository."""
        other = Mooring(self.cluster, self.namespace, self.repository, name, path, **spec)
        other.repository_name = self.repository_name
        return other.make_application()

    def set(self, **spec):
        """Change the Application's spec."""
        self.spec.update(spec)
        return self.make_application()

    def remove(self):
        """Neither fetched nor reconciled any more."""
        self.api.delete("Application", self.namespace, self.name)
        self.api.delete("GitRepository", self.namespace, self.repository_name)

    # ------------------------------------------------------------------------------- doing

    def push(self, files=None, message="change", **options):
        """Commit, push, ask for a fetch; returns the revision as status writes it."""
        self.repository.commit(files, message, **options)
        self.nudge()
        return self.repository.revision()

    def nudge(self):
        self.api.patch("GitRepository", self.namespace, self.repository_name, {
            "metadata": {"annotations": {"gitmoor.io/reconcile-requested-at": secrets.token_hex(8)}}}, manager="e2e")

    # ------------------------------------------------------------------------------- seeing

    def application(self):
        return self.api.get("Application", self.namespace, self.name) or {}

    def source(self):
        return self.api.get("GitRepository", self.namespace, self.repository_name) or {}

    def status(self):
        return self.application().get("status", {})

    def condition(self, kind="Ready"):
        return condition(self.application(), kind)

    def config_map(self, name, namespace=None):
        """The data of a live ConfigMap, or None."""
        found = self.api.get("ConfigMap", namespace or self.namespace, name)
        return None if found is None else found.get("data", {})

    def live(self):
        """name -> data of the ConfigMaps with this application's label."""
        query = f"?labelSelector={LABEL}%3D{self.namespace}.{self.name}"
        return {found["metadata"]["name"]: found.get("data", {}) for found in self.api.list("ConfigMap", self.namespace, query)}

    def events(self):
        """Events about the Application: (type, reason, message)."""
        return self._events("Application", self.name)

    def source_events(self):
        return self._events("GitRepository", self.repository_name)

    def _events(self, kind, name):
        return [(event["type"], event["reason"], event.get("message", "")) for event in self.api.list("Event", self.namespace)
                if event["involvedObject"]["kind"] == kind and event["involvedObject"]["name"] == name]

    # ------------------------------------------------------------------------------- waiting

    def wait_applied(self, revision=None, timeout=30):
        """Until it is Ready at the revision (default: the head of the working copy)."""
        wanted = revision or self.repository.revision()
        seen = {}

        def applied():
            seen["application"] = found = self.application()
            ready = condition(found, "Ready")
            return (found["status"].get("lastAppliedRevision") == wanted and ready.get("status") == "True"
                    and ready.get("observedGeneration") == found["metadata"]["generation"])

        return self._wait(applied, timeout, f"{self.name} applied {wanted}", seen)

    def wait_not_ready(self, *words, reason=None, timeout=30):
        """Until Ready is False with all the words in its message; returns the condition."""
        seen = {}

        def refused():
            seen["application"] = found = self.application()
            ready = condition(found, "Ready")
            return ready if (ready.get("status") == "False" and (reason is None or ready["reason"] == reason)
                             and all(word in ready["message"] for word in words)) else None

        return self._wait(refused, timeout, f"{self.name} not ready because of {words or reason}", seen)

    def wait_event(self, kind, *words, timeout=15):
        """Until there is an Event of this type (Warning, Normal) about the Application with all the words."""
        return wait_for(lambda: next((event for event in self.events() if event[0] == kind
                                      and all(word in event[1] + ": " + event[2] for word in words)), None),
                        timeout, f"a {kind} Event with {words} among {self.events()}")

    def wait_source(self, status, *words, reason=None, timeout=30):
        """Until the GitRepository's Ready has this status, reason, and words in its message."""
        seen = {}

        def settled():
            seen["repository"] = found = self.source()
            ready = condition(found, "Ready")
            return ready if (ready.get("status") == status and (reason is None or ready["reason"] == reason)
                             and all(word in ready["message"] for word in words)) else None

        return self._wait(settled, timeout, f"GitRepository {self.repository_name} Ready={status} {reason or ''} {words}", seen)

    def wait_source_event(self, kind, *words, timeout=15):
        return wait_for(lambda: next((event for event in self.source_events() if event[0] == kind
                                      and all(word in event[1] + ": " + event[2] for word in words)), None),
                        timeout, f"a {kind} Event with {words} among {self.source_events()}")

    @staticmethod
    def _wait(condition_, timeout, what, seen):
        try:
            return wait_for(condition_, timeout, what)
        except AssertionError as error:
            told = {kind: found.get("status") for kind, found in seen.items()}
            raise AssertionError(f"{error}\nstatus: {told}") from None
