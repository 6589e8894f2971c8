"""Sources larger than the memory that a run may use: the same history, the same figures, or a refusal with figures."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from featurestore.workflows.ingest import at_once as whole
from featurestore.workflows.ingest import divided
from featurestore.workflows.ingest.events import IngestOptions
from featurestore.workflows.ingest.ingest import IngestRequest, ingest

TOML = """
[project]
name = "large"
[entity_types.item]
keys = { shop = "int", item = "string" }
[sources.sales]
type = "csv"
path = "sales*.csv"
event_time = "sold_at"
timezone = "UTC"
updated_at = "changed_at"
[sources.sales.columns]
amount = { type = "int" }
price = { type = "float" }
"""
CODE = """
import polars as pl

from featurestore import feature

KEYS = ["shop", "item"]


@feature(entity_type="item", data_type="float")
def revenue() -> pl.Expr:
    return pl.col("amount") * pl.col("price")


@feature(entity_type="item", data_type="string", scope="row")
def label(sales: pl.DataFrame) -> pl.DataFrame:
    return sales.filter(pl.col("amount") > 2).select(
        *KEYS, value=pl.format("{} at {}", "amount", "price"), computed_at="sold_at"
    )


@feature(entity_type="item", data_type="int")
def so_far() -> pl.Expr:
    return pl.col("amount").cum_sum().over(*KEYS)


@feature(entity_type="item", data_type="int", lookback="2d")
def lately(sales: pl.DataFrame) -> pl.DataFrame:
    sums = sales.rolling("sold_at", period="2d", closed="both", group_by=KEYS).agg(pl.col("amount").sum())
    return sums.select(*KEYS, value="amount", computed_at="sold_at")
"""
MINUTE = "2024-01-%02dT%02d:%02d:%02dZ"


def write_sales(path: Path, seed: int, rows: int, *, of_one: float = 0.5) -> None:
    """Sales of 40 items, a share of them of one item; seconds of a month, in no order."""
    rng = random.Random(seed)
    lines = ["shop,item,sold_at,changed_at,amount,price"]
    for _ in range(rows):
        shop, item = (7, "é7") if rng.random() < of_one else (rng.randrange(10), f"é{rng.randrange(4)}")
        at = MINUTE % (rng.randrange(1, 29), rng.randrange(24), rng.randrange(60), rng.randrange(60))
        changed = MINUTE % (rng.randrange(1, 29), rng.randrange(24), 0, rng.randrange(60))
        lines.append(f"{shop},{item},{at},{changed},{rng.randrange(9)},{rng.randrange(400) / 4}")
    path.write_text("\n".join(lines) + "\n")


def make_project(root: Path) -> Path:
    (root / "features").mkdir(parents=True)
    (root / "featurestore.toml").write_text(TOML)
    (root / "features" / "sales.py").write_text(CODE)
    write_sales(root / "sales-1.csv", 1, 2_500)
    write_sales(root / "sales-2.csv", 2, 500)
    return root


def outcome(root: Path, *, full: bool = False) -> list[Any]:
    """A run's outcome: all that is stored of each feature, and what the audit log has of it."""
    project = load_project(root)
    store = open_offline(project)
    run = ingest(project, store, IngestRequest(options=IngestOptions(full=full))).run
    assert {item.status for item in run.features} <= {"ok", "unchanged"}, run.features
    counted = [
        (item.name, item.rows_written, item.rows_corrected, item.rows_withdrawn, item.rows_computed, item.reason,
         {**(item.statistics or {}), "freshness_s": None}, item.rows_read, item.rows_older)
        for item in run.features
    ]  # fmt: skip
    samples = [store.sample(version.id, run.run_seq or 0) for version in store.versions()]
    return [counted, samples, [store.scan(version).drop("run_seq").rows() for version in store.versions()]]


def test_runs_by_parts_have_the_outcome_of_runs_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first run, one with a file that was written over beside a large new one, and --full: one item has half."""
    roots = [make_project(tmp_path / name) for name in ("at_once", "by_parts")]
    found: list[list[Any]] = [[], []]
    for number, root in enumerate(roots):
        with monkeypatch.context() as patch:
            if number:
                patch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 500)
            found[number].append(outcome(root))
            write_sales(root / "sales-2.csv", 3, 600, of_one=0.7)
            write_sales(root / "sales-3.csv", 4, 900)
            found[number].append(outcome(root))
            found[number].append(outcome(root, full=True))
    for at_once, by_parts in zip(*found, strict=True):
        for one, other in zip(at_once[0], by_parts[0], strict=True):
            assert one == other
    assert found[0] == found[1]
    assert [item[1:4] for item in found[1][2][0]] == [(0, 0, 0)] * 4


def test_what_looks_at_all_rows_is_refused_with_the_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_project(tmp_path / "shop")
    (root / "features" / "all.py").write_text(
        CODE.split("@feature")[0] + '@feature(entity_type="item", data_type="float")\n'
        'def share() -> pl.Expr:\n    return pl.col("amount") / pl.col("amount").sum()\n'
    )
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 200)
    monkeypatch.setattr(divided, "AT_ONCE", 100_000)  # as if 3,000 rows were some 5 GB
    run = ingest(project := load_project(root), open_offline(project), IngestRequest()).run
    status = {item.name: item.error for item in run.features}
    share, so_far = status["share"], status["so_far"]
    assert share is not None
    assert share.code == "too_large"
    assert "3,000 rows, about" in share.message
    assert "2.0 GB" in share.message
    assert 'scope="row"' in str(share.hint)
    assert so_far is not None
    assert "needs the rows of item shop=7,item=é7 at once" in so_far.message
    assert status["revenue"] is None
    assert status["lately"] is None


def make_project_with_ids(root: Path, *, repeated: bool = False) -> Path:
    """The same, of sales with numbers; the later file may repeat one of the earlier."""
    make_project(root)
    (root / "featurestore.toml").write_text(TOML.replace("timezone", 'id = ["sale"]\ntimezone'))
    for number in (1, 2):
        path = root / f"sales-{number}.csv"
        head, *lines = path.read_text().splitlines()
        last = 1_000 if repeated else 0  # of the first file
        numbered = [f"{line},{number * 10_000 + at - last * (number - 1) * 10}" for at, line in enumerate(lines)]
        path.write_text("\n".join([f"{head},sale", *numbered]) + "\n")
    return root


@pytest.mark.parametrize("repeated", [False, True])
def test_sources_with_ids_are_taken_by_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, repeated: bool
) -> None:
    """Where an id is that of several rows, which lie anywhere, the same one of them counts."""
    found = [outcome(make_project_with_ids(tmp_path / "at_once", repeated=repeated))]
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 500)
    monkeypatch.setattr(divided, "AT_ONCE", 3_000)  # all at once would be refused
    monkeypatch.setattr(divided.Divided, "_too_large", lambda *_: None)
    found.append(outcome(root := make_project_with_ids(tmp_path / "by_parts", repeated=repeated)))
    assert found[0] == found[1]
    assert [item[1:4] for item in outcome(root, full=True)[0]] == [(0, 0, 0)] * 4


def test_full_by_parts_withdraws_what_replaced_rows_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows move to other items and times and are corrected, ids repeat, and no run may look at all rows at once."""
    found: list[list[Any]] = [[], []]
    for number, name in enumerate(("at_once", "by_parts")):
        root = make_project_with_ids(tmp_path / name, repeated=True)
        found[number].append(outcome(root))
        for file, step in (("sales-2.csv", 11), ("sales-1.csv", 13)):
            head, *lines = (root / file).read_text().splitlines()
            for at in range(0, len(lines) - step, step):  # both move: each to the other's item and time
                (one, other) = (lines[at].split(","), lines[at + step // 2].split(","))
                if at % 2:
                    one[1], other[1] = other[1], one[1]
                one[0], other[0] = other[0], one[0]
                lines[at], lines[at + step // 2] = ",".join(one), ",".join(other)
            (root / file).write_text("\n".join([head, *lines]) + "\n")
            with monkeypatch.context() as patch:
                if number:
                    patch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 600)
                    patch.setattr(divided, "AT_ONCE", 3_000)
                    patch.setattr(divided.Divided, "_too_large", lambda *_: None)
                found[number].append(outcome(root, full=True))
    assert found[0] == found[1]
    assert all(sum(item[3] for item in run[0]) > 100 for run in found[1][1:])  # withdrawn


def test_ids_that_repeat_in_a_large_source_are_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project_with_ids(tmp_path / "shop", repeated=True)
    monkeypatch.setattr(divided, "part_rows", lambda _memory, _row_bytes: 200)
    monkeypatch.setattr(divided, "AT_ONCE", 100_000)
    run = ingest(project := load_project(root), open_offline(project), IngestRequest()).run
    assert run.status == "failed"
    for item in run.features:
        assert item.error is not None
        assert item.error.message.startswith("some values of sale are those of several rows of the source 'sales'")
        assert "3,000 rows, about" in item.error.message
        assert "leave id out of [sources.sales]" in str(item.error.hint)


def test_a_source_without_times_that_is_too_large_is_refused_with_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "shop")
    settings = TOML.replace('event_time = "sold_at"\n', "").replace('updated_at = "changed_at"\n', "")
    (root / "featurestore.toml").write_text(settings)
    (root / "features" / "sales.py").write_text(
        CODE.split("\n\n@feature")[0] + "\n\n@feature" + CODE.split("@feature")[1]
    )
    monkeypatch.setattr(whole, "AT_ONCE", 50_000)  # as if 150 kB of CSV were 7 GB
    (feature,) = ingest(project := load_project(root), open_offline(project), IngestRequest()).run.features
    assert feature.error is not None
    assert "has no event_time, so that revenue needs all its rows at once: they take about" in feature.error.message
    assert "GB of memory, and it may use 2.0 GB" in feature.error.message
    assert "event_time in [sources.sales]" in str(feature.error.hint)


BOUNDED = """
import resource, sys
from featurestore.cli.app import run
code = run(["ingest", "-q"])
print(code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_more_rows_take_no_more_memory(tmp_path: Path) -> None:
    """The peak of a run over 24 files of 13 MB in memory each is that of one over six, but for what is noise."""
    peaks = []
    for files in (6, 24):
        root = tmp_path / str(files)
        (root / "features").mkdir(parents=True)
        (root / "featurestore.toml").write_text(
            TOML.replace('type = "csv"', 'type = "parquet"').replace(".csv", ".parquet")
        )
        (root / "features" / "sales.py").write_text(CODE.split("@feature")[0] + "@feature" + CODE.split("@feature")[1])
        for file in range(files):
            _frame(file, 12_000).write_parquet(root / f"sales-{file}.parquet")
        env = {**os.environ, "FEATURESTORE_OFFLINE_MEMORY": "200MB"}
        done = subprocess.run(
            [sys.executable, "-c", BOUNDED], cwd=root, env=env, capture_output=True, text=True, timeout=600, check=False
        )
        code, peak = done.stdout.split()[-2:]
        assert code == "0", done.stderr
        peaks.append(int(peak))
    assert peaks[1] < peaks[0] + 100, peaks


def _frame(seed: int, rows: int) -> pl.DataFrame:
    index = pl.int_range(rows, dtype=pl.Int64, eager=True)
    at = (index * 7_919 + seed * 13) % 2_000_000
    return pl.DataFrame(
        {
            "shop": index % 40, "item": (index % 997).cast(pl.String),
            "sold_at": (at * 1_000_000 + 1_704_067_200_000_000 + seed).cast(pl.Datetime("us", "UTC")),
            "amount": index % 9, "price": (index % 400) / 4, "note": index.cast(pl.String).str.pad_end(1_000, "x"),
        }
    ).with_columns(changed_at="sold_at")  # fmt: skip
