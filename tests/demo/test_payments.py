"""The example of payments: a join for training, and the same bits when a payment is to be judged."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl

from tests.demo.conftest import Featurestore

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "payments"
FEATURES = "amount_against_habit,hours_since_last"
WINDOWS = "spent_1h,spent_7d,spent_30d,shops_7d"


def test_the_script_writes_the_same_bytes_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "make_payment_data.py", tmp_path], check=True)
    for path in (EXAMPLE / "data").glob("*.csv"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_frauds_stand_out_in_training_and_in_serving(tmp_path: Path, featurestore: Featurestore) -> None:
    project, log = tmp_path / "payments", tmp_path / "requests.jsonl"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns(".featurestore", ".versions"))
    featurestore("ingest", cwd=project)
    featurestore("lock", cwd=project)
    featurestore("join", "data/fraud.csv", "--timestamp-column", "at", "--before", "-f", f"{FEATURES},{WINDOWS}",
                 "--output", "training.parquet", cwd=project)  # fmt: skip
    training = pl.read_parquet(project / "training.parquet")
    times = training.group_by("fraud").agg(pl.col("amount_against_habit").median()).sort("fraud")
    usual, stolen = times["amount_against_habit"].to_list()
    assert usual < 1.2 < 3 < stolen

    spent = training.drop_nulls(["spent_30d"])
    assert (spent["spent_1h"] <= spent["spent_7d"] + 1e-6).all()
    assert (spent["spent_7d"] <= spent["spent_30d"] + 1e-6).all()
    hurried = training.group_by("fraud").agg((pl.col("spent_1h") > 0).mean()).sort("fraud")["spent_1h"].to_list()
    assert hurried[0] < 0.1 < 0.5 < hurried[1], "a thief pays several times within the hour"

    featurestore("sync", "--feature", "amount_against_habit", "--feature", "hours_since_last", cwd=project)
    with (project / "data" / "fraud.csv").open(newline="", encoding="utf-8") as file:
        card = list(csv.DictReader(file))[-1]["card"]
    asked = ["get", "card", card, "-f", FEATURES, "--request", "amount=412.5", "--log", str(log), "--json"]
    served = featurestore(*asked, cwd=project).json["entities"][0]["features"]
    assert served["amount_against_habit"]["value"] > 3
    replayed = featurestore("verify", "--requests", str(log), "--json", cwd=project).json
    assert (replayed["checked"], replayed["different"], replayed["behind"]) == (2, 0, 0)
