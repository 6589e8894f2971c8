"""``[sources.NAME]`` of a PostgreSQL server: where it is, and what is read of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.frozen import frozen
from featurestore.model import Json
from featurestore.sources.databases import quoted, read_rows_of
from featurestore.toml import TomlTable

if TYPE_CHECKING:
    from featurestore.postgres.address import Address

KEYS = ("url", "password_file", "table", "query")


@frozen
class PostgresSettings:
    """A server, and one table, view or query of it. ``key`` and ``file`` say where the url stands; it may be secret."""

    url: str = field(repr=False)
    key: str
    file: str
    password_file: str | None = None
    table: str | None = None
    query: str | None = None

    @property
    def location(self) -> str:
        return f"{self.name} in PostgreSQL"

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
        return {"table": self.table, "query": self.query}

    def address(self, root: Path) -> Address:
        """Raises ConfigError, which quotes nothing of the url."""
        from featurestore.postgres.address import parse

        password_file = None if self.password_file is None else root / Path(self.password_file).expanduser()
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
    return PostgresSettings(
        url=url, key=table.key("url"), file=table.file, password_file=table.text("password_file"),
        table=name, query=query,
    )  # fmt: skip
