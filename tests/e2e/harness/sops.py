"""SOPS as people use it: keys, and files encrypted for them. The keys are the tests' own and open nothing else."""
import os
import subprocess
import tempfile
from pathlib import Path

from . import paths

# As `age-keygen` makes them: public key and identity.
AGE = {
    "first": ("age1rxhx0j8hdsman3eg5r53m900647epjxan4q7ed0a0nn5x0jsqsfsj8a3tg",
              "AGE-SECRET-KEY-1YD5J3VAPFQ452QWCTTZCRHFEPAN9M4TS7JYJ868PNH9TYJ9U2A8STPER9J"),
    "second": ("age1pq7f70sldz27elnxmwekfvzq4cjpfkft8ljwldvg5pedp9r69aasmtnce6", "AGE-SECRET-KEY-1T8A07C3ZM6K83PFP2R5032GFGRXX5QVDZAD7SYMYG6M5X2GED4AQMAMDJV"),
}
ONLY_DATA = "^(data|stringData)$"


def identity(name):
    """What `age-keygen -o FILE` writes."""
    return f"# created: 2026-11-24T13:08:12Z\n# public key: {AGE[name][0]}\n{AGE[name][1]}\n"


def _sops(*arguments, text, environment=None):
    return subprocess.run([paths.control_plane("sops"), *arguments], input=text, capture_output=True, check=True, timeout=120,
                          env={**os.environ, **(environment or {})}).stdout


def encrypt(text, name="secret.yaml", to=("first",), regex=ONLY_DATA, openpgp=(), home=None):
    """The text as a file of that name would be: `to` names keys of AGE, `openpgp` fingerprints in GnuPG's directory `home`."""
    recipients = ["--age", ",".join(AGE[key][0] for key in to)] if to else []
    recipients += ["--pgp", ",".join(openpgp)] if openpgp else []
    only = ["--encrypted-regex", regex] if regex and name.endswith((".yaml", ".json")) else []
    data = text.encode() if isinstance(text, str) else text
    environment = {"GNUPGHOME": str(home)} if home else None
    return _sops("encrypt", *recipients, *only, "--filename-override", name, text=data, environment=environment).decode()


class OpenPgp:
    """A private key of GnuPG, in a directory of its own with a short name; fingerprint and armoured text."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="gpg-", dir="/tmp")
        self.home = Path(self.folder.name)
        self._gpg("--quick-generate-key", "Shop <shop@example.org>", "default", "default", "never")
        listing = self._gpg("--list-secret-keys", "--with-colons")
        self.fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
        self.private = self._gpg("--export-secret-keys", "--armor", self.fingerprint)

    def _gpg(self, *arguments):
        return subprocess.run(["gpg", "--homedir", self.home, "--batch", "--quiet", "--passphrase", "", "--pinentry-mode", "loopback",
                               *arguments], capture_output=True, text=True, check=True, timeout=120).stdout

    def close(self):
        subprocess.run(["gpgconf", "--homedir", self.home, "--kill", "all"], check=False, timeout=60)
        self.folder.cleanup()
