"""Writes the steps of windows in a run's transaction: what fell due, what differs, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.comparison import is_close
from featurestore.offline.contract import TOMBSTONE, UNTIL, VALUE, RunTransaction, Written
from featurestore.tables.types import INSTANT, value_type
from featurestore.times import MAX_INSTANT, MIN_INSTANT
from featurestore.workflows.ingest.pairs import AT, FIRST, HIGH, LAST, LOW
from featurestore.workflows.ingest.stepping import OWN, WRITTEN, Steps, StepsPart

_HELD_AT, _POINT_AT = "held at", "point at"


@frozen
class WrittenSteps:
    """``written`` counts rows that are dated when a row of the source entered, ``steps`` are all others."""

    written: Written
    steps: int
    settled: int


def write_steps(
    transaction: RunTransaction, version: StoredVersion, parts: Sequence[StepsPart], *, tolerance: float | None
) -> Iterator[WrittenSteps]:
    """Moves steps that fell due into the history as they are, writes what differs, and replaces the coming steps."""
    for part in parts:
        yield _write_part(transaction, version, part.read(), tolerance)


def _write_part(
    transaction: RunTransaction, version: StoredVersion, steps: Steps, tolerance: float | None
) -> WrittenSteps:
    names = list(version.entity_type.key_names)
    entities = None if steps.spans is None else steps.spans.select(names)
    horizon = pl.lit(steps.reach.horizon, pl.Int64).cast(INSTANT)
    lists = transaction.coming(version, entities, key_range=steps.key_range)
    due = lists.filter(pl.col("op") == VALUE, pl.col(AT) <= horizon)
    transaction.append_rows(version, due)
    if steps.spans is None:
        held = transaction.pairs(version, key_range=steps.key_range)
    else:
        held = transaction.pairs_since(version, _since(steps))
    rows = _differing(version, steps, held, tolerance)
    appended = rows.filter(pl.col("differs"))
    number = pl.lit(None, pl.Int64).alias("run_seq")
    transaction.append_rows(version, appended.select(*names, AT, number, "op", "value"))
    _replace(transaction, version, steps, lists)
    own, known = appended.filter(pl.col(OWN)), pl.col("own pair").is_not_null()
    corrected = own.filter(known).height
    values = steps.points.filter(pl.col(OWN), pl.col("op") == VALUE).select(*names, AT, "value")
    unchanged = max(values.height - own.height, 0)
    written = Written(own.height - corrected, corrected, unchanged, values)
    return WrittenSteps(written, appended.height - own.height, due.height)


def _since(steps: Steps) -> pl.DataFrame:
    """The entities with the first instant (`AT`) that the run looks at of each."""
    assert steps.spans is not None, "some entities"
    first = pl.min_horizontal(pl.col(LOW).to_physical(), pl.lit(steps.reach.before, pl.Int64)).clip(MIN_INSTANT)
    return steps.spans.drop(LOW, HIGH).with_columns(steps.spans.select(first.cast(INSTANT).alias(AT)))


def _differing(version: StoredVersion, steps: Steps, held: pl.DataFrame, tolerance: float | None) -> pl.DataFrame:
    """Every pair that the history must agree at: keys, `AT`, op, value, `OWN`, ``own pair`` and whether it ``differs``.

    A value is compared with what the history answers there: its own pair, else the pair before it, which is by then
    what the run makes of it.
    """
    names = list(version.entity_type.key_names)
    keys = [*names, AT]
    wanted = steps.points.filter(pl.col(WRITTEN)).select(keys)
    if held.height:
        wanted = pl.concat([wanted, _compared(steps, held, names).select(keys)]).unique()
    wanted = wanted.sort(keys)
    points = steps.points.with_columns(pl.col(AT).alias(_POINT_AT)).drop(WRITTEN)
    rows = _as_of(wanted, points, names)
    rows = rows.with_columns(
        pl.col("op").fill_null(TOMBSTONE).cast(pl.Int8),
        (pl.col(OWN) & (pl.col(_POINT_AT) == pl.col(AT))).fill_null(value=False).alias(OWN),
    )
    before = held.rename({"op": "held op", "value": "held value"}).with_columns(pl.col(AT).alias(_HELD_AT))
    rows = _as_of(rows, before, names)
    at_own = pl.col(_HELD_AT) == pl.col(AT)
    close = (
        at_own
        & (pl.col("op") == VALUE)
        & (pl.col("held op") == VALUE)
        & is_close(pl.col("held value"), pl.col("value"), version.data_type, tolerance)
    )
    rows = rows.with_columns(pl.when(close).then("held value").otherwise("value").alias("value"))
    same_entity = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in names)
    chained = same_entity & ~at_own.fill_null(value=False)
    chained &= pl.col(_HELD_AT).is_null() | (pl.col(_HELD_AT) <= pl.col(AT).shift())
    chained = chained.fill_null(value=False)
    held_op = pl.when(chained).then(pl.col("op").shift()).otherwise(pl.col("held op").fill_null(TOMBSTONE))
    held_value = pl.when(chained).then(pl.col("value").shift()).otherwise("held value")
    both_nothing = (pl.col("op") == TOMBSTONE) & (held_op == TOMBSTONE)
    differs = ((pl.col("op") != held_op) | pl.col("value").ne_missing(held_value)) & ~both_nothing
    own_pair = pl.when(at_own).then(_HELD_AT).alias("own pair")
    return rows.select(*keys, "op", "value", OWN, own_pair, differs.alias("differs"))


def _as_of(rows: pl.DataFrame, others: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Each row with the last of the others of its entity up to its time. Both are sorted by entity and time."""
    return rows.join_asof(others.sort(*names, AT), on=AT, by=names, strategy="backward", check_sortedness=False)


def _compared(steps: Steps, held: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The pairs of the history that lie where something may have changed."""
    reach = steps.reach
    at = pl.col(AT).to_physical()
    if steps.spans is None:
        low, high = pl.lit(FIRST), pl.lit(LAST)
    else:
        held = held.join(steps.spans, on=names, how="inner", maintain_order="left")
        low, high = pl.col(LOW).to_physical(), pl.col(HIGH).to_physical()
    changed = (at >= low) & (at <= high)
    return held.filter((at >= reach.start) & (at <= reach.horizon) & (changed | (at > reach.before)))


def _replace(transaction: RunTransaction, version: StoredVersion, steps: Steps, lists: pl.DataFrame) -> None:
    """Replaces the coming steps of entities where they change; what is used up leaves an empty list."""
    names = list(version.entity_type.key_names)
    columns = [*names, AT, "op", "value"]
    had = lists.select(names).unique(maintain_order=True)
    have = steps.ahead.select(names).unique(maintain_order=True)
    used_up = had.join(have, on=names, how="anti").with_columns(
        pl.lit(MAX_INSTANT).cast(INSTANT).alias(AT),
        pl.lit(UNTIL, pl.Int8).alias("op"),
        pl.lit(None, value_type(version.data_type)).alias("value"),
    )
    now = pl.concat([steps.ahead.select(columns), used_up.select(columns)])
    changed = _other_entities(lists.select(columns), now, names)
    if changed.height:
        transaction.replace_coming(version, changed, now.join(changed, on=names, how="semi", maintain_order="left"))


def _other_entities(one: pl.DataFrame, other: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """The entities whose rows are not the same in both frames."""
    if not one.height:
        return other.select(names).unique(maintain_order=True)
    order = [*names, AT, "op"]
    joined = one.with_columns(mine=True).join(
        other.with_columns(theirs=True), on=order, how="full", coalesce=True, suffix=" now"
    )
    same = pl.col("mine").is_not_null() & pl.col("theirs").is_not_null()
    return joined.filter(~(same & pl.col("value").eq_missing(pl.col("value now")))).select(names).unique()
