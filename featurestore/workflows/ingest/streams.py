"""A source that can't be read again, in a run: what is new is fetched, and all that was ever fetched is there to read.

Before anything is computed, since the history can't be read any more once the run has it open to write: what the run
may have to parse again is laid beside what was fetched, as files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.config import Project
from featurestore.errors import SourceError, from_os_error
from featurestore.frozen import frozen
from featurestore.locking import prepare_state
from featurestore.model import EntityType, KeyType, Scalar, Source, StoredVersion
from featurestore.offline.contract import UNTIL, VALUE, DroppedBatch, OfflineStore, RawBatch, RunTransaction
from featurestore.progress import Progress
from featurestore.sources.contract import ComparingSource, Content, Deletions, Fetched, Offer, RawPart, StreamSource

if TYPE_CHECKING:
    import polars as pl

_BLOCK = 4 << 20


@frozen
class Stream:
    """An open source, what came of it in this run, and its offer. ``first`` says that it was never read before.

    ``deleted`` are entities that it says are deleted, each with the instant (keys and ``deleted_at``), and ``versions``
    are all that have a table. ``dropped`` are batches that went past a retention.
    """

    source: Source
    opened: StreamSource
    fetched: Fetched
    parts: tuple[RawPart, ...]
    offer: Offer
    first: bool
    deleted: Mapping[EntityType, pl.DataFrame] = field(default_factory=dict)
    versions: tuple[StoredVersion, ...] = ()
    dropped: tuple[DroppedBatch, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nothing ever came."""
        return not self.parts

    @property
    def moved(self) -> bool:
        """Whether the history has to learn of it."""
        return self.first or self.fetched.moved or bool(self.fetched.parts)

    def delete(self, transaction: RunTransaction) -> None:
        """Deletes the entities that the source says are deleted: before anything else of the run is written."""
        for entity_type, marks in self.deleted.items():
            if not marks.height:
                continue
            transaction.mark_deleted(entity_type, marks, "user")
            pairs = marks.rename({"deleted_at": "computed_at"})
            for version in self.versions:
                if version.entity_type == entity_type:
                    _delete(transaction, version, pairs)

    def tell(self) -> tuple[str, ...]:
        """Tells the source how far it was read; returns what to warn of."""
        try:
            self.opened.commit(self.fetched.cursor)
        except SourceError as exc:
            return (f"{self.source.name}: its group was not told how far it was read: {exc.message}",)
        return ()

    def store(self, transaction: RunTransaction) -> None:
        """Stores what came, and how far the source was read. Raises StoreError."""
        if self.fetched.drops is not None:
            after, up_to = self.fetched.drops
            transaction.drop_raw(self.source.name, up_to, after=after)
        for part in self.fetched.parts:
            assert part.path is not None, "just fetched"
            batch = RawBatch(self.source.name, part.sequence, transaction.run_seq, part.rows, part.content, part.facts)
            transaction.put_raw(batch, stored_parts(part.path))
        transaction.set_source_position(self.source.name, self.fetched.cursor)


def _delete(transaction: RunTransaction, version: StoredVersion, pairs: pl.DataFrame) -> None:
    """Writes tombstones at the deletions (keys and computed_at) of entities that a version has, as `delete` does.

    A version with steps has them at every later step too, and loses what was to come: the next evaluation of the entity
    says what newer rows make of it.
    """
    import polars as pl

    from featurestore.tables.types import INSTANT

    names = list(version.entity_type.key_names)
    gone = pairs.select(names).unique()
    if version.steps:
        lists = transaction.coming(version, gone)
        now = pl.lit(transaction.learned_at, pl.Int64).cast(INSTANT)
        transaction.append_rows(version, lists.filter(pl.col("op") == VALUE, pl.col("computed_at") <= now))
        transaction.replace_coming(version, gone, lists.filter(pl.col("op") == UNTIL))
    held = transaction.pairs(version, gone)
    known = pairs.join(held, on=names, how="semi").join(held, on=pairs.columns, how="anti")
    if version.steps:
        first = pairs.group_by(names).agg(pl.col("computed_at").min().alias("first"))
        later = held.filter(pl.col("op") == VALUE).join(first, on=names).filter(pl.col("computed_at") > pl.col("first"))
        known = pl.concat([known, later.select(pairs.columns).cast(pairs.schema)]).unique(maintain_order=True)
    transaction.delete(version, known)


def stored_parts(path: Path) -> Iterator[bytes]:
    """A file as the history takes it."""
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def file_of(store: OfflineStore, batch: RawBatch, folder: Path) -> Path:
    """A batch as a file in a folder. Raises StoreError."""
    path = folder / f"{batch.sequence}.parquet"
    try:
        with path.open("wb") as file:
            file.writelines(store.raw_bytes(batch))
    except OSError as exc:
        raise from_os_error(exc) from exc
    return path


def fetching_folder(project: Project, stack: ExitStack) -> Path:
    """A folder for the files of one run; it goes with the stack. Raises StoreError."""
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fetch-", dir=prepare_state(project))))
    except OSError as exc:
        raise from_os_error(exc) from exc


def fetch(
    store: OfflineStore,
    source: Source,
    opened: StreamSource,
    folder: Path,
    *,
    restart: bool,
    full: bool = False,
    limit: int | None,
    entity_types: Collection[EntityType],
    clock: int,
    progress: Progress,
) -> Stream:
    """Fetches what is new of a source into a folder. Raises SourceError, StoreError.

    ``entity_types`` are those of its features. What is deleted after the ``clock`` (µs) is deleted then.
    """
    with store.reading():
        versions = tuple(store.versions())
        cursor = store.source_position(source.name)
        known = [part_of(batch) for batch in store.raw_batches(source.name)]
        dropped = tuple(store.dropped_batches(source.name))
    last = max([0, *(part.sequence for part in known), *(batch.sequence for batch in dropped)])
    if isinstance(opened, ComparingSource):
        past = max((batch.high for batch in dropped if batch.high is not None), default=None)
        opened.compare_with(_HeldBatches(store, source.name, known, folder, past), full=full)
    try:
        fetched = opened.fetch(cursor, folder, last, restart=restart, limit=limit, progress=progress)
    except OSError as exc:
        raise from_os_error(exc) from exc
    parts = (*(part for part in known if not fetched.replaces(part.sequence)), *fetched.parts)
    deletions = opened.deleted(fetched.parts)
    deleted = {} if deletions is None else _deleted(source, deletions, entity_types, clock)
    first = cursor is None or restart
    offer = _with_dropped(opened.offer_of(parts), dropped)
    return Stream(source, opened, fetched, parts, offer, first, deleted, versions, dropped)


def _with_dropped(offer: Offer, dropped: Sequence[DroppedBatch]) -> Offer:
    """The offer of what is there, known by all that ever was: that a batch is past its retention is nothing new."""
    if not dropped:
        return offer
    there = [(int(item.name), item.sha256) for item in offer.contents or ()]
    batches = sorted([*there, *((batch.sequence, batch.content) for batch in dropped)])
    return replace(offer, content={"batches": [[str(sequence), content] for sequence, content in batches]})


def _deleted(
    source: Source, deletions: Deletions, entity_types: Collection[EntityType], clock: int
) -> dict[EntityType, pl.DataFrame]:
    """The marks of each entity type. Raises SourceError where the record's key is not an entity's only key."""
    import polars as pl

    from featurestore.tables.types import INSTANT, key_types

    found = {}
    for entity_type in entity_types:
        if entity_type.key_names != (deletions.key,):
            raise SourceError(
                f"a record without a payload can't say which {entity_type.name} is deleted: its key is "
                f"{', '.join(entity_type.key_names)}, the record's {deletions.key}",
                where=f"source {source.name}",
                hint=f'tombstone = "skip" in [sources.{source.name}], or key = "{entity_type.key_names[0]}"',
            )
        last = pl.lit(clock, pl.Int64).cast(INSTANT)
        keys = pl.col(deletions.key).cast(key_types(entity_type)[deletions.key], strict=False)
        marks = deletions.frame.select(keys, pl.min_horizontal(pl.col("deleted_at").fill_null(last), last))
        found[entity_type] = marks.drop_nulls().unique().sort(pl.all())
    return found


@frozen
class _HeldBatches:
    """`Held`, as files in a folder."""

    store: OfflineStore
    source: str
    parts: Sequence[RawPart]
    folder: Path
    past: int | None = None

    def open(self, part: RawPart) -> Path:
        path = self.folder / f"{part.name}.parquet"
        if path.exists():
            return path
        with self.store.reading():
            batch = next(each for each in self.store.raw_batches(self.source, after=part.sequence - 1))
            return file_of(self.store, batch, self.folder)


def part_of(batch: RawBatch) -> RawPart:
    """A batch of the history as the source knows it; without its bytes."""
    facts = batch.facts
    size = int(facts["size"]) if isinstance(facts, dict) else 0
    return RawPart(str(batch.sequence), batch.sequence, batch.content, batch.rows, size, facts)


def lay_out(
    project: Project,
    store: OfflineStore,
    stream: Stream,
    folder: Path,
    keys: Mapping[str, KeyType],
    pins: Mapping[str, Scalar],
    progress: Progress,
) -> Stream:
    """The stream with a file for each batch whose rows are not kept parsed. Raises StoreError."""
    missing = {content.name for content in _unparsed(project, stream, keys, pins, progress)}
    missing -= {part.name for part in stream.parts if part.path is not None}
    if not missing:
        return stream
    parts = []
    with store.reading():
        batches = {str(batch.sequence): batch for batch in store.raw_batches(stream.source.name)}
        for part in stream.parts:
            if part.name not in missing:
                parts.append(part)
                continue
            progress(f"reading {stream.source.name}: rows of run {batches[part.name].run_seq}")
            parts.append(replace(part, path=file_of(store, batches[part.name], folder)))
    offer = _with_dropped(stream.opened.offer_of(parts), stream.dropped)
    return replace(stream, parts=tuple(parts), offer=offer)


def _unparsed(
    project: Project, stream: Stream, keys: Mapping[str, KeyType], pins: Mapping[str, Scalar], progress: Progress
) -> Sequence[Content]:
    from featurestore.parsed.rows import KeptRows  # Polars, which a source without news does not need
    from featurestore.workflows.ingest.contents import SourceContents

    kept = KeptRows(project.state / "rows" / stream.source.name, stream.source, project.memory)
    if not stream.source.keep_parsed:
        return stream.offer.contents or ()
    return SourceContents(stream.source, stream.opened, stream.offer, keys, pins, kept, progress).unparsed()
