"""The example project: the history does not depend on the order in which the files arrived."""

import shutil
from pathlib import Path

import polars as pl

from tests.demo.conftest import Featurestore

FEATURES = ("composite_risk_score", "cholesterol_change", "visits_365d")


def make_example(project: Path, featurestore: Featurestore) -> tuple[Path, list[Path]]:
    """The example without its visits: the folder for them, and each quarter's file elsewhere."""
    featurestore("init", str(project), "--demo", cwd=project.parent)
    data, waiting = project / "fixtures" / "heart", project / "waiting"
    waiting.mkdir()
    files = [*data.glob("visits-*.csv"), data / "incoming" / "visits-2025Q1.csv"]
    return data, [Path(shutil.move(path, waiting)) for path in files]


def latest(project: Path, feature: str, featurestore: Featurestore) -> pl.DataFrame:
    """The last learned value for each patient and time."""
    featurestore("export", feature, "--output", "history.parquet", cwd=project)
    keys = ["patient_id", "computed_at"]
    history = pl.read_parquet(project / "history.parquet").sort(*keys, "ingested_at")
    return history.unique(keys, keep="last", maintain_order=True).select(*keys, "value")


def test_files_that_come_one_by_one_end_in_the_values_of_one_run(tmp_path: Path, featurestore: Featurestore) -> None:
    data, waiting = make_example(tmp_path / "one by one", featurestore)
    corrected = []
    for quarter in sorted(waiting):
        shutil.copy(quarter, data)
        run = featurestore("ingest", *FEATURES, "--json", cwd=tmp_path / "one by one").json
        corrected += [item["rows_corrected"] for item in run["features"] if item["name"] == "cholesterol_change"]

    data, waiting = make_example(tmp_path / "at once", featurestore)
    for quarter in waiting:
        shutil.copy(quarter, data)
    featurestore("ingest", *FEATURES, cwd=tmp_path / "at once")

    assert corrected == [0, 0, 1, 1, 3]
    for feature in FEATURES:
        values = latest(tmp_path / "at once", feature, featurestore)
        assert values.height == 1193
        assert values.equals(latest(tmp_path / "one by one", feature, featurestore))
