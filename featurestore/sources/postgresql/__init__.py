"""PostgreSQL: a table, a view, or a query of a server. The drivers are loaded when it is read, not before."""

from __future__ import annotations

from featurestore.errors import UsageError
from featurestore.model import Source
from featurestore.sources.contract import OpenSource, ProjectFolders
from featurestore.sources.postgresql.settings import KEYS, PostgresSettings, read_settings


def open_source(folders: ProjectFolders, source: Source, given: str | None = None) -> OpenSource:
    from featurestore.sources.postgresql.source import PostgresSource

    assert isinstance(source.settings, PostgresSettings), "made by read_settings"
    if given is not None:
        raise UsageError(
            f"--input can't take the place of source {source.name}: it is a table of a server, not a file",
            hint="declare the file as a source of its own, or put its rows into the table",
        )
    if source.settings.cursor is not None:
        from featurestore.sources.postgresql.cursor import PostgresCursor

        return PostgresCursor(folders, source)
    return PostgresSource(folders, source)


__all__ = ["KEYS", "open_source", "read_settings"]
