"""The data types of columns and values in Polars and in SQL, and the empty frame of a version's history.

Inside the stores instants are ``Datetime("us")`` without a zone (UTC is understood); frames that users
see carry ``Datetime("us", "UTC")``.
"""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from featurestore.frozen import frozen
from featurestore.model import DataType, EntityType, Scalar, StoredVersion

INSTANT = pl.Datetime("us")
INSTANT_UTC = pl.Datetime("us", "UTC")


@frozen
class Kind:
    """One data type: as sources' columns have it, as values are stored, and in the SQL of both stores."""

    column: pl.DataType
    value: pl.DataType
    sql: str


KINDS: Mapping[Scalar, Kind] = {
    "bool": Kind(pl.Boolean(), pl.Boolean(), "BOOLEAN"),
    "int": Kind(pl.Int64(), pl.Int64(), "BIGINT"),
    "float": Kind(pl.Float64(), pl.Float64(), "FLOAT8"),
    "string": Kind(pl.String(), pl.String(), "TEXT"),
    "date": Kind(pl.Date(), pl.Date(), "DATE"),
    "datetime": Kind(INSTANT_UTC, INSTANT, "TIMESTAMP"),
    "list[float]": Kind(pl.List(pl.Float64()), pl.List(pl.Float64()), "FLOAT8[]"),
}


def column_type(kind: Scalar) -> pl.DataType:
    """The type of a source's column."""
    return KINDS[kind].column


def value_type(data_type: DataType) -> pl.DataType:
    """The type of a value column inside the stores."""
    return KINDS[data_type.kind].value


def key_types(entity_type: EntityType) -> dict[str, pl.DataType]:
    """The key columns of an entity type, in order."""
    return {key.name: KINDS[key.type].value for key in entity_type.keys}


def history_schema(version: StoredVersion, *, known: bool = False) -> pl.Schema:
    """The columns that `OfflineStore.scan` gives: keys, computed_at, run_seq, op, value; where ``known``, known_at."""
    return pl.Schema(
        {
            **key_types(version.entity_type),
            "computed_at": INSTANT,
            "run_seq": pl.Int64(),
            "op": pl.Int8(),
            "value": value_type(version.data_type),
            **({"known_at": INSTANT} if known else {}),
        }
    )


def held_schema(version: StoredVersion) -> pl.Schema:
    """The columns of what each pair holds: keys, computed_at, op, value."""
    return pl.Schema({name: kind for name, kind in history_schema(version).items() if name != "run_seq"})
