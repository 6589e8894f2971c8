"""What a sync reads of the embedded history is what a plain look at all rows gives."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.offline.duckdb.store import DuckDBStore
from tests.often import examples
from tests.online.cases import SHELF, History, commit, make_project, make_version

STOCK = make_version("stock", kind="int", entity_type=SHELF)
ROWS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 2), st.integers(1, 3), st.integers(0, 9)),
    max_size=6, unique_by=lambda row: row[:3],
)  # fmt: skip


@settings(max_examples=examples(6))
@given(runs=st.lists(ROWS, min_size=1, max_size=4))
def test_latest_is_the_greatest_time_and_run(runs: list[list[tuple[str, int, int, int]]]) -> None:
    with TemporaryDirectory() as folder:
        project = make_project(Path(folder))
        store, plain = DuckDBStore(project), History(project)
        for rows in runs:
            dated = sorted((shop, item, datetime(2024, 1, day), value) for shop, item, day, value in rows)
            plain.learn({STOCK: dated})
            commit(project, STOCK, dated)
        expected = plain.rows.latest(STOCK)["store", "product", "computed_at", "value"]
        assert store.latest(STOCK)["store", "product", "computed_at", "value"].equals(expected)
