"""A relay between a nanomsg sender and receiver that misbehaves: it speaks just enough of SP
(8 bytes of greeting, then each message after its length) to hurt whole messages.

SP over TCP: "The SP/TCP mapping", over ipc each message has one byte 0x01 before its length."""
import random
import socket
import struct
import threading

GREETING = 8
PUSH, PULL = 0x50, 0x51  # the two protocols of a pipeline, as greetings name them


class Faults:
    """What to do to messages; probabilities per message. Everything that passes is captured."""

    def __init__(self, seed=1, **rates):
        self.random = random.Random(seed)
        self.rates = rates
        self.captured = []
        self.done = {name: 0 for name in rates}
        self.held = None
        self.lock = threading.Lock()

    def _strikes(self, name):
        strikes = self.random.random() < self.rates.get(name, 0)
        if strikes:
            self.done[name] += 1
        return strikes

    def _corrupt(self, message):
        message = bytearray(message)
        for _ in range(self.random.randint(1, 4)):
            message[self.random.randrange(len(message))] ^= 1 << self.random.randrange(8)
        return bytes(message)

    def apply(self, message):
        """The messages to pass on instead of this one; None: hang up."""
        with self.lock:
            self.captured = (self.captured + [message])[-500:]
            if self._strikes("cut"):
                return None
            if self._strikes("lose"):
                return []
            out = [message]
            if self._strikes("corrupt"):
                out = [self._corrupt(message)]
            if self._strikes("shorten"):
                out = [message[:self.random.randrange(len(message))]]
            if self._strikes("duplicate"):
                out = out * 2
            if self._strikes("replay"):
                out.append(self.random.choice(self.captured))
            if self._strikes("oversize"):
                out.append(self.random.randbytes(2 << 20))
            if self._strikes("hold") and self.held is None:
                self.held, out = out, []
            elif self.held is not None:
                out, self.held = out + self.held, None
            return out


class Relay:
    """Listens at `here`, passes on to `there` (addresses as the bus writes them)."""

    def __init__(self, here, there, faults, answers=None):
        self.there, self.faults, self.answers = there, faults, answers
        self.prefix = b"\x01" if here.startswith("ipc") else b""
        self.sockets, self.stalled = [], []
        self.server = listen(here)
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _socket(address):
        kind = socket.AF_UNIX if address.startswith("ipc") else socket.AF_INET
        made = socket.socket(kind, socket.SOCK_STREAM)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return made

    @staticmethod
    def _target(address):
        rest = address.split("://")[1]
        if address.startswith("ipc"):
            return rest
        host, port = rest.rsplit(":", 1)
        return host, int(port)

    def _accept(self):
        while True:
            try:
                client, _ = self.server.accept()
            except OSError:
                return
            upstream = self._socket(self.there)
            try:
                upstream.connect(self._target(self.there))
            except OSError:
                client.close()  # the receiver is not there: the sender tries again
                continue
            self.sockets += [client, upstream]
            pairs = ((client, upstream, self.faults), (upstream, client, self.answers))
            for source, sink, faults in pairs:
                threading.Thread(target=self._pump, args=(source, sink, faults),
                                 daemon=True).start()

    def stall(self):
        """The connections of now stay open and deliver nothing, as when a machine has vanished."""
        self.stalled = list(self.sockets)

    @staticmethod
    def _read(source, size):
        data = b""
        while len(data) < size:
            more = source.recv(min(size - len(data), 1 << 20))
            if not more:
                raise OSError("end")
            data += more
        return data

    def _pump(self, source, sink, faults):
        try:
            sink.sendall(self._read(source, GREETING))
            while True:
                head = self._read(source, len(self.prefix) + 8)
                message = self._read(source, struct.unpack(">Q", head[-8:])[0])
                out = faults.apply(message) if faults else [message]
                if source in self.stalled:
                    out = []
                if out is None:
                    raise OSError("cut")
                for each in out:
                    sink.sendall(frame(self.prefix, each))
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                end.close()

    def close(self):
        self.server.close()
        for each in self.sockets:
            each.close()


def listen(address):
    server = Relay._socket(address)
    server.bind(Relay._target(address))
    server.listen()
    return server


def greeting(protocol):
    return b"\0SP\0" + struct.pack(">HH", protocol, 0)


def frame(prefix, message):
    return prefix + struct.pack(">Q", len(message)) + message


def throw(address, messages):
    """Sends raw messages to an inbox, as a PUSH socket of nanomsg's would."""
    sink = Relay._socket(address)
    sink.connect(Relay._target(address))
    prefix = b"\x01" if address.startswith("ipc") else b""
    sink.sendall(greeting(PUSH))
    Relay._read(sink, GREETING)
    try:
        for message in messages:
            sink.sendall(frame(prefix, message))
        # The receiver hangs up on what is past its maximum; otherwise wait until it has read all.
        sink.shutdown(socket.SHUT_WR)
        sink.settimeout(5)
        while sink.recv(4096):
            pass
    except OSError:
        pass
    sink.close()
