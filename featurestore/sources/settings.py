"""``[sources.NAME]`` as a `Source`: the settings that every source has, and those of its type."""

from __future__ import annotations

from typing import Literal
from unicodedata import normalize

from featurestore import times
from featurestore.errors import ConfigError, SourceError, did_you_mean, nearest
from featurestore.model import FEATURE_NAME, KINDS, Column, Scalar, Source
from featurestore.sources.bounds import read_bounds, read_choices
from featurestore.sources.contract import SourceType
from featurestore.sources.patterns import check_pattern
from featurestore.sources.types import all_keys, find_type
from featurestore.toml import TomlTable

_ROLES = ("event_time", "updated_at")
COMMON = ("type", "event_time", "timezone", "updated_at", "columns", "id", "duplicates", "keep_parsed")


def nfc(name: str) -> str:
    """The name of a column as sources have it: in Unicode's composed form."""
    return normalize("NFC", name)


def read_source(name: str, table: TomlTable) -> Source:
    """Reads a source's table. Raises ConfigError naming file and key."""
    if not FEATURE_NAME.fullmatch(name):
        raise ConfigError(f"{table.path} must match {FEATURE_NAME.pattern}", where=table.file)
    source_type = _find_type(table)
    table.allow(*COMMON, *source_type.KEYS, elsewhere=all_keys)
    zone = table.text("timezone")
    if zone is not None:
        _check_zone(zone, table)
    settings = source_type.read_settings(table)
    columns = {nfc(column): _read_column(nfc(column), inner) for column, inner in table.tables("columns")}
    roles = {role: None if table.text(role) is None else nfc(str(table.text(role))) for role in _ROLES}
    for role, named in roles.items():
        column = columns.get(str(named))
        if column is not None and column.type not in ("datetime", "date"):
            raise table.error(role, f"names {column.name!r}, which is declared as {column.type}, not datetime")
    ids = _read_id(table)
    return Source(
        name=name, type=table.required_text("type"), settings=settings, event_time=roles["event_time"],
        timezone=zone, updated_at=roles["updated_at"], columns=columns, id=ids,
        duplicates=_read_duplicates(table, ids), keep_parsed=table.get("keep_parsed", bool, True),
    )  # fmt: skip


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


def _check_zone(zone: str, table: TomlTable) -> None:
    if not times.is_zone(zone):
        if not times.has_zones():
            hint = "install it: the system's package tzdata, or pip install tzdata; UTC works without"
            raise table.error("timezone", "can't be used: this machine has no time zone data", hint)
        raise table.error("timezone", "is not a time zone", 'for example "Europe/Paris"')


def _read_column(name: str, table: TomlTable) -> Column:
    table.allow("type", "null", "min", "max", "in", "pattern")
    kind = read_kind(table.required_text("type"))
    if kind is None:
        text = table.required_text("type")
        raise table.error("type", "is not a known column type", did_you_mean(text, KINDS))
    pattern = table.text("pattern")
    if pattern is not None:
        problem = check_pattern(pattern)
        if problem is not None:
            raise table.error("pattern", *problem)
        if kind != "string":
            raise table.error("pattern", f"needs a string column, not {kind}")
    low, high = read_bounds(kind, table)
    return Column(
        name=name, type=kind, null=table.get("null", bool, True), min=low, max=high,
        choices=read_choices(kind, table), pattern=pattern,
    )  # fmt: skip


def read_kind(text: object) -> Scalar | None:
    """The data type of that name; None where there is none."""
    return next((kind for kind in KINDS if kind == text), None)
