"""The emulator's clock: tests move it instead of sleeping."""

import time


class Clock:
    """The time that tokens, codes, sessions and lock-outs go by."""

    def __init__(self) -> None:
        self._offset = 0.0

    def now(self) -> float:
        """Return the time, in seconds since 1970."""
        return time.time() + self._offset

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._offset += seconds

    def reset(self) -> None:
        """Go by the machine's time again."""
        self._offset = 0.0


clock = Clock()
