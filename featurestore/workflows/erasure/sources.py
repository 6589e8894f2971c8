"""Looking through a project's sources for an entity that is erased: the next reading would bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, NothingToReadError
from featurestore.model import EntityType, Source
from featurestore.offline.naming import naming
from featurestore.point_in_time.entities import Entity
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import discover
from featurestore.sources.contract import ErasableSource
from featurestore.sources.offers import open_source
from featurestore.tables.batch import Batch
from featurestore.versioning.analysis.tree import SourceTree


@dataclass(frozen=True, slots=True)
class SourcesNaming:
    """Files, or what a source of another type calls its parts, that name an entity; and sources that can't be read.

    ``remaining`` are the sources of both.
    """

    named_in: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()


def sources_naming(
    project: Project, entity_type: EntityType, entity: Entity, progress: Progress = SILENT
) -> SourcesNaming:
    """Reads every source as it is now. Writes nothing, runs nobody's code.

    A row names an entity by the key columns; in a source without them, by any columns, if features of the entity type
    read it.
    """
    readers = feeding(project, entity_type)
    named: dict[str, None] = {}
    unread: list[str] = []
    remaining: dict[str, None] = {}
    for source in project.sources.values():
        progress(f"looking through source {source.name}")
        try:
            for origin in _origins(project, source, entity_type, entity, anywhere=source.name in readers):
                named[origin] = remaining[source.name] = None
        except FeatureStoreError as exc:
            unread.append(f"source {source.name} can't be looked through: {exc}")
            remaining[source.name] = None
    return SourcesNaming(tuple(named), tuple(unread), tuple(remaining))


def feeding(project: Project, entity_type: EntityType) -> set[str]:
    """The sources that features of an entity type read."""
    features = discover(project, SourceTree(project.root)).features
    return {name for item in features if item.entity_type == entity_type for name in item.source_names}


def _origins(
    project: Project, source: Source, entity_type: EntityType, entity: Entity, *, anywhere: bool
) -> Iterator[str]:
    opened = open_source(project, source)
    if isinstance(opened, ErasableSource):
        again = opened.reread()
        if again is None:
            return
        opened = again
    try:
        offer = opened.offer()
    except NothingToReadError:
        return
    names = naming([str(entity[name]) for name in entity_type.key_names])
    found = ""
    for batch in opened.read(offer, report=lambda _warning: None):
        if batch.origin != found and (
            len(rows_naming(batch, entity_type, entity, anywhere=anywhere))
            or any(names(row.text) for row in batch.unreadable)
        ):
            found = batch.origin
            yield found


def rows_naming(batch: Batch, entity_type: EntityType, entity: Entity, *, anywhere: bool) -> pl.Series:
    """The places in a batch's frame of rows that name an entity: by its keys or, with ``anywhere``, in any column."""
    frame, keys = batch.frame, {name: str(entity[name]) for name in entity_type.key_names}
    by_name = all(name in frame.columns for name in keys)
    flat = [name for name, kind in frame.schema.items() if not kind.is_nested() and kind != pl.Binary]
    if not flat or not (by_name or anywhere):
        return pl.Series([], dtype=pl.UInt32)
    texts = frame.select(pl.col(flat).cast(pl.String, strict=False))
    whole = {key.name for key in entity_type.keys if key.type == "int"}  # 007 is 7

    def equal(name: str, text: str) -> pl.Expr:
        return pl.col(name).cast(pl.Int64, strict=False) == int(text) if name in whole else pl.col(name) == text

    same = [equal(name, text) if by_name else pl.any_horizontal(pl.col(flat) == text) for name, text in keys.items()]
    return texts.select(pl.all_horizontal(same).fill_null(value=False)).to_series().arg_true()
