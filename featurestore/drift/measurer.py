"""Assesses what a run wrote beside whatever the run does next: on a thread of its own, one feature after the other."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from featurestore.drift.assess import Assessment


class Measurer:
    """Close it before what the rows lie in."""

    def __init__(self) -> None:
        self._worker = ThreadPoolExecutor(1, "measure")

    def begin(self, assess: Callable[[], Assessment], *, compares: bool) -> Future[Assessment]:
        """Begins to assess, what ``compares`` with other runs at once.

        For that SciPy is imported and the filters of warnings are set aside, which are the whole process's: a user's
        code may be doing the same.
        """
        if not compares:
            return self._worker.submit(assess)
        done: Future[Assessment] = Future()
        done.set_result(assess())
        return done

    def close(self) -> None:
        """Waits for the feature that is being assessed; those behind it are not assessed any more."""
        self._worker.shutdown(cancel_futures=True)
