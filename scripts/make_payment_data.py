#!/usr/bin/env python3
"""Writes the payments of the example in examples/payments: none of them is real.

    scripts/make_payment_data.py [FOLDER]

Sixty cards pay for ninety days, each about what it is used to, at shops that it mostly knows. Some cards are stolen on
one day: then several payments in a row are large, minutes apart, and at shops where the card never was. ``fraud.csv``
has what was found out later. The same bytes every time: only ``random()`` is drawn, which Python promises to keep.
"""

import csv
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

FOLDER = Path(__file__).resolve().parent.parent / "examples" / "payments" / "data"
SEED, CARDS, SHOPS, DAYS = 4711, 60, 80, 90
START = datetime(2025, 1, 1, tzinfo=UTC)
STOLEN = 0.25  # of the cards


@dataclass(frozen=True)
class Payment:
    """One payment, and whether it was fraud."""

    card: int
    at: datetime
    amount: float
    shop: str
    fraud: bool


def payments_of(card: int, random: Random) -> Iterator[Payment]:
    """All payments of a card."""
    usual = 8 + 60 * random.random() ** 2
    known = [f"shop{int(random.random() * SHOPS):02}" for _ in range(6)]
    stolen_on = START + timedelta(days=20 + 60 * random.random()) if random.random() < STOLEN else None
    at = START + timedelta(hours=48 * random.random())
    while at < START + timedelta(days=DAYS):
        amount = round(usual * (0.3 + 1.4 * random.random()), 2)
        shop = (
            known[int(random.random() * len(known))]
            if random.random() < 0.9
            else f"shop{int(random.random() * SHOPS):02}"
        )
        yield Payment(card, at, amount, shop, fraud=False)
        if stolen_on is not None and at >= stolen_on:
            yield from spree(card, at, usual, random)
            return
        at += timedelta(seconds=round(-math.log(1 - random.random()) * 40 * 3600) + 60)


def spree(card: int, after: datetime, usual: float, random: Random) -> Iterator[Payment]:
    """What a thief pays with a card, before it is blocked."""
    at = after + timedelta(hours=1 + int(20 * random.random()))
    for _ in range(2 + int(random.random() * 4)):
        yield Payment(
            card, at, round(usual * (3 + 6 * random.random()), 2), f"shop{int(random.random() * SHOPS):02}", fraud=True
        )
        at += timedelta(seconds=90 + int(600 * random.random()))


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    random = Random(SEED)
    made = sorted(
        (each for card in range(1001, 1001 + CARDS) for each in payments_of(card, random)), key=lambda each: each.at
    )
    with (folder / "payments.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["payment_id", "card", "at", "amount", "shop"])
        writer.writerows(
            [number, each.card, stamp(each.at), each.amount, each.shop] for number, each in enumerate(made, 1)
        )
    with (folder / "fraud.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["payment_id", "card", "at", "amount", "fraud"])
        writer.writerows(
            [number, each.card, stamp(each.at), each.amount, int(each.fraud)] for number, each in enumerate(made, 1)
        )


def stamp(at: datetime) -> str:
    """An instant as the files have it."""
    return at.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


if __name__ == "__main__":
    main()
