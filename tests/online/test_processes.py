"""F01: whoever runs beside, comes late or is killed, the latest value stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from featurestore.config import Project
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online import format as layout
from featurestore.online.open import open_online
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.workflows.delete import delete
from featurestore.workflows.sync import sync
from featurestore.workflows.verify.verify import verify
from tests.often import nightly
from tests.online.cases import PATIENT, History, commit, learn_for_all, make_project
from tests.online.shop import AGE, MONDAY, NOW
from tests.services import Server

ROOT = Path(__file__).parents[2]

LOADER = """
import sys
from pathlib import Path
from tests.online.cases import History, learn_for_all, make_project, make_version
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
history, age = History(project), make_version("age")
learn_for_all(history, age, 1)
print("ready", flush=True)
sync(project, history.store, open_online(project), [age])
"""
SYNCER = """
import sys
from pathlib import Path
from tests.online.cases import make_project, make_version
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
print("ready", flush=True)
for turn in range(int(sys.argv[4])):
    mode = "full" if turn % 3 else "incremental"
    sync(project, DuckDBStore(project), open_online(project), [make_version("age")], mode)
"""


def start(code: str, project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Starts a process on a project, and waits until it is ready to go."""
    command = [sys.executable, "-c", code, str(project.root), str(project.online_url), project.name, *arguments]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def check_ages(project: Project, expected: dict[str, float]) -> None:
    reader = Reader(project.name, open_online(project))
    rows = reader.read(PATIENT, [{"patient_id": who} for who in expected], ["age"], NOW)
    assert {who: row[0].value for who, row in zip(expected, rows, strict=True)} == expected


def test_syncs_beside_a_growing_history_and_one_killed_end_with_the_latest(tmp_path: Path, own_server: Server) -> None:
    project = make_project(tmp_path, url=own_server.url)
    plain = History(project)
    syncers = [start(SYNCER, project, "5") for _ in range(2)]
    doomed = start(SYNCER, project, "1000")
    for run in range(6):
        rows = learn_for_all(plain, AGE, 1, first=run)
        commit(project, AGE, rows)
        if run == 3:
            doomed.kill()
    assert [process.wait() for process in (*syncers, doomed)] == [0, 0, -signal.SIGKILL]
    sync(project, DuckDBStore(project), open_online(project), [AGE])
    check_ages(project, dict(plain.rows.latest(AGE)["patient_id", "value"].iter_rows()))


MERGER = """
import random, sys
from pathlib import Path
import polars as pl
from tests.online.cases import make_project
from tests.online.packed import pack
from featurestore.online.open import open_online

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
store, shuffled = open_online(project), random.Random(int(sys.argv[4]))
keys = sorted(f"fs1:{project.name}:patient:p{n}" for n in range(10_000))
print("ready", flush=True)
for turn in shuffled.sample(range(15), 15):
    moments = [(n * 7 + turn * 11) % 15 for n in range(10_000)]
    packed = [pack("int", moment // 3, moment + 1, 0, "a" * 12, moment) for moment in moments]
    store.merge([pl.DataFrame({"key": keys, "0": packed}, schema={"key": pl.String, "0": pl.Binary})])
"""


def test_two_writers_of_the_same_entities_in_any_order_end_with_the_greatest(
    tmp_path: Path, own_server: Server
) -> None:
    """Ten thousand entities fifteen times each: reading before writing gets a third of these wrong."""
    project = make_project(tmp_path, url=own_server.url)
    writers = [start(MERGER, project, str(seed)) for seed in (1, 2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    keys = [f"fs1:{project.name}:patient:p{n}" for n in range(10_000)]
    _, rows = open_online(project).fetch(keys, [0])
    wrong = [row for row in rows if row[0] is None or layout.unpack("int", row[0]).value != 14]
    assert wrong == []


LATE_WRITER = """
import sys
from pathlib import Path
from tests.online.cases import make_project, make_version
from featurestore.offline.duckdb.store import DuckDBStore
from featurestore.online.open import open_online
from featurestore.workflows.sync import sync

project = make_project(Path(sys.argv[1]), sys.argv[3], sys.argv[2])
store, step = open_online(project), sys.argv[4]
write = getattr(store, step)

def write_late(batches):
    read = list(batches)  # what was true when it was read
    print("ready", flush=True)
    sys.stdin.readline()
    setattr(store, step, write)
    return write(read)

setattr(store, step, write_late)
sync(project, DuckDBStore(project), store, [make_version("age")], "full")
"""


@pytest.mark.parametrize("step", ["load", "merge"])
def test_a_late_writer_does_not_bring_back_what_was_deleted(tmp_path: Path, own_server: Server, step: str) -> None:
    project = make_project(tmp_path, url=own_server.url)
    offline, store = DuckDBStore(project), open_online(project)
    commit(project, AGE, [("p1", MONDAY, 0.1), ("p2", MONDAY, 0.2)])
    if step == "merge":
        sync(project, offline, store, [AGE])
    late = start(LATE_WRITER, project, step)
    delete(project, offline, PATIENT, {"patient_id": "p1"})
    sync(project, offline, store, [AGE])
    assert late.communicate("go on\n")[0] == ""
    assert late.returncode == 0
    rows = Reader(project.name, store).read(PATIENT, [{"patient_id": "p1"}, {"patient_id": "p2"}], ["age"], NOW)
    assert [(row[0].status, row[0].value) for row in rows] == [("missing", None), ("ok", 0.2)]
    sync(project, offline, store, [AGE])
    assert verify(project, offline, store, [AGE]).found == 0


@pytest.mark.parametrize("after", [0.0, 0.05, *nightly([0.02, 0.1, 0.2])])
def test_a_sync_killed_in_the_middle_leaves_nothing_half_served(
    tmp_path: Path, own_server: Server, after: float
) -> None:
    project = make_project(tmp_path / "here", url=own_server.url)
    process = start(LOADER, project)
    time.sleep(after)
    process.kill()
    process.wait()
    history = History(project)
    learn_for_all(history, AGE, 1)
    store = open_online(project)
    sync(project, history.store, store, [AGE])
    check_ages(project, dict(history.rows.latest(AGE)["patient_id", "value"].iter_rows()))
    assert OnlineTables(store).markers().reservations == {}
    assert {len(stored) for batch in store.scan("patient") for _, stored in batch} == {1}
