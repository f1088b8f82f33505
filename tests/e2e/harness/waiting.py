"""Waiting on conditions instead of sleeping, with deadlines that a busy machine meets too."""
import os
import time

PATIENCE = 60.0  # seconds; a deadline is there to find what hangs, and waiting longer costs nothing where all is well
MOST = 4.0


class TimedOut(AssertionError):
    """What was waited for did not happen in time."""


def stretch():
    """How many times longer things may take here and now than on an idle machine: 1 up to MOST, by the load."""
    return min(MOST, max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))


def allowance(seconds):
    """The bound of an assertion about time: what an idle machine does in `seconds`, with room for a slow or busy one. The load is
    an average over a minute, so there is room before it tells."""
    return seconds * max(3.0, 2 * stretch())


def wait_for(condition, timeout=30.0, what="the condition", every=0.05, exact=False):
    """Call condition() until it returns something true, and return that.

    The time is PATIENCE at least, unless it is `exact`, which is for what must happen soon or else counts as something else; on
    a busy machine it is longer. An exception of condition() counts as "not yet"; the last one, or the last value, is told when
    the time is up, so that a failure says what the world looked like.
    """
    began = time.monotonic()
    allowed = timeout if exact else max(timeout, PATIENCE)
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # noqa: BLE001: whatever it is, it may pass
            last = error
        if time.monotonic() - began >= allowed * stretch():
            raise TimedOut(f"{what}: not after {time.monotonic() - began:.1f} s; last seen: {last!r}")
        time.sleep(every)
