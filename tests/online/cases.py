"""What the tests of the online stores share: versions, projects, and a history to sync from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import cast

import polars as pl

from featurestore.config import DriftSettings, Project
from featurestore.model import DataType, EntityType, Key, Run, StoredVersion, VersionId
from featurestore.offline.contract import WITHDRAWN, CommittedRun, Erasure, HistoryMark, OfflineStore
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys
from featurestore.online.contract import OnlineStore
from featurestore.tables.types import INSTANT, history_schema, key_types, value_type
from tests.services import redis_binary

PATIENT = EntityType("patient", (Key("patient_id", "string"),))
SHELF = EntityType("shelf", (Key("store", "string"), Key("product", "int")))

KINDS = ["sqlite", "valkey", "cluster", "guarded", *(["redis"] if redis_binary() else [])]

LEARNED = 1_750_000_000_000_000  # after all times in the tests but those that are ahead

_numbers = itertools.count()


def make_project(root: Path, name: str | None = None, url: str | None = None) -> Project:
    root.mkdir(parents=True, exist_ok=True)
    types = {"patient": PATIENT, "shelf": SHELF}
    return Project(root, name or f"p{next(_numbers)}", types, {}, DriftSettings(), None, url)


def make_version(
    feature: str = "age",
    number: int = 1,
    kind: str = "float",
    entity_type: EntityType = PATIENT,
    max_age: int | None = None,
) -> StoredVersion:
    sha256 = f"{number:02x}".ljust(12, "a") + "0" * 52
    return StoredVersion(VersionId(feature, sha256), number, entity_type, DataType.parse(kind), max_age)


class Rows:
    """The part of `OfflineStore` that a sync reads, in memory: a test commits dozens of runs in no time."""

    def __init__(self) -> None:
        self.frames: dict[VersionId, pl.DataFrame] = {}
        self.known: dict[VersionId, StoredVersion] = {}
        self.committed: dict[str, VersionId] = {}
        self.last_run = 0
        self.store_id = "history"
        self.name = "run"
        self.first_new_run: int | None = None  # after it was set back, runs have other ids than those it had before

    def mark(self, version: StoredVersion, *, up_to_run: int | None = None) -> HistoryMark | None:
        rows = self.frames.get(version.id)
        return None if rows is None or not rows.height else HistoryMark(self.store_id, self.last_run, "", rows.height)

    def ready(self) -> AbstractContextManager[None]:
        return nullcontext()

    def reading(self) -> AbstractContextManager[None]:
        return nullcontext()

    def scan(
        self,
        version: StoredVersion,
        *,
        up_to_run: int | None = None,
        dated_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        keys = list(version.entity_type.key_names)
        rows = self.frames.get(version.id, pl.DataFrame(schema=history_schema(version)))
        rows = rows.filter(pl.col("run_seq") <= (self.last_run if up_to_run is None else up_to_run))
        rows = rows if dated_after is None else rows.filter(pl.col("computed_at").dt.epoch("us") > dated_after)
        rows = rows if entities is None else rows.join(entities, on=keys, how="semi")
        return within(rows, keys, key_range).sort(*keys, "computed_at", "run_seq")

    def versions(self, feature: str | None = None) -> list[StoredVersion]:
        return [version for version in self.known.values() if feature in (None, version.id.feature)]

    def last_committed(self, feature: str) -> VersionId | None:
        return self.committed.get(feature)

    def committed_runs(self) -> list[CommittedRun]:
        return [CommittedRun(seq, self._run_id(seq), LEARNED + seq) for seq in range(1, self.last_run + 1)]

    def set_back(self) -> None:
        return None

    def catch_up(self) -> None:
        pass  # nothing is beside it

    def erasures(self) -> list[Erasure]:
        return []

    def _run_id(self, seq: int) -> str:
        is_other = self.first_new_run is not None and seq >= self.first_new_run
        return f"{self.name}{seq}" + (" once more" if is_other else "")

    def newest(
        self, version: StoredVersion, *, after_run: int | None = None, up_to_run: int | None = None
    ) -> int | None:
        rows = self.frames.get(version.id, pl.DataFrame(schema=history_schema(version)))
        learned = pl.col("run_seq").is_between(
            after_run or 0, self.last_run if up_to_run is None else up_to_run, "right"
        )
        newest: int | None = rows.filter(learned)["computed_at"].dt.epoch("us").max()  # type: ignore[assignment]
        return newest

    def sample_keys(self, version: StoredVersion, every: int, *, after_run: int | None = None) -> list[Keys]:
        rows = self.frames.get(version.id, pl.DataFrame(schema=history_schema(version)))
        return (
            rows.filter(pl.col("run_seq") > (after_run or 0))[every - 1 :: every]
            .select(version.entity_type.key_names)
            .rows()
        )

    def latest(
        self,
        version: StoredVersion,
        *,
        after_run: int | None = None,
        up_to_run: int | None = None,
        at: int | None = None,
        due_after: int | None = None,
        entities: pl.DataFrame | None = None,
        key_range: KeyRange = ALL_KEYS,
    ) -> pl.DataFrame:
        keys = list(version.entity_type.key_names)
        dated = pl.col("computed_at").dt.epoch("us")
        rows = self.frames.get(version.id, pl.DataFrame(schema=history_schema(version)))
        news = pl.col("run_seq") > (after_run or 0)
        if due_after is not None:
            news = news | (dated > due_after)
        rows = rows.filter(dated <= at) if at is not None else rows
        rows = rows.filter(pl.col("run_seq") <= (self.last_run if up_to_run is None else up_to_run))
        if after_run is not None:
            rows = rows.join(rows.filter(news).select(keys).unique(), on=keys, how="semi")
        rows = rows if entities is None else rows.join(entities, on=keys, how="semi")
        rows = answers_of(rows, keys)
        return within(rows, keys, key_range)


def within(rows: pl.DataFrame, keys: Sequence[str], key_range: KeyRange) -> pl.DataFrame:
    """The rows whose entity is in a range."""
    places = rows.select(keys).rows()
    chosen = [(key_range.after or ()) < at and (key_range.up_to is None or at <= key_range.up_to) for at in places]
    return rows.filter(pl.Series(chosen, dtype=pl.Boolean))


def answers_of(rows: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """What `OfflineStore.latest` must give, entity by entity, in plain Python."""
    answers = []
    rows = rows.sort(*keys, "computed_at", "run_seq")
    for of_entity in rows.partition_by(*keys, maintain_order=True):
        held = list(of_entity.iter_rows(named=True))
        pairs = {row["computed_at"]: row for row in held}  # of each the latest row
        standing = [at for at, row in pairs.items() if row["op"] != WITHDRAWN]
        at = max(standing) if standing else min(pairs)
        answers.append({**pairs[at], "run_seq": max(row["run_seq"] for row in held if row["computed_at"] >= at)})
    return pl.DataFrame(answers, schema=rows.schema, orient="row") if answers else rows


class History:
    """A history to sync from, with a short way to commit runs."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.rows = Rows()

    @property
    def store(self) -> OfflineStore:
        return cast("OfflineStore", self.rows)

    def learn(self, rows: Mapping[StoredVersion, Sequence[tuple[object, ...]]], op: int = 0) -> int:
        """Commits one run: for each version rows of (keys…, computed_at, value); returns its run_seq."""
        self.rows.last_run += 1
        for version, values in rows.items():
            columns = [(*row[:-1], self.rows.last_run, op, row[-1]) for row in values]
            frame = pl.DataFrame(columns, schema=history_schema(version), orient="row")
            stored = self.rows.frames.get(version.id, frame.clear())
            self.rows.known.setdefault(version.id, version)
            self.rows.committed[version.id.feature] = version.id
            self.rows.frames[version.id] = pl.concat([stored, frame])
        return self.rows.last_run


def learn_for_all(history: History, version: StoredVersion, runs: int, first: int = 0) -> list[tuple[object, ...]]:
    """Commits runs about 2,000 people whose times jump back and forth: the rows of the last one."""
    rows: list[tuple[object, ...]] = []
    for run in range(first, first + runs):
        rows = [(f"p{n:05d}", datetime(2024, 1, 1 + (run * 7 + n) % 28), run + n / 1e6) for n in range(2_000)]
        history.learn({version: rows})
    return rows


def commit(project: Project, version: StoredVersion, rows: Sequence[tuple[object, ...]]) -> None:
    """The same rows as one run of the project's own history."""
    types = {**key_types(version.entity_type), "computed_at": INSTANT, "value": value_type(version.data_type)}
    run_id = f"run{next(_numbers)}"
    with DuckDBStore(project).writing(run_id) as run:
        run.write(version, pl.DataFrame(rows, schema=types, orient="row"))
        at = run.learned_at
        run.finish(Run(run_id, at, at, 0.0, "ok", (), "", None, (), run.run_seq, at))


Fresh = Callable[[], tuple[Project, OnlineStore]]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)
