"""Sources that hold everybody who is: who is gone from them is deleted, and who comes back is not deleted any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import polars as pl

from featurestore.frozen import frozen
from featurestore.model import EntityType, RejectedRow, Source, StoredVersion
from featurestore.offline.contract import TOMBSTONE, UNTIL, VALUE, WITHDRAWN, History, RunTransaction
from featurestore.point_in_time.entities import format_entity
from featurestore.tables.types import INSTANT, key_types
from featurestore.workflows.ingest.events import Moves, Present
from featurestore.workflows.ingest.pairs import AT
from featurestore.workflows.partitions import key_ranges

_SHOWN = 3
_DELETED_AT = "deleted_at"


@frozen
class SnapshotOutcome:
    """What a snapshot did, in sentences. With ``refused`` somebody is gone and was not deleted.

    ``undone`` are the pairs whose tombstones hold no more, for `withdraw_tombstones`.
    """

    lines: tuple[str, ...]
    undone: pl.DataFrame
    refused: bool = False


def find_present(
    source: Source,
    entity_type: EntityType,
    rows: pl.DataFrame,
    rejected: Sequence[RejectedRow],
    rejected_count: int,
    versions: Sequence[StoredVersion],
) -> Present:
    """Who is in the rows of a snapshot, accepted and set aside."""
    types = key_types(entity_type)
    named = [_keys(row.values, entity_type) for row in rejected]
    told = [keys for keys in named if keys is not None]
    aside = pl.DataFrame(told, schema=types, orient="row")
    entities = pl.concat([rows.select(pl.col(name).cast(kind) for name, kind in types.items()), aside]).unique()
    return Present(source, entity_type, entities, rejected_count - len(told), tuple(versions))


def _keys(values: Mapping[str, object], entity_type: EntityType) -> tuple[str | int, ...] | None:
    found: list[str | int] = []
    for key in entity_type.keys:
        text = values.get(key.name)
        if text is None:
            return None
        try:
            found.append(int(str(text)) if key.type == "int" else str(text))
        except ValueError:
            return None
    return tuple(found)


def alive(store: History, version: StoredVersion, memory: int) -> pl.DataFrame:
    """The entities (key columns) that a value of a version answers."""
    keys = list(version.entity_type.key_names)
    parts = (store.latest(version, key_range=each) for each in key_ranges(store, [version], memory))
    return pl.concat([part.filter(pl.col("op") == VALUE).select(keys) for part in parts])


def find_moves(present: Present, answering: Sequence[pl.DataFrame], marks: pl.DataFrame, at: int) -> Present:
    """The same, with who is gone and who is back.

    ``answering`` are the entities that a value of its versions answers (`alive`), and ``marks`` the deletions.
    """
    keys = list(present.entity_type.key_names)
    marks = marks.filter(pl.col("author") == "snapshot").select(keys)
    back = marks.join(present.entities, on=keys, how="semi").unique().sort(keys)
    before = pl.concat([*answering, back]).unique()
    gone = before.join(present.entities, on=keys, how="anti").sort(keys)
    reason = _refusal(present, gone.height, before.height) if gone.height else None
    if reason is None:
        return replace(present, moves=Moves(at, gone, back))
    refusal = f"{present.source.name}: {_who(present.entity_type, gone)} gone from its snapshot, {reason}"
    return replace(present, moves=Moves(at, gone.clear(), back, refusal))


def with_moves(marks: pl.DataFrame, present: Present, run_seq: int) -> pl.DataFrame:
    """The deletions as they are in a run that makes a snapshot's."""
    keys, moves = list(present.entity_type.key_names), _moves_of(present)
    returned = marks.join(moves.back, on=keys, how="semi").filter(pl.col("author") == "snapshot")
    rest = marks.join(returned, on=marks.columns, how="anti", maintain_order="left")
    returned = returned.with_columns(pl.lit(run_seq).alias("run_seq"), pl.lit("returned").alias("author"))
    instant = pl.lit(moves.at, pl.Int64).cast(INSTANT).alias(_DELETED_AT)
    gone = moves.gone.with_columns(instant, pl.lit(run_seq).alias("run_seq"), pl.lit("snapshot").alias("author"))
    return pl.concat([rest, returned, gone.select(marks.columns).cast(marks.schema)])


def apply_snapshot(run: RunTransaction, present: Present, versions: Sequence[StoredVersion]) -> SnapshotOutcome:
    """Deletes who is gone, and finds what earlier snapshots did to those who are back and is to be undone.

    ``versions`` are all of the entity type: a deletion is that of the entity, in every feature.
    """
    entity_type, keys, moves = present.entity_type, list(present.entity_type.key_names), _moves_of(present)
    undone, lines = _undone(run, present, moves.back), []
    if moves.back.height:
        run.mark_returned(entity_type, moves.back)
        lines.append(f"{present.source.name}: {_who(entity_type, moves.back)} back")
    if moves.refusal is not None:
        return SnapshotOutcome((*lines, moves.refusal), undone, refused=True)
    gone = moves.gone
    if not gone.height:
        return SnapshotOutcome(tuple(lines), undone)
    instant = pl.lit(moves.at, pl.Int64).cast(INSTANT)
    run.mark_deleted(entity_type, gone.with_columns(instant.alias(_DELETED_AT)), "snapshot")
    for version in versions:
        if version.steps:
            _end_steps(run, version, gone, instant)
        standing = run.pairs(version, gone).filter(pl.col("op") != WITHDRAWN)
        last = standing.filter(pl.col(AT) <= instant).unique(keys, keep="last", maintain_order=True)
        run.delete(version, last.filter(pl.col("op") == VALUE).select(*keys, instant.alias(AT)))
        run.withdraw(version, standing.filter((pl.col(AT) > instant) & (pl.col("op") == VALUE)).select(*keys, AT))
    lines.append(f"{present.source.name}: {_who(entity_type, gone)} gone from its snapshot and deleted from now on")
    return SnapshotOutcome(tuple(lines), undone)


def withdraw_tombstones(run: RunTransaction, undone: pl.DataFrame, versions: Sequence[StoredVersion]) -> None:
    """After the values of the run are written: one that is dated when its entity was deleted is in place of it by then.

    Windows are evaluated again from the deletion on: until then they answer nothing.
    """
    for version in versions:
        if not version.steps:
            run.withdraw(version, undone, of=TOMBSTONE)


def _moves_of(present: Present) -> Moves:
    assert present.moves is not None, "found before anything is made of them"
    return present.moves


def _end_steps(run: RunTransaction, version: StoredVersion, gone: pl.DataFrame, instant: pl.Expr) -> None:
    """Moves the steps that fell due into the history as they are, and drops those that did not."""
    coming = run.coming(version, gone)
    run.append_rows(version, coming.filter(pl.col("op") == VALUE, pl.col(AT) <= instant))
    run.replace_coming(version, gone, coming.filter(pl.col("op") == UNTIL))


def _undone(run: RunTransaction, present: Present, back: pl.DataFrame) -> pl.DataFrame:
    """The pairs whose tombstones are of snapshots that those who are back were gone from, and of nobody else."""
    keys = list(present.entity_type.key_names)
    marks = run.deletions(present.entity_type).join(back, on=keys, how="semi", maintain_order="left")
    deleted, by_user = (marks.filter(pl.col("author") == author) for author in ("snapshot", "user"))
    undone = deleted.select(*keys, _DELETED_AT).unique().join(by_user, on=[*keys, _DELETED_AT], how="anti")
    return undone.rename({_DELETED_AT: AT})


def _refusal(present: Present, gone: int, before: int) -> str | None:
    """Why nobody is deleted."""
    source, name = present.source, f"[sources.{present.source.name}]"
    if present.untold:
        return (
            f"but {present.untold:,} rows of it were set aside and don't say whose they are: nobody was deleted; "
            "correct them first"
        )
    if gone > before * source.max_vanished:
        return (
            f'{gone / before:.1%} of {before:,}, more than max_vanished = "{100 * source.max_vanished:.4g}%" allows: '
            f"nobody was deleted; see whether the snapshot is whole, or raise max_vanished in {name}"
        )
    return None


def _who(entity_type: EntityType, entities: pl.DataFrame) -> str:
    """``3 customers (a, b, c) are``."""
    shown = [format_entity(entity_type, row) for row in entities.head(_SHOWN).iter_rows(named=True)]
    more = ", …" if entities.height > _SHOWN else ""
    verb = "is" if entities.height == 1 else "are"
    return f"{entities.height:,} {entity_type.name} ({', '.join(shown)}{more}) {verb}"
