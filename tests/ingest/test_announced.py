"""What is said before a run and during one: what `plan` knows from files, what a dry run counts, and of corrections."""

from __future__ import annotations

from tests.conftest import VISITS, Folder

CODE = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="float", scope="entity")
def mean_age() -> pl.Expr:
    return pl.col("age").mean().over("patient_id")


@feature(entity_type="patient", data_type="float")
def rank() -> pl.Expr:
    return pl.col("age").rank()
"""


def test_plan_says_which_features_are_computed_whole_and_the_rest_by_what_is_new(project: Folder) -> None:
    project.write({"features/cardiac.py": CODE})

    def planned() -> dict[str, tuple[bool, str]]:
        return {item["name"]: tuple(item["ingest"].values()) for item in project.json("plan")["features"]}

    assert planned() == dict.fromkeys(("age_share", "mean_age", "rank"), (True, "new version"))
    project.run("lock")
    assert planned()["rank"] == (True, "this version has not run yet")
    project.run("ingest")
    news = "by what is new"
    assert planned() == {
        "age_share": (False, news), "mean_age": (False, news),
        "rank": (False, f"{news}: the whole source, where anything is"),
    }  # fmt: skip
    project.edit("features/cardiac.py", "/ 100", "/ 101")
    assert planned()["age_share"] == (True, "new version")
    said = " ".join(project.run("plan").out.split())
    assert "the next ingest computes age_share over the whole source, and the others by what is new" in said


def test_a_dry_run_says_rows_share_and_why(project: Folder) -> None:
    project.write({"features/cardiac.py": CODE})
    project.run("ingest")
    project.write({"visits2.csv": "patient_id,visit_at,age,chol\n002,2024-03-01T00:00:00Z,40,\n"})
    said = " ".join(project.run("ingest", "--dry-run").out.split())
    assert "age_share: 1 of 4 rows are evaluated, 25.0% (new rows)" in said
    assert "mean_age: 2 of 4 rows are evaluated, 50.0% (new rows)" in said
    assert "rank: 4 of 4 rows are evaluated, 100.0% (whole source: rank() may look at other entities' rows)" in said


MEAN = """

@feature(entity_type="patient", data_type="float")
def above_mean() -> pl.Expr:
    return pl.col("age") - pl.col("age").mean()
"""


def test_a_run_that_corrects_more_than_half_warns_for_scope_row_by_rows_elsewhere_by_entities(project: Folder) -> None:
    project.write({"features/cardiac.py": CODE + MEAN})
    project.run("ingest")
    # One row of patient 001 is another one, and so both values of its mean are, which is no sign of anything.
    project.write({"visits.csv": VISITS.replace("Z,50,", "Z,52,")})
    said = project.run("ingest").err
    assert "age_share" not in said
    assert "mean_age" not in said
    assert "above_mean: values of 2 of 2 entities were corrected; does a value depend on rows that come later" in said
    project.write({"visits.csv": VISITS.replace("Z,50,", "Z,53,").replace("Z,51,", "Z,54,").replace("Z,60,", "Z,61,")})
    assert "age_share: 3 of 3 stored values were corrected" in project.run("ingest").err
