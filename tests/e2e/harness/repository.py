"""A Git repository with a working copy, for committing and pushing as a user does."""
import os
import shutil
import subprocess
from pathlib import Path

_WHO = {"GIT_AUTHOR_NAME": "E2E", "GIT_AUTHOR_EMAIL": "e2e@example.org", "GIT_COMMITTER_NAME": "E2E",
        "GIT_COMMITTER_EMAIL": "e2e@example.org", "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}


class Repository:
    """Made by Repository.create(server, folder, name): a bare repository on the server, cloned into folder/name."""

    def __init__(self, folder: Path, url, ca_file, push_url=None):
        self.folder, self.url, self.ca_file = Path(folder), url, ca_file
        self.push_url = push_url or url

    @classmethod
    def create(cls, server, folder: Path, name):
        """push goes to the bare repository's folder directly, so that server faults do not hinder it."""
        bare = server.create(name)
        repository = cls(Path(folder) / name, server.url(name), server.ca_file, push_url=str(bare))
        shutil.rmtree(repository.folder, ignore_errors=True)
        repository.folder.mkdir(parents=True)
        repository.git("-c", "init.defaultBranch=main", "init", "-q")
        repository.git("remote", "add", "origin", repository.push_url)
        return repository

    def git(self, *arguments, check=True):
        """git in the working copy; returns its standard output without the last newline."""
        done = subprocess.run(["git", "-C", str(self.folder), *map(str, arguments)], capture_output=True, text=True,
                              check=False, env={**os.environ, **_WHO, "GIT_SSL_CAINFO": str(self.ca_file)})
        if check and done.returncode:
            raise RuntimeError(f"git {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout.rstrip("\n")

    def write(self, files):
        """files: path -> text or bytes; None removes the file."""
        for path, content in files.items():
            target = self.folder / path
            if content is None:
                target.unlink()
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                target.write_bytes(content)
            else:
                target.write_text(content)

    def commit(self, files=None, message="change", push=True, force=False):
        """Write the files, commit everything, push; returns the commit id."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        if push:
            self.push(force=force)
        return self.head()

    def push(self, branch="main", force=False):
        self.git("push", "-q", *(["--force"] if force else []), "origin", f"HEAD:refs/heads/{branch}")

    def without_deltas(self):
        """Neither client nor server of git compresses big random files or searches them for deltas, which takes half a minute."""
        for folder in (self.folder, self.push_url):
            for setting, value in (("bigFileThreshold", "1m"), ("compression", "0")):
                subprocess.run(["git", "-C", folder, "config", f"core.{setting}", value], check=True)

    def revert(self):
        """git revert of the last commit, pushed; returns the new commit."""
        self.git("revert", "--no-edit", "HEAD")
        self.push()
        return self.head()

    def rewrite(self, files, message="rewritten"):
        """Replace the last commit by another one and push by force."""
        self.git("reset", "-q", "--hard", "HEAD~1")
        return self.commit(files, message, force=True)

    def head(self):
        return self.git("rev-parse", "HEAD")

    def revision(self, branch="main"):
        """As Gitmoor writes it in status: main@sha1:…"""
        return f"{branch}@sha1:{self.head()}"
