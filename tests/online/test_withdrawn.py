"""A withdrawn value goes back in time online, in every kind of store, and no late writer brings it back."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import pytest

from featurestore.config import Project
from featurestore.offline.contract import WITHDRAWN
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import Reader
from featurestore.workflows.sync import Mode, sync
from featurestore.workflows.verify.verify import verify
from tests.online.cases import KINDS, PATIENT, Fresh, History, make_version

AGE = make_version("age")
MONDAY, TUESDAY, FRIDAY = datetime(2024, 1, 1), datetime(2024, 1, 2), datetime(2024, 1, 5)
NOW = 1_800_000_000_000_000
PEOPLE = ("a", "b", "c")


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def served(project: Project, store: OnlineStore, now: int = NOW) -> list[object]:
    rows = Reader(project.name, store).read(PATIENT, [{"patient_id": who} for who in PEOPLE], ["age"], now)
    return [row[0].value if row[0].status == "ok" else row[0].status for row in rows]


def packed(project: Project, store: OnlineStore, who: str) -> bytes:
    field = OnlineTables(store).pointers().features["age"].field
    found = store.fetch([layout.entity_key(project.name, PATIENT, {"patient_id": who})], [field])[1][0][0]
    assert found is not None
    return found


@pytest.mark.parametrize("mode", ["incremental", "full"])
def test_the_value_before_is_served_again_and_stays(fresh: Fresh, mode: Mode) -> None:
    project, store = fresh()
    history = History(project)
    history.learn({AGE: [("a", MONDAY, 1.0), ("a", TUESDAY, 2.0), ("b", MONDAY, 3.0), ("c", MONDAY, 4.0)]})
    sync(project, history.store, store, [AGE])
    assert served(project, store) == [2.0, 3.0, 4.0]
    before = packed(project, store, "a")
    history.learn({AGE: [("a", TUESDAY, None), ("b", MONDAY, None)]}, op=WITHDRAWN)
    result = sync(project, history.store, store, [AGE], mode)
    assert result.features[0].entities_written == 2
    assert served(project, store) == [1.0, "missing", 4.0]
    assert [layout.run_seq_of(packed(project, store, who)) for who in PEOPLE] == [2, 2, 1]

    # A sync that was begun before writes what it had read.
    field = OnlineTables(store).pointers().features["age"].field
    late = pl.DataFrame({"key": [layout.entity_key(project.name, PATIENT, {"patient_id": "a"})], str(field): [before]})
    assert store.merge([late])[field].written == 0
    assert served(project, store) == [1.0, "missing", 4.0]
    assert verify(project, history.store, store, [AGE]).found == 0
    assert sync(project, history.store, store, [AGE], mode).features[0].entities_written == 0

    history.learn({AGE: [("a", TUESDAY, 2.5), ("b", FRIDAY, 3.5)]})
    sync(project, history.store, store, [AGE], mode)
    assert served(project, store) == [2.5, 3.5, 4.0]
    assert verify(project, history.store, store, [AGE]).found == 0


def test_a_value_that_was_not_withdrawn_online_is_stale(fresh: Fresh) -> None:
    project, store = fresh()
    history = History(project)
    history.learn({AGE: [("a", MONDAY, 1.0), ("a", TUESDAY, 2.0)]})
    sync(project, history.store, store, [AGE])
    history.learn({AGE: [("a", TUESDAY, None)]}, op=WITHDRAWN)
    found = verify(project, history.store, store, [AGE], fix=True)
    assert (found.counts["stale"], found.left) == (1, 0)
    assert served(project, store)[0] == 1.0


def test_a_value_whose_time_comes_follows_one_that_was_corrected_meanwhile(fresh: Fresh) -> None:
    project, store = fresh()
    history = History(project)
    clock = int((datetime(2025, 7, 1) - datetime(1970, 1, 1)).total_seconds()) * 1_000_000  # when its runs were learned
    ahead = datetime(2025, 7, 2)
    history.learn({AGE: [("a", MONDAY, 1.0), ("a", ahead, 9.0)]})
    sync(project, history.store, store, [AGE], now=lambda: clock)
    history.learn({AGE: [("a", MONDAY, 1.5)]})
    sync(project, history.store, store, [AGE], now=lambda: clock)
    assert served(project, store, clock)[0] == 1.5
    assert served(project, store, clock + 2 * 86_400_000_000)[0] == 9.0, "without another sync"
    sync(project, history.store, store, [AGE], now=lambda: clock + 2 * 86_400_000_000)
    assert served(project, store)[0] == 9.0, "though the run that corrected the value before was later"
    assert verify(project, history.store, store, [AGE], now=lambda: clock + 2 * 86_400_000_000).found == 0
