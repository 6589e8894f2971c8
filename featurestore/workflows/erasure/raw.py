"""Raw rows of streams without an entity that is erased: what came of it must not come back from the history."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import field, replace
from pathlib import Path

from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.frozen import frozen
from featurestore.model import EntityType
from featurestore.offline.contract import OfflineStore, RawBatch, RunTransaction
from featurestore.offline.naming import naming
from featurestore.point_in_time.entities import Entity
from featurestore.progress import Progress
from featurestore.sources.contract import Cursor, ErasableSource
from featurestore.sources.offers import open_stream
from featurestore.workflows.erasure.sources import feeding, rows_naming
from featurestore.workflows.ingest.streams import fetching_folder, file_of, part_of, stored_parts


@frozen
class RawErasure:
    """The batches that name an entity, each without it as a file, and sources that can't be looked through.

    ``again`` has for each source of a batch the position after which all of the entity comes again.
    """

    batches: tuple[tuple[RawBatch, Path], ...] = ()
    again: Mapping[str, Cursor] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    def store(self, run: RunTransaction, *, remaining: Collection[str]) -> None:
        """Replaces the batches. The sources that still have rows of the entity give all of them. Raises StoreError."""
        for batch, path in self.batches:
            run.put_raw(batch, stored_parts(path))
        for name in remaining:
            if name in self.again:
                run.set_source_position(name, self.again[name])


@contextmanager
def raw_folder(project: Project) -> Iterator[Path]:
    """A folder for the files of an erasure. Raises StoreError."""
    with ExitStack() as stack:
        yield fetching_folder(project, stack)


def raw_without(
    project: Project, offline: OfflineStore, entity_type: EntityType, entity: Entity, folder: Path, progress: Progress
) -> RawErasure:
    """Looks through all raw rows, and writes the batches that name the entity anew, into a folder. Stores nothing."""
    found: list[tuple[RawBatch, Path]] = []
    again: dict[str, Cursor] = {}
    unread: list[str] = []
    readers = feeding(project, entity_type)
    with offline.reading():
        names = dict.fromkeys(batch.source for batch in offline.raw_batches())
        for name in names:
            progress(f"looking through what came of source {name}")
            try:
                opened = _erasable(project, name)
                less = list(_of_source(offline, opened, name, entity_type, entity, folder, anywhere=name in readers))
            except FeatureStoreError as exc:
                unread.append(f"what the history keeps of source {name} can't be looked through: {exc}")
                continue
            if less:
                found += less
                again[name] = opened.whole_again(offline.source_position(name))
    return RawErasure(tuple(found), again, tuple(unread))


def _erasable(project: Project, name: str) -> ErasableSource:
    source = project.sources.get(name)
    opened = None if source is None else open_stream(project, source)
    if not isinstance(opened, ErasableSource):
        raise FeatureStoreError(
            "it is not declared any more" if opened is None else "its rows can't be taken out one by one",
            hint=f"declare [sources.{name}] as it was, and erase again" if opened is None else None,
        )
    return opened


def _of_source(
    offline: OfflineStore,
    opened: ErasableSource,
    name: str,
    entity_type: EntityType,
    entity: Entity,
    folder: Path,
    *,
    anywhere: bool,
) -> Iterator[tuple[RawBatch, Path]]:
    texts = [str(entity[key]) for key in entity_type.key_names]
    names = naming([entity[key] for key in entity_type.key_names])
    for batch in offline.raw_batches(name):
        part = replace(part_of(batch), path=file_of(offline, batch, folder))
        rows: set[int] = set()
        for read in opened.read(opened.offer_of([part]), report=lambda _warning: None):
            rows |= {read.row(int(at)) for at in rows_naming(read, entity_type, entity, anywhere=anywhere)}
            rows |= {row.row for row in read.unreadable if names(row.text)}
        less = opened.without(part, rows, texts, folder)
        if less is not None and less.path is not None:
            yield replace(batch, rows=less.rows, content=less.content, facts=less.facts), less.path
        assert part.path is not None, "made above"
        part.path.unlink()
