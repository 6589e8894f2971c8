"""A join from file to file: labels in, result out some rows at a time, and kept as a data set where it has a name."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from featurestore.config import Project
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.tables.batches import read_batches, write_batches
from featurestore.tables.content import ContentHash
from featurestore.tables.files import Format
from featurestore.workflows.datasets import datasets
from featurestore.workflows.join.join import JoinFacts, JoinRequest, Tell, join_batches

BATCH_ROWS = 2_000_000
BATCH_VALUES = 100_000_000  # 0.8 GB of floats


@dataclass(frozen=True, slots=True)
class TableFile:
    """A file or an open stream, and its format where neither its name nor its first bytes tell it."""

    place: Path | BinaryIO
    form: Format | None = None


@dataclass(frozen=True, slots=True)
class Keeping:
    """The data set that a join is kept as: with a copy of its labels or not, in place of one of its name or not."""

    name: str
    labels: bool = True
    replace: bool = False


@dataclass(frozen=True, slots=True)
class JoinedTable:
    """What a join did. ``frame`` is the table where it was written nowhere.

    ``kept_before``: the data set is one that was there already, with the same contents.
    """

    facts: JoinFacts
    frame: pl.DataFrame | None = None
    dataset: DataSet | None = None
    kept_before: bool = False


def join_table(
    project: Project,
    store: OfflineStore,
    request: JoinRequest,
    labels: TableFile,
    target: TableFile | None,
    keeping: Keeping | None = None,
    *,
    batch_rows: int | None = None,
    tell: Tell,
) -> JoinedTable:
    """Joins a label file, so many rows at a time, and writes the result, by default into a frame.

    ``request.labels`` is not looked at; ``tell`` is told what is being done. Raises what `join_batches`,
    `read_batches` and `write_batches` raise, and UsageError for a data set's name that has other contents.
    """
    batch_rows = batch_rows or _batch_rows(request)
    rows: list[pl.DataFrame] = []
    content = ContentHash()
    with ExitStack() as files:
        kept = None
        if keeping is not None:
            kept = files.enter_context(datasets.open_labels(labels.place, request.labels_name, labels.form))
            labels = TableFile(kept.stream, kept.form)
        frames = read_batches(labels.place, name=request.labels_name, form=labels.form, rows=batch_rows)
        with ExitStack() as writing:
            write: Callable[[pl.DataFrame], None] = rows.append
            if target is not None:
                write = writing.enter_context(write_batches(target.place, form=target.form))

            def take(frame: pl.DataFrame) -> None:
                tell("writing")
                if keeping is not None:
                    content.update(frame)
                write(frame)

            facts = join_batches(project, store, request, frames, take, tell)
            frame = pl.concat(rows) if target is None else None
            if keeping is None or kept is None:
                return JoinedTable(facts, frame)
            made = datasets.describe(
                project, store, keeping.name, request, facts, content.hexdigest(), kept,
                keep_labels=keeping.labels, batch_rows=batch_rows,
            )  # fmt: skip
            fresh = keeping.replace or datasets.check_free(store, made)  # before the file takes its place
        if fresh:
            file = target.place if target is not None and isinstance(target.place, Path) else None
            made = datasets.keep(project, store, made, kept, file, target.form if target is not None else None)
        return JoinedTable(facts, frame, made, kept_before=not fresh)


def plan_table(
    project: Project,
    store: OfflineStore,
    request: JoinRequest,
    labels: TableFile,
    *,
    batch_rows: int | None = None,
    tell: Tell,
) -> JoinFacts:
    """What `join_table` would do, by doing it without keeping the table."""
    rows = batch_rows or _batch_rows(request)
    frames = read_batches(labels.place, name=request.labels_name, form=labels.form, rows=rows)
    return join_batches(project, store, request, frames, lambda _frame: None, tell)


def _batch_rows(request: JoinRequest) -> int:
    """How many labels are in memory at a time where nothing is said: fewer where each gets many values."""
    return min(BATCH_ROWS, BATCH_VALUES // max(len(request.features), 1))
