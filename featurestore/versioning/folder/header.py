"""The header of a version file: a TOML table inside comments, in the style of inline script metadata.

`toml_lines` writes only the part of TOML that the files under ``features/.versions`` need.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from featurestore.arguments import header_of, read_header
from featurestore.model import Column, Feature, Json

OPENING = "# /// featurestore"
CLOSING = "# ///"

Plain = str | int | float | bool | Sequence["Plain"] | Mapping[str, "Plain"]


def to_toml(value: Plain) -> str:
    """A value on one line."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, Mapping):
        inner = ", ".join(f"{_key(name)} = {to_toml(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return f"[{', '.join(map(to_toml, value))}]"


def toml_lines(table: Mapping[str, Plain]) -> list[str]:
    """A table as lines: plain values first, then one ``[table]`` for each mapping that is not empty."""
    lines = [f"{_key(name)} = {to_toml(value)}" for name, value in table.items() if not isinstance(value, Mapping)]
    for name, value in table.items():
        if isinstance(value, Mapping) and value:
            lines += [f"[{_key(name)}]", *(f"{_key(inner)} = {to_toml(item)}" for inner, item in value.items())]
    return lines


def describe(feature: Feature) -> dict[str, Plain]:
    """What a version file stores of a feature: all that its hash and its run need."""
    return {
        "module": feature.module,
        "function": feature.function,
        "form": "short" if feature.short else "long",
        **header_of(feature),
    }


def restore(feature: str, path: str, table: Mapping[str, Json], columns: Mapping[str, str]) -> Feature:
    """The feature that `describe` wrote. Raises KeyError, TypeError or ValueError for a damaged table."""
    restored = Feature(
        name=feature,
        function=str(table["function"]),
        module=str(table["module"]),
        path=Path(path),
        line=1,
        short=table["form"] == "short",
        **read_header(table),
    )
    if restored.source is None or not columns:
        return restored
    declared = {name: Column(name, kind) for name, kind in columns.items()}
    return replace(restored, source=replace(restored.source, columns=declared))


def _key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else to_toml(name)
