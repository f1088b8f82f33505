"""Requests of users as the API server counts them: its audit log."""
import collections
import json


def write_policy(file, users):
    """Every request of these users, without bodies."""
    file.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived", "ResponseStarted"],
                                "rules": [{"level": "Metadata", "users": users}, {"level": "None"}]}))


class Requests:
    """The audit log from here on."""

    def __init__(self, file):
        self.file, self.start = file, file.stat().st_size if file.exists() else 0

    def count(self):
        """(user, verb, resource) -> how many, without watches and Leases."""
        found = collections.Counter()
        with open(self.file, encoding="utf-8") as log:
            log.seek(self.start)
            for line in log:
                event = json.loads(line)
                subject = event.get("objectRef", {})
                resource = subject.get("resource") or event["requestURI"].split("?")[0]
                if event["verb"] != "watch" and resource != "leases":
                    found[event["user"]["username"], event["verb"], resource] += 1
        return found
