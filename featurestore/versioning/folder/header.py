"""The header of a version file: a table in TOML inside comments, in the style of inline script metadata.

Writes and reads it, and nothing else of TOML than what it writes is needed for writing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from featurestore.model import Column, DataType, EntityType, Feature, Json, Key, Source
from featurestore.toml import Plain

OPENING = "# /// featurestore"
CLOSING = "# ///"


def describe(feature: Feature) -> dict[str, Plain]:
    """What of a feature a version file keeps: all that its hash and its run need."""
    source = feature.source
    table: dict[str, Plain | None] = {
        "module": feature.module,
        "function": feature.function,
        "form": "short" if feature.short else "long",
        "data_type": str(feature.data_type),
        "lookback": feature.lookback,
        "tolerance": feature.tolerance,
        "params": json.dumps(dict(feature.params)) if feature.params else None,
        "entity_type": {
            "name": feature.entity_type.name,
            "keys": [[key.name, key.type] for key in feature.entity_type.keys],
        },
        "source": {
            name: value
            for name, value in (
                ("name", source.name),
                ("event_time", source.event_time),
                ("timezone", source.timezone),
                ("updated_at", source.updated_at),
            )
            if value is not None
        },
    }
    return {name: value for name, value in table.items() if value is not None}


def restore(feature: str, path: str, table: Mapping[str, Json], columns: Mapping[str, str]) -> Feature:
    """The feature that `describe` put down. Raises KeyError, TypeError or ValueError for a damaged table."""
    from pathlib import Path

    entity = _mapping(table["entity_type"])
    source = _mapping(table["source"])
    keys = entity["keys"]
    if not isinstance(keys, list):
        raise TypeError("keys")
    lookback, tolerance = table.get("lookback"), table.get("tolerance")
    return Feature(
        name=feature,
        function=_text(table["function"]),
        module=_text(table["module"]),
        path=Path(path),
        line=1,
        entity_type=EntityType(_text(entity["name"]), tuple(Key(_text(name), kind) for name, kind in keys)),
        data_type=DataType.parse(_text(table["data_type"])),
        source=Source(
            name=_text(source["name"]), type="", event_time=_optional(source.get("event_time")),
            timezone=_optional(source.get("timezone")), updated_at=_optional(source.get("updated_at")),
            columns={name: Column(name, kind) for name, kind in columns.items()},  # type: ignore[arg-type]
        ),
        short=_text(table["form"]) == "short",
        lookback=None if lookback is None else int(lookback),  # type: ignore[arg-type]
        tolerance=None if tolerance is None else float(tolerance),  # type: ignore[arg-type]
        params=_mapping(json.loads(_text(table["params"]))) if "params" in table else {},
    )  # fmt: skip


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _optional(value: Json) -> str | None:
    return None if value is None else _text(value)


def _mapping(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value
