"""The join through a store: it gives the answers of the judge and leaves the labels unchanged."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import UsageError
from featurestore.offline.contract import OfflineStore
from featurestore.workflows.join import answer
from featurestore.workflows.join.batches import join
from featurestore.workflows.join.facts import JoinFacts
from featurestore.workflows.join.history import HistoryLimits, PartitionedHistory, read_columns
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature
from tests.join.cases import (
    PATIENT,
    SHELF,
    Case,
    Label,
    MemoryStore,
    Row,
    cases,
    label_frame,
    memory_store,
    type_values,
    version_of,
)
from tests.join.groups import ALWAYS_SORTED, Group, check, check_in_store, groups
from tests.join.stores import duckdb_store, project_at
from tests.often import examples

NIGHTLY = 10  # histories in a group, so that a thousand groups are ten thousand cases


@settings(max_examples=examples(25))
@given(cases(), st.sampled_from((1, 3, 1_000)))
def test_any_store_gives_what_the_judge_says_however_labels_are_batched(case: Case, batch_rows: int) -> None:
    check(memory_store({case.version: case.rows}, case.learned), [case], batch_rows=batch_rows)


@settings(max_examples=examples(20))
@given(cases())
def test_a_history_larger_than_memory_is_scanned_some_entities_at_a_time(case: Case) -> None:
    store = memory_store({case.version: case.rows}, case.learned)
    check(store, [case], memory=1, limits=HistoryLimits(scan_entities=1))


def test_a_join_scans_where_another_process_removes_its_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(PATIENT, "float", (Row(("a",), 1, 1, 1.5),), (1,), (Label(("a",), 5),))
    store = memory_store({case.version: case.rows}, case.learned)

    def read_and_remove(*arguments: Any) -> PartitionedHistory | None:
        columns = read_columns(*arguments)
        assert columns is not None
        shutil.rmtree(tmp_path / ".featurestore" / "columns")
        return columns

    monkeypatch.setattr(answer, "read_columns", read_and_remove)
    check(store, [case], tmp_path, limits=ALWAYS_SORTED)


@settings(max_examples=examples(4))
@given(groups(4))
def test_duckdb_gives_what_the_judge_says(group: Group) -> None:
    check_in_store(duckdb_store, group)


@pytest.mark.nightly
@settings(max_examples=1_000)
@given(groups(NIGHTLY, least=NIGHTLY))
def test_duckdb_gives_what_the_judge_says_ten_thousand_times(group: Group) -> None:
    check_in_store(duckdb_store, group)


A, B = ("a",), ("b",)
V1, V2 = version_of(), version_of(digit="b", number=2)
LABELS = label_frame(PATIENT, [Label(A, 5), Label(B, 5), Label(A, 5), Label((None,), 5)])


SCORE = ResolvedFeature("score", V1)


def ask(
    store: OfflineStore, labels: pl.DataFrame = LABELS, *features: ResolvedFeature, **options: Any
) -> tuple[pl.DataFrame, JoinFacts]:
    """The joined labels and the facts."""
    frames: list[pl.DataFrame] = []
    question = JoinQuestion(features or (SCORE,), "at", **options)
    facts = join(project_at(Path()), store, question, [labels], frames.append)
    return frames[0], facts


def test_two_versions_of_one_feature_are_two_columns_named_as_typed() -> None:
    store = memory_store({V1: [Row(A, 1, 1, 1.0)], V2: [Row(A, 1, 1, 2.0)]}, (0,))
    found = ask(store, LABELS, ResolvedFeature("score", V2), ResolvedFeature("score@1", V1))[0]
    assert found.columns[-2:] == ["score", "score@1"]
    assert found.select("score", "score@1").rows() == [(2.0, 1.0), (None, None), (2.0, 1.0), (None, None)]


def test_the_facts_count_the_matches_of_each_feature() -> None:
    store = memory_store({V1: [Row(A, 1, 1, None), Row(B, 1, 1, 1.0)]}, (0,))
    feature = ask(store)[1].features[0]
    assert (feature.version.id.sha256, feature.version.number) == ("a" * 64, 1)
    assert (feature.rows_scanned, feature.matched, feature.nulls) == (2, 3, 3)


def test_a_features_own_max_age_holds_unless_the_question_has_another() -> None:
    version = version_of(max_age=3)
    store = memory_store({version: [Row(A, 1, 1, 1.0)]}, (0,))
    asked = ResolvedFeature("score", version)
    assert ask(store, LABELS, asked)[0]["score"].null_count() == 4
    assert ask(store, LABELS, asked, max_age=4)[0]["score"].null_count() == 2


def test_as_of_an_instant_only_the_runs_learned_by_then_are_seen() -> None:
    store = memory_store({V1: [Row(A, 1, 1, 1.0), Row(A, 1, 2, 2.0)]}, (10, 20))
    found = [ask(store, as_of=at) for at in (9, 10, 19, 20)]
    assert [frame["score"][0] for frame, _ in found] == [None, 1.0, 1.0, 2.0]
    assert [facts.as_of_run for _, facts in found] == [0, 1, 1, 2]


def test_instants_come_out_in_utc_and_every_type_as_itself() -> None:
    values = {
        "bool": True, "int": 7, "float": 0.5, "string": "é", "date": date(2024, 2, 29),
        "datetime": datetime(2024, 2, 29, 12), "list[float]": [1.0, None], "list[float, 2]": [1.0, 2.0],
    }  # fmt: skip
    assert set(values) == set(type_values)
    versions = {kind: version_of(data_type=kind, name=f"f{place}") for place, kind in enumerate(values)}
    store = memory_store({versions[kind]: [Row(A, 1, 1, value)] for kind, value in values.items()}, (0,))
    features = [ResolvedFeature(version.id.feature, version) for version in versions.values()]
    found, _ = ask(store, LABELS, *features)
    assert found.schema["f5"] == pl.Datetime("us", "UTC")
    assert found.row(0)[len(LABELS.columns) :] == (
        True, 7, 0.5, "é", date(2024, 2, 29), datetime(2024, 2, 29, 12, tzinfo=UTC), [1.0, None], [1.0, 2.0],
    )  # fmt: skip


def test_a_label_table_without_rows_gets_its_columns() -> None:
    store = memory_store({V1: [Row(A, 1, 1, 1.0)]}, (0,))
    assert ask(store, LABELS.clear())[0].schema["score"] == pl.Float64


def test_the_facts_count_labels_and_values() -> None:
    store = memory_store({V1: [Row(A, 1, 1, 1.0), Row(A, 2, 1, 1.0), Row(("c",), 1, 1, 1.0)]}, (0,))
    _, facts = ask(store)
    assert (facts.labels, facts.first, facts.last) == (4, 5, 5)
    assert (facts.features[0].rows_scanned, facts.share(facts.features[0])) == (2, 0.5)


def test_a_feature_without_any_match_gets_a_warning() -> None:
    store = memory_store({V1: [Row(("A",), 1, 1, 1.0)]}, (0,))
    assert "no label has a value of score" in ask(store)[1].all_warnings[0]
    assert not ask(store, LABELS.clear())[1].all_warnings


def test_a_version_without_history_says_what_to_run() -> None:
    with pytest.raises(UsageError, match=r"score@2 \(bbbbbbbbbbbb\) has no history here") as failed:
        ask(memory_store({V1: []}, ()), LABELS, ResolvedFeature("score@2", V2))
    assert failed.value.hint == "run featurestore ingest score"


def test_a_label_column_is_never_overwritten() -> None:
    with pytest.raises(UsageError, match="the labels already have a column 'score'") as failed:
        ask(memory_store({V1: []}, (0,)), LABELS.with_columns(score=pl.lit("mine")))
    assert "score@1" in (failed.value.hint or "")


def test_a_feature_asked_for_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="score is asked for twice"):
        ask(memory_store({V1: []}, (0,)), LABELS, SCORE, SCORE)


def test_features_of_different_entity_types_are_named_with_their_types_where_one_is_asked_for() -> None:
    other = version_of(SHELF, name="stock")
    with pytest.raises(UsageError, match=r"score of patient \(patient_id string\), stock of shelf \(shop int, product"):
        ask(
            memory_store({V1: [], other: []}, (0,)),
            LABELS,
            SCORE,
            ResolvedFeature("stock", other),
            entity=EntityColumns(columns=("patient_id",)),
        )


def test_a_named_entity_type_must_be_that_of_the_features() -> None:
    with pytest.raises(UsageError, match="features of one entity type, shelf"):
        ask(memory_store({V1: []}, (0,)), entity=EntityColumns("shelf"))
    with pytest.raises(UsageError, match="no entity type 'patients'") as failed:
        ask(memory_store({V1: []}, (0,)), entity=EntityColumns("patients"))
    assert failed.value.hint == "did you mean 'patient'?"


def test_a_feature_must_be_named() -> None:
    with pytest.raises(UsageError, match="no feature is named"):
        join(project_at(Path()), memory_store({}, ()), JoinQuestion((), "at"), [LABELS], lambda _frame: None)


def test_labels_in_many_batches_read_each_small_history_twice_at_most() -> None:
    versions = [version_of(name=f"f{place}") for place in range(3)]
    rows = [Row((key,), at, 1, float(at)) for key in "abc" for at in range(5)]
    store = MemoryStore(dict.fromkeys(versions, rows), (0,))
    labels = label_frame(PATIENT, [Label((key,), at) for at in range(8) for key in "abcd"])
    frames: list[pl.DataFrame] = []
    question = JoinQuestion([ResolvedFeature(version.id.feature, version) for version in versions], "at")
    join(project_at(Path()), cast("OfflineStore", store), question, labels.iter_slices(4), frames.append)
    assert store.scans == 2 * len(versions)
    found = pl.concat(frames)
    assert found["f0"].to_list() == [min(at, 4) if key != "d" else None for at in range(8) for key in "abcd"]
    assert found["f2"].equals(found["f0"])
