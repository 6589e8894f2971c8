"""What the join is timed on: features with their history in our store, the same rows for every peer, and labels.

A feature has `rows` rows: rows/100 entities × 100 times within a year, learned by eight runs out of order: one row in
ten comes late, one in a hundred is corrected by the run after its own. String keys are the same numbers in words.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import duckdb
import numpy as np
import polars as pl

from featurestore import times
from featurestore.config import load_project
from featurestore.model import DataType, EntityType, FeatureRun, Key, Run, StoredVersion, VersionId
from featurestore.offline.contract import OfflineStore
from featurestore.offline.open import open_offline
from featurestore.offline.sql import history_table

FORMAT = 3
DAY = 86_400_000_000
YEAR = 365 * DAY
START = 1_735_689_600_000_000  # 2025-01-01
PER_ENTITY = 100
LATE, CORRECTED = 0.1, 0.01
TOML = """
[project]
name = "{name}"
[entity_types.user]
keys = {{ user_id = "int" }}
[entity_types.customer]
keys = {{ customer_id = "string" }}
"""
TYPES = {
    "user": EntityType("user", (Key("user_id", "int"),)),
    "customer": EntityType("customer", (Key("customer_id", "string"),)),
}
INTS = tuple(f"i{n}" for n in range(3))  # each of times of its own
STRINGS = tuple(f"s{n}" for n in range(3))
VIEW = tuple(f"v{n}" for n in range(3))  # of the same times, as the columns of one table
WIDE = tuple(f"w{n:02d}" for n in range(20))  # likewise, learned at once
TENTH = "tenth"


@dataclass(frozen=True)
class Made:
    """A feature of the benchmark: its name, entity type, rows, and a seed (equal seeds: equal keys and times)."""

    name: str
    entity_type: str
    rows: int
    seed: int
    runs: int = 8

    @property
    def version(self) -> StoredVersion:
        sha256 = f"{int.from_bytes(self.name.encode(), 'big'):064x}"
        return StoredVersion(VersionId(self.name, sha256), 1, TYPES[self.entity_type], DataType("float"))

    @property
    def key(self) -> str:
        return TYPES[self.entity_type].key_names[0]


def features(rows: int) -> dict[str, Made]:
    made = [Made(name, "user", rows, n) for n, name in enumerate(INTS)]
    made += [Made(name, "customer", rows, n) for n, name in enumerate(STRINGS)]
    made += [Made(name, "user", rows, 8) for name in VIEW]
    made += [Made(name, "user", rows, 9, runs=1) for name in WIDE]
    return {one.name: one for one in [*made, Made(TENTH, "user", rows // 10, 7)]}


def is_built(folder: Path, rows: int, labels: int) -> bool:
    """Whether all of it is there. What is there of other sizes is nothing to measure, and ends the benchmark."""
    stamp, wanted = folder / "built.json", {"format": FORMAT, "rows": rows, "labels": labels}
    if not stamp.exists():
        return False
    found = json.loads(stamp.read_text())
    if found != wanted:
        sys.exit(f"{folder} was built as {found}, which is not {wanted}: name another folder, or remove it")
    return True


def build(folder: Path, rows: int, labels: int) -> None:
    """The project with its history, what the peers read, and the labels."""
    for part in (".featurestore", "feed"):  # of a benchmark that was stopped
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / "peer.duckdb").unlink(missing_ok=True)
    makes, store = features(rows), make_project(folder)
    together = [made for made in makes.values() if made.runs > 1]
    learn(store, together, folder)
    learn(store, [makes[name] for name in WIDE], folder)
    make_labels(folder, rows // PER_ENTITY, labels)
    make_tables(folder, [makes[name] for name in (*INTS, *STRINGS)])
    make_files(folder, store, makes)
    (folder / "built.json").write_text(json.dumps({"format": FORMAT, "rows": rows, "labels": labels}))


def make_project(folder: Path, name: str = "bench", more: str = "") -> OfflineStore:
    """A project's folder, and its store. ``more`` is added to its settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "featurestore.toml").write_text(TOML.format(name=name) + more)
    return open_offline(load_project(folder))


def learn(store: OfflineStore, makes: Sequence[Made], folder: Path) -> None:
    """Writes features that have equally many runs, each run when its part of the year is over."""
    feed, runs = folder / "feed", makes[0].runs
    feed.mkdir()
    for made in makes:
        say(f"making {made.name}: {made.rows:,} rows")
        for number, frame in enumerate(rows_of(made)):
            frame.write_parquet(feed / f"{made.name}-{number}.parquet", compression="lz4")
    for number in range(runs):
        say(f"writing run {number + 1} of {runs}")
        frames = ((made.version, pl.read_parquet(feed / f"{made.name}-{number}.parquet")) for made in makes)
        write_run(store, f"{makes[0].name}-{number}", START + (number + 1) * YEAR // runs, frames)
    shutil.rmtree(feed)


def write_run(store: OfflineStore, run_id: str, at: int, frames: Iterator[tuple[StoredVersion, pl.DataFrame]]) -> None:
    """One committed run that learned the frames at a time (microseconds)."""
    times.now = lambda: at
    items = []
    with store.writing(run_id) as run:
        for version, frame in frames:
            run.write(version, frame)
            items.append(FeatureRun(version.id.feature, "bench", "ok", 1, version.id.sha256))
        run.finish(Run(run_id, at, at, 0.1, "ok", ("bench",), "here", None, tuple(items), run.run_seq, run.learned_at))


def rows_of(made: Made) -> Iterator[pl.DataFrame]:
    """What each run learns, sorted by key and time."""
    numbers, at, run = _layout(made.rows, made.seed, made.runs)
    values = np.random.default_rng(int(made.version.id.sha256, 16)).random(made.rows)
    for number in range(made.runs):
        mine = run == number
        moments = pl.Series("computed_at", at[mine].view("datetime64[us]"))
        frame = pl.DataFrame([keys(made.entity_type, numbers[mine]), moments, pl.Series("value", values[mine])])
        yield frame.unique([made.key, "computed_at"], maintain_order=True)


@lru_cache(maxsize=1)
def _layout(rows: int, seed: int, runs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each row's entity, time and run, sorted by entity and time."""
    random = np.random.default_rng(seed)
    numbers = np.repeat(np.arange(rows // PER_ENTITY), PER_ENTITY)
    at = START + random.integers(0, YEAR, rows)
    at = at[np.lexsort((at, numbers))]
    late = np.where(random.random(rows) < LATE, random.integers(0, 60 * DAY, rows), 0)
    run = np.minimum((at + late - START) * runs // YEAR, runs - 1)
    again = np.flatnonzero(
        (random.random(rows - 1) < CORRECTED) & (numbers[1:] == numbers[:-1]) & (run[:-1] < runs - 1)
    )
    at[again + 1], run[again + 1] = at[again], run[again] + 1
    order = np.lexsort((at, numbers))  # where a row and the one before it are both corrections
    return numbers, at[order], run[order]


def keys(entity_type: str, numbers: np.ndarray) -> pl.Series:
    name = TYPES[entity_type].key_names[0]
    if entity_type == "user":
        return pl.Series(name, numbers)
    texts = pl.Series(numbers).cast(pl.String).str.zfill(8)
    return pl.select(pl.lit("user_") + texts).to_series().alias(name)


def make_labels(folder: Path, entities: int, labels: int) -> None:
    """Labels at random, ``user.parquet`` and the same as ``customer.parquet``."""
    random = np.random.default_rng(99)
    numbers, at = random.integers(0, entities, labels), START + random.integers(0, YEAR, labels)
    for entity_type in TYPES:
        frame = pl.DataFrame([keys(entity_type, numbers), pl.Series("at", at.view("datetime64[us]"))])
        frame.with_columns(pl.col("at").dt.replace_time_zone("UTC")).write_parquet(folder / f"{entity_type}.parquet")


def make_tables(folder: Path, makes: Sequence[Made]) -> None:
    """The same rows in tables of DuckDB's own, clustered."""
    with duckdb.connect(str(folder / "peer.duckdb")) as peer:
        peer.execute(f"ATTACH '{folder / '.featurestore' / 'history.duckdb'}' AS ours (READ_ONLY)")
        for made in makes:
            say(f"DuckDB's table of {made.name}")
            source = f"ours.{history_table(made.version.id)}"
            peer.execute(f"CREATE TABLE {made.name} AS FROM {source} ORDER BY {made.key}, computed_at, run_seq")


def make_files(folder: Path, store: OfflineStore, makes: dict[str, Made]) -> None:
    """The same rows in files: of one feature, sorted, for Polars and the limit; of a view of three for Feast.

    The view is written as its rows arrived, run after run, and once more sorted by entity and time.
    """
    say("the peers' files")
    frame = store.scan(makes[INTS[0]].version).drop("op")
    frame.write_parquet(folder / f"{INTS[0]}.parquet", compression="zstd", compression_level=1)
    np.save(folder / "limit_at.npy", frame["computed_at"].to_physical().to_numpy())
    np.save(folder / "limit_value.npy", frame["value"].to_numpy())
    counts = np.bincount(frame["user_id"].to_numpy(), minlength=makes[INTS[0]].rows // PER_ENTITY)
    np.save(folder / "limit_offsets.npy", np.append(0, np.cumsum(counts)))
    columns = [store.scan(makes[name].version) for name in VIEW]
    learned = pl.DataFrame(
        [(run.run_seq, run.learned_at) for run in store.committed_runs()], ["run_seq", "us"], orient="row"
    )
    view = columns[0].join(learned, on="run_seq", how="left", maintain_order="left")
    view = view.select("user_id", "computed_at", pl.from_epoch("us", "us").alias("learned_at"))
    view = view.with_columns(pl.col(pl.Datetime).dt.replace_time_zone("UTC"))
    view = view.with_columns(column["value"].alias(name) for name, column in zip(VIEW, columns, strict=True))
    view.write_parquet(folder / "view_sorted.parquet", compression="zstd", compression_level=1)
    view.sort("learned_at", maintain_order=True).write_parquet(
        folder / "view.parquet", compression="zstd", compression_level=1
    )


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
