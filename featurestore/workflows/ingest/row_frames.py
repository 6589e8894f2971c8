"""Rows of contents as frames, and all of them as one: what a source's contents and a part of them have in common."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Protocol

import polars as pl

from featurestore.evaluation.events import RANK
from featurestore.parsed.index import Piece

Ranks = Mapping[str, int]
"""Contents, each with `THERE` or with the number at which its file vanished."""

Between = tuple[int | None, int | None]


class RowFrames(Protocol):
    """Gives rows of contents: the source's columns, `ROW`, `CONTENT` and `RANK`."""

    @property
    def kept_schema(self) -> dict[str, pl.DataType]:
        """The columns of rows, but for `RANK`."""
        ...

    def frames(
        self,
        ranks: Ranks,
        clock: int | None,
        *,
        between: Between = (None, None),
        matching: pl.DataFrame | None = None,
        without: Collection[Piece] = (),
    ) -> Iterator[pl.DataFrame]:
        """The rows of some contents up to the clock (µs), a file at a time.

        ``between`` are event times (µs), both included; ``matching`` selects rows whose columns of these names are
        among its rows. Pieces of ``without`` are passed over.
        """
        ...

    def rows(
        self,
        ranks: Ranks,
        clock: int | None,
        *,
        between: Between = (None, None),
        matching: pl.DataFrame | None = None,
    ) -> pl.DataFrame:
        """The same, in one frame."""
        found = list(self.frames(ranks, clock, between=between, matching=matching))
        return pl.concat(found) if found else pl.DataFrame(schema={**self.kept_schema, RANK: pl.Int64()})
