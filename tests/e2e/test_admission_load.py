"""Admission under load and under hostile clients: whatever they send, others are served meanwhile, nothing leaks, nothing is let through.

Two replicas: the one that the API server knows, and one built with AddressSanitizer, if that build is there (scripts/test asan makes
it), which hostile clients visit too.
"""
import json
import re
import resource
import select
import socket
import ssl
import subprocess
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from harness import paths
from harness.api import Api, ApiError
from harness.cluster import NAMESPACE, Cluster, user_of
from harness.moor import Moor
from harness.process import resident
from harness.waiting import wait_for
from harness.webhook import LABEL, Reviewer, connect, connect_tls, fingerprint, read_to_end, request, review, rotate, tls_context

MERGE = "application/merge-patch+json"
MAP = "/api/v1/namespaces/prod/configmaps/settings"
BOUND = 100e6  # bytes of memory, whatever clients do; an idle one has 14 MB, the chart's limit is 256 MiB
CROWDS = {"release": 5000, "asan": 1000}  # connections at once


class Replica(Moor):
    """Another admission at the first one's name, not known to the API server."""

    def __init__(self, *arguments, first, **options):
        super().__init__(*arguments, **options)
        self.extra = {"admission": ["--rotation-grace", "1s", "--webhook-url", f"https://127.0.0.1:{first.webhook_port}"]}


def sanitized():
    """The folder of programs built with AddressSanitizer, made up to date; None if there is no such build."""
    build = paths.ROOT / "build" / "asan"
    if not (build / "build.ninja").exists():
        return None
    subprocess.run(["cmake", "--build", build, "--target", "gitmoor-admission"], check=True, capture_output=True, timeout=600)
    return build / "bin"


class Guarded:
    """The control plane, and the replicas by name."""

    def __init__(self, cluster, replicas):
        self.cluster, self.replicas, self.api = cluster, replicas, cluster.api()

    def declare(self):
        self.api.create("Namespace", None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "prod"}})
        self.api.request("PATCH", f"{MAP}?fieldManager=gitmoor&force=true", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "prod", "labels": {LABEL: "prod.shop"}},
            "data": {"color": "red"}}, "application/apply-patch+yaml", {
                "Impersonate-User": f"system:serviceaccount:{NAMESPACE}:gitmoor-default",
                "Impersonate-Extra-gitmoor.io%2fapplier": user_of("applier")})

    def refusal(self, body=None, api=None):
        """The answer to an edit through the API server that must be refused by admission."""
        with pytest.raises(ApiError) as refused:
            (api or self.api).request("PATCH", MAP, body or {"data": {"color": "green"}}, MERGE)
        assert refused.value.status == 403 and "denied the request" in str(refused.value), refused.value
        return str(refused.value)


@pytest.fixture(scope="module")
def guarded(scratch):
    with Cluster(scratch / "load", controller_manager=False) as cluster:
        first = Moor(cluster, scratch / "load-a", extra={"admission": ["--rotation-grace", "1s"]})
        replicas = {"release": first.start(only=("admission",))}
        try:
            binaries = sanitized()
            if binaries:
                replicas["asan"] = Replica(cluster, scratch / "load-b", binaries=binaries, first=first).start(only=("admission",))
            made = Guarded(cluster, replicas)
            made.declare()
            yield made
        finally:
            with ThreadPoolExecutor() as pool:  # each waits for a differ that there is not
                statuses = dict(zip(replicas, pool.map(lambda replica: replica.stop()["admission"], replicas.values())))
        # A leak makes AddressSanitizer's exit status another.
        for name, replica in replicas.items():
            log = (replica.folder / "gitmoor-admission.log").read_text(errors="replace")
            assert statuses[name] == 0 and "Sanitizer" not in log and "runtime error" not in log, f"{name}: {statuses}\n{log[-3000:]}"


@pytest.fixture(params=["release", "asan"])
def replica(request, guarded):  # noqa: A002: pytest's name
    if request.param not in guarded.replicas:
        pytest.skip("there is no build with AddressSanitizer")
    guarded.replicas[request.param].kind = request.param
    yield guarded.replicas[request.param]
    running = guarded.replicas[request.param].processes["admission"]
    assert running.alive(), running.tail()


# ------------------------------------------------------------------------------- what is sent

def answers(tls, count):
    """So many HTTP answers: (status, body)."""
    found, data = [], b""
    while len(found) < count:
        part = tls.recv(65536)
        assert part, f"{len(found)} of {count} answers, then the end"
        data += part
        while (end := data.find(b"\r\n\r\n")) >= 0:
            size = int(re.search(rb"Content-Length: (\d+)", data[:end]).group(1))
            if len(data) < end + 4 + size:
                break
            found.append((int(data.split(b" ", 2)[1]), data[end + 4:end + 4 + size].decode()))
            data = data[end + 4 + size:]
    return found


def nested(levels):
    return review("green", deep="@").replace('"@"', "[" * levels + "]" * levels)


UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
FIELD = '.data.color is declared by application prod/shop'

# name, what is sent, the status, words of the refusal
REQUESTS = [
    ("no HTTP at all", b"\x00\x01\x02\r\n\r\n", 400, "Bad Request"),
    ("no method", b" / HTTP/1.1\r\n\r\n", 400, "Bad Request"),
    ("HTTP/2 without negotiation", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, ""),
    ("bare line feeds", b"POST /review HTTP/1.1\nContent-Length: 0\n\r\n\r\n", 400, "Bad Request"),
    ("two lengths", b"POST /review HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "Bad Request"),
    ("a negative length", b"POST /review HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Bad Request"),
    ("no length", b"POST /review HTTP/1.1\r\n\r\n", 411, "Length Required"),
    ("chunks", b"POST /review HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411, "Length Required"),
    ("chunks and a length", b"POST /review HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400,
     "Bad Request"),
    ("a head without end", b"POST /review HTTP/1.1\r\n" + b"A: b\r\n" * 4000, 431, "Request Header Fields Too Large"),
    ("an endless path", b"POST /" + b"a" * 4000 + b" HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 414, "URI Too Long"),
    ("another method", b"GET /review HTTP/1.1\r\n\r\n", 405, "Method Not Allowed"),
    ("another path", request(b"{}", "/metrics"), 404, "Not Found"),
    ("a body larger than any number", request(b"x" * 600, length="9" * 40), 413, "Content Too Large"),
    ("a body over the limit that is no review", request(b"x" * 600, length=30 << 20), 413, "Content Too Large"),
    ("a review over the limit", request(review("green", UID)[:600], length=30 << 20), 200, "larger than 20971520 bytes"),
    ("nothing", request(b""), 400, "not an AdmissionReview: line 1"),
    ("no JSON", request(b"<xml/>"), 400, "not an AdmissionReview: line 1, column 1"),
    ("half a review", request(review("green", UID)[:-40]), 200, "cannot be judged"),
    ("an escaped NUL", request(review("green", UID, note="a\0b")), 200, "\\u0000 is not allowed in a string"),
    ("a raw NUL", request(review("green", UID, note="@").replace("@", "\0")), 200, "cannot be judged"),
    ("a lone surrogate", request(review("green", UID, note="@").replace("@", "\\ud800")), 200, "cannot be judged"),
    ("invalid UTF-8", request(review("green", UID, note="@").encode().replace(b"@", b"\xff")), 200, "cannot be judged"),
    ("a duplicate key", request(review("green", UID).replace('"data":{', '"data":{"color":"red",')), 200, 'duplicate key "color"'),
    ("a hundred levels of nesting", request(nested(95).replace('"uid":"', f'"uid":"{UID}","was":"', 1)), 200, FIELD),
    ("300 levels of nesting", request(nested(300)), 200, "nested too deeply"),
    ("100,000 levels of nesting", request(nested(100000)), 200, "nested too deeply"),
    ("two million values", request(review("green", UID, many="@").replace('"@"', "[" + "0," * 2000000 + "0]")), 200, "too many values"),
    ("a number of a thousand digits", request(review("green", UID, n="@").replace('"@"', "1" * 1000)), 200, "longer than 63"),
    ("v1beta1", request(review("green").replace("k8s.io/v1", "k8s.io/v1beta1", 1)), 400, "admission.k8s.io/v1 is wanted"),
    ("an unknown version", request(review("green").replace("k8s.io/v1", "k8s.io/v7", 1)), 400, "apiVersion admission.k8s.io/v7"),
    ("another kind", request('{"apiVersion":"v1","kind":"Pod"}'), 400, "apiVersion v1, kind Pod"),
    ("no request", request('{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}'), 400, "holds no request"),
    ("an unknown operation", request(review("green", UID).replace('"UPDATE"', '"PATCH"')), 200, "request.operation is PATCH"),
    ("objects that are none", request(review("green", UID).replace('"object":{', '"object":7,"was":{')), 200, "request.object is missing"),
    ("no user and odd types", request(review("green", UID).replace('{"username":"jane"}', "[1,{}]")), 200, FIELD),
    ("managedFields that are none",
     request(review("green", UID).replace('"managedFields":[{', '"managedFields":[7,"x",null,[],{')), 200, FIELD),
    ("labels that are a list", request(review("green", UID).replace(f'"labels":{{"{LABEL}":"prod.shop"}}', '"labels":[1]')), 200,
     ".data.color"),
]


@pytest.mark.parametrize("sent, status, words", [row[1:] for row in REQUESTS], ids=[row[0].replace(" ", "-") for row in REQUESTS])
def test_what_is_no_good_review_is_refused_clearly(replica, sent, status, words):
    with connect_tls(replica.webhook_port) as tls:
        try:
            tls.sendall(sent)
        except (ConnectionError, ssl.SSLError):
            pass  # it need not read all of it
        (found, text), = answers(tls, 1)
    assert found == status and (status != 200 or '"allowed":true' not in text), text
    if status == 200:
        text = json.loads(text)["response"]["status"]["message"]
    assert words in text


def test_pipelined_reviews_are_answered_in_turn(replica):
    uids = [f"705ab4f5-6393-11e8-b7cc-42010a8{number:05}" for number in range(40)]  # as many as sockets hold while nobody reads
    with connect_tls(replica.webhook_port) as tls:
        tls.sendall(b"".join(request(review("green", uid)) for uid in uids))
        found = [json.loads(text)["response"]["uid"] for _, text in answers(tls, len(uids))]
    assert found == uids


# ------------------------------------------------------------------------------- TLS

def old_tls():
    context = tls_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    return context


def client_hello():
    """The first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        tls_context().wrap_bio(incoming, outgoing).do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent", [
    b"POST /review HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\xff" * 70000, b"SSH-2.0-x\r\n",
    b"\x80\x2e\x01",
], ids=["plain-HTTP", "a-record-too-long", "SSH", "SSLv2"])
def test_what_is_no_tls_is_cut(replica, sent):
    with connect(replica.webhook_port) as plain:
        try:
            plain.sendall(sent)
            plain.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it is over already
        assert b"HTTP" not in read_to_end(plain)
    Reviewer(replica.webhook_port).works()


def test_tls_below_1_2_is_refused(replica):
    with pytest.raises((ssl.SSLError, ConnectionError)):
        connect_tls(replica.webhook_port, context=old_tls())


def test_a_handshake_that_ends_midway_leaves_nothing(replica):
    hello = client_hello()
    before = replica.metric("admission", "gitmoor_admission_connections")
    for size in (1, 5, len(hello) // 2, len(hello)):
        with connect(replica.webhook_port) as plain:
            plain.sendall(hello[:size])
    wait_for(lambda: replica.metric("admission", "gitmoor_admission_connections") <= before, what="they are gone")


def test_renegotiation_is_refused(replica):
    done = subprocess.run(["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{replica.webhook_port}"], input="R\n",
                          capture_output=True, text=True, timeout=60, check=False)
    assert "RENEGOTIATING" in done.stdout + done.stderr and "no renegotiation" in done.stderr, done.stderr
    Reviewer(replica.webhook_port).works()


# ------------------------------------------------------------------------------- time and numbers

class Good:
    """A client that goes on all the time; ends with the number of its reviews."""

    def __init__(self, port):
        self.reviewer, self.count, self.failure, self.stop = Reviewer(port), 0, None, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        try:
            while not self.stop.is_set():
                self.reviewer.works()
                self.count += 1
        except Exception as error:  # noqa: BLE001: told by whoever waits
            self.failure = error

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()
        self.reviewer.close()
        assert self.failure is None, self.failure


def deaf(port):
    """A connection over which no answer is ever read."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(30)
    plain.connect(("127.0.0.1", port))
    tls = tls_context().wrap_socket(plain)
    tls.setblocking(False)
    return tls


def shout(deaf_ones):
    """As many more requests as go; those that are cut go out of the list."""
    text = request(review("green")) * 20
    for tls in list(deaf_ones):
        try:
            for _ in range(50):
                tls.send(text)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ConnectionError, ssl.SSLError):
            deaf_ones.remove(tls)
            tls.close()
    return not deaf_ones


def dripping(port, text):
    """A connection over which the text goes a byte at a time."""
    tls = connect_tls(port)
    tls.setblocking(False)
    return tls, iter(text)


def drip(drips):
    """A further byte of each; those that are cut go out of the list."""
    for each in list(drips):
        tls, rest = each
        try:
            tls.send(bytes([next(rest)]))
            if tls.recv(1) == b"":
                drips.remove(each)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except (ConnectionError, ssl.SSLError):
            drips.remove(each)
    return not drips


def is_closed(connection):
    """Whether the peer has ended it, after nothing or a few alerts."""
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b""
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
        return False
    except (ConnectionError, ssl.SSLError):
        return True


def wait_writable(connection, timeout_ms):
    poll = select.poll()
    poll.register(connection, select.POLLOUT)
    poll.poll(timeout_ms)


class Slow:
    """Clients of every kind of slowness, at one server."""

    def __init__(self, port):
        hello = client_hello()
        self.silent = [connect(port) for _ in range(20)]
        for plain in self.silent[:10]:
            plain.sendall(hello[:100])
        self.stalled = [connect_tls(port) for _ in range(10)]
        for tls in self.stalled:
            tls.sendall(request(b"", length=100000)[:30])
        self.deaf = [deaf(port) for _ in range(3)]
        self.drips = [dripping(port, b"POST /review HTTP/1.1\r\nA: " + b"b" * 10000) for _ in range(5)]
        self.drips += [dripping(port, request(b"x" * 10000)) for _ in range(5)]

    def wait_cut(self):
        wait_for(lambda: shout(self.deaf) & drip(self.drips), timeout=60, every=0.2, what="those that do not read or trickle cut")
        wait_for(lambda: all(map(is_closed, self.silent)), timeout=60, what="the silent cut")
        wait_for(lambda: all(map(is_closed, self.stalled)), timeout=60, what="the stalled cut")
        for connection in self.silent + self.stalled:
            connection.close()


def test_slow_clients_are_cut_and_others_are_served_meanwhile(guarded):
    ports = [replica.webhook_port for replica in guarded.replicas.values()]
    with ExitStack() as stack:
        good = [stack.enter_context(Good(port)) for port in ports]
        slow = [Slow(port) for port in ports]
        before = [each.count for each in good]
        for each in slow:
            each.wait_cut()
        assert all(each.count > count for each, count in zip(good, before))
    for replica in guarded.replicas.values():
        assert replica.metric("admission", "gitmoor_admission_connections_cut", 'reason="timeout"') >= 20
        assert replica.processes["admission"].alive()


@pytest.fixture
def many_files():
    """As many descriptors as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_5000_connections_at_once_push_out_each_other_and_nobody_else(guarded, replica, many_files):
    port = replica.webhook_port
    first = Reviewer(port)
    first.works()
    guarded.refusal()  # may end an old connection of the API server,
    guarded.refusal()  # and this one makes another
    hello, crowd = client_hello(), []
    with Good(port) as good:
        for number in range(min(CROWDS[replica.kind], many_files - 500)):
            plain = socket.socket()
            plain.setblocking(False)
            plain.connect_ex(("127.0.0.1", port))
            crowd.append(plain)
            if number % 10 == 0:  # every tenth begins a handshake, and leaves it at that
                try:
                    wait_writable(plain, 100)
                    plain.send(hello)
                except OSError:
                    pass
        Reviewer(port).works()  # a new one finds a place
        guarded.refusal()
        before = good.count
        wait_for(lambda: good.count > before, what="the good client goes on")
        first.works()  # the old one has kept its
    assert replica.metric("admission", "gitmoor_admission_connections") <= 256
    for plain in crowd:
        plain.close()
    first.close()
    wait_for(lambda: replica.metric("admission", "gitmoor_admission_connections") < 50, what="they are gone")


def test_memory_is_bounded_whatever_they_send(guarded):
    replica = guarded.replicas["release"]
    pid = replica.processes["admission"].pid
    most, stop = [0], threading.Event()

    def look():
        while not stop.wait(0.005):
            most[0] = max(most[0], resident(pid))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with Good(replica.webhook_port):
            held = []
            for _ in range(40):  # 19 MB each, never complete: 760 MB if all were kept
                tls = connect_tls(replica.webhook_port)
                held.append(tls)
                try:
                    tls.sendall(request(b"[" * (19 << 20), length=20 << 20)[:19 << 20])
                except (ConnectionError, ssl.SSLError):
                    pass
            for tls in held:
                tls.close()
    finally:
        stop.set()
        watcher.join()
    assert replica.metric("admission", "gitmoor_admission_connections_cut", 'reason="evicted"') > 0
    assert most[0] < BOUND


# ------------------------------------------------------------------------------- through the API server

@pytest.mark.parametrize("body", [
    {"metadata": {"annotations": {"note": "a\0b"}}}, {"data": {"color": "green", "note": "a\0b"}}, {"data": {"\0": "x"}},
], ids=["an-annotation", "a-value", "a-key"])
def test_a_nul_is_no_way_round_admission(guarded, body):
    try:
        told = guarded.refusal(body)
    except AssertionError as error:
        assert "is invalid" in str(error)  # the API server has found it first
    else:
        assert "\\u0000 is not allowed" in told and "gitmoor:break-glass" in told


ROTATIONS, RATE, EDITORS = 10, 200, 4


def test_no_review_fails_during_ten_rotations_at_200_a_second(guarded):
    port = guarded.replicas["release"].webhook_port
    failures, counts, stop = [], [0] * EDITORS, threading.Event()

    def edit(number):
        api = Api.from_kubeconfig(guarded.cluster.kubeconfig())
        start = time.monotonic()
        while not stop.is_set():
            try:
                guarded.refusal(api=api)
            except BaseException as error:  # noqa: BLE001: pytest's own failures are none of Exception
                if "deadline exceeded" not in str(error):  # a busy machine is not the rotation's doing
                    failures.append(str(error))
            counts[number] += 1
            stop.wait(max(0, start + counts[number] * EDITORS / RATE - time.monotonic()))

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(EDITORS)]
    for thread in threads:
        thread.start()
    try:
        seen = {rotate(guarded.api, port) for _ in range(ROTATIONS)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert len(seen) == ROTATIONS and failures == [] and sum(counts) > 100
    for name, replica in guarded.replicas.items():
        assert fingerprint(replica.webhook_port) in seen, f"{name} has not followed"
