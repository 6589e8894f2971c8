"""The feature from the article that this project began with: defined, ingested, served, changed, compared."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.demo.conftest import Featurestore

ROOT = Path(__file__).resolve().parents[2]

TOML = """
[project]
name = "article"

[entity_types.patient]
keys = { patient_id = "string" }

[sources.patients]
type = "csv"
path = "heart_cleveland.csv"
"""

# As printed, but for the import line.
FEATURE = """\
import polars as pl
from featurestore import feature

@feature(name="composite_risk_score", entity_type="patient", data_type="float",
         description="Weighted combination of cardiac risk factors", owner="ml-team", tags=["cardiac", "risk", "composite"])
def composite_risk_score(df: pl.DataFrame) -> pl.DataFrame:
    age = pl.col("age").cast(pl.Float64)
    age_norm = (age - age.min()) / (age.max() - age.min())
    chol = pl.col("chol").cast(pl.Float64)
    chol_risk = pl.when(chol >= 240).then(1.0).when(chol >= 200).then(0.5).otherwise(0.0)
    oldpeak = pl.col("oldpeak").cast(pl.Float64)
    oldpeak_norm = (oldpeak / oldpeak.max()).fill_nan(0.0)
    value = (0.25 * age_norm + 0.20 * chol_risk + 0.20 * pl.col("exang").cast(pl.Float64) + 0.20 * oldpeak_norm
             + 0.15 * (pl.col("ca").cast(pl.Float64) / 3.0)).clip(0.0, 1.0)
    return df.select([pl.col("patient_id").alias("entity_id"), value.alias("value"),
                      pl.lit(None).cast(pl.Datetime("us", "UTC")).alias("computed_at")])
"""  # noqa: E501


def expected(age_weight: float) -> dict[str, float | None]:
    """The score of each patient, by plain arithmetic."""
    with (ROOT / "fixtures" / "heart" / "heart_cleveland.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ages = [int(row["age"]) for row in rows]
    deepest = max(float(row["oldpeak"]) for row in rows)

    def score(row: dict[str, str]) -> float | None:
        if not row["ca"]:
            return None
        age = (int(row["age"]) - min(ages)) / (max(ages) - min(ages))
        chol = 1.0 if int(row["chol"]) >= 240 else 0.5 if int(row["chol"]) >= 200 else 0.0
        parts = age_weight * age + 0.20 * chol + 0.20 * int(row["exang"]) + 0.20 * float(row["oldpeak"]) / deepest
        return min(1.0, parts + 0.15 * int(row["ca"]) / 3)

    return {row["patient_id"]: score(row) for row in rows}


@dataclass(frozen=True)
class Article:
    """The project in its folder, and what its commands gave."""

    folder: Path
    run: Callable[..., dict[str, Any]]
    first: dict[str, Any]
    second: dict[str, Any]
    served_first: dict[str, Any]
    served_second: dict[str, Any]


@pytest.fixture(scope="module")
def article(tmp_path_factory: pytest.TempPathFactory, featurestore: Featurestore) -> Article:
    """The project after: ingest, sync, 0.25 → 0.30, ingest, sync; with what each command said."""
    folder = tmp_path_factory.mktemp("article")
    (folder / "features").mkdir()
    (folder / "featurestore.toml").write_text(TOML)
    (folder / "heart_cleveland.csv").write_bytes((ROOT / "fixtures" / "heart" / "heart_cleveland.csv").read_bytes())
    module = folder / "features" / "cardiac.py"
    module.write_text(FEATURE)

    def run(*arguments: str) -> dict[str, Any]:
        return featurestore(*arguments, "--json", cwd=folder).json

    first, _ = run("ingest"), run("sync")
    served_first = run("get", "patient", *expected(0.25))
    module.write_text(FEATURE.replace("0.25", "0.30"))
    second, _ = run("ingest"), run("sync")
    served_second = run("get", "patient", *expected(0.30))
    return Article(folder, run, first, second, served_first, served_second)


def served(answer: dict[str, Any]) -> dict[str, float | None]:
    return {
        entity["entity_id"]: entity["features"]["composite_risk_score"]["value"] for entity in answer["entities"]
    }  # fmt: skip


def same(values: dict[str, float | None], wanted: dict[str, float | None]) -> bool:
    return values == {key: None if score is None else pytest.approx(score, abs=1e-12) for key, score in wanted.items()}


def test_one_value_a_patient_is_written(article: Article) -> None:
    (feature,) = article.first["features"]
    assert (feature["version"], feature["new_version"], feature["status"]) == (1, True, "ok")
    assert (feature["rows_read"], feature["rows_written"], feature["rows_rejected"]) == (303, 303, 0)


def test_the_served_values_are_the_formulas_and_lie_between_0_and_1(article: Article) -> None:
    values = served(article.served_first)
    assert same(values, expected(0.25))
    assert all(0 <= value <= 1 for value in values.values() if value is not None)


def test_a_patient_whose_vessels_are_unknown_has_a_null_not_a_guess(article: Article) -> None:
    statuses = {
        entity["entity_id"]: entity["features"]["composite_risk_score"]["status"]
        for entity in article.served_first["entities"]
    }
    assert {patient for patient, status in statuses.items() if status == "null"} == {"167", "193", "288", "303"}
    assert set(statuses.values()) == {"ok", "null"}


def test_a_changed_weight_is_version_2_by_itself(article: Article) -> None:
    (feature,) = article.second["features"]
    assert (feature["version"], feature["new_version"], feature["rows_written"]) == (2, True, 303)
    assert same(served(article.served_second), expected(0.30))


def test_diff_shows_the_code_and_how_mean_and_p95_moved(article: Article) -> None:
    diff = article.run("diff", "composite_risk_score", "1", "2")
    assert diff["code_changed"]
    assert "0.25" in diff["unified_diff"]
    assert "0.30" in diff["unified_diff"] or "0.3 " in diff["unified_diff"]
    for side, weight in (("old", 0.25), ("new", 0.30)):
        scores = [score for score in expected(weight).values() if score is not None]
        assert diff["statistics"][side]["mean"] == pytest.approx(sum(scores) / len(scores), abs=1e-9)
    assert diff["statistics"]["new"]["p95"] > diff["statistics"]["old"]["p95"]
    assert diff["entities"]["changed"] > 290


def test_diff_for_people_shows_both_weights_and_the_mean(article: Article, featurestore: Featurestore) -> None:
    shown = featurestore("diff", "composite_risk_score", "1", "2", cwd=article.folder).stdout
    for word in ("0.25", "0.30", "mean", "p95"):
        assert word in shown


def test_join_answers_from_each_version(article: Article) -> None:
    labels = article.folder / "labels.csv"
    labels.write_text("patient_id,asked_at\n1,2100-01-01\n2,2100-01-01\n1,2000-01-01\n167,2100-01-01\n")
    article.run("join", "labels.csv", "-f", "composite_risk_score@1,composite_risk_score@2",
                "--timestamp-column", "asked_at", "--output", "joined.csv")  # fmt: skip

    with (article.folder / "joined.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["patient_id"] for row in rows] == ["1", "2", "1", "167"]
    for version, weight in (("composite_risk_score@1", 0.25), ("composite_risk_score@2", 0.30)):
        wanted = expected(weight)
        assert [float(row[version]) for row in rows[:2]] == pytest.approx([wanted["1"], wanted["2"]])
        assert [row[version] for row in rows[2:]] == ["", ""]
