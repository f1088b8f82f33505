"""Free loopback ports, none of those that the system gives to outgoing connections: a server that is down for a while finds its port
free when it comes back, and the port beside a free one is not somebody's connection."""
import os
import random
import socket

# Below those of a cluster's Services (30000 on), and those that Linux takes for outgoing connections (32768 on).
FIRST, END = 10000, 30000


def _slice():
    """The ports of this process: those of pytest-xdist's processes do not overlap."""
    count = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % count
    size = (END - FIRST) // count
    return FIRST + number * size, size


class _Turn:
    """Each port in turn, from a random one on, so that none is given out twice while whoever was given it starts."""

    def __init__(self):
        self.first, self.size = _slice()
        self.at = random.randrange(self.size)

    def next(self):
        self.at = (self.at + 1) % self.size
        return self.first + self.at


_TURN = _Turn()


def _is_free(port, address):
    with socket.socket() as opened:
        try:
            opened.bind((address, port))
            return True
        except OSError:
            return False


def row(length, address="127.0.0.1"):
    """The first of so many free ports, one after the other."""
    while True:
        ports = [_TURN.next() for _ in range(length)]
        if ports[-1] - ports[0] == length - 1 and all(_is_free(port, address) for port in ports):
            return ports[0]


def free(count=1, address="127.0.0.1"):
    """As many free ports, all different. Another process may still take one first: whoever starts a server with them has to cope
    with that."""
    return [row(1, address) for _ in range(count)]
