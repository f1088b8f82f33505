"""Certificates for test servers, made with the openssl command (no Python package needed)."""
import subprocess
from pathlib import Path


def _openssl(*arguments):
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr.strip()}")


class Authority:
    """A certificate authority in a folder: ca.crt, ca.key, and what it issued."""

    def __init__(self, folder: Path, name="test"):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = self.folder / "ca.crt"
        self.key = self.folder / "ca.key"
        if not self.certificate.exists():
            _openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                     "-nodes", "-days", "30", "-subj", f"/CN={name} CA",
                     "-addext", "keyUsage=critical,keyCertSign,cRLSign",
                     "-keyout", str(self.key), "-out", str(self.certificate))

    def issue(self, name, hosts=("127.0.0.1", "localhost"), days=30, usage="serverAuth"):
        """A server certificate for these hosts (or a client certificate, with usage); returns the paths (certificate, key)."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        names = ",".join(("IP:" if host[0].isdigit() else "DNS:") + host for host in hosts)
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage={usage}\n"
                              "basicConstraints=CA:FALSE\n")
        request = self.folder / f"{name}.csr"
        _openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                 "-subj", f"/CN={name}", "-keyout", str(key), "-out", str(request))
        _openssl("x509", "-req", "-in", str(request), "-CA", str(self.certificate),
                 "-CAkey", str(self.key), "-CAcreateserial", "-days", str(days),
                 "-extfile", str(extensions), "-out", str(certificate))
        return certificate, key
