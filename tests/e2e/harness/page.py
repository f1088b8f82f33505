"""Pages of docs/ that are run as they stand: files are written, commands are run in one shell, what is shown is compared."""
import os
import re
import subprocess
from pathlib import Path

from . import paths
from .waiting import wait_for

BLOCK = re.compile(r"^```(\S*) ?(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
STEP_SECONDS = 300


class Block:
    """A fenced block: where it is, "sh", "yaml" or "text", the words after that, and what is in it."""

    def __init__(self, page, line, kind, rest, text):
        self.where, self.kind, self.rest, self.words, self.text = f"docs/{page}:{line}", kind, rest, rest.split(), text


class Page:
    def __init__(self, name):
        self.name = name
        self.text = (paths.ROOT / "docs" / name).read_text()
        self.blocks = [Block(name, self.text[:found.start()].count("\n") + 1, *found.groups()) for found in BLOCK.finditer(self.text)]

    def is_understood(self):
        """Whether each fence is part of a block."""
        return self.text.count("```") == 2 * len(self.blocks)

    def run(self, shell, blocks=None):
        """Writes the files and runs the commands of these blocks (default: all), in order; returns how many of the latter."""
        said, ran = "", 0
        for block in self.blocks if blocks is None else blocks:
            if block.kind == "yaml":
                file = shell.directory() / block.rest
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text)
            elif block.kind == "sh":
                try:
                    said = shell.run(block.text, fails="fails" in block.words)
                except AssertionError as error:
                    raise AssertionError(f"{block.where}: {error}") from None
                ran += 1
            elif block.kind == "text":
                for shown in block.text.splitlines():
                    assert any(_matcher(shown).fullmatch(found) for found in said.splitlines()), \
                        f"{block.where}: {shown!r} is not in\n{said}"
        return ran


def _matcher(line):
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
