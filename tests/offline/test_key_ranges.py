"""A history read key_range by key_range is the history: nothing twice, nothing left out, whatever the keys are."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featurestore.model import StoredVersion
from featurestore.offline.contract import OfflineStore
from featurestore.offline.partitions import ALL_KEYS, KeyRange, Keys, cut_key_ranges
from tests.offline.conftest import Factory
from tests.offline.history import PAIR, PATIENT, learn, version
from tests.often import examples

EVERY = 100  # rows to a sample
SAMPLES = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["", "a", "b"])), max_size=30)
TEXTS = ["", "a", "B", "é", "z\U0001f600", "it's", 'say "{key}"', "back\\slash", "\\' OR TRUE --", "%", "a\x01"]


@given(samples=SAMPLES, weight=st.integers(1, 9), first=st.integers(1, 40), most=st.integers(1, 80))
def test_spans_follow_one_another_and_grow(samples: list[Keys], weight: int, first: int, most: int) -> None:
    key_ranges = cut_key_ranges(samples, weight, first, most)
    assert (key_ranges[0].after, key_ranges[-1].up_to) == (None, None)
    assert all(one.up_to == other.after is not None for one, other in pairwise(key_ranges))
    for at, key_range in enumerate(key_ranges):
        inside = sorted(keys for keys in samples if _is_in(keys, key_range))
        wanted = min(first * 4**at, most) if at else first
        rows = weight * len(inside)
        assert inside or not samples, "none is empty"
        assert key_range.up_to is None or rows >= wanted
        assert rows - weight * inside.count(inside[-1]) < wanted if inside else True, "no more than it takes"


def test_few_rows_are_one_span() -> None:
    assert cut_key_ranges([], 10, 100, 1_000) == [ALL_KEYS]
    assert cut_key_ranges([("a",), ("b",)], 10, 100, 1_000) == [ALL_KEYS]


@pytest.mark.parametrize("of", [version("int", PAIR), version("int", PATIENT)], ids=str)
def test_the_latest_rows_of_all_spans_are_the_latest_rows(
    new_store: Factory, tmp_path: Path, of: StoredVersion
) -> None:
    store = new_store(tmp_path)
    drawn = random.Random(7)
    keys: list[Keys] = [(number, text) for number in (-(2**63), -1, 0, 7, 2**63 - 1) for text in TEXTS]
    if of.entity_type == PATIENT:
        keys = [(text,) for text in TEXTS]
    for run in range(1, 5):
        some = drawn.sample(keys, len(keys) // 2)
        learn(store, of, [(*key, drawn.randint(0, 3), run) for key in some], f"r{run}")
    for _ in range(2):
        key_ranges = cut_key_ranges(drawn.sample(keys, 5), 1, 1, 2)
        for after, up_to in ((None, None), (None, 2), (2, None), (1, 3)):
            whole = store.latest(of, after_run=after, up_to_run=up_to)
            parts = [
                store.latest(of, after_run=after, up_to_run=up_to, key_range=key_range) for key_range in key_ranges
            ]
            assert pl.concat(parts).equals(whole)
            for key_range, part in zip(key_ranges, parts, strict=True):
                assert all(_is_in(row, key_range) for row in part.select(of.entity_type.key_names).rows())


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2))
def test_any_text_may_be_the_end_of_a_span(new_store, tmp_path_factory, texts: list[str]) -> None:  # type: ignore[no-untyped-def]
    store: OfflineStore = new_store(tmp_path_factory.mktemp("store"))
    of = version("int")
    learn(store, of, [(text, 0, at) for at, text in enumerate(dict.fromkeys(texts))], "r1")
    found = [
        store.latest(of, key_range=key_range) for key_range in cut_key_ranges([(text,) for text in texts], 1, 1, 1)
    ]
    assert pl.concat(found)["patient_id"].to_list() == sorted(set(texts), key=str.encode)


def test_samples_come_from_all_over_the_table(store: OfflineStore) -> None:
    of = version("int")
    assert store.sample_keys(of, EVERY) == []
    for run in range(4):
        people = range(run * 25 * EVERY, (run + 1) * 25 * EVERY)
        learn(store, of, [(f"p{n:06d}", 0, n) for n in people], f"r{run}")
    _are_spread(store.sample_keys(of, EVERY), 0, 100 * EVERY)
    _are_spread(store.sample_keys(of, EVERY, after_run=2), 50 * EVERY, 100 * EVERY)
    assert store.sample_keys(of, EVERY, after_run=4) == []
    assert store.sample_keys(of, 1_000_000) == []


def test_samples_pass_over_what_was_erased(store: OfflineStore) -> None:
    of = version("int")
    learn(store, of, [(f"p{n:05d}", 0, n) for n in range(4_000)], "r1")
    gone = pl.DataFrame({"patient_id": [f"p{n:05d}" for n in range(1_000)]})
    with store.writing("r2") as run:
        run.erase(of, gone)
    found = store.sample_keys(of, 50)
    assert len(found) > 10
    assert all(str(name) >= "p01000" for (name,) in found)


def _are_spread(samples: Sequence[Keys], first: int, end: int) -> None:
    numbers = sorted(int(str(name)[1:]) for (name,) in samples)
    rows = end - first
    assert 0.7 * rows <= EVERY * len(numbers) <= 1.3 * rows
    assert first <= numbers[0] <= numbers[-1] < end
    assert all(b - a < 3 * EVERY for a, b in pairwise([first, *numbers, end]))


def _is_in(keys: Keys, key_range: KeyRange) -> bool:
    """By Python's own order, which for text is that of its code points and so of its bytes."""
    return (key_range.after is None or keys > key_range.after) and (key_range.up_to is None or keys <= key_range.up_to)
