"""What is in an image: the programs, the shared libraries that they load, and the few files that these read. Nothing else: no shell,
no package manager, no other program.

An image is described as a dict, path in the image (without the first slash) → Entry. Everything comes from the Debian system that this
runs on: Debian 13 in images/Containerfile, the machine itself in the tests.
"""
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

USER = 65532
TOOL = "tool:"  # starts the source of what is from no Debian package and not ours either
# name → (our programs, Debian's programs, what scripts/setup built from Go modules). The others' only where ours run them.
IMAGES = {
    "fetcher": (["gitmoor-fetcher"], ["gpgv", "ssh"], []),  # spec.verify, ssh:// repositories
    "differ": (["gitmoor-differ"], [], ["kustomize", "helm", "sops"]),
    "applier": (["gitmoor-applier"], [], []),
    "admission": (["gitmoor-admission"], [], []),
    "cli": (["gitmoor"], ["gpgv"], ["kustomize", "helm", "sops"]),  # gitmoor verify; gitmoor render
}
ZONED = {"differ"}  # spec.syncWindows
ZONES = Path("/usr/share/zoneinfo")
CACHE = Path(os.environ.get("GITMOOR_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitmoor")
TEXTS = {
    "etc/passwd": f"root:x:0:0:root:/:/usr/sbin/nologin\ngitmoor:x:{USER}:{USER}:Gitmoor:/:/usr/sbin/nologin\n",
    "etc/group": f"root:x:0:\ngitmoor:x:{USER}:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
# Read by OpenSSL and libcurl, and by scanners that want to know what this is.
SYSTEM_FILES = ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/openssl.cnf", "/usr/lib/ssl/certs", "/usr/lib/ssl/openssl.cnf",
                "/usr/lib/os-release", "/etc/os-release"]
MERGED = ("bin", "lib", "lib64", "sbin")  # links into usr, where Debian has them so
DIRECTORIES = {"tmp": 0o1777, "var/lib/gitmoor": 0o755, "run/gitmoor": 0o755, "proc": 0o755, "dev": 0o755, "sys": 0o755}


@dataclass(frozen=True)
class Entry:
    kind: str  # file, link or directory
    mode: int = 0o755
    content: bytes = b""
    target: str = ""
    source: str = ""  # where it came from, for the bill of materials


class RootFs:
    """Collects entries. add_program(FILE), then .entries."""

    def __init__(self):
        self.entries = {}

    def add(self, path, entry):
        for parent in list(Path(path).parents)[-2::-1]:
            self.entries.setdefault(str(parent), Entry("directory"))
        self.entries[str(path)] = entry

    def add_text(self, path, text):
        self.add(path, Entry("file", 0o644, text.encode()))

    def add_path(self, path):
        """A file of this system, or a link and what it points to."""
        while True:
            path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            inside = path.lstrip("/")
            if not os.path.islink(path):
                break
            target = os.readlink(path)
            self.add(inside, Entry("link", 0o777, target=target, source=path))
            path = os.path.join(os.path.dirname(path), target)
        if os.path.isfile(path):
            mode = 0o755 if os.access(path, os.X_OK) else 0o644
            self.add(inside, Entry("file", mode, Path(path).read_bytes(), source=path))
        elif not os.path.isdir(path):
            raise SystemExit(f"{path} is needed in the images, and this system lacks it")

    def add_program(self, file, name):
        """A program of ours, stripped, with its libraries."""
        self.add(f"usr/bin/{name}", Entry("file", 0o755, stripped(file), source=str(file)))
        self.add_libraries(file)

    def add_tool(self, name):
        """A static program that scripts/setup built; it is stripped already."""
        file = CACHE / "bin" / name
        if not file.is_file():
            raise SystemExit(f"there is no {name} in {file.parent}; scripts/setup builds it")
        self.add(f"usr/bin/{name}", Entry("file", 0o755, file.read_bytes(), source=f"{TOOL}{name}"))

    def add_zones(self):
        """The time zones that people name: not those with leap seconds (right), nor the same once more (posix), nor the machine's own."""
        for path in sorted(ZONES.rglob("*")):
            name = path.relative_to(ZONES)
            if name.parts[0] in ("posix", "right", "localtime", "posixrules") or not path.is_file():
                continue
            with path.open("rb") as file:
                if file.read(4) == b"TZif":
                    self.add_path(str(path))

    def add_libraries(self, file):
        for library in libraries(file):
            self.add_path(library)

    def add_system(self):
        for name in MERGED:
            if os.path.islink(f"/{name}"):
                self.add(name, Entry("link", 0o777, target=f"usr/{name}"))
                self.entries.setdefault(f"usr/{name}", Entry("directory"))
        for name, mode in DIRECTORIES.items():
            self.add(name, Entry("directory", mode))
        for name, text in TEXTS.items():
            self.add_text(name, text)
        for path in SYSTEM_FILES:
            self.add_path(path)


def stripped(file):
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["strip", "--strip-all", "-o", out.name, str(file)], check=True)
        return Path(out.name).read_bytes()


def libraries(file):
    """The shared libraries that the loader finds for a program, the loader among them."""
    found = []
    listing = subprocess.run(["ldd", str(file)], check=True, capture_output=True, text=True).stdout
    for line in listing.splitlines():
        name, _, rest = line.strip().partition(" => ")
        path = (rest or name).split(" (")[0].strip()
        if path == "not found":
            raise SystemExit(f"{file} needs {name}, and this system lacks it")
        if path.startswith("/"):
            found.append(path)
    return found


def make(image, binaries):
    """The entries of an image of IMAGES."""
    ours, debians, tools = IMAGES[image]
    root = RootFs()
    root.add_system()
    for name in ours:
        if not (Path(binaries) / name).is_file():
            raise SystemExit(f"there is no {name} in {binaries}; build it first, as scripts/setup does")
        root.add_program(Path(binaries) / name, name)
    for name in debians:
        root.add_path(f"/usr/bin/{name}")
        root.add_libraries(f"/usr/bin/{name}")
    for name in tools:
        root.add_tool(name)
    if image in ZONED:
        if not (ZONES / "Europe" / "Berlin").is_file():
            raise SystemExit("tzdata is needed in the images, and this system lacks it")
        root.add_zones()
    return root


def write(entries, folder):
    """Into a new folder, for a Containerfile to copy."""
    Path(folder).mkdir(parents=True)
    for path, entry in sorted(entries.items()):
        target = Path(folder) / path
        if entry.kind == "directory":
            target.mkdir(parents=True, exist_ok=True)
            target.chmod(entry.mode)
        elif entry.kind == "link":
            target.symlink_to(entry.target)
        else:
            target.write_bytes(entry.content)
            target.chmod(entry.mode)
