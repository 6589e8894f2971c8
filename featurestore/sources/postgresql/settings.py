"""``[sources.NAME]`` of a PostgreSQL server: where it is, and what is read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.model import Json
from featurestore.regular import in_home
from featurestore.sources.databases import quoted, read_rows_of
from featurestore.times import format_duration, parse_duration
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.postgres.address import Address

KEYS = ("url", "password_file", "table", "query", "cursor", "overlap", "reconcile")
OVERLAP = "1h"


@frozen
class PostgresSettings:
    """A server, and one table, view or query of it. ``key`` and ``file`` say where the url stands; it may be secret.

    With a ``cursor``, a column that rises, a run reads what came since the last one, and ``overlap`` (µs) before it;
    everything where the last time is ``reconcile`` (µs) ago.
    """

    url: str = field(repr=False)
    key: str
    file: str
    password_file: str | None = None
    table: str | None = None
    query: str | None = None
    cursor: str | None = None
    overlap: int = 0
    reconcile: int | None = None

    @property
    def location(self) -> str:
        return f"{self.name} in PostgreSQL"

    @property
    def blind_spots(self) -> tuple[str, ...]:
        """What a cursor can't see."""
        if self.cursor is None:
            return ()
        every = "" if self.reconcile is None else f", and every {format_duration(self.reconcile)}"
        return (
            f"a row that changes without moving {self.cursor}, until ingest --full{every}",
            f"a row that is deleted, until ingest --full{every}",
            (
                f"what a transaction longer than the overlap ({format_duration(self.overlap)}) commits with an earlier "
                f"{self.cursor}, where the server does not let its rows' transactions be seen"
            ),
        )

    @property
    def name(self) -> str:
        """What is read, for people."""
        return "a query" if self.table is None else f"table {self.table}"

    @property
    def what(self) -> str:
        """The setting that says what is read."""
        return "query" if self.table is None else "table"

    @property
    def identity(self) -> Mapping[str, Json]:
        return {"table": self.table, "query": self.query, **({"cursor": self.cursor} if self.cursor else {})}

    def address(self, root: Path) -> Address:
        """Raises ConfigError, which quotes nothing of the url."""
        from featurestore.postgres.address import parse

        password_file = None if self.password_file is None else root / in_home(self.password_file)
        return parse(self.url, key=self.key, where=self.file, password_file=password_file, application="featurestore")

    def rows(self, table: tuple[str, str] | None) -> str:
        """What stands after FROM in a statement that reads all rows; ``table`` is its schema and name."""
        if table is not None:
            return ".".join(map(quoted, table))
        assert self.query is not None, "one of both is given"
        return f"({self.query.strip().rstrip(';')}\n) AS rows"  # the line end, since a query may end with a comment


def read_settings(table: TomlTable) -> PostgresSettings:
    """Raises ConfigError naming the key."""
    url = table.url("url")
    if not url:
        raise table.error("url", "is missing", 'for example url = "postgresql://reader:${PGPASSWORD}@db/shop"')
    name, query = read_rows_of(table)
    cursor = table.text("cursor")
    overlap, reconcile = _read_duration(table, "overlap"), _read_duration(table, "reconcile")
    if cursor is None:
        for key in ("overlap", "reconcile"):
            if key in table.data:
                raise table.error(key, "is for a source with a cursor", 'cursor = "updated_at"')
    elif "event_time" not in table.data:
        raise table.error("cursor", "needs event_time: rows without times are read as a whole")
    alone = "duplicates" in table.data
    if alone and overlap:
        hint = 'overlap = "0s", or id = ["…"], which tells one row from another'
        raise table.error("overlap", "reads rows again, and with duplicates nothing tells them from others", hint)
    default = parse_duration(OVERLAP) if cursor is not None and "id" in table.data else 0
    return PostgresSettings(
        url=url, key=table.key("url"), file=table.file, password_file=table.text("password_file"),
        table=name, query=query, cursor=cursor, overlap=default if overlap is None else overlap, reconcile=reconcile,
    )  # fmt: skip


def _read_duration(table: TomlTable, name: str) -> int | None:
    text = table.text(name)
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as exc:
        raise table.error(name, str(exc)) from None
