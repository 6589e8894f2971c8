"""Looking through a project's sources for an entity that is erased: the next reading would bring it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureStoreError, NothingToReadError
from featurestore.frozen import frozen
from featurestore.model import EntityType
from featurestore.offline.naming import naming
from featurestore.point_in_time.entities import Entity
from featurestore.progress import SILENT, Progress
from featurestore.registry.discovery import discover
from featurestore.sources.contract import ErasableSource, Offer, OpenSource
from featurestore.sources.offers import open_source
from featurestore.tables.batch import Batch
from featurestore.versioning.analysis.tree import SourceTree


@frozen
class SourcesNaming:
    """Files, or what a source of another type calls its parts, that name an entity; and sources that can't be read.

    ``remaining`` are the sources of both. ``files`` are those that a source has, of each that has files.
    """

    named_in: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()
    files: Mapping[str, frozenset[str]] = field(default_factory=dict)


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
    files: dict[str, frozenset[str]] = {}
    for source in project.sources.values():
        progress(f"looking through source {source.name}")
        try:
            opened: OpenSource | None = open_source(project, source)
            if kept := isinstance(opened, ErasableSource):
                opened = opened.reread()
            offer = None if opened is None else _offer(opened)
            if not kept:
                files[source.name] = _files(offer)
            if opened is None or offer is None:
                continue
            for origin in _origins(opened, offer, entity_type, entity, anywhere=source.name in readers):
                named[origin] = remaining[source.name] = None
        except FeatureStoreError as exc:
            unread.append(f"source {source.name} can't be looked through: {exc}")
            remaining[source.name] = None
    return SourcesNaming(tuple(named), tuple(unread), tuple(remaining), files)


def feeding(project: Project, entity_type: EntityType) -> set[str]:
    """The sources that features of an entity type read."""
    features = discover(project, SourceTree(project.root)).features
    return {name for item in features if item.entity_type == entity_type for name in item.source_names}


def _offer(opened: OpenSource) -> Offer | None:
    try:
        return opened.offer()
    except NothingToReadError:
        return None


def _files(offer: Offer | None) -> frozenset[str]:
    cursor = None if offer is None else offer.cursor
    files = cursor.get("files") if isinstance(cursor, dict) else None
    return frozenset(files) if isinstance(files, dict) else frozenset()


def _origins(
    opened: OpenSource, offer: Offer, entity_type: EntityType, entity: Entity, *, anywhere: bool
) -> Iterator[str]:
    names = naming([entity[name] for name in entity_type.key_names])
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
    return frame_naming(batch.frame, entity_type, entity, anywhere=anywhere)


def columns_naming(schema: pl.Schema, entity_type: EntityType, *, anywhere: bool) -> list[str]:
    """The columns that say whether a row names an entity: those of its keys, where all are there, or all of one value.

    None at all without the first and without ``anywhere``.
    """
    flat = [name for name, kind in schema.items() if not kind.is_nested() and kind != pl.Binary]
    if {*entity_type.key_names} <= {*flat}:
        return list(entity_type.key_names)
    return flat if anywhere else []


def frame_naming(frame: pl.DataFrame, entity_type: EntityType, entity: Entity, *, anywhere: bool) -> pl.Series:
    """The same of a frame."""
    keys = {name: str(entity[name]) for name in entity_type.key_names}
    columns = columns_naming(frame.schema, entity_type, anywhere=anywhere)
    if not columns:
        return pl.Series([], dtype=pl.UInt32)
    by_name = {*keys} == {*columns}
    texts = frame.select(pl.col(columns).cast(pl.String, strict=False))
    whole = {key.name for key in entity_type.keys if key.type == "int"}  # 007 is 7, and 7.0

    def equal(name: str, text: str) -> pl.Expr:
        if name not in whole:
            return pl.col(name) == text
        return pl.col(name).str.replace(r"\.0*$", "").cast(pl.Int64, strict=False) == int(text)

    same = [equal(name, text) if by_name else pl.any_horizontal(pl.all() == text) for name, text in keys.items()]
    return texts.select(pl.all_horizontal(same).fill_null(value=False)).to_series().arg_true()
