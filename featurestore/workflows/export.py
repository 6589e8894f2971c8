"""The whole history of a feature version as one table."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from featurestore.config import Project
from featurestore.model import StoredVersion
from featurestore.offline.contract import TOMBSTONE, OfflineStore
from featurestore.tables.batches import write_batches
from featurestore.tables.types import INSTANT_UTC
from featurestore.workflows.history import runs_of
from featurestore.workflows.references import resolve_one
from featurestore.workflows.table_files import TableFile, check_output


@dataclass(frozen=True, slots=True)
class ExportResult:
    """A version's history, sorted by keys, computed_at and the order of runs.

    ``frame`` has the key columns, value, computed_at, ingested_at (both UTC), run_id and tombstone (a boolean).
    """

    version: StoredVersion
    frame: pl.DataFrame


def export_feature(
    project: Project, store: OfflineStore, reference: str, output: TableFile | None = None
) -> ExportResult:
    """The history of the version that a reference names, written to ``output`` where there is one.

    Raises what `resolve_one`, `export`, `check_output` and `write_batches` raise.
    """
    if output is not None:
        check_output(output)
    result = export(store, resolve_one(project, store, reference))
    if output is not None:
        with write_batches(output.place, form=output.form) as write:
            write(result.frame)
    return result


def export(store: OfflineStore, version: StoredVersion) -> ExportResult:
    """The whole history of a version. Raises UsageError for a version without history, StoreError."""
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
