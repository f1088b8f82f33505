"""The version before this one: its chart and its programs, built from the history, for upgrades from it.

Nothing has been released yet, so it is a commit: what main was at the end of a working session before the last change of the bus, the
plans and the CRDs, and after a stopping admission has learned to end its connections with an answer (b6a1a33): an upgrade from one
that may lose a review as it stops says nothing of this one. From the first release on, let it be the newest tag.
"""
import fcntl
import os
import shutil
import subprocess

from . import paths

COMMIT = "64e3c706c75a"
VERSION = "0.0.9"  # of its chart, whatever it called itself
TAG = "previous"   # of its images
PROGRAMS = ("gitmoor", "gitmoor-fetcher", "gitmoor-differ", "gitmoor-applier", "gitmoor-admission")


def run(*words, cwd=None, **options):
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {(done.stderr or done.stdout).decode(errors='replace')[-3000:]}")
    return done.stdout


def source():
    """Its source tree, in the cache. Needs the history: a shallow clone lacks it (git fetch --unshallow)."""
    folder = paths.cache() / "previous" / COMMIT
    if not (folder / "CMakeLists.txt").exists():
        archive = run("git", "archive", COMMIT, cwd=paths.ROOT)
        scratch = folder.with_name(f"{COMMIT}.{os.getpid()}")
        scratch.mkdir(parents=True)
        run("tar", "x", "-C", scratch, input=archive)
        scratch.rename(folder)
    return folder


def binaries():
    """The folder with its programs; built once for each machine (minutes)."""
    folder = source()
    with open(folder.with_suffix(".lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all((folder / "build" / "release" / "bin" / name).exists() for name in PROGRAMS):
            launcher = {"CMAKE_C_COMPILER_LAUNCHER": "ccache"} if shutil.which("ccache") else {}
            run("cmake", "--preset", "release", cwd=folder, env={**os.environ, **launcher})
            run("cmake", "--build", "--preset", "release", "--target", *PROGRAMS, cwd=folder)
    return folder / "build" / "release" / "bin"


def chart(folder):
    """Its chart as a package, from a registry say."""
    run(paths.control_plane("helm"), "package", source() / "charts" / "gitmoor", "--version", VERSION, "--destination", folder)
    return folder / f"gitmoor-{VERSION}.tgz"
