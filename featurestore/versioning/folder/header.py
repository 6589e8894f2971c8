"""The header of a version file: a TOML table inside comments, in the style of inline script metadata.

`toml_lines` writes only the part of TOML that the files under ``features/.versions`` need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from featurestore.arguments import header_of, read_header
from featurestore.model import Column, Feature, Json, Source
from featurestore.toml import Plain

OPENING = "# /// featurestore"
CLOSING = "# ///"


def describe(feature: Feature) -> dict[str, Plain]:
    """What a version file stores of a feature: all that its hash and its run need."""
    return {
        "module": feature.module,
        "function": feature.function,
        "form": "short" if feature.short else "long",
        **header_of(feature),
    }


def columns_table(number: int) -> str:
    """The table with the types of the columns of a feature's source, by its place among them."""
    return "columns" if number == 0 else f"columns_{number + 1}"


def restore(feature: str, path: str, table: Mapping[str, Json]) -> Feature:
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
    if restored.source is None:
        return restored
    first, *others = [_with_columns(source, table, number) for number, source in enumerate(restored.reads)]
    return replace(restored, source=first, sources=(first, *others) if others else ())


def _with_columns(source: Source, table: Mapping[str, Json], number: int) -> Source:
    columns = table.get(columns_table(number))
    if not columns:
        return source
    if not isinstance(columns, dict):
        raise TypeError(columns_table(number))
    return replace(source, columns={name: Column(name, kind) for name, kind in columns.items()})
