#!/usr/bin/env python3
"""Objects of every kind that kstatus knows, in all the states that its rules tell apart, a line of JSON each. Always the same ones."""
import itertools
import json
import random

DRAW = random.Random(7)
OLD = "2020-01-01T00:00:00Z"


def condition(type_, status, reason=None, message=None):
    return {"type": type_, "status": status, **({"reason": reason} if reason else {}), **({"message": message} if message else {})}


def absent(mapping):
    """Without what is None."""
    return {key: value for key, value in mapping.items() if value is not None}


def pods():
    ready = [[], [condition("Ready", "True")], [condition("Ready", "False")], [condition("Ready", "Unknown")]]
    waiting = [{"name": "a", "state": {"waiting": {"reason": reason}}} for reason in ("CrashLoopBackOff", "ImagePullBackOff")]
    running = {"name": "b", "state": {"running": {"startedAt": OLD}}}
    containers = [None, [], [running], [waiting[0]], [waiting[1]], [running, waiting[0], {**waiting[0], "name": "c"}]]
    scheduled = [[], [condition("PodScheduled", "True")], [condition("PodScheduled", "False", "Unschedulable")],
                 [condition("PodScheduled", "False", "SchedulingGated")]]
    for phase, conditions, statuses in itertools.product(("Running",), ready, containers):
        yield {}, absent({"phase": phase, "conditions": conditions, "containerStatuses": statuses})
    for phase, first, second in itertools.product(("Pending",), scheduled, ready[:2]):
        yield {}, {"phase": phase, "conditions": first + second}
    for phase, conditions in itertools.product(("Succeeded", "Failed", "Unknown", "Strange", "", None), ready):
        yield {}, absent({"phase": phase, "conditions": conditions})
    yield {}, None


def count(*values):
    return DRAW.choice(values)


def deployments():
    progress = [[], [condition("Progressing", "True", "NewReplicaSetAvailable")], [condition("Progressing", "True", "ReplicaSetUpdated")],
                [condition("Progressing", "False", "ProgressDeadlineExceeded")]]
    available = [[], [condition("Available", "True")], [condition("Available", "False")]]
    for first, second in itertools.product(progress, available):
        for deadline in (None, 600, 2147483647):
            yield {**absent({"progressDeadlineSeconds": deadline}), "replicas": 2}, {
                "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2, "conditions": first + second}
    for _ in range(60):
        yield absent({"replicas": count(None, 0, 1, 2, 3)}), absent({
            **{name: count(None, 0, 1, 2, 3) for name in ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")},
            "conditions": count(*progress) + count(*available)})


def stateful_sets():
    strategies = [None, {"type": "OnDelete"}, {"type": "RollingUpdate"}, {"rollingUpdate": {"partition": 0}},
                  {"rollingUpdate": {"partition": 1}}, {"rollingUpdate": {"partition": 3}}]
    for strategy in strategies:
        for _ in range(16):
            yield absent({"replicas": count(None, 0, 1, 2, 3), "updateStrategy": strategy}), absent({
                **{name: count(None, 0, 1, 2, 3) for name in ("replicas", "readyReplicas", "currentReplicas", "updatedReplicas")},
                "currentRevision": count(None, "a", "b"), "updateRevision": count(None, "a", "b")})
        yield absent({"replicas": 2, "updateStrategy": strategy}), {"replicas": 2, "readyReplicas": 2, "currentReplicas": 2,
                                                                    "updatedReplicas": 2, "currentRevision": "a", "updateRevision": "a"}


def daemon_sets():
    names = ("desiredNumberScheduled", "currentNumberScheduled", "updatedNumberScheduled", "numberAvailable", "numberReady")
    for _ in range(60):
        yield {}, absent({**{name: count(None, 0, 1, 2, 2, 2) for name in names}, "observedGeneration": count(1, 1, 1, None)})
    yield {}, {**{name: 2 for name in names}, "observedGeneration": 1}


def replica_sets():
    failure = [[], [condition("ReplicaFailure", "True")], [condition("ReplicaFailure", "False")]]
    for conditions in failure:
        for _ in range(20):
            yield absent({"replicas": count(None, 0, 1, 2)}), absent({
                **{name: count(None, 0, 1, 2, 2) for name in ("replicas", "fullyLabeledReplicas", "availableReplicas", "readyReplicas")},
                "conditions": conditions})


def jobs():
    ends = [[], [condition("Complete", "True")], [condition("Failed", "True", "BackoffLimitExceeded")], [condition("Complete", "False")],
            [condition("Suspended", "True")], [condition("FailureTarget", "True"), condition("Failed", "True")]]
    for conditions, started in itertools.product(ends, (None, "", OLD)):
        for _ in range(3):
            yield absent({"completions": count(None, 1, 3), "parallelism": count(None, 1, 2)}), absent({
                "startTime": started, "succeeded": count(None, 0, 1, 3), "failed": count(None, 0, 2), "active": count(None, 0, 1),
                "conditions": conditions})


def claims():
    for phase in ("Bound", "Pending", "Lost", "", None, "Strange"):
        yield {}, absent({"phase": phase})
    yield {}, None


def services():
    for kind, address in itertools.product((None, "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"), (None, "", "None", "10.0.0.1")):
        yield absent({"type": kind, "clusterIP": address}), {"loadBalancer": {}}


def definitions():
    names = [[], [condition("NamesAccepted", "True")], [condition("NamesAccepted", "False", "Conflict", "name taken")]]
    established = [[], [condition("Established", "True")], [condition("Established", "False", "Installing", "not yet")],
                   [condition("Established", "False", "NotAccepted", "refused")]]
    for first, second in itertools.product(names, established):
        yield {}, {"conditions": first + second}
        yield {}, {"conditions": second + first}
    yield {}, None


def conditions_of(*types):
    """Each of them in each of its states, alone and two at a time."""
    single = [condition(type_, status, "Because", f"{type_} is {status}") for type_ in types for status in ("True", "False", "Unknown")]
    yield {}, None
    for one in single:
        yield {}, {"conditions": [one]}
    for two in DRAW.sample(list(itertools.permutations(single, 2)), min(40, len(single) * (len(single) - 1))):
        yield {}, {"conditions": list(two)}


KINDS = {
    ("v1", "Pod"): pods, ("apps/v1", "Deployment"): deployments, ("apps/v1", "StatefulSet"): stateful_sets,
    ("apps/v1", "DaemonSet"): daemon_sets, ("apps/v1", "ReplicaSet"): replica_sets, ("batch/v1", "Job"): jobs,
    ("v1", "PersistentVolumeClaim"): claims, ("v1", "Service"): services,
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"): definitions,
    ("batch/v1", "CronJob"): lambda: conditions_of("Complete"), ("v1", "Secret"): lambda: conditions_of("Ready"),
    ("policy/v1", "PodDisruptionBudget"): lambda: conditions_of("DisruptionAllowed"),
    ("networking.k8s.io/v1", "Ingress"): lambda: conditions_of("Ready"),
    ("apiregistration.k8s.io/v1", "APIService"): lambda: conditions_of("Available", "Ready"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"): lambda: conditions_of("AbleToScale", "ScalingActive"),
    ("v1", "Namespace"): lambda: conditions_of("NamespaceDeletionDiscoveryFailure"),
    ("example.org/v1", "Thing"): lambda: conditions_of("Ready", "Reconciling", "Stalled"),
}

# What all kinds have in common, put over one of each kind's healthiest states.
COMMON = [
    {"metadata": {"deletionTimestamp": OLD}}, {"metadata": {"generation": 2}, "status": {"observedGeneration": 1}},
    {"metadata": {"generation": 1}, "status": {"observedGeneration": 2}}, {"metadata": {"generation": 3}, "status": {"observedGeneration": 3}},
    {"metadata": {"generation": "x"}, "status": {"observedGeneration": 1}},
    {"status": {"conditions": [condition("Stalled", "True", "Because", "stalled")]}},
    {"status": {"conditions": [condition("Reconciling", "True", "Because", "reconciling")]}},
    {"status": {"conditions": [condition("Reconciling", "False"), condition("Stalled", "False")]}},
    {"status": {"conditions": [condition("Ready", "False", "Because", "not ready")]}},
    {"status": {"conditions": "none"}}, {"status": {"conditions": [5]}}, {"status": "none"},
]


def main():
    for (version, kind), states in KINDS.items():
        base = {"apiVersion": version, "kind": kind, "metadata": {"name": "x", "namespace": "n", "creationTimestamp": OLD}}
        if kind == "DaemonSet":
            base["metadata"]["generation"] = 1
        made = [{**base, **({"spec": spec} if spec else {}), **({} if status is None else {"status": status})} for spec, status in states()]
        for over in COMMON:
            one = json.loads(json.dumps(made[-1]))
            for part, value in over.items():
                if isinstance(value, dict) and isinstance(one.get(part, {}), dict):
                    one[part] = {**one.get(part, {}), **value}
                else:
                    one[part] = value
            made.append(one)
        for one in made:
            print(json.dumps(one, separators=(",", ":")))


if __name__ == "__main__":
    main()
