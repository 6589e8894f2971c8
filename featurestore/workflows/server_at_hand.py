"""A table of a PostgreSQL server that no source describes yet: a sample of its rows, its key, and its cursor."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from featurestore.dialect import STANDARD
from featurestore.errors import SourceError, UsageError
from featurestore.model import Source
from featurestore.sources.detection import detect_values
from featurestore.sources.postgresql.settings import PostgresSettings, read_settings
from featurestore.sources.postgresql.source import PostgresSource, load_drivers
from featurestore.toml import TomlTable, toml_value
from featurestore.workflows.data_at_hand import Data
from featurestore.workflows.source_preview import LOOKED_AT, Nowhere
from featurestore.workflows.templates import slug

FLAG = "--from"
_CHANGED = re.compile(r"(last_)?(updated|modified|changed)(_(at|on|time|ts))?", re.IGNORECASE)
# A password in the user's part that is not just a variable, or a parameter that holds one.
_SECRET = re.compile(r"//[^/@]*:(?!\$\{\w+\}@)[^/]*@|[?&](ssl)?password=(?!\$\{\w+\}(&|$))", re.IGNORECASE)


def look_at_server(url: str, table: str | None, decimal: str | None) -> Data:
    """Looks at a table of the server of a url, which may name variables: ``${DATABASE_URL}``.

    Raises UsageError, SourceError, ConfigError; none quotes the url.
    """
    load_drivers(FLAG)
    from featurestore.sources.postgresql.server import table_names, take_snapshot  # they are loaded

    folders = Nowhere(Path.cwd())
    settings = _settings(url, table or "")
    address = settings.address(folders.root)
    with take_snapshot(address, settings, FLAG) as snapshot:
        name = table or _only(table_names(snapshot))
        settings = _settings(url, name)
    with take_snapshot(address, settings, FLAG) as snapshot:
        primary_key = tuple(snapshot.primary_key(snapshot.find_table()))
    opened = PostgresSource(folders, Source(FLAG, "postgresql", settings), LOOKED_AT + 1)
    offer = opened.offer()
    sample = pl.concat(
        [batch.normalized().frame for batch in opened.read(offer, report=lambda _: None)], how="diagonal_relaxed"
    )
    detected = detect_values(sample.head(LOOKED_AT), STANDARD, whole=sample.height <= LOOKED_AT, decimal=decimal)
    written, notes = _written(url, slug(name).upper())
    return Data(
        f"table {name}", name.rpartition(".")[2], "postgresql", detected,
        (f"url = {toml_value(written)}", f"table = {toml_value(name)}"), (*notes, *address.warnings, *offer.warnings),
        primary_key, next((column for column in sample.columns if _CHANGED.fullmatch(column)), None),
    )  # fmt: skip


def _settings(url: str, table: str) -> PostgresSettings:
    return read_settings(TomlTable({"url": url, "table": table or "any"}, "the command line", (FLAG,)))


def _only(names: Sequence[str]) -> str:
    """The only table of a server."""
    if not names:
        raise SourceError("has no table that this user may read", where=FLAG, hint="GRANT SELECT ON it TO the user")
    if len(names) > 1:
        shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise UsageError(f"the server has {len(names)} tables: {shown}", where=FLAG, hint="name one with --table")
    return names[0]


def _written(url: str, name: str) -> tuple[str, list[str]]:
    """The url as it may stand in a file that is committed, and what to say of it: a password never does."""
    if not _SECRET.search(url):
        return url, []
    variable = next((key for key, value in sorted(os.environ.items()) if value == url), None)
    if variable is not None:
        return f"${{{variable}}}", [f"the url is that of {variable}, and is not written down: it holds a password"]
    variable = f"{name}_URL"
    return f"${{{variable}}}", [f"the url is not written down, since it holds a password: export {variable}=…"]
