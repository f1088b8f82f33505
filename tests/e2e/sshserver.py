"""A Git server over SSH on loopback: `git-upload-pack` behind an SSH server that knows deploy keys, as a Git host has it."""
import asyncio
import re
import threading
from pathlib import Path

import asyncssh

from harness import ports


class _Connection(asyncssh.SSHServer):
    def __init__(self, owner):
        self.owner = owner

    def begin_auth(self, username):
        self.owner.users.append(username)
        return True

    def public_key_auth_supported(self):
        return True

    def validate_public_key(self, username, key):
        return username == "git" and key.public_data in self.owner.authorized


class SshServer:
    """Serves the bare repositories of `root`. authorize(PUBLIC KEY FILE); use_host_key("other"); stop()."""

    def __init__(self, root: Path):
        self.root = Path(root)
        self.users, self.commands, self.authorized = [], [], set()
        self.hang = False
        self.host_keys = {name: asyncssh.generate_private_key("ssh-ed25519") for name in ("good", "other")}
        self.loop = asyncio.new_event_loop()
        self.port = ports.free()[0]  # the same one again when the host key changes
        self._listener = None
        self._closing = []
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def start(self):
        self._thread.start()
        self._run(self._listen("good"))
        return self

    def stop(self):
        self._run(self._close())
        self._run(self._end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def authorize(self, public_key: Path):
        self.authorized.add(asyncssh.read_public_key(str(public_key)).public_data)

    def use_host_key(self, name):
        self._run(self._close())
        self._run(self._listen(name))

    def url(self, name, user="git@"):
        return f"ssh://{user}127.0.0.1:{self.port}/{name}.git"

    def known_hosts(self, name="good"):
        return f"[127.0.0.1]:{self.port} {self.host_keys[name].export_public_key().decode()}"

    def _run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    async def _listen(self, host_key):
        self._listener = await asyncssh.listen("127.0.0.1", self.port, server_host_keys=[self.host_keys[host_key]], encoding=None,
                                               server_factory=lambda: _Connection(self), process_factory=self._serve)

    async def _close(self):
        self._listener.close()
        await self._listener.wait_closed()

    async def _end(self):
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _serve(self, process):
        self.commands.append(process.command)
        # A task of its own: a connection that ends cancels this one, and what closes its pipes would never be awaited.
        self._closing.append(asyncio.ensure_future(process.wait_closed()))
        process.exit(await self._answer(process))

    async def _answer(self, process):
        """Serves the command; returns its exit status."""
        match = re.fullmatch(r"git-upload-pack '/([\w.-]+)\.git'", process.command or "")
        bare = self.root / f"{match.group(1)}.git" if match else None
        if self.hang:
            await process.stdin.read()  # until the client goes
            return 1
        if not bare or not bare.is_dir():
            process.stderr.write(b"ERROR: Repository not found.\n")
            return 1
        child = await asyncio.create_subprocess_exec("git", "upload-pack", str(bare), stdin=asyncio.subprocess.PIPE,
                                                     stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE)
        await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        await process.stdout.drain()
        return await child.wait()
