"""docs/walk.md, run as it stands: its files are written, its commands are run in one shell, what it shows is compared."""
import os
import shutil
import tempfile
from pathlib import Path

import pytest

from harness import paths, sops
from harness.page import Page, Shell

# What makes keys where Debian's package age is not installed: the tests' own keys, one after the other.
KEYGEN = """#!/bin/sh
case $1 in
-o) n=$(ls "$KEYS/made" | wc -l); touch "$KEYS/made/$n"; cp "$KEYS/$n" "$2" ;;
-y) sed -n 's/^# public key: //p' "$2" ;;
esac
"""


@pytest.fixture
def shell(cluster, gitmoor, git_server):
    """With what `. .dev/env` sets, and with programs that scripts/setup brings."""
    folder = Path(tempfile.mkdtemp(prefix="gm-walk-", dir="/tmp"))
    programs = [str(paths.gitmoor_bin()), str(paths.cache() / "bin")]
    if not shutil.which("age-keygen"):
        (folder / "made").mkdir()
        for number, name in enumerate(sops.AGE):
            (folder / str(number)).write_text(sops.identity(name))
        (folder / "bin").mkdir()
        (folder / "bin" / "age-keygen").write_text(KEYGEN)
        (folder / "bin" / "age-keygen").chmod(0o700)
        programs.append(str(folder / "bin"))
    running = Shell(folder, {
        **os.environ, "PATH": ":".join([*programs, os.environ["PATH"]]), "KEYS": str(folder), "TMPDIR": str(folder),
        "KUBECONFIG": str(cluster.kubeconfig()), "GITMOOR_GIT_ROOT": str(git_server.root), "GITMOOR_SAMPLE_CA": str(git_server.ca_file),
        "GITMOOR_SAMPLE_URL": git_server.url("shop"), "GITMOOR_APPLIER": gitmoor.applier_user, "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0"})
    yield running
    running.close()
    shutil.rmtree(folder, ignore_errors=True)


def test_each_step_does_what_the_page_says(shell):
    page = Page("walk.md")
    assert page.run(shell, [block for block in page.blocks if block.rest != "setup"]) > 10


def test_each_block_of_the_page_is_one_that_the_test_knows():
    page = Page("walk.md")
    assert page.is_understood()
    assert {(block.kind, block.rest if block.kind == "sh" else bool(block.rest)) for block in page.blocks} == {
        ("sh", ""), ("sh", "setup"), ("sh", "fails"), ("yaml", True), ("text", False)}
