"""A project of Feast with the same three features in Redis. Run by Feast's Python: ``feast_online.py REDIS_PORT``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, ValueType
from feast.types import Float64

IDS = [f"p{number}" for number in range(1_000)]
NAMES = ("age_share", "chol_share", "age_next")


def main() -> None:
    """Declares the features in the current folder and writes a value of each for every id."""
    settings = (
        "project: bench\nregistry: registry.db\nprovider: local\nentity_key_serialization_version: 3\n"
        f"online_store:\n  type: redis\n  connection_string: 127.0.0.1:{sys.argv[1]},db=1\n"
    )
    Path("feature_store.yaml").write_text(settings)
    rows = pd.DataFrame({"patient_id": IDS, "at": datetime.now(UTC)} | {name: [0.5] * len(IDS) for name in NAMES})
    rows.to_parquet("visits.parquet")
    patient = Entity(name="patient", join_keys=["patient_id"], value_type=ValueType.STRING)
    view = FeatureView(
        name="visits",
        entities=[patient],
        ttl=timedelta(days=365),
        schema=[Field(name=name, dtype=Float64) for name in NAMES],
        source=FileSource(path="visits.parquet", timestamp_field="at"),
    )
    store = FeatureStore(".")
    store.apply([patient, view])
    store.write_to_online_store("visits", rows)


if __name__ == "__main__":
    main()
