"""The tenancy settings of running processes: a file for each, so that a test can have one process keep to other rules than another."""
import json
import os
from pathlib import Path

from .waiting import wait_for

PROCESSES = ("fetcher", "differ", "applier")
OPEN = {"name": "everybody-else", "namespaces": ["*"]}


class Tenancy:
    """extra is for Moor; set(RULE, …) puts rules before the one that lets everybody else do everything."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True)
        self.moor = None
        for process in PROCESSES:
            self.write(process, self.text())
        self.extra = {process: ["--tenancy", self.file(process)] for process in PROCESSES}

    def file(self, process):
        return self.folder / process / "tenancy.yaml"

    def text(self, *rules):
        """YAML: JSON, a rule a line, so that messages can be held to lines: 2 for the first."""
        return "rules:\n" + "".join(f"- {json.dumps(rule)}\n" for rule in (*rules, OPEN))

    def write(self, process, text):
        """As Kubernetes replaces a mounted file: at once."""
        file = self.file(process)
        file.parent.mkdir(exist_ok=True)
        fresh = file.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, file)

    def set(self, *rules, only=PROCESSES, result="taken"):
        """Returns once the processes have taken the rules (or, with result="refused", refused them)."""
        self.write_and_wait(self.text(*rules), only, result)

    def write_and_wait(self, text, only=PROCESSES, result="taken"):
        def reloads(process):
            return self.moor.metric(process, "gitmoor_tenancy_reloads_total", f'result="{result}"')

        # The differ last: it plans anew when it has read them, and what the applier still refuses then waits for the next try, up to a minute.
        for group in ([process for process in only if process != "differ"], [process for process in only if process == "differ"]):
            before = {process: reloads(process) for process in group}
            for process in group:
                self.write(process, text)
            wait_for(lambda group=group, before=before: all(reloads(process) > before[process] for process in group),
                     what=f"tenancy settings {result} by {group}")
