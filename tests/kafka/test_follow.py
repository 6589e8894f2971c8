"""``ingest --follow``: bounded runs, one after another, until SIGTERM."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from featurestore.config import load_project
from featurestore.locking import holder_of
from featurestore.offline.open import open_offline
from featurestore.workflows.drift.recompute import recompute
from featurestore.workflows.ingest import follow as following
from featurestore.workflows.ingest.ingest import IngestRequest
from tests.kafka.conftest import Shop


def test_a_backlog_is_taken_in_bounded_runs_without_a_pause_and_the_lock_is_let_go(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featurestore.sources.kafka.topic.AT_ONCE", 2)
    shop.send(*(("a", day, day) for day in range(1, 6)))
    project = load_project(shop.folder.root)
    slept: list[float] = []
    rounds = following.follow(
        project, open_offline(project), IngestRequest(), 60, most_rows=2, sleep=slept.append, now=lambda: 0.0
    )
    written = []
    for finished in rounds:
        assert finished.result is not None
        assert holder_of(project) is None
        written.append([item.rows_written for item in finished.result.run.features])
        if slept:
            break
    assert written == [[2, 2], [3, 3], [0, 0]]  # the last record is read again, and not counted
    assert slept == [60.0]


def test_drift_is_measured_once_an_hour_over_all_that_came_in_it(shop: Shop) -> None:
    clock = [0.0]
    project = load_project(shop.folder.root)
    measured, judged = [], []
    rounds = following.follow(
        project, open_offline(project), IngestRequest(), 600, sleep=lambda _: None, now=lambda: clock[0]
    )
    for number in range(1, 9):
        shop.send(("a", number, number))
        finished = next(rounds)
        assert finished.result is not None
        drift = finished.result.run.features[0].drift
        measured.append(drift is not None)
        judged += [] if drift is None else [drift["rows"]]
        clock[0] += 600
    assert measured == [True, *[False] * 5, True, False]
    assert judged == [1, 6]  # of the second hour all that came since the first run
    (again,) = [item for item in recompute(project, open_offline(project), "amount") if item.point.verdict.get("since")]
    assert again.differs == ()


def test_sigterm_ends_it_with_143_and_nothing_half_done(shop: Shop) -> None:
    command = [sys.executable, "-m", "featurestore", "-C", str(shop.folder.root), "ingest", "--follow", "--every", "1s"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    sent = threading.Timer(0, shop.send, [("a", 1, 10)])
    sent.start()
    lines = []
    deadline = time.monotonic() + 60
    while "2 values written" not in (line := process.stdout.readline()):
        lines.append(line)
        assert line, process.stderr
        assert time.monotonic() < deadline
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert shop.values("total", "a") == [10]


def test_it_is_for_streams(shop: Shop) -> None:
    shop.edit("[sources.orders]", '[sources.files]\ntype = "csv"\npath = "x.csv"\n[sources.orders]')
    error = shop.folder.json("ingest", "--follow", "--source", "files", code=2)["error"]
    assert error["message"] == "--follow is for streams, and source files is csv"
    error = shop.folder.json("ingest", "--every", "10s", code=2)["error"]
    assert error["message"] == "--every goes with --follow"
