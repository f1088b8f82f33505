"""A chart repository over HTTPS: a folder of packed charts and their index, made by helm itself, on a server that misbehaves on demand."""
import base64
import hashlib
import http.server
import io
import shutil
import ssl
import tarfile
import threading
from pathlib import Path

import yaml

from harness.certs import Authority
from harness.helm import Helm

CHART_YAML = "apiVersion: v2\nname: {name}\nversion: {version}\n"


def pack(files, name="web", links=(), gzip="gz"):
    """A packed chart, as somebody hostile makes one: files is path -> content, paths as they stand in the archive; links are
    (path, type, target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{gzip}") as archive:
        for path, content in files.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(path)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for path, kind, target in links:
            info = tarfile.TarInfo(path)
            info.type, info.linkname = kind, target
            archive.addfile(info)
    return out.getvalue()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, format, *arguments):  # pylint: disable=redefined-builtin
        pass

    def do_GET(self):
        owner = self.server.owner
        path = self.path.partition("?")[0].lstrip("/")
        authorization = self.headers.get("Authorization")
        owner.requests.append((path, authorization))
        for part, answer in owner.faults.items():
            if part in path:
                return answer(self)
        if owner.credentials and authorization != owner.credentials:
            return self.answer(401, b"who are you?", [("WWW-Authenticate", 'Basic realm="charts"')])
        file = owner.folder / path
        if not file.is_file():
            return self.answer(404, b"nothing here")
        content = file.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        if self.headers.get("If-None-Match") == etag:
            return self.answer(304, b"", [("ETag", etag)])
        return self.answer(200, content, [("ETag", etag)])

    def answer(self, status, body, headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def stream(self, chunks):
        """Chunks without an end that is known."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    owner = None
    context = None

    def get_request(self):
        connection, address = super().get_request()
        return self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request, client_address):
        """Clients that hang up, or do not trust us, are what the tests are about."""


def basic(username, password):
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class ChartServer:
    """server.add(name, version, files) packs a chart with helm; server.faults[part of a path] = function of the request."""

    def __init__(self, root: Path, authority=None):
        self.folder = Path(root) / "charts"
        self.folder.mkdir(parents=True)
        self.sources = Path(root) / "sources"
        self.helm = Helm(Path(root) / "helm")
        self.authority = authority or Authority(Path(root) / "pki", "charts")
        self.certificate = self.authority.issue(f"charts-{id(self)}")
        self.faults, self.requests, self.credentials = {}, [], None
        self._server = None

    def start(self):
        server = _Server(("127.0.0.1", 0), _Handler)
        server.owner = self
        server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.context.load_cert_chain(*self.certificate)
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def reset(self):
        """No charts, no faults, no credentials."""
        for folder in (self.folder, self.sources):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.faults, self.requests, self.credentials = {}, [], None
        self._server.context.verify_mode = ssl.CERT_NONE

    @property
    def url(self):
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ca_file(self):
        return self.authority.certificate

    def require_client_certificate(self):
        self._server.context.verify_mode = ssl.CERT_REQUIRED
        self._server.context.load_verify_locations(self.ca_file)

    def source(self, name, version, files=None):
        """The folder of a chart that is not packed yet."""
        folder = self.sources / f"{name}-{version}" / name
        for path, content in {"Chart.yaml": CHART_YAML.format(name=name, version=version), **(files or {})}.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(content)
        return folder

    def add(self, name, version, files=None):
        """helm package, helm repo index; returns the sha256:… of the archive."""
        self.helm("package", self.source(name, version, files), "--destination", self.folder)
        self.index()
        return "sha256:" + hashlib.sha256((self.folder / f"{name}-{version}.tgz").read_bytes()).hexdigest()

    def put(self, name, version, archive):
        """An archive that helm would not make, with its digest in an index that helm would not write."""
        (self.folder / f"{name}-{version}.tgz").write_bytes(archive)
        self.write_index({name: [{"version": version, "urls": [f"{name}-{version}.tgz"],
                                  "digest": hashlib.sha256(archive).hexdigest()}]})

    def index(self):
        self.helm("repo", "index", self.folder)

    def write_index(self, entries):
        (self.folder / "index.yaml").write_text(yaml.safe_dump({"apiVersion": "v1", "entries": entries}))

    def read_index(self):
        return yaml.safe_load((self.folder / "index.yaml").read_text())["entries"]
