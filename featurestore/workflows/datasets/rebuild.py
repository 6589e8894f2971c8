"""Making a data set again: the same table, the proof that it is the same, or what is known of why it is not."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.dialect import dialect_of
from featurestore.errors import FeatureStoreError, UsageError, VersionFileError, did_you_mean, os_reason
from featurestore.frozen import frozen
from featurestore.model import StoredVersion, VersionId
from featurestore.offline.contract import DataSet, DataSetFeature, DataSetInput, OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.tables.batches import write_batches
from featurestore.tables.content import ContentHash
from featurestore.versioning.folder import files
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.workflows.datasets.create import writer
from featurestore.workflows.datasets.label_files import read_chunks, read_labels
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.label_types import LabelTypes, find_label_types, with_types
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature
from featurestore.workflows.join.splits import Splits
from featurestore.workflows.request_time import BoundVersion
from featurestore.workflows.table_files import TableFile, check_output, has_types


@frozen
class RebuildResult:
    """A data set made again. ``reasons`` say what is known of a difference; empty where the content is the same."""

    dataset: DataSet
    content_sha256: str
    reasons: tuple[str, ...]

    @property
    def same(self) -> bool:
        return self.content_sha256 == self.dataset.content_sha256

    @property
    def same_writer(self) -> bool:
        """Whether not only the content but every byte of the file will be the same."""
        return self.dataset.writer == writer()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to say of a file that was written again."""
        if self.same_writer:
            return ()
        return (f"written by {writer()}, before by {self.dataset.writer}: the bytes may differ",)


def find_dataset(store: OfflineStore, name: str) -> DataSet:
    """The data set of that name. Raises UsageError."""
    datasets = store.datasets(name)
    if not datasets:
        names = [item.name for item in store.datasets()]
        hint = did_you_mean(name, names) if names else "featurestore join … --dataset NAME makes one"
        raise UsageError(f"there is no data set {name!r}", hint=hint)
    return datasets[0]


def verify_dataset(
    project: Project, store: OfflineStore, name: str, labels: Path | None = None, *, progress: Progress = SILENT
) -> RebuildResult:
    """Makes a data set again and compares its content. Writes nothing. Raises what `rebuild` raises."""
    return rebuild(project, store, name, lambda _frame: None, labels, progress=progress)


def rebuild_file(
    project: Project,
    store: OfflineStore,
    name: str,
    output: TableFile | None = None,
    labels: Path | None = None,
    *,
    progress: Progress = SILENT,
) -> RebuildResult:
    """Makes a data set again and writes it to ``output``, but only if its content is the same.

    Raises FeatureStoreError where it is not, and what `rebuild` and `check_output` raise.
    """
    if output is not None:
        check_output(output, labels or Path(find_dataset(store, name).labels_name))
    # What was written to a stream can't be taken back, so it waits in a file until it is known to be the same.
    with tempfile.TemporaryFile() as waiting:
        place = waiting if output is None or output.path is None else output.path
        with write_batches(place, form=None if output is None else output.form) as write:
            typed = output is not None and has_types(output.output_form)
            result = rebuild(project, store, name, write, labels, typed=typed, progress=progress)
            _require_same(result)
        if output is not None and not isinstance(output.place, Path):
            waiting.seek(0)
            shutil.copyfileobj(waiting, output.place)
    return result


def rebuild(
    project: Project,
    store: OfflineStore,
    name: str,
    write: Callable[[pl.DataFrame], None],
    labels: Path | None = None,
    *,
    typed: bool = False,
    progress: Progress = SILENT,
) -> RebuildResult:
    """Makes a data set again, as the store was then, and calls ``write`` with each batch.

    ``labels`` names the label file where it was not stored and has moved. With ``typed`` the columns of a label CSV are
    written in the types that they had then. Raises UsageError for an unknown name,
    FeatureStoreError where the labels or a history it needs are gone.
    """
    dataset = find_dataset(store, name)
    question = _question(project, store, dataset)
    content = ContentHash()

    def write_joined(frame: pl.DataFrame) -> None:
        content.update(frame)
        write(with_types(frame, types))

    with tempfile.TemporaryFile() as copy:
        _copy_labels(store, dataset, copy, labels)
        types: LabelTypes = {}
        if typed and dataset.typed and dataset.labels_form == "csv":
            batches = read_labels(dataset, copy, dataset.batch_rows)
            types = find_label_types(project, question, batches, dataset.labels_name)
        batches = read_labels(dataset, copy, dataset.batch_rows)
        join(project, store, question, batches, write_joined, labels_name=dataset.labels_name, progress=progress)
    sha256 = content.hexdigest()
    reasons = () if sha256 == dataset.content_sha256 else tuple(_reasons(store, dataset, question.features))
    return RebuildResult(dataset, sha256, reasons)


def _require_same(result: RebuildResult) -> None:
    if not result.same:
        raise FeatureStoreError(
            f"can't be made again: {'; '.join(result.reasons) or 'its content differs, though its history does not'}",
            where=f"data set {result.dataset.name}",
            hint="restore a backup of the store from then, or make a new one with join … --dataset NAME --replace",
        )


def _question(project: Project, store: OfflineStore, dataset: DataSet) -> JoinQuestion:
    versions = {(version.id.feature, version.id.sha256): version for version in store.versions()}
    features = []

    def stored(item: DataSetFeature | DataSetInput) -> StoredVersion:
        version = versions.get((item.feature, item.sha256))
        if version is None:
            raise FeatureStoreError(
                f"can't be made again: the history of {item.feature} ({item.sha256[:12]}) is not in this store",
                where=f"data set {dataset.name}",
                hint="use the store that it was made from, or a backup of it",
            )
        return replace(version, number=item.number, max_age=item.max_age)

    for item in dataset.features:
        if item.inputs:
            bound = BoundVersion(_version_file(project, dataset, item), tuple(map(stored, item.inputs)))
            feature = bound.file.feature
            version = StoredVersion(
                VersionId(item.feature, item.sha256), item.number, feature.entity_type, feature.data_type
            )
            features.append(ResolvedFeature(item.column_name, version, role=item.role, bound=bound))
        else:
            features.append(ResolvedFeature(item.column_name, stored(item), role=item.role))
    names, ends = [part.name for part in dataset.splits], [part.end for part in dataset.splits if part.end is not None]
    return JoinQuestion(
        features,
        dataset.timestamp_column,
        EntityColumns(columns=() if dataset.entities else dataset.entity_columns),
        entities=tuple(EntityColumns(item.type, item.columns, item.role) for item in dataset.entities),
        lag=dataset.lag,
        times_suffix=dataset.times_suffix,
        splits=None if dataset.split_column is None else Splits(tuple(names), tuple(ends), dataset.split_column),
        known=dataset.known,
        last_run=dataset.run_seq,
        seen_by=dataset.made_at if dataset.as_of is None else min(dataset.made_at, dataset.as_of),
        timezone=dataset.timezone,
        dialect=dialect_of(dataset.dialect),
        request=dataset.request,
    )


def _version_file(project: Project, dataset: DataSet, item: DataSetFeature) -> VersionFile:
    """The version file of a request-time feature: its code is nowhere else."""
    try:
        return read_version(files.resolve(project.versions, item.feature, item.sha256).path)
    except VersionFileError as exc:
        raise FeatureStoreError(
            f"can't be made again: the file of {item.feature} ({item.sha256[:12]}) can't be read: {exc.message}",
            where=f"data set {dataset.name}",
            hint="restore features/.versions with git",
        ) from exc


def _copy_labels(store: OfflineStore, dataset: DataSet, copy: BinaryIO, path: Path | None) -> None:
    digest = hashlib.sha256()
    for chunk in _label_chunks(store, dataset, path):
        digest.update(chunk)
        copy.write(chunk)
    if digest.hexdigest() != dataset.labels_sha256:
        stored = dataset.labels_kept and path is None
        what = "the stored copy of its labels is damaged" if stored else "its labels have changed since"
        raise FeatureStoreError(
            f"can't be made again: {what}",
            where=f"data set {dataset.name}, {path or dataset.labels_name}",
            hint=f"restore the file with SHA-256 {dataset.labels_sha256} and name it with --labels",
        )


def _label_chunks(store: OfflineStore, dataset: DataSet, path: Path | None) -> Iterator[bytes]:
    if dataset.labels_kept and path is None:
        yield from store.label_file(dataset.labels_sha256)
        return
    if dataset.labels_erased is not None and path is None:
        when = times.format_instant(dataset.labels_erased)
        raise FeatureStoreError(
            f"can't be made again: the copy of its labels named an entity that was erased, and was removed {when}",
            where=f"data set {dataset.name}",
            hint=f"where you may still use the file with SHA-256 {dataset.labels_sha256}, name it with --labels",
        )
    path = path or Path(dataset.labels_name)
    try:
        with path.open("rb") as stream:
            yield from read_chunks(stream)
    except OSError as exc:
        raise FeatureStoreError(
            f"can't be made again: its labels were not stored, and the file can't be read ({os_reason(exc)})",
            where=f"data set {dataset.name}, {path}",
            hint=f"name the file with SHA-256 {dataset.labels_sha256} with --labels",
        ) from exc


def _reasons(store: OfflineStore, dataset: DataSet, features: Sequence[ResolvedFeature]) -> Iterator[str]:
    """Why the content differs, as far as the store shows it."""
    last = next((run for run in store.committed_runs() if run.run_seq == dataset.run_seq), None)
    if dataset.run_seq and (last is None or last.run_id != dataset.run_id):
        yield f"run {dataset.run_seq} of this store is another run: a backup was restored, or the store is another one"
    for item, feature in zip(dataset.features, features, strict=True):
        yield from _changed(store, dataset, item.column_name, feature.version, item.rows)
        for each, version in zip(item.inputs, () if feature.bound is None else feature.bound.inputs, strict=True):
            yield from _changed(store, dataset, f"{each.feature} of {item.column_name}", version, each.rows)


def _changed(store: OfflineStore, dataset: DataSet, name: str, version: StoredVersion, before: int) -> Iterator[str]:
    mark = store.mark(version, up_to_run=dataset.run_seq)
    rows = 0 if mark is None else mark.rows
    if rows < before:
        yield f"{name}: {before - rows:,} of {before:,} rows of history were erased since"
    elif rows > before:
        yield f"{name}: {rows - before:,} rows of history were added to runs that had ended"
