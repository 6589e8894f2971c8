"""Data sets: all of them, one of them, and what came of rebuilding it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.errors import plural
from featurestore.offline.contract import DataSet, DataSetEntity
from featurestore.render.text.style import DIM, NAME, facts, line
from featurestore.render.text.table import Column, table
from featurestore.render.words import duration, instant
from featurestore.workflows.datasets.rebuild import RebuildResult


def datasets_table(datasets: Sequence[DataSet]) -> RenderableType:
    if not datasets:
        return line("no data set yet; featurestore join … --dataset NAME makes one")
    columns = [
        Column("data set", "name", NAME), Column("rows", "number"), Column("features", "number"),
        Column("made", spare=1), Column("as of run", "number"),
    ]  # fmt: skip
    rows = [
        (item.name, f"{item.rows:,}", str(len(item.features)), instant(item.made_at), str(item.run_seq))
        for item in datasets
    ]
    return table(columns, rows)


def dataset_page(dataset: DataSet) -> RenderableType:
    """One data set and what it takes to rebuild it."""
    title = f": {plural(dataset.rows, 'row')}, made {instant(dataset.made_at)}"
    columns = [
        Column("feature", "name", NAME),
        Column("version", "number"),
        Column("sha256", style=DIM),
        Column("max age"),
    ]
    rows = [(item.column_name, str(item.number), item.sha256[:12], duration(item.max_age)) for item in dataset.features]
    return Group(Text.assemble((dataset.name, NAME), title), table(columns, rows), facts(_made_of(dataset)))


def rebuilt_lines(rebuilt: RebuildResult) -> RenderableType:
    """Whether the rebuilt table is the same, and why it is not."""
    name = rebuilt.dataset.name
    if rebuilt.same:
        return line(f"{name}: rebuilt, the content is the same ({rebuilt.content_sha256[:12]})")
    return Group(line(f"{name}: rebuilt, the content differs"), *(line(f"  {reason}") for reason in rebuilt.reasons))


def _made_of(dataset: DataSet) -> list[tuple[str, str]]:
    labels = "stored" if dataset.labels_kept else "not stored" if dataset.labels_erased is None else "erased"
    options = [f"as of {instant(dataset.as_of)}"] if dataset.as_of is not None else []
    options += ["known at the label's time"] if dataset.known else []
    options += [f"the label's time less {duration(dataset.lag)}"] if dataset.lag else []
    options += [f"times in columns that end with {dataset.times_suffix}"] if dataset.times_suffix is not None else []
    parts = (f"{part.name} {part.labels:,}" for part in dataset.splits)
    rows = [
        ("labels", f"{dataset.labels_name} ({dataset.labels_sha256[:12]}, {labels})"),
        ("keys", "; ".join(_keys(item) for item in dataset.entities)),
        ("options", ", ".join(options)),
        ("splits", f"{dataset.split_column}: {', '.join(parts)}" if dataset.splits else ""),
        ("as of run", f"{dataset.run_seq} ({dataset.run_id})"),
        ("content", dataset.content_sha256),
        ("git commit", dataset.git_commit or ""),
        ("writer", dataset.writer),
    ]
    return [(name, value) for name, value in rows if value]


def _keys(item: DataSetEntity) -> str:
    return f"{f'{item.role}:' if item.role else ''}{item.type} by {', '.join(item.columns)}"
