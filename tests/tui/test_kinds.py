"""Windows and request-time features, which have no source of their own, or values that go on changing between runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.config import load_project
from featurestore.offline.open import open_offline
from featurestore.render.words import instant
from tests.tui.conftest import command, play, tui

TOML = """
[project]
name = "cards"
[entity_types.card]
keys = { card = "int" }
[sources.payments]
type = "csv"
path = "payments.csv"
event_time = "at"
id = ["payment"]
[models.fraud]
features = ["times_usual", "spent_7d"]
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="float")
def amount() -> pl.Expr:
    return pl.col("amount")


@feature(entity_type="card", data_type="float", window="7d")
def spent_7d() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="card", data_type="float", inputs=["amount"], request={"asked": "float"})
def times_usual() -> pl.Expr:
    return pl.col("asked") / pl.col("amount")
"""


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cards")
    (root / "features").mkdir()
    (root / "featurestore.toml").write_text(TOML)
    (root / "features" / "cards.py").write_text(FEATURES)
    (root / "payments.csv").write_text(
        "payment,card,at,amount\n1,7,2024-01-01T00:00:00Z,4.5\n2,7,2024-01-03T00:00:00Z,2\n"
    )
    assert command(root, "lock") == 0
    assert command(root, "ingest") == 0
    return root


def test_a_window_shows_up_to_when_its_values_are_known_and_what_its_run_wrote(cards: Path) -> None:
    version = next(item for item in open_offline(load_project(cards)).versions() if item.id.feature == "spent_7d")
    (known,) = open_offline(load_project(cards)).horizons(version.id)

    async def story() -> None:
        async with tui(cards) as shown:
            await shown.press("j", "enter")
            assert shown.line_with("window").split() == ["window", "7d"]
            assert instant(known) in shown.line_with("known up to")
            assert "fraud" in shown.line_with("models")
            await shown.press("5", "enter")
            assert "steps" in shown.text

    play(story)


def test_a_request_time_feature_says_that_it_is_computed_when_it_is_asked_for(cards: Path) -> None:
    async def story() -> None:
        async with tui(cards) as shown:
            assert "request" in shown.line_with("times_usual")
            await shown.press("G", "enter")
            assert shown.line_with("inputs").split() == ["inputs", "amount"]
            assert "asked (float)" in shown.line_with("request ")
            assert "not without its inputs: amount; u syncs them" in shown.line_with("online")
            for keys in (("tab", "tab", "tab"), ("tab",)):  # Statistics and Runs
                await shown.press(*keys)
                assert "nothing of it is stored" in shown.text
            await shown.press("tab")
            assert "inputs amount" in shown.text
            await shown.press("4")
            assert "times_usual" not in shown.text
            assert command(cards, "sync", "--feature", "times_usual") == 0
            await shown.press("1", "G", "enter", "r")
            assert "its inputs are online" in shown.line_with("online")

    play(story)
