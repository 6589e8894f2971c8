"""Features of a patient's course: how a visit compares with the ones before it.

They look back and never ahead, so a visit's value is the same whatever comes after it.
"""

import polars as pl

from features.lib.visits import one_row_a_visit
from featurestore import feature


@feature(
    entity_type="patient",
    data_type="int",
    description="Cholesterol against the visit before, mg/dl; null at the first visit",
    owner="ml-team",
    tags=["cardiac", "trend"],
)
def cholesterol_change(visits: pl.LazyFrame) -> pl.LazyFrame:
    return one_row_a_visit(visits).select(
        entity_id=pl.col("patient_id"),
        value=pl.col("chol").diff().over("patient_id", order_by="visit_at"),
        computed_at=pl.col("visit_at"),
    )


@feature(
    name="visits_{days}d",
    entity_type="patient",
    data_type="int",
    description="Visits in so many days, this one included",
    owner="operations",
    tags=["utilisation"],
    params={"days": [90, 365]},
)
def visits_in_days(visits: pl.LazyFrame, *, days: int) -> pl.LazyFrame:
    window = one_row_a_visit(visits).rolling("visit_at", period=f"{days}d", group_by="patient_id")
    return window.agg(value=pl.len()).select(
        entity_id=pl.col("patient_id"),
        value=pl.col("value"),
        computed_at=pl.col("visit_at"),
    )
