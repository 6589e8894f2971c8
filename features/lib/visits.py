"""Reading the visits as what they stand for."""

import polars as pl


def one_row_a_visit(visits: pl.LazyFrame) -> pl.LazyFrame:
    """A visit that was sent again, corrected, counts once, as it was sent last. Ordered by patient and time."""
    return (
        visits.sort("patient_id", "visit_at", "updated_at")
        .unique(["patient_id", "visit_at"], keep="last", maintain_order=True)
    )  # fmt: skip
