"""Sources that are a table or a query of database files: what SQLite and DuckDB share.

A file is offered by its hash, together with that of its write-ahead log, in which committed rows may still be. It is
read in one snapshot, which must be of the very bytes that were hashed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from featurestore.errors import SourceError
from featurestore.frozen import frozen
from featurestore.model import Json, Source
from featurestore.sources.contract import Choose, Content, Cursor, Offer, ProjectFolders, Report, Start
from featurestore.sources.files import FileSettings, FileSource, HashedFile, written_path
from featurestore.sources.hashes import state_of
from featurestore.tables.formats import refuse_foreign
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.tables.batch import Batch

KEYS = ("path", "table", "query")
_FORMS = {"sqlite": "SQLite", "duckdb": "DuckDB"}

Check: TypeAlias = Callable[[], None]
"""Raises SourceError where the file is not the one that was hashed. To be called once the snapshot stands."""


@frozen
class DatabaseSettings(FileSettings):
    """Where the files are, and what is read of each: a table or view by name, or one query."""

    table: str | None = None
    query: str | None = None

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"table": self.table, "query": self.query}

    @property
    def rows(self) -> str:
        """What stands after FROM in a statement that reads all rows."""
        if self.query is None:
            return quoted(self.table or "")
        return f"({self.query.strip().rstrip(';')}\n)"  # the line end, since a query may end with a comment


ReadTable: TypeAlias = Callable[
    [Path, str, DatabaseSettings, Choose | None, Check, Report],
    "Iterator[Batch]",
]
"""Reads one database: its file and the name for messages, what to read, which columns are needed (None: all), and
where warnings go.
"""


def read_settings(table: TomlTable) -> DatabaseSettings:
    path = table.required_text("path")
    name, query = read_rows_of(table)
    return DatabaseSettings(path, written_path(table), table=name, query=query)


def read_rows_of(table: TomlTable) -> tuple[str | None, str | None]:
    """``table`` or ``query``, of which there must be one. Raises ConfigError."""
    name, query = table.text("table"), table.text("query")
    if (name is None) == (query is None):
        raise table.error("table", "or query says what to read", 'table = "visits", or query = "SELECT …"; one of both')
    return name, query


def quoted(name: str) -> str:
    """A name as SQL has it: any text is one."""
    return '"' + name.replace('"', '""') + '"'


def select(names: Sequence[str], settings: DatabaseSettings, *, as_text: Collection[str] = ()) -> str:
    """The statement that reads these columns, some of them as text."""
    columns = (
        f"CAST({quoted(name)} AS VARCHAR) AS {quoted(name)}" if name in as_text else quoted(name) for name in names
    )
    return f"SELECT {', '.join(columns)} FROM {settings.rows}"


class DatabaseFiles(FileSource):
    """`OpenSource` on database files, given how one is read and what is added to its name for its write-ahead log."""

    def __init__(
        self, folders: ProjectFolders, source: Source, given: str | None, read_table: ReadTable, *, log: str
    ) -> None:
        super().__init__(folders, source, given)
        assert isinstance(source.settings, DatabaseSettings), "made by the type's own read_settings"
        self._settings, self._read_table, self._log = source.settings, read_table, log

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        """The files that are no longer there; a log comes and goes."""
        return [name for name in super().missing(offer, cursor) if not name.endswith(self._log)]

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        hashed: dict[Path, HashedFile] = {file.path: file for file in offer.handle}  # type: ignore[attr-defined]
        for path, file in hashed.items():
            if path.name.endswith(self._log) or (only is not None and file.name not in only):
                continue

            def check(file: HashedFile = file) -> None:
                log = hashed.get(file.path.with_name(file.path.name + self._log))
                self._check([file] if log is None else [file, log])

            # Closed before the database is opened, since closing releases its locks. One that is gone is said below.
            with suppress(OSError), path.open("rb") as stream:
                refuse_foreign(stream, file.name, _FORMS[self._type])
            yield from self._read_table(path, file.name, self._settings, columns, check, report)

    def _contents(self, files: Sequence[HashedFile]) -> tuple[Content, ...]:
        """The databases, each with its log as one content."""
        logs = {file.name: file for file in files if file.name.endswith(self._log)}
        contents = []
        for file in files:
            log = logs.get(file.name + self._log)
            if file.name not in logs:
                sha256 = file.sha256 if log is None else f"{file.sha256}+{log.sha256}"
                contents.append(Content(file.name, sha256, file.size))
        return tuple(contents)

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        return False  # a database has its pages in no order

    def _find(self) -> list[Path | None]:
        """The files, each with its log behind it."""
        found: list[Path | None] = []
        for path in super()._find():
            if path is None or not path.is_file():
                hint = "write it to a file, and name that"
                raise SourceError("a database can't be read from a pipe", where=str(path or "stdin"), hint=hint)
            if not path.name.endswith(self._log):
                found += [path, *self._logs(path)]
        return found

    def _logs(self, path: Path) -> list[Path]:
        log = path.with_name(path.name + self._log)
        return [log] if log.is_file() and log.stat().st_size else []

    def _check(self, hashed: list[HashedFile]) -> None:
        path = hashed[0].path
        # But for the time of change, which a new link or another owner moves while the bytes stay.
        same = [path, *self._logs(path)] == [file.path for file in hashed] and all(
            state_of(file.path.stat())[:-1] == file.state[:-1] for file in hashed
        )
        if not same:
            raise SourceError(
                "changed while it was read: another program is writing it",
                where=hashed[0].name,
                hint="run ingest again",
            )
