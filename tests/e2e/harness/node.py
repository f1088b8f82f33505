#!/usr/bin/env python3
"""A stand-in for a node: no container runs, but Pods are scheduled, become Ready, and end when they are deleted.

With kube-controller-manager that is enough for Deployments to roll out and Jobs to fail or wait as in a cluster. A Pod whose image
contains the word "broken" never becomes Ready, as with an image that cannot be pulled; one whose image contains "succeeds" ends at
once, one with "fails" with exit code 3.
"""
import argparse
import json
import queue
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.api import Api, ApiError, now_rfc3339, path_of  # noqa: E402

NODE = "node-0"


def register(api):
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
    try:
        api.request("POST", "/api/v1/nodes", node)
    except ApiError as error:
        if error.status != 409:
            raise
    status = {"status": {"capacity": {"cpu": "64", "memory": "256Gi", "pods": "10000"},
                         "conditions": [{"type": "Ready", "status": "True", "reason": "StandIn",
                                         "lastHeartbeatTime": now_rfc3339(), "lastTransitionTime": now_rfc3339()}]}}
    api.request("PATCH", f"/api/v1/nodes/{NODE}/status", status, "application/merge-patch+json")


def bind(api, pod):
    meta = pod["metadata"]
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
               "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
    api.request("POST", path_of("Pod", meta["namespace"], meta["name"]) + "/binding", binding)


def ended(pod, code):
    """The status of a Pod whose containers have ended."""
    word = "Error" if code else "Completed"
    state = {"terminated": {"exitCode": code, "reason": word, "finishedAt": now_rfc3339(), "startedAt": now_rfc3339(),
                            **({"message": "no such table: orders"} if code else {})}}
    return {"phase": "Failed" if code else "Succeeded", "startTime": now_rfc3339(),
            "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted", "lastTransitionTime": now_rfc3339()}],
            "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
                                   "ready": False, "started": False, "state": state} for container in pod["spec"]["containers"]]}


def status_of(pod):
    """The status that a kubelet would report for a Pod that runs, or cannot."""
    images = " ".join(container["image"] for container in pod["spec"]["containers"])
    if "succeeds" in images or "fails" in images:
        return ended(pod, 3 if "fails" in images else 0)
    broken = "broken" in images
    ready = "False" if broken else "True"
    state = {"waiting": {"reason": "ImagePullBackOff"}} if broken else {"running": {"startedAt": now_rfc3339()}}
    return {
        "phase": "Pending" if broken else "Running", "startTime": now_rfc3339(),
        "conditions": [{"type": kind, "status": value, "lastTransitionTime": now_rfc3339()}
                       for kind, value in (("PodScheduled", "True"), ("Initialized", "True"),
                                           ("ContainersReady", ready), ("Ready", ready))],
        "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "", "restartCount": 0,
                               "ready": not broken, "started": not broken, "state": state}
                              for container in pod["spec"]["containers"]],
    }


def settle(api, pod):
    """One step towards what a node does with this Pod; the next step follows on the watch event that this one causes."""
    meta = pod["metadata"]
    path = path_of("Pod", meta["namespace"], meta["name"])
    if meta.get("deletionTimestamp"):
        if pod["spec"].get("nodeName"):
            api.request("DELETE", path, {"gracePeriodSeconds": 0, "preconditions": {"uid": meta["uid"]}})
    elif not pod["spec"].get("nodeName"):
        bind(api, pod)
    elif not pod["status"].get("startTime"):
        api.request("PATCH", path + "/status", {"status": status_of(pod)}, "application/merge-patch+json")


def watch(api, events):
    """Lists and watches all Pods for ever."""
    while True:
        try:
            pods = api.request("GET", "/api/v1/pods")
            for pod in pods["items"]:
                events.put(pod)
            version = pods["metadata"]["resourceVersion"]
            connection = api.new_connection()
            connection.request("GET", f"/api/v1/pods?watch=1&resourceVersion={version}&timeoutSeconds=55",
                               headers={"Authorization": f"Bearer {api.token}"})
            for line in connection.getresponse():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    events.put(event["object"])
            connection.close()
        except Exception as error:  # noqa: BLE001: the API server restarts in some tests
            print(f"watching Pods: {error}", flush=True)
            time.sleep(0.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, type=Path)
    api = Api.from_kubeconfig(parser.parse_args().kubeconfig)
    register(api)
    events = queue.Queue()
    threading.Thread(target=watch, args=(api, events), daemon=True).start()
    while True:
        pod = events.get()
        try:
            settle(api, pod)
        except Exception as error:  # noqa: BLE001: gone, or changed meanwhile: another event follows
            print(f"{pod['metadata']['name']}: {error}", flush=True)


if __name__ == "__main__":
    main()
