"""The header of a version file: a TOML table inside comments, in the style of inline script metadata.

`toml_lines` writes only the part of TOML that the files under ``features/.versions`` need.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from featurestore.arguments import header_of, read_header
from featurestore.model import Column, Feature, Json
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
    declared = {name: Column(name, kind) for name, kind in columns.items()}  # type: ignore[arg-type]
    return replace(restored, source=replace(restored.source, columns=declared))
