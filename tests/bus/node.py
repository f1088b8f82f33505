"""A bus node (tests/bus/bus_node.c) as an object: started, spoken to, killed, started again."""
import json
import os
import queue
import signal
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds; a bound for failures, never waited out otherwise


def find_binary():
    """In the build directory GITMOOR_BUILD, or else the newest one."""
    if os.environ.get("GITMOOR_BUILD"):
        return Path(os.environ["GITMOOR_BUILD"]) / "tests" / "bus_node"
    found = sorted(ROOT.glob("build/*/tests/bus_node"), key=lambda path: path.stat().st_mtime)
    assert found, "no bus_node: build the project first, or set GITMOOR_BUILD"
    return found[-1]


class Node:
    """`peers` are strings LINK=ADDRESS, numbered in that order."""

    def __init__(self, name, inbox, ledger, peers, keys=None, decline=0, advertise=None):
        self.name, self.ledger = name, Path(ledger)
        self.command = [str(find_binary()), "--instance", name, "--inbox", inbox, "--ledger",
                        str(ledger), "--decline", str(decline)]
        self.command += ["--keys", str(keys)] if keys else []
        self.command += ["--advertise", advertise] if advertise else []
        self.command += peers
        self.peers = peers
        self.process = None
        self.failures = []
        self.start()

    def start(self):
        self.answers = queue.Queue()
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        threading.Thread(target=self._read, args=(self.process, self.answers),
                         daemon=True).start()
        threading.Thread(target=self._read_errors, args=(self.process,), daemon=True).start()

    @staticmethod
    def _read(process, answers):
        for line in process.stdout:
            try:
                answers.put(json.loads(line))
            except ValueError:
                pass  # cut short by SIGKILL

    def _read_errors(self, process):
        """Sanitizers and assertions of nanomsg speak here: whatever comes fails the test."""
        text = process.stderr.read()
        if text:
            self.failures.append(text)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        """Says it and waits for the answer to it."""
        self.say(line)
        word = line.split()[0]
        while True:
            answer = self.answers.get(timeout=PATIENCE)
            if answer.get("answer") == word:
                return answer

    def stats(self):
        return self.ask("stats")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def freeze(self):
        """Returns when it stands still."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def thaw(self):
        self.process.send_signal(signal.SIGCONT)

    def restart(self):
        self.kill()
        self.start()

    def stop(self):
        """An ordinary end; anything but status 0 and silence is a failure."""
        if self.process.poll() is None:
            self.say("quit")
        status = self.process.wait(timeout=PATIENCE)
        assert status == 0, f"{self.name} ended with {status}: {self.failures}"
        assert not self.failures, f"{self.name}: {self.failures}"

    def taken(self):
        """Lines of the ledger: (sender, kind, what)."""
        if not self.ledger.exists():
            return []
        return [tuple(line.split()) for line in self.ledger.read_text().splitlines()]
