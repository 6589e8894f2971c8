"""Splitting frames of two stores into the same partitions, of which only one is in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

import polars as pl

from featurestore.errors import StoreError
from featurestore.point_in_time.spool import Spool, spool


class Partitioner:
    """Splits frames by the hash of their column ``key``, so that equal keys of all frames are in the same partition.

    The first partition is returned at once, and never stored. The others, ``later``, are in temporary files. Raises
    OSError where the disk is full.
    """

    def __init__(self, later: Sequence[Spool]) -> None:
        self.later = later

    def split(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Stores the rows of the later partitions and returns those of the first."""
        if not self.later:
            return frame
        number = frame["key"].hash() % (len(self.later) + 1)
        for at, file in enumerate(self.later, start=1):
            file.write(frame.filter(number == at))
        # Through Arrow, which copies the bytes of the rows: a filtered frame would keep those of the whole one.
        return cast("pl.DataFrame", pl.from_arrow(frame.filter(number == 0).to_arrow()))


@contextmanager
def partitioner(count: int) -> Iterator[Partitioner]:
    """A `Partitioner` into ``count`` partitions, with its temporary files. Raises StoreError where the disk is full."""
    try:
        with ExitStack() as stack:
            yield Partitioner([stack.enter_context(spool()) for _ in range(count - 1)])
    except OSError as exc:
        raise StoreError(
            f"can't write temporary files for the comparison: {exc.strerror or exc}",
            hint="free some space where temporary files are, or name fewer features",
        ) from exc
