"""Storing a join's result as a data set: all that it takes to make the same table again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import zip_longest

import polars as pl

from featurestore import __version__, times
from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.offline.contract import (
    DataSet,
    DataSetEntity,
    DataSetFeature,
    DataSetInput,
    DataSetSplit,
    OfflineStore,
)
from featurestore.workflows.datasets.label_files import LabelFile
from featurestore.workflows.erasure.completion import writing_turn
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts
from featurestore.workflows.join.question import JoinQuestion
from featurestore.workflows.table_files import TableFile

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@frozen
class NewDataSet:
    """The data set that a join's result becomes.

    ``store_labels``: with a copy of the label file, else with its hash only. ``replace``: also where a data set of the
    name exists.
    """

    name: str
    store_labels: bool = True
    replace: bool = False


def writer() -> str:
    """What writes the files: their bytes depend on the release and on Polars."""
    return f"featurestore {__version__}, polars {pl.__version__}"


def check_new(dataset: NewDataSet, labels: TableFile) -> None:
    """Raises UsageError for a name that is not allowed, or for labels that could not be read again."""
    if not dataset.store_labels and labels.path is None:
        raise UsageError(f"labels from {labels.title} can't be read again", hint="leave out --no-keep-labels")
    if not _NAME.fullmatch(dataset.name):
        raise UsageError(
            f"{dataset.name!r} can't name a data set", hint="use letters, digits, dots, - and _, at most 63"
        )


def describe(
    project: Project,
    store: OfflineStore,
    dataset: NewDataSet,
    question: JoinQuestion,
    facts: JoinFacts,
    labels: LabelFile,
    *,
    content_sha256: str,
    batch_rows: int,
    commit: str | None,
) -> DataSet:
    """The record of a join's result. It is not stored yet, and names no output file yet."""
    last = next((run for run in reversed(store.committed_runs()) if run.run_seq == facts.as_of_run), None)
    return DataSet(
        name=dataset.name,
        made_at=times.now(),
        run_seq=facts.as_of_run,
        run_id="" if last is None else last.run_id,
        features=tuple(_features(store, facts)),
        entity_type=None if facts.entity_type is None else facts.entity_type.name,
        entity_columns=question.entity.columns,
        timestamp_column=question.timestamp_column,
        known=question.known,
        as_of=question.as_of,
        labels_name=labels.name,
        labels_form=labels.form,
        labels_sha256=labels.sha256,
        labels_bytes=labels.size,
        labels_kept=dataset.store_labels,
        rows=facts.labels,
        content_sha256=content_sha256,
        output_form=None,
        output_sha256=None,
        git_commit=commit,
        writer=writer(),
        batch_rows=batch_rows,
        timezone=question.timezone,
        delimiter=labels.dialect.delimiter,
        dialect=labels.dialect.identity,
        typed=True,
        entities=tuple(
            DataSetEntity(keys.entity_type.name, keys.columns, keys.role) for keys in dict.fromkeys(facts.keys)
        ),
        lag=question.lag,
        times_suffix=question.times_suffix,
        splits=tuple(_splits(question, facts)),
        split_column=None if question.splits is None else question.splits.column,
        first=facts.first,
        last=facts.last,
        on_own_event=facts.on_own_event,
        request=dict(question.request),
    )


def _splits(question: JoinQuestion, facts: JoinFacts) -> Iterator[DataSetSplit]:
    if question.splits is not None and facts.splits is not None:
        for name, end in zip_longest(question.splits.names, question.splits.ends):
            yield DataSetSplit(name, end, facts.splits[name])


def _features(store: OfflineStore, facts: JoinFacts) -> Iterator[DataSetFeature]:
    with store.reading():
        for item in facts.features:
            version, ages = item.version, item.ages
            mark = store.mark(version, up_to_run=facts.as_of_run)
            yield DataSetFeature(
                column_name=item.column_name,
                feature=version.id.feature,
                sha256=version.id.sha256,
                number=version.number,
                max_age=item.max_age,
                rows=0 if mark is None else mark.rows,
                role=item.role,
                nulls=item.nulls,
                least_age=ages.least if ages.count else None,
                mean_age=round(ages.total / ages.count) if ages.count else None,
                greatest_age=ages.most if ages.count else None,
                inputs=tuple(_inputs(store, item, facts.as_of_run)),
            )


def _inputs(store: OfflineStore, item: JoinedFeature, run_seq: int) -> Iterator[DataSetInput]:
    for version in item.inputs:
        mark = store.mark(version, up_to_run=run_seq)
        rows = 0 if mark is None else mark.rows
        yield DataSetInput(version.id.feature, version.id.sha256, version.number, version.max_age, rows)


def refuse_other_labels(store: OfflineStore, name: str, labels: LabelFile) -> None:
    """Raises UsageError where a data set of that name was made of other labels: before anything is computed."""
    for stored in store.datasets(name):
        if stored.labels_sha256 != labels.sha256:
            raise _taken(stored)


def is_free(store: OfflineStore, dataset: DataSet) -> bool:
    """Whether the name is free. False where the same data set has it; raises UsageError where another one has it."""
    for stored in store.datasets(dataset.name):
        if stored.content_sha256 == dataset.content_sha256 and stored.labels_sha256 == dataset.labels_sha256:
            return False
        raise _taken(stored)
    return True


def _taken(stored: DataSet) -> UsageError:
    return UsageError(
        f"a data set {stored.name} with other contents exists",
        where=f"made {times.format_instant(stored.made_at)} of {stored.labels_name}",
        hint="give another name, or replace it with --replace",
    )


def store_dataset(
    project: Project, store: OfflineStore, dataset: DataSet, labels: LabelFile, output: TableFile | None
) -> DataSet:
    """Stores a data set, replacing one of its name, with the hash of the output file where there is one.

    Raises LockedError, StoreError, and SourceError where the label file has changed since it was read.
    """
    if output is not None and output.path is not None:
        with output.path.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        dataset = replace(dataset, output_form=output.output_form, output_sha256=digest)
    with writing_turn(project, store):
        store.store_dataset(dataset, labels.chunks() if dataset.labels_kept else None)
    return dataset
