"""The HTTP servers of the tests, with TLS or without: each in a thread, and each connection in one of its own."""
import http.server
import socket
import ssl
import threading


def context_of(certificate):
    """certificate: the files of one and of its key, as Authority.issue() returns them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Handler(http.server.BaseHTTPRequestHandler):
    """Whoever made the server is self.server.owner."""
    protocol_version = "HTTP/1.1"

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(http.server.ThreadingHTTPServer):
    """start(), stop(). With a certificate it speaks TLS; another context holds for new connections."""
    daemon_threads = True
    request_queue_size = 128  # the library's 5 are few: whoever comes when they are full tries again a second later

    def __init__(self, owner, handler, certificate=None, address=("127.0.0.1", 0)):
        super().__init__(address, handler)
        self.owner = owner
        self.context = context_of(certificate) if certificate else None

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            # The handshake happens in the connection's own thread, on its first read.
            connection = self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """Clients that hang up, or do not trust us, are what the tests are about."""

    @property
    def url(self):
        return f"{'https' if self.context else 'http'}://{self.server_address[0]}:{self.server_address[1]}"

    def start(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self):
        self.shutdown()
        self.server_close()
