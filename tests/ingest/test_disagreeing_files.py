"""Files of one source that hold other types under one name: which files, which types, and the way out."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import polars as pl
import pytest

from featurestore.workflows.ingest import divided
from tests.conftest import Folder

TOML = """
[project]
name = "test"
[entity_types.user]
keys = { id = "string" }
[sources.events]
type = "parquet"
path = "*.parquet"
event_time = "at"
timezone = "UTC"
"""
FEATURE = """
import polars as pl
from featurestore import feature


@feature(entity_type="user", data_type="bool", scope="row")
def is_known(df: pl.DataFrame) -> pl.DataFrame:
    return df.select("id", value=pl.col("x").is_not_null())
"""


@pytest.mark.parametrize(
    ("one", "other", "words", "hint"),
    [
        ([1], "a", "List(Int64) in a.parquet and String in b.parquet", "read them as two sources"),
        ([1], 2, "List(Int64) in a.parquet and Int64 in b.parquet", "write one of them as the other"),
        (
            Decimal("1.5"),
            2.5,
            "Decimal(precision=38, scale=1) in a.parquet and Float64 in b.parquet",
            'x = { type = "float" }',
        ),
    ],
)
def test_the_error_names_both_files_and_both_types(
    folder: Folder, one: object, other: object, words: str, hint: str
) -> None:
    folder.write({"featurestore.toml": TOML, "features/events.py": FEATURE})
    for name, day, value in (("a", 1, one), ("b", 2, other)):
        frame = pl.DataFrame({"id": [name], "at": [datetime(2024, 1, day)], "x": [value]})
        frame.write_parquet(folder.root / f"{name}.parquet")
    ran = folder.run("ingest", code=4)
    said = " ".join((ran.out + ran.err).split())
    assert f"files disagree on column 'x': it is {words}" in said
    assert hint in said


CSV = """
[project]
name = "test"
[entity_types.user]
keys = { id = "string" }
[sources.events]
type = "csv"
path = "*.csv"
event_time = "at"
timezone = "UTC"
max_rejected = "2%"
[sources.events.columns]
x = { type = "int", min = 0 }
"""


@pytest.mark.parametrize("rows", [None, 7])
def test_max_rejected_holds_for_what_a_run_read_also_by_parts(
    folder: Folder, rows: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rows is not None:
        monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: rows)

    def text(bad: int, user: str) -> str:
        lines = (f"{user}{at},2024-01-{at % 28 + 1:02},{-1 if at < bad else at}" for at in range(200))
        return "\n".join(["id,at,x", *lines]) + "\n"

    folder.write({"featurestore.toml": CSV, "features/events.py": FEATURE, "a.csv": text(4, "a")})
    first = folder.features(code=3)["is_known"]
    assert (first["rows_written"], first["rows_rejected"]) == (196, 4)
    run = folder.json("runs")["runs"][0]["run_id"]
    folder.run("runs", run, "--rejected", "--output", str(folder.root / "aside.parquet"))
    aside = pl.read_parquet(folder.root / "aside.parquet")
    assert aside.select("file", "row", "column", "value").rows() == [("a.csv", at, "x", "-1") for at in (1, 2, 3, 4)]
    folder.write({"b.csv": text(5, "b")})
    failed = folder.features(code=4)["is_known"]
    assert failed["status"] == "failed"
    assert "5 of 200 rows had to be set aside, 2.5%; max_rejected is 2.00%" in failed["error"]["message"]
    folder.write({"b.csv": text(4, "b")})
    assert folder.features(code=3)["is_known"]["rows_written"] == 196
