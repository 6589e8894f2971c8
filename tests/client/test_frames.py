"""Training sets from Python: frames of every library in, the answers of the command out."""

from __future__ import annotations

import asyncio
import io
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from featurestore import FeatureStore, FeatureStoreClient
from featurestore.client import FeatureStoreWarning
from featurestore.errors import FeatureStoreError, UsageError
from tests.conftest import Folder

LABELS = """\
patient_id,at
001,2024-01-15T00:00:00Z
002,2023-01-01T00:00:00Z
001,2024-02-01T00:00:00Z
"""
pytestmark = pytest.mark.filterwarnings("ignore::featurestore.client.FeatureStoreWarning")


@pytest.fixture
def store(ingested: Folder) -> FeatureStore:
    (ingested.root / "labels.csv").write_text(LABELS)
    return FeatureStore(ingested.root)


def labels() -> pl.DataFrame:
    return pl.read_csv(io.StringIO(LABELS), infer_schema=False)


def answers(store: FeatureStore, table: Any, **how: Any) -> list[float | None]:
    return list(store.historical_features(table, ["age_share"], timestamp_column="at", **how)["age_share"])


def test_every_kind_of_frame_gets_the_answers_of_the_command(store: FeatureStore, ingested: Folder) -> None:
    path = ingested.root / "labels.csv"
    said = ingested.json("join", str(path), "-f", "age_share", "--timestamp-column", "at")
    wanted = [row["age_share"] for row in said["rows"]]
    frame = labels()
    with duckdb.connect() as connection:
        assert answers(store, connection.sql("from frame")) == wanted
    for table in (
        path, str(path), frame, frame.lazy(), frame.to_arrow(), frame.to_pandas(),
        frame.with_columns(pl.col("at").str.to_datetime(time_zone="UTC")).to_pandas(),
    ):  # fmt: skip
        assert answers(store, table) == wanted, type(table)


def test_rows_order_and_columns_of_the_labels_stay(store: FeatureStore) -> None:
    frame = labels().with_columns(outcome=pl.Series([1, 0, 1], dtype=pl.Int8))
    joined = store.historical_features(frame, ["age_share"], timestamp_column="at")
    assert joined.drop("age_share").equals(frame)
    assert joined["age_share"].dtype == pl.Float64


def test_pandas_is_not_needed_by_who_does_not_use_it(store: FeatureStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)  # importing it raises now
    assert answers(store, labels().to_arrow()) == answers(store, labels())
    store.sync()
    client = FeatureStoreClient(path=store.project.root)
    assert len(client.get_historical_features(labels(), ["age_share"], "patient_id", "at", "patient")) == 3
    assert len(client.get_online_features("patient", ["001"], ["age_share"]).to_polars()) == 1
    client.close()


def test_a_named_index_of_pandas_is_columns(store: FeatureStore) -> None:
    assert answers(store, labels().to_pandas().set_index("patient_id")) == answers(store, labels())


def test_no_labels_are_no_rows(store: FeatureStore) -> None:
    assert answers(store, labels().head(0)) == []


def test_batches_change_nothing(store: FeatureStore) -> None:
    assert answers(store, labels(), batch_rows=1) == answers(store, labels())


def test_a_result_goes_to_a_file(store: FeatureStore, tmp_path: Path) -> None:
    target = tmp_path / "train.parquet"
    summary = store.historical_features(labels(), ["age_share"], timestamp_column="at", output=target)
    assert (summary.labels, summary.output, summary.features[0]["name"]) == (3, str(target), "age_share")
    assert pl.read_parquet(target)["age_share"].to_list() == answers(store, labels())


def test_a_data_set_of_a_frame_is_made_again(store: FeatureStore, ingested: Folder) -> None:
    store.historical_features(labels(), ["age_share"], timestamp_column="at", dataset="trial")
    (made,) = store.datasets().datasets
    assert (made.name, made.features[0]["name"]) == ("trial", "age_share")
    assert ingested.run("dataset", "trial", "--verify").code == 0


def test_options_are_those_of_the_command(store: FeatureStore) -> None:
    frame = labels().with_columns(pl.col("at").str.to_datetime(time_zone="UTC")).rename({"patient_id": "who"})
    split = {"train": datetime(2024, 1, 20, tzinfo=UTC), "test": None}
    joined = store.historical_features(
        frame, ["then=age_share"], timestamp_column="at", entities={"patient": "who"},
        max_age=timedelta(days=10_000), lag="1d", with_times=True, split=split, as_of="2100-01-01T00:00:00Z",
    )  # fmt: skip
    assert joined.columns == ["who", "at", "then", "then.at", "split"]
    assert joined["split"].to_list() == ["train", "train", "test"]


def test_a_role_is_a_tuple_of_its_type_and_its_columns(store: FeatureStore) -> None:
    frame = labels().with_columns(other=pl.col("patient_id").reverse())
    entities = {"first": ("patient", "patient_id"), "second": ("patient", ["other"])}
    joined = store.historical_features(
        frame, ["first.age_share", "second.age_share"], timestamp_column="at", entities=entities
    )
    assert joined["first.age_share"].to_list() == answers(store, labels())


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"features": "age_share"}, "features is a list"),
        ({"features": ["age_shar"]}, "age_shar"),
        ({"timestamp_column": "when"}, "when"),
        ({"labels": {"patient_id": ["001"]}}, "labels can't be dict"),
        ({"labels": "nowhere.csv"}, "nowhere.csv"),
        ({"max_age": "soon"}, "max_age='soon' is not a duration"),
        ({"as_of": "yesterday"}, "as_of='yesterday' is not a time"),
        ({"timezone": "Paris"}, "timezone='Paris'"),
        ({"entities": {"patient": ("who", "at", "more")}}, "entities"),
        ({"entities": {"person": "who"}}, "person"),
    ],
)
def test_what_can_t_be_asked_is_an_error_with_a_way_out(store: FeatureStore, how: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"labels": labels(), "features": ["age_share"], "timestamp_column": "at", **how}
    with pytest.raises(FeatureStoreError, match=message) as caught:
        store.historical_features(asked.pop("labels"), asked.pop("features"), **asked)
    assert caught.value.exit_code in (2, 4)
    assert caught.value.code


def test_what_the_command_warns_of_is_a_warning_at_the_caller(store: FeatureStore) -> None:
    frame = labels().with_columns(pl.col("at").str.strip_chars_end("Z"))
    with pytest.warns(FeatureStoreWarning, match="zone") as caught:
        store.historical_features(frame, ["age_share"], timestamp_column="at")
    assert {item.filename for item in caught} == {__file__}


def test_threads_share_a_store(store: FeatureStore) -> None:
    wanted = answers(store, labels())
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: answers(store, labels()), range(8))) == [wanted] * 8


def test_an_event_loop_that_runs_is_no_obstacle(store: FeatureStore) -> None:
    async def inside() -> list[float | None]:
        return answers(store, labels())

    assert asyncio.run(inside()) == answers(store, labels())


def test_a_store_is_open_only_while_a_method_runs(store: FeatureStore, ingested: Folder) -> None:
    answers(store, labels())
    assert ingested.run("ingest", "--full").code == 0
    assert threading.active_count() < 20


def test_the_client_answers_in_the_library_of_the_labels(store: FeatureStore, ingested: Folder) -> None:
    client = FeatureStoreClient(path=ingested.root)
    labels_df = labels().to_pandas().rename(columns={"patient_id": "person"})
    labels_df.index = pd.Index([7, 8, 9])
    found = client.get_historical_features(
        entity_df=labels_df, features=["age_share"], entity_column="person",
        timestamp_column="at", entity_type="patient",
    )  # fmt: skip
    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == [7, 8, 9]
    assert [None if pd.isna(value) else value for value in found["age_share"]] == answers(store, labels())
    again = client.get_historical_features(labels(), ["age_share"], "patient_id", "at", "patient")
    assert isinstance(again, pl.DataFrame)


def test_the_client_reads_what_is_online(store: FeatureStore, ingested: Folder) -> None:
    store.sync()
    client = FeatureStoreClient(path=ingested.root)
    found = client.get_online_features("patient", ["001", "nobody"], ["age_share"])
    served = ingested.json("get", "patient", "001")["entities"][0]["features"]["age_share"]["value"]
    assert found.to_dict() == {"patient_id": ["001", "nobody"], "age_share": [served, None]}
    assert found.to_polars()["age_share"].to_list() == [served, None]
    assert found.to_pandas()["patient_id"].tolist() == ["001", "nobody"]
    assert len(found) == 2
    with pytest.raises(UsageError, match="request"):
        client.get_online_features("patient", ["001"], ["age_share"], request={"amount": 1})
    client.close()


def test_everybody_at_once_is_what_a_join_of_all_answers(store: FeatureStore, tmp_path: Path) -> None:
    at = "2024-01-20T00:00:00Z"
    found = store.latest("patient", ["age_share"], at=at)
    everybody = pl.DataFrame({"patient_id": ["001", "002"], "at": [at, at]})
    assert found["patient_id"].to_list() == ["001", "002"]
    assert found["age_share"].to_list() == answers(store, everybody)
    written = store.latest("patient", ["age_share"], at=at, output=tmp_path / "all.parquet")
    assert (written.entities, written.at) == (2, at)
    assert pl.read_parquet(tmp_path / "all.parquet").equals(found)
