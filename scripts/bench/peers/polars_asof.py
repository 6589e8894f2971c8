"""Polars' join_asof over a sorted file: KEY NAME LABELS OUTPUT.

Of rows of one time it takes the last, which is the last run's.
"""

import sys

import polars as pl

key, name, labels, output = sys.argv[1:]
history = pl.scan_parquet(f"{name}.parquet").sort("computed_at", "run_seq")
(
    pl.scan_parquet(labels)
    .with_columns(pl.col("at").dt.replace_time_zone(None))
    .with_row_index("n")
    .sort("at")
    .join_asof(
        history.select(key, "computed_at", pl.col("value").alias(name)),
        left_on="at", right_on="computed_at", by=key, check_sortedness=False,
    )
    .sort("n")
    .drop("n", "computed_at")
    .sink_parquet(output)
)  # fmt: skip
