"""Data sets: a join's result with all that it takes to make it again, the proof that it is the same, or why not."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import polars as pl

from featurestore import __version__, times
from featurestore.config import Project
from featurestore.errors import FeatureStoreError, SourceError, UsageError, did_you_mean
from featurestore.locking import write_lock
from featurestore.model import StoredVersion
from featurestore.offline.contract import DataSet, DataSetFeature, OfflineStore
from featurestore.offline.datasets import PART_BYTES
from featurestore.registry.git import commit_of
from featurestore.tables.batches import read_batches
from featurestore.tables.content import ContentHash
from featurestore.tables.files import Format, format_of, open_table
from featurestore.workflows.datasets.labels import form_of
from featurestore.workflows.join.join import JoinFacts, JoinRequest, ResolvedFeature, join_batches

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The bytes that labels were read from: an open file, its name as typed, its format and its hash."""

    stream: BinaryIO
    name: str
    form: Format
    sha256: str
    size: int

    def parts(self) -> Iterator[bytes]:
        """The bytes once more, in pieces. Raises SourceError where they have changed since they were hashed."""
        digest = hashlib.sha256()
        self.stream.seek(0)
        while part := self.stream.read(PART_BYTES):
            digest.update(part)
            yield part
        if digest.hexdigest() != self.sha256:
            raise SourceError("changed while it was read", where=self.name, hint="run the same command again")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A data set made again. ``reasons`` say what is known of a difference; none where the content is the same."""

    dataset: DataSet
    content_sha256: str
    reasons: tuple[str, ...]

    @property
    def same(self) -> bool:
        return self.content_sha256 == self.dataset.content_sha256

    @property
    def same_writer(self) -> bool:
        """Whether the file will be the same byte for byte, and not its content alone."""
        return self.dataset.writer == writer()


def writer() -> str:
    """What writes the files: their bytes are this release's and its library's."""
    return f"featurestore {__version__}, polars {pl.__version__}"


@contextmanager
def open_labels(source: Path | BinaryIO, name: str, form: Format | None = None) -> Iterator[LabelFile]:
    """Opens and hashes a label file. Raises what `open_table` raises."""
    with open_table(source, name, form) as (stream, found):
        digest = hashlib.sha256()
        while part := stream.read(PART_BYTES):
            digest.update(part)
        size = stream.tell()
        stream.seek(0)
        yield LabelFile(stream, name, found, digest.hexdigest(), size)


def check_name(name: str, *, kept: bool) -> None:
    """Raises UsageError for a name that no data set can have, or labels that could never be found again."""
    if not kept:
        raise UsageError("labels from standard input can't be found again", hint="leave out --no-keep-labels")
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} can't name a data set", hint="letters, digits, dots, - and _, at most 63")


def describe(
    project: Project,
    store: OfflineStore,
    name: str,
    request: JoinRequest,
    facts: JoinFacts,
    content_sha256: str,
    labels: LabelFile,
    *,
    keep_labels: bool,
    batch_rows: int,
) -> DataSet:
    """What a join's result is, as a data set; not kept yet, and of no output file yet."""
    last = next((run for run in reversed(store.learned()) if run.run_seq == facts.as_of_run), None)
    features = []
    with store.reading():
        for item in facts.features:
            mark = store.mark(item.version, up_to_run=facts.as_of_run)
            version = item.version
            features.append(
                DataSetFeature(
                    column_name=item.column_name,
                    feature=version.id.feature,
                    sha256=version.id.sha256,
                    number=version.number,
                    max_age=item.max_age,
                    rows=0 if mark is None else mark.rows,
                )
            )
    return DataSet(
        name=name,
        made_at=times.now(),
        run_seq=facts.as_of_run,
        run_id="" if last is None else last.run_id,
        features=tuple(features),
        entity_type=facts.entity_type.name,
        entity_columns=tuple(request.entity_columns),
        timestamp_column=request.timestamp_column,
        known=request.known,
        as_of=request.as_of,
        labels_name=labels.name,
        labels_form=labels.form,
        labels_sha256=labels.sha256,
        labels_bytes=labels.size,
        labels_kept=keep_labels,
        rows=facts.labels,
        content_sha256=content_sha256,
        output_form=None,
        output_sha256=None,
        git_commit=commit_of(project.root),
        writer=writer(),
        batch_rows=batch_rows,
    )


def check_free(store: OfflineStore, dataset: DataSet) -> bool:
    """Whether the name is still to be given. False: the same data set has it already; another one is a UsageError."""
    for held in store.datasets(dataset.name):
        if held.content_sha256 == dataset.content_sha256 and held.labels_sha256 == dataset.labels_sha256:
            return False
        raise UsageError(
            f"there is a data set {dataset.name} already, with other contents",
            where=f"made {times.format_instant(held.made_at)} of {held.labels_name}",
            hint="give another name, or put this one in its place with --replace",
        )
    return True


def keep(
    project: Project,
    store: OfflineStore,
    dataset: DataSet,
    labels: LabelFile,
    output: Path | None,
    form: Format | None = None,
) -> DataSet:
    """Keeps a data set, in place of one of its name, with the hash of the file that it was written to.

    ``form`` is the file's format, by default what its name says.
    """
    if output is not None:
        with output.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        dataset = replace(dataset, output_form=form or format_of(output), output_sha256=digest)
    with write_lock(project):
        store.keep_dataset(dataset, labels.parts() if dataset.labels_kept else None)
    return dataset


def find_dataset(store: OfflineStore, name: str) -> DataSet:
    """The data set of that name. Raises UsageError."""
    found = store.datasets(name)
    if not found:
        names = [item.name for item in store.datasets()]
        hint = did_you_mean(name, names) if names else "featurestore join … --dataset NAME makes one"
        raise UsageError(f"there is no data set {name!r}", hint=hint)
    return found[0]


def require_same(rebuilt: Rebuilt) -> None:
    """Raises FeatureStoreError, with what is known of the cause, where the content is another one."""
    if not rebuilt.same:
        raise FeatureStoreError(
            f"can't be made again: {'; '.join(rebuilt.reasons) or 'its content differs, though its history does not'}",
            where=f"data set {rebuilt.dataset.name}",
            hint="a backup of the store from then can; or make it anew with join … --dataset NAME --replace",
        )


def rebuild(
    project: Project,
    store: OfflineStore,
    name: str,
    take: Callable[[pl.DataFrame], None],
    labels: Path | None = None,
) -> Rebuilt:
    """Makes a data set again from what is kept of it, as the store stood then, and hands it on frame by frame.

    ``labels`` names the label file where it was not kept and has moved. Raises UsageError for an unknown name,
    FeatureStoreError where the labels or a history it needs are gone.
    """
    dataset = find_dataset(store, name)
    features = _features(store, dataset)
    request = JoinRequest(
        labels=pl.DataFrame(),
        labels_name=dataset.labels_name,
        features=features,
        timestamp_column=dataset.timestamp_column,
        entity_columns=dataset.entity_columns,
        known=dataset.known,
        last_run=dataset.run_seq,
    )
    content = ContentHash()

    def hand_on(frame: pl.DataFrame) -> None:
        content.update(frame)
        take(frame)

    with tempfile.TemporaryFile() as copy:
        _copy_labels(store, dataset, copy, labels)
        frames = read_batches(copy, name=dataset.labels_name, form=form_of(dataset), rows=dataset.batch_rows)
        join_batches(project, store, request, frames, hand_on)
    found = content.hexdigest()
    reasons = () if found == dataset.content_sha256 else tuple(_reasons(store, dataset, features))
    return Rebuilt(dataset, found, reasons)


def _features(store: OfflineStore, dataset: DataSet) -> Sequence[ResolvedFeature]:
    held = {(version.id.feature, version.id.sha256): version for version in store.versions()}
    found = []
    for item in dataset.features:
        version: StoredVersion | None = held.get((item.feature, item.sha256))
        if version is None:
            raise FeatureStoreError(
                f"can't be made again: the history of {item.feature} ({item.sha256[:12]}) is not in this store",
                where=f"data set {dataset.name}",
                hint="use the store that it was made from, or a backup of it",
            )
        found.append(ResolvedFeature(item.column_name, replace(version, number=item.number, max_age=item.max_age)))
    return found


def _copy_labels(store: OfflineStore, dataset: DataSet, copy: BinaryIO, named: Path | None) -> None:
    digest = hashlib.sha256()
    for part in _label_parts(store, dataset, named):
        digest.update(part)
        copy.write(part)
    if digest.hexdigest() != dataset.labels_sha256:
        kept = (
            "what is kept of its labels is damaged" if dataset.labels_kept and named is None else "its labels changed"
        )
        raise FeatureStoreError(
            f"can't be made again: {kept} since",
            where=f"data set {dataset.name}, {named or dataset.labels_name}",
            hint=f"bring back the file with SHA-256 {dataset.labels_sha256} and name it with --labels",
        )


def _label_parts(store: OfflineStore, dataset: DataSet, named: Path | None) -> Iterator[bytes]:
    if dataset.labels_kept and named is None:
        yield from store.label_file(dataset.labels_sha256)
        return
    if dataset.labels_erased is not None and named is None:
        when = times.format_instant(dataset.labels_erased)
        raise FeatureStoreError(
            f"can't be made again: the copy of its labels named an entity that was erased, and went with it {when}",
            where=f"data set {dataset.name}",
            hint=f"where you may still use the file with SHA-256 {dataset.labels_sha256}, name it with --labels",
        )
    path = named or Path(dataset.labels_name)
    try:
        with path.open("rb") as stream:
            while part := stream.read(PART_BYTES):
                yield part
    except OSError as exc:
        raise FeatureStoreError(
            f"can't be made again: its labels were not kept, and the file can't be read ({exc.strerror})",
            where=f"data set {dataset.name}, {path}",
            hint=f"name the file with SHA-256 {dataset.labels_sha256} with --labels",
        ) from exc


def _reasons(store: OfflineStore, dataset: DataSet, features: Sequence[ResolvedFeature]) -> Iterator[str]:
    """Why the content differs, as far as the store can tell."""
    last = next((run for run in store.learned() if run.run_seq == dataset.run_seq), None)
    if dataset.run_seq and (last is None or last.run_id != dataset.run_id):
        yield f"run {dataset.run_seq} of this store is another one: the store was set back, or is not the same"
    for item, feature in zip(dataset.features, features, strict=True):
        mark = store.mark(feature.version, up_to_run=dataset.run_seq)
        rows = 0 if mark is None else mark.rows
        if rows != item.rows:
            gone = f"{item.rows - rows:,} of {item.rows:,} rows of history were erased since"
            more = f"{rows - item.rows:,} rows of history were added to runs that were over"
            yield f"{item.column_name}: {gone if rows < item.rows else more}"
