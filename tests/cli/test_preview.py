"""``preview`` and ``ingest --dry-run``: what would be read, before anything is; ``runs --rejected``: what was not."""

from __future__ import annotations

import polars as pl

from tests.conftest import Folder


def test_a_file_is_looked_at_without_a_project(folder: Folder) -> None:
    text = "# export\nuser_id;at;x\n1;31/12/2024;1,5\n2;1/1/2025;NULL\n3;2/1/2025;2,5\n"
    (folder.root / "data.csv").write_text(text, encoding="utf-8")
    found = folder.json("preview", str(folder.root / "data.csv"), "--rows", "2")
    assert found["dialect"] == {
        "delimiter": ";", "comment": "#", "decimal": ",", "null": ["NULL"], "times": {"at": {"format": "%d/%m/%Y"}},
    }  # fmt: skip
    assert [(item["name"], item["type"], item["from"]) for item in found["columns"]] == [
        ("user_id", "int", "inferred"), ("at", "datetime", "inferred"), ("x", "float", "inferred"),
    ]  # fmt: skip
    assert found["rows"][0] == {"user_id": 1, "at": "2024-12-31T00:00:00Z", "x": 1.5}
    assert (len(found["rows"]), found["rows_read"], found["whole"]) == (2, 3, True)
    assert "format" not in folder.run("preview", str(folder.root / "data.csv")).err
    assert not (folder.root / ".featurestore").exists()


def test_a_source_is_read_as_the_project_says_and_rows_that_would_be_set_aside_are_shown(project: Folder) -> None:
    with (project.root / "visits.csv").open("a", encoding="utf-8") as file:
        file.write("p9,not a time,1,2\n")
    found = project.json("preview", "visits")
    assert found["source"] == "visits"
    assert found["rows_rejected"] == 1
    assert "would be set aside" in project.run("preview", "visits").out
    dry = project.json("ingest", "--dry-run", code=3)
    assert dry["sources"][0]["rows_rejected"] == 1
    assert "would be set aside" in project.run("ingest", "--dry-run", code=3).out


def test_columns_that_a_terminal_has_no_room_for_are_named(folder: Folder) -> None:
    names = [f"a_rather_long_column_{number}" for number in range(12)]
    (folder.root / "wide.csv").write_text(f"{','.join(names)}\n{',1'.join(names)}\n", encoding="utf-8")
    out = folder.run("preview", str(folder.root / "wide.csv")).out
    head = next(line for line in out.splitlines() if line.count("a_rather") > 1)
    said = out.partition("columns more: ")[2].partition("looked at")[0].replace(",", " ").split()
    assert [name for name in names if name not in head.split()] == said != []


def test_a_name_that_is_neither_source_nor_file_gets_a_did_you_mean(project: Folder) -> None:
    assert "did you mean 'visits'?" in project.run("preview", "visit", code=2).err


def test_the_rows_that_a_run_set_aside_are_shown_and_exported(project: Folder) -> None:
    with (project.root / "visits.csv").open("a", encoding="utf-8") as file:
        file.write("p9,not a time,1,2\n")
    run = project.json("ingest", code=3)["run_id"]
    assert "not a time" in project.run("runs", run, "--rejected").out
    (row,) = project.json("runs", run, "--rejected")["rejected"]
    for name in ("rejected.csv", "rejected.parquet"):
        out = project.root / name
        project.run("runs", run, "--rejected", "--output", str(out))
        written = pl.read_csv(out) if name.endswith("csv") else pl.read_parquet(out)
        assert written.select("source", "file", "row", "column", "value", "reason").rows() == [
            ("visits", "visits.csv", row["row"], row["column"], "not a time", row["reason"])
        ]
    assert "--rejected is of one run" in project.run("runs", "--rejected", code=2).err
    assert "add --rejected" in project.run("runs", run, "--output", "x.csv", code=2).err
