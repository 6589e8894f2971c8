"""Windows over HTTP: what holds at the clock is served, and said to be stale where it may be another value by now."""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import Any

import httpx
import pytest

from featurestore import FeatureStore, FeatureStoreClient, times
from tests.conftest import Folder
from tests.serve.conftest import serving
from tests.services import Server

DAY = 86_400_000_000
NOW = times.parse_instant("2026-06-01T00:00:00Z")[0]
TOML = """
[project]
name = "{name}"
[entity_types.card]
keys = {{ card = "string" }}
[sources.payments]
type = "csv"
path = "payments.csv"
event_time = "at"
id = ["number"]
[history]
steps = 1
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="int", source="payments", window="30d")
def spend() -> pl.Expr:
    return pl.col("amount").sum()


@feature(entity_type="card", data_type="float", inputs=["spend"], request={"amount": "float"})
def share() -> pl.Expr:
    return pl.col("amount") / pl.col("spend")
"""
PAYMENTS = """
number,card,at,amount
1,a,2026-05-03T00:00:00Z,5
2,a,2026-05-10T00:00:00Z,7
"""
# The payments leave on the 2nd and on the 9th of June; one step is kept.
SAID = [(0, (12, "ok")), (1, (7, "ok")), (7, (7, "ok")), (8, (7, "stale"))]


@pytest.fixture(params=["embedded", "valkey"])
def cards(folder: Folder, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Folder:
    toml = TOML.format(name=f"cards{secrets.token_hex(4)}")  # the tests share a server
    if request.param == "valkey":
        server: Server = request.getfixturevalue("valkey")
        toml += f'[online]\nurl = "{server.url}"\n'
    folder.write({"featurestore.toml": toml, "features/spend.py": FEATURES, "payments.csv": PAYMENTS})
    monkeypatch.setattr(times, "now", lambda: NOW)
    folder.run("ingest")
    folder.run("lock")
    folder.run("sync")
    return folder


def parts(served: dict[str, Any]) -> tuple[Any, str]:
    return served["value"], served["status"]


def test_everyone_is_told_what_is_stale(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"entity_type": "card", "entities": ["a"], "features": ["spend"]}
    with serving(cards.root) as url, httpx.Client(base_url=url) as http, closing(FeatureStoreClient(url=url)) as remote:
        for days, expected in SAID:
            clock = NOW + days * DAY
            monkeypatch.setattr(times, "now", lambda clock=clock: clock)
            (found,) = http.post("/v1/online", json=asked).json()["entities"]
            assert parts(found["features"]["spend"]) == expected
            assert cards.json("get", "card", "a", "-f", "spend")["entities"][0] == found
            with FeatureStore(cards.root).online() as online:
                served = online.get("card", ["a"], ["spend"])[0]["spend"]
                assert (served.value, served.status) == expected
                assert online.values("card", ["a"], ["spend"]) == [{"spend": expected[0]}]
            assert remote.get_online_features("card", ["a"], ["spend"]).to_dict()["spend"] == [expected[0]]
            feast = {"features": ["payments:spend"], "entities": {"card": ["a"]}}
            column = http.post("/get-online-features", json=feast).json()["results"][1]
            assert (column["values"], column["statuses"]) == ([expected[0]], ["PRESENT"])


def test_what_is_computed_from_a_stale_value_is_stale(cards: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "now", lambda: NOW + 8 * DAY)
    asked = {"entity_type": "card", "entities": ["a"], "features": ["share"], "request": {"amount": 14}}
    with serving(cards.root) as url:
        share = httpx.post(f"{url}/v1/online", json=asked).json()["entities"][0]["features"]["share"]
    assert parts(share) == (2.0, "stale")
    assert share["inputs"] == {"spend": "stale"}
