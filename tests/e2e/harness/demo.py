"""scripts/demo: Gitmoor step by step, with times. Leaves nothing behind."""
import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from . import sample
from .api import ApiError
from .environment import Environment
from .existing import ExistingCluster
from .mooring import Mooring
from .waiting import wait_for


class Story:
    """Prints steps with the time since the start, and how long each took."""

    def __init__(self):
        self.began = time.monotonic()
        self.bold, self.plain = ("\033[1m", "\033[0m") if sys.stdout.isatty() else ("", "")

    def step(self, text):
        print(f"\n{self.bold}[{time.monotonic() - self.began:5.1f} s] {text}{self.plain}", flush=True)

    @staticmethod
    def show(text):
        for line in str(text).rstrip("\n").splitlines():
            print(f"    {line}", flush=True)

    def after(self, start, text):
        self.show(f"{text}: {1000 * (time.monotonic() - start):.0f} ms")


class Demo:
    def __init__(self, environment, namespace, foreign):
        self.story, self.environment, self.namespace, self.foreign = Story(), environment, namespace, foreign
        self.shop = self.repository = None

    @property
    def kubectl(self):
        return self.environment.cluster.kubectl

    def run(self):
        for chapter in (self.prepare, self.install, self.change, self.refuse, self.repair, self.bad, self.roll_back):
            chapter()
        self.story.step("That was it.")
        megabytes = {name: size / 1e6 for name, size in self.environment.moor.memory().items()}
        self.story.show("resident memory: " + ", ".join(f"{name} {size:.1f} MB" for name, size in megabytes.items())
                        + f"; together {sum(megabytes.values()):.1f} MB")

    def prepare(self):
        if self.foreign:
            self.story.step("The cluster of your kubeconfig gets Gitmoor's definitions and accounts")
        else:
            self.story.step("A control plane on this machine: etcd, kube-apiserver, kube-controller-manager")
        self.environment.start_cluster()
        self.story.step("A Git server over HTTPS, with a repository that holds a small shop")
        self.repository = self.environment.start_git()
        self.story.show("\n".join(sample.files()))
        self.story.step("The four processes: fetcher, differ, applier, admission")
        host = self.environment.cluster.own_address() if self.foreign else "127.0.0.1"
        self.environment.start_moor(webhook_host=host)

    def install(self):
        self.story.step("Two objects moor the shop to Git: a GitRepository (a URL) and an Application (a path)")
        api = self.environment.cluster.api()
        api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        # A real cluster cannot pull the sample's image, which does not exist.
        self.shop = Mooring(self.environment.cluster, self.namespace, self.repository, "shop", sample.PATH,
                            **({"health": {"wait": False}} if self.foreign else {}))
        start = time.monotonic()
        self.shop.make()
        self.shop.wait_applied()
        self.story.after(start, "from nothing to applied and healthy")
        self.story.show(self.kubectl("get", "application", "shop", "-n", self.namespace))
        self.story.show(self.kubectl("get", "configmap,service,deployment", "-n", self.namespace, "-l",
                                     f"gitmoor.io/managed-by={self.namespace}.shop", "-o", "name"))

    def change(self):
        self.story.step("A commit changes the banner")
        self.repository.commit(sample.files(banner="Summer sale"), "Summer sale", push=False)
        start = time.monotonic()
        self.repository.push()
        self.shop.nudge()
        wait_for(lambda: self.shop.config_map("settings")["banner"] == "Summer sale", every=0.005, what="the new banner")
        self.story.after(start, "from git push to live")
        self.shop.wait_applied()

    def refuse(self):
        self.story.step("Somebody edits it with kubectl")
        self.story.show("$ kubectl patch configmap settings --type=merge -p '{\"data\":{\"banner\":\"Hacked\"}}'")
        done = self.kubectl.run("patch", "-n", self.namespace, "configmap", "settings", "--type=merge", "-p",
                                '{"data":{"banner":"Hacked"}}')
        if done.returncode == 0:
            raise RuntimeError("the edit was let through")
        self.story.show(done.stderr)

    def repair(self):
        self.story.step("With protection: Off the edit goes through, and is repaired")
        api = self.environment.cluster.api()
        self.shop.set(protection="Off")

        def edited():
            try:
                return api.patch("ConfigMap", self.namespace, "settings", {"data": {"banner": "Hacked"}})
            except ApiError:
                return None

        wait_for(edited, what="the edit", every=0.02)
        start = time.monotonic()
        wait_for(lambda: self.shop.config_map("settings")["banner"] == "Summer sale", every=0.002, what="the repair")
        self.story.after(start, "from the edit to its repair")
        self.shop.set(protection="Enforce")

    def bad(self):
        self.story.step("A commit with two mistakes changes nothing, and all of them are told at once")
        files = sample.files(banner="Broken")
        files[f"{sample.PATH}/web.yaml"] = files[f"{sample.PATH}/web.yaml"].replace("containerPort: 8080", "containerPort: http")
        files[f"{sample.PATH}/service.yaml"] = files[f"{sample.PATH}/service.yaml"].replace("port: 80\n", "port: 80000\n")
        self.repository.commit(files, "Oops")
        self.shop.nudge()
        self.shop.wait_not_ready(reason="Invalid")
        for error in self.shop.status()["errors"]:
            self.story.show(f"{error['file']}:{error['line']}: {error['object']}: {error['message']}")
        self.story.show(f"the live banner is still {self.shop.config_map('settings')['banner']!r}")

    def roll_back(self):
        self.story.step("git revert, twice: back to the first banner")
        self.repository.git("revert", "--no-edit", "HEAD")
        self.repository.git("revert", "--no-edit", "HEAD~2")
        start = time.monotonic()
        self.repository.push()
        self.shop.nudge()
        wait_for(lambda: self.shop.config_map("settings")["banner"] == "Welcome", every=0.005, what="the first banner")
        self.story.after(start, "from git push to live")
        self.shop.wait_applied()
        self.story.show(self.kubectl("get", "application", "shop", "-n", self.namespace, "-o", "custom-columns="
                                     "REVISION:.status.history[*].revision").replace(",", "\n"))

    def clean_up(self):
        """On a foreign cluster: the demo's namespace, while the processes still answer for it."""
        if not self.foreign or not self.shop:
            return
        self.shop.set(protection="Off")
        self.shop.set(suspend=True)
        given = self.environment.cluster.given
        wait_for(lambda: given.run("delete", "namespace", self.namespace, "--ignore-not-found", "--timeout=120s").returncode == 0,
                 timeout=130, what="the demo's namespace deleted")


def main():
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Shows Gitmoor step by step; leaves nothing behind.")
    parser.add_argument("--kubeconfig", type=Path, metavar="FILE",
                        help="use this cluster (you need to be cluster-admin) instead of a control plane made for the demo")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = Path(tempfile.mkdtemp(prefix="gm-demo-"))
    cluster = ExistingCluster(options.kubeconfig, folder / "cluster") if options.kubeconfig else None
    environment = Environment(folder, cluster=cluster)
    demo = Demo(environment, "gitmoor-demo" if cluster else sample.NAMESPACE, foreign=bool(cluster))
    try:
        demo.run()
    except (AssertionError, RuntimeError) as error:
        print(f"\nscripts/demo: {error}", file=sys.stderr)
        if environment.moor:
            print(environment.moor.logs(), file=sys.stderr)
        return 1
    finally:
        try:
            demo.clean_up()
        finally:
            environment.stop()
            if cluster:
                cluster.stop()
            shutil.rmtree(folder, ignore_errors=True)
    print("Everything that was started or written for this has been taken away again.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
