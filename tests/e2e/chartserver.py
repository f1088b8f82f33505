"""A chart repository over HTTPS: a folder of packed charts and their index, made by helm itself, on a server that misbehaves on demand."""
import base64
import hashlib
import io
import shutil
import ssl
import tarfile
from pathlib import Path

import yaml

from harness.certs import Authority
from harness.helm import Helm
from harness.httpserver import Handler, Server

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


class _Handler(Handler):
    timeout = 60

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

    def stream(self, chunks):
        """Chunks without an end that is known."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for chunk in chunks:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))


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
        self._server = Server(self, _Handler, self.certificate).start()
        return self

    def stop(self):
        self._server.stop()

    def reset(self):
        """No charts, no faults, no credentials."""
        for folder in (self.folder, self.sources):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        self.faults, self.requests, self.credentials = {}, [], None
        self._server.context.verify_mode = ssl.CERT_NONE

    @property
    def url(self):
        return self._server.url

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
