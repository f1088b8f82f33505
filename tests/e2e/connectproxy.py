"""An HTTP proxy on loopback, as companies have one: CONNECT only, and only with a name and a password."""
import base64
import contextlib
import http.server
import select
import socket
import threading


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        pass

    def do_CONNECT(self):
        owner = self.server.owner
        owner.targets.append(self.path)
        self.close_connection = True
        if owner.credentials and self.headers.get("Proxy-Authorization") != owner.credentials:
            self.send_response(407)
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
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
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.owner = self

    def start(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"
