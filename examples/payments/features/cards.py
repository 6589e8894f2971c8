"""What is known of a card, and what a payment looks like beside it."""

import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="float", description="Mean of all payments so far")
def usual_amount() -> pl.Expr:
    so_far = pl.col("amount").cum_sum() / pl.col("amount").cum_count()
    return so_far.over("card", order_by="at")


@feature(entity_type="card", data_type="datetime", description="When the card last paid")
def last_payment() -> pl.Expr:
    return pl.col("at")


@feature(
    entity_type="card",
    data_type="float",
    inputs=["usual_amount"],
    request={"amount": "float"},
    description="How many times the usual amount this payment is",
)
def amount_against_habit() -> pl.Expr:
    return pl.col("amount") / pl.col("usual_amount")


@feature(entity_type="card", data_type="float", inputs=["last_payment"], description="Hours since the card last paid")
def hours_since_last() -> pl.Expr:
    return (pl.col("request_time") - pl.col("last_payment")).dt.total_seconds() / 3600


@feature(entity_type="card", data_type="float", window="1h", description="Spent in the last hour")
def spent_1h() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="card", data_type="float", window="7d", description="Spent in the last seven days")
def spent_7d() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="card", data_type="float", window="30d", description="Spent in the last thirty days")
def spent_30d() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="card", data_type="int", window="7d", description="Different shops in the last seven days")
def shops_7d() -> pl.Expr:
    return pl.col("shop").n_unique()
