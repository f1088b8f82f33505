"""Which Debian packages the files of an image are from, and the bill of materials (SPDX 2.3)."""
import functools
import hashlib
import os
import re
import subprocess
from pathlib import Path

import rootfs

INFO = Path("/var/lib/dpkg/info")
STATIC = {"fetcher": ["libarchive-dev"]}  # linked into the program: CMakeLists.txt
# The Go modules of what scripts/setup builds.
MODULES = {"kustomize": "sigs.k8s.io/kustomize/kustomize/v5", "helm": "helm.sh/helm/v3",
           "sops": "github.com/getsops/sops/v3"}


@functools.cache
def database():
    """path → package, of every file that dpkg installed."""
    return {line: listing.stem for listing in sorted(INFO.glob("*.list")) for line in listing.read_text().splitlines()}


def owners(paths):
    """path → package, of the files that are from one. dpkg knows some as /lib/… that are at /usr/lib/…."""
    found = {}
    for path in paths:
        for name in (path, path.removeprefix("/usr"), os.path.realpath(path)):
            if name in database():
                found.setdefault(path, database()[name])
    return found


@functools.cache
def stanza(package):
    """What dpkg knows of a package, as it stands in its status file."""
    return subprocess.run(["dpkg-query", "--status", package], check=True, capture_output=True, text=True).stdout


def field(text, name):
    match = re.search(rf"^{name}: (.*)$", text, re.MULTILINE)
    return match.group(1) if match else ""


def describe(root, image):
    """Adds to an image what scanners and lawyers look for: the packages that its files are from, those that are linked into our programs,
    and their copyright files. Returns package → its stanza, files."""
    sources = {entry.source for entry in root.entries.values() if entry.source.startswith("/")}
    found = owners(sources)
    packages = {}
    for path, package in sorted(found.items()):
        packages.setdefault(package, {"stanza": "", "files": []})["files"].append(path)
    for package in STATIC.get(image, ()):
        packages.setdefault(package, {"stanza": "", "files": []})
    for package, about in packages.items():
        about["stanza"] = stanza(package)
        name = package.split(":")[0]
        root.add_text(f"var/lib/dpkg/status.d/{name}", about["stanza"])
        copyright_file = Path(f"/usr/share/doc/{name}/copyright")
        if copyright_file.exists():
            root.add_text(f"usr/share/doc/{name}/copyright", copyright_file.read_text(errors="replace"))
    return packages


def spdx(image, root, packages, version, created):
    """The SPDX document of an image as a dict. Two runs on the same files make the same."""
    files = {path: entry for path, entry in sorted(root.entries.items()) if entry.kind == "file"}
    by_source = {source: package for package, about in packages.items() for source in about["files"]}
    document = {
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": f"gitmoor-{image}-{version}",
        "creationInfo": {"created": created, "creators": ["Tool: gitmoor-images"]},
        "documentDescribes": ["SPDXRef-Image"], "packages": [], "files": [], "relationships": [],
    }
    digest = hashlib.sha256()

    def relate(left, kind, right):
        document["relationships"].append({"spdxElementId": left, "relationshipType": kind, "relatedSpdxElement": right})

    def package_entry(identifier, name, version_, supplier, url=None):
        entry = {"SPDXID": identifier, "name": name, "versionInfo": version_, "supplier": supplier, "filesAnalyzed": False,
                 "downloadLocation": "NOASSERTION", "licenseConcluded": "NOASSERTION", "licenseDeclared": "NOASSERTION",
                 "copyrightText": "NOASSERTION"}
        if url:
            entry["externalRefs"] = [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": url}]
        document["packages"].append(entry)

    package_entry("SPDXRef-Image", f"gitmoor-{image}", version, "Organization: Gitmoor")
    for package, about in sorted(packages.items()):
        name, text = package.split(":")[0], about["stanza"]
        identifier = "SPDXRef-Package-" + re.sub(r"[^A-Za-z0-9.-]", "-", name)
        about["id"] = identifier
        url = f"pkg:deb/debian/{name}@{field(text, 'Version')}?arch={field(text, 'Architecture')}"
        package_entry(identifier, name, field(text, "Version"), "Organization: Debian", url)
        relate("SPDXRef-Image", "CONTAINS", identifier)
    tools = {}
    for source in sorted(entry.source for entry in files.values() if entry.source.startswith(rootfs.TOOL)):
        name = source.removeprefix(rootfs.TOOL)
        tool_version = (rootfs.CACHE / "bin" / f".{name}.version").read_text().strip()
        tools[source] = f"SPDXRef-Package-{name}"
        package_entry(tools[source], name, tool_version, "NOASSERTION", f"pkg:golang/{MODULES[name]}@{tool_version}")
        relate("SPDXRef-Image", "CONTAINS", tools[source])
    for number, (path, entry) in enumerate(files.items()):
        sums = {"SHA1": hashlib.sha1(entry.content).hexdigest(), "SHA256": hashlib.sha256(entry.content).hexdigest()}
        digest.update(f"{path} {sums['SHA256']}\n".encode())
        document["files"].append({
            "SPDXID": f"SPDXRef-File-{number}", "fileName": f"./{path}", "licenseConcluded": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "checksums": [{"algorithm": kind, "checksumValue": value} for kind, value in sums.items()]})
        package = by_source.get(entry.source)
        owner = packages[package]["id"] if package else tools.get(entry.source, "SPDXRef-Image")
        relate(owner, "CONTAINS", f"SPDXRef-File-{number}")
    document["documentNamespace"] = f"urn:gitmoor:spdx:{image}:{digest.hexdigest()}"
    return document
