"""Request-time features as they are declared: no source and no runs, versions bound to their inputs' versions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.conftest import Folder

RATIO = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float", inputs=["age_share"], request={"dose": "float"})
def dose_share() -> pl.Expr:
    return pl.col("dose") / pl.col("age_share")
"""
REQUEST = "features/request.py"


@pytest.fixture
def both(project: Folder) -> Folder:
    """A project with a feature of a source, and one that is computed from it at the request."""
    project.write({REQUEST: RATIO})
    return project


def changes(folder: Folder) -> dict[str, list[str]]:
    return {item["name"]: item["reasons"] for item in folder.json("plan")["features"] if item["change"] != "none"}


def active(folder: Folder) -> dict[str, int | None]:
    return {item["name"]: item["active_version"] for item in folder.json("list")["features"]}


def test_it_is_listed_shown_and_traced_with_its_inputs_and_its_fields(both: Folder) -> None:
    assert list(both.features()) == ["age_share"], "runs do not compute it"
    both.run("lock")
    shown, of_input = both.json("show", "dose_share"), both.json("show", "age_share")
    assert (shown["source"], shown["request"]) == (None, {"dose": "float"})
    assert shown["inputs"] == [{"name": "age_share", "sha256": of_input["sha256"]}]
    assert (shown["scope"]["kind"], shown["last_run"], shown["active_version"]) == ("row", None, 1)
    assert of_input["taken_by"] == ["dose_share"]
    assert both.json("lineage", "dose_share")["inputs"] == shown["inputs"]
    assert "request-time feature dose_share" in both.run("lineage", "age_share").out
    for command, words in (("list", "request"), ("show", "age_share"), ("show", "dose (float)"), ("lineage", "inputs")):
        assert words in both.run(command, *([] if command == "list" else ["dose_share"])).out
    assert both.json("check")["findings"] == []
    both.run("doctor")
    both.run("status")
    assert both.features()["age_share"]["status"] == "unchanged"


def test_plan_names_the_input_and_the_field_that_changed(both: Folder) -> None:
    both.run("lock")
    both.edit("features/cardiac.py", "/ 100", "/ 99")
    (reason,) = changes(both)["dose_share"]
    assert reason.startswith("input `age_share` ")
    assert [item["where"] for item in both.json("check", code=1)["findings"]] == [
        "features/cardiac.py:7", f"{REQUEST}:7"
    ]  # fmt: skip
    both.run("lock")
    both.edit(REQUEST, '"dose": "float"', '"dose": "int"')
    assert changes(both)["dose_share"] == ["request field `dose` float → int"]
    both.edit(REQUEST, 'pl.col("dose") /', '2 * pl.col("dose") /')
    assert changes(both)["dose_share"] == ["the function's code changed", "request field `dose` float → int"]
    assert both.json("diff", "dose_share", "1", "2", "--code")["code_changed"]


def test_the_active_version_is_the_newest_that_fits_the_active_versions_of_its_inputs(both: Folder) -> None:
    both.run("lock")
    assert active(both) == {"age_share": None, "dose_share": None}
    both.run("ingest")
    both.edit("features/cardiac.py", "/ 100", "/ 99")
    both.run("lock")
    assert active(both) == {"age_share": 1, "dose_share": 1}, "a lock activates nothing"
    both.run("ingest")
    assert active(both) == {"age_share": 2, "dose_share": 2}
    both.edit(REQUEST, 'pl.col("dose") /', '2 * pl.col("dose") /')
    assert active(both) == {"age_share": 2, "dose_share": 2}
    both.run("lock")
    assert active(both) == {"age_share": 2, "dose_share": 3}
    assert both.json("promote", "age_share", "1")["followers"] == [{"name": "dose_share", "version": 1}]
    assert active(both) == {"age_share": 1, "dose_share": 1}


def test_a_promotion_that_leaves_one_without_a_version_is_refused(project: Folder) -> None:
    project.run("ingest")
    project.edit("features/cardiac.py", "/ 100", "/ 99")
    project.write({REQUEST: RATIO})
    project.run("ingest")
    project.run("lock")
    refused = project.json("promote", "age_share", "1", code=2)["error"]
    assert refused["message"].startswith("dose_share has no version whose inputs are age_share@1")
    assert project.json("list")["features"][0]["active_version"] == 2
    project.run("promote", "dose_share", "1")
    assert "dose_share stays at version 1" in project.run("promote", "age_share", "1").out
    assert active(project) == {"age_share": 1, "dose_share": 1}


def test_a_promoted_one_keeps_the_versions_of_its_inputs_and_runs_go_on_feeding_them(both: Folder) -> None:
    both.run("ingest")
    both.run("lock")
    both.run("promote", "dose_share", "1")
    both.edit("features/cardiac.py", "/ 100", "/ 99")
    both.run("lock")
    fed = [(item["name"], item["version"]) for item in both.json("ingest")["features"]]
    assert fed == [("age_share", 2), ("age_share", 1)]
    assert active(both) == {"age_share": 2, "dose_share": 1}
    with (both.root / "visits.csv").open("a") as visits:
        visits.write("001,2024-03-01T00:00:00Z,52,200\n")
    assert [item["rows_written"] for item in both.json("ingest")["features"]] == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ('inputs=["age_shar"]', "there is no feature 'age_shar', an input of dose_share"),
        ('inputs=["dose_share"]', "dose_share, an input of dose_share, is computed at the request itself"),
        ('inputs=["age_share@1"]', "inputs= names 'age_share@1', which is not the name of a feature"),
        ('inputs=["age_share", "age_share"]', "inputs= names age_share twice"),
        ('inputs="age_share"', "inputs= must be a list of names, not 'age_share'"),
        ('request={"dose": "float"}', "request= is for a feature of other features, and inputs= names none"),
        ('inputs=["age_share"], request={"dose": "decimal"}', "request= says that dose is 'decimal'"),
        ('inputs=["age_share"], request={"age_share": "float"}', "a field age_share, which is also one of inputs="),
        ('inputs=["age_share"], request={"request_time": "int"}', "which is there without being declared"),
        ('inputs=["age_share"], request={"x) or (y": "int"}', "which is not a name"),
        ('inputs=["age_share"], request=["dose"]', "request= must map fields to types"),
        ('inputs=["age_share"], source="visits"', "source= does not go with inputs="),
        ('inputs=["age_share"], max_age="7d"', "max_age= does not go with inputs="),
        ('inputs=["city_size"]', "city_size, an input of dose_share, is a feature of city, not of patient"),
    ],
)
def test_what_can_not_be_computed_is_refused_where_it_is_declared(both: Folder, arguments: str, message: str) -> None:
    both.edit(
        "featurestore.toml", "[sources.visits]", '[entity_types.city]\nkeys = { city = "string" }\n[sources.visits]'
    )
    both.write({"features/city.py": CITY})
    both.edit(REQUEST, 'inputs=["age_share"], request={"dose": "float"}', arguments)
    (problem,) = both.json("list")["problems"]
    assert message in problem["message"]
    assert problem["where"] == f"{REQUEST}:7"


CITY = """
import polars as pl

from featurestore import feature


@feature(entity_type="city", data_type="float")
def city_size() -> pl.Expr:
    return pl.col("chol")
"""


@pytest.mark.parametrize("form", ["def dose_share(frame: pl.DataFrame) -> pl.DataFrame:", "async def dose_share():"])
def test_a_function_of_another_form_is_refused(both: Folder, form: str) -> None:
    both.edit(REQUEST, "def dose_share() -> pl.Expr:", form)
    assert len(both.json("list")["problems"]) == 1


@pytest.mark.parametrize(
    "command", [["history", "dose_share", "001"], ["export", "dose_share"], ["stats", "dose_share"]]
)
def test_what_needs_a_history_says_that_there_is_none(both: Folder, command: Sequence[str]) -> None:
    both.run("ingest")
    both.run("lock")
    error = both.json(*command, code=2)["error"]
    assert "has no history" in error["message"]
    assert "featurestore get" in error["hint"]


def test_nobody_is_told_that_a_run_computes_it(both: Folder) -> None:
    both.run("ingest")
    said = both.run("plan").out
    assert "featurestore lock writes these versions" in said
    assert "ingest also computes" not in said
    both.run("lock")
    both.edit(REQUEST, 'pl.col("dose") /', '2 * pl.col("dose") /')
    both.run("lock")
    said = both.run("diff", "dose_share", "1", "2").out
    assert "its values are computed at the request" in said
    assert "featurestore ingest" not in said
