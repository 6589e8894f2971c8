"""Frames, versions and runs to put into a store, and the judge: what a store must answer, in plain Python."""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from featurestore.model import DataType, EntityType, FeatureRun, Key, Run, StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore, Written
from featurestore.tables.types import INSTANT, key_types, value_type

START = datetime(2024, 1, 1)
PATIENT = EntityType("patient", (Key("patient_id", "string"),))
PAIR = EntityType("pair", (Key("store", "int"), Key("product", "string")))


def version(
    data_type: str = "float", entity_type: EntityType = PATIENT, name: str = "score", digit: str = "a"
) -> StoredVersion:
    return StoredVersion(VersionId(name, digit * 64), 1, entity_type, DataType.parse(data_type))


def frame(of: StoredVersion, rows: Iterable[tuple[object, ...]]) -> pl.DataFrame:
    """Rows of (keys…, day, value) as a store takes them; a day is a number of days after `START`."""
    names = of.entity_type.key_names
    schema = {**key_types(of.entity_type), "computed_at": INSTANT, "value": value_type(of.data_type)}
    shifted = [(*row[:-2], START + timedelta(days=row[-2]), row[-1]) for row in rows]  # type: ignore[arg-type]
    return pl.DataFrame(shifted, schema=schema, orient="row").sort(*names, "computed_at")


def run_of(transaction_run: tuple[int, int] | None, run_id: str, *features: FeatureRun, status: str = "ok") -> Run:
    seq, learned = transaction_run or (None, None)
    return Run(run_id, 1, 2, 0.5, status, ("visits",), "here", None, features, seq, learned)  # type: ignore[arg-type]


def learn(
    store: OfflineStore,
    of: StoredVersion,
    rows: Iterable[tuple[object, ...]],
    run_id: str,
    *,
    with_times: bool = True,
    **options: Any,
) -> Written:
    """One whole run that writes these rows."""
    with store.writing(run_id) as run:
        written = (run.write if with_times else run.write_changes)(of, frame(of, rows), **options)
        item = FeatureRun(of.id.feature, "visits", "ok", of.number, of.id.sha256)
        run.finish(run_of((run.run_seq, run.learned_at), run_id, item))
    return written


def same(one: object, other: object) -> bool:
    """Equal as history means it: null is null, NaN is NaN, −0.0 is 0.0."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other and (one is None) == (other is None)


class Judge:
    """The history that a list of runs must leave: rows of (key, day, run_seq, value)."""

    def __init__(self) -> None:
        self.rows: list[tuple[object, int, int, object]] = []

    def learn(self, run_seq: int, rows: Iterable[tuple[object, int, object]]) -> tuple[int, int, int]:
        new = corrected = unchanged = 0
        for key, day, value in rows:
            held = [row for row in self.rows if row[:2] == (key, day)]
            if held and same(held[-1][3], value):
                unchanged += 1
                continue
            new, corrected = new + (not held), corrected + bool(held)
            self.rows.append((key, day, run_seq, value))
        return new, corrected, unchanged

    def scan(self) -> list[tuple[object, int, int, object]]:
        return sorted(self.rows, key=lambda row: row[:3])

    def current(self) -> list[tuple[object, int, int, object]]:
        return sorted({row[:2]: row for row in self.scan()}.values(), key=lambda row: row[:2])

    def latest(self) -> list[tuple[object, int, int, object]]:
        return sorted({row[0]: row for row in self.scan()}.values(), key=lambda row: row[:1])
