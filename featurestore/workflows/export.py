"""The whole history of a feature version as one table."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from featurestore.model import StoredVersion
from featurestore.offline.contract import TOMBSTONE, OfflineStore
from featurestore.tables.types import INSTANT_UTC
from featurestore.workflows.history import runs_of


@dataclass(frozen=True, slots=True)
class ExportResult:
    """``frame``: the key columns, value, computed_at, ingested_at (both UTC), run_id, and whether it is a tombstone.

    Sorted by keys, computed_at and the order of runs.
    """

    version: StoredVersion
    frame: pl.DataFrame


def export(store: OfflineStore, version: StoredVersion) -> ExportResult:
    """Raises UsageError for a version without history, StoreError for a store that can't answer."""
    runs = runs_of(store, version)
    rows = store.scan(version)
    learned = pl.DataFrame(
        {
            "run_seq": list(runs),
            "ingested_at": [run.learned_at for run in runs.values()],
            "run_id": [run.run_id for run in runs.values()],
        },
        schema={"run_seq": pl.Int64, "ingested_at": pl.Int64, "run_id": pl.String},
    ).with_columns(pl.col("ingested_at").cast(INSTANT_UTC))
    value = pl.col("value")
    return ExportResult(
        version,
        rows.join(learned, on="run_seq", how="left", maintain_order="left").select(
            *version.entity_type.key_names,
            value.dt.replace_time_zone("UTC") if isinstance(rows.schema["value"], pl.Datetime) else value,
            pl.col("computed_at").dt.replace_time_zone("UTC"),
            "ingested_at",
            "run_id",
            (pl.col("op") == TOMBSTONE).alias("tombstone"),
        ),
    )
