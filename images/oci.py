"""An OCI image layout in one tar file, as `ctr images import`, `podman load` and `skopeo` take it. Two runs make the same bytes."""
import gzip
import hashlib
import io
import json
import tarfile


def layer(entries, epoch):
    """The tar of some entries, and gzipped."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in sorted(entries.items()):
            member = tarfile.TarInfo(path + ("/" if entry.kind == "directory" else ""))
            member.mode, member.mtime = entry.mode, epoch
            if entry.kind == "directory":
                member.type = tarfile.DIRTYPE
            elif entry.kind == "link":
                member.type, member.linkname = tarfile.SYMTYPE, entry.target
            else:
                member.size = len(entry.content)
            archive.addfile(member, io.BytesIO(entry.content) if entry.kind == "file" else None)
    return plain.getvalue(), gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """add_image() as often as needed, then write(FILE)."""

    def __init__(self, epoch, created, architecture):
        self.epoch, self.created, self.architecture = epoch, created, architecture
        self.blobs, self.manifests, self.layers = {}, [], {}
        self._made = []  # (entries, descriptor, digest of the plain tar)

    def _blob(self, data, media_type):
        digest = sha256(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def _layer(self, entries):
        """The same entries make one blob, however many images have them."""
        for known, descriptor, diff in self._made:
            if known is entries:
                return descriptor, diff
        plain, packed = layer(entries, self.epoch)
        descriptor = self._blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip")
        self.layers[descriptor["digest"]] = len(plain)
        self._made.append((entries, descriptor, sha256(plain)))
        return descriptor, sha256(plain)

    def add_image(self, name, layers, config):
        """`layers`: dicts of entries, the lowest first. Returns (compressed, uncompressed) bytes and the digest of the manifest."""
        made = [self._layer(entries) for entries in layers if entries]
        document = {"architecture": self.architecture, "os": "linux", "created": self.created, "config": config,
                    "rootfs": {"type": "layers", "diff_ids": [diff for _, diff in made]},
                    "history": [{"created": self.created, "created_by": "images/build.py"} for _ in made]}
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": self._blob(encode(document), "application/vnd.oci.image.config.v1+json"),
                    "layers": [descriptor for descriptor, _ in made]}
        descriptor = self._blob(encode(manifest), "application/vnd.oci.image.manifest.v1+json")
        descriptor["platform"] = {"architecture": self.architecture, "os": "linux"}
        descriptor["annotations"] = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}
        self.manifests.append(descriptor)
        packed = sum(descriptor["size"] for descriptor, _ in made)
        plain = sum(self.layers[descriptor["digest"]] for descriptor, _ in made)
        return packed, plain, descriptor["digest"]

    def write(self, file):
        members = {"oci-layout": encode({"imageLayoutVersion": "1.0.0"}),
                   "index.json": encode({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
                                         "manifests": self.manifests})}
        members |= {"blobs/" + digest.replace(":", "/"): data for digest, data in self.blobs.items()}
        with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as archive:
            for name, data in sorted(members.items()):
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(data), self.epoch
                archive.addfile(member, io.BytesIO(data))


def encode(document):
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
