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

    def begin(self, assess: Callable[[], Assessment]) -> Future[Assessment]:
        return self._worker.submit(assess)

    def close(self) -> None:
        """Waits for the feature that is being measured; those behind it are not measured any more."""
        self._worker.shutdown(cancel_futures=True)
