"""A proxy in front of kube-apiserver that misbehaves on demand: HTTP/1.1 over TLS, one thread a connection.

Clients that would speak HTTP/2 fall back, since the proxy does not offer it.
"""
import http.client
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field

from .httpserver import Handler, Server

CHUNK = 65536
# Headers that are about one connection, not about the message.
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive", "host"}


@dataclass
class Fault:
    """What happens to requests whose method and path match."""
    status: int = 0           # answered instead; 0: the connection is dropped without an answer
    method: str = ""          # "" matches all
    path: str = ""            # contained in the path with its query
    but: str = ""             # not contained in it
    retry_after: str = ""
    times: int = -1           # so often, then never again; -1: until faults are cleared
    skip: int = 0             # but not the first so many
    executed: bool = False    # with status 0: the API server executes it, and the caller is not told
    act: object = None        # called at that instant, without arguments
    hits: int = 0
    at: list = field(default_factory=list)  # when

    def takes(self, method, path):
        if self.times == 0 or (self.method and self.method != method) or self.path not in path or (self.but and self.but in path):
            return False
        self.hits += 1
        self.at.append(time.monotonic())
        if self.hits <= self.skip:
            return False
        self.times -= self.times > 0
        return True


class _Handler(Handler):
    upstream = None

    def setup(self):
        super().setup()
        self.server.owner.opened(self.connection)

    def finish(self):
        self.server.owner.closed(self.connection)
        if self.upstream:
            self.upstream.close()
        super().finish()

    def _serve(self):
        owner = self.server.owner
        body = self.body()
        owner.requests.append(f"{self.command} {self.path}")
        fault = owner.fault_for(self.command, self.path)
        if fault and fault.executed:
            self._forward(body).read()
        if fault and fault.act:
            fault.act()
        if fault and not fault.status:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if fault:
            self._refuse(fault)
            return
        try:
            answer = self._forward(body)
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # the API server is down: so is the proxy
            return
        self._answer(answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _refuse(self, fault):
        text = (b'{"kind":"Status","apiVersion":"v1","status":"Failure","message":"injected by the test","reason":"%s",'
                b'"code":%d}' % ({429: b"TooManyRequests", 503: b"ServiceUnavailable"}.get(fault.status, b"InternalError"),
                                 fault.status))
        self.answer(fault.status, text, [("Content-Type", "application/json"),
                                         *([("Retry-After", fault.retry_after)] if fault.retry_after else [])])

    def _forward(self, body):
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        headers["Accept-Encoding"] = "identity"
        for attempt in (1, 2):
            if self.upstream is None:
                self.upstream = self.server.owner.connect()
            try:
                self.upstream.request(self.command, self.path, body or None, headers)
                return self.upstream.getresponse()
            except (OSError, http.client.HTTPException):
                self.upstream.close()
                self.upstream = None
                if attempt == 2:
                    raise

    def _answer(self, answer):
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            try:
                data = answer.read1(CHUNK)
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            if not data:
                return


class Proxy:
    """start(), stop(); faults is a list of Fault; requests is what was asked; drop_connections() cuts all that are open."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.faults = []
        self.requests = []
        self.server_url = None
        self._open = set()
        self._lock = threading.Lock()
        self._server = None
        self._client_context = ssl.create_default_context(cafile=str(cluster.authority.certificate))

    def start(self):
        self._server = Server(self, _Handler, self.cluster.authority.issue("proxy")).start()
        self.server_url = self._server.url
        return self

    def stop(self):
        self._server.stop()
        self.drop_connections()

    def connect(self):
        host, port = self.cluster.server.removeprefix("https://").split(":")
        connection = http.client.HTTPSConnection(host, int(port), context=self._client_context, timeout=600)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def fault_for(self, method, path):
        with self._lock:
            return next((fault for fault in self.faults if fault.takes(method, path)), None)

    def opened(self, connection):
        with self._lock:
            self._open.add(connection)

    def closed(self, connection):
        with self._lock:
            self._open.discard(connection)

    def drop_connections(self):
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        return len(connections)
