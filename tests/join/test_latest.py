"""Everybody as of a time: the answers of a join of all entities, in a table of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from featurestore.errors import UsageError
from featurestore.offline.contract import TOMBSTONE, OfflineStore
from featurestore.workflows.join.history import DEFAULT_LIMITS, HistoryLimits
from featurestore.workflows.join.question import ResolvedFeature
from featurestore.workflows.latest import latest
from tests.conftest import Folder
from tests.join.cases import PATIENT, SHELF, Case, Label, Row, answering_row, memory_store, same, version_of
from tests.join.groups import ALWAYS_SORTED
from tests.join.several import Several, several
from tests.join.stores import duckdb_store, learn, project_at
from tests.often import examples


def judged(cases: Sequence[Case], at: int) -> list[tuple[object, ...]]:
    """The rows that the table must have: every entity is asked about, and whoever has no row at all is left out."""
    keys = {row.key for case in cases for row in case.rows}
    rows = []
    for key in sorted(keys, key=lambda key: tuple(part.encode() if isinstance(part, str) else part for part in key)):
        unlimited = [answering_row(replace(case, max_age=None), Label(key, at)) for case in cases]
        if any(row is not None for row in unlimited):
            found = [answering_row(case, Label(key, at)) for case in cases]
            rows.append((*key, *(None if row is None else row.value for row in found)))
    return rows


def check(
    store: OfflineStore, cases: Sequence[Case], at: int, folder: Path = Path(), limits: HistoryLimits = DEFAULT_LIMITS
) -> None:
    features = [
        ResolvedFeature(f"f{number}", version_of(case.entity_type, case.data_type, digit=case.version.id.sha256[0],
                                                 number=case.version.number, max_age=case.max_age))
        for number, case in enumerate(cases)
    ]  # fmt: skip
    one = cases[0]
    project = replace(project_at(folder), entity_types={one.entity_type.name: one.entity_type})
    result = latest(project, store, one.entity_type.name, features, at=at, known=one.known, limits=limits)
    assert result.frame is not None
    frame = result.frame.with_columns(
        pl.col(name).dt.replace_time_zone(None) for name, kind in result.frame.schema.items() if kind == pl.Datetime
    )
    wanted = judged(cases, at)
    assert frame.columns == [*one.entity_type.key_names, *(feature.column_name for feature in features)]
    assert len(frame) == len(wanted)
    for row, answer in zip(frame.rows(), wanted, strict=True):
        assert all(map(same, row, answer)), (row, answer)


@settings(max_examples=examples(10))
@given(several())
def test_everybody_gets_what_the_judge_says(asked: Several) -> None:
    own = [case for case in asked.cases if case.entity_type == asked.cases[0].entity_type]
    own = [replace(case, as_of=None) for case in own]
    store = memory_store(
        {
            version_of(case.entity_type, case.data_type, digit=case.version.id.sha256[0], number=case.version.number,
                       max_age=case.max_age): case.rows
            for case in own
        },
        own[0].learned,
    )  # fmt: skip
    for at in (0, 5, 12):
        check(store, own, at)


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, ALWAYS_SORTED])
def test_features_with_the_same_and_with_other_entities_come_together(tmp_path: Path, limits: HistoryLimits) -> None:
    def case(place: int, *rows: tuple[str, int, float | None, int]) -> Case:
        made = tuple(Row((key,), at, 1, value, op) for key, at, value, op in rows)
        return Case(PATIENT, "float", made, (1,), (), max_age=5, place=place)

    cases = [
        case(0, ("a", 1, 1.0, 0), ("b", 2, None, 0), ("c", 3, 3.0, 0)),
        case(1, ("a", 1, 4.0, 0), ("b", 2, 5.0, 0), ("c", 3, 6.0, 0)),  # laid out alike
        case(2, ("b", 8, 7.0, 0), ("d", 8, 8.0, 0), ("c", 4, 1.0, TOMBSTONE), ("e", 4, 1.0, TOMBSTONE)),
    ]
    store = duckdb_store(tmp_path)
    learn(store, "run-1", {case.version: case.rows for case in cases})
    for at in (0, 2, 6, 7, 9):
        check(store, cases, at, tmp_path, limits)


def test_features_of_another_entity_type_are_refused() -> None:
    mine, other = version_of(), version_of(SHELF, name="stock")
    store = memory_store({mine: [], other: []}, (0,))
    with pytest.raises(UsageError, match="stock is a feature of shelf, not of patient"):
        latest(project_at(Path()), store, "patient", [ResolvedFeature("stock", other)], at=0)
    with pytest.raises(UsageError, match="no entity type 'patients'") as failed:
        latest(project_at(Path()), store, "patients", [ResolvedFeature("score", mine)], at=0)
    assert failed.value.hint == "did you mean 'patient'?"
    with pytest.raises(UsageError, match="no feature is named"):
        latest(project_at(Path()), store, "patient", [], at=0)


MODEL = '\n[models.churn]\nfeatures = ["age_share@1", "age=age_share"]\n'


def test_a_model_scores_what_it_was_trained_on(project: Folder) -> None:
    toml = project.root / "featurestore.toml"
    toml.write_text(toml.read_text() + MODEL)
    project.run("ingest")
    assert project.run("latest", "patient", "-f", "@churn").out == (
        "patient_id,age_share@1,age\n001,0.51,0.51\n002,0.6,0.6\n"
    )
    assert project.run("latest", "patient", "-f", "age_share", "--at", "2024-01-10T00:00:00Z").out == (
        "patient_id,age_share\n001,0.5\n"
    )
    assert project.run("latest", "patient", "-f", "age_share", "--at", "2024-03-01T00:00:00Z", "--known").out == (
        "patient_id,age_share\n"
    )


def test_the_table_goes_to_a_file_or_into_a_document(project: Folder) -> None:
    project.run("ingest")
    out = project.root / "everybody.parquet"
    ran = project.run("latest", "patient", "-f", "age_share", "--output", str(out))
    assert (ran.out, ran.err) == ("", f"2 rows written to {out}\n")
    assert pl.read_parquet(out).rows() == [("001", 0.51), ("002", 0.6)]
    found = project.json("latest", "patient", "-f", "age_share", "--at", "2024-02-02T00:00:00Z")
    assert (found["at"], found["entities"]) == ("2024-02-02T00:00:00Z", 2)
    assert found["rows"] == [{"patient_id": "001", "age_share": 0.51}, {"patient_id": "002", "age_share": 0.6}]
    assert json.dumps(found["features"][0]["max_age"]) == "null"


def test_a_deleted_entity_has_no_row(project: Folder) -> None:
    project.run("ingest")
    project.run("delete", "patient", "001", "--at", "2024-03-01T00:00:00Z")
    assert project.run("latest", "patient", "-f", "age_share").out == "patient_id,age_share\n002,0.6\n"
    assert "001,0.51" in project.run("latest", "patient", "-f", "age_share", "--at", "2024-02-29T00:00:00Z").out
