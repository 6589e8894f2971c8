"""A table or a query of a PostgreSQL server as a source that is read as a whole.

It is offered by what its rows are, so an offer reads all of them, in one snapshot, into a file beside the history; they
are given from there. Whatever fails on the way fails before anything was taken, and the server is held no longer than
its rows travel.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from featurestore.errors import NothingToReadError, SourceError, from_os_error
from featurestore.model import Source
from featurestore.sources.contract import Choose, Content, Cursor, Finding, Offer, Place, ProjectFolders, Report, Start
from featurestore.sources.postgresql.settings import PostgresSettings

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch


class PostgresSource:
    """`ContentSource` on a table or query. ``first`` is how many rows are read (None: all)."""

    complete = True

    def __init__(self, folders: ProjectFolders, source: Source, first: int | None = None) -> None:
        assert isinstance(source.settings, PostgresSettings), "made by the type's own read_settings"
        self._folders, self._source, self._settings = folders, source, source.settings
        self._first = first

    @property
    def name(self) -> str:
        """The name of its one content."""
        return self._settings.table or "query"

    def beginning(self, rows: int) -> PostgresSource:
        """The same source, of which so many rows are read."""
        return PostgresSource(self._folders, self._source, rows)

    def examine(self) -> Iterator[Finding]:
        yield from load_drivers(self._where).examine(self._settings, self._source, self._folders)

    def offer(self) -> Offer:
        try:
            read = load_drivers(self._where).read_rows
            reading, left_out = read(self._settings, self._source, self._folders, self._first)
        except OSError as exc:
            raise from_os_error(exc) from exc
        sha256, size = reading.spool.sha256, reading.spool.size
        if not reading.columns:
            raise NothingToReadError("has no column that can be read", where=self._where)
        warnings = () if not left_out else (f"{self._where}: left out, since they can't be carried: {left_out}",)
        return Offer(
            content={"rows": sha256}, cursor={"files": {self.name: sha256}}, size=size,
            contents=(Content(self.name, sha256, size),), warnings=warnings, once=True, handle=reading,
        )  # fmt: skip

    @property
    def _where(self) -> str:
        return f"source {self._source.name}"

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        return []  # its one content is there, or nothing is offered

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        from featurestore.sources.postgresql.columns import batch_of
        from featurestore.sources.postgresql.reading import Reading

        reading = offer.handle
        assert isinstance(reading, Reading), "made by offer"
        if only is not None and self.name not in only:
            return
        first = 1
        for frame in reading.spool.batches():
            # All columns: which rows are readable must not depend on what is needed.
            yield batch_of(frame, reading.columns, self.name, first)
            first += frame.height

    def place(self, origin: str, row: int) -> Place:
        return Place(f"{self._source.name}: {self._settings.name} row {row}", None, row)

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        return False  # a table has its rows in no order

    def can_start(self, offer: Offer, name: str, size: int) -> bool:
        return False


def load_drivers(where: str) -> ModuleType:
    """What needs the drivers. Raises SourceError where they are not installed."""
    try:
        from featurestore.sources.postgresql import reading
    except ModuleNotFoundError as exc:
        if not str(exc.name).startswith(("adbc_driver", "psycopg")):
            raise
        package = str(exc.name).replace("_", "-")
        hint = "pip install 'featurestore[postgres]'"
        raise SourceError(f"needs the package {package}, which is not installed", where=where, hint=hint) from exc
    return reading
