"""Retention: what goes of old runs, and what never does, in every store."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import pytest

from featurestore.model import FeatureRun, RejectedRow, StoredVersion, VersionId
from featurestore.offline.contract import Baseline, OfflineStore, Position
from tests.conftest import Folder
from tests.offline.history import frame, run_of, version

SCORE = version()
OTHER = replace(version(), id=VersionId("score", "b" * 64), number=2)
DAY = 86_400_000_000
VERDICT = {"detected": False, "score": 0.1}


def live(store: OfflineStore, day: int, of: StoredVersion = SCORE, *, verdict: bool = True) -> None:
    """A run that ended on a day, with statistics, a sample, a rejected row and a position."""
    run_id = f"run-{day}"
    with store.writing(run_id) as run:
        run.write(of, frame(of, [("a", day, float(day))]))
        run.store_sample(of.id, f"sample {day}".encode())
        run.reject([RejectedRow("visits", "v.csv", day, "age", "too old", {"id": "a"}, f"v.csv row {day}")])
        run.set_position(Position(of.id, "visits", f"f{day}", {"files": {}}, run.run_seq))
        item = FeatureRun(
            of.id.feature, "visits", "ok", of.number, of.id.sha256, rows_read=9, rows_written=1,
            statistics={"count": day}, drift=VERDICT if verdict else None,
        )  # fmt: skip
        run.finish(replace(run_of((run.run_seq, run.learned_at), run_id, item), finished_at=day * DAY))


def features(store: OfflineStore) -> dict[str, list[tuple[object, ...]]]:
    return {
        run.run_id: [(item.statistics, item.drift, item.rows_read, item.note) for item in run.features]
        for run in store.runs()
    }


def test_details_of_old_runs_go_and_what_is_asked_for_stays(store: OfflineStore) -> None:
    for day in range(1, 7):
        live(store, day, verdict=day != 3)
    runs = [(run.run_seq, run.run_id, run.learned_at, run.status) for run in store.runs()]
    assert store.count_details(6 * DAY) == 5
    store.drop_details(6 * DAY)
    assert store.count_details(6 * DAY) == 0
    assert [(run.run_seq, run.run_id, run.learned_at, run.status) for run in store.runs()] == runs
    gone = (None, VERDICT, 0, "details are no longer kept")
    assert features(store) == {
        "run-6": [({"count": 6}, VERDICT, 9, None)],  # where the version stands
        "run-5": [gone], "run-4": [gone], "run-3": [], "run-2": [gone],
        "run-1": [({"count": 1}, VERDICT, 9, None)],  # its sample is the reference
    }  # fmt: skip
    assert [len(store.rejected(f"run-{day}")) for day in range(1, 7)] == [0, 0, 0, 0, 0, 1]
    assert list(store.samples(SCORE.id, 1, 6, 10)) == [1, 6]
    assert store.reference(SCORE.id) == Baseline(1)
    position = store.position(SCORE.id, "visits")
    assert position is not None
    assert position.fingerprint == "f6"
    assert store.scan(SCORE).height == 6
    assert store.last_committed("score") == SCORE.id


def test_named_and_rolling_references_keep_their_samples(store: OfflineStore) -> None:
    for day in range(1, 5):
        live(store, day)
    store.set_reference(SCORE.id, Baseline(2))
    store.drop_details(5 * DAY)
    assert list(store.samples(SCORE.id, 1, 9, 10)) == [2, 4]
    store.set_reference(SCORE.id, Baseline(None, window=30 * DAY))  # its runs were learned just now
    live(store, 5)
    live(store, 6)
    store.drop_details(9 * DAY)
    assert list(store.samples(SCORE.id, 1, 9, 10)) == [2, 4, 5, 6]


def test_since_when_a_version_is_active_stays_known(store: OfflineStore) -> None:
    for day, of in enumerate([SCORE, OTHER, OTHER, SCORE, SCORE, SCORE], 1):
        live(store, day, of, verdict=False)
    before = store.summarize()
    store.drop_details(9 * DAY)
    after = store.summarize()
    assert after == before
    assert store.last_committed("score") == SCORE.id
    assert store.position(OTHER.id, "visits") is not None


def test_young_runs_keep_everything(store: OfflineStore) -> None:
    for day in range(1, 4):
        live(store, day)
    before = features(store)
    store.drop_details(DAY)
    assert features(store) == before
    assert store.count_details(DAY) == 0


def test_a_store_that_does_not_exist_has_nothing_to_drop(store: OfflineStore) -> None:
    assert store.count_details(DAY) == 0


def test_ingest_applies_it_and_doctor_reports_it(project: Folder) -> None:
    assert "kept for ever" in project.run("doctor").out
    for number in range(3):
        row = f"00{number},2024-03-0{number + 1}T00:00:00Z,4{number},1"
        bad = f"00{number},2024-04-0{number + 1}T00:00:00Z,400,1"
        project.write({f"visits{number}.csv": f"patient_id,visit_at,age,chol\n{row}\n{bad}\n"})
        project.run("ingest", code=3)
    project.edit("featurestore.toml", "[entity_types", '[log]\nkeep = "30d"\n[entity_types')
    assert "details of runs are kept for 30d" in project.run("doctor").out
    with duckdb.connect(str(project.root / ".featurestore" / "history.duckdb")) as connection:
        connection.execute(f"UPDATE runs SET finished_at = finished_at - {40 * DAY}")
    assert "the next ingest drops those of 2" in project.run("doctor").out
    timeline = len(project.json("drift", "age_share")["runs"])
    project.run("ingest")
    assert "the next ingest drops" not in project.run("doctor").out
    assert len(project.json("drift", "age_share")["runs"]) == timeline
    assert project.json("stats", "age_share")["statistics"]["count"] == 1
    assert [run["run_seq"] for run in project.json("runs")["runs"]][-3:] == [3, 2, 1]
    assert "is not stored any more" in project.run("baseline", "age_share", "2", code=2).err
    assert "set 1 row aside, of which none is stored any more" in project.run("runs", "1", "--rejected").out
    assert "details are no longer kept" in project.run("runs", "2", "--rejected").out
    assert project.json("status")["features"][0]["rows_rejected"] == 3


@pytest.mark.parametrize(("text", "said"), [("soon", "not a duration"), ("5m", "too short")])
def test_a_wrong_time_is_an_error(project: Folder, text: str, said: str) -> None:
    project.edit("featurestore.toml", "[entity_types", f'[log]\nkeep = "{text}"\n[entity_types')
    assert said in project.run("list", code=2).err
