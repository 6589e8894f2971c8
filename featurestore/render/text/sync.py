"""What ``sync`` wrote."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.render.lines import sync_line
from featurestore.render.text.style import NAME, line
from featurestore.render.text.table import Column, table
from featurestore.workflows.sync import SyncResult


def sync_table(result: SyncResult) -> RenderableType:
    """What was written, feature by feature, and a closing line."""
    if not result.features:
        return line(sync_line(result))
    columns = [
        Column("feature", "name", NAME), Column("version", "number"), Column("entities written", "number"),
        Column("up to run", "number"),
    ]  # fmt: skip
    rows = [
        (item.name, str(item.version), f"{item.entities_written:,}", str(item.watermark)) for item in result.features
    ]
    return Group(table(columns, rows), line(sync_line(result)))
