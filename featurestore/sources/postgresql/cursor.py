"""A table or a query of a PostgreSQL server that is read from where the last reading ended, by a column that rises.

What came is kept in the history as batches, each the rows of one reading that were not held yet. A reading goes back by
the overlap, and then takes only rows that are others than those held. Which row of a key counts is the one that was
read last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from featurestore.model import Source
from featurestore.progress import SILENT, Progress
from featurestore.sources.batches import offer_of_batches, path_of
from featurestore.sources.contract import (
    Choose,
    Cursor,
    Deletions,
    Fetched,
    Finding,
    Held,
    Offer,
    OpenSource,
    Place,
    ProjectFolders,
    RawPart,
    Report,
    Start,
)
from featurestore.sources.postgresql.settings import PostgresSettings
from featurestore.sources.postgresql.source import PostgresSource, load_drivers

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch


class PostgresCursor:
    """`StreamSource` on a table or query with a cursor: a `ComparingSource` and an `ErasableSource` too."""

    complete = True

    def __init__(self, folders: ProjectFolders, source: Source) -> None:
        assert isinstance(source.settings, PostgresSettings), "made by the type's own read_settings"
        self._folders, self._source, self._settings = folders, source, source.settings
        self._held: Held | None = None
        self._full = False

    def compare_with(self, held: Held, *, full: bool) -> None:
        self._held, self._full = held, full

    def fetch(
        self,
        before: Cursor,
        folder: Path,
        sequence: int,
        *,
        restart: bool = False,
        limit: int | None = None,
        progress: Progress = SILENT,
    ) -> Fetched:
        """The same. ``limit`` is not obeyed: a reading is one snapshot."""
        assert self._held is not None, "compare_with is called first"
        load_drivers(f"source {self._source.name}")
        fetching = _fetching().Fetching(self._settings, self._source, self._folders, self._held, folder, progress)
        return fetching.fetch(before, sequence, full=self._full or restart)  # type: ignore[no-any-return]

    def offer_of(self, parts: Sequence[RawPart]) -> Offer:
        return offer_of_batches(parts, lambda _part: 0)

    def offer(self) -> Offer:
        """Nothing: its rows are those that were fetched."""
        return self.offer_of(())

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        return []

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        import polars as pl

        from featurestore.sources.postgresql.columns import Column, batch_of

        parts: Sequence[RawPart] = offer.handle  # type: ignore[assignment]
        for part in parts:
            if only is not None and part.name not in only:
                continue
            assert isinstance(part.facts, dict), "made by a fetch"
            known = [Column.from_json(found) for found in part.facts["columns"]]
            yield batch_of(pl.read_parquet(path_of(part, self._source.name), glob=False), known, part.name, 1)

    def place(self, origin: str, row: int) -> Place:
        return Place(f"{self._source.name}: {self._settings.name} batch {origin} row {row}", None, row)

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        return False

    def can_start(self, offer: Offer, name: str, size: int) -> bool:
        return False

    def settled(self, part: RawPart, cursor: Cursor) -> bool:
        """Not while the overlap may bring its rows again."""
        assert isinstance(part.facts, dict) and isinstance(cursor, dict), "made by a fetch"  # noqa: PT018
        high, upper = part.facts["high"], cursor["upper"]
        if part.facts["nulls"] or not isinstance(high, int) or not isinstance(upper, int):
            return False
        return _fetching().is_before_overlap(high, upper, part.facts["columns"], self._settings)  # type: ignore[no-any-return]

    def deleted(self, parts: Sequence[RawPart]) -> Deletions | None:
        return None  # a table does not say who was deleted

    def commit(self, cursor: Cursor) -> None:
        """Nothing: the server keeps no position of ours."""

    def without(self, part: RawPart, rows: Collection[int], keys: Sequence[str], folder: Path) -> RawPart | None:
        import polars as pl

        if not rows:
            return None
        assert part.path is not None and isinstance(part.facts, dict), "a batch that can be read"  # noqa: PT018
        raw = pl.read_parquet(part.path, glob=False).with_row_index("featurestore row", offset=1)
        left = raw.filter(~pl.col("featurestore row").is_in(list(rows))).drop("featurestore row")
        path = folder / f"without-{part.sequence}.parquet"
        cursor = str(self._settings.cursor)
        return _fetching().write_part(left, part.sequence, part.facts["columns"], cursor, path)  # type: ignore[no-any-return]

    def whole_again(self, cursor: Cursor) -> Cursor:
        return None if cursor is None else _fetching().with_all_due(cursor)

    def reread(self) -> OpenSource:
        """The whole table: the overlap, a change or ``--full`` may bring any row of it."""
        return PostgresSource(self._folders, self._source)

    def beginning(self, rows: int) -> OpenSource:
        """So many rows of the table as it is."""
        return PostgresSource(self._folders, self._source, rows)

    def examine(self) -> Iterator[Finding]:
        yield from PostgresSource(self._folders, self._source).examine()
        yield from _fetching().examine(self._settings, self._source, self._folders)


def _fetching() -> ModuleType:
    from featurestore.sources.postgresql import fetching

    return fetching
