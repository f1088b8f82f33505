"""Helm as the tests use it: the chart rendered, linted, installed."""
import subprocess

import yaml

from . import paths

CHART = paths.ROOT / "charts" / "gitmoor"


class Helm:
    """Runs helm with a kubeconfig, or without one for what needs no cluster. Its caches are in `folder`, not in the home directory."""

    def __init__(self, folder, kubeconfig=None):
        self.environment = {"HELM_CACHE_HOME": str(folder / "cache"), "HELM_CONFIG_HOME": str(folder / "config"),
                            "HELM_DATA_HOME": str(folder / "data"), "PATH": "/usr/bin:/bin", "HOME": str(folder),
                            "KUBECONFIG": str(kubeconfig or folder / "none")}

    def command(self, *arguments):
        return [paths.control_plane("helm"), *map(str, arguments)]

    def run(self, *arguments):
        """The finished helm, with .returncode, .stdout, .stderr as text."""
        return subprocess.run(self.command(*arguments), env=self.environment, capture_output=True, text=True, check=False)

    def __call__(self, *arguments):
        """Its standard output; an exception when it fails."""
        done = self.run(*arguments)
        if done.returncode:
            raise RuntimeError(f"helm {' '.join(map(str, arguments))}: {done.stderr.strip()}")
        return done.stdout

    def start(self, *arguments):
        """As a child that goes on meanwhile."""
        return subprocess.Popen(self.command(*arguments), env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True)


def objects(text):
    """The objects of a stream of YAML documents."""
    return [found for found in yaml.safe_load_all(text) if found]
