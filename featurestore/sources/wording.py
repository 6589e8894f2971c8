"""What people read about rows: why one was rejected, and what is odd about those that were accepted.

Nothing here changes or refuses a row, and nothing is fast: it runs for rejected rows, or once a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl

from featurestore.dialect import ISO_8601, Dialect
from featurestore.errors import with_article
from featurestore.model import KeyType, Scalar, Source
from featurestore.sources.casts.cast import EXACT_FLOAT, ColumnType
from featurestore.sources.ways_out import is_null_word, setting_for
from featurestore.tables.batch import BITS
from featurestore.tables.lookalikes import are_plain, folded
from featurestore.tables.written_times import is_no_day, parse_times
from featurestore.times import EPOCH, is_utc

_LONGEST = 80
_MOSTLY = 0.9
_LOOKED_AT = 1_000
_DIGITS = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_NUMBER = r"^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$"


def show(value: object) -> str:
    """A value as it is quoted in a reason."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def misfit_reason(value: object, target: ColumnType, kinds: pl.Series | None = None) -> str:
    """Why a value is not of the target's type; ``kinds`` are those of its column."""
    if kinds is not None and (kinds == BITS).any() and target.kind not in ("bool", "string"):
        return f"{show(value)} is not {with_article(target.kind)}: it is bits, which a query may cast to a number"
    if target.key and target.kind == "int":
        return f"{show(value)} is not an int key: base 10, without plus, zeros or space in front"
    if target.key:
        return f"{show(value)} is not a {target.kind} key: only text and whole numbers are ids"
    reason = _time_reason(value, target) if target.kind == "datetime" else None
    if target.kind in ("date", "datetime") and isinstance(value, str) and is_no_day(value):
        reason = f"{show(value)} is not a {target.kind}: there is no such day or time"
    if reason is None:
        reason = f"{show(value)} is not {with_article(target.kind)}{_as_written(target)}{_too_long(value, target)}"
        written = isinstance(value, str | int | float)
        setting = setting_for(str(value), target.kind, target.dialect) if written else None
        if setting is not None:
            reason += f"; if it is meant to be one, or null: {setting}"
    return reason


def lacks_columns(name: str, columns: Sequence[str]) -> str:
    """What is said of a file that lacks columns which earlier ones had."""
    quoted = ", ".join(map(repr, columns))
    words, are = ("column", "it is") if len(columns) == 1 else ("columns", "they are")
    return (
        f"{name} has no {words} {quoted}, which earlier files of its source have: {are} null there; if the file has "
        "another name for it, say so with rename in [sources.NAME.columns]"
    )


def warn_of_widened(source: Source, widened: Mapping[str, str]) -> list[str]:
    """Pinned columns of integers that hold floats from now on, each with what showed it."""
    return [
        f"{source.name}: column {name!r} was int and is float from now on, for {shown}; its type is in "
        f"features/.versions/{source.name}.columns.toml"
        for name, shown in widened.items()
    ]


def warn_of_mixed(source: Source, mixed: Mapping[str, str]) -> list[str]:
    """Undeclared columns of texts in which a file has numbers or booleans, each with the first of these."""
    return [
        f"{source.name}: column {name!r} is text, and has values that are none and are read as they are written, the "
        f'first in {shown}; {{ type = "float" }} for it in [sources.{source.name}.columns] takes the numbers that a '
        'float holds and sets the others aside, { type = "string" } says that text is meant'
        for name, shown in mixed.items()
    ]


def warn_of_points(source: Source, number: str | None) -> Iterator[str]:
    """A number of which the settings leave open whether its point stands before decimals or between thousands."""
    if number is not None:
        yield (
            f"{source.name}: {number} is read as a number with decimals; if points stand between thousands: "
            f'decimal = "," and thousands = "." in [sources.{source.name}]; decimal = "." says that they don\'t'
        )


def _as_written(target: ColumnType) -> str:
    """How a value of the type would have to be written, where that is not plain."""
    if target.kind not in ("date", "datetime"):
        return ""
    if target.times.format is not None:
        return f": not written as {target.times.format}"
    if target.times.unit is not None:
        return f": not a number of {target.times.unit} since 1970, years 1 to 9999"
    return ": ISO 8601, years 1 to 9999" if target.kind == "datetime" else ""


def _too_long(value: object, target: ColumnType) -> str:
    """Why a number is none of the type, where that is for its size alone."""
    written = str(value)
    if target.kind not in ("int", "float") or isinstance(value, float) or not _DIGITS.fullmatch(written):
        return ""
    number = Decimal(written)
    if target.kind == "int":
        return ", which has 64 bits" if "." not in written and not -(1 << 63) <= number < 1 << 63 else ""
    return ", which holds no more than 15 to 17 digits" if abs(number) >= EXACT_FLOAT else ""


def _time_reason(value: object, target: ColumnType) -> str | None:
    """A time in a zone that has no instant fell where clocks went forward; one that has two, where they went back."""
    micros, zone = _micros(value, target), target.times.timezone or target.zone
    if micros is None or zone is None:
        return None
    local = (EPOCH + timedelta(microseconds=micros)).replace(tzinfo=UTC if is_utc(zone) else ZoneInfo(zone))
    try:
        local.astimezone(UTC)
    except OverflowError:
        return f"{show(value)} in {zone} is not in the years 1 to 9999 of UTC"
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    if before is None or after is None or before == after:
        return None
    if before < after:
        return f'{show(value)} never happened in {zone}: clocks went forward; nonexistent = "forward" takes it'
    return (
        f"{show(value)} happened twice in {zone}: clocks went back; write its offset, "
        'or say which: ambiguous = "earliest" or "latest"'
    )


def _micros(value: object, target: ColumnType) -> int | None:
    """The naive local time that a value names."""
    text = value if isinstance(value, str) else getattr(value, "isoformat", str)()
    parsed = parse_times(pl.Series([text]), target.times if isinstance(value, str) else ISO_8601)
    return int(parsed.micros[0]) if parsed.valid[0] and parsed.naive[0] else None


def warn_of_zones(source: Source, naive: Collection[str]) -> Iterator[str]:
    """Times without a zone in a source that names none."""
    if naive and source.timezone is None:
        yield (
            f"source {source.name}: the times in {', '.join(sorted(naive))} have no zone and are taken as UTC; "
            f'if they are, say so with timezone = "UTC" in [sources.{source.name}], else name their zone'
        )


def warn_of_ids(frame: pl.DataFrame, keys: Mapping[str, KeyType]) -> Iterator[str]:
    """Ids that a person would take for one. They stay different entities."""
    for name, kind in keys.items():
        if kind == "string" and name in frame.columns and not are_plain(frame[name].alias("")):
            ids = frame[name].alias("").unique()
            blank = ids.filter(ids.str.strip_chars() == "")
            if len(blank):
                rows = int(frame[name].is_in(blank.implode()).sum() or 0)
                yield (
                    f"{rows:,} {'row has' if rows == 1 else 'rows have'} an empty {name}, which is an entity like any "
                    'other; in a CSV only a field without quotes is no id at all ("" is an empty one)'
                )
            alike = folded(ids).is_duplicated()
            if alike.any():
                shown = ", ".join(repr(each) for each in ids.filter(alike).sort()[:3])
                yield (
                    f"{int(alike.sum())} values of {name} differ only by whitespace, case, Unicode form or .0, "
                    f"as {shown}: each is an entity of its own"
                )


def warn_of_text(
    frame: pl.DataFrame, inferred: Mapping[str, Scalar], place: Callable[[int], str], dialect: Dialect
) -> Iterator[str]:
    """Columns that are text because of a few values among many numbers, or because of how their values are written."""
    for name, kind in inferred.items():
        column = frame.get_column(name, default=None)
        if kind != "string" or column is None or column.dtype != pl.String:
            continue
        column = column.alias("")
        there = len(column) - column.null_count()
        words = (column.cast(pl.Float64, strict=False).is_null() & column.is_not_null()).arg_true()
        if 0 < len(words) <= (1 - _MOSTLY) * there:
            first = str(column[int(words[0])])
            null = f'; if it means null, null = ["{first}"]' if is_null_word(first) else ""
            yield (
                f"column {name} is text because of {len(words)} value(s) that are not numbers, the first "
                f"{first!r} in {place(int(words[0]))}; declare its type to set such rows aside{null}"
            )
        elif setting := _setting_of_most(column, dialect):
            yield f"column {name} is text; its values look like {setting[0]}: {setting[1]} would read them so"
        elif (large := _large_beside_floats(column)) is not None:
            yield (
                f"column {name} is text because no float holds {column[large]} in {place(large)} exactly; "
                'type = "float" for it sets such rows aside'
            )


def _large_beside_floats(column: pl.Series) -> int | None:
    """Where a column has its first integer that no float holds, if all else are numbers, some of them not whole."""
    values = column.drop_nulls()
    first = values.head(_LOOKED_AT)
    # What costs least and rules out most comes first.
    if not (first.str.contains(_NUMBER).all() and values.str.contains(r"[.eE]").any()):
        return None
    large = (column.cast(pl.Int128, strict=False).abs() >= EXACT_FLOAT).fill_null(value=False)
    return large.arg_max() if large.any() and values.str.contains(_NUMBER).all() else None


def _setting_of_most(column: pl.Series, dialect: Dialect) -> tuple[str, str] | None:
    """(what nearly all of the first values are, the setting by which they would be read as that)."""
    values = [value for value in column.drop_nulls().head(_LOOKED_AT).unique() if not is_null_word(value)]
    kinds: tuple[tuple[Scalar, str], ...] = (("float", "numbers"), ("datetime", "times"))
    for kind, what in kinds:
        found = [setting for value in values if (setting := setting_for(value, kind, dialect))]
        if found and len(found) >= _MOSTLY * len(values):
            # The shortest: what one value leaves open, another one may settle.
            return what, min(found, key=len)
    return None
