#!/usr/bin/env python3
"""The first process of a machine (see realnode.py): it has namespaces of its own for mounts, network and processes.

It hides the host's folders that containerd, CNI and kubelet would share with another installation, says "ready", and then does what
a first process must: reap the orphans. When it ends, the kernel ends every other process of the machine.
"""
import os
import signal
import subprocess
import sys
from pathlib import Path

# What kubelet wants of the whole kernel (pkg/kubelet/cm, setupKernelTunables): it finds these files instead, and leaves the host's
# settings alone.
WANTED = {"vm/overcommit_memory": 1, "vm/panic_on_oom": 0, "kernel/panic": 10, "kernel/panic_on_oops": 1,
          "kernel/keys/root_maxkeys": 1000000, "kernel/keys/root_maxbytes": 25000000}
HIDDEN = ("/var/lib", "/var/log")  # CNI's cache, the logs of Pods


def mount(*words):
    subprocess.run(["mount", *map(str, words)], check=True)


def main(folder):
    mount("-t", "tmpfs", "tmpfs", "/run")
    for path in HIDDEN:
        ours = folder / "hidden" / path.strip("/").replace("/", "-")
        ours.mkdir(parents=True, exist_ok=True)
        mount("--bind", ours, path)
    for name, value in WANTED.items():
        ours = folder / "hidden" / name.replace("/", "-")
        ours.write_text(f"{value}\n", encoding="ascii")
        mount("--bind", ours, Path("/proc/sys") / name)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", encoding="ascii")
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    print("ready", flush=True)
    while True:
        signal.sigwaitinfo({signal.SIGCHLD})
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
