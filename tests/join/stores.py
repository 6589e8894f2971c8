"""Real offline stores, filled run by run, for cases whose clock is the store's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from featurestore.config import DriftSettings, Project
from featurestore.model import Run, StoredVersion
from featurestore.offline.contract import TOMBSTONE, VALUE, WITHDRAWN, OfflineStore
from featurestore.offline.duckdb.store import DuckDBStore
from tests.join.cases import TYPES, Row, history_frame


def project_at(folder: Path) -> Project:
    return Project(folder, "test", {kind.name: kind for kind in TYPES}, {}, DriftSettings())


def duckdb_store(folder: Path) -> OfflineStore:
    return DuckDBStore(project_at(folder))


def learn(store: OfflineStore, run_id: str, rows: Mapping[StoredVersion, Sequence[Row]]) -> int:
    """One run that writes these rows, whatever run they name; gives when they were learned."""
    with store.writing(run_id) as run:
        for version, some in rows.items():
            frame: pl.DataFrame = history_frame(version, some).drop("run_seq")
            run.write(version, frame.filter(pl.col("op") == VALUE).drop("op"))
            gone = frame.filter(pl.col("op") == TOMBSTONE).drop("op", "value")
            if len(gone):
                run.delete(version, gone)
            withdrawn = frame.filter(pl.col("op") == WITHDRAWN).drop("op", "value")
            assert run.withdraw(version, withdrawn) == len(withdrawn)
        run.finish(Run(run_id, 1, 2, 0.1, "ok", ("visits",), "here", None, (), run.run_seq, run.learned_at))
        return run.learned_at
