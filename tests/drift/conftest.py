"""Samples for the tests, made the way ingest makes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from featurestore import times
from featurestore.config import DriftSettings, Project
from featurestore.drift.assess import assess
from featurestore.drift.row_values import RowValues
from featurestore.drift.sample import Sample, draw
from featurestore.drift.statistics import describe
from featurestore.model import DataType, EntityType, FeatureRun, Key, Run, StoredVersion, VersionId
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.workflows.drift.reference import find_previous, find_reference

DTYPES = {"float": pl.Float64, "int": pl.Int64, "string": pl.String, "bool": pl.Boolean}
SETTINGS = DriftSettings()

Values = Sequence[object] | NDArray[Any]


class SampleOf(Protocol):
    """Makes a sample of values."""

    def __call__(
        self, values: Values, kind: str = "float", *, method: str = "jensenshannon", seed: int = 1
    ) -> Sample: ...


class Normal(Protocol):
    """Makes a sample of seeded normal values."""

    def __call__(self, seed: int, size: int, shift: float = 0.0) -> Sample: ...


def make_sample(values: Values, kind: str = "float", *, method: str = "jensenshannon", seed: int = 1) -> Sample:
    column, data_type = pl.Series("value", values, dtype=DTYPES.get(kind)), DataType.parse(kind)
    return draw([column], data_type, describe(column, data_type), method=method, seed=seed)


@pytest.fixture
def sample_of() -> SampleOf:
    return make_sample


@pytest.fixture
def normal() -> Normal:

    def make(seed: int, size: int, shift: float = 0.0) -> Sample:
        return make_sample(np.random.default_rng(seed).normal(size=size) + shift)

    return make


class Ledger:
    """A store and one feature version in it, to which `ingest` adds runs the way an ingestion does."""

    def __init__(self, folder: Path, data_type: str = "float", name: str = "score", sha256: str = "a" * 64) -> None:
        self.project = Project(folder, "test", {}, {}, DriftSettings())
        self.store = DuckDBStore(self.project)
        self.entity_type = EntityType("patient", (Key("patient_id", "string"),))
        self.version = self.new_version(name, sha256, 1, data_type)

    def new_version(self, name: str, sha256: str, number: int, data_type: str = "float") -> StoredVersion:
        return StoredVersion(VersionId(name, sha256), number, self.entity_type, DataType.parse(data_type))

    def ingest(
        self,
        run_id: str,
        values: Values,
        version: StoredVersion | None = None,
        *,
        settings: DriftSettings = SETTINGS,
        started_at: int | None = None,
    ) -> Run:
        """One run that writes the values, each for a new moment of its own entity."""
        version = version or self.version
        learned = self.store.committed_runs()
        reference = find_reference(self.store, version.id, learned)
        previous = None if reference else find_previous(self.store, version.id, learned)
        with self.store.writing(run_id) as transaction:
            moment = pl.lit(transaction.learned_at).cast(pl.Datetime("us")).alias("computed_at")
            frame = pl.DataFrame({"value": pl.Series(values, dtype=DTYPES.get(version.data_type.kind))})
            ids = pl.int_range(pl.len()).cast(pl.String).str.zfill(7).alias("patient_id")
            written = transaction.write(version, frame.select(ids, moment, "value"))
            found = assess(
                RowValues(["patient_id"], written.values), version.data_type, settings, reference=reference,
                previous=previous, seed=7, learned_at=transaction.learned_at,
            )  # fmt: skip
            if found.sample is not None:
                transaction.store_sample(version.id, found.sample)
            feature = FeatureRun(
                version.id.feature, "visits", "ok", version.number, version.id.sha256, rows_written=written.new,
                drift=found.verdict, statistics=found.statistics,
            )  # fmt: skip
            now = times.now() if started_at is None else started_at
            run = Run(run_id, now, now, 0.1, "ok", ("visits",), "host", None, (feature,), transaction.run_seq,
                      transaction.learned_at)  # fmt: skip
            transaction.finish(run)
        return run


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """A ledger of a float feature, ``score``."""
    (tmp_path / ".featurestore").mkdir(exist_ok=True)
    return Ledger(tmp_path)
