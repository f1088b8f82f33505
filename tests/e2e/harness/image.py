"""Small container images, built without a registry or a builder: a tar of files and a little JSON around it."""
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path

_PAUSE = r"""
#include <signal.h>
#include <unistd.h>
static void end(int number) { (void)number; _exit(0); }
int main(void) {
    signal(SIGTERM, end);
    signal(SIGINT, end);
    for (;;) {
        pause();
    }
}
"""
_APPLETS = ("sh", "cat", "grep", "httpd", "id", "ls", "nc", "nslookup", "printf", "sleep", "touch")


def _add(layer, name, data, mode):
    member = tarfile.TarInfo(name.lstrip("/"))
    member.size, member.mode = len(data), mode
    layer.addfile(member, io.BytesIO(data))


def from_files(folder, name, files, entrypoint, links=()):
    """An image archive of files (path in the image -> path on the host, or bytes); links: (path, target). Returns its path.

    The archive is what `docker save` writes, which ctr imports.
    """
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:
        for path, source in files.items():
            data = source if isinstance(source, bytes) else Path(source).read_bytes()
            _add(tar, path, data, 0o755)
        for path, target in links:
            member = tarfile.TarInfo(path.lstrip("/"))
            member.type, member.linkname = tarfile.SYMTYPE, target
            tar.addfile(member)
    layer = layer.getvalue()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(_machine(), _machine())
    config = json.dumps({"architecture": machine, "os": "linux", "config": {"Entrypoint": entrypoint, "User": "65532:65532",
                                                                            "Env": ["PATH=/bin"]},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    archive = Path(folder) / (name.replace("/", "_").replace(":", "_") + ".tar")
    with tarfile.open(archive, "w") as tar:
        _add(tar, "layer.tar", layer, 0o644)
        _add(tar, "config.json", config, 0o644)
        _add(tar, "manifest.json",
             json.dumps([{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]).encode(), 0o644)
    return archive


def _machine():
    return subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()


def pause(folder, name):
    """The container that holds a Pod's namespaces."""
    program = Path(folder) / "pause"
    subprocess.run(["cc", "-x", "c", "-Os", "-static", "-o", str(program), "-"], input=_PAUSE, text=True, check=True)
    return from_files(folder, name, {"/pause": program}, ["/pause"])


def toolbox(folder, name):
    """busybox: a shell, a web server, nc and nslookup. Only nslookup resolves names: others die of glibc's resolver, which a static
    program lacks (wget even with an address)."""
    return from_files(folder, name, {"/bin/busybox": Path("/bin/busybox")}, ["/bin/sh"],
                      [(f"/bin/{applet}", "busybox") for applet in _APPLETS])
