"""Who it was that cut an API server off: the Pods of admission, when each was stopped, and when its connections ended."""
import json
import re
import threading
import time
from datetime import datetime

from harness.process import Process
from harness.waiting import wait_for
from installation import NAMESPACE

WEBHOOK = 9443
STOPPING = '"message":"stopping"'


class Watched:
    """A Pod, and its log, which is held open: kubelet removes it with the Pod."""

    def __init__(self, pod, folder):
        self.name, self.address = pod["metadata"]["name"], pod["status"]["podIP"]
        self.image = next(each["image"] for each in pod["spec"]["containers"] if each["name"] == "admission")
        self.first_seen = time.time()
        self.log = open(folder / f"{NAMESPACE}_{self.name}_{pod['metadata']['uid']}" / "admission" / "0.log", encoding="utf-8")

    def stopped(self):
        """When its program was told to stop, or None."""
        self.log.seek(0)
        line = next((line for line in self.log if STOPPING in line), None)
        return line and datetime.fromisoformat(json.loads(line.split(" ", 3)[3])["time"]).timestamp()


class Witness(threading.Thread):
    """with Witness(installation) as witness: …; then witness.tell(time.time() of a refusal)."""

    def __init__(self, installation):
        super().__init__(daemon=True)
        self.installation, self.cluster = installation, installation.cluster
        self.pods, self.ending = {}, threading.Event()
        # The kernel's own word on each connection to the webhook, in the place where Services become Pods.
        self.connections = Process("conntrack", [*self.cluster.machine.enter, "stdbuf", "-oL", "conntrack", "-E", "-e", "UPDATES,DESTROY",
                                                 "-p", "tcp", "-o", "timestamp"], self.cluster.folder)

    def __enter__(self):
        self.connections.start()
        self.start()
        wait_for(lambda: self.pods, what="the Pods of admission")
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.join()
        self.connections.stop()

    def run(self):
        component = self.installation.component("admission")
        query = f"?labelSelector=app.kubernetes.io%2Fcomponent%3D{component}"
        while not self.ending.wait(0.2):
            for pod in self.cluster.api().list("Pod", NAMESPACE, query):
                if pod["metadata"]["uid"] not in self.pods and pod["status"].get("podIP"):
                    try:
                        self.pods[pod["metadata"]["uid"]] = Watched(pod, self.cluster.pod_logs)
                    except OSError:
                        pass  # its container has not started

    def ended(self, at, within):
        """(seconds after `at`, address, state) of connections that changed about then."""
        found = []
        for line in self.connections.log.read_text(errors="replace").splitlines():
            seen = re.match(rf"\[([0-9.]+)\s*\].*\b(FIN_WAIT|CLOSE_WAIT|CLOSE|DESTROY)\b.* src=(\S+) dst=\S+ sport={WEBHOOK}\b", line)
            if seen and abs(float(seen[1]) - at) <= within:
                found.append((float(seen[1]) - at, seen[3], seen[2]))
        return found

    def saw_connections_end(self):
        """They do all the time, since admission ends each after a while; a witness that saw none proves nothing."""
        return any(self.ended(pod.first_seen, 3600) for pod in self.pods.values())

    def tell(self, at):
        clock = time.strftime("%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}"
        lines = [f"at {clock}; the Pods of admission, and their connections that ended within 0.3 s of it:"]
        ended = self.ended(at, 0.3)
        for pod in self.pods.values():
            stopped = pod.stopped()
            told = f"told to stop {at - stopped:+.3f} s before" if stopped else "not told to stop"
            mine = [f"{state} {after:+.3f}" for after, address, state in ended if address == pod.address]
            lines.append(f"  {pod.name} {pod.address} {pod.image}: {told}; {', '.join(mine) or 'none'}")
        return "\n".join(lines)
