"""What is computed at a request: the bits that a join gives for that instant, for one row and many, on both stores."""

from __future__ import annotations

import json
import math
import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore import FeatureStore
from featurestore.client import OnlineReader
from featurestore.config import load_project
from featurestore.errors import FeatureStoreError, UsageError
from featurestore.serving.decoding import ServedValue
from featurestore.workflows.lock import lock
from tests.conftest import Folder, uncaptured
from tests.often import examples

TOML = """
[project]
name = "cards"
[entity_types.card]
keys = { card = "int" }
[sources.payments]
type = "csv"
path = "payments*.csv"
event_time = "at"
[sources.payments.columns]
card = { type = "int" }
amount = { type = "float" }
count = { type = "int" }
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="card", data_type="float")
def amount() -> pl.Expr:
    return pl.col("amount")


@feature(entity_type="card", data_type="int", max_age="30d")
def count() -> pl.Expr:
    return pl.col("count")


@feature(entity_type="card", data_type="datetime")
def last() -> pl.Expr:
    return pl.col("at")
"""
SCORE = """
import polars as pl

from featurestore import feature


@feature(
    entity_type="card", data_type="float", inputs=["amount", "count", "last"],
    request={{"x": "float", "k": "int", "words": "string"}},
)
def score() -> pl.Expr:
    serial = {serial}  # so that it is the newest version, whatever was locked before
    return ({expression}).cast(pl.Float64)
"""
RATIO = 'pl.col("x") / pl.col("amount").fill_null(2).fill_nan(3)'
SERIAL = count()
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
CARDS = 12


def write_score(cards: Folder, expression: str) -> None:
    cards.write({"features/score.py": SCORE.format(expression=expression, serial=next(SERIAL))})


def set_score(cards: Folder, expression: str) -> None:
    """Makes it the code of the request-time feature, and locks that."""
    write_score(cards, expression)
    lock(load_project(cards.root), ["score"])


def payments(seed: int, begin: datetime, rows: int = 120) -> str:
    draw = random.Random(seed)
    lines = ["card,at,amount,count"]
    for number in range(rows):
        at = begin + timedelta(hours=number, microseconds=draw.randrange(10**9))
        amount = draw.choice([f"{draw.uniform(-50, 500):.2f}", repr(draw.lognormvariate(0, 5)), "", "0", "nan"])
        lines.append(f"{draw.randrange(CARDS)},{at.isoformat()},{amount},{draw.choice(['', draw.randrange(-3, 40)])}")
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["embedded", "servers"], scope="module")
def cards(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """A project of payments by card, ingested in two runs and synced: DuckDB and SQLite, or PostgreSQL and Valkey."""
    made = Folder(tmp_path_factory.mktemp("cards") / "project", uncaptured)
    stores = ""
    if request.param == "servers":
        postgres, valkey = request.getfixturevalue("postgres"), request.getfixturevalue("valkey")
        stores = f'[offline]\nurl = "{postgres.url}"\n[online]\nurl = "{valkey.url}"\n'
    made.write({"featurestore.toml": TOML + stores, "features/cards.py": FEATURES})
    made.write({"features/score.py": SCORE.format(expression=RATIO, serial=-1), "payments1.csv": payments(1, BEGIN)})
    made.run("ingest")
    made.write({"payments2.csv": payments(2, BEGIN + timedelta(days=6))})
    made.run("ingest")
    made.run("lock")
    made.run("sync")
    return made


@pytest.fixture
def store(cards: Folder) -> FeatureStore:
    return FeatureStore(cards.root)


@pytest.fixture
def reader(store: FeatureStore) -> Iterator[OnlineReader]:
    with store.online() as reader:
        yield reader


def micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def bits(value: object) -> bytes | None:
    if value is None:
        return None
    assert isinstance(value, float)
    return b"nan" if math.isnan(value) else struct.pack(">d", value)


# Row-wise expressions

COLUMNS = ["amount", "count", "x", "k"]
LEAVES = st.one_of(
    st.sampled_from([f'pl.col("{name}")' for name in COLUMNS]),
    st.sampled_from(["pl.lit(0.1)", "pl.lit(3)", "pl.lit(100)", "pl.lit(-2.5)"]),
    st.just('(pl.col("request_time") - pl.col("last")).dt.total_seconds()'),
    st.just('pl.col("request_time").dt.hour().cast(pl.Int64)'),
    st.just('pl.col("words").str.len_chars().cast(pl.Int64)'),
)


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    unary = ["({}).abs()", "(-({}))", "({}).cast(pl.Float64).sqrt()", "({}).cast(pl.Float64).exp()"]
    unary += ["({}).cast(pl.Float64).log()", "({}).cast(pl.Float64).sin()", "({}).fill_null(0.5)", "({}).clip(-3, 7)"]
    unary += ["({}).cast(pl.Float64).round(2)", "({}).is_null().cast(pl.Float64)", "(({}).cast(pl.Float64) ** 2)"]
    binary = ["(({}) + ({}))", "(({}) - ({}))", "(({}).cast(pl.Float64) * ({}))", "(({}) / ({}))"]
    binary += ["pl.max_horizontal({}, {})", "pl.coalesce({}, {})", "pl.when(({0}) > ({1})).then({0}).otherwise({1})"]
    return st.one_of(
        st.builds(str.format, st.sampled_from(unary), inner),
        st.builds(str.format, st.sampled_from(binary), inner, inner),
    )


EXPRESSIONS = st.recursive(LEAVES, _grow, max_leaves=6)
NUMBERS = st.one_of(st.none(), st.floats(), st.sampled_from([0.1, 70.0, 1 / 3, -0.0]))
REQUESTS = st.fixed_dictionaries(
    {
        "x": NUMBERS,
        "k": st.one_of(st.none(), st.integers(-(2**40), 2**40)),
        "words": st.one_of(st.none(), st.text(max_size=5).filter(lambda text: text.isprintable())),
    }
)
CLOCKS = st.integers(0, 60 * 86_400 * 10**6).map(lambda after: BEGIN + timedelta(days=11, microseconds=after))


@pytest.mark.filterwarnings("ignore:no label has a value")
@settings(max_examples=examples(4), suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(expression=EXPRESSIONS, requests=st.lists(REQUESTS, min_size=CARDS + 1, max_size=CARDS + 1), at=CLOCKS)
def test_a_read_at_a_clock_gives_the_bits_of_a_join_at_that_clock(
    cards: Folder,
    store: FeatureStore,
    reader: OnlineReader,
    expression: str,
    requests: list[dict[str, Any]],
    at: datetime,
) -> None:
    set_score(cards, expression)
    ids = [{"card": card} for card in range(CARDS + 1)]  # the last was never seen
    labels = pl.DataFrame(
        {"card": [each["card"] for each in ids], "at": [at] * len(ids), **_columns(requests)},
        schema_overrides={"x": pl.Float64, "k": pl.Int64, "words": pl.String},
    )
    joined = store.historical_features(labels, ["score"], timestamp_column="at")["score"].to_list()
    rows = reader.get("card", ids, ["score"], request=requests, now=micros(at))
    assert [bits(row["score"].value) for row in rows] == [bits(value) for value in joined]
    for place in (0, 5, CARDS):
        (alone,) = reader.get("card", [ids[place]], ["score"], request=requests[place], now=micros(at))
        assert bits(alone["score"].value) == bits(joined[place])


def _columns(requests: Sequence[Mapping[str, object]]) -> dict[str, list[object]]:
    return {name: [each[name] for each in requests] for name in ("x", "k", "words")}


@pytest.fixture
def ratio(cards: Folder, store: FeatureStore) -> Folder:
    set_score(cards, RATIO)
    return cards


REQUEST = {"x": 12.5, "k": 1, "words": "a"}


def one(reader: OnlineReader, request: object, card: int = 1) -> ServedValue:
    (row,) = reader.get("card", [{"card": card}], ["score"], request=request)  # type: ignore[arg-type]
    return row["score"]


@pytest.mark.usefixtures("ratio")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": "12.5"}, "the request's field 'x' is not a float"),
        ({"x": True}, "the request's field 'x' is not a float"),
        ({"x": 2**53 + 1}, "the request's field 'x' is not a float"),
        ({"x": {"a": 1}}, "the request's field 'x' is not a float"),
        ({"k": 1.5}, "the request's field 'k' is not an int"),
        ({"k": 2**63}, "the request's field 'k' is not an int"),
        ({"k": "1"}, "the request's field 'k' is not an int"),
        ({"words": 7}, "the request's field 'words' is not a string"),
        ({"words": "\ud800"}, "the request's field 'words' is not a string"),
        ({"amount": 3.0}, "the request's field 'amount' is not one that these features take"),
        ({"request_time": 3.0}, "the request's field 'request_time' is there without being given"),
        ({"word": "a"}, "the request's field 'word' is not one that these features take"),
        ({'x") or pl.lit("': 1.0}, "is not one that these features take"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_by_the_name_of_its_field(
    reader: OnlineReader, change: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        one(reader, {**REQUEST, **change})
    assert message in caught.value.message


@pytest.mark.usefixtures("ratio")
def test_a_request_is_whole_and_its_nulls_are_values(reader: OnlineReader) -> None:
    assert one(reader, {**REQUEST, "x": None}).status == "null"
    assert math.isnan(float(str(one(reader, {**REQUEST, "x": "NaN"}).value)))
    with pytest.raises(UsageError, match="takes the field 'words' of a request, which is missing"):
        one(reader, {"x": 1.0, "k": 1})
    with pytest.raises(UsageError) as caught:
        one(reader, {"x": 1.0, "k": 1, "wordz": "a"})
    assert caught.value.hint == "did you mean 'words'?"
    with pytest.raises(UsageError, match="request has 1 items, and 2 entities are asked for"):
        reader.get("card", [{"card": 1}, {"card": 2}], ["score"], request=[REQUEST])
    with pytest.raises(UsageError, match="request must have fields by name"):
        one(reader, "x=1")
    with pytest.raises(UsageError, match="none of the features is computed from a request"):
        reader.get("card", [{"card": 1}], ["amount"], request=REQUEST)


def test_inputs_that_are_missing_or_expired_are_null_to_it_and_are_listed(
    ratio: Folder, store: FeatureStore, reader: OnlineReader
) -> None:
    set_score(ratio, 'pl.col("count").fill_null(-1) + pl.col("x")')
    unknown = one(reader, REQUEST, card=99)
    assert (unknown.value, unknown.status) == (11.5, "ok")
    assert unknown.inputs == (("amount", "missing"), ("count", "missing"), ("last", "missing"))
    assert one(reader, REQUEST).inputs == (("count", "expired"),), "its max_age of 30 days is over"


def test_readers_follow_what_is_locked_and_promoted_and_run_the_version_file(
    ratio: Folder, store: FeatureStore, reader: OnlineReader
) -> None:
    before = one(reader, REQUEST)
    write_score(ratio, 'pl.col("x") * 2')
    assert one(reader, REQUEST).sha256 == before.sha256, "the working tree is nobody's business"
    lock(store.project, ["score"])
    after = one(reader, REQUEST)
    assert (after.value, after.version > before.version) == (25.0, True)
    ratio.run("promote", "score", str(before.version))
    assert one(reader, REQUEST).sha256 == before.sha256
    (row,) = reader.get("card", [{"card": 1}], [f"score@{after.version}", "score"], request=REQUEST)
    assert row[f"score@{after.version}"].value == 25.0
    (ratio.root / "features/.versions/score/active").unlink()


@pytest.mark.usefixtures("ratio")
def test_all_features_of_a_type_include_those_whose_fields_are_there(reader: OnlineReader) -> None:
    (row,) = reader.get("card", [{"card": 1}], request=REQUEST)
    assert set(row) == {"amount", "count", "last", "score"}
    (row,) = reader.get("card", [{"card": 1}])
    assert set(row) == {"amount", "count", "last"}


# Logs of requests


def test_a_log_is_replayed_through_the_join_and_what_is_behind_is_counted(
    ratio: Folder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ratio = Folder(ratio.root, lambda: tuple(capsys.readouterr()))  # type: ignore[arg-type,return-value]
    log = str(tmp_path / "requests.jsonl")
    fields = ["--request", "k=3", "--request", "words=", "--log", log]
    ratio.run("get", "card", "1", "2", "99", "-f", "score,count,last", "--request", "x=0.1", *fields)
    ratio.run("get", "card", "3", "-f", "score,amount", "--request", "x=nan", *fields)
    found = ratio.json("verify", "--requests", log)
    assert (found["lines"], found["checked"], found["different"], found["behind"]) == (4, 11, 0, 0)
    ratio.write({"payments3.csv": payments(3, BEGIN + timedelta(days=20), 60)})
    ratio.run("ingest")
    ratio.run("get", "card", "1", "-f", "score", "--request", "x=0.1", *fields)
    found = ratio.json("verify", "--requests", log)
    assert (found["lines"], found["checked"], found["different"], found["behind"]) == (5, 11, 0, 1)
    ratio.run("sync")
    ratio.run("get", "card", "1", "-f", "score", "--request", "x=0.1", *fields)
    found = ratio.json("verify", "--requests", log)
    assert (found["lines"], found["checked"], found["different"], found["behind"]) == (6, 12, 0, 1)
    lines = Path(log).read_text().splitlines()
    changed = json.loads(lines[0])
    changed["features"]["last"]["value"] = "2024-01-01T00:00:00Z"
    Path(log).write_text("\n".join([json.dumps(changed), *lines[1:], '{"at": "cut o']))
    found = ratio.json("verify", "--requests", log, code=1)
    assert (found["different"], found["unreadable"], found["checked"]) == (1, 1, 12)
    (example,) = found["examples"]
    assert (example["line"], example["entity_id"], example["feature"], example["logged"]) == (
        1, "1", "last", "2024-01-01T00:00:00Z"
    )  # fmt: skip
    assert "1 different" in ratio.run("verify", "--requests", log, code=1).out
    assert "1 different" in ratio.run("verify", "--requests", log, "-q", code=1).err
    assert "leave out the others" in ratio.run("verify", "score", "--requests", log, code=2).err


def test_an_expression_that_fails_says_which_feature_and_keeps_the_process(
    ratio: Folder, store: FeatureStore, reader: OnlineReader
) -> None:
    set_score(ratio, 'pl.col("words").cast(pl.Int64)')
    assert one(reader, {**REQUEST, "words": "7"}).value == 7.0
    with pytest.raises(FeatureStoreError, match="score can't be computed"):
        one(reader, REQUEST)
    assert one(reader, {**REQUEST, "words": "8"}).value == 8.0
