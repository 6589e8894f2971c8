"""Leaves one row for each entity and time, or each entity without times: the one that was updated last.

Rows with the same keys, time and value collapse. Rows with different values need an ``updated_at`` of which one is the
latest; otherwise they are an error, since any choice would be arbitrary.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence

import polars as pl

from featurestore.errors import FeatureError
from featurestore.model import EntityType, Source

_LATER = r"updated|changed|modified|loaded|ingested|inserted|received|recorded"  # names of columns that say so
UPDATED = "updated at"  # the column with `updated_at` (µs); a space keeps it apart from every source's columns

# Describes the row at an index of the frame as it came, with these keys and time.
Locate = Callable[[int, dict[str, object]], str]


def sort_and_drop_superseded(frame: pl.DataFrame, order: Sequence[str], locate: Locate, hint: str) -> pl.DataFrame:
    """Sorts by ``order``, the keys and where there are times ``computed_at``, and leaves one row for each.

    ``locate`` and ``hint`` are for the FeatureError that is raised where rows contradict each other.
    """
    repeats = find_repeats(frame, order)
    # Rows of one entity and time are in the order of updated_at only where the source's own times are theirs.
    if repeats is not None and (UPDATED not in frame.columns or not repeats.any()):
        return drop_superseded(frame, order, repeats, locate, hint)
    index = "row index"
    by = [*order, UPDATED] if UPDATED in frame.columns else order
    frame = frame.with_row_index(index).sort(by, maintain_order=True)
    origin = frame[index]
    frame = frame.drop(index)
    repeats = find_repeats(frame, order)
    assert repeats is not None
    return drop_superseded(frame, order, repeats, lambda at, row: locate(int(origin[at]), row), hint)


def drop_superseded(
    frame: pl.DataFrame, order: Sequence[str], repeats: pl.Series, locate: Locate, hint: str
) -> pl.DataFrame:
    """The last row of each group of a frame sorted by ``order``. ``repeats`` is what `find_repeats` gives for it."""
    if not repeats.any():
        return frame.select(*order, "value")
    superseded = repeats.shift(-1, fill_value=False)
    clash = _first_clash(frame, repeats, superseded)
    if clash is not None:
        raise _contradiction(frame, clash, order, locate, hint)
    return frame.filter(~superseded).select(*order, "value")


def repeats_in(frame: pl.DataFrame, order: Sequence[str]) -> pl.Series:
    """Whether each row of a frame that is sorted by ``order`` repeats these columns of the row before it."""
    equal = pl.Series([True]).new_from_index(0, frame.height)
    for name in order:
        column = frame[name]
        equal = equal & (column == column.shift(1)).fill_null(value=False)
    return equal


def ways_out(
    source: Source,
    entity_type: EntityType,
    schema: Mapping[str, pl.DataType],
    unread: Collection[str] = (),
    *,
    one_id: bool = False,
) -> str:
    """What to do about two events of one entity in one instant, as text to paste; with ``one_id`` of one id.

    Of columns that were not read only the names are known.
    """
    place = [*entity_type.key_names, *([source.event_time] if source.event_time else [])]
    others = {name: kind for name, kind in schema.items() if name not in place}
    later = next((name for name, kind in others.items() if isinstance(kind, pl.Datetime)), None)
    later = later or next((name for name in unread if re.search(_LATER, name.lower())), None)
    over = ", ".join(f'"{name}"' for name in place)
    replaced = (
        f'if one of them replaces the other, say which is the later: updated_at = "{later or "changed_at"}" in '
        f"[sources.{source.name}]"
    )
    if one_id:
        ids = ", ".join(f'"{name}"' for name in source.id)
        return f"{replaced}; if both count, add what tells them apart to id = [{ids}]"
    together = f"make one value of them in the function, for example .sum().over({over}) or .max().over({over})"
    if source.id or source.duplicates == "keep":
        return f"{replaced}; if both count, {together}"
    own = next((name for name in [*others, *unread] if re.search(r"(^|_)(id|nr|no|number)$", name.lower())), "event_id")
    return (
        f'{replaced}; if both count, {together}, and say what tells them apart: id = ["{own}"] in '
        f'[sources.{source.name}], which windows need, or duplicates = "keep", where every row is an event'
    )


def find_repeats(frame: pl.DataFrame, order: Sequence[str]) -> pl.Series | None:
    """Whether each row repeats the columns ``order`` of the row before it; None if the frame is not sorted by them."""
    equal = pl.Series([True]).new_from_index(0, frame.height)
    for name in order:
        column, before = frame[name], frame[name].shift(1)
        same = (column == before).fill_null(value=False)
        # Of rows that differ here first alone: which of two texts is greater takes longer than whether they differ.
        at = (equal & ~same).arg_true()
        if not (column.gather(at) > before.gather(at)).fill_null(value=True).all():
            return None
        equal = equal & same
    return equal


def _first_clash(frame: pl.DataFrame, repeats: pl.Series, superseded: pl.Series) -> tuple[int, int] | None:
    """The first row whose value differs from the last one of its entity and time without being older, and that one."""
    updated = [UPDATED] if UPDATED in frame.columns else []
    groups = (
        frame.select("value", *updated)
        .with_columns(group=(~repeats).cum_sum(), superseded=superseded)
        .with_row_index("index")
        .filter(repeats | superseded)
        .with_columns(pl.col("index", "value", *updated).last().over("group").name.prefix("last "))
    )
    tied = [pl.col(name).eq_missing(pl.col(f"last {name}")) for name in updated]
    clashes = groups.filter(pl.col("superseded"), pl.col("value").ne_missing(pl.col("last value")), *tied)
    return (clashes["index"][0], clashes["last index"][0]) if clashes.height else None


def _contradiction(
    frame: pl.DataFrame, clash: tuple[int, int], order: Sequence[str], locate: Locate, hint: str
) -> FeatureError:
    row = frame.row(clash[0], named=True)
    first, second = (locate(at, {name: row[name] for name in order}) for at in clash)
    entity = ", ".join(f"{name}={row[name]}" for name in order if name != "computed_at")
    at = f" at {row['computed_at'].isoformat()}Z" if "computed_at" in order else ""
    return FeatureError(
        f"two different values for {entity}{at}: {row['value']} ({first}) and {frame['value'][clash[1]]} ({second})",
        hint=hint,
    )
