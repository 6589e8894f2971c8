"""Feast's DuckDB store, in an environment of its own: `apply FOLDER` once, then `join FOLDER VIEW LABELS OUTPUT`.

Two views of the same three features: ``view.parquet`` as the rows arrived, and ``view_sorted.parquet``. Without the
created column Feast breaks ties by chance.
"""

import sys
from datetime import timedelta

import pandas as pd
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

what, folder, *files = sys.argv[1:]
names = ("v0", "v1", "v2")
store = FeatureStore(
    config=RepoConfig(
        project="bench",
        provider="local",
        registry=f"{folder}/feast.registry",
        offline_store={"type": "duckdb"},
        online_store=None,
        entity_key_serialization_version=3,
    )
)
if what == "apply":
    user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.INT64)
    schema = [Field(name=name, dtype=Float64) for name in names]
    views = [
        FeatureView(
            name=name,
            entities=[user],
            ttl=timedelta(0),
            schema=schema,
            source=FileSource(
                path=f"{folder}/{name}.parquet", timestamp_field="computed_at", created_timestamp_column="learned_at"
            ),
            online=False,
        )
        for name in ("view", "view_sorted")
    ]
    store.apply([user, *views])
else:
    view, labels, output = files
    job = store.get_historical_features(
        entity_df=pd.read_parquet(labels), features=[f"{view}:{name}" for name in names], full_feature_names=False
    )
    pq.write_table(job.to_arrow(), output)
