"""Labels about several entities: entity types and roles, as a person asks for them and as the judge says."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings

from featurestore.errors import UsageError
from featurestore.model import EntityType, Key
from featurestore.workflows.join.batches import join as join_labels
from featurestore.workflows.join.question import EntityColumns, JoinQuestion, ResolvedFeature
from tests.conftest import Folder
from tests.join.cases import Row, memory_store, version_of
from tests.join.several import Several, check_in_memory, check_in_store, several
from tests.join.stores import duckdb_store, project_at
from tests.often import examples


@settings(max_examples=examples(12))
@given(several())
def test_every_entity_of_a_label_gets_what_the_judge_says(asked: Several) -> None:
    check_in_memory(asked)


@settings(max_examples=examples(3))
@given(several())
def test_duckdb_gives_every_entity_what_the_judge_says(asked: Several) -> None:
    check_in_store(duckdb_store, asked)


@pytest.mark.nightly
@settings(max_examples=1_000)
@given(several())
def test_duckdb_gives_every_entity_what_the_judge_says_a_thousand_times(asked: Several) -> None:
    check_in_store(duckdb_store, asked)


CATS = ("cat", "dog")
TOML = """
[project]
name = "trips"
[entity_types.customer]
keys = { customer_id = "string" }
[entity_types.driver]
keys = { driver_id = "int" }
[entity_types.zone]
keys = { country = "string", zone = "int" }
[sources.orders]
type = "csv"
path = "orders.csv"
event_time = "at"
[sources.shifts]
type = "csv"
path = "shifts.csv"
event_time = "at"
[sources.demand]
type = "csv"
path = "demand.csv"
event_time = "at"
[feature_sets.trip]
features = ["orders", "rating", "origin.demand", "arrival=destination.demand@1"]
roles = { origin = "zone", destination = "zone" }
"""
FEATURES = """
import polars as pl

from featurestore import feature


@feature(entity_type="customer", data_type="int", source="orders")
def orders() -> pl.Expr:
    return pl.col("orders")


@feature(entity_type="driver", data_type="float", source="shifts", max_age="10d")
def rating() -> pl.Expr:
    return pl.col("rating")


@feature(entity_type="zone", data_type="int", source="demand")
def demand() -> pl.Expr:
    return pl.col("demand")
"""
TRIPS = """
trip,customer_id,driver_id,from_country,from_zone,to_country,to_zone,at
1,ann,7,at,1,at,2,2024-01-03T00:00:00Z
2,ann,8,at,2,de,1,2024-01-05T00:00:00Z
3,bob,7,de,1,at,1,2024-01-20T00:00:00Z
4,,8,at,1,fr,1,2024-01-05T00:00:00Z
5,bob,,at,1,,1,2024-01-05T00:00:00Z
"""
ORIGIN, DESTINATION = "origin:zone=from_country,from_zone", "destination:zone=to_country,to_zone"
ROLES = ("--entity", ORIGIN, "--entity", DESTINATION)


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trips")
    folder = Folder(root, lambda: ("", ""))
    folder.write(
        {
            "featurestore.toml": TOML,
            "features/trips.py": FEATURES,
            "trips.csv": TRIPS,
            "orders.csv": "customer_id,at,orders\nann,2024-01-01,1\nann,2024-01-04,2\nbob,2024-01-01,5\n",
            "shifts.csv": "driver_id,at,rating\n7,2024-01-02,4.5\n8,2024-01-01,3.5\n",
            "demand.csv": (
                "country,zone,at,demand\nat,1,2024-01-01,11\nat,2,2024-01-01,12\nde,1,2024-01-01,21\n"
                "at,1,2024-01-04,13\n"
            ),
        }
    )
    folder.run("ingest")
    return root


@pytest.fixture
def trips(ingested: Path, folder: Folder) -> Folder:
    return Folder(ingested, folder._capture)


def join(trips: Folder, *options: str, features: str = "@trip") -> list[dict[str, str]]:
    ran = trips.run("join", str(trips.root / "trips.csv"), "-f", features, "--timestamp-column", "at", *options)
    return list(csv.DictReader(io.StringIO(ran.out)))


def fails(trips: Folder, *options: str, features: str = "@trip") -> str:
    arguments = ("join", str(trips.root / "trips.csv"), "-f", features, "--timestamp-column", "at")
    return trips.run(*arguments, *options, code=2).err


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


def test_customers_drivers_origin_and_destination_are_joined_in_one_go(trips: Folder) -> None:
    rows = join(trips, *ROLES)
    labels = list(csv.DictReader(io.StringIO(TRIPS.strip())))
    assert [{name: row[name] for name in labels[0]} for row in rows] == labels
    assert list(rows[0])[len(labels[0]) :] == ["orders", "rating", "origin.demand", "arrival"]
    assert column(rows, "orders") == ["1", "2", "5", "", "5"]
    assert column(rows, "rating") == ["4.5", "3.5", "", "3.5", ""]  # trip 3: a rating of 18 days before is too old
    assert column(rows, "origin.demand") == ["11", "12", "21", "13", "13"]
    assert column(rows, "arrival") == ["12", "21", "13", "", ""]


def test_one_join_gives_what_a_join_of_each_entity_gives(trips: Folder) -> None:
    rows = join(trips, *ROLES)
    assert column(join(trips, features="orders"), "orders") == column(rows, "orders")
    assert column(join(trips, features="rating"), "rating") == column(rows, "rating")
    for role, name in (("from", "origin.demand"), ("to", "arrival")):
        alone = join(
            trips, "--entity-type", "zone", "--entity-column", f"{role}_country", "--entity-column", f"{role}_zone",
            features="demand",
        )  # fmt: skip
        assert column(alone, "demand") == column(rows, name)


def test_a_role_that_a_feature_set_declares_needs_no_entity_type(trips: Folder) -> None:
    short = ("--entity", "origin=from_country,from_zone", "--entity", "destination=to_country,to_zone")
    assert join(trips, *short) == join(trips, *ROLES)


def test_json_says_whose_each_feature_is(trips: Folder) -> None:
    found = trips.json("join", str(trips.root / "trips.csv"), "-f", "@trip", "--timestamp-column", "at", *ROLES)
    assert found["entity_type"] is None
    assert [(item["column"], item["entity_type"], item["role"], item["max_age"]) for item in found["features"]] == [
        ("orders", "customer", None, None),
        ("rating", "driver", None, "10d"),
        ("origin.demand", "zone", "origin", None),
        ("arrival", "zone", "destination", None),
    ]


def test_a_data_set_of_several_entity_types_is_made_again(trips: Folder, tmp_path: Path) -> None:
    output, again = tmp_path / "trips.parquet", tmp_path / "again.parquet"
    options = ("--output", str(output), "--dataset", "trips", "--with-times", "--before", "--split", "a=2024-01-04,b")
    trips.run("join", str(trips.root / "trips.csv"), "-f", "@trip", "--timestamp-column", "at", *ROLES, *options)
    trips.run("dataset", "trips", "--verify")
    trips.run("dataset", "trips", "--rebuild", "--output", str(again))
    assert again.read_bytes() == output.read_bytes()


@pytest.mark.parametrize(
    ("options", "features", "said", "hint"),
    [
        ((), "demand", "no column country or zone for the keys of zone", "--entity zone=COLUMN,COLUMN"),
        (ROLES, "demand", "the labels have only roles of it: origin, destination", "-f origin.demand"),
        (ROLES, "orign.demand", "no columns are named for the role orign", "did you mean 'origin'?"),
        ((), "origin.demand", "no columns are named for the role origin", "--entity origin:zone=COLUMN"),
        (ROLES, "origin.orders", "origin is a zone, and orders a feature of customer", "a feature of zone"),
        (("--entity", "zones=a,b"), "demand", "no entity type 'zones'", "did you mean 'zone'?"),
        (("--entity", "zone=from_zone"), "demand", "zone has 2 key columns (country, zone)", "zone=COLUMN,COLUMN"),
        (("--entity", "zone"), "demand", "does not say which columns hold the keys", "--entity customer=buyer_id"),
        (("--entity", "customer=buyer"), "orders", "no column 'buyer'", "the columns are: trip"),
        ((*ROLES, "--entity", ORIGIN), "@trip", "names the columns of origin twice", "once"),
        ((*ROLES, "--entity-column", "driver_id"), "@trip", "can't be combined", "--entity alone"),
        (("--entity", "driver=customer_id"), "orders,rating", "would both take their keys", "customer=customer_id"),
        ((), "at=orders", "the labels already have a column 'at'", "-f NEW=orders"),
        ((), "x=orders,x=rating", "x is asked for twice", "-f NEW=rating"),
        ((), "orders,rating,orders", "orders is asked for twice", "-f NEW=orders"),
        (("--with-times", "--times-suffix", "_id"), "driver=rating", "have a column 'driver_id'", "--times-suffix"),
        (("--split", "a=2024-01-04,b", "--split-column", "trip"), "orders", "a column 'trip'", "--split-column"),
        ((), "=orders", "does not say which feature gets which name", "payer_spend=payer.spend@2"),
        ((), "x=@trip", "does not say which feature gets which name", "payer_spend=payer.spend@2"),
    ],
)  # fmt: skip
def test_a_question_that_does_not_fit_the_labels_says_what_does(
    trips: Folder, options: tuple[str, ...], features: str, said: str, hint: str
) -> None:
    found = fails(trips, *options, features=features)
    assert said in found
    assert hint in found.partition("hint: ")[2]


def test_two_entity_types_whose_keys_have_one_name_must_be_told_apart() -> None:
    cat, dog = (version_of(EntityType(name, (Key("id", "int"),)), name=f"{name}_age", digit=name[0]) for name in CATS)
    store = memory_store({cat: [Row((1,), 1, 1, 2.0)], dog: [Row((1,), 1, 1, 3.0)]}, (0,))
    labels = pl.DataFrame({"id": [1], "at": [5]}).with_columns(pl.col("at").cast(pl.Datetime("us", "UTC")))
    question = JoinQuestion([ResolvedFeature(each.id.feature, each) for each in (cat, dog)], "at")
    with pytest.raises(UsageError, match="cat and dog would both take their keys from the column 'id'") as failed:
        join_labels(project_at(Path()), store, question, [labels], lambda _frame: None)
    assert "--entity cat=id --entity dog=id" in (failed.value.hint or "")
    joined: list[pl.DataFrame] = []
    both = replace(question, entities=(EntityColumns("cat", ("id",)), EntityColumns("dog", ("id",))))
    join_labels(project_at(Path()), store, both, [labels], joined.append)
    assert joined[0].row(0)[2:] == (2.0, 3.0)


def test_columns_that_no_feature_needs_are_mentioned(trips: Folder) -> None:
    arguments = ("join", str(trips.root / "trips.csv"), "-f", "orders", "--timestamp-column", "at")
    assert "no feature is asked for of origin, whose columns" in trips.run(*arguments, "--entity", ORIGIN).err
