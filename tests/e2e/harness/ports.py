"""Free loopback ports."""
import socket


def free(count=1):
    """As many free ports of 127.0.0.1, all different. Another process may still take one first:
    whoever starts a server with them has to cope with that."""
    sockets = []
    try:
        for _ in range(count):
            opened = socket.socket()
            opened.bind(("127.0.0.1", 0))
            sockets.append(opened)
        return [opened.getsockname()[1] for opened in sockets]
    finally:
        for opened in sockets:
            opened.close()
