"""Files as they come in the wild: each is loaded, loaded without some rows, or refused, as is written here."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import pytest

from featurestore.errors import SourceError
from tests.sources.conftest import Shops

GOOD = "id,at,x\n1,2024-01-01,1\n2,2024-01-02,2\n3,2024-01-03,3\n"
TIMED = 'type = "csv"\npath = "visits.csv"\nevent_time = "at"\ntimezone = "UTC"'


@dataclass(frozen=True)
class Case:
    """What becomes of a file: its rows, those set aside (row, reason), a warning; or the words of the refusal."""

    data: bytes
    rows: int = 3
    aside: tuple[tuple[int, str], ...] = ()
    warning: str = ""
    refusal: str = ""
    hint: str = ""


CASES = {
    "plain": Case(GOOD.encode()),
    "bom": Case(b"\xef\xbb\xbf" + GOOD.encode()),
    "crlf": Case(GOOD.replace("\n", "\r\n").encode()),
    "lone cr": Case(GOOD.replace("\n", "\r").encode()),
    "mixed line ends": Case(b"id,at,x\r\n1,2024-01-01,1\n2,2024-01-02,2\r\n3,2024-01-03,3\n"),
    "empty lines": Case(("\n\n" + GOOD.replace("\n2", "\n\n\r\n2") + "\n\n").encode()),
    "quoted newline": Case(b'id,at,x\n1,2024-01-01,"a\nb"\n2,2024-01-02,"c\r\nd"\n3,2024-01-03,e\n'),
    "no last line end": Case(GOOD.removesuffix("\n").encode(), warning="no line end after its last row"),
    "cut in the middle": Case(GOOD[:-5].encode(), 2, ((3, "2 fields where the header has 3"),), "no line end"),
    "short row": Case(GOOD.replace("2,2024-01-02,2", "2,2024-01-02").encode(), 2, ((2, "has 2 fields"),)),
    "long row": Case(GOOD.replace("2,2024-01-02,2", "2,2024-01-02,2,9").encode(), 2, ((2, "has 4 fields"),)),
    "short and long rows": Case(b"id,at,x\n1,2024-01-01\n2,2024-01-02,2,2\n", 0, ((1, "has 2"), (2, "has 4"))),
    "trailing commas": Case(GOOD.replace(",2\n", ",2,\n").encode(), 2, ((2, "has 4 fields"),)),
    "text after a quote": Case(GOOD.replace(",2\n", ',"2"x\n').encode(), 2, ((2, "after a closing quote"),)),
    "inch marks": Case(GOOD.replace(",2\n", ',2" pipe\n').encode(), 2, ((2, 'if it is text: quote = ""'),)),
    "stray cr": Case(GOOD.replace(",2\n", ",2\rx\n").encode(), 2, ((2, "carriage return"),)),
    "header only": Case(b"id,at,x\n", 0, warning="a header and no rows"),
    "header without line end": Case(b"id,at,x", 0, warning="a header and no rows"),
    "nameless column": Case(
        GOOD.replace("id,at", ",id,at")
        .replace("\n1", "\n0,1")
        .replace("\n2", "\n1,2")
        .replace("\n3", "\n2,3")
        .encode(),
        warning="without a name",
    ),
    "gzip": Case(gzip.compress(GOOD.encode())),
    "empty": Case(b"", refusal="is empty"),
    "blank": Case(b"\n\n\r\n", refusal="it has no header"),
    "utf-16": Case(GOOD.encode("utf-16")),
    "utf-16 without a mark": Case(GOOD.encode("utf-16-le"), refusal="is UTF-16", hint='encoding = "utf-16-le"'),
    "latin-1": Case(
        GOOD.replace(",2\n", ",café\n").encode("latin-1"),
        refusal="row 2: is not UTF-8: byte 0xe9",
        hint='encoding = "cp1252"',
    ),
    "latin-1 header": Case("id,at,é\n1,2024-01-01,1\n".encode("latin-1"), refusal="header is not UTF-8"),
    "nul": Case(GOOD.replace(",2\n", ",\0\n").encode(), refusal="row 2: holds a NUL byte"),
    "semicolons": Case(GOOD.replace(",", ";").encode(), refusal="a single column 'id;at;x'", hint='delimiter = ";"'),
    "tabs": Case(GOOD.replace(",", "\t").encode(), refusal="a single column", hint='delimiter = "\\t"'),
    "open quote": Case(
        GOOD.replace(",2\n", ',"2\n').encode(), refusal="row 2: a quoted field begins here and never ends"
    ),
    "open quote in the header": Case(b'id,"at,x\n1,2024-01-01,1\n', refusal="quote in the header"),
    "header twice": Case(b"id,at,x,x\n", refusal="names 'x' 2 times"),
    "gzip cut": Case(gzip.compress(GOOD.encode() * 50)[:60], refusal="ends too early"),
    "gzip damaged": Case(gzip.compress(GOOD.encode())[:-8] + b"\0" * 8, refusal="damaged gzip"),
    "no event time": Case(b"id,when,x\n1,2024-01-01,1\n", refusal="has no column 'at'"),
    "misspelt key": Case(
        b"idd,at,x\n1,2024-01-01,1\n", refusal="has no column 'id'; it has idd, at, x", hint="did you mean 'idd'?"
    ),
    "6,000 columns": Case(",".join(f"c{n}" for n in range(6000)).encode(), refusal="6,000 columns; at most 5,000"),
}


@pytest.mark.parametrize("name", CASES)
def test_each_file_of_the_corpus_becomes_what_the_table_says(name: str, shops: Shops) -> None:
    case = CASES[name]
    shop = shops(TIMED)
    shop.write("visits.csv", case.data)
    if case.refusal:
        with pytest.raises(SourceError) as refused:
            shop.read()
        assert case.refusal in str(refused.value)
        assert str(refused.value).startswith("visits.csv")
        assert case.hint in (refused.value.hint or "")
        return
    taken = shop.read()
    assert taken.frame.height == case.rows
    assert taken.rejected_count == len(case.aside)
    assert taken.rows_read == case.rows + len(case.aside)
    for row, (number, reason) in zip(taken.rejected, case.aside, strict=True):
        assert row.row == number
        assert reason in row.reason
    assert any(case.warning in text for text in taken.warnings) if case.warning else not taken.warnings


def test_a_delimiter_that_is_declared_is_used(shops: Shops) -> None:
    shop = shops(TIMED + '\ndelimiter = ";"')
    shop.write("visits.csv", GOOD.replace(",", ";").replace(";1\n", ";a,b\n"))
    assert shop.read().frame["x"].to_list() == ["a,b", "2", "3"]


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
    assert shop.read().frame.rows(named=True) == [{"id": "1", "x": 1.5, "y": None}, {"id": "2", "x": None, "y": "t"}]


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
