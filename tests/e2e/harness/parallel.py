"""How pytest-xdist divides the tests between two processes: each file goes to one of them as a whole, since its fixtures are shared by
its tests; each process has a control plane, a Git server and the four processes of its own.

The longest come first, so that both end at about the same time. A file that is not in the table comes last; nothing else depends on it.
"""
from xdist.scheduler import LoadScopeScheduling

# Files that share a dear fixture, and so a process: the package admission has a control plane of its own, and so has shaky.
TOGETHER = {"test_differ.py": "shaky", "test_bad_input.py": "shaky", "test_steady.py": "shaky",
            "test_hooks_kill.py": "shaky"}

# Seconds of what goes together, on a busy machine; how they compare is what matters. What is not here comes last.
SECONDS = {"shaky": 260, "test_members.py": 150, "admission": 85, "test_kube.py": 65, "test_bus.py": 60, "test_hooks.py": 57,
           "test_chart.py": 56, "test_admission_load.py": 48, "test_drift.py": 45, "test_migrate.py": 45, "test_tenancy.py": 40,
           "test_kill.py": 35, "test_deletion.py": 35, "test_fetcher_worker.py": 33, "test_rollback.py": 31, "test_walk.py": 25,
           "test_fetcher.py": 25, "test_images.py": 23, "test_drift_soak.py": 21, "test_path.py": 20, "test_sandbox.py": 17,
           "test_windows.py": 15, "test_chart_worker.py": 15, "test_order.py": 12, "test_fields.py": 10}


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
