"""The Kubernetes client (common/kube) against a real kube-apiserver, through tests/kube/kube_probe.c."""
import base64
import concurrent.futures
import http.client
import json
import queue
import random
import secrets
import select
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness import paths
from harness.certs import Authority
from harness.cluster import Cluster
from harness.httpserver import Handler, Server
from harness.waiting import PATIENCE, stretch, wait_for

PROBE = paths.gitmoor_bin().parent / "tests" / "kube_probe"
APPLY = "application/apply-patch+yaml"


# ------------------------------------------------------------------------------- tools

class Probe:
    """The probe as a child: tell() it something, and wait for what it says."""

    def __init__(self, kubeconfig, *arguments):
        self.child = subprocess.Popen([PROBE, kubeconfig, *map(str, arguments)], stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, text=True)
        self.said = queue.Queue()
        self.kept = []
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self.said.put(json.loads(line))

    def tell(self, do, **arguments):
        self.child.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self.child.stdin.flush()

    def wait(self, what, timeout=PATIENCE, **matching):
        """The next message of that sort; others are kept for later calls."""
        deadline = time.monotonic() + timeout * stretch()
        while True:
            for message in self.kept:
                if message["what"] == what and all(message.get(name) == value for name, value in matching.items()):
                    self.kept.remove(message)
                    return message
            left = deadline - time.monotonic()
            try:
                self.kept.append(self.said.get(timeout=max(left, 0.001)))
            except queue.Empty:
                raise AssertionError(f"no {what} {matching} within {timeout} s; said: {self.kept[-5:]}") from None

    def call(self, method, path, id=1, timeout=PATIENCE, **arguments):
        self.tell("call", id=id, method=method, path=path, **arguments)
        return self.wait("answer", id=id, timeout=timeout)

    def watch(self, path, kind="ConfigMap", **arguments):
        self.tell("watch", path=path, apiVersion="v1", kind=kind, **arguments)

    def state(self, path):
        self.tell("state", path=path)
        return self.wait("state")

    def stop(self):
        self.child.stdin.close()
        assert self.child.wait(60) == 0, "the probe did not end well"


@pytest.fixture
def probe_of():
    probes = []

    def start(kubeconfig, *arguments):
        probes.append(Probe(kubeconfig, *arguments))
        return probes[-1]

    yield start
    for probe in probes:
        if probe.child.returncode is None:
            probe.stop()


@pytest.fixture
def probe(cluster, probe_of):
    return probe_of(cluster.kubeconfig())


class TcpProxy:
    """Passes bytes on, so that TLS and HTTP/2 stay between the client and the API server, and cuts connections."""

    def __init__(self, server):
        host, port = server.removeprefix("https://").split(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"https://127.0.0.1:{self.listener.getsockname()[1]}"
        self.open = []
        self.accepted = 0
        self.refuse = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.refuse:
                client.close()
                continue
            try:
                server = socket.create_connection(self.target)
            except OSError:
                client.close()
                continue
            for side in (client, server):
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.accepted += 1
            self.open.append((client, server))
            threading.Thread(target=self._pump, args=(client, server), daemon=True).start()

    @staticmethod
    def _pump(client, server):
        other = {client: server, server: client}
        try:
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(65536)
                    if not data:
                        raise OSError
                    other[ready].sendall(data)
        except (OSError, ValueError):
            for side in other:
                try:
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        """Ends what is open; some with a reset, some in order."""
        for client, server in self.open:
            for side in (client, server):
                try:
                    if random.random() < 0.5:
                        side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    side.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.open.clear()

    def stop(self):
        self.listener.close()
        self.cut()


@pytest.fixture
def tcp_proxy(cluster):
    proxy = TcpProxy(cluster.server)
    yield proxy
    proxy.stop()


def kubeconfig_for(folder, server, certificate, user):
    path = folder / f"probe-{secrets.token_hex(3)}.kubeconfig"
    authority = base64.b64encode(certificate.read_bytes()).decode()
    path.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user}], "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}))
    return path


def through(cluster, proxy, folder):
    return kubeconfig_for(folder, proxy.url, cluster.authority.certificate, {"token": cluster.tokens["admin"]})


class _Scripted(Handler):
    def serve(self):
        owner, body = self.server.owner, self.body()
        owner.requests.append((time.monotonic(), self.command, self.path, dict(self.headers), body))
        step = owner.script.pop(0) if len(owner.script) > 1 else owner.script[0]
        if step is None:
            owner.released.wait(120)
            self.close_connection = True
            return
        status, headers, text = step
        self.answer(status, text, headers.items())

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = serve


class Faulty:
    """A server over TLS that answers as it is told: a list of (status, headers, body), the last one for good; None hangs."""

    def __init__(self, folder, script):
        authority = Authority(folder / "faulty")
        self.certificate, self.script, self.requests = authority.certificate, list(script), []
        self.released = threading.Event()
        self.server = Server(self, _Scripted, authority.issue("server")).start()
        self.url = self.server.url

    def stop(self):
        self.released.set()
        self.server.stop()


@pytest.fixture
def faulty(tmp_path, probe_of):
    """faulty(step…) -> (server, probe)"""
    servers = []

    def start(*script, arguments=(), user=None):
        server = Faulty(tmp_path, script)
        servers.append(server)
        return server, probe_of(kubeconfig_for(tmp_path, server.url, server.certificate, user or {"token": "t"}), *arguments)

    yield start
    for server in servers:
        server.stop()


def config_maps(namespace, name=None):
    return f"/api/v1/namespaces/{namespace}/configmaps" + (f"/{name}" if name else "")


def config_map(namespace, name, value="x"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace}, "data": {"value": value}}


def versions(api, namespace):
    return {f"{item['metadata']['namespace']}/{item['metadata']['name']}": item["metadata"]["resourceVersion"]
            for item in api.list("ConfigMap", namespace)}


def create_many(api, namespace, count):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: api.create("ConfigMap", namespace, config_map(namespace, f"c-{i}")), range(count)))


def write_at_random(api, namespace, count, stop, seed):
    rng = random.Random(seed)
    while not stop.is_set():
        name = f"c-{rng.randrange(count)}"
        if rng.random() < 0.3:
            api.delete("ConfigMap", namespace, name)
        else:
            api.apply(config_map(namespace, name, str(rng.random())))


OK = (200, {"Content-Type": "application/json"}, b'{"kind":"ConfigMap"}')


def refusal(status, **headers):
    return status, headers, json.dumps({"kind": "Status", "message": f"refused with {status}", "code": status}).encode()


# ------------------------------------------------------------------------------- calls

def test_apply_get_conflict_and_not_found(probe, namespace):
    path = config_maps(namespace, "a")
    body = json.dumps(config_map(namespace, "a"))
    assert probe.call("PATCH", path + "?fieldManager=one&force=true", type=APPLY, body=body)["status"] == 201
    assert probe.call("GET", path)["body"]["data"] == {"value": "x"}
    other = json.dumps(config_map(namespace, "a", "y"))
    conflict = probe.call("PATCH", path + "?fieldManager=two", type=APPLY, body=other)
    assert conflict["code"] == "Conflict" and ".data.value" in conflict["message"] and not conflict["retryable"]
    assert probe.call("POST", config_maps(namespace), body=body)["reason"] == "AlreadyExists"
    missing = probe.call("GET", config_maps(namespace, "b"))
    assert (missing["code"], missing["message"]) == ("NotFound", 'configmaps "b" not found')
    bad = probe.call("PATCH", config_maps(namespace, "B_") + "?fieldManager=one", type=APPLY,
                     body=json.dumps(config_map(namespace, "B_")))
    assert bad["code"] == "Invalid" and "RFC 1123" in bad["message"]


def test_large_bodies_go_up_and_down_side_by_side(probe, namespace):
    body = json.dumps(config_map(namespace, "large", "x" * 900_000))
    probe.tell("call", id=10, method="PATCH", path=config_maps(namespace, "large") + "?fieldManager=one&dryRun=All&force=true",
               type=APPLY, body=body, times=12)
    for i in range(12):
        answer = probe.wait("answer", id=10 + i)
        assert answer["ok"] and answer["size"] > 900_000


def test_a_cancelled_call_leaves_its_neighbours_alone(probe, namespace):
    for i in range(60):
        probe.tell("call", id=i, method="GET", path=config_maps(namespace))
        if i % 3 == 0:
            probe.tell("cancel", id=i)
    assert all(probe.wait("answer", id=i)["ok"] for i in range(60) if i % 3)
    probe.tell("stats")
    assert probe.wait("stats")["inFlight"] == 0
    assert not any(message["what"] == "answer" for message in probe.kept)


def test_calls_act_as_the_service_account_with_its_groups_and_the_extra(probe, namespace):
    review = json.dumps({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"})
    user = probe.call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=review, namespace=namespace,
                      serviceAccount="deployer", extraKey="gitmoor.io/applier", extraValue="me")["body"]["status"]["userInfo"]
    assert user["username"] == f"system:serviceaccount:{namespace}:deployer"
    assert "system:masters" not in user["groups"] and f"system:serviceaccounts:{namespace}" in user["groups"]
    assert user["extra"] == {"gitmoor.io/applier": ["me"]}
    refused = probe.call("GET", f"/api/v1/namespaces/{namespace}/secrets", namespace=namespace, serviceAccount="deployer")
    assert refused["code"] == "Denied" and refused["status"] == 403


@pytest.mark.parametrize("who", [("", "deployer"), ("shop", ""), ("shop", "a b"), ("shop", "a\r\nImpersonate-Group: system:masters"),
                                 ("shop", "a:b"), ("shop", "a/b")])
def test_an_incomplete_identity_is_never_our_own(faulty, who):
    server, probe = faulty(OK)
    answer = probe.call("GET", "/api/v1/namespaces", namespace=who[0], serviceAccount=who[1])
    assert answer["code"] == "Invalid" and "not sent" in answer["message"]
    assert server.requests == []


def test_no_name_leaves_its_segment_of_the_path(probe, namespace):
    probe.tell("discovery")
    probe.wait("discovery")
    for name in ("../secrets/x", "x/status", "..", ".", "%2e%2e", "x?dryRun=All", "x#y", "é"):
        probe.tell("find", group="", kind="ConfigMap", namespace=namespace, name=name)
        path = probe.wait("found")["path"]
        assert path.startswith(config_maps(namespace) + "/") and path.count("/") == 6, path
        answer = probe.call("GET", path)
        assert answer["status"] in (400, 404) and "configmaps" in answer["message"] + "configmaps", answer
        assert answer.get("body", {}).get("kind") == "Status"


def test_retry_after_is_honoured_and_counted(faulty):
    server, probe = faulty(refusal(429, **{"Retry-After": "1"}), refusal(503, **{"Retry-After": "1"}), OK)
    answer = probe.call("PATCH", "/api/v1/x", body="{}")
    assert answer["ok"] and answer["ms"] >= 2000
    times = [request[0] for request in server.requests]
    assert [later - earlier > 0.99 for earlier, later in zip(times, times[1:])] == [True, True]
    probe.tell("stats")
    assert probe.wait("stats") == {"what": "stats", "requests": 3, "congested": 2, "retries": 2, "inFlight": 0}


def test_a_retry_that_would_come_after_the_deadline_is_not_waited_for(faulty):
    _, probe = faulty(refusal(503, **{"Retry-After": "60"}))
    answer = probe.call("GET", "/api/v1/x")
    assert answer["code"] == "Unavailable" and answer["retryable"] and answer["ms"] < 30000
    assert answer["message"] == "refused with 503"


def test_a_post_is_not_repeated_unless_it_was_not_accepted(faulty):
    server, probe = faulty(refusal(502), OK)
    assert probe.call("POST", "/api/v1/x", body="{}")["status"] == 502
    assert len(server.requests) == 1
    server.script = [refusal(429), OK]
    assert probe.call("POST", "/api/v1/x", body="{}", id=2)["ok"]


def test_an_internal_error_is_tried_three_times_only(faulty):
    server, probe = faulty(refusal(500))
    assert probe.call("PATCH", "/api/v1/x", body="{}")["message"] == "refused with 500"
    assert len(server.requests) == 3


def test_a_server_that_hangs_meets_the_deadline(faulty):
    _, probe = faulty(None)
    probe.tell("call", id=1, method="GET", path="/api/v1/x", timeout=700)
    answer = probe.wait("answer", id=1)
    assert answer["code"] == "Timeout" and 600 <= answer["ms"] < 30000
    assert "no answer within 0.7 s" in answer["message"]


def test_a_question_that_stays_unanswered_is_asked_again_and_a_write_is_not(faulty):
    server, probe = faulty(None, OK)
    probe.tell("call", id=1, method="GET", path="/api/v1/x", timeout=60000)
    assert probe.wait("answer", id=1)["ok"] and len(server.requests) == 2
    server.script = [None]
    probe.tell("call", id=2, method="PATCH", path="/api/v1/x", body="{}", timeout=5000)
    assert probe.wait("answer", id=2)["code"] == "Timeout" and len(server.requests) == 3


def test_a_list_that_stays_unanswered_is_asked_for_again(faulty):
    """libcurl 7.88 now and then forgets a stream of HTTP/2: its answer would never come."""
    empty = json.dumps({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": []}).encode()
    server, probe = faulty(None, (200, {"Content-Type": "application/json"}, empty), None)
    probe.watch(config_maps("shop"))
    wait_for(lambda: len(server.requests) >= 3, 30, "the list, the list again, and the watch")
    lists = [path for _, _, path, _, _ in server.requests[:2]]
    assert lists[0] == lists[1] and "limit=" in lists[0] and "resourceVersion=7" in server.requests[2][2]


def test_an_answer_over_the_limit_is_refused(faulty):
    _, probe = faulty((200, {}, b"x" * 200_000), arguments=(100_000,))
    answer = probe.call("GET", "/api/v1/x")
    assert answer["code"] == "Limit" and "limit of 100000 bytes" in answer["message"]


def test_an_answer_that_is_no_status_is_shown(faulty):
    _, probe = faulty((404, {}, b"404 page not found\n"))
    assert "GET /api/v1/x: the API server answered 404: 404 page not found" in probe.call("GET", "/api/v1/x")["message"]


def test_a_foreign_certificate_is_refused_at_once(cluster, tmp_path, probe_of):
    foreign = Authority(tmp_path / "foreign").certificate
    probe = probe_of(kubeconfig_for(tmp_path, cluster.server, foreign, {"token": "x"}))
    answer = probe.call("GET", "/version")
    assert answer["code"] == "Unavailable" and not answer["retryable"] and answer["ms"] < 15000
    assert "certificate" in answer["message"]


def test_tls_server_name_is_verified_instead_of_the_address(cluster, tmp_path, probe_of):
    path = kubeconfig_for(tmp_path, cluster.server, cluster.authority.certificate, {"token": cluster.tokens["admin"]})
    for name, good in (("kubernetes.default.svc", True), ("elsewhere.example", False)):
        config = json.loads(path.read_text())
        config["clusters"][0]["cluster"]["tls-server-name"] = name
        path.write_text(json.dumps(config))
        assert probe_of(path).call("GET", "/version")["ok"] is good


def test_a_rotated_token_file_is_read_again(cluster, tmp_path, probe_of, namespace):
    token = tmp_path / "token"
    token.write_text("a-token-that-is-not-known\n")
    config = kubeconfig_for(tmp_path, cluster.server, cluster.authority.certificate, {"tokenFile": str(token)})
    probe = probe_of(config)
    assert probe.call("GET", config_maps(namespace))["status"] == 401
    probe.watch(config_maps(namespace))
    assert probe.wait("trouble")["code"] == "Denied"
    token.with_suffix(".new").write_text(cluster.tokens["admin"] + "\n")
    token.with_suffix(".new").rename(token)
    assert probe.call("GET", config_maps(namespace), id=2)["ok"]
    probe.wait("recovered")
    probe.wait("synced")


# ------------------------------------------------------------------------------- discovery, status, events

def test_discovery_agrees_with_kubectl(cluster, probe, kubectl):
    probe.tell("discovery")
    assert probe.wait("discovery", timeout=60)["partial"] == ""
    lines = kubectl("api-resources", "--no-headers", "-o", "wide").splitlines()
    assert len(lines) > 50
    for line in lines:
        words = line.split()
        at = next(i for i, word in enumerate(words) if word in ("true", "false"))
        plural, group_version, kind = words[0], words[at - 1], words[at + 1]
        group, version = group_version.rsplit("/", 1) if "/" in group_version else ("", group_version)
        probe.tell("find", group=group, kind=kind, namespace="n", name="x")
        found = probe.wait("found")
        assert found["version"] == version and found["preferred"], line
        assert found["namespaced"] == (words[at] == "true"), line
        assert found["path"].endswith(f"/{plural}/x"), line
        assert found["watchable"] == ("watch" in words[at + 2] and "list" in words[at + 2].split(",")), line
    probe.tell("find", group="apps", version="v9", kind="Deployment")
    assert probe.wait("found") == {"what": "found"}


def test_discovery_of_a_server_without_the_aggregated_form(faulty):
    documents = {
        "/api": {"kind": "APIVersions", "versions": ["v1"]},
        "/apis": {"kind": "APIGroupList", "groups": [
            {"name": "apps", "versions": [{"version": "v1"}]}, {"name": "down.example.org", "versions": [{"version": "v1"}]}]},
        "/api/v1": {"resources": [{"name": "pods", "kind": "Pod", "namespaced": True, "verbs": ["list", "watch"]},
                                  {"name": "pods/log", "kind": "Pod", "namespaced": True, "verbs": ["get"]}]},
        "/apis/apps/v1": {"resources": [{"name": "deployments", "kind": "Deployment", "namespaced": True, "verbs": ["list"]}]},
    }

    class Script(list):  # answers by path instead of by order
        def __len__(self):
            return 1

        def __getitem__(self, _):
            path = server.requests[-1][2]
            return (200, {}, json.dumps(documents[path]).encode()) if path in documents else refusal(404)

    server, probe = faulty(OK)
    server.script = Script()
    probe.tell("discovery")
    assert probe.wait("discovery")["partial"] == "down.example.org"
    probe.tell("find", group="", kind="Pod")
    assert probe.wait("found")["watchable"] is True
    probe.tell("find", group="apps", kind="Deployment")
    assert probe.wait("found")["path"] == "/apis/apps/v1/deployments"


def test_a_status_is_replaced_as_a_whole(probe, api, namespace):
    api.create("Application", namespace, {
        "apiVersion": "gitmoor.io/v1alpha1", "kind": "Application", "metadata": {"name": "a", "namespace": namespace},
        "spec": {"source": {"repository": "r", "path": "p"}}})
    path = f"/apis/gitmoor.io/v1alpha1/namespaces/{namespace}/applications/a"
    for status in ({"observedGeneration": 1, "lastAttemptedRevision": "main@sha1:1"}, {"observedGeneration": 2}):
        probe.tell("status", path=path, status=status)
        assert probe.wait("status")["ok"]
        assert api.get("Application", namespace, "a")["status"] == status


def test_the_same_event_is_counted_not_repeated(probe, api, namespace):
    thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace, "uid": "u"}}
    for note in ("one", "one", "two", "n" * 5000):
        probe.tell("event", object=thing, note=note)
    wait_for(lambda: len(api.events(namespace, "a")) == 3, what="three Events")
    assert {event[2] for event in api.events(namespace, "a")} == {"one", "two", "n" * 1024}


# ------------------------------------------------------------------------------- leases

def wait_for_peers(probe, alive):
    while probe.wait("peers")["alive"] != alive:
        pass


def test_peers_come_and_go_and_share_the_work(cluster, probe_of, api, namespace):
    watcher = probe_of(cluster.kubeconfig())
    watcher.tell("peers", namespace=namespace)
    wait_for_peers(watcher, {})
    replicas = {name: probe_of(cluster.kubeconfig()) for name in ("a", "b", "c")}
    for name, replica in replicas.items():
        replica.tell("lease", namespace=namespace, instance=name, address=f"tcp://{name}:1", seconds=6)
    wait_for_peers(watcher, {name: f"tcp://{name}:1" for name in replicas})

    def owners():
        for i in range(60):
            watcher.tell("owner", key=f"shop/application-{i}")
        return [watcher.wait("owner")["instance"] for _ in range(60)]

    before = owners()
    assert all(before.count(name) > 5 for name in replicas)
    replicas["b"].tell("leave")  # a clean end: known at once, the Lease is gone
    replicas["b"].wait("left")
    wait_for_peers(watcher, {"a": "tcp://a:1", "c": "tcp://c:1"})
    after = owners()
    assert [now for was, now in zip(before, after) if was != "b"] == [was for was in before if was != "b"]
    replicas["c"].child.kill()  # a crash: known when the Lease has run out
    replicas["c"].child.wait()
    wait_for_peers(watcher, {"a": "tcp://a:1"})
    assert set(owners()) == {"a"}
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    wait_for(lambda: [lease["metadata"]["name"] for lease in api.request("GET", path)["items"]] == ["a"], 5,
             "the watcher to delete the Lease of the dead")


def test_a_lease_that_was_left_behind_is_not_alive(probe, api, namespace):
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
    api.request("POST", path, {
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "old", "namespace": namespace, "labels": {"gitmoor.io/role": "probe"}},
        "spec": {"holderIdentity": "old", "leaseDurationSeconds": 15, "renewTime": "2020-01-01T00:00:00.000000Z"}})
    probe.tell("peers", namespace=namespace)
    assert probe.wait("peers", synced=True)["alive"] == {}


# ------------------------------------------------------------------------------- watches

def test_forty_watches_share_few_connections(cluster, tcp_proxy, tmp_path, probe_of, api, namespace):
    probe = probe_of(through(cluster, tcp_proxy, tmp_path))
    names = [f"{namespace}-{i}" for i in range(40)]
    for name in names:
        api.create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        probe.watch(config_maps(name))
    for name in names:
        probe.wait("synced", path=config_maps(name))
    for name in names:
        api.create("ConfigMap", name, config_map(name, "late"))
    for name in names:
        wait_for(lambda name=name: f"{name}/late" in probe.state(config_maps(name))["objects"], what=f"the event in {name}")
    assert tcp_proxy.accepted <= 5


def test_selected_and_metadata_only_watches(probe, api, namespace):
    marked = config_map(namespace, "marked")
    marked["metadata"]["labels"] = {"mark": "a"}
    api.create("ConfigMap", namespace, marked)
    api.create("ConfigMap", namespace, config_map(namespace, "plain"))
    path = config_maps(namespace)
    probe.watch(path, selector="mark in (a,b)", metadataOnly=True)
    probe.wait("synced")
    assert list(probe.state(path)["objects"]) == [f"{namespace}/marked"]
    api.patch("ConfigMap", namespace, "plain", {"metadata": {"labels": {"mark": "b"}}})
    wait_for(lambda: len(probe.state(path)["objects"]) == 2, what="the newly labelled object")
    api.patch("ConfigMap", namespace, "marked", {"metadata": {"labels": None}})
    wait_for(lambda: list(probe.state(path)["objects"]) == [f"{namespace}/plain"], what="the unlabelled object gone")


def test_a_kind_that_is_not_served_is_trouble_until_it_is(probe, kubectl):
    plural = f"things{secrets.token_hex(3)}"
    path = f"/apis/{plural}.example.org/v1/{plural}"
    probe.tell("watch", path=path, apiVersion=f"{plural}.example.org/v1", kind="Thing")
    assert probe.wait("trouble")["code"] == "NotFound"
    kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{plural}.example.org"},
        "spec": {"group": f"{plural}.example.org", "scope": "Cluster", "names": {"plural": plural, "kind": "Thing"},
                 "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                     "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}))
    probe.wait("recovered")
    probe.wait("synced")


def test_no_event_is_lost_when_connections_are_cut(cluster, tcp_proxy, tmp_path, probe_of, api, namespace):
    count = 5000
    create_many(api, namespace, count)
    probe = probe_of(through(cluster, tcp_proxy, tmp_path))
    path = config_maps(namespace)
    probe.watch(path)
    assert probe.wait("synced", timeout=60)["count"] >= count
    stop = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write_at_random, cluster.api(), namespace, count, stop, seed) for seed in range(3)]
        rng = random.Random(7)
        for _ in range(30):
            stop.wait(rng.random() * 0.4)
            tcp_proxy.cut()
        stop.set()
        for writer in writers:
            writer.result()
    expected = versions(api, namespace)
    wait_for(lambda: probe.state(path)["objects"] == expected, what="the watched set equal to the list", every=0.3)


def test_a_cut_during_the_list_starts_it_again(cluster, tcp_proxy, tmp_path, probe_of, api, namespace):
    create_many(api, namespace, 600)
    probe = probe_of(through(cluster, tcp_proxy, tmp_path))
    tcp_proxy.refuse = True
    probe.watch(config_maps(namespace), page=10)
    assert probe.wait("trouble")["code"] == "Unavailable"
    tcp_proxy.refuse = False
    wait_for(lambda: tcp_proxy.accepted, what="a connection", every=0.001)
    tcp_proxy.cut()
    assert probe.wait("synced", timeout=60)["count"] >= 600
    assert probe.state(config_maps(namespace))["objects"] == versions(api, namespace)


@pytest.fixture(scope="module")
def own_cluster(scratch):
    """One whose API server may be restarted, and which tells clients to go away now and then."""
    with Cluster(scratch / "own", controller_manager=False, server_flags=["--goaway-chance=0.01"]) as running:
        yield running


def test_calls_survive_goaway(own_cluster, probe_of):
    namespace = own_cluster.new_namespace()
    probe = probe_of(own_cluster.kubeconfig())
    for batch in range(20):
        probe.tell("call", id=batch * 100, method="PATCH", path=config_maps(namespace, "a") + "?fieldManager=one&force=true",
                   type=APPLY, body=json.dumps(config_map(namespace, "a", str(batch))), times=100)
        for i in range(100):
            assert probe.wait("answer", id=batch * 100 + i)["ok"]


def test_a_restart_of_the_api_server_loses_no_event(own_cluster, probe_of):
    api, namespace = own_cluster.api(), own_cluster.new_namespace()
    path = config_maps(namespace)
    create_many(api, namespace, 100)
    probe = probe_of(own_cluster.kubeconfig())
    probe.watch(path)
    probe.wait("synced")
    own_cluster.process("kube-apiserver").stop(timeout=5)
    probe.tell("call", id=1, method="GET", path=path, timeout=60000)
    probe.wait("trouble", timeout=60)
    own_cluster.restart_server()
    api = own_cluster.api()
    api.apply(config_map(namespace, "c-1", "changed"))
    api.delete("ConfigMap", namespace, "c-2")
    assert probe.wait("answer", id=1, timeout=60)["ok"]
    probe.wait("recovered", timeout=60)
    expected = versions(api, namespace)
    assert len(expected) == 99
    wait_for(lambda: probe.state(path)["objects"] == expected, what="the watched set equal to the list")


def test_a_compacted_history_is_listed_again(own_cluster, tmp_path, probe_of):
    """410: the watch is away while the history that it knows is forgotten, by etcd and by the server's cache."""
    api, namespace = own_cluster.api(), own_cluster.new_namespace()
    path = config_maps(namespace)
    create_many(api, namespace, 50)
    proxy = TcpProxy(own_cluster.server)
    probe = probe_of(through(own_cluster, proxy, tmp_path))
    probe.watch(path)
    probe.wait("synced")
    proxy.refuse = True
    # Again and again: a connection that was accepted just before may not be known to the proxy yet.
    wait_for(lambda: (proxy.cut(), probe.wait("trouble", timeout=2)), timeout=60, what="trouble")
    for i in range(0, 50, 2):
        api.delete("ConfigMap", namespace, f"c-{i}")
    compact(own_cluster, int(api.request("GET", path)["metadata"]["resourceVersion"]))
    own_cluster.restart_server()
    proxy.refuse = False
    assert probe.wait("synced", timeout=60)["count"] == 25
    assert probe.state(path)["objects"] == versions(own_cluster.api(), namespace)
    proxy.stop()


def compact(cluster, revision):
    etcd = next(word for word in cluster.process("etcd").command if word.startswith("--listen-client-urls="))
    host, port = etcd.split("//")[1].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request("POST", "/v3/kv/compaction", json.dumps({"revision": str(revision), "physical": True}))
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    connection.close()
