"""docs/walk.md, run as it stands: its files are written, its commands are run in one shell, what it shows is compared."""
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from harness import paths, sops
from harness.waiting import wait_for

PAGE = paths.ROOT / "docs" / "walk.md"
BLOCK = re.compile(r"^```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
STEP_SECONDS = 300

# What makes keys where Debian's package age is not installed: the tests' own keys, one after the other.
KEYGEN = """#!/bin/sh
case $1 in
-o) n=$(ls "$KEYS/made" | wc -l); touch "$KEYS/made/$n"; cp "$KEYS/$n" "$2" ;;
-y) sed -n 's/^# public key: //p' "$2" ;;
esac
"""


def blocks():
    """(line, kind, rest of the first line, text) of each fenced block of the page."""
    text = PAGE.read_text()
    return [(text[:found.start()].count("\n") + 1, *found.groups()) for found in BLOCK.finditer(text)]


def matcher(line):
    """A line that is shown, as a pattern: … stands for any text."""
    return re.compile(".*".join(re.escape(part) for part in line.split("…")))


class Shell:
    """One shell, block after block; it ends with the first command that fails."""

    def __init__(self, folder, environment):
        self.file = folder / "output"
        self.output = open(self.file, "wb+")
        self.shell = subprocess.Popen(["bash", "-e"], stdin=subprocess.PIPE, stdout=self.output, stderr=self.output, cwd=folder,
                                      env=environment, start_new_session=True)

    def run(self, text, fails=False):
        """What the commands printed, standard error included."""
        start, done = self.file.stat().st_size, f"--- done {os.urandom(4).hex()}\n"
        if fails:
            text = f"if\n{text}then echo 'this was to fail'; exit 1\nfi\n"
        self.shell.stdin.write(f"{text}echo '{done[:-1]}'\n".encode())
        self.shell.stdin.flush()
        with open(self.file, "rb") as file:
            file.seek(start)
            return self._until(file, done)

    def _until(self, file, done):
        """Polled, since it is a file: what a command leaves running may keep a pipe open."""
        said = []

        def ended():
            said.append(file.read().decode(errors="replace"))
            return "".join(said).endswith(done) or self.shell.poll() is not None
        wait_for(ended, STEP_SECONDS, "the commands end", every=0.05)
        said.append(file.read().decode(errors="replace"))
        text = "".join(said)
        assert text.endswith(done), f"a command failed:\n{text}"
        return text[:-len(done)]

    def directory(self):
        return Path(os.readlink(f"/proc/{self.shell.pid}/cwd"))

    def close(self):
        self.shell.kill()
        self.shell.wait()
        self.output.close()


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
    said, ran = "", 0
    for line, kind, rest, text in blocks():
        where = f"docs/walk.md:{line}"
        if kind == "yaml":
            file = shell.directory() / rest
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        elif kind == "sh" and rest != "setup":
            try:
                said = shell.run(text, fails=rest == "fails")
            except AssertionError as error:
                raise AssertionError(f"{where}: {error}") from None
            ran += 1
        elif kind == "text":
            for shown in text.splitlines():
                assert any(matcher(shown).fullmatch(found) for found in said.splitlines()), f"{where}: {shown!r} is not in\n{said}"
    assert ran > 10


def test_each_block_of_the_page_is_one_that_the_test_knows():
    assert PAGE.read_text().count("```") == 2 * len(blocks())
    assert {(kind, rest if kind == "sh" else bool(rest)) for _, kind, rest, _ in blocks()} == {
        ("sh", ""), ("sh", "setup"), ("sh", "fails"), ("yaml", True), ("text", False)}
