"""How pytest-xdist divides the tests between two processes: each file goes to one of them as a whole, since its fixtures are shared by
its tests; each process has a control plane, a Git server and the four processes of its own.

The longest come first, so that both end at about the same time. A file that is not in the table comes last; nothing else depends on it.
"""
from xdist.scheduler import LoadScopeScheduling

# Files that share a dear fixture (shaky: a second control plane behind a proxy), and so a process.
TOGETHER = {"test_differ.py": "shaky", "test_bad_input.py": "shaky", "test_steady.py": "shaky"}

# Seconds of each file, or of those that go together, on an idle machine; below ten it does not matter.
SECONDS = {}


def group(nodeid):
    """What the test goes with."""
    file = nodeid.split("::")[0].rsplit("/", 1)[-1]
    return TOGETHER.get(file, file)


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
