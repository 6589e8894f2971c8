"""The whole history of a feature version as one table."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import polars as pl

from featurestore.config import Project
from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import TOMBSTONE, WITHDRAWN, OfflineStore
from featurestore.tables.batches import write_batches
from featurestore.tables.types import INSTANT_UTC
from featurestore.workflows.history import runs_of
from featurestore.workflows.partitions import key_ranges
from featurestore.workflows.references import resolve_one
from featurestore.workflows.table_files import TableFile, check_output


@frozen
class ExportResult:
    """A version's history, sorted by keys, computed_at and the order of runs.

    It has ``rows`` rows of the key columns, value, computed_at, ingested_at (both UTC), run_id and tombstone (a
    boolean); and, where any row was ever withdrawn, withdrawn (a boolean). ``frame`` is None where they were written to
    an output, and in a ``dry_run``, which only counts them.
    """

    version: StoredVersion
    rows: int
    columns: tuple[str, ...]
    frame: pl.DataFrame | None = None
    dry_run: bool = False


def export_feature(
    project: Project, store: OfflineStore, reference: str, output: TableFile | None = None, *, dry_run: bool = False
) -> ExportResult:
    """The history of the version that a reference names, written to ``output`` where there is one and it is no dry run.

    To an output it goes some entities at a time, within the project's memory. Raises what `resolve_one`, `export`,
    `check_output` and `write_batches` raise.
    """
    if output is not None:
        check_output(output)
    version = resolve_one(project, store, reference)
    frames = export(store, version, project.memory)
    if dry_run:
        first = next(frames)
        rows = first.height + sum(frame.height for frame in frames)
        return ExportResult(version, rows, tuple(first.columns), dry_run=True)
    if output is None:
        frame = pl.concat(frames)
        return ExportResult(version, frame.height, tuple(frame.columns), frame)
    first = next(frames)  # before the output is opened: what can't be exported leaves no file
    rows = 0
    with write_batches(output.place, form=output.form) as write:
        for frame in chain([first], frames):
            write(frame)
            rows += frame.height
    return ExportResult(version, rows, tuple(first.columns))


def export(store: OfflineStore, version: StoredVersion, memory: int) -> Iterator[pl.DataFrame]:
    """The whole history of a version as it is now, in frames of some entities each; at least one.

    The store is not open between two frames, so that a run may commit meanwhile; its rows do not show. Raises
    UsageError for a version without history, StoreError, also where something was erased meanwhile.
    """
    with store.reading():
        runs = runs_of(store, version)
        mark = store.mark(version)
        ranges = key_ranges(store, [version], memory)
        ops = {"tombstone": TOMBSTONE, **({"withdrawn": WITHDRAWN} if store.has_withdrawn(version.id) else {})}
    learned = pl.DataFrame(
        {
            "run_seq": list(runs),
            "ingested_at": [run.learned_at for run in runs.values()],
            "run_id": [run.run_id for run in runs.values()],
        },
        schema={"run_seq": pl.Int64, "ingested_at": pl.Int64, "run_id": pl.String},
    ).with_columns(pl.col("ingested_at").cast(INSTANT_UTC))
    value = pl.col("value")
    for key_range in ranges:
        with store.reading():
            now = store.mark(version)
            if mark is not None and (now is None or now.store_id != mark.store_id):
                raise StoreError("something was erased while it was read", hint="run the same command again")
            rows = store.scan(version, key_range=key_range, up_to_run=max(runs, default=0))
        yield rows.join(learned, on="run_seq", how="left", maintain_order="left").select(
            *version.entity_type.key_names,
            value.dt.replace_time_zone("UTC") if isinstance(rows.schema["value"], pl.Datetime) else value,
            pl.col("computed_at").dt.replace_time_zone("UTC"),
            *([pl.col("known_at").dt.replace_time_zone("UTC")] if "known_at" in rows.columns else []),
            "ingested_at",
            "run_id",
            *((pl.col("op") == op).alias(name) for name, op in ops.items()),
        )
