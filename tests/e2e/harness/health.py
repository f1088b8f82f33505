"""The health rules of a running differ: its file, replaced as Kubernetes replaces a mounted one."""
import json
import os
from pathlib import Path

from .waiting import wait_for


class HealthRules:
    """flags are for the differ; set(CHECK, …) puts the checks into the file, set() takes them out again."""

    def __init__(self, folder: Path):
        self.file = Path(folder) / "rules.yaml"
        self.file.parent.mkdir(parents=True)
        self.moor = None
        self.write(self.text())
        self.flags = ["--health-rules", self.file]

    @staticmethod
    def text(*checks):
        return json.dumps({"apiVersion": "gitmoor.io/v1alpha1", "kind": "HealthRules", "checks": checks})

    def write(self, text):
        fresh = self.file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, self.file)

    def set(self, *checks):
        self.write_and_wait(self.text(*checks))

    def write_and_wait(self, text, result="taken"):
        """Returns once the differ has taken the rules, or with result="refused" refused them."""
        def reloads():
            return self.moor.metric("differ", "gitmoor_differ_health_rules_reloads_total", f'result="{result}"')

        before = reloads()
        self.write(text)
        wait_for(lambda: reloads() > before, what=f"health rules {result}")
