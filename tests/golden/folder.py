"""The project that the golden documents are of: fixed rows, a feature of every kind that looks different."""

from __future__ import annotations

import json

from tests.conftest import Folder

TOML = """
[project]
name = "golden"

[entity_types.patient]
keys = { patient_id = "string" }

[entity_types.shelf]
keys = { store = "string", product = "int" }

[sources.visits]
type = "csv"
path = "visits*.csv"
event_time = "visit_at"

[sources.visits.columns]
age = { type = "int", min = 0, max = 120 }
chol = { type = "float" }

[sources.stock]
type = "ndjson"
path = "stock*.jsonl"
event_time = "at"
"""
CARDIAC = """
import polars as pl

from features.lib.scale import share
from featurestore import feature


@feature(
    entity_type="patient", data_type="float", source="visits", description="Age as a share of a century",
    owner="ml-team", tags=["cardiac", "demographic"], max_age="36500d",
)
def age_share() -> pl.Expr:
    return share(pl.col("age"))


@feature(entity_type="patient", data_type="string", source="visits", status="experimental", max_age="30d")
def chol_word() -> pl.Expr:
    return pl.when(pl.col("chol") > 240).then(pl.lit("high")).otherwise(pl.lit("usual"))
"""
SCALE = """
import polars as pl


def share(column: pl.Expr) -> pl.Expr:
    return column / 100
"""
SHOP = """
import polars as pl

from featurestore import feature


@feature(
    entity_type="shelf", data_type="int", source="stock", name="stock_{factor}", params={"factor": [2]},
    lookback="0", tolerance=0.5,
)
def stock(df: pl.DataFrame, factor: int) -> pl.DataFrame:
    return df.select("store", "product", value=pl.col("count") * factor, computed_at="at")
"""
LABELS = """
patient_id,at,outcome
p0,2024-02-01T00:00:00Z,1
p1,2024-02-01T00:00:00Z,0
nobody,2024-02-01T00:00:00Z,0
"""
# Ages of 120 patients: spread like people's, from arithmetic, so that they are the same everywhere.
PATIENTS = 120


def visits(day: int, shift: int = 0, rows: int = PATIENTS) -> str:
    """One visit of each patient on a day of January 2024."""
    lines = [
        f"p{number},2024-01-{day:02}T00:00:00Z,{30 + (number * 37 + day) % 40 + shift},{180 + number * 53 % 90}"
        for number in range(rows)
    ]
    return "\n".join(["patient_id,visit_at,age,chol", *lines]) + "\n"


def stock(day: int) -> str:
    rows = [{"at": f"2024-01-{day:02}T00:00:00Z", "store": "s,1", "product": n, "count": n * day} for n in (7, 8)]
    return "\n".join(json.dumps(row) for row in rows) + "\n"


def lay_down(folder: Folder) -> None:
    """The project before its first run."""
    folder.write(
        {
            "featurestore.toml": TOML,
            "features/cardiac.py": CARDIAC,
            "features/shop.py": SHOP,
            "features/lib/scale.py": SCALE,
            "visits-01.csv": visits(1),
            "stock-01.jsonl": stock(1),
            "labels.csv": LABELS,
        }
    )
