"""The clocks, looked up at each call: a test that freezes or moves the time is followed."""

import time


def wall() -> float:
    """Return the time in seconds since the epoch, to compare with claims such as `exp`."""
    return time.time()


def elapsed() -> float:
    """Return seconds on a clock for ages and pauses, which counts the time of a standstill.

    The monotonic clock can stop while a virtual machine is paused or suspended, as AWS Lambda does
    between two requests. The wall clock is set right afterwards. The greater of both counts. It can
    go back if the wall clock is set back: use `is_within` to compare.
    """
    return max(time.monotonic(), time.time() - _OFFSET)


def is_within(seconds: float, since: float, now: float) -> bool:
    """Return whether fewer than `seconds` have passed.

    After a clock went back the time counts as over.
    """
    return 0 <= now - since < seconds


_OFFSET = time.time() - time.monotonic()
