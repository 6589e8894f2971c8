"""Ids that are plain need no folding: no two of them can be taken for one."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from featurestore.tables.lookalikes import are_plain, folded

IDS = st.text(st.sampled_from("aAzZ09_-. é\u00e9e\u0301\u200bß"), max_size=3)


@given(st.lists(IDS, max_size=8))
def test_of_plain_ids_none_folds_to_another(ids: list[str]) -> None:
    found = pl.Series("", sorted(set(ids)), pl.String)
    if are_plain(found):
        assert not folded(found).is_duplicated().any()
        assert "" not in ids


def test_plain_are_lower_or_upper_ids_that_hold_nothing_else() -> None:
    for plain in (["user_01", "b-2"], ["USER_01", "B-2"], ["7", "007"], []):
        assert are_plain(pl.Series("", plain, pl.String)), plain
    for odd in (["a", "A"], ["7", "7.0"], ["a", " a"], ["", "a"], ["é"], ["a\n"]):
        assert not are_plain(pl.Series("", odd, pl.String)), odd
