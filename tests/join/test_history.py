"""History of one entity, and the export of all of it."""

import math
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import UsageError
from featurestore.offline.contract import TOMBSTONE
from featurestore.workflows.export import export
from featurestore.workflows.history import ROW_BYTES, HistoryValue, history
from tests.join.cases import SHELF, Row, memory_store, version_of
from tests.join.stores import duckdb_store, learn

V = version_of(SHELF, data_type="datetime")
A, B = (7, "tea"), (-7, "tea")
NOON = datetime(2024, 1, 1, 12)
STORE = memory_store(
    {V: [Row(A, 5, 1, NOON), Row(A, 1, 3, None, TOMBSTONE), Row(A, 1, 2, None), Row(B, 2, 1, NOON)]}, (10, 20, 30)
)

MEMORY = 1 << 30


def test_an_entitys_values_come_oldest_first_with_when_they_were_learned() -> None:
    assert history(STORE, V, {"shop": 7, "product": "tea"}).values == (
        HistoryValue(None, 1, 20, "run-2", tombstone=False),
        HistoryValue(None, 1, 30, "run-3", tombstone=True),
        HistoryValue("2024-01-01T12:00:00Z", 5, 10, "run-1", tombstone=False),
    )


def test_values_are_written_as_in_json() -> None:
    lists = version_of(data_type="list[float]")
    store = memory_store({lists: [Row(("a",), 1, 1, [1.0, None, math.nan])]}, (0,))
    assert history(store, lists, {"patient_id": "a"}).values[0].value == [1.0, None, "NaN"]


def test_an_unknown_entity_has_no_values() -> None:
    assert history(STORE, V, {"shop": 8, "product": "tea"}).values == ()


def test_an_entity_with_more_values_than_fit_into_memory_is_refused_with_the_way_out() -> None:
    entity: dict[str, str | int] = {"shop": 7, "product": "tea"}
    assert len(history(STORE, V, entity, memory=3 * ROW_BYTES).values) == 3
    with pytest.raises(UsageError, match="has 3 values of this one entity") as failed:
        history(STORE, V, entity, memory=3 * ROW_BYTES - 1)
    assert "featurestore export" in str(failed.value.hint)


def test_a_version_without_history_says_what_to_run() -> None:
    other = version_of(digit="b")
    for ask in (lambda: history(STORE, other, {"patient_id": "a"}), lambda: next(export(STORE, other, MEMORY))):
        with pytest.raises(UsageError, match="has no history here") as failed:
            ask()
        assert failed.value.hint == "run featurestore ingest score"


def test_an_export_is_the_whole_history_in_order() -> None:
    frame = pl.concat(export(STORE, V, MEMORY))
    assert frame.columns == ["shop", "product", "value", "computed_at", "ingested_at", "run_id", "tombstone"]
    assert frame.select("shop", "run_id", "tombstone").rows() == [
        (-7, "run-1", False), (7, "run-2", False), (7, "run-3", True), (7, "run-1", False),
    ]  # fmt: skip
    assert frame["value"][0] == NOON.replace(tzinfo=UTC)
    assert frame["ingested_at"].to_physical().to_list() == [10, 20, 30, 10]


def test_a_real_store_returns_what_it_learned(tmp_path: Path) -> None:
    store = duckdb_store(tmp_path)
    version = version_of()
    first = learn(store, "first", {version: [Row(("a",), 1, 0, 1.0), Row(("b",), 1, 0, math.nan)]})
    second = learn(store, "second", {version: [Row(("a",), 1, 0, 2.0)]})
    assert history(store, version, {"patient_id": "a"}).values == (
        HistoryValue(1.0, 1, first, "first", tombstone=False),
        HistoryValue(2.0, 1, second, "second", tombstone=False),
    )
    frame = pl.concat(export(store, version, MEMORY))
    assert frame.schema["ingested_at"] == pl.Datetime("us", "UTC")
    assert frame["run_id"].to_list() == ["first", "second", "first"]
