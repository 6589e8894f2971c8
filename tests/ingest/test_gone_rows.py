"""Rows that vanish inside a file that is still there: what scope ``row`` made of them stays, and the run says so."""

from __future__ import annotations

from tests.conftest import Folder

HEAD = "patient_id,visit_at,age,chol\n"


def test_a_row_that_is_gone_from_its_file_is_named(ingested: Folder) -> None:
    ingested.write({"visits.csv": HEAD + "001,2024-01-01T00:00:00Z,50,200.5\n001,2024-02-01T00:00:00Z,51,210\n"})
    found = ingested.json("ingest")
    (line,) = [line for line in found["warnings"] if "of earlier runs" in line]
    assert "lack 1 row of earlier runs, such as that of" in line
    assert "patient 002 at 2024-01-15T00:00:00Z" in line
    assert "featurestore delete patient ID" in line
    assert len(ingested.json("history", "age_share", "002")["values"]) == 1
    assert ingested.json("ingest")["warnings"] == []


def test_a_row_that_was_corrected_is_not_gone(ingested: Folder) -> None:
    ingested.edit("visits.csv", "60,", "61,")
    assert not [line for line in ingested.json("ingest")["warnings"] if "of earlier runs" in line]
