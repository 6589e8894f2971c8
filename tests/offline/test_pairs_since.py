"""What a run compares new steps with: of each entity the rows from an instant on, and the last before it."""

import tempfile
from pathlib import Path

import polars as pl
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.model import StoredVersion
from featurestore.offline.contract import TOMBSTONE, VALUE
from featurestore.tables.types import INSTANT
from tests.offline.conftest import Factory
from tests.offline.history import PAIR, START, frame, run_of, version
from tests.often import examples

STOCK = version("int", PAIR, "stock")
ENTITIES = [(1, "a"), (1, "b"), (2, "a")]
DAYS = st.integers(-400, 40)  # most rows of an entity may lie long before what is asked
Held = dict[tuple[tuple[int, str], int], int | None]
"""What a run writes of each entity and day; None is a tombstone."""
RUNS = st.lists(
    st.dictionaries(st.tuples(st.sampled_from(ENTITIES), DAYS), st.none() | st.integers(0, 3), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)


def expected(runs: list[Held], since: dict[tuple[int, str], int]) -> list[object]:
    held = {pair: value for run in runs for pair, value in run.items()}
    found: list[object] = []
    for entity, first in sorted(since.items()):
        days = sorted(day for who, day in held if who == entity)
        wanted = [day for day in days if day < first][-1:] + [day for day in days if day >= first]
        found += [
            (*entity, day, TOMBSTONE if held[entity, day] is None else VALUE, held[entity, day]) for day in wanted
        ]
    return found


@settings(max_examples=examples(6), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(runs=RUNS, since=st.dictionaries(st.sampled_from(ENTITIES), DAYS, min_size=1))
def test_it_is_what_the_definition_says(
    runs: list[Held], since: dict[tuple[int, str], int], new_store: Factory
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = new_store(Path(folder))
        for number, run in enumerate(runs):
            rows: list[tuple[object, ...]] = [(*who, day, value) for (who, day), value in run.items()]
            with store.writing(f"run-{number}") as transaction:
                transaction.append_rows(STOCK, history_rows(STOCK, rows))
                transaction.finish(run_of((transaction.run_seq, transaction.learned_at), f"run-{number}"))
        asked = frame(STOCK, [(*who, day, None) for who, day in since.items()]).drop("value")
        with store.writing("looks", dry_run=True) as transaction:
            found = transaction.pairs_since(STOCK, asked)
        days = (pl.col("computed_at") - pl.lit(START, INSTANT)).dt.total_days()
        assert found.select("store", "product", days, "op", "value").rows() == expected(runs, since)


def history_rows(of: StoredVersion, rows: list[tuple[object, ...]]) -> pl.DataFrame:
    """(keys…, day, value) as rows of history of the run that writes them."""
    return frame(of, rows).select(
        *of.entity_type.key_names, "computed_at", pl.lit(None, pl.Int64).alias("run_seq"),
        pl.when(pl.col("value").is_null()).then(TOMBSTONE).otherwise(VALUE).cast(pl.Int8).alias("op"), "value",
    )  # fmt: skip
