"""Polars types of keys and values, and the empty frame of a version's history.

Inside the stores instants are ``Datetime("us")`` without a zone (UTC is understood); frames that users
see carry ``Datetime("us", "UTC")``.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from featurestore.model import DataType, EntityType, StoredVersion

INSTANT = pl.Datetime("us")
INSTANT_UTC = pl.Datetime("us", "UTC")

_VALUES: Mapping[str, pl.DataType] = {
    "bool": pl.Boolean(), "int": pl.Int64(), "float": pl.Float64(), "string": pl.String(), "date": pl.Date(),
    "datetime": INSTANT, "list[float]": pl.List(pl.Float64()),
}  # fmt: skip
_KEYS: Mapping[str, pl.DataType] = {"string": pl.String(), "int": pl.Int64()}


def value_type(data_type: DataType) -> pl.DataType:
    """The type of a value column inside the stores."""
    return _VALUES[data_type.kind]


def key_types(entity_type: EntityType) -> dict[str, pl.DataType]:
    """The key columns of an entity type, in order."""
    return {key.name: _KEYS[key.type] for key in entity_type.keys}


def history_schema(version: StoredVersion) -> pl.Schema:
    """The columns that `OfflineStore.scan` gives: keys, computed_at, run_seq, op, value."""
    return pl.Schema(
        {
            **key_types(version.entity_type),
            "computed_at": INSTANT,
            "run_seq": pl.Int64(),
            "op": pl.Int8(),
            "value": value_type(version.data_type),
        }
    )
