"""Cardiac risk features, of one visit each.

Every value follows from its own visit and from reference ranges that are written down here, so it means the same
whichever patients stand beside it, and nothing of it is known only later.
"""

import polars as pl

from features.lib.scale import scale
from featurestore import feature

OWNER = "ml-team"


@feature(
    entity_type="patient",
    data_type="float",
    description="Age, from 20 years (0) to 80 (1)",
    owner=OWNER,
    tags=["cardiac", "demographic"],
)
def age_normalized() -> pl.Expr:
    return scale(pl.col("age"), 20, 80)


@feature(
    entity_type="patient",
    data_type="float",
    description="Cholesterol: desirable (0), borderline from 200 mg/dl (0.5), high from 240 (1)",
    owner=OWNER,
    tags=["cardiac", "risk"],
)
def cholesterol_risk_score() -> pl.Expr:
    chol = pl.col("chol")
    return pl.when(chol >= 240).then(1.0).when(chol >= 200).then(0.5).when(chol.is_not_null()).then(0.0)


@feature(
    entity_type="patient",
    data_type="float",
    description="Weighted combination of cardiac risk factors",
    owner=OWNER,
    tags=["cardiac", "risk", "composite"],
)
def composite_risk_score(visits: pl.DataFrame) -> pl.DataFrame:
    # Fixed ranges, not the data's own: see `scale`.
    risk = (
        0.25 * scale(pl.col("age"), 20, 80)
        + 0.20 * cholesterol_risk_score()
        + 0.20 * pl.col("exang")
        + 0.20 * scale(pl.col("oldpeak"), 0, 6)
        + 0.15 * scale(pl.col("ca"), 0, 3)
    )
    return visits.select(
        entity_id=pl.col("patient_id"),
        value=risk.clip(0.0, 1.0),
        computed_at=pl.col("visit_at"),
    )


@feature(
    entity_type="patient",
    data_type="float",
    description="Highest heart rate of the stress test, as a share of what the age predicts (220 - age)",
    owner=OWNER,
    tags=["cardiac", "stress-test"],
    max_age="180d",
)
def heart_rate_share() -> pl.Expr:
    return pl.col("thalach") / (220 - pl.col("age"))


@feature(
    entity_type="patient",
    data_type="string",
    description="Stage of the systolic blood pressure at rest",
    owner=OWNER,
    tags=["cardiac", "blood-pressure"],
)
def blood_pressure_stage() -> pl.Expr:
    systolic = pl.col("trestbps")
    return (
        pl.when(systolic >= 140).then(pl.lit("stage 2"))
        .when(systolic >= 130).then(pl.lit("stage 1"))
        .when(systolic >= 120).then(pl.lit("elevated"))
        .when(systolic.is_not_null()).then(pl.lit("normal"))
    )  # fmt: skip


@feature(
    entity_type="patient",
    data_type="bool",
    description="Chest pain during the stress test",
    owner=OWNER,
    tags=["cardiac", "stress-test"],
)
def exercise_angina() -> pl.Expr:
    return pl.col("exang") == 1


@feature(
    entity_type="patient",
    data_type="int",
    description="Major vessels coloured by fluoroscopy, 0 to 3",
    owner=OWNER,
    tags=["cardiac", "imaging"],
)
def narrowed_vessels() -> pl.Expr:
    return pl.col("ca")


@feature(
    entity_type="patient",
    data_type="list[float, 4]",
    description="Blood pressure, cholesterol, heart rate and ST depression, each from 0 to 1",
    owner=OWNER,
    tags=["cardiac", "embedding"],
    status="experimental",
)
def vitals() -> pl.Expr:
    # A patient without a stress test stands in the middle rather than nowhere.
    return pl.concat_list(
        scale(pl.col("trestbps"), 90, 200).fill_null(0.5),
        scale(pl.col("chol"), 120, 400).fill_null(0.5),
        scale(pl.col("thalach"), 70, 210).fill_null(0.5),
        scale(pl.col("oldpeak"), 0, 6).fill_null(0.5),
    )
