"""A column that nobody reads is not decoded; which columns are read changes no value."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Folder

TOML = """
[project]
name = "wide"

[entity_types.user]
keys = {{ user_id = "string" }}

[sources.events]
type = "{kind}"
path = "events*.{ending}"
event_time = "at"
{settings}
"""
HEAD = "import polars as pl\nfrom featurestore import feature\n"
START = datetime(2024, 1, 1, tzinfo=UTC)
KINDS = {"parquet": "parquet", "arrow": "arrow", "ndjson": "jsonl", "csv": "csv"}


def feature_of(name: str, expression: str, *more: str) -> str:
    arguments = ", ".join(['entity_type="user"', 'data_type="float"', 'source="events"', *more])
    return f"\n\n@feature({arguments})\ndef {name}() -> pl.Expr:\n    return {expression}\n"


def amount(name: str = "amount") -> str:
    return feature_of(name, f"pl.col({name!r}) * 1.0")


ROW = amount()
ENTITY = feature_of("total", "pl.col('amount').sum().over('user_id')")
AROUND = feature_of(
    "spent", "pl.col('amount').rolling_sum_by('at', '30d').over('user_id')", "scope='entity'", "lookback='30d'"
)


def events(days: range, **columns: Any) -> pl.DataFrame:
    height = len(days)
    frame = {
        "user_id": [f"u{day % 3}" for day in days],
        "at": [START + timedelta(days=day) for day in days],
        "amount": [float(day) for day in days],
        "score": [day * 10.0 for day in days],
        "note": [f"n{day}" for day in days],
    }
    return pl.DataFrame({**frame, **{name: [value] * height for name, value in columns.items()}})


def store(folder: Folder, frame: pl.DataFrame, name: str = "events", kind: str = "parquet") -> None:
    path = folder.root / f"{name}.{KINDS[kind]}"
    times = frame.with_columns(pl.col("at").dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
    match kind:
        case "parquet":
            frame.write_parquet(path)
        case "arrow":
            frame.write_ipc(path)
        case "csv":
            times.write_csv(path)
        case _:
            times.write_ndjson(path)


def begin(folder: Folder, *features: str, kind: str = "parquet", settings: str = "") -> Folder:
    folder.write({
        "featurestore.toml": TOML.format(kind=kind, ending=KINDS[kind], settings=settings),
        "features/wide.py": HEAD + "".join(features),
    })  # fmt: skip
    return folder


def kept_columns(folder: Folder) -> set[str]:
    """The columns whose values are kept, of any content."""
    return set().union(*schemas(folder))


def schemas(folder: Folder) -> list[set[str]]:
    found = (folder.root / ".featurestore" / "rows" / "events").glob("*.parquet")
    return [{name for name in pl.read_parquet_schema(path) if " " not in name} for path in found]


def values(folder: Folder, name: str, user: str) -> list[tuple[str, float | None]]:
    rows = folder.json("history", name, user)["values"]
    return [(row["computed_at"][:10], row["value"]) for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_only_what_a_feature_names_is_read_and_pinned(kind: str, folder: Folder) -> None:
    begin(folder, ROW, kind=kind)
    store(folder, events(range(6)), kind=kind)
    assert folder.features()["amount"]["rows_written"] == 6
    assert kept_columns(folder) == {"user_id", "at", "amount"}
    pins = folder.root / "features" / ".versions" / "events.columns.toml"
    assert "score" not in (pins.read_text() if pins.exists() else "")


def test_a_damaged_column_concerns_those_who_read_it(folder: Folder) -> None:
    begin(folder, ROW)
    path = folder.root / "events.parquet"
    events(range(6)).write_parquet(path, compression="uncompressed", statistics=False)
    data = path.read_bytes()
    at = data.index(b"n3")
    path.write_bytes(data[:at] + b"\xff\xfe" + data[at + 2 :])
    assert folder.features()["amount"]["rows_written"] == 6
    folder.write({"features/wide.py": HEAD + ROW + feature_of("longest", "pl.col('note').str.len_chars() * 1.0")})
    found = folder.features(code=3)
    assert (found["longest"]["status"], found["amount"]["status"]) == ("failed", "unchanged")
    assert "events.parquet" in found["longest"]["error"]["where"]


NESTED = {
    "map": pa.array([[("key", f"n{day} of a map")] for day in range(6)], pa.map_(pa.large_string(), pa.large_string())),
    "shredded variant": pa.array(
        [
            {"metadata": b"\x11\x01\x00", "value": None, "typed_value": {"typed_value": f"n{day} of a variant"}}
            for day in range(6)
        ],
        pa.struct({
            "metadata": pa.binary(), "value": pa.binary(), "typed_value": pa.struct({"typed_value": pa.large_string()}),
        }),
    ),
}  # fmt: skip


@pytest.mark.parametrize("nested", NESTED)
def test_a_nested_column_that_nobody_names_is_not_decoded(nested: str, folder: Folder) -> None:
    begin(folder, ROW)
    path = folder.root / "events.parquet"
    wide = events(range(6)).to_arrow().append_column("extra", NESTED[nested])
    pq.write_table(wide, path, compression="none", use_dictionary=False, write_statistics=False)
    data = path.read_bytes()
    at = data.index(b"n3 of a")
    path.write_bytes(data[:at] + b"\xff\xfe" + data[at + 2 :])
    assert folder.features()["amount"]["rows_written"] == 6
    assert kept_columns(folder) == {"user_id", "at", "amount"}
    folder.write(
        {"features/wide.py": HEAD + ROW + feature_of("named", "pl.col('extra').cast(pl.String).str.len_chars() * 1.0")}
    )
    found = folder.features(code=3)
    assert (found["named"]["status"], found["amount"]["status"]) == ("failed", "unchanged")
    assert "Invalid UTF8" in found["named"]["error"]["message"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_feature_that_needs_more_columns_reads_the_file_again(kind: str, folder: Folder) -> None:
    begin(folder, ROW, kind=kind)
    store(folder, events(range(6)), kind=kind)
    folder.run("ingest")
    folder.write({"features/wide.py": HEAD + ROW + amount("score")})
    found = folder.features()
    assert (found["score"]["rows_written"], found["amount"]["rows_written"]) == (6, 0)
    assert values(folder, "score", "u1") == [("2024-01-02", 10.0), ("2024-01-05", 40.0)]
    assert kept_columns(folder) == {"user_id", "at", "amount", "score"}
    found = folder.features("--full")
    assert [one["rows_corrected"] + one["rows_written"] for one in found.values()] == [0, 0]


def test_runs_of_single_features_do_not_forget_what_others_need(folder: Folder) -> None:
    begin(folder, ROW, amount("score"))
    store(folder, events(range(6)))
    folder.run("ingest", "amount")
    folder.run("ingest", "score")
    assert kept_columns(folder) == {"user_id", "at", "amount", "score"}
    store(folder, events(range(6, 9)), "events2")
    assert folder.features("amount")["amount"]["rows_written"] == 3
    assert folder.features("score")["score"]["rows_written"] == 3
    assert kept_columns(folder) == {"user_id", "at", "amount", "score"}


def test_a_column_is_no_longer_read_when_its_feature_is_gone(folder: Folder) -> None:
    begin(folder, ROW, amount("score"))
    store(folder, events(range(6)))
    folder.run("ingest")
    begin(folder, ROW)
    store(folder, events(range(12)))
    assert folder.features()["amount"]["rows_written"] == 6
    assert {"user_id", "at", "amount"} in schemas(folder)


def test_declared_columns_and_their_rules_are_always_read(folder: Folder) -> None:
    begin(folder, ROW, settings="[sources.events.columns]\nscore = { type = 'float', max = 30 }")
    store(folder, events(range(6)))
    found = folder.features(code=3)["amount"]
    assert (found["rows_rejected"], found["rows_written"]) == (2, 4)
    assert kept_columns(folder) == {"user_id", "at", "amount", "score"}


def test_a_promoted_version_reads_what_its_file_names(folder: Folder) -> None:
    begin(folder, ROW)
    store(folder, events(range(6)))
    folder.run("ingest")
    begin(folder, feature_of("amount", "pl.col('score') * 1.0"))
    folder.run("ingest")
    folder.run("promote", "amount", "1")
    store(folder, events(range(6, 9)), "events2")
    folder.run("ingest")
    assert kept_columns(folder) == {"user_id", "at", "amount", "score"}
    assert values(folder, "amount@1", "u0")[-1] == ("2024-01-07", 6.0)
    assert values(folder, "amount@2", "u0")[-1] == ("2024-01-07", 60.0)


def test_a_new_feature_counts_a_vanished_file_as_lost_where_its_column_was_not_kept(folder: Folder) -> None:
    begin(folder, AROUND)
    store(folder, events(range(6)))
    store(folder, events(range(6, 9)), "events2")
    folder.run("ingest")
    (folder.root / "events.parquet").unlink()
    again = AROUND.replace("amount", "score").replace("spent", "scored")
    total = ENTITY.replace("amount", "score")
    folder.write({"features/wide.py": HEAD + AROUND + again + total})
    ran = folder.run("ingest", "--json", code=3)
    found = {one["name"]: one for one in ran.json["features"]}
    assert found["spent"]["rows_corrected"] == 0
    # Its rows reach 30 days on from the last one that is lost: nothing is known for sure before.
    assert (found["scored"]["status"], found["scored"]["rows_written"]) == ("ok", 0)
    assert found["total"]["status"] == "failed"
    assert "--allow-shrunk" in found["total"]["error"]["hint"]
    assert "without the column 'score'" in ran.err
    assert "[sources.events.columns]" in ran.err


def test_a_vanished_file_counts_for_a_new_feature_where_its_columns_were_kept(folder: Folder) -> None:
    begin(folder, AROUND, settings="[sources.events.columns]\nscore = { type = 'float' }")
    store(folder, events(range(6)))
    store(folder, events(range(6, 9)), "events2")
    folder.run("ingest")
    (folder.root / "events.parquet").unlink()
    begin(
        folder, AROUND, AROUND.replace("amount", "score").replace("spent", "scored"),
        settings="[sources.events.columns]\nscore = { type = 'float' }",
    )  # fmt: skip
    folder.run("ingest")
    assert values(folder, "scored", "u0")[-1] == ("2024-01-07", 90.0)


def test_lines_that_are_added_may_bring_a_new_column(folder: Folder) -> None:
    begin(folder, ROW, amount("bonus"), kind="ndjson")
    path = folder.root / "events.jsonl"
    path.write_text('{"user_id": "u0", "at": "2024-01-01T00:00:00Z", "amount": 1.5, "bonus": 1.5}\n')
    folder.run("ingest")
    with path.open("a") as file:
        file.write('{"user_id": "u0", "at": "2024-01-02T00:00:00Z", "amount": 2.5, "bonus": 3.5, "extra": 4.5}\n')
    begin(folder, ROW, amount("bonus"), amount("extra"), kind="ndjson")
    folder.run("ingest")
    assert values(folder, "extra", "u0") == [("2024-01-01", None), ("2024-01-02", 4.5)]
    with path.open("a") as file:
        file.write('{"user_id": "u0", "at": "2024-01-03T00:00:00Z", "amount": 2.5, "more": 5.5}\n')
    begin(folder, ROW, amount("bonus"), amount("extra"), amount("more"), kind="ndjson")
    folder.run("ingest")
    assert values(folder, "more", "u0") == [("2024-01-01", None), ("2024-01-02", None), ("2024-01-03", 5.5)]


def test_rows_that_nothing_else_tells_apart_are_read_with_all_columns(folder: Folder) -> None:
    begin(folder, ENTITY, settings='duplicates = "keep"')
    frame = events(range(3))
    store(folder, pl.concat([frame, frame.with_columns(note=pl.lit("another"))]))
    folder.run("ingest")
    assert {"note", "score"} <= kept_columns(folder)
    assert values(folder, "total", "u1") == [("2024-01-02", 2.0)]


def test_a_join_in_a_function_sees_the_columns_that_it_gives_other_names(folder: Folder) -> None:
    body = (
        '\n\n@feature(entity_type="user", data_type="float", source="events", scope="source")\n'
        "def both(df: pl.DataFrame) -> pl.DataFrame:\n"
        "    other = df.filter(pl.col('amount') >= 0)\n"
        "    joined = df.join(other, on=['user_id', 'at'])\n"
        "    value = pl.col('score_right') + pl.col('amount')\n"
        "    return joined.select(entity_id='user_id', value=value, computed_at='at')\n"
    )
    begin(folder, body)
    store(folder, events(range(3)))
    folder.run("ingest")
    assert values(folder, "both", "u2") == [("2024-01-03", 22.0)]


def test_a_misspelt_column_is_compared_with_those_that_were_not_read(folder: Folder) -> None:
    begin(folder, feature_of("wrong", "pl.col('amount') + pl.col('scores')"))
    store(folder, events(range(3)))
    assert "did you mean 'score'?" in folder.features(code=4)["wrong"]["error"]["hint"]


FEATURES: Mapping[str, str] = {
    "amount": ROW,
    "score": amount("score"),
    "total": ENTITY,
    "scores": ENTITY.replace("amount", "score").replace("total", "scores"),
    "spent": AROUND,
    "scored": AROUND.replace("amount", "score").replace("spent", "scored"),
}


@pytest.mark.parametrize(
    "seed", [1, pytest.param(2, marks=pytest.mark.nightly), pytest.param(3, marks=pytest.mark.nightly)]
)
def test_the_history_is_that_of_reading_everything(seed: int, folder: Folder) -> None:
    """Files come and change, features come and go; a feature's history is that of one run over all columns."""
    chosen = random.Random(seed)
    files: dict[str, pl.DataFrame] = {}
    kind = chosen.choice(list(KINDS))
    for step in range(4):
        names = sorted(chosen.sample(sorted(FEATURES), chosen.randint(1, 4)))
        begin(folder, *(FEATURES[name] for name in names), kind=kind)
        files[f"events{step}"] = events(range(step * 5, step * 5 + 5))
        if step and chosen.random() < 0.5:
            changed = f"events{chosen.randrange(step)}"
            files[changed] = files[changed].with_columns(score=pl.col("score") + 1000.0 * step)
        for name, frame in files.items():
            store(folder, frame, name, kind)
        some = names if chosen.random() < 0.5 else names[:1]
        folder.run("ingest", *some)
    begin(folder, *FEATURES.values(), kind=kind)
    folder.run("ingest")
    found = folder.features("--full")
    assert {name: (one["rows_written"], one["rows_corrected"]) for name, one in found.items()} == dict.fromkeys(
        FEATURES, (0, 0)
    ), json.dumps(sorted(files))
