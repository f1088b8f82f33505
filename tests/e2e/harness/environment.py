"""Everything at once: a control plane, a Git server, the four processes and the sample repository.

scripts/dev keeps one in .dev/ as daemons; scripts/demo and scripts/bench hold one for as long as they run.
"""
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

from . import paths, ports, sample
from .cluster import Cluster
from .moor import Moor
from .process import Process, end_daemon
from .repository import Repository
from .waiting import wait_for


class Environment:
    """start() and stop(). Attributes: cluster, moor, repository (once started), git (a Process)."""

    def __init__(self, folder: Path, daemon=False, cluster=None):
        self.folder, self.daemon = Path(folder), daemon
        self.cluster = cluster or Cluster(self.folder / "cluster", daemon=daemon)
        self.own_cluster = cluster is None
        self.git = self.moor = self.repository = None
        self.git_port = None

    def start_cluster(self):
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self.cluster.start()

    def start_git(self, name="shop"):
        """The Git server with the sample repository, one commit in it."""
        root = self.folder / "git"
        (self.git_port,) = ports.free()
        self.git = Process("gitserver", [sys.executable, paths.HARNESS.parent / "gitserver.py", "--root", root,
                                         "--port", self.git_port, "--create", name], self.folder, daemon=self.daemon)
        self.git.start()
        wait_for(lambda: "serving" in self.git.log.read_text() or not self.git.alive(), what="the Git server")
        self.repository = SampleRepository(self.folder / name, f"https://127.0.0.1:{self.git_port}/{name}.git",
                                           root / "pki" / "ca.crt", push_url=str(root / "repositories" / f"{name}.git"))
        self.repository.begin()
        return self.repository

    def start_moor(self, **options):
        self.moor = Moor(self.cluster, self.folder / "moor", daemon=self.daemon, bus=bus_folder(), **options)
        return self.moor.start()

    def moor_sample(self, **spec):
        """The namespace, the GitRepository and the Application of the sample."""
        api = self.cluster.api()
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": sample.NAMESPACE}})
        api.apply(sample.ca_secret(sample.NAMESPACE, "git", self.repository.ca_file))
        api.apply(sample.git_repository(sample.NAMESPACE, "shop", self.repository.url, interval="2s", secret="git"))
        api.apply(sample.application(sample.NAMESPACE, "shop", "shop", **spec))

    def stop(self):
        """The processes first, the control plane last; then the folder goes."""
        statuses = self.moor.stop() if self.moor else {}
        if self.moor:
            shutil.rmtree(self.moor.bus, ignore_errors=True)
        if self.git:
            self.git.stop()
        if self.own_cluster:
            self.cluster.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        return statuses


class SampleRepository(Repository):
    """A repository whose bare side another process made."""

    def begin(self):
        self.folder.mkdir(parents=True)
        self.git("-c", "init.defaultBranch=main", "init", "-q")
        self.git("config", "user.name", "Developer")
        self.git("config", "user.email", "developer@example.org")
        self.git("remote", "add", "origin", self.push_url)
        self.commit(sample.files(), "The shop")
        self.git("branch", "-q", "--set-upstream-to=origin/main")


def bus_folder():
    """A folder with a short path for Unix sockets."""
    return Path(tempfile.mkdtemp(prefix="gm-bus-"))


# ------------------------------------------------------------------------------- scripts/dev

def dev_folder():
    return paths.ROOT / ".dev"


def dev_up():
    folder = dev_folder()
    if running(folder):
        raise SystemExit("scripts/dev is up already; scripts/dev status shows it, scripts/dev down ends it")
    shutil.rmtree(folder, ignore_errors=True)
    environment = Environment(folder, daemon=True)
    try:
        environment.start_cluster()
        environment.start_git()
        environment.start_moor()
        environment.moor_sample()
    except BaseException:
        if environment.moor:
            print(environment.moor.logs(), file=sys.stderr)
        environment.stop()
        raise
    write_env(environment)


def write_env(environment):
    """.dev/env, for `. .dev/env`."""
    moor, repository = environment.moor, environment.repository
    values = {
        "KUBECONFIG": environment.cluster.kubeconfig(), "GITMOOR_KUBECTL": paths.control_plane("kubectl"),
        "GITMOOR_BIN": moor.binaries, "GITMOOR_APPLIER": moor.applier_user,
        "GITMOOR_SAMPLE_URL": repository.url, "GITMOOR_SAMPLE_DIR": repository.folder, "GITMOOR_SAMPLE_CA": repository.ca_file,
        "GITMOOR_GIT_ROOT": Path(repository.push_url).parent,
        "GITMOOR_BUS": moor.bus, "GITMOOR_WEBHOOK": f"https://{moor.webhook_host}:{moor.webhook_port}",
        **{f"GITMOOR_{name.upper()}_HTTP": f"http://127.0.0.1:{port}" for name, port in moor.listen.items()},
    }
    lines = [f"export {name}={shlex.quote(str(value))}" for name, value in values.items()]
    lines.append(f"export PATH={shlex.quote(str(moor.binaries))}:{shlex.quote(str(paths.cache() / 'bin'))}:\"$PATH\"")
    (environment.folder / "env").write_text("\n".join(lines) + "\n")


def pid_files(folder):
    """The processes first, the control plane last."""
    def rank(path):
        return ("gitmoor-", "gitserver", "node", "kube-controller-manager", "kube-apiserver", "etcd").index(
            "gitmoor-" if path.name.startswith("gitmoor-") else path.stem)
    return sorted(folder.glob("**/*.pid"), key=rank)


def running(folder):
    """name -> pid of the daemons that are there."""
    found = {}
    for file in pid_files(folder):
        try:
            pid = int(file.read_text())
            if str(folder) in Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace"):
                found[file.stem] = pid
        except (OSError, ValueError):
            continue
    return found


def dev_down():
    folder = dev_folder()
    if not folder.exists():
        return 0
    ended = sum(end_daemon(file, str(folder)) for file in pid_files(folder))
    env = folder / "env"
    if env.exists():
        for line in env.read_text().splitlines():
            name, _, value = line.removeprefix("export ").partition("=")
            if name == "GITMOOR_BUS":
                shutil.rmtree(shlex.split(value)[0], ignore_errors=True)
    shutil.rmtree(folder)
    return ended


def dev_status():
    """Prints the daemons; returns whether all that were started are alive."""
    folder = dev_folder()
    alive, files = running(folder), pid_files(folder)
    if not files:
        print("down")
        return False
    for file in files:
        print(f"{file.stem:24} {'pid ' + str(alive[file.stem]) if file.stem in alive else 'ended; see ' + str(file.with_suffix('.log'))}")
    return len(alive) == len(files)


def main(arguments):
    verb = arguments[0] if arguments else ""
    if verb == "up":
        dev_up()
    elif verb == "down":
        print(f"ended {dev_down()} processes")
    elif verb == "status":
        return 0 if dev_status() else 1
    else:
        raise SystemExit("usage: scripts/dev up|down|status")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
