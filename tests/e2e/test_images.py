"""The images: what is in them, that it runs there, and that the bill of materials tells it. No container engine is needed."""
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile

import pytest

from harness import paths

TOOLS = {"kustomize", "helm", "sops"}
IMAGES = {"fetcher": {"gitmoor-fetcher", "gpgv", "ssh"}, "differ": {"gitmoor-differ"} | TOOLS, "applier": {"gitmoor-applier"},
          "admission": {"gitmoor-admission"}, "cli": {"gitmoor", "gpgv"} | TOOLS}
# How it is asked for its version, and what the answer holds.
VERSION_OF = {"ssh": ("-V", "OpenSSH"), "kustomize": ("version", "v"), "helm": ("version", "v"), "sops": ("--version", "sops")}


def build(*arguments):
    return subprocess.run([sys.executable, paths.ROOT / "images" / "build.py", "--binaries", paths.gitmoor_bin(), *map(str, arguments)],
                          capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    build("--output", folder)
    return folder


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    folder = tmp_path_factory.mktemp("roots") / "images"
    build("--rootfs", folder)
    return folder


@pytest.fixture(scope="module")
def layout(output):
    """path -> bytes of the OCI layout."""
    with tarfile.open(output / "images.tar") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def blob(layout, descriptor):
    data = layout["blobs/" + descriptor["digest"].replace(":", "/")]
    assert len(data) == descriptor["size"] and "sha256:" + hashlib.sha256(data).hexdigest() == descriptor["digest"]
    return data


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]


@pytest.mark.parametrize("image", IMAGES)
def test_a_program_that_is_not_used_is_not_there(roots, image):
    """No shell, no package manager; the loader is the only other thing that can be run."""
    executables = {path.name for path in files(roots / image) if os.access(path, os.X_OK) and ".so" not in path.name}
    assert executables == IMAGES[image]


def test_the_differ_has_the_time_zones_and_only_those(roots):
    zones = roots / "differ" / "usr" / "share" / "zoneinfo"
    assert {"Berlin", "Kyiv"} <= {path.name for path in (zones / "Europe").iterdir()} and (zones / "UTC").exists()
    assert not (zones / "right").exists() and not (zones / "posix").exists()
    assert all(path.read_bytes().startswith(b"TZif") for path in files(zones))
    assert not (roots / "applier" / "usr" / "share" / "zoneinfo").exists()


@pytest.mark.parametrize("image", IMAGES)
def test_it_runs_with_what_is_there(roots, image):
    null = roots / image / "dev" / "null"
    null.touch()  # a container has it; ssh wants it
    for program in IMAGES[image]:
        option, name = VERSION_OF.get(program, ("--version", program.split("-")[0]))
        done = subprocess.run(["unshare", "--user", "--map-root-user", "chroot", roots / image, f"/usr/bin/{program}", option],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0 and name in done.stdout + done.stderr, done.stderr
    null.unlink()


@pytest.mark.parametrize("image", IMAGES)
def test_the_layout_says_how_to_run_it(layout, image):
    index = json.loads(layout["index.json"])
    (descriptor,) = [each for each in index["manifests"] if f"/{image}:" in each["annotations"]["io.containerd.image.name"]]
    manifest = json.loads(blob(layout, descriptor))
    config = json.loads(blob(layout, manifest["config"]))
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Entrypoint"] == [f"/usr/bin/{'gitmoor' if image == 'cli' else 'gitmoor-' + image}"]
    diffs = ["sha256:" + hashlib.sha256(gzip.decompress(blob(layout, each))).hexdigest() for each in manifest["layers"]]
    assert diffs == config["rootfs"]["diff_ids"]


def test_what_all_share_is_stored_once(layout):
    manifests = [json.loads(blob(layout, each)) for each in json.loads(layout["index.json"])["manifests"]]
    assert len({manifest["layers"][0]["digest"] for manifest in manifests}) == 1
    assert len({manifest["layers"][1]["digest"] for manifest in manifests}) == len(IMAGES)


def test_two_builds_make_the_same_bytes(output, tmp_path):
    build("--output", tmp_path)
    for name in ("images.tar", "fetcher.spdx.json", "images.json"):
        assert (tmp_path / name).read_bytes() == (output / name).read_bytes(), name


def test_small(output):
    """About a quarter more than ADR 4 found is an alarm; and the programs that build, which two images have and one layer holds."""
    sizes = json.loads((output / "images.json").read_text())
    tools = 45e6  # Kustomize, Helm and SOPS: 41 MB
    assert all(sizes[image]["compressed"] < 13e6 + (tools if TOOLS & IMAGES[image] else 0) for image in IMAGES)
    assert sizes["all"]["compressed"] < 19e6 + tools


@pytest.mark.parametrize("image", IMAGES)
def test_the_bill_of_materials_names_every_file_and_its_package(roots, output, image):
    document = json.loads((output / f"{image}.spdx.json").read_text())
    inside = json.loads((roots / image / "usr/share/gitmoor" / f"{image}.spdx.json").read_text())
    assert document["files"] == inside["files"]
    told = {each["fileName"].removeprefix("./"): {sum_["algorithm"]: sum_["checksumValue"] for sum_ in each["checksums"]}
            for each in document["files"]}
    for path in files(roots / image):
        name = str(path.relative_to(roots / image))
        if not name.endswith(".spdx.json"):
            assert told.pop(name)["SHA256"] == hashlib.sha256(path.read_bytes()).hexdigest(), name
    assert not told
    identifiers = {each["SPDXID"]: each["fileName"] for each in document["files"]}
    of_image = {identifiers[each["relatedSpdxElement"]] for each in document["relationships"]
                if each["spdxElementId"] == "SPDXRef-Image" and each["relatedSpdxElement"] in identifiers}
    assert not [name for name in of_image if ".so" in name], "every library is from a package"
    locators = [package["externalRefs"][0]["referenceLocator"] for package in document["packages"] if "externalRefs" in package]
    for needed in ("libc6", "libyaml-0-2"):
        assert any(re.fullmatch(rf"pkg:deb/debian/{needed}@[^ ]+\?arch=[a-z0-9]+", locator) for locator in locators), needed
    linked = any("/libarchive-dev@" in locator for locator in locators)
    assert linked == (image == "fetcher"), "what is linked into a program is named too"


def test_a_program_that_is_missing_is_named(tmp_path):
    done = subprocess.run([sys.executable, paths.ROOT / "images" / "build.py", "--binaries", tmp_path, "--output", tmp_path, "differ"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "gitmoor-differ" in done.stderr and "Traceback" not in done.stderr


def test_the_containerfile_has_a_target_for_each_image_and_names_no_registry():
    text = (paths.ROOT / "images" / "Containerfile").read_text()
    assert set(re.findall(r"^FROM scratch AS (\w+)$", text, re.MULTILINE)) == set(IMAGES)
    assert re.findall(r"^FROM (\S+) AS build", text, re.MULTILINE) == ["debian:13"]
    for image in IMAGES:
        stage = text.split(f"AS {image}\n")[1].split("FROM")[0]
        program = "gitmoor" if image == "cli" else f"gitmoor-{image}"
        assert f'ENTRYPOINT ["/usr/bin/{program}"]' in stage and "USER 65532:65532" in stage and f"/images/{image} /" in stage
