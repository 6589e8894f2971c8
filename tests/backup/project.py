"""A project with something of everything, and what its commands say of it."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import Folder

TOML = """
[project]
name = "shop"
[entity_types.patient]
keys = { patient_id = "string" }
[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"
id = ["patient_id", "visit_at"]
[sources.visits.columns]
age = { type = "float", min = 0, max = 200 }
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="patient", data_type="float")
def age_share() -> pl.Expr:
    return pl.col("age") / 100


@feature(entity_type="patient", data_type="string", lookback="0", depends_on=["words.txt"])
def said(df: pl.DataFrame) -> pl.DataFrame:
    first = open("words.txt").read().strip()
    return df.select("patient_id", value=first + " " + pl.col("word"), computed_at="visit_at")


@feature(entity_type="patient", data_type="float", window="30d")
def age_30d() -> pl.Expr:
    return pl.col("age").max()
"""
HEADER = "patient_id,visit_at,age,word\n"


def visits(day: int, patients: int = 40) -> str:
    rows = [
        f"p{number},2024-01-{day:02}T00:00:00Z,{(number * 37 + day) % 90},word {number % 5}"
        for number in range(patients)
    ]
    return HEADER + "\n".join(rows) + "\n"


def live(folder: Folder) -> None:
    """Runs, versions, rows that were set aside, files that are gone, a deletion, a data set, a promotion."""
    folder.write({
        "featurestore.toml": TOML, "features/f.py": FEATURES, "words.txt": "hello\n",
        "labels.csv": "patient_id,at\np1,2024-01-03T00:00:00Z\np2,2024-02-03T00:00:00Z\n",
    })  # fmt: skip
    (folder.root / "visits1.csv").write_text(visits(1))
    folder.run("ingest")
    (folder.root / "visits2.csv").write_text(visits(2) + "p1,2024-01-02T00:00:00Z,999,x\n")
    folder.run("ingest", code=3)
    join(folder, "--dataset", "trial", "--output", str(folder.root / "trial.csv"))
    folder.edit("features/f.py", '"age") / 100', '"age") / 50')
    (folder.root / "visits1.csv").unlink()  # its rows are kept, since the window looks back at them
    (folder.root / "visits3.csv").write_text(visits(3).replace("2024-01-03", "2024-01-09"))
    folder.run("ingest", code=3)
    folder.run("promote", "age_share", "1")
    folder.run("baseline", "said", "1")
    folder.run("delete", "patient", "p3", "--at", "2024-01-05")
    folder.run("ingest", code=3)


def join(folder: Folder, *more: str) -> str:
    labels = str(folder.root / "labels.csv")
    return folder.run("join", labels, "-f", "age_share,said,age_30d", "--timestamp-column", "at", *more).out


QUESTIONS = (
    "runs", "runs 2 --rejected", "stats said", "stats age_share@2", "drift said", "history age_share p1",
    "history age_share p3", "history age_30d p2", "dataset", "dataset trial", "show age_share", "lineage said",
    "latest patient -f age_share,said,age_30d --at 2024-01-20T00:00:00Z --output {root}/latest.csv",
)  # fmt: skip


def answers(folder: Folder) -> dict[str, Any]:
    """What the commands that read the history say, and what they write."""
    found: dict[str, Any] = {}
    for line in QUESTIONS:
        said = folder.json(*line.replace("{root}", str(folder.root)).split())
        text = json.dumps(said).replace(str(folder.root), "{root}")
        found[line] = json.loads(text)
    found["latest"] = (folder.root / "latest.csv").read_text()
    found["join"] = join(folder)
    for name in ("age_share@1", "age_share@2", "said", "age_30d"):
        folder.run("export", name, "--output", str(folder.root / "all.csv"))
        found[name] = sorted((folder.root / "all.csv").read_text().splitlines())
    folder.run("dataset", "trial", "--verify")
    folder.run("dataset", "trial", "--rebuild", "--output", str(folder.root / "again.csv"))
    found["rebuilt"] = (folder.root / "again.csv").read_bytes()
    return found
