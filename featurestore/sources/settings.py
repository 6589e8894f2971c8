"""``[sources.NAME]`` as a `Source`: the settings that every source has, and those of its type."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal
from unicodedata import normalize

from featurestore import times
from featurestore.errors import ConfigError, SourceError, did_you_mean, nearest
from featurestore.model import FEATURE_NAME, KINDS, Column, Scalar, Source, SourceSettings
from featurestore.sources.bounds import read_bounds, read_choices, read_lengths
from featurestore.sources.contract import SourceType
from featurestore.sources.dialects import COLUMN, WORDS, check_zone, read_dialect, read_time_format
from featurestore.sources.types import STREAMS, all_keys, find_type
from featurestore.toml import TomlTable

_ROLES = ("event_time", "updated_at", "known_at")
COMMON = (
    "type", "event_time", "timezone", "updated_at", "valid", "columns", "max_rejected", "id", "duplicates",
    "keep_parsed", "keep", "known_at", "snapshot", "max_vanished", *WORDS,
)  # fmt: skip
MAX_VANISHED = 0.1
RULES = ("type", "null", "min", "max", "in", "pattern", "min_length", "max_length", "unique")


def nfc(name: str) -> str:
    """The name of a column as sources have it: in Unicode's composed form."""
    return normalize("NFC", name)


def read_source(name: str, table: TomlTable) -> Source:
    """Reads a source's table. Raises ConfigError naming file and key."""
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path} must match {FEATURE_NAME.pattern}", where=table.place())
    source_type = _find_type(table)
    table.allow(*COMMON, *source_type.KEYS, elsewhere=all_keys)
    zone = table.text("timezone")
    if zone is not None:
        check_zone(zone, table)
    settings = source_type.read_settings(table)
    inner = {nfc(column): one for column, one in table.tables("columns")}
    columns = {column: _read_column(column, one) for column, one in inner.items()}
    formats = {column: read_time_format(one) for column, one in inner.items()}
    renamed = _read_renamed(inner)
    roles = {role: None if table.text(role) is None else nfc(str(table.text(role))) for role in _ROLES}
    for role, named in roles.items():
        column = columns.get(str(named))
        if column is not None and column.type not in ("datetime", "date"):
            raise table.error(role, f"names {column.name!r}, which is declared as {column.type}, not datetime")
    if roles["known_at"] is not None and roles["event_time"] is None and "valid" not in table.data:
        hint = 'event_time = "COLUMN", or valid = "always" where rows have no time'
        raise table.error("known_at", "says when rows were known, but nothing says when they were true", hint)
    ids = _read_id(table)
    return Source(
        name=name, type=table.required_text("type"), settings=settings, event_time=roles["event_time"],
        timezone=zone, updated_at=roles["updated_at"], valid=_read_valid(table), columns=columns,
        id=ids, duplicates=_read_duplicates(table, ids), keep_parsed=table.get("keep_parsed", bool, True),
        dialect=read_dialect(table, source_type.KEYS, formats, renamed),
        max_rejected=_read_share(table, "max_rejected"),
        known_at=roles["known_at"], snapshot=_read_snapshot(table), max_vanished=_read_max_vanished(table),
        keep=_read_keep(table, settings),
    )  # fmt: skip


def _read_valid(table: TomlTable) -> int | None:
    """``valid = "always"`` or a date as an instant (µs); `times.MIN_INSTANT` for always."""
    text = table.text("valid")
    if text is None:
        return None
    if "event_time" in table.data:
        raise table.error("valid", "dates the rows of a source without event_time", "leave out one of the two")
    if text == "always":
        return times.MIN_INSTANT
    try:
        return times.parse_instant(text)[0]
    except ValueError:
        hint = 'valid = "always", or the date from which its rows hold: "2020-01-01"'
        raise table.error("valid", f'is neither "always" nor a date: {text!r}', hint) from None


def _read_renamed(columns: Mapping[str, TomlTable]) -> Mapping[str, str]:
    """The names in the file, where they are others. Raises ConfigError where one is named twice."""
    renamed: dict[str, str] = {}
    for column, table in columns.items():
        name = table.text("rename")
        if name is not None:
            if nfc(name) in renamed.values():
                raise table.error("rename", "names a column that another one is renamed from too")
            renamed[column] = nfc(name)
    return renamed


def _read_snapshot(table: TomlTable) -> Literal["all", "newest"] | None:
    value = table.data.get("snapshot", False)
    if value is False:
        return None
    if table.data.get("type") in STREAMS or "cursor" in table.data:
        raise table.error("snapshot", "is for a source that is read as a whole", "leave it out, or read a table whole")
    if value is True:
        return "all"
    if value != "newest":
        hint = 'snapshot = true: all its files together hold everybody; "newest": the newest of them by name does'
        raise table.error("snapshot", 'is neither true nor "newest"', hint)
    return "newest"


def _read_max_vanished(table: TomlTable) -> float:
    share = _read_share(table, "max_vanished")
    if share is None:
        return MAX_VANISHED
    if not table.data.get("snapshot"):
        raise table.error("max_vanished", "is about a snapshot", "snapshot = true, or leave it out")
    return share


def _read_keep(table: TomlTable, settings: SourceSettings) -> int | None:
    keep = table.retention("keep")
    if keep is None:
        return None
    if "event_time" not in table.data:
        raise table.error("keep", "is counted in event times, and nothing names them", 'event_time = "COLUMN"')
    if table.data.get("type") == "postgresql" and getattr(settings, "cursor", None) is None:
        hint = 'leave it out, or read the table by a cursor: cursor = "COLUMN"'
        raise table.error("keep", "is about rows that can't be read again, and this table can", hint)
    return keep


def _read_share(table: TomlTable, key: str) -> float | None:
    """``max_rejected = "1%"`` as a share of 1."""
    text = table.text(key)
    if text is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?%", text.strip(), re.ASCII)
    if found is None or float(found[1]) > 100:
        raise table.error(key, "is not a share", f'for example {key} = "1%"')
    return float(found[1]) / 100


def _read_id(table: TomlTable) -> tuple[str, ...]:
    given = table.get("id", list, [])
    if not all(isinstance(column, str) and column for column in given) or ("id" in table.data and not given):
        raise table.error("id", "must be a list of columns", 'for example id = ["order_id"]')
    return tuple(nfc(column) for column in given)


def _read_duplicates(table: TomlTable, ids: tuple[str, ...]) -> Literal["keep"] | None:
    given = table.text("duplicates")
    if given is None:
        return None
    if given != "keep":
        raise table.error("duplicates", "is not a way to treat equal rows", 'duplicates = "keep", or leave it out')
    if ids:
        raise table.error(
            "duplicates", "and id exclude each other", "an id tells one event from another; leave out one"
        )
    return "keep"


def _find_type(table: TomlTable) -> SourceType:
    misspelt = None if "type" in table.data else nearest("type", table.data)
    if misspelt:
        raise table.error(misspelt, "is not a known key", did_you_mean(misspelt, COMMON))
    name = table.required_text("type")
    try:
        return find_type(name)
    except SourceError as exc:
        raise table.error("type", "is not a known source type", exc.hint) from None


def _read_column(name: str, table: TomlTable) -> Column:
    table.allow(*RULES, *COLUMN)
    written = [key for key in COLUMN if key in table.data and key != "rename"]
    kind = read_kind(table.text("type", "datetime") if written else table.required_text("type"))
    if kind is None:
        text = table.required_text("type")
        raise table.error("type", "is not a known column type", did_you_mean(text, KINDS))
    if written and kind not in ("datetime", "date"):
        raise table.error(written[0], f"needs a datetime or date column, not {kind}")
    if kind == "date" and written and written != ["format"]:
        raise table.error(next(key for key in written if key != "format"), "needs a datetime column, not date")
    pattern = table.text("pattern")
    if pattern is not None:
        from featurestore.sources.patterns import check_pattern  # most projects have no pattern

        problem = check_pattern(pattern)
        if problem is not None:
            raise table.error("pattern", *problem)
        if kind != "string":
            raise table.error("pattern", f"needs a string column, not {kind}")
    low, high = read_bounds(kind, table)
    shortest, longest = read_lengths(kind, table)
    return Column(
        name=name, type=kind, null=table.get("null", bool, True), min=low, max=high,
        choices=read_choices(kind, table), pattern=pattern, min_length=shortest, max_length=longest,
        unique=table.get("unique", bool, False),
    )  # fmt: skip


def read_kind(text: object) -> Scalar | None:
    """The data type of that name; None where there is none."""
    return next((kind for kind in KINDS if kind == text), None)
