#!/usr/bin/env python3
"""Builds the images from this machine's files, without a daemon and without a network.

    images/build.py [--binaries DIR] [--output DIR] [--prefix gitmoor] [--tag VERSION] [IMAGE…]
    images/build.py --rootfs DIR [--binaries DIR] [IMAGE…]

The first writes OUTPUT/images.tar (an OCI layout with all images; import it with `ctr -n k8s.io images import`), OUTPUT/IMAGE.spdx.json
(what each is made of) and OUTPUT/images.json (names, digests, sizes), and prints the sizes. The second writes the files of each image to
DIR/IMAGE; images/Containerfile uses it.
"""
import argparse
import json
import os
import re
import subprocess
import time
from pathlib import Path

import oci
import packages
import rootfs

ROOT = Path(__file__).resolve().parent.parent


def project_version():
    return re.search(r"project\(gitmoor VERSION ([0-9.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)


def assemble(names, binaries, version, created):
    """name → (RootFs, SPDX document)."""
    made = {}
    for name in names:
        root = rootfs.make(name, binaries)
        document = packages.spdx(name, root, packages.describe(root, name), version, created)
        root.add_text(f"usr/share/gitmoor/{name}.spdx.json", json.dumps(document, indent=1) + "\n")
        made[name] = (root, document)
    return made


def shared(roots):
    """The entries that all of them have: the lowest layer, stored and pulled once."""
    first, *others = [root.entries for root in roots]
    return {path: entry for path, entry in first.items() if all(other.get(path) == entry for other in others)}


def shared_tools(made):
    """names of programs → their entries: one layer for all images that have the same ones."""
    return {tuple(rootfs.IMAGES[name][2]): {path: entry for path, entry in root.entries.items() if entry.source.startswith(rootfs.TOOL)}
            for name, (root, _) in made.items()}


def build(arguments):
    version = arguments.tag or project_version()
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch))
    made = assemble(arguments.images, arguments.binaries, version, created)
    if arguments.rootfs:
        for name, (root, _) in made.items():
            rootfs.write(root.entries, arguments.rootfs / name)
        return
    architecture = subprocess.run(["dpkg", "--print-architecture"], check=True, capture_output=True, text=True).stdout.strip()
    layout = oci.Layout(epoch, created, architecture)
    base = shared([root for root, _ in made.values()])
    tools = shared_tools(made)
    arguments.output.mkdir(parents=True, exist_ok=True)
    report = {}
    for name, (root, document) in made.items():
        program = rootfs.IMAGES[name][0][0]
        config = {"User": f"{rootfs.USER}:{rootfs.USER}", "Entrypoint": [f"/usr/bin/{program}"], "Env": ["PATH=/usr/bin"],
                  "WorkingDir": "/", "Labels": {"org.opencontainers.image.title": f"gitmoor {name}",
                                                "org.opencontainers.image.version": version}}
        own = {path: entry for path, entry in root.entries.items() if path not in base and not entry.source.startswith(rootfs.TOOL)}
        full = f"{arguments.prefix}/{name}:{version}"
        packed, plain, digest = layout.add_image(full, [base, own, tools[tuple(rootfs.IMAGES[name][2])]], config)
        report[name] = {"name": full, "digest": digest, "compressed": packed, "uncompressed": plain}
        (arguments.output / f"{name}.spdx.json").write_text(json.dumps(document, indent=1) + "\n")
    layout.write(arguments.output / "images.tar")
    report["all"] = {"compressed": sum(map(len, layout.blobs.values())), "uncompressed": sum(layout.layers.values())}
    (arguments.output / "images.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, row in report.items():
        print(f"{name:10} {row['compressed'] / 1e6:6.2f} MB compressed {row['uncompressed'] / 1e6:6.2f} MB  {row.get('name', '(layers stored once)')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=Path, default=ROOT / "build" / "release" / "bin")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "images")
    parser.add_argument("--prefix", default="gitmoor")
    parser.add_argument("--tag")
    parser.add_argument("--rootfs", type=Path)
    parser.add_argument("images", nargs="*", default=list(rootfs.IMAGES), metavar="IMAGE")
    arguments = parser.parse_args()
    unknown = set(arguments.images) - set(rootfs.IMAGES)
    if unknown:
        parser.error(f"there is no image {', '.join(sorted(unknown))}; there are {', '.join(rootfs.IMAGES)}")
    build(arguments)


if __name__ == "__main__":
    main()
