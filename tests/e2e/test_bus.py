"""The bus between processes: two to eight of them over ipc and tcp, killed at random, behind a relay
that cuts, loses, repeats, reorders, corrupts, blows up and replays, with wrong and changing keys.

Hints are numbers; what a node takes stands in its ledger before it is acknowledged. A number may
arrive more than once (a restart makes the sender send again), but must arrive, and nothing else."""
import random
import secrets
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bus"))

from harness import ports  # noqa: E402
from harness.waiting import allowance, stretch, wait_for  # noqa: E402
from node import Node, find_binary  # noqa: E402
from relay import GREETING, PULL, PUSH, Faults, Relay, greeting, listen, throw  # noqa: E402

LINKS = ("fetcher-differ", "differ-applier", "admission-differ")
BLOB = 2 << 20


class World:
    """A short folder (socket paths are at most 107 bytes), addresses, keys and the nodes in it."""

    def __init__(self, transport):
        self.transport = transport
        self.folder = Path(tempfile.mkdtemp(prefix="gb-", dir="/tmp"))
        self.nodes, self.relays = {}, []
        self.keys = self.make_keys("keys", {link: secrets.token_hex(32) for link in LINKS})

    def make_keys(self, name, keys):
        folder = self.folder / name
        folder.mkdir()
        for link, key in keys.items():
            (folder / f"{link}.key").write_text(key + "\n")
        return folder

    def address(self, name):
        if self.transport == "ipc":
            return f"ipc://{self.folder}/{name}"
        return f"tcp://127.0.0.1:{ports.row(2)}"  # hints, and blobs beside them

    def relay(self, there, faults, blob_faults=None, name="relay"):
        """Its address: of hints, and of blobs beside it."""
        here = self.address(f"{name}-{len(self.relays)}")
        self.relays.append(Relay(here, there, faults))
        self.relays.append(Relay(blobs(here), blobs(there), blob_faults, blob_faults))
        return here

    def node(self, name, inbox, peers, keys=None, **options):
        if keys is None and self.transport == "tcp":
            keys = self.keys
        self.nodes[name] = Node(name, inbox, self.folder / f"{name}.ledger", peers, keys, **options)
        return self.nodes[name]

    def close(self):
        try:
            for node in self.nodes.values():
                node.stop()
        finally:
            for node in self.nodes.values():
                node.kill()
            for relay in self.relays:
                relay.close()
            shutil.rmtree(self.folder, ignore_errors=True)


def blobs(address):
    if address.startswith("ipc"):
        return address + ".blobs"
    host, port = address.rsplit(":", 1)
    return f"{host}:{int(port) + 1}"


@pytest.fixture
def world(request):
    made = World(request.param)
    yield made
    made.close()


ipc = pytest.mark.parametrize("world", ["ipc"], indirect=True)
tcp = pytest.mark.parametrize("world", ["tcp"], indirect=True)
both = pytest.mark.parametrize("world", ["ipc", "tcp"], indirect=True)


def pair(world, **options):
    """Two nodes that know each other: a differ and an applier."""
    addresses = world.address("one"), world.address("two")
    one = world.node("one", addresses[0], [f"differ-applier={addresses[1]}"])
    two = world.node("two", addresses[1], [f"differ-applier={addresses[0]}"], **options)
    wait_for(lambda: one.stats()["up"] == [True] and two.stats()["up"] == [True])
    return one, two


def numbers(node, sender, kind="number"):
    return {int(what) for who, word, what in node.taken() if (who, word) == (sender, kind)}


def drain(node):
    assert node.ask("drain 100000")["drained"], node.stats()


# ---- two processes ----

@ipc
def test_a_hint_takes_less_than_a_millisecond_and_a_process_little_memory(world):
    one, two = pair(world)
    one.ask("ping 0 200")
    wait_for(lambda: one.ask("ping 0 500")["p50_us"] / 2 < 1000 * stretch(), what="a round trip of less than two milliseconds")
    one.ask("send 0 number 1 20000")
    drain(one)
    assert numbers(two, "one") == set(range(1, 20001))
    if b"__asan_init" not in find_binary().read_bytes():
        for node in (one, two):
            assert node.stats()["resident_kib"] < 15 * 1024


@both
def test_an_idle_bus_costs_next_to_nothing(world):
    one, two = pair(world)
    before = [node.stats()["cpu_ms"] for node in (one, two)]
    received = one.stats()["received"]
    began = time.monotonic()
    wait_for(lambda: time.monotonic() - began > 3, every=1)  # what is measured is a stretch of time
    after = [node.stats()["cpu_ms"] for node in (one, two)]
    elapsed = time.monotonic() - began
    assert max(late - early for late, early in zip(after, before)) < 20 * elapsed, f"of {elapsed:.1f} s"
    assert one.stats()["received"] == received


@both
def test_a_restarted_peer_is_greeted_at_once(world):
    one, two = pair(world)
    for round_number in range(5):
        two.restart()
        one.ask(f"send 0 number {round_number} 1")
        began = time.monotonic()
        drain(one)
        assert time.monotonic() - began < allowance(1.5)  # not a heartbeat later
    assert numbers(two, "one") == set(range(5))
    assert one.stats()["greeted"] == 6


@both
def test_what_the_peer_declines_comes_again(world):
    one, two = pair(world, decline=10)
    one.ask("send 0 number 1 1000")
    drain(one)
    assert numbers(two, "one") == set(range(1, 1001))
    assert two.stats()["declined"] >= 100


# ---- many processes, SIGKILL ----

def roles(count):
    """Who is there and who knows whom, as in a cluster: (name, [(link, peer name)])."""
    names = {2: ("d0", "a0"), 4: ("f0", "d0", "a0", "w0"),
             8: ("f0", "f1", "d0", "d1", "d2", "a0", "a1", "w0")}[count]
    ends = {"fetcher-differ": "fd", "differ-applier": "da", "admission-differ": "wd"}
    known = {name: [] for name in names}
    for link, (left, right) in ends.items():
        for one in names:
            for other in names:
                if (one[0], other[0]) in ((left, right), (right, left)):
                    known[one].append((link, other))
    return known


class Chaos:
    """Nodes with traffic; a killed node owes nothing of what it had in memory."""

    def __init__(self, world, count):
        self.world, self.known = world, roles(count)
        self.random = random.Random(count)
        addresses = {name: world.address(name) for name in self.known}
        self.next = Counter()
        self.owed = {}
        for name, peers in self.known.items():
            world.node(name, addresses[name],
                       [f"{link}={addresses[peer]}" for link, peer in peers], decline=50)
            self.owed[name] = []

    def send(self, name, count, size=0):
        """Numbers, and a blob now and then, to each peer."""
        node = self.world.nodes[name]
        for index, (_, peer) in enumerate(self.known[name]):
            first = self.next[name, peer] + 1
            self.next[name, peer] += count
            node.ask(f"send {index} number {first} {count} {size}")
            self.owed[name].append((peer, first, count))

    def kill(self, name):
        self.world.nodes[name].restart()
        self.owed[name] = []

    def settle(self):
        for name in self.known:
            drain(self.world.nodes[name])
        for name, owed in self.owed.items():
            for peer, first, count in owed:
                missing = set(range(first, first + count)) - numbers(self.world.nodes[peer], name)
                assert not missing, f"{name} to {peer}: {sorted(missing)[:10]}"

    def check_ledgers(self):
        """Nothing but what was sent, from whom it was sent."""
        for name in self.known:
            for sender, kind, what in self.world.nodes[name].taken():
                assert kind in ("number", "blob", "blob-failed"), (name, sender, kind, what)
                if kind == "number":
                    assert 1 <= int(what) <= self.next[sender, name]


@pytest.mark.parametrize("world, count, kills",
                         [("ipc", 2, 20), ("ipc", 8, 25), ("tcp", 4, 20), ("tcp", 8, 25)],
                         indirect=["world"])
def test_everything_arrives_although_processes_are_killed(world, count, kills):
    chaos = Chaos(world, count)
    names = sorted(chaos.known)
    for step in range(kills):
        for name in names:
            chaos.send(name, chaos.random.randint(1, 60), chaos.random.choice([0, 0, 2000, 30000]))
        if step % 5 == 0:
            sender = chaos.random.choice(names)
            world.nodes[sender].ask(f"blob 0 {BLOB} {step}")
        chaos.kill(chaos.random.choice(names))
    for name in names:
        chaos.send(name, 100)
    chaos.settle()
    for name in names:
        for index, (_, peer) in enumerate(chaos.known[name]):
            world.nodes[name].ask(f"blob {index} {BLOB} {9000 + index}")
    for name in names:
        for index, (_, peer) in enumerate(chaos.known[name]):
            wait_for(lambda n=name, p=peer, i=index:
                     9000 + i in numbers(world.nodes[p], n, "blob"), what=f"blob {name}→{peer}")
    chaos.check_ledgers()


# ---- the relay ----

def behind_relays(world, rates, blob_rates):
    """one ⇄ two with a relay in each direction; advertised is what the other side was given."""
    inner = world.address("one"), world.address("two")
    faults = [Faults(seed, **rates) for seed in (1, 2)]
    blob_faults = [Faults(seed, **blob_rates) for seed in (3, 4)]
    outer = [world.relay(inner[i], faults[i], blob_faults[i]) for i in range(2)]
    keys = world.keys
    one = world.node("one", inner[0], [f"differ-applier={outer[1]}"], keys, advertise=outer[0])
    two = world.node("two", inner[1], [f"differ-applier={outer[0]}"], keys, advertise=outer[1])
    return one, two, faults, inner


@both
def test_a_relay_that_misbehaves_delays_and_loses_nothing(world):
    rates = {"cut": 0.003, "lose": 0.03, "corrupt": 0.03, "shorten": 0.01, "duplicate": 0.1,
             "replay": 0.1, "oversize": 0.003, "hold": 0.05}
    blob_rates = {"cut": 0.01, "corrupt": 0.02, "lose": 0.01}
    one, two, faults, _ = behind_relays(world, rates, blob_rates)
    for start in range(1, 2001, 200):
        one.ask(f"send 0 number {start} 200")
        two.ask(f"send 0 number {start} 200 500")
    for node in (one, two):
        drain(node)
    sent = 2000
    while not all(all(each.done.values()) for each in faults) and sent < 20000:  # each fault shall happen
        for node in (one, two):
            node.ask(f"send 0 number {sent + 1} 500")
            drain(node)
        sent += 500
    assert numbers(two, "one") == numbers(one, "two") == set(range(1, sent + 1))
    one.ask(f"blob 0 {BLOB} 7")
    wait_for(lambda: 7 in numbers(two, "one", "blob"), timeout=40)
    for each in faults:
        assert all(each.done.values()), each.done  # each fault did happen
    for node, other in ((one, two), (two, one)):
        stats = node.stats()
        dropped = stats["dropped"]
        for reason in ("tag", "replay", "oversize"):
            assert dropped[reason] > 0, dropped
        assert sum(dropped.values()) > 50
        taken = Counter(node.taken())
        assert max(taken.values()) == 1, taken.most_common(3)  # nobody restarted: exactly once


@both
def test_every_kind_of_broken_message_is_counted_by_its_reason(world):
    one, two, faults, inner = behind_relays(world, {}, {})
    one.ask("send 0 number 1 50")
    drain(one)
    hints = [each for each in faults[1].captured if each[3] == 2]
    before = two.stats()["dropped"]

    def changed(offset, value):
        message = bytearray(hints[0])
        message[offset] ^= value
        return bytes(message)

    throw(inner[1], [changed(0, 1), b"", b"GM", hints[0][:112],      # malformed
                     changed(2, 3),                                  # version
                     bytes(2 << 20), bytes(70000),                   # oversize
                     changed(8, 255),                                # key
                     changed(20, 1), changed(30, 1), changed(45, 1), changed(50, 1),
                     changed(112, 1), changed(-1, 1), hints[0][:-1]] +  # tag
          hints)                                                     # replay
    expected = {"malformed": 4, "version": 1, "oversize": 2, "key": 1, "tag": 7,
                "replay": len(hints)}

    def counted():
        now = two.stats()["dropped"]
        return {reason: now[reason] - before[reason] for reason in now if now[reason] != before[reason]}

    wait_for(lambda: counted() == expected, what=f"{expected}; counted {counted()}")
    assert max(Counter(two.taken()).values()) == 1
    throw(inner[1], [bytes(5 << 20)])  # nanomsg hangs up on whoever sent it, and on nobody else
    one.ask("send 0 number 51 50")
    drain(one)
    assert numbers(two, "one") == set(range(1, 101))


@both
def test_what_was_captured_before_a_restart_is_refused_after_it(world):
    one, two, faults, inner = behind_relays(world, {}, {})
    one.ask("send 0 number 1 20")
    drain(one)
    captured = [each for each in faults[1].captured if each[3] == 2]
    two.restart()
    one.ask("send 0 number 21 1")
    drain(one)
    before = two.stats()
    throw(inner[1], captured)
    wait_for(lambda: two.stats()["dropped"]["recipient"]
             == before["dropped"]["recipient"] + len(captured))
    captured = [each for each in faults[1].captured if each[3] == 2][-1:]
    one.restart()
    wait_for(lambda: two.stats()["greeted"] == before["greeted"] + 1)
    throw(inner[1], captured)
    wait_for(lambda: two.stats()["dropped"]["session"] == before["dropped"]["session"] + 1)
    assert two.stats()["received"] == before["received"]


@tcp
def test_a_connection_that_delivers_nothing_is_replaced(world):
    one, two, _, _ = behind_relays(world, {}, {})
    wait_for(lambda: one.stats()["up"] == [True] == two.stats()["up"])
    for relay in world.relays:
        relay.stall()
    one.ask("send 0 number 1 10")
    wait_for(lambda: numbers(two, "one") == set(range(1, 11)))
    wait_for(lambda: one.stats()["acknowledged"] == 10)
    assert one.stats()["greeted"] == 1  # it was not restarted, and so nobody says so


@ipc
def test_a_peer_that_ended_right_after_its_greeting_is_reached_when_it_is_back(world):
    """nanomsg takes such a connection for one that stands, and never gives it up (docs/adr/0018)."""
    addresses = world.address("one"), world.address("two")
    with listen(addresses[1]) as server:
        one = world.node("one", addresses[0], [f"differ-applier={addresses[1]}"])
        connection, _ = server.accept()
        assert connection.recv(GREETING, socket.MSG_WAITALL) == greeting(PUSH)
        one.stats()  # it has begun, and waits for the greeting
        one.freeze()  # so that it finds that and the end of the connection at once
        connection.sendall(greeting(PULL))
        connection.close()
    one.thaw()
    one.ask("send 0 number 1 10")
    two = world.node("two", addresses[1], [f"differ-applier={addresses[0]}"])
    drain(one)
    assert numbers(two, "one") == set(range(1, 11))


# ---- keys ----

@both
def test_the_wrong_key_is_refused_until_it_is_put_right(world):
    wrong = world.make_keys("wrong", {"differ-applier": secrets.token_hex(32)})
    addresses = world.address("one"), world.address("two")
    one = world.node("one", addresses[0], [f"differ-applier={addresses[1]}"], world.keys)
    two = world.node("two", addresses[1], [f"differ-applier={addresses[0]}"], wrong)
    one.ask("send 0 number 1 10")
    wait_for(lambda: two.stats()["dropped"]["key"] > 0 and one.stats()["dropped"]["key"] > 0)
    assert not two.taken() and two.stats()["up"] == [False]
    replace(wrong / "differ-applier.key", (world.keys / "differ-applier.key").read_text())
    drain(one)
    assert numbers(two, "one") == set(range(1, 11))


def replace(path, text):
    new = path.with_suffix(".new")
    new.write_text(text)
    new.rename(path)


@tcp
def test_keys_change_under_traffic(world):
    """The two ends see the new files 2.5 s apart, as in a cluster; nothing is dropped meanwhile."""
    key = (world.keys / "differ-applier.key").read_text()
    folders = [world.make_keys(name, {"differ-applier": key.strip()}) for name in ("k1", "k2")]
    addresses = world.address("one"), world.address("two")
    one = world.node("one", addresses[0], [f"differ-applier={addresses[1]}"], folders[0])
    two = world.node("two", addresses[1], [f"differ-applier={addresses[0]}"], folders[1])
    nodes = (one, two)
    wait_for(lambda: all(node.stats()["up"] == [True] for node in nodes))
    sent, stop = Counter(), threading.Event()

    def traffic():
        while not stop.is_set():
            for node in nodes:
                node.ask(f"send 0 number {sent[node] + 1} 20")
                sent[node] += 20
                drain(node)
            stop.wait(0.01)

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        new_key = secrets.token_hex(32)
        for folder in folders:
            replace(folder / "differ-applier.previous", key)
            replace(folder / "differ-applier.key", new_key)
            mark = time.monotonic()
            wait_for(lambda: time.monotonic() - mark > 2.5, every=0.5)
        for folder in folders:
            (folder / "differ-applier.previous").unlink()
        mark = time.monotonic()
        wait_for(lambda: time.monotonic() - mark > 2.5, every=0.5)
    finally:
        stop.set()
        sender.join()
    for node, other in ((one, two), (two, one)):
        drain(node)
        stats = node.stats()
        assert stats["dropped"]["key"] == 0 and stats["key_changes"] >= 2, stats
        assert numbers(other, node.name) == set(range(1, sent[node] + 1))
        assert stats["greeted"] == 1  # nobody had to be greeted anew


@tcp
def test_tcp_without_a_key_does_not_start(world):
    made = world.node("bare", f"tcp://127.0.0.1:{ports.row(2)}", [], keys="")
    assert made.process.wait(timeout=60) == 1
    wait_for(lambda: made.failures)
    assert "without keys" in made.failures[0]
    del world.nodes["bare"]


@pytest.mark.parametrize("process, links", [("fetcher", ["fetcher-differ"]), ("differ", LINKS), ("applier", ["differ-applier"]),
                                            ("admission", ["admission-differ"])])
def test_every_process_tells_of_its_links_and_of_what_it_dropped(gitmoor, process, links):
    """gitmoor_bus_* in /metrics: one peer on each link of the process, and no other link."""
    def told():
        return [link for link in LINKS if gitmoor.metric(process, "gitmoor_bus_peers", f'link="{link}",state="up"') == 1]

    wait_for(lambda: told() == list(links), what=f"{process} is connected on {links}")
    before = gitmoor.metric(process, "gitmoor_bus_dropped_total", 'reason="malformed"')
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(gitmoor.bus / process))
        # nanomsg's greeting of a PUSH socket, then a message of five bytes; ipc frames begin with 1 and the size
        stranger.sendall(b"\0SP\0\0\x50\0\0" + b"\x01" + (5).to_bytes(8, "big") + b"hello")
        wait_for(lambda: gitmoor.metric(process, "gitmoor_bus_dropped_total", 'link="none",reason="malformed"') == before + 1,
                 what="the message is counted as dropped")
