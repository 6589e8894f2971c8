"""How a label file is written: the settings that sources have, under the same names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from shlex import quote
from typing import Any
from unicodedata import normalize

from featurestore.dialect import Dialect
from featurestore.errors import UsageError
from featurestore.sources.dialects import CSV, WORDS, read_dialect, read_time_format
from featurestore.toml import TomlTable

_EXAMPLE = "for example encoding=cp1252, skip_rows=2 or columns.at.unit=ms"
_SETTING = re.compile(r'(\w+) = ("[^"]*"|\[[^]]*\])')
_TIMES = ("format", "unit", "timezone", "ambiguous", "nonexistent")


def read_label_dialect(settings: Mapping[str, Any], place: str) -> Dialect:
    """The dialect of settings as ``[sources.NAME]`` has them; ``place`` is what messages call them.

    Raises ConfigError naming the setting.
    """
    table = TomlTable(settings, place).allow(*CSV, *WORDS, "columns")
    columns = table.get("columns", dict, {})
    formats, renamed = {}, {}
    for name in columns:
        if not isinstance(columns[name], dict):
            raise table.error("columns", f"must have a table for {name!r}", _EXAMPLE)
        column = TomlTable(columns[name], place, ("columns", name)).allow(*_TIMES, "rename")
        formats[name] = read_time_format(column)
        if (in_file := column.text("rename")) is not None:
            renamed[normalize("NFC", name)] = normalize("NFC", in_file)
    return read_dialect(table, CSV, formats, renamed)


def as_flags(setting: str, column: str) -> str:
    """A setting of sources, as `ways_out` proposes it for a value of a column, as flags of a join."""
    text = setting.replace(" for its column", "")
    return _SETTING.sub(
        lambda found: (
            "--dialect " + quote(f"{f'columns.{column}.' if found[1] in _TIMES else ''}{found[1]}={found[2]}")
        ),
        text,
    )


def parse_settings(texts: Iterable[str], place: str = "--dialect") -> dict[str, Any]:
    """``encoding=cp1252``, ``skip_rows=2``, ``null=["NA", "-"]``, ``columns.at.unit=ms``: values as in TOML, or as they
    stand. ``place`` is what messages call them. Raises UsageError.
    """
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        parts = name.strip().split(".")
        if parts[0] == "columns" and len(parts) > 3:  # the column's name has dots
            parts = [parts[0], ".".join(parts[1:-1]), parts[-1]]
        if not equals or not all(parts) or len(parts) != (3 if parts[0] == "columns" else 1):
            raise UsageError(f"{place} {text!r} is not a setting and its value", hint=_EXAMPLE)
        *tables, last = parts
        at = found
        for part in tables:
            at = at.setdefault(part, {})
        at[last] = _value(value)
    return found


def _value(text: str) -> Any:
    if text == "\\t":  # as --delimiter takes it, which a shell passes on in two characters
        return "\t"
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
