"""Where things are: the source tree, the cache, the programs."""
import os
import shutil
from pathlib import Path

HARNESS = Path(__file__).resolve().parent
ROOT = HARNESS.parents[2]


def cache() -> Path:
    """The folder outside the source tree that keeps what was built or installed for Gitmoor."""
    named = os.environ.get("GITMOOR_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitmoor"


def control_plane(program: str) -> str:
    """kube-apiserver, etcd, kubectl …: KUBEBUILDER_ASSETS first, then the cache, then the PATH."""
    for folder in (os.environ.get("KUBEBUILDER_ASSETS"), cache() / "bin"):
        if folder and os.access(Path(folder) / program, os.X_OK):
            return str(Path(folder) / program)
    found = shutil.which(program)
    if found:
        return found
    raise FileNotFoundError(f"{program} is neither in KUBEBUILDER_ASSETS nor in {cache() / 'bin'}"
                            " nor on the PATH; run scripts/setup, which builds it")


def gitmoor_bin() -> Path:
    """The folder with gitmoor-fetcher and the others: GITMOOR_BIN, or the release build."""
    return Path(os.environ.get("GITMOOR_BIN") or ROOT / "build" / "release" / "bin")
