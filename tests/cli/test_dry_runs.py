"""Every command that writes takes ``--dry-run``: it says what it would write, and the files are as they were."""

import pytest

from tests.conftest import Folder

LABELS = {"labels.csv": "patient_id,at\n001,2024-03-01T00:00:00Z\n"}


@pytest.mark.parametrize(
    ("words", "rows"),
    [(("export", "age_share"), 3), (("latest", "patient", "-f", "age_share"), 2)],
    ids=["export", "latest"],
)
@pytest.mark.parametrize("to_a_file", [True, False])
def test_a_table_is_counted_and_not_written(
    ingested: Folder, words: tuple[str, ...], rows: int, to_a_file: bool
) -> None:
    output = ingested.root / "out.parquet"
    place = ("--output", str(output)) if to_a_file else ()
    said = ingested.run(*words, *place, "--dry-run").out
    assert said == f"would write {rows} rows to {output if to_a_file else 'stdout'}\n"
    document = ingested.json(*words, *place, "--dry-run")
    assert (document["dry_run"], "rows" in document, "output" in document) == (True, False, to_a_file)
    assert not output.exists()
    assert ingested.json(*words, *place)["dry_run"] is False
    assert output.exists() is to_a_file


def test_get_says_what_it_would_log(ingested: Folder) -> None:
    ingested.run("sync")
    log = ingested.root / "requests.jsonl"
    tried = ingested.run("get", "patient", "001", "002", "--log", str(log), "--dry-run")
    assert "001" in tried.out
    assert f"would append 2 lines to {log}" in tried.err
    assert not log.exists()
    assert not (ingested.root / ".featurestore/request_logs").exists()


def test_a_data_set_is_compared_and_not_written(ingested: Folder) -> None:
    ingested.write(LABELS)
    ingested.run(
        "join", str(ingested.root / "labels.csv"), "-f", "age_share", "--timestamp-column", "at", "--dataset", "one"
    )
    output = ingested.root / "again.csv"
    for place in ((), ("--output", str(output))):
        assert "the content is the same" in ingested.run("dataset", "one", "--rebuild", "--dry-run", *place).out
    assert ingested.json("dataset", "one", "--rebuild", "--dry-run")["dry_run"] is True
    assert not output.exists()


def test_rejected_rows_are_shown_and_not_written(project: Folder) -> None:
    project.edit("visits.csv", "60,", "600,")
    project.run("ingest", code=3)
    output = project.root / "rejected.csv"
    assert "visits.csv" in project.run("runs", "1", "--rejected", "--output", str(output), "--dry-run").out
    assert project.json("runs", "1", "--rejected", "--output", str(output), "--dry-run")["dry_run"] is True
    assert not output.exists()


def test_a_report_that_can_be_made_is_named_and_not_written(ingested: Folder) -> None:
    output = ingested.root / "drift.html"
    assert (
        "no other to be compared with"
        in ingested.run("drift", "age_share", "--report", str(output), "--dry-run", code=2).err
    )
    ingested.write({"visits-2.csv": "patient_id,visit_at,age,chol\n003,2024-04-01T00:00:00Z,44,1\n"})
    ingested.run("ingest")
    assert f"would write {output}" in ingested.run("drift", "age_share", "--report", str(output), "--dry-run").out
    assert not output.exists()
