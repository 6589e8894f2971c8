"""What every offline store promises; the same tests for each."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore import times
from featurestore.model import FeatureRun, Json, RejectedRow, Run, StoredVersion, VersionId
from featurestore.offline.contract import Baseline, DataSet, DataSetFeature, OfflineStore, Position
from featurestore.offline.partitions import KeyRange
from featurestore.offline.totals import RunTotals, VersionTotals
from featurestore.registry.summary import FeatureSummary
from featurestore.tables.types import history_schema
from tests.offline.history import PAIR, PATIENT, START, Judge, frame, learn, run_of, same, version
from tests.often import examples

VALUES: dict[str, list[Any]] = {
    "bool": [True, False, None],
    "int": [0, -(2**63), 2**63 - 1, None],
    "float": [0.0, 1.5, float("nan"), float("inf"), float("-inf"), 1e308, None],
    "string": ["", "a", "'; DROP TABLE runs; --", "é", None],
    "list[float]": [[1.0, 2.0], [float("nan"), 0.0], None],
}


def test_runs_are_in_the_order_of_their_commits_whatever_the_clocks_said(store: OfflineStore) -> None:
    """One machine's clock is an hour behind the other's, and a third one's a day."""
    hour = 3_600_000_000

    def commit(name: str, started: int) -> None:
        with store.writing(name, clock=max(started, store.next_clock())) as run:
            run.finish(replace(run_of((run.run_seq, run.learned_at), name), started_at=started))

    begin = times.now()
    for number, started in enumerate([5 * hour, 4 * hour, 6 * hour, 5 * hour], 1):
        commit(f"run-{number}", begin + started)
    store.log(replace(run_of(None, "quiet"), started_at=begin + 7 * hour))
    store.log(replace(run_of(None, "failed", status="failed"), started_at=begin + 8 * hour))
    store.log(replace(run_of(None, "first", status="failed"), started_at=1))
    in_order = ["failed", "quiet", "run-4", "run-3", "run-2", "run-1", "first"]
    assert [run.run_id for run in store.runs()] == in_order
    assert [run.run_id for run in store.runs(last=3)] == ["failed", "quiet", "run-4"]
    assert [run.run_id for run in store.runs(status="failed")] == ["failed", "first"]
    store.log(replace(run_of(None, "later"), started_at=begin + 9 * hour))
    commit("run-5", begin - 24 * hour)
    assert [run.run_id for run in store.runs()] == ["run-5", "later", *in_order], "what came before it stays behind it"


def test_a_history_is_read_whole_range_by_range(store: OfflineStore) -> None:
    of = version("int", PAIR, "stock")
    rows = [(shop, product, day, day) for shop in range(-3, 4) for product in ("", "a", "é", "~") for day in (1, 2)]
    learn(store, of, rows, "one")
    learn(store, of, [(0, "a", 1, 9), (3, "~", 5, 5)], "two")
    cuts: list[tuple[str | int, ...] | None] = [None, (-2, "a"), (0, ""), (0, "a"), (2, "zz"), None]
    ranges = [KeyRange(after, up_to) for after, up_to in pairwise(cuts)]
    for read in (store.scan, store.current):
        parts = [read(of, key_range=key_range) for key_range in ranges]
        assert pl.concat(parts).equals(read(of))
        assert all(part.height for part in parts)
    parts = [store.scan(of, key_range=key_range, up_to_run=1) for key_range in ranges]
    assert pl.concat(parts).equals(store.scan(of, up_to_run=1))


def test_an_empty_store_answers_nothing_and_makes_no_file(store: OfflineStore, tmp_path: Path) -> None:
    assert store.runs() == []
    assert store.committed_runs() == []
    assert store.scan(version()).schema == history_schema(version())
    assert store.last_committed("score") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("data_type", VALUES)
def test_values_come_back_as_they_went_in(store: OfflineStore, data_type: str) -> None:
    of = version(data_type)
    rows = [(f"p{at}", at, value) for at, value in enumerate(VALUES[data_type])]
    learn(store, of, rows, "r1")
    found = store.scan(of)["value"].to_list()
    assert all(same(one, row[2]) for one, row in zip(found, rows, strict=True))


def test_the_same_values_again_write_nothing(store: OfflineStore) -> None:
    of = version()
    rows = [("a", 0, 1.0), ("b", 0, None), ("c", 3, float("nan"))]
    learn(store, of, rows, "r1")
    again = learn(store, of, rows, "r2")
    assert (again.new, again.corrected, again.unchanged) == (0, 0, 3)
    assert again.values.is_empty()
    assert store.scan(of).height == 3


def test_a_correction_is_kept_beside_what_it_corrects(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.0)], "r1")
    written = learn(store, of, [("a", 0, 2.0)], "r2")
    assert (written.new, written.corrected) == (0, 1)
    assert store.scan(of).select("run_seq", "value").rows() == [(1, 1.0), (2, 2.0)]
    assert store.current(of)["value"].to_list() == [2.0]


def test_a_value_that_comes_back_is_a_third_row(store: OfflineStore) -> None:
    of = version()
    for run, value in enumerate([1.0, 2.0, 1.0]):
        learn(store, of, [("a", 0, value)], f"r{run}")
    assert store.scan(of)["value"].to_list() == [1.0, 2.0, 1.0]


def test_a_late_row_lands_in_its_place_in_time(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 5, 5.0)], "r1")
    learn(store, of, [("a", 2, 2.0)], "r2")
    assert store.scan(of)["value"].to_list() == [2.0, 5.0]
    assert store.latest(of)["value"].to_list() == [5.0]


def test_values_within_the_tolerance_are_the_same(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.0), ("b", 0, float("inf")), ("c", 0, float("nan"))], "r1")
    close = [("a", 0, 1.05), ("b", 0, float("inf")), ("c", 0, 3.0)]
    written = learn(store, of, close, "r2", tolerance=0.1)
    assert written.values.rows() == [("c", START, 3.0)]


def test_keys_are_compared_byte_for_byte(store: OfflineStore) -> None:
    of = version()
    ids = ["007", "7", " 7", "e\u0301", "\u00e9", "A", "a", ""]
    learn(store, of, [(key, 0, 1.0) for key in ids], "r1")
    assert sorted(store.scan(of)["patient_id"].to_list()) == sorted(ids)
    again = learn(store, of, [(key, 0, 1.0) for key in ids], "r2")
    assert again.unchanged == len(ids)


def test_composite_keys_tell_pairs_apart(store: OfflineStore) -> None:
    of = version(entity_type=PAIR)
    learn(store, of, [(1, "a", 0, 1.0), (1, "b", 0, 2.0), (2, "a", 0, 3.0)], "r1")
    wanted = pl.DataFrame({"store": [1, 2], "product": ["b", "a"]})
    assert store.scan(of, entities=wanted)["value"].to_list() == [2.0, 3.0]


def test_a_run_that_fails_leaves_nothing(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.0)], "r1")
    with pytest.raises(RuntimeError), store.writing("r2") as run:
        run.write(of, frame(of, [("b", 0, 1.0)]))
        raise RuntimeError
    assert store.scan(of).height == 1
    assert [item.run_seq for item in store.committed_runs()] == [1]
    learn(store, of, [("c", 0, 1.0)], "r3")
    assert [item.run_seq for item in store.committed_runs()] == [1, 2], "the order of commits has no gaps"


def test_a_dry_run_counts_and_keeps_nothing(store: OfflineStore) -> None:
    of = version()
    with store.writing("r1", dry_run=True) as run:
        assert run.write(of, frame(of, [("a", 0, 1.0)])).new == 1
    assert store.scan(of).is_empty()


def test_later_runs_are_learned_later(store: OfflineStore) -> None:
    for run in range(5):
        learn(store, version(), [("a", run, 1.0)], f"r{run}")
    times = [item.learned_at for item in store.committed_runs()]
    assert times == sorted(set(times))


def test_only_entities_with_news_are_latest_after_a_run(store: OfflineStore) -> None:
    of = version()
    learn(store, of, [("a", 0, 1.0), ("b", 9, 1.0)], "r1")
    learn(store, of, [("a", 3, 2.0), ("b", 1, 2.0)], "r2")
    learn(store, of, [("c", 0, 3.0)], "r3")
    news = store.latest(of, after_run=1)
    assert news.select("patient_id", "value").rows() == [("a", 2.0), ("b", 1.0), ("c", 3.0)]
    assert store.latest(of, after_run=2)["patient_id"].to_list() == ["c"]
    assert store.latest(of, after_run=3).is_empty()


def test_without_times_only_a_change_is_written(store: OfflineStore) -> None:
    of = version()

    def learn_now(day: int, rows: list[tuple[str, float | None]], run_id: str) -> int:
        with store.writing(run_id) as run:
            written = run.write_changes(of, frame(of, [(key, day, value) for key, value in rows]))
            run.finish(run_of((run.run_seq, run.learned_at), run_id))
        return written.new

    assert learn_now(0, [("a", 1.0), ("b", None)], "r1") == 2
    assert learn_now(1, [("a", 1.0), ("b", None)], "r2") == 0
    assert learn_now(2, [("a", 1.0), ("b", 2.0)], "r3") == 1
    assert learn_now(3, [("a", 1.0), ("b", None)], "r4") == 1
    assert store.scan(of).filter(pl.col("patient_id") == "b")["value"].to_list() == [None, 2.0, None]


def test_the_position_is_that_of_the_last_run(store: OfflineStore) -> None:
    of = version()
    assert store.position(of.id, "visits") is None
    for seq, fingerprint in enumerate(["one", "two", "one"], start=1):
        with store.writing(f"r{seq}") as run:
            run.set_position(Position(of.id, "visits", fingerprint, {"files": {"a.csv": "00"}}, run.run_seq))
            run.finish(run_of((run.run_seq, run.learned_at), f"r{seq}"))
    found = store.position(of.id, "visits")
    assert found is not None
    assert (found.fingerprint, found.run_seq, found.cursor) == ("one", 3, {"files": {"a.csv": "00"}})


def test_the_audit_log_gives_runs_back_whole_and_newest_first(store: OfflineStore) -> None:
    error_free = FeatureRun(
        "score", "visits", "ok", 1, "a" * 64, drift={"score": 0.5}, statistics={"count": 3}, note="n"
    )
    rejected = RejectedRow("visits", "v.csv", 7, "age", "above 120", {"age": "430"}, "v.csv row 7")
    elsewhere = RejectedRow("topic", None, None, None, "too short", {}, "topic[3] offset 17")
    with store.writing("r1") as run:
        run.reject([rejected])
        kept = run_of((run.run_seq, run.learned_at), "r1", error_free)
        run.finish(kept)
    failed = run_of(None, "r2", FeatureRun("other", "visits", "failed"), status="failed")
    store.log(failed, [elsewhere])
    assert {item.run_id: item for item in store.runs()} == {"r1": kept, "r2": failed}
    assert store.runs(feature="score") == [kept]
    assert store.runs(status="failed") == [failed]
    assert store.runs(run_id="1") == [kept]
    assert store.rejected("r1") == [rejected]
    assert store.rejected("r2") == [elsewhere]
    assert store.last_committed("score") == version().id
    assert store.last_committed("other") is None


def test_the_reference_is_the_first_sample_until_another_is_named(store: OfflineStore) -> None:
    of = version()
    for seq in (1, 2):
        with store.writing(f"r{seq}") as run:
            run.store_sample(of.id, bytes([seq, 0, 255]))
            run.finish(run_of((run.run_seq, run.learned_at), f"r{seq}"))
    assert store.reference(of.id) == Baseline(1)
    store.set_reference(of.id, Baseline(2, method="psi"))
    assert store.reference(of.id) == Baseline(2, method="psi")
    store.set_reference(of.id, Baseline(None, window=60_000_000))
    assert store.reference(of.id) == Baseline(None, window=60_000_000)
    assert store.sample(of.id, 2) == bytes([2, 0, 255])


def test_a_version_of_another_hash_has_a_history_of_its_own(store: OfflineStore) -> None:
    one, two = version(digit="a"), version(digit="b")
    learn(store, one, [("a", 0, 1.0)], "r1")
    learn(store, two, [("a", 0, 2.0)], "r2")
    assert store.scan(one)["value"].to_list() == [1.0]
    assert [item.id.sha256[0] for item in store.versions("score")] == ["a", "b"]


KEYS, DAYS = st.sampled_from(["a", "b", "007", "7"]), st.integers(0, 3)
NUMBERS = st.sampled_from([0.0, 1.0, 2.0, float("nan"), float("inf"), None])
RUNS = st.lists(st.dictionaries(st.tuples(KEYS, DAYS), NUMBERS, max_size=8), min_size=1, max_size=6)


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS)
def test_history_is_what_the_judge_says(new_store, tmp_path_factory: pytest.TempPathFactory, runs) -> None:  # type: ignore[no-untyped-def]
    store: OfflineStore = new_store(tmp_path_factory.mktemp("store"))
    of, judge = version(), Judge()
    for seq, run in enumerate(runs, start=1):
        rows = [(key, day, value) for (key, day), value in run.items()]
        written = learn(store, of, rows, f"r{seq}")
        assert (written.new, written.corrected, written.unchanged) == judge.learn(seq, rows)
    for answer, expected in (
        (store.scan(of), judge.scan()),
        (store.current(of), judge.current()),
        (store.latest(of), judge.latest()),
    ):
        found = [(key, (at - START) // timedelta(days=1), seq, value) for key, at, seq, _op, value in answer.rows()]
        assert len(found) == len(expected)
        assert all(one[:3] == other[:3] and same(one[3], other[3]) for one, other in zip(found, expected, strict=True))


def test_what_a_store_held_up_to_a_run_stays_what_it_was(store: OfflineStore) -> None:
    of, judges = version(entity_type=PAIR), [Judge()]
    runs: list[list[tuple[int, str, int, float | None]]] = [
        [(1, "a", 5, 1.0), (1, "b", 5, 2.0)],
        [(1, "a", 3, 3.0), (2, "a", 5, None)],
        [(1, "a", 5, 4.0), (2, "a", 5, 5.0), (1, "b", 9, float("nan"))],
    ]
    for seq, rows in enumerate(runs, start=1):
        learn(store, of, rows, f"r{seq}")
        judges.append(Judge())
        judges[-1].rows = list(judges[-2].rows)
        judges[-1].learn(seq, [(row[:-2], row[-2], row[-1]) for row in rows])

    def settled(found: pl.DataFrame) -> list[tuple[object, ...]]:
        return [((one, two), (at - START) // timedelta(days=1), seq, v) for one, two, at, seq, _, v in found.rows()]

    def equal(found: list[tuple[object, ...]], expected: list[tuple[object, int, int, object]]) -> bool:
        pairs = zip(found, expected, strict=True)
        return all(one[:3] == other[:3] and same(one[3], other[3]) for one, other in pairs)

    for run, judge in enumerate(judges):
        assert equal(settled(store.scan(of, up_to_run=run)), judge.scan())
        assert equal(settled(store.latest(of, up_to_run=run)), judge.latest())
        later = [row for row in judges[-1].scan() if row[2] > run]
        assert equal(settled(store.scan(of, after_run=run)), later)
        batches = pl.concat([store.scan(of).clear(), *store.batches(of, up_to_run=run)])
        assert equal(settled(batches.sort("store", "product", "computed_at", "run_seq")), judge.scan())
        mark = store.mark(of, up_to_run=run)
        assert (mark is None) == (run == 0)
        assert mark is None or (mark.rows, mark.run_seq, mark.run_id) == (len(judge.rows), run, f"r{run}")
    assert store.mark(of) == store.mark(of, up_to_run=3)


def test_every_key_and_type_is_handed_over_in_batches_as_in_a_scan(store: OfflineStore) -> None:
    for at, (data_type, values) in enumerate(VALUES.items()):
        of = version(data_type, name=f"of_{at}")
        assert list(store.batches(of)) == []
        learn(store, of, [(f"p{at}", at, value) for at, value in enumerate(values)], f"r{at}")
        found = pl.concat(list(store.batches(of)))
        assert found.schema == history_schema(of)
        assert found.sort("patient_id").equals(store.scan(of))


def test_samples_are_found_by_their_runs(store: OfflineStore) -> None:
    of = version()
    assert store.samples(of.id, 1, 9, 5) == {}
    for seq in range(1, 6):
        with store.writing(f"r{seq}") as run:
            if seq != 3:
                run.store_sample(of.id, bytes([seq]) * 1_000)
            run.finish(run_of((run.run_seq, run.learned_at), f"r{seq}"))
    assert list(store.samples(of.id, 2, 5, 9)) == [2, 4, 5]
    assert list(store.samples(of.id, 1, 5, 2)) == [4, 5]
    assert store.samples(of.id, 2, 2, 9) == {2: b"\2" * 1_000}
    assert store.samples(version(digit="b").id, 1, 9, 5) == {}
    assert store.sample(of.id, 3) is None


def test_runs_are_found_by_their_id_and_counted(store: OfflineStore) -> None:
    for at in range(4):
        learn(store, version(), [("a", at, 1.0)], f"run-{at}")
    assert [run.run_id for run in store.runs(run_id="run-2")] == ["run-2"]
    assert len(store.runs(run_id="run-")) == 4
    assert len(store.runs(last=3)) == 3
    assert store.runs(run_id="run_") == store.runs(run_id="%") == store.runs(feature="other") == []


def test_rows_set_aside_are_given_back_in_their_order(store: OfflineStore) -> None:
    rows = [
        RejectedRow("visits", "v.csv", at, "age", "above 120", {"age": str(at), "é": "\\"}, f"v.csv row {at}")
        for at in range(50)
    ]
    with store.writing("r1") as run:
        run.reject(rows)
        run.finish(run_of((run.run_seq, run.learned_at), "r1"))
    assert store.rejected("r1") == rows
    assert store.rejected("r1", 3) == rows[:3]
    assert store.rejected("r2") == []


def data_set(name: str, labels: bytes, *, made_at: int = 1, kept: bool = True) -> DataSet:
    feature = DataSetFeature("score@1", "score", "a" * 64, 1, None, 3)
    return DataSet(
        name=name, made_at=made_at, run_seq=2, run_id="r2", features=(feature, feature), entity_type="patient",
        entity_columns=("patient_id",), timestamp_column="at", known=True, as_of=None, labels_name="é.csv",
        labels_form="csv", labels_sha256=sha256(labels).hexdigest(), labels_bytes=len(labels), labels_kept=kept, rows=7,
        content_sha256="c" * 64, output_form=None, output_sha256=None, git_commit=None, writer="w", batch_rows=5,
    )  # fmt: skip


def test_a_data_set_is_kept_with_its_labels_until_no_other_has_them(store: OfflineStore) -> None:
    assert store.datasets() == []
    one, two = b"\0\xff" * 700_000, b"patient_id,at\n"
    parts = [one[:1_000_000], one[1_000_000:]]

    def kept(labels: bytes) -> bytes:
        return b"".join(store.label_file(sha256(labels).hexdigest()))

    first, second = data_set("first", one), data_set("second", one, made_at=2)
    store.store_dataset(first, parts)
    store.store_dataset(second, parts)
    assert store.datasets() == [first, second]
    assert store.datasets("second") == [second]
    assert store.datasets("third") == []
    assert kept(one) == one
    replaced = data_set("first", two, made_at=3)
    store.store_dataset(replaced, [two])
    assert store.datasets() == [second, replaced]
    assert (kept(one), kept(two)) == (one, two)
    without = data_set("second", one, made_at=4, kept=False)
    store.store_dataset(without, None)
    assert store.datasets() == [replaced, without]
    assert (kept(one), kept(two)) == (b"", two)


@pytest.mark.parametrize("of", [version("int", PAIR), version("int", PATIENT)], ids=str)
def test_the_latest_rows_with_news_are_those_of_all_latest_rows(store: OfflineStore, of: StoredVersion) -> None:
    drawn = random.Random(11)
    keys = [(one, two) for one in (1, 2, -3) for two in ("", "A", "a", "é")]
    for run in range(1, 9):
        some = {(*(key if of.entity_type == PAIR else key[1:]), drawn.randint(0, 4)) for key in drawn.sample(keys, 4)}
        learn(store, of, [(*place, drawn.choice((None, run))) for place in some], f"r{run}")
    names = of.entity_type.key_names
    for up_to in (*range(1, 9), None):
        rows = store.scan(of, up_to_run=up_to)
        latest = rows.group_by(names, maintain_order=True).last().sort(names)
        assert store.latest(of, up_to_run=up_to).equals(latest.select(rows.columns))
        for after in range(9):
            news = store.scan(of, after_run=after).select(names).unique()
            found = store.latest(of, after_run=after, up_to_run=up_to)
            assert found.sort(names).equals(latest.join(news, on=names, how="semi").select(rows.columns))


def test_rows_ahead_of_an_instant_are_passed_over_and_come_due(store: OfflineStore) -> None:
    of = version("int", PATIENT)
    learn(store, of, [("a", 0, 1), ("a", 3, 2), ("b", 3, 3), ("c", 0, 4)], "r1")
    learn(store, of, [("c", 1, 5), ("d", 9, 6)], "r2")
    start = (START - datetime(1970, 1, 1)) // timedelta(microseconds=1)
    day = int(timedelta(days=1) / timedelta(microseconds=1))

    def found(day_number: int, **options: Any) -> list[tuple[str, int]]:
        frame = store.latest(of, at=start + day_number * day, **options)
        return list(frame.select("patient_id", "value").iter_rows())

    assert found(-1) == []
    assert found(2) == [("a", 1), ("c", 5)]
    assert found(3) == [("a", 2), ("b", 3), ("c", 5)]
    assert found(2, after_run=1) == [("c", 5)]
    assert found(4, after_run=2, due_after=start) == [("a", 2), ("b", 3), ("c", 5)]
    assert found(4, after_run=2, due_after=start + day) == [("a", 2), ("b", 3)]
    assert found(2, after_run=2, due_after=start + day) == []
    assert found(99, after_run=2, due_after=start + 3 * day) == [("d", 6)]
    assert store.newest(of) == start + 9 * day
    assert store.newest(of, up_to_run=1) == start + 3 * day
    assert store.newest(of, after_run=2) is None
    assert store.newest(version("int", PATIENT, name="none")) is None


def test_a_version_is_carried_to_another_name_with_all_that_is_stored_of_it(store: OfflineStore) -> None:
    old = version("int", PATIENT, name="old")
    new = replace(old, id=VersionId("new", old.id.sha256))
    learn(store, old, [("a", 0, 1), ("b", 0, 2)], "r1")
    learn(store, old, [("a", 1, None), ("b", 0, 3)], "r2")
    with store.writing("r3") as run:
        run.delete(old, frame(old, [("b", 2, None)]).drop("value"))
        run.set_position(Position(old.id, "visits", "print", {"files": {}}, run.run_seq))
        run.store_sample(old.id, b"sample")
        run.finish(run_of((run.run_seq, run.learned_at), "r3"))
    store.set_reference(old.id, Baseline(2, None, "psi"))
    with store.writing("r4") as run:
        assert run.carry(old.id, new) == 5
        run.finish(run_of((run.run_seq, run.learned_at), "r4", FeatureRun("new", "rename", "ok", 1, new.id.sha256)))
    assert store.scan(new).equals(store.scan(old))
    assert store.latest(new, after_run=2).equals(store.latest(old, after_run=2))
    assert store.versions("new") == [new]
    assert store.last_committed("new") == new.id
    assert store.position(new.id, "visits") == Position(new.id, "visits", "print", {"files": {}}, 3)
    assert (store.sample(new.id, 3), store.reference(new.id)) == (b"sample", Baseline(2, None, "psi"))
    mark, before = store.mark(new), store.mark(old)
    assert mark is not None
    assert mark == before
    assert learn(store, new, [("a", 0, 1), ("c", 0, 9)], "r5").new == 1
    assert store.scan(old).height == 5


def test_a_dropped_version_has_nothing_left_and_begins_anew(store: OfflineStore) -> None:
    of, other = version("int", PATIENT), version("int", PATIENT, name="other")
    learn(store, of, [("a", 0, 1), ("b", 0, 2)], "r1")
    learn(store, other, [("a", 0, 1)], "r2")
    with store.writing("r3") as run:
        run.set_position(Position(of.id, "visits", "print", {"files": {}}, run.run_seq))
        run.store_sample(of.id, b"sample")
        run.finish(run_of((run.run_seq, run.learned_at), "r3"))
    before = store.mark(other)
    with store.writing("r4") as run:
        run.begin_erasure(None)
        assert run.drop(of) == 2
        run.finish(run_of((run.run_seq, run.learned_at), "r4"))
    assert (store.scan(of).height, store.mark(of), store.position(of.id, "visits")) == (0, None, None)
    assert (store.sample(of.id, 3), [item.online_key for item in store.erasures()]) == (None, [None])
    after = store.mark(other)
    assert before is not None
    assert after is not None
    assert (after.rows, after.store_id != before.store_id) == (1, True)
    assert learn(store, of, [("a", 0, 1)], "r5").new == 1
    assert store.latest(of)["value"].to_list() == [1]


def test_an_id_that_no_store_could_hold_is_asked_for_in_vain(store: OfflineStore) -> None:
    learn(store, version(), [("a", 0, 1.0)], "r1")
    wanted = pl.DataFrame({"patient_id": ["a\0", "a", "\0", None, "a" * 5_000]})
    assert store.scan(version(), entities=wanted)["patient_id"].to_list() == ["a"]
    learn(store, version(), [("b\\0", 0, 1.0)], "r2")
    with store.writing("r3") as run:
        assert run.erase(version(), pl.DataFrame({"patient_id": ["b\0"]})) == 0
        run.finish(run_of((run.run_seq, run.learned_at), "r3"))


def summary_of(runs: Sequence[Run]) -> dict[str, FeatureSummary]:
    """What committed runs say of each feature, told run by run."""
    summaries: dict[str, FeatureSummary] = {}
    for run in sorted((run for run in runs if run.run_seq is not None), key=lambda run: run.run_seq or 0):
        firsts: set[str] = set()
        for item in run.features:
            if item.status == "failed" or item.sha256 is None or (item.source == "delete" and not item.rows_read):
                continue
            before = summaries.get(item.name, FeatureSummary())
            if item.name not in firsts:
                firsts.add(item.name)
                same = before.committed_sha256 == item.sha256
                before = replace(
                    before, committed_sha256=item.sha256, last_run=run.run_id, last_run_at=run.started_at,
                    committed_since=before.committed_since if same else run.started_at, last_status=item.status,
                )  # fmt: skip
            last_runs = {**(before.last_runs or {}), item.sha256: [run.run_id, run.started_at]}
            before = replace(before, last_runs=last_runs)
            if item.statistics is not None:
                before = replace(
                    before,
                    statistics={**(before.statistics or {}), item.sha256: dict(item.statistics)},
                    drift={**(before.drift or {}), item.sha256: None if item.drift is None else dict(item.drift)},
                )
            summaries[item.name] = before
    return summaries


def test_the_summary_is_what_the_runs_say_one_after_another(store: OfflineStore) -> None:
    drawn = random.Random(5)
    assert store.summarize() == {}
    for at in range(40):
        items = []
        for name in drawn.sample(["one", "two", "three"], drawn.randint(0, 3)):
            for digit in drawn.sample("ab", drawn.choice((1, 1, 2))):
                status = drawn.choice(("ok", "ok", "unchanged", "failed"))
                counted = {"count": at} if status == "ok" and drawn.random() < 0.7 else None
                drift = {"score": at / 7} if counted and drawn.random() < 0.7 else None
                source = drawn.choice(("visits", "visits", "delete"))
                of = FeatureRun(name, source, status, 1, digit * 64, statistics=counted, drift=drift)  # type: ignore[arg-type]
                items.append(of)
        run = replace(run_of(None, f"r{at}", *items), started_at=drawn.randint(1, 10**6))
        if drawn.random() < 0.3:
            store.log(run)
        else:
            with store.writing(f"r{at}") as open_run:
                open_run.finish(replace(run, run_seq=open_run.run_seq, learned_at=open_run.learned_at))
        if at % 8 == 0:
            assert store.summarize() == summary_of(store.runs())
    assert store.summarize() == summary_of(store.runs())


def test_a_commit_moves_the_stamp_of_the_audit_log(store: OfflineStore) -> None:
    seen = [store.stamp()]
    for at in range(3):
        learn(store, version(), [("a", at, 1.0)], f"r{at}")
        seen.append(store.stamp())
    with store.writing("r3", dry_run=True):
        pass
    with store.reading():
        assert store.latest(version()).height == 1
    assert len(set(seen)) == 4


def test_runs_and_versions_are_added_up_as_the_whole_runs_say(store: OfflineStore) -> None:
    drawn = random.Random(7)
    assert store.run_totals(last=5) == []
    assert store.version_totals(last=5) == {}
    for at in range(12):
        items = [
            FeatureRun(
                name, drawn.choice(("visits", "labs", "visits, labs")), drawn.choice(("ok", "failed")), 1, digit * 64,
                rows_written=drawn.randint(0, 9), rows_corrected=drawn.randint(0, 9), rows_rejected=drawn.randint(0, 9),
                drift=drawn.choice(verdicts(at)),
            )
            for name, digit in zip(drawn.sample(["one", "two", "three", "four"], 4), "aabb", strict=True)
        ]  # fmt: skip
        run = replace(run_of(None, f"r{at}", *items), started_at=at)
        if at % 4 == 3:
            store.log(run)
        else:
            with store.writing(f"r{at}") as open_run:
                open_run.finish(replace(run, run_seq=open_run.run_seq, learned_at=open_run.learned_at))
    runs = store.runs()
    totals = store.run_totals(last=100)
    assert totals == [totals_of(run) for run in runs]
    assert store.run_totals(last=3, skip=4) == totals[4:7]
    of_one = [replace(run, features=tuple(item for item in run.features if item.name == "one")) for run in runs]
    assert [replace(item, names=()) for item in store.run_totals(feature="one", last=100)] == [
        replace(totals_of(run), names=()) for run in of_one
    ]
    assert store.version_totals(last=2) == version_totals_of(runs, last=2)


def verdicts(at: int) -> Sequence[Mapping[str, Json] | None]:
    """None was measured, drifted from run 7 on, not measurable, and one of a new version whose values are others."""
    return (
        None, {"score": at / 7, "detected": at > 6}, {"score": None, "detected": False},
        {"score": 0.0, "detected": False, "previous_version": {"score": 0.5, "detected": True}},
    )  # fmt: skip


def totals_of(run: Run) -> RunTotals:
    items = run.features
    return RunTotals(
        run.run_id, run.run_seq, run.started_at, run.duration_s, run.status, run.sources, run.git_commit, len(items),
        tuple(item.name for item in items[:3]), sum(item.status == "failed" for item in items),
        sum(bool(item.drift and item.drift["detected"]) for item in items), sum(item.rows_written for item in items),
        sum(item.rows_corrected for item in items), rejected_rows(items),
    )  # fmt: skip


def rejected_rows(items: Sequence[FeatureRun]) -> int:
    """Of each source the most that a feature set aside, and of several together what they have more than each alone."""
    most = {source: max((item.rows_rejected for item in items if item.source == source), default=0)
            for source in ("visits", "labs", "visits, labs")}  # fmt: skip
    alone = most["visits"] + most["labs"]
    return alone + (most["visits, labs"] if most["visits, labs"] > alone else 0)


def version_totals_of(runs: list[Run], *, last: int) -> dict[VersionId, VersionTotals]:
    rows: dict[VersionId, int] = {}
    scores: dict[VersionId, list[float | None]] = {}
    for run in reversed(runs):
        for item in run.features:
            of = VersionId(item.name, item.sha256 or "")
            rows[of] = rows.get(of, 0) + item.rows_written
            if run.run_seq is not None and item.drift is not None:
                score = item.drift["score"]
                assert score is None or isinstance(score, float)
                scores.setdefault(of, []).append(score)
    return {of: VersionTotals(count, tuple(scores.get(of, ())[-last:])) for of, count in rows.items()}
