"""A source that lacks a column: the error names the file, and the setting that asks for the column."""

from __future__ import annotations

import pytest

from featurestore.errors import SourceError, did_you_mean, nearest
from featurestore.sources.reading import without_key
from tests.conftest import Folder
from tests.sources.conftest import Shops


@pytest.mark.parametrize(
    ("header", "setting", "asked"),
    [
        ("idd,at,upd,x", "", "[entity_types]"),
        ("id,att,upd,x", 'event_time = "at"', "sources.visits.event_time"),
        ("id,at,up,x", 'updated_at = "upd"', "sources.visits.updated_at"),
        ("id,at,upd,xx", '[sources.visits.columns]\nx = { type = "int" }', "[sources.visits.columns]"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_the_setting_that_names_a_missing_column_is_named(
    header: str, setting: str, asked: str, form: str, shops: Shops
) -> None:
    shop = shops(f'type = "{form}"\npath = "visits.x"\n{setting}')
    names = header.split(",")
    lines = {"csv": f"{header}\n1,2,3,4\n", "ndjson": "{" + ", ".join(f'"{name}": 1' for name in names) + "}\n"}
    shop.write("visits.x", lines[form])
    with pytest.raises(SourceError, match=r"^visits\.x: has no column '\w+'; it has ") as caught:
        shop.read()
    assert f"{asked} names it: fix that, or the file; if that is its name in the file: rename = " in str(
        caught.value.hint
    )


@pytest.mark.parametrize(
    ("name", "written"), [("id", "ID"), ("user_id", "User ID"), ("user_id", "userId"), ("at", "AT"), ("at", "at ")]
)
def test_a_name_that_differs_by_case_and_signs_alone_is_near(name: str, written: str) -> None:
    assert nearest(name, ["amount", written, "x"]) == written
    assert did_you_mean(name, ["amount", written]) == f"did you mean {written!r}?"


@pytest.mark.parametrize(("header", "close"), [("ID,at,x", "ID"), ("id,AT,x", "AT")])
def test_a_column_in_other_case_is_offered(header: str, close: str, shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv"\nevent_time = "at"')
    shop.write("visits.csv", f"{header}\n1,2024-01-01,3\n")
    with pytest.raises(SourceError, match="has no column") as caught:
        shop.read()
    assert str(caught.value.hint).startswith(f"did you mean {close!r}? ")


def test_a_file_that_writes_the_key_otherwise_than_the_others_is_told_how() -> None:
    assert (
        without_key("id", ["ID", "x"], "b.csv").hint == "did you mean 'ID'? call it 'id' there, as the other files do"
    )
    assert without_key("id", ["x"], "b.csv").hint is None


@pytest.mark.parametrize(
    ("text", "setting"),
    [
        ("Report\nid,at,x\n1,2,3\n", "skip_rows = 1"),
        ("sep=,\nid,at,x\n1,2,3\n", "skip_rows = 1"),
        ("# ours, since 2024\nid,at,x\n1,2,3\n", 'comment = "#"'),
        ("1,2024-01-01,3\n", "header = false"),
        (",,\nid,at,x\n1,2,3\n", "skip_rows = 1"),
    ],
)
def test_a_first_line_that_is_no_header_calls_for_its_setting(text: str, setting: str, shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv"\nevent_time = "at"')
    shop.write("visits.csv", text)
    with pytest.raises(SourceError) as caught:
        shop.read()
    assert setting in str(caught.value.hint)


def test_lineage_names_the_columns_that_the_code_names(project: Folder) -> None:
    project.write({"features/chol.py": """
        import polars as pl
        from featurestore import feature


        @feature(entity_type="patient", data_type="float")
        def extra() -> pl.Expr:
            return pl.col("weight") + 0.5
        """})  # fmt: skip
    assert "none known before the first ingestion" in project.run("lineage", "extra").out
    project.write({"visits.csv": "patient_id,visit_at,age,chol,weight\n001,2024-01-01T00:00:00Z,50,1,70\n"})
    project.run("ingest")
    assert project.json("lineage", "extra")["columns"] == ["weight"]


def test_init_names_only_what_it_wrote(project: Folder) -> None:
    said = project.run("init", str(project.root)).out
    assert ".gitignore" in said
    assert "examples.py" not in said
    assert "edit featurestore.toml" not in said
    assert "features/examples.py  a first feature" in project.run("init", str(project.root / "new")).out
