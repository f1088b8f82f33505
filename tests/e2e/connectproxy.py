"""An HTTP proxy on loopback, as companies have one: CONNECT only, and only with a name and a password."""
import base64
import contextlib
import select
import socket

from harness.httpserver import Handler, Server


class _Handler(Handler):
    timeout = 60

    def do_CONNECT(self):
        owner = self.server.owner
        owner.targets.append(self.path)
        self.close_connection = True
        if owner.credentials and self.headers.get("Proxy-Authorization") != owner.credentials:
            self.answer(407, b"", [("Proxy-Authenticate", 'Basic realm="proxy"')])
            return
        host, _, port = self.path.rpartition(":")
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=30) as target:
            self.send_response(200)
            self.end_headers()
            self._copy(target)

    def _copy(self, target):
        ends = {self.connection: target, target: self.connection}
        while True:
            for ready in select.select(list(ends), [], [], 60)[0]:
                data = ready.recv(65536)
                if not data:
                    return
                ends[ready].sendall(data)


class ConnectProxy:
    """start(), stop(); targets are the hosts and ports that were asked for."""

    def __init__(self, username=None, password=None):
        self.credentials = username and "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self.targets = []
        self._server = Server(self, _Handler)

    def start(self):
        self._server.start()
        return self

    def stop(self):
        self._server.stop()

    @property
    def address(self):
        return self._server.url
