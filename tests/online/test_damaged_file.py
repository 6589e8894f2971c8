"""Flipped bits in the file of the embedded store: an error that says what to do, or a difference that verify finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureStoreError
from featurestore.online.contract import OnlineStore
from featurestore.online.sqlite import FILE, SQLiteStore
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import PATIENT, History, make_project, make_version

AGE, RISK = make_version("age"), make_version("risk", kind="string")
MONDAY = datetime(2024, 1, 1)
PEOPLE = [{"patient_id": f"p{n}"} for n in range(120)]


def files_with_flips(path: Path, count: int) -> Iterator[bytes]:
    """The file with some bits flipped, most often one, and often in its first page, which has the tables."""
    clean = path.read_bytes()
    for seed in range(count):
        drawn = random.Random(seed)
        data = bytearray(clean)
        for _ in range(drawn.choice([1, 1, 2, 8, 64])):
            data[drawn.randrange(len(data) if drawn.random() < 0.6 else 4_096)] ^= 1 << drawn.randrange(8)
        yield bytes(data)


def lay_down(project: Project, data: bytes) -> SQLiteStore:
    for suffix in ("-wal", "-shm"):
        (project.state / f"{FILE}{suffix}").unlink(missing_ok=True)
    (project.state / FILE).write_bytes(data)
    return SQLiteStore(project)


def test_flipped_bits_are_no_defect(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    history = History(project)
    rows = [(who["patient_id"], MONDAY, n / 10) for n, who in enumerate(PEOPLE)]
    history.learn({AGE: rows, RISK: [(*row[:2], f"risk {row[2]}") for row in rows]})
    store = SQLiteStore(project)
    sync(project, history.store, store, [AGE, RISK])
    store.close()
    key = f"fs1:{project.name}:patient:p7"
    calls: list[Callable[[OnlineStore], object]] = [
        lambda store: Reader(project.name, store).read(PATIENT, PEOPLE, None, 0),
        lambda store: list(store.scan("patient")),
        lambda store: list(store.keys("patient", [0, 1])),
        lambda store: (store.pulse(), list(store.checks()), store.table("meta")),
        lambda store: verify(project, history.store, store, [AGE, RISK], fix=True),
        lambda store: sync(project, history.store, store, [AGE, RISK], "full"),
        lambda store: (store.discard(0, [key], 9), store.swap("meta", {}, {"a": "b"})),
        lambda store: store.merge([pl.DataFrame({"key": [key], "0": [b"x" * 25]})]),
        lambda store: store.clear("patient", [0]),
        lambda store: store.remove([key]),
    ]
    refused: list[FeatureStoreError] = []
    for data in files_with_flips(project.state / FILE, 60):
        for call in calls:
            damaged = lay_down(project, data)
            try:
                call(damaged)
            except FeatureStoreError as exc:
                refused.append(exc)
            finally:
                damaged.close()
    assert len(refused) > 50
    assert {exc.exit_code for exc in refused} <= {4, 12, 13}  # a flipped format number is a newer one
    assert all(exc.hint for exc in refused)
