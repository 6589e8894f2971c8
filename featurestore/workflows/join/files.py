"""A join from file to file, batch by batch; where the result gets a name, it is stored as a data set too."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.offline.contract import DataSet, OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.registry.git import commit_of
from featurestore.tables.batches import read_batches, write_batches
from featurestore.tables.content import ContentHash
from featurestore.tables.files import open_table
from featurestore.workflows.datasets.create import (
    NewDataSet,
    check_new,
    describe,
    is_free,
    refuse_other_labels,
    store_dataset,
)
from featurestore.workflows.datasets.label_files import hash_labels
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.facts import JoinFacts
from featurestore.workflows.join.label_types import LabelTypes, find_label_types, with_types
from featurestore.workflows.join.question import JoinQuestion
from featurestore.workflows.table_files import TableFile, check_output, has_types

BATCH_ROWS = 2_000_000
BATCH_VALUES = 100_000_000  # 0.8 GB of floats


@frozen
class JoinResult:
    """What a join did. ``frame`` is the joined table where it was written to no file.

    ``dataset`` is the data set of the asked name; ``dataset_existed`` says that it was stored before, with the same
    contents.
    """

    facts: JoinFacts
    frame: pl.DataFrame | None = None
    dataset: DataSet | None = None
    dataset_existed: bool = False


def join_files(
    project: Project,
    store: OfflineStore,
    question: JoinQuestion,
    labels: TableFile,
    output: TableFile | None = None,
    dataset: NewDataSet | None = None,
    *,
    dry_run: bool = False,
    batch_rows: int | None = None,
    progress: Progress = SILENT,
) -> JoinResult:
    """Joins the labels of a file, ``batch_rows`` at a time, and writes the result to ``output``, else into a frame.

    A file is written whole or not at all, also where the join fails or is cancelled. With ``dry_run`` nothing is
    written and there is no frame. Raises what `join`, `check_output`, `check_new`, `read_batches` and `write_batches`
    raise, and UsageError where a data set of the same name has other contents.
    """
    if output is not None:
        check_output(output, labels.path)
    if dataset is not None:
        check_new(dataset, labels)
        question = replace(question, strict=True, clock=times.now())  # else it could not be made again
    rows = batch_rows or default_batch_rows(len(question.features))
    with open_table(labels.place, labels.title, labels.form) as (stream, form):

        def read() -> Iterator[pl.DataFrame]:
            return read_batches(stream, name=labels.title, form=form, rows=rows, dialect=labels.dialect)

        def join_to(write: Callable[[pl.DataFrame], None]) -> JoinFacts:
            batches = read()
            return join(
                project, store, question, batches, write,
                labels_name=labels.title, ages=dataset is not None, progress=progress,
            )  # fmt: skip

        if dry_run:
            return JoinResult(join_to(lambda _frame: None))
        types: LabelTypes = {}
        if form == "csv" and question.features and output is not None and has_types(output.output_form):
            types = find_label_types(project, question, read(), labels.title)
        if dataset is None:
            with _writer(output, progress, types) as (write, frames):
                facts = join_to(write)
            return JoinResult(facts, None if output else pl.concat(frames))
        content = ContentHash()
        commit = commit_of(project.root)  # before the output is written, which would make a clean tree look changed
        label_file = hash_labels(stream, form, labels.title, labels.dialect)
        if not dataset.replace:
            refuse_other_labels(store, dataset.name, label_file)
        with _writer(output, progress, types, content) as (write, frames):
            facts = join_to(write)
            record = describe(
                project, store, dataset, question, facts, label_file,
                content_sha256=content.hexdigest(), batch_rows=rows, commit=commit,
            )  # fmt: skip
            is_new = dataset.replace or is_free(store, record)  # raises before the output file is replaced
        if is_new:
            record = store_dataset(project, store, record, label_file, output)
    return JoinResult(facts, None if output else pl.concat(frames), record, dataset_existed=not is_new)


@contextmanager
def _writer(
    output: TableFile | None, progress: Progress, types: LabelTypes, content: ContentHash | None = None
) -> Iterator[tuple[Callable[[pl.DataFrame], None], list[pl.DataFrame]]]:
    """A function that writes joined batches to the output, and the list that gets them where there is none."""
    frames: list[pl.DataFrame] = []
    with nullcontext(frames.append) if output is None else write_batches(output.place, form=output.form) as write:

        def write_joined(frame: pl.DataFrame) -> None:
            progress("writing")
            if content is not None:
                content.update(frame)
            write(with_types(frame, types) if types else frame)

        yield write_joined, frames


def default_batch_rows(features: int) -> int:
    """How many labels are in memory at a time by default: fewer where each gets many values."""
    return min(BATCH_ROWS, BATCH_VALUES // max(features, 1))
