"""How pytest-xdist divides the tests between two processes: each file goes to one of them as a whole, since its fixtures are shared by
its tests; each process has a control plane, a Git server and the four processes of its own.

The longest come first, so that both end at about the same time. A file that is not in the table comes last; nothing else depends on it.
"""
from xdist.scheduler import LoadScopeScheduling

# Files that share a dear fixture, and so a process: the package admission has a control plane of its own, and so has shaky.
TOGETHER = {"test_differ.py": "shaky", "test_bad_input.py": "shaky", "test_steady.py": "shaky",
            "test_hooks_kill.py": "shaky"}

# Seconds of what goes together, on a busy machine; how they compare is what matters. What is not here comes last.
SECONDS = {"shaky": 440, "test_members.py": 290, "test_chart.py": 215, "test_fetcher_worker.py": 165, "test_kube.py": 105, "admission": 100,
           "test_images.py": 90, "test_hooks.py": 85, "test_drift.py": 80, "test_bus.py": 70, "test_kill.py": 65,
           "test_admission_load.py": 65, "test_tenancy.py": 60, "test_rollback.py": 55, "test_fetcher.py": 55, "test_windows.py": 50,
           "test_fields.py": 40}


def group(nodeid):
    """What the test goes with."""
    path = nodeid.split("::")[0]
    file = path.rsplit("/", 1)[-1]
    return "admission" if "/admission/" in path else TOGETHER.get(file, file)


class Scheduling(LoadScopeScheduling):
    """Groups in the order of collection, which conftest.py has sorted."""

    def __init__(self, config, log=None):
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid):
        return group(nodeid)


def sort(items):
    """The longest groups first; the order within a group stays."""
    first = {}
    for item in items:
        first.setdefault(group(item.nodeid), len(first))
    items.sort(key=lambda item: (-SECONDS.get(group(item.nodeid), 0), first[group(item.nodeid)]))
