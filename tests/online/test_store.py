"""The conformance suite of online stores: every promise of `OnlineStore`, on every kind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import itemgetter

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.config import Project
from featurestore.online import format as layout
from featurestore.online.contract import OnlineStore, WriteCounts
from featurestore.online.tables import GENERATION
from tests.often import examples
from tests.online.cases import KINDS, Fresh
from tests.online.packed import pack, pack_steps

pytestmark = pytest.mark.parametrize("kind", KINDS, indirect=True)

SHA = "aaaaaaaaaaaa"


def packed(computed_at: int, run_seq: int, value: float | None = 0.0, op: int = layout.VALUE) -> bytes:
    return pack("float", computed_at, run_seq, op, SHA, value)


def coming(computed_at: int, run_seq: int) -> bytes:
    """A value with two coming steps."""
    return pack_steps("float", run_seq, SHA, [(computed_at, 0.0), (10, 1.0), (20, None)], 30)


def key(project: Project, name: str) -> str:
    return layout.key_prefix(project.name, "patient") + name


def frame(project: Project, rows: Sequence[tuple[str, bytes | None]], field: int = 0) -> pl.DataFrame:
    named = sorted((key(project, name), value) for name, value in rows)
    return pl.DataFrame(named, schema={"key": pl.String, str(field): pl.Binary}, orient="row")


def stored(project: Project, store: OnlineStore, names: Sequence[str], field: int = 0) -> list[bytes | None]:
    return [row[0] for row in store.fetch([key(project, name) for name in names], [field])[1]]


def test_a_store_that_was_never_written_is_empty(store: OnlineStore, project: Project) -> None:
    assert store.fetch([key(project, "a")], [0, 1]) == ("", [[None, None]])
    assert store.table("active") == store.table("meta") == {}
    assert [entity for batch in store.scan("patient") for entity in batch] == []


def test_what_was_merged_is_fetched(store: OnlineStore, project: Project) -> None:
    value = packed(5, 1, 0.5)
    assert store.merge([frame(project, [("a", value)])]) == {0: WriteCounts(1, 1)}
    assert store.fetch([key(project, "b"), key(project, "a")], [0, 3])[1] == [[None, None], [value, None]]


def test_what_was_loaded_is_fetched(store: OnlineStore, project: Project) -> None:
    rows = [(f"e{i}", packed(i, 1)) for i in range(2_500)]
    store.load([frame(project, rows)])
    assert stored(project, store, [name for name, _ in rows]) == [value for _, value in rows]


def test_many_fields_go_together(store: OnlineStore, project: Project) -> None:
    both = frame(project, [("a", packed(1, 1)), ("b", None)], 4).with_columns(pl.Series("7", [None, packed(2, 1)]))
    store.load([both])
    assert stored(project, store, ["a", "b"], 4) == [packed(1, 1), None]
    assert store.merge([both]) == {4: WriteCounts(0, 0), 7: WriteCounts(0, 0)}
    assert stored(project, store, ["a", "b"], 7) == [None, packed(2, 1)]


@pytest.mark.parametrize(
    ("before", "after", "wins"),
    [
        (packed(5, 1), packed(6, 1), True),
        (packed(5, 9), packed(6, 1), False),
        (packed(6, 1), packed(5, 9), True),
        (packed(5, 9), packed(6, 9), True),
        (packed(6, 9), packed(5, 9), False),
        (packed(6, 2**22 - 1), packed(5, 2**22), True),
        (packed(5, 2**22), packed(6, 2**22 - 1), False),
        (packed(5, 1, 0.1), packed(5, 2, 0.2), True),
        (packed(5, 2, 0.2), packed(5, 1, 0.1), False),
        (packed(-5, 1), packed(5, 1), True),
        (packed(2**53, 1), packed(2**53 + 1, 1), True),
        (packed(5, 2**26), packed(5, 2**26 + 1), True),
        (packed(5, 1), packed(5, 2, op=layout.TOMBSTONE), True),
        (packed(5, 2, op=layout.TOMBSTONE), packed(5, 1), False),
        (packed(5, 2, op=layout.TOMBSTONE), packed(5, 3), True),
        (packed(5, 1, None), packed(4, 2, 1.0), True),
        (packed(5, 2, None), packed(6, 1, 1.0), False),
        (packed(5, 1), coming(5, 2), True),
        (coming(5, 2), packed(6, 1), False),
        (coming(6, 2), coming(5, 3), True),
    ],
)
def test_the_later_run_wins_and_of_one_run_the_later_time(
    store: OnlineStore, project: Project, before: bytes, after: bytes, wins: bool
) -> None:
    store.merge([frame(project, [("a", before)])])
    assert store.merge([frame(project, [("a", after)])]) == {0: WriteCounts(int(wins), 0)}
    assert stored(project, store, ["a"]) == [after if wins else before]


def test_the_same_again_writes_nothing(store: OnlineStore, project: Project) -> None:
    rows = [("a", packed(1, 1)), ("b", packed(1, 1, None))]
    store.merge([frame(project, rows)])
    assert store.merge([frame(project, rows)]) == {0: WriteCounts(0, 0)}


def test_a_damaged_value_is_replaced_by_the_right_one(store: OnlineStore, project: Project) -> None:
    store.merge([frame(project, [("a", packed(1, 1, 666.0))])])
    assert store.merge([frame(project, [("a", packed(1, 1, 1.0))])]) == {0: WriteCounts(1, 0)}


def test_an_empty_frame_writes_nothing(store: OnlineStore, project: Project) -> None:
    store.load([frame(project, [])])
    assert store.merge([frame(project, [])]).get(0, WriteCounts()) == WriteCounts()


VALUES = st.builds(packed, st.integers(0, 3), st.integers(1, 3), st.sampled_from([0.0, 1.0]))


@settings(max_examples=examples(12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_order_and_any_interleaving_ends_with_the_greatest(fresh: Fresh, data: st.DataObject) -> None:
    project, store = fresh()
    unique = st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(1, 4))
    rows = data.draw(st.lists(unique, min_size=1, max_size=12))
    writers = [data.draw(st.permutations(rows)) for _ in range(2)]
    while any(writers):
        writer = data.draw(st.sampled_from([rows for rows in writers if rows]))
        size = data.draw(st.integers(1, len(writer)))
        batch = {name: (at, run) for name, at, run in sorted(writer[:size], key=itemgetter(0, 2, 1))}
        del writer[:size]
        store.merge([frame(project, [(name, packed(at, run, at * 10.0 + run)) for name, (at, run) in batch.items()])])
    for name in {name for name, _, _ in rows}:
        run, at = max((run, at) for other, at, run in rows if other == name)
        assert stored(project, store, [name]) == [packed(at, run, at * 10.0 + run)]


def test_two_threads_never_take_a_value_back(store: OnlineStore, project: Project) -> None:
    names = [f"e{i}" for i in range(300)]

    def write(runs: Sequence[int]) -> None:
        for run in runs:
            store.merge([frame(project, [(name, packed(run % 7, run)) for name in names])])

    threads = [threading.Thread(target=write, args=(range(start, 20, 2),)) for start in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(stored(project, store, names)) == {packed(19 % 7, 19)}


def in_threads(work: Callable[[int], object], count: int = 8) -> None:
    """Does some work in several threads, which all begin at the same moment. Raises what any of them raised."""
    ready = threading.Barrier(count)

    def begin(number: int) -> None:
        ready.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for done in [pool.submit(begin, number) for number in range(count)]:
            done.result()


def test_threads_share_a_store_that_was_never_written(store: OnlineStore, project: Project) -> None:
    """Every method, in eight threads at a time, each on its own field and on what they have in common."""
    names = [f"e{n}" for n in range(50)]
    keys = [key(project, name) for name in names]

    def work(number: int) -> None:
        for run in range(1, 6):
            store.merge([frame(project, [(name, packed(run, run, number)) for name in names], number)])
            assert stored(project, store, names, number) == [packed(run, run, number)] * 50
            while True:
                count = store.table("meta").get("count")
                if store.swap("meta", {"count": count}, {"count": str(int(count or 0) + 1)}):
                    break
            seen = {entity: values for batch in store.scan("patient") for entity, values in batch}
            assert {values[str(number)] for values in seen.values()} == {packed(run, run, number)}
            assert set(keys) <= {one for batch in store.keys("patient", [number]) for one in batch}
            assert store.discard(number, keys[:5], up_to_run=run) == 5
            assert store.pulse().evicted == 0
        store.load([frame(project, [(name, packed(9, 9, number)) for name in names], 100 + number)])
        store.clear("patient", [number])

    in_threads(work)
    assert store.table("meta") == {"count": "40"}
    _, rows = store.fetch(keys, [*range(8), *range(100, 108)])
    assert rows == [[None] * 8 + [packed(9, 9, number) for number in range(8)]] * 50


def test_a_store_is_opened_closed_and_opened_again_by_different_threads(store: OnlineStore, project: Project) -> None:
    def write(number: int, run: int) -> None:
        store.merge([frame(project, [("a", packed(run, run))], number)])

    def read(number: int, run: int) -> None:
        assert stored(project, store, ["a"], number) == [packed(run, run)]

    for run in range(1, 4):
        in_threads(partial(write, run=run), 3)
        in_threads(lambda _: store.close(), 1)
        in_threads(partial(read, run=run), 3)
    assert stored(project, store, ["a"], 2) == [packed(3, 3)]


def test_a_swap_is_all_or_nothing(store: OnlineStore) -> None:
    assert store.swap("meta", {"a": None}, {"a": "1", "b": "é"})
    assert not store.swap("meta", {"a": None}, {"c": "3"})
    assert not store.swap("meta", {"a": "1", "b": "2"}, {"c": "3"})
    assert store.swap("meta", {"a": "1", "b": "é"}, {"b": None, "c": "3"})
    assert store.table("meta") == {"a": "1", "c": "3"}
    assert store.table("active") == {}


def test_a_fetch_returns_the_generation(store: OnlineStore, project: Project) -> None:
    store.swap("active", {}, {GENERATION: "g1"})
    assert store.fetch([key(project, "a")], [0])[0] == "g1"


def test_discarding_spares_what_was_learned_later(store: OnlineStore, project: Project) -> None:
    store.merge([frame(project, [("a", packed(1, 1)), ("b", packed(1, 2)), ("c", packed(1, 1))])])
    assert store.discard(0, [key(project, name) for name in ("a", "b", "missing")], up_to_run=1) == 1
    assert stored(project, store, ["a", "b", "c"]) == [None, packed(1, 2), packed(1, 1)]


def test_clearing_removes_only_that_field(store: OnlineStore, project: Project) -> None:
    for field in (1, 2):
        store.load([frame(project, [("a", packed(1, 1)), ("b", packed(1, 1))], field)])
    store.clear("patient", [1])
    assert stored(project, store, ["a", "b"], 1) == [None, None]
    assert stored(project, store, ["a", "b"], 2) == [packed(1, 1)] * 2


def test_scanning_meets_every_entity_of_the_type_once(store: OnlineStore, project: Project) -> None:
    store.load([frame(project, [("a", packed(1, 1)), ("b", packed(2, 1))], 1)])
    store.load([frame(project, [("b", packed(3, 1)), ("c", packed(4, 1))], 12)])
    other = layout.key_prefix(project.name, "patient_x") + "a"
    store.load([pl.DataFrame({"key": [other], "3": [packed(1, 1)]}, schema={"key": pl.String, "3": pl.Binary})])
    found = [entity for batch in store.scan("patient") for entity in batch]
    assert sorted(found) == [
        (key(project, "a"), {"1": packed(1, 1)}),
        (key(project, "b"), {"1": packed(2, 1), "12": packed(3, 1)}),
        (key(project, "c"), {"12": packed(4, 1)}),
    ]
    assert {key(project, "b"), key(project, "c")} <= {one for batch in store.keys("patient", [12]) for one in batch}


def test_projects_do_not_see_each_other(fresh: Fresh) -> None:
    (one, first), (_, second) = fresh(), fresh()
    first.merge([frame(one, [("a", packed(1, 1))])])
    first.swap("meta", {}, {"x": "1"})
    assert second.table("meta") == {}
    assert [entity for batch in second.scan("patient") for entity in batch] == []
