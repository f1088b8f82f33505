"""Waiting on conditions instead of sleeping."""
import time


class TimedOut(AssertionError):
    """What was waited for did not happen in time."""


def wait_for(condition, timeout=30.0, what="the condition", every=0.05):
    """Call condition() until it returns something true, and return that.

    An exception of condition() counts as "not yet"; the last one, or the last value, is told when
    the time is up, so that a failure says what the world looked like.
    """
    deadline = time.monotonic() + timeout
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Exception as error:  # noqa: BLE001: whatever it is, it may pass
            last = error
        if time.monotonic() >= deadline:
            raise TimedOut(f"{what}: not after {timeout:g} s; last seen: {last!r}")
        time.sleep(every)
