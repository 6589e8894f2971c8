"""Two machines write to one project while joins and syncs run between their commits: each sees whole runs, in order."""

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from featurestore import times
from featurestore.config import Project
from featurestore.offline.contract import TOMBSTONE, VALUE, CommittedRun, OfflineStore
from featurestore.offline.postgres.store import PostgresStore
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.serving.reader import Reader
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature
from featurestore.workflows.sync import sync
from tests.join.cases import PATIENT, Case, Label, Row, judge, label_frame, same, version_of
from tests.join.groups import ALWAYS_SORTED, stored_rows
from tests.join.stores import learn, project_at
from tests.offline.conftest import postgres_project
from tests.services_postgres import PostgresServer

ROOT = Path(__file__).parents[2]
OF, RUNS, STEP = version_of(), 10, 100_000
KEYS = [("a",), ("b",), ("007",), ("7",)]


def plan(run_id: str, base: int) -> list[Row]:
    """The rows of a run, by its name: late ones, corrections of anybody's, nulls and tombstones among them."""
    drawn = random.Random(run_id)
    places = {(drawn.choice(KEYS), base + drawn.randint(-3, 12) * STEP) for _ in range(8)}
    ops = (VALUE, VALUE, VALUE, VALUE, TOMBSTONE)
    return [
        Row(key, at, 0, drawn.choice((None, drawn.random(), drawn.random())), drawn.choice(ops))
        for key, at in sorted(places)
    ]


def write(folder: str, name: str, url: str, writer: str, base: str) -> None:
    """What each of the two processes does."""
    store = PostgresStore(replace(project_at(Path(folder)), name=name, offline_url=url))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for run in range(RUNS):
        learn(store, f"{writer}-{run}", {OF: plan(f"{writer}-{run}", int(base))})
        time.sleep(random.Random(f"{run}{writer}").random() / 10)


def start_writer(project: Project, writer: str, base: int) -> subprocess.Popen[str]:
    code = "import sys; from tests.offline.test_writers import write; write(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(project.root), project.name, str(project.offline_url), writer, str(base)]
    made = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert made.stdout is not None
    assert made.stdout.readline() == "ready\n"
    return made


def history_of(learned: Sequence[CommittedRun], last_run: int, base: int) -> Case:
    """What the store held up to a run."""
    runs = learned[:last_run]
    rows = [replace(row, run=run.run_seq) for run in runs for row in plan(run.run_id, base)]
    return Case(PATIENT, "float", stored_rows(rows), tuple(run.learned_at for run in runs), ())


def check_join(
    project: Project, store: OfflineStore, base: int, limits: HistoryLimits, *, known: bool, back: int | None
) -> list[CommittedRun]:
    """One join, of everybody, about times before and after now; gives the runs there were by then."""
    before = store.committed_runs()
    now = times.now()
    moments = [*(base + place * STEP for place in range(-4, 14)), now, now - STEP]
    labels = [Label((key,), at) for key in ("a", "b", "007", "7", None) for at in moments]
    as_of = before[-1 - min(back, len(before) - 1)].learned_at if back is not None else None
    features = (ResolvedFeature("score", OF),)
    question = JoinQuestion(features, "at", known=known, as_of=as_of)
    frames: list[pl.DataFrame] = []
    found = join(project, store, question, [label_frame(PATIENT, labels)], frames.append, limits=limits)
    learned = store.committed_runs()
    assert learned[: len(before)] == before, "nothing is put in before what was once there"
    case = replace(history_of(learned, found.as_of_run, base), known=known)
    for label, value in zip(labels, frames[0]["score"].to_list(), strict=True):
        assert same(value, judge(case, label)), (label, value, known, back, found.as_of_run)
    return learned


def check_sync(project: Project, store: OfflineStore, online: OnlineStore, base: int) -> None:
    """One sync, and what is served then."""
    result = sync(project, store, online, [OF])
    assert result.warnings == ()
    watermark = result.features[0].watermark
    case = history_of(store.committed_runs(), watermark, base)
    names = [str(key) for (key,) in KEYS]
    read = Reader(project.name, online).read(PATIENT, [{"patient_id": name} for name in names], ["score"], times.now())
    for name, (served,) in zip(names, read, strict=True):
        rows = [row for row in case.rows if row.key == (name,)]
        latest = max(rows, key=lambda row: (row.at, row.run), default=None)
        if latest is None or latest.op == TOMBSTONE:
            status, value = "missing", None
        else:
            status, value = "null" if latest.value is None else "ok", latest.value
        assert served.status == status, (name, watermark)
        assert same(served.value, value)


def test_joins_and_syncs_between_the_commits_of_two_writers_are_right_at_every_moment(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    shared = postgres_project(postgres, tmp_path)
    project = replace(project_at(tmp_path), name=shared.name, offline_url=shared.offline_url, lock_timeout=30.0)
    base = times.now()
    store, online = PostgresStore(project), open_online(project)
    learn(store, "first", {OF: plan("first", base)})
    writers = [start_writer(project, name, base) for name in ("x", "y")]
    drawn, seen = random.Random(7), {1}
    try:
        for writer in writers:
            assert writer.stdin is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
        going = True
        while going:
            going = any(writer.poll() is None for writer in writers)
            for known, back in ((False, None), (True, None), (False, drawn.randint(0, 4)), (True, drawn.randint(0, 4))):
                limits = ALWAYS_SORTED if drawn.random() < 0.5 else DEFAULT_LIMITS
                seen.add(len(check_join(project, store, base, limits, known=known, back=back)))
            check_sync(project, store, online, base)
        assert [writer.returncode for writer in writers] == [0, 0]
        learned = store.committed_runs()
        assert [item.run_seq for item in learned] == list(range(1, 2 * RUNS + 2))
        assert [item.learned_at for item in learned] == sorted({item.learned_at for item in learned})
        assert {item.run_id[0] for item in learned[1 : RUNS + 1]} == {"x", "y"}, "they do take turns"
        assert len(seen) > 2, "joins did come between the commits"
        check_sync(project, store, online, base)
    finally:
        for writer in writers:
            writer.kill()
            writer.wait()
        online.close()
        postgres.run(f'DROP SCHEMA IF EXISTS "fs_{shared.name}" CASCADE')
