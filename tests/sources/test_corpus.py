"""CSV files as they come in the wild, where more than one file or its types matter. `tests/corpus` has the others."""

from __future__ import annotations

import pytest

from featurestore.errors import SourceError
from tests.sources.conftest import Shops


def test_null_and_the_empty_string_are_two_things(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", 'id,x\n1,\n2,""\n3," "\n"",a\n,b\n')
    taken = shop.read()
    assert taken.frame.rows() == [("1", None), ("2", ""), ("3", " "), ("", "a")]
    assert shop.rejected(taken) == [(5, "id", "entity key is null")]


def test_rows_are_placed_in_their_file_across_files_and_gaps(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data/*.csv"')
    shop.write("data/a.csv", "id,x\n1,1\n2\n3,3\n")
    shop.write("data/b.csv", "id,x\n4,4\n5,5\n")
    taken = shop.read()
    places = [taken.place(at) for at in range(taken.frame.height)]
    assert places == ["data/a.csv row 1", "data/a.csv row 3", "data/b.csv row 1", "data/b.csv row 2"]
    with pytest.raises(IndexError):
        taken.place(4)


def test_files_with_other_columns_are_joined_by_name(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data/*.csv"')
    shop.write("data/a.csv", "id,x\n1,1.5\n")
    shop.write("data/b.csv", "y,id\nt,2\n")
    taken = shop.read()
    assert taken.frame.rows(named=True) == [{"id": "1", "x": 1.5, "y": None}, {"id": "2", "x": None, "y": "t"}]
    assert list(taken.warnings) == [
        "data/b.csv has no column 'x', which data/a.csv has: it is null there",
        "data/a.csv has no column 'y', which data/b.csv has: it is null there",
    ]


def test_a_declared_column_must_be_in_every_file(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data/*.csv"\n[sources.visits.columns]\nx = { type = "int" }')
    shop.write("data/a.csv", "id,x\n1,1\n")
    shop.write("data/b.csv", "id,X\n2,2\n")
    with pytest.raises(SourceError, match=r"data/b\.csv: has no column 'x'; it has id, X"):
        shop.read()


def test_all_rejected_rows_are_counted_and_the_first_ones_stored(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", "id,x\n" + "1\n" * 12_000 + "a,1\n")
    taken = shop.read()
    assert (taken.frame.height, taken.rejected_count, len(taken.rejected)) == (1, 12_000, 10_000)


def test_ids_that_look_alike_stay_different_and_are_reported(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", "id,x\nu1,1\nU1,2\n u1,3\nv,4\n")
    taken = shop.read()
    assert taken.frame["id"].n_unique() == 4
    assert taken.warnings[0].startswith("3 values of id differ only by whitespace, case, Unicode form or .0")


def test_a_column_that_is_text_because_of_a_few_words_is_said(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", "id,x\n" + "1,2.5\n" * 20 + "2,NA\n")
    taken = shop.read()
    assert taken.inferred == {"x": "string"}
    assert "'NA' in visits.csv row 21" in taken.warnings[0]
