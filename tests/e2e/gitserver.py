#!/usr/bin/env python3
"""A Git server on loopback: `git http-backend` behind a threaded HTTPS server with a certificate of its own authority.

In tests it runs in a thread and misbehaves on demand (see Faults); scripts/dev runs this file as a program, so that the server
outlives the shell. Only the smart protocol is spoken, as GitHub and GitLab do.
"""
import argparse
import base64
import collections
import gzip
import re
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness import ports  # noqa: E402
from harness.certs import Authority  # noqa: E402
from harness.httpserver import Handler, Server, context_of  # noqa: E402

CHUNK = 65536
WANT = re.compile(rb"[0-9a-f]{4}want ([0-9a-f]{40,64})")
DONE = b"0009done"


def http_backend():
    where = subprocess.run(["git", "--exec-path"], capture_output=True, text=True, check=True).stdout.strip()
    return str(Path(where) / "git-http-backend")


@dataclass
class Faults:
    """What the server does wrong, for all repositories; reset() ends it."""
    delay: float = 0.0            # seconds before each answer
    status: int = 0               # answer this instead (401, 404, 429, 500, 503 …)
    retry_after: str = ""         # with it, the Retry-After header
    drop_after: int = -1          # close the connection after so many bytes of the body
    only: str = ""                # only for URL paths that contain this

    def reset(self):
        self.__init__()


@dataclass
class Credentials:
    """Who may read and write; nothing set: everyone. By repository name, "" for all."""
    basic: dict = field(default_factory=dict)   # repository -> "user:password"
    bearer: dict = field(default_factory=dict)  # repository -> token

    def refuses(self, repository, header):
        basic = self.basic.get(repository, self.basic.get(""))
        bearer = self.bearer.get(repository, self.bearer.get(""))
        if not basic and not bearer:
            return False
        allowed = []
        if basic:
            allowed.append("Basic " + base64.b64encode(basic.encode()).decode())
        if bearer:
            allowed.append(f"Bearer {bearer}")
        return header not in allowed


class _Handler(Handler):
    timeout = 60

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        self.server.owner.requests.append(f"{self.command} {self.path} {arguments[1] if len(arguments) > 1 else ''}")

    def do_GET(self):
        self._serve()

    def do_POST(self):
        self._serve()

    def _serve(self):
        owner = self.server.owner
        body = self._body()
        path, _, query = self.path.partition("?")
        repository = path.strip("/").split(".git", 1)[0]
        owner.connections[repository].add(self.client_address)
        faults = owner.faults
        faulty = not faults.only or faults.only in self.path
        if faulty and faults.delay:
            owner.stopping.wait(faults.delay)
        if faulty and faults.status:
            return self.answer(faults.status, b"out of order\n", [("Retry-After", faults.retry_after)] if faults.retry_after else [])
        if owner.credentials.refuses(repository, self.headers.get("Authorization")):
            return self.answer(401, b"who are you?\n", [("WWW-Authenticate", 'Basic realm="git"')])
        if path.endswith("/git-upload-pack"):
            self._note_wants(repository, body)
        return self._backend(path, query, body, faults.drop_after if faulty else -1)

    def _note_wants(self, repository, body):
        text = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
        for commit in WANT.findall(text) if DONE in text else ():  # not of a round of negotiation
            self.server.owner.wants.append((self.client_address[0], repository, commit.decode()))

    def _body(self):
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                parts.append(self.rfile.read(size))
                self.rfile.readline()
                if size == 0:
                    return b"".join(parts)
        return self.body()

    def _backend(self, path, query, body, drop_after):
        env = {
            "PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": str(self.server.owner.root), "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": "e2e", "REMOTE_ADDR": "127.0.0.1", "REQUEST_METHOD": self.command, "PATH_INFO": path,
            "QUERY_STRING": query, "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)), "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""), "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent",
            "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }
        with subprocess.Popen([http_backend()], env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL) as backend:
            feeder = threading.Thread(target=self._feed, args=(backend, body), daemon=True)
            feeder.start()
            status, headers = 200, []
            for line in iter(backend.stdout.readline, b""):
                line = line.rstrip(b"\r\n").decode()
                if not line:
                    break
                name, _, value = line.partition(": ")
                if name == "Status":
                    status = int(value.split()[0])
                else:
                    headers.append((name, value))
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self._copy(backend, drop_after)
            feeder.join(timeout=10)

    @staticmethod
    def _feed(backend, body):
        try:
            backend.stdin.write(body)
            backend.stdin.close()
        except OSError:
            pass

    def _copy(self, backend, drop_after):
        sent = 0
        while True:
            data = backend.stdout.read1(CHUNK)
            if 0 <= drop_after <= sent + len(data):
                self.wfile.flush()
                backend.kill()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            sent += len(data)
            if not data:
                return


class _Server(Server):
    def handle_error(self, request, client_address):
        self.owner.requests.append(f"connection from {client_address}: {sys.exc_info()[1]}")


class GitServer:
    """Bare repositories of a folder, served as https://127.0.0.1:PORT/NAME.git, or on another address of this host."""

    def __init__(self, root: Path, port=0, address="127.0.0.1"):
        self.root = Path(root) / "repositories"
        self.root.mkdir(parents=True, exist_ok=True)
        self.pki = Path(root) / "pki"
        self.authority = Authority(self.pki, "git-test")
        self.certificates = {"good": self.authority.issue("git", ("127.0.0.1", "localhost", address))}
        self.faults = Faults()
        self.credentials = Credentials()
        self.requests = []  # of all clients, the fetcher that all tests share included: see asked()
        self.connections = collections.defaultdict(set)  # repository -> the addresses that asked for it
        self.wants = []  # each commit that was fetched: (address of the client, repository, commit)
        self.stopping = threading.Event()
        self.address = address
        self.port = port or ports.free(address=address)[0]
        self._server = None

    def start(self):
        """Also again after stop(), on the same port."""
        self.stopping.clear()
        self._server = _Server(self, _Handler, self.certificates["good"], (self.address, self.port)).start()
        return self

    def stop(self):
        self.stopping.set()
        if self._server:
            self._server.stop()
            self._server = None

    @property
    def ca_file(self):
        return self.authority.certificate

    def url(self, name):
        return f"https://{self.address}:{self.port}/{name}.git"

    def asked(self, name):
        """The requests so far for the repository, oldest first: "METHOD PATH STATUS"."""
        return [request for request in self.requests if f"/{name}.git/" in request]

    def use_certificate(self, which):
        """good; "wrong-host" (for example.org); "unknown" (of an authority that nobody trusts). For new connections."""
        if which == "wrong-host" and which not in self.certificates:
            self.certificates[which] = self.authority.issue("wrong", ("git.example.org",))
        if which == "unknown" and which not in self.certificates:
            self.certificates[which] = Authority(self.pki / "unknown", "stranger").issue("git")
        self._server.context = context_of(self.certificates[which])

    def create(self, name):
        """An empty bare repository whose HEAD is main; pushes are allowed."""
        path = self.root / f"{name}.git"
        if not path.exists():
            run = ["git", "-c", "init.defaultBranch=main", "init", "-q", "--bare", str(path)]
            subprocess.run(run, check=True, capture_output=True)
            for setting in ("http.receivepack=true", "uploadpack.allowFilter=true", "receive.denyNonFastForwards=false",
                            "gc.auto=0"):
                key, _, value = setting.partition("=")
                subprocess.run(["git", "-C", str(path), "config", key, value], check=True, capture_output=True)
        return path


def main():
    parser = argparse.ArgumentParser(description="Serve the bare repositories of a folder over HTTPS on loopback.")
    parser.add_argument("--root", required=True, type=Path, help="holds repositories/ and pki/")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--create", action="append", default=[], metavar="NAME", help="make this repository first")
    options = parser.parse_args()
    server = GitServer(options.root, options.port)
    for name in options.create:
        server.create(name)
    server.start()
    print(f"serving {options.root} on https://127.0.0.1:{server.port}", flush=True)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    while not ended.is_set():
        ended.wait(timeout=3600)
    server.stop()


if __name__ == "__main__":
    main()
