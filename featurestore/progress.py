"""How a caller follows long work and ends it early, as a value that every long workflow takes.

A workflow calls it between two steps: ``progress("joining spend: 2 of 6")``. It knows nothing of terminals or threads;
a face passes a spinner's update, a log, or the flag that its Cancel button sets.
"""

from __future__ import annotations

from collections.abc import Callable

from featurestore.errors import CancelledError
from featurestore.frozen import frozen


def _ignore(_line: str) -> None:
    pass


def _never() -> bool:
    return False


@frozen
class Progress:
    """``report`` takes a line for people, any number of times; ``cancelled`` is asked before each line.

    Both may be called from any thread.
    """

    report: Callable[[str], None] = _ignore
    cancelled: Callable[[], bool] = _never

    def __call__(self, line: str) -> None:
        """Reports a step. Raises CancelledError where the caller has cancelled the work."""
        self.check()
        self.report(line)

    def check(self) -> None:
        """Raises CancelledError where the caller has cancelled the work; for loops too tight to report in."""
        if self.cancelled():
            raise CancelledError("cancelled; nothing half-done is left")


SILENT = Progress()
