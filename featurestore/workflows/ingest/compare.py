"""Compares a run's values with what the history holds, inside the run's transaction: what is withdrawn, what stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from featurestore.errors import FeatureError
from featurestore.evaluation.rounding import equal, greatest, is_rounding
from featurestore.model import StoredVersion
from featurestore.offline.comparison import is_close
from featurestore.offline.contract import VALUE, Part, RunTransaction, Written
from featurestore.workflows.ingest.evaluating import Comparison, ValuesPart
from featurestore.workflows.ingest.pairs import AT, HIGH, LOW, spanned, without


def write_parts(
    transaction: RunTransaction, version: StoredVersion, parts: Sequence[ValuesPart], *, tolerance: float | None
) -> Iterator[tuple[Written, int]]:
    """Writes values that come in parts, as `write_compared` does. Raises FeatureError before anything is written."""
    for part in parts:
        enough = part.outermost if transaction.refuses_times_alone else None
        transaction.refuse(version, part.frame.read() if enough is None else enough)
        if part.comparison.checks is not None:
            _held(transaction, version, part.comparison, tolerance)
    before: list[pl.DataFrame | None] = []

    def frames() -> Iterator[Part]:
        for part in parts:
            before[:] = [_held(transaction, version, part.comparison, tolerance)]
            yield part.frame

    for part, written in zip(parts, transaction.write_parts(version, frames(), tolerance=tolerance), strict=True):
        (held,) = before
        frame = written.values.clear() if held is None else part.frame.read()
        yield written, _withdraw(transaction, version, _gone(held, frame, part.comparison))


def write_compared(
    transaction: RunTransaction,
    version: StoredVersion,
    frame: pl.DataFrame,
    comparison: Comparison,
    *,
    tolerance: float | None,
) -> tuple[Written, int]:
    """Writes what is new or corrected, and withdraws what is not given any more: how many. Raises FeatureError."""
    if comparison.departures is not None:
        departures = _compared(comparison.departures, comparison)
        return transaction.write_known(version, frame, departures, tolerance=tolerance)
    held = _held(transaction, version, comparison, tolerance)
    written = transaction.write(version, frame, tolerance=tolerance)
    return written, _withdraw(transaction, version, _gone(held, frame, comparison))


def _held(
    transaction: RunTransaction, version: StoredVersion, comparison: Comparison, tolerance: float | None
) -> pl.DataFrame | None:
    """What is held where it is withdrawn if it is not given. Raises FeatureError where it must be what is expected."""
    if comparison.spans is None and not comparison.everything:
        return None
    entities = None if comparison.spans is None else comparison.spans.drop(LOW, HIGH).unique()
    found = transaction.pairs(version, entities, key_range=comparison.key_range)
    held = _compared(found.filter(pl.col("op") == VALUE), comparison)
    _check(version, held, comparison, tolerance)
    return held


def _withdraw(transaction: RunTransaction, version: StoredVersion, pairs: pl.DataFrame | None) -> int:
    return 0 if pairs is None or not pairs.height else transaction.withdraw(version, pairs)


def _gone(held: pl.DataFrame | None, frame: pl.DataFrame, comparison: Comparison) -> pl.DataFrame | None:
    """The pairs that may hold a value and that nothing gives any more."""
    if held is None:
        return None if comparison.pairs is None else _compared(comparison.pairs, comparison)
    pairs = held.drop("op", "value")
    if comparison.spans is not None:
        pairs = spanned(pairs, comparison.spans)
    return without(pairs, frame.select(pairs.columns))


def _compared(pairs: pl.DataFrame, comparison: Comparison) -> pl.DataFrame:
    """The pairs without those that are left as they are."""
    at = pl.col(AT).to_physical()
    if comparison.floor is not None:
        pairs = pairs.filter(at > comparison.floor)
    return pairs if comparison.ceiling is None else pairs.filter(at <= comparison.ceiling)


def _check(version: StoredVersion, held: pl.DataFrame, comparison: Comparison, tolerance: float | None) -> None:
    """Raises FeatureError where a value differs that no changed row may change, if the scope is true."""
    if comparison.checks is None or comparison.expected is None:
        return
    keys = [*version.entity_type.key_names, AT]
    before = spanned(held.drop("op"), comparison.checks)
    joined = before.join(comparison.expected, on=keys, how="full", coalesce=True, suffix=" now")
    was, now = pl.col("value"), pl.col("value now")
    same = was.eq_missing(now) | is_close(was, now, version.data_type, tolerance)
    if joined.schema["value"].is_float():
        # What was computed beside other rows may have other last bits.
        same |= is_rounding(was, now, greatest(joined["value"]))
    marked = before.select(keys).with_columns(pl.lit(value=True).alias("was"))
    differing = joined.join(marked, on=keys, how="left").filter(~same | pl.col("was").is_null())
    for row in differing.sort(keys).iter_rows(named=True):
        if row["was"] and equal(row["value"], row["value now"], tolerance, 0.0):
            continue  # a list, of floats that differ by rounding
        entity = ", ".join(f"{name}={row[name]}" for name in version.entity_type.key_names)
        raise FeatureError(
            f"the value of {entity} at {row[AT].isoformat()}Z was {row['value']} and is {row['value now']}, although "
            "no row changed that its lookback allows it to depend on",
            where=version.id.feature,
            hint="declare a longer lookback, or none",
        )
