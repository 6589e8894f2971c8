"""Syncing, verifying and reading from a face that is not the command line, in a few lines each."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

import pytest

from featurestore.config import Project
from featurestore.errors import CancelledError, ConfigError, LockedError, NewerFormatError, StoreError, UsageError
from featurestore.offline.contract import OfflineStore
from featurestore.online.open import open_online
from featurestore.progress import Progress
from featurestore.serving.online_tables import OnlineTables
from featurestore.workflows.get import get_by_id
from featurestore.workflows.sync import SyncResult, SyncRound, sync_project, sync_repeatedly
from featurestore.workflows.verify.verify import verify_project
from tests.online.cases import History, make_project, make_version

AGE = make_version("age")
MONDAY, TUESDAY = datetime(2024, 1, 1), datetime(2024, 1, 2)
NOW = 1_704_300_000_000_000


@pytest.fixture(params=["sqlite", "valkey"])
def history(request: pytest.FixtureRequest, tmp_path: Path) -> History:
    """A project with an online store of each kind, and a history of two people."""
    url = None if request.param == "sqlite" else str(request.getfixturevalue("valkey").url)
    history = History(make_project(tmp_path / "project", url=url))
    history.learn({AGE: [("p1", MONDAY, 0.1), ("p2", MONDAY, 0.2)]})
    return history


@pytest.fixture
def project(history: History) -> Project:
    return history.project


@pytest.fixture
def offline(history: History) -> Callable[[Project], OfflineStore]:
    """Opens the history, as `open_offline` would."""
    return lambda _project: history.store


def ages(project: Project) -> list[object]:
    return [item.features[0].value for item in get_by_id(project, "patient", ["p1", "p2"], ["age"], now=NOW).entities]


def test_sync_and_get(project: Project, offline: Callable[[Project], OfflineStore]) -> None:
    lines: list[str] = []
    result = sync_project(project, ["age"], progress=Progress(lines.append), open_offline=offline)
    assert (result.entities_written, result.exit_code) == (2, 0)
    assert lines == ["0 of 2 entities: age"]
    assert ages(project) == [0.1, 0.2]
    assert sync_project(project, open_offline=offline).entities_written == 0


def test_a_refused_feature_is_exit_code_3(
    project: Project, history: History, offline: Callable[[Project], OfflineStore]
) -> None:
    two = make_version("age", 2)
    history.learn({two: [("p1", MONDAY, 2.0)]})
    sync_project(project, open_offline=offline)
    history.learn({AGE: [("p1", TUESDAY, 1.0)]})
    result = sync_project(project, open_offline=offline)
    assert (result.refused, result.exit_code) == (("age",), 3)


def test_get_refuses_what_it_does_not_know(project: Project) -> None:
    with pytest.raises(UsageError, match="no entity type 'patinet'"):
        get_by_id(project, "patinet", ["p1"])


class Clock:
    """A clock that moves when somebody sleeps."""

    def __init__(self) -> None:
        self.time = NOW
        self.slept: list[float] = []

    def now(self) -> int:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += int(seconds * 1e6)


def test_sync_repeatedly_goes_on_until_it_is_cancelled(
    project: Project, history: History, offline: Callable[[Project], OfflineStore]
) -> None:
    clock = Clock()
    progress = Progress(cancelled=lambda: len(clock.slept) == 3)
    once = partial(sync_project, project, open_offline=offline)
    rounds = []
    with pytest.raises(CancelledError):
        for finished in sync_repeatedly(once, 30, sleep=clock.sleep, now=clock.now, progress=progress):
            assert finished.result is not None
            rounds.append((finished.at, finished.result.entities_written))
            history.learn({AGE: [("p1", TUESDAY, float(len(rounds)))]})
    assert rounds == [(NOW, 2), (NOW + 30_000_000, 1), (NOW + 60_000_000, 1)]
    assert clock.slept == [30, 30, 30]


GOOD = SyncResult("incremental", False, 0.0, (), (), ())


@pytest.mark.parametrize(
    ("outcomes", "seen", "raised"),
    [
        ([StoreError("away"), LockedError("held"), GOOD, ConfigError("password")],
         ["away", "held", None, "password"], None),
        ([UsageError("no such feature")], [], UsageError),
        ([StoreError("away"), UsageError("no such feature")], ["away"], UsageError),
        ([GOOD, NewerFormatError("newer")], [None], NewerFormatError),
        ([GOOD, CancelledError("cancelled")], [None], CancelledError),
        ([GOOD, ZeroDivisionError()], [None], ZeroDivisionError),
    ],
)  # fmt: skip
def test_errors_end_the_rounds_only_where_waiting_can_not_help(
    outcomes: list[SyncResult | Exception], seen: list[str | None], raised: type[Exception] | None
) -> None:
    left = iter(outcomes)

    def once() -> SyncResult:
        outcome = next(left, KeyboardInterrupt())
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    rounds: list[SyncRound] = []
    with pytest.raises(raised or KeyboardInterrupt):
        rounds.extend(sync_repeatedly(once, 1, sleep=lambda _: None))
    assert [finished.error and finished.error.message for finished in rounds] == seen


def test_verify_and_fix(project: Project, offline: Callable[[Project], OfflineStore]) -> None:
    sync_project(project, open_offline=offline)
    assert verify_project(project, open_offline=offline).exit_code == 0
    store = open_online(project)
    store.clear("patient", [OnlineTables(store).pointers().features["age"].field])
    store.close()
    damaged = verify_project(project, open_offline=offline)
    assert (damaged.counts["missing"], damaged.left, damaged.exit_code) == (2, 2, 1)
    lines: list[str] = []
    fixed = verify_project(project, fix=True, progress=Progress(lines.append), open_offline=offline)
    assert (fixed.found, fixed.left, fixed.exit_code) == (2, 0, 0)
    assert lines == ["0 of 2 entities: age", "2 values of patient"]
    assert ages(project) == [0.1, 0.2]


def test_long_work_is_cancelled_by_a_value(project: Project, offline: Callable[[Project], OfflineStore]) -> None:
    cancelled = Progress(cancelled=lambda: True)
    with pytest.raises(CancelledError):
        sync_project(project, progress=cancelled, open_offline=offline)
    sync_project(project, open_offline=offline)
    with pytest.raises(CancelledError):
        verify_project(project, progress=cancelled, open_offline=offline)
