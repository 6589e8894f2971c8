"""What was erased after a backup was made: a restore must not bring it back without a word.

The audit log records that an entity was erased, not whose rows they were. But rows are only ever added otherwise, so
that an entity of which the backup has rows of a version, and the history here none, is one that was erased.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import polars as pl

from featurestore import times
from featurestore.frozen import frozen
from featurestore.model import EntityType, Run, StoredVersion
from featurestore.offline.audit_rows import coming_name, table_name
from featurestore.offline.contract import OfflineStore
from featurestore.offline.copies import VERSIONS, checked_version
from featurestore.workflows import retire
from featurestore.workflows.backup.archive import Archive
from featurestore.workflows.backup.tables import read_table
from featurestore.workflows.erasure.erase import ERASED

ENTITIES = 200_000  # that are looked up at once


@frozen
class ErasedEntity:
    """An entity that was erased since: its type, and its keys in their order."""

    entity_type: EntityType
    keys: tuple[str | int, ...]


@frozen
class ErasedSince:
    """What was erased since a backup: by which runs, which entities, and of which features the whole history."""

    runs: tuple[Run, ...] = ()
    entities: tuple[ErasedEntity, ...] = ()
    features: tuple[str, ...] = ()


def erased_since(offline: OfflineStore, archive: Archive, runs: Collection[str], limit: int) -> ErasedSince:
    """What the history here has lost since the backup, which has the runs of these ids."""
    later = [run for run in offline.runs() if run.run_seq is not None and run.run_id not in runs]
    erasing = tuple(run for run in later if _has_erased(run))
    features = sorted({item.name for run in erasing if run.sources == ("retire",) for item in run.features})
    if not any(run.sources == ("delete",) for run in erasing):
        return ErasedSince(erasing, (), tuple(features))
    found: dict[tuple[EntityType, tuple[str | int, ...]], None] = {}
    held = {version.id for version in offline.versions()}
    for version in backed_up_versions(archive, limit):
        if version.id in held and version.id.feature not in features:
            for keys in _gone(offline, version, _keys(archive, version, limit)):
                found[version.entity_type, keys] = None
    return ErasedSince(erasing, tuple(ErasedEntity(*each) for each in found), tuple(features))


def describe_run(run: Run) -> str:
    return f"{run.run_id} of {times.format_instant(run.started_at)}"


def backed_up_versions(archive: Archive, limit: int) -> list[StoredVersion]:
    """The versions of a backup. Raises DamagedError."""
    with read_table(archive, VERSIONS, limit) as frames:
        return [checked_version(row) for frame in frames for row in frame.rows(named=True)]


def backed_up_runs(archive: Archive, limit: int) -> set[str]:
    """The ids of the committed runs of a backup."""
    found: set[str] = set()
    with read_table(archive, "runs", limit) as frames:
        for frame in frames:
            found.update(frame.filter(pl.col("run_seq").is_not_null())["run_id"].to_list())
    return found


def _has_erased(run: Run) -> bool:
    notes = [item.note or "" for item in run.features]
    if run.sources == ("delete",):
        return all(note.startswith(ERASED) for note in notes)
    return run.sources == ("retire",) and any(note.startswith(retire.ERASED) for note in notes)


def _keys(archive: Archive, version: StoredVersion, limit: int) -> Iterator[pl.DataFrame]:
    """The entities of a version's rows in a backup, many at a time; some of them more than once."""
    names = list(version.entity_type.key_names)
    waiting: list[pl.DataFrame] = []
    for table in (table_name(version.id), *([coming_name(version.id)] if version.steps else [])):
        with read_table(archive, table, limit) as frames:
            for frame in frames:
                waiting = [pl.concat([*waiting, frame.select(names)]).unique()]
                if waiting[0].height >= ENTITIES:
                    yield waiting.pop()
    yield from waiting


def _gone(
    offline: OfflineStore, version: StoredVersion, entities: Iterable[pl.DataFrame]
) -> Iterator[tuple[str | int, ...]]:
    names = list(version.entity_type.key_names)
    for some in entities:
        with offline.reading():
            there = [
                offline.latest(version, entities=some).select(names),
                offline.coming(version, entities=some).select(names),
            ]
        yield from some.join(pl.concat(there), on=names, how="anti").sort(names).iter_rows()
