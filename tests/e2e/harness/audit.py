"""The API server's own account of what Gitmoor wrote: its audit log, with the bodies of the applier's requests."""
import json
import urllib.parse
from dataclasses import dataclass
from datetime import datetime

from .cluster import user_of

STATUSES = [{"group": "gitmoor.io", "resources": ["applications/status", "gitrepositories/status"]}]


def write_policy(file):
    """What is recorded: the applier's writes with their bodies, the writes of statuses without."""
    file.write_text(json.dumps({
        "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"], "omitManagedFields": True, "rules": [
            {"level": "Request", "users": [user_of("applier")], "verbs": ["create", "patch", "delete"]},
            {"level": "Metadata", "users": [user_of("fetcher"), user_of("differ")], "verbs": ["patch", "update"],
             "resources": STATUSES},
            {"level": "None"}]}))


def flags(folder):
    """Of kube-apiserver, for a policy and a log in the folder."""
    return [f"--audit-policy-file={folder / 'audit-policy.json'}", f"--audit-log-path={folder / 'audit.log'}",
            "--audit-log-maxsize=100000"]


@dataclass(frozen=True)
class Write:
    """One request: when it came (seconds since 1970), from where, what it was for, and what it answered."""
    at: float
    address: str
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    dry_run: bool
    status: int
    body: dict


def read(line):
    event = json.loads(line)
    subject = event.get("objectRef", {})
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(event["requestURI"]).query)
    resource = subject.get("resource", "") + (f"/{subject['subresource']}" if "subresource" in subject else "")
    return Write(datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(), event["sourceIPs"][0],
                 event["user"]["username"], event["verb"], resource, subject.get("namespace", ""), subject.get("name", ""),
                 "dryRun" in query, event.get("responseStatus", {}).get("code", 0), event.get("requestObject") or {})
