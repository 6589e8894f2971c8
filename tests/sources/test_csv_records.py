"""CSV rows against a judge that reads one character after the other."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from featurestore.errors import SourceError
from featurestore.tables.delimited import read_csv
from tests.often import examples

_WAYS_OUT = re.compile("; if (it is a comment|fields are in single quotes): .*?(?=, and a quoted|$)")

Row = tuple[int, tuple[str | None, ...]]


def ours(data: bytes, block: int = 1 << 20) -> tuple[list[Row], list[tuple[int, str]]] | None:
    """(row numbers and cells, broken rows); None where a quote is never closed."""
    rows: list[Row] = []
    broken: list[tuple[int, str]] = []
    warnings: list[str] = []
    try:
        for batch in read_csv(io.BytesIO(data), "visits.csv", warnings.append, block_size=block):
            rows += [(batch.row(at), cells) for at, cells in enumerate(batch.frame.rows())]
            broken += [(row.row, _WAYS_OUT.sub("", row.reason)) for row in batch.unreadable]
            assert batch.unreadable_count == len(batch.unreadable)
    except SourceError as exc:
        if "never ends" in exc.message:
            return None
        raise
    return rows, broken


def judge(text: str) -> tuple[list[Row], list[tuple[int, str]]] | None:  # noqa: C901  # one state machine
    """The same, by a state machine over the characters behind the header ``a,b,c``."""
    header, rest = text[:5], text[5:]
    assert header == "a,b,c"
    classic = rest.startswith("\r") and not rest.startswith("\r\n")
    rest = rest[2:] if rest.startswith("\r\n") else rest[1:]
    rest = re.sub("(?:\\A|(?<=[\r\n]))\ufeff+", "", rest)  # marks of files that were put together
    if rest and not rest.endswith(("\n", "\r") if classic else "\n"):
        rest += "\n"
    records: list[tuple[list[str | None], set[str], int]] = []
    cells: list[str | None] = []
    faults: set[str] = set()
    cell, state, lines = "", "start", 1
    quoted = False

    def end_cell(last: bool) -> None:
        nonlocal cell, state, quoted
        quoted = False
        if last and state in ("start", "plain") and not classic and cell.endswith("\r"):
            cell = cell[:-1]
        cells.append(None if state in ("start", "plain") and not cell else cell)
        cell, state = "", "start"

    for at, character in enumerate(rest):
        ends_line = character == "\n" or (classic and character == "\r")
        if state == "quoted":
            lines += character == "\n"
            if character == '"':
                state = "closing"
            else:
                cell += character
        elif state == "closing" and character == '"':
            cell, state = cell + '"', "quoted"
        elif character == "," or ends_line:
            end_cell(ends_line)
            if ends_line:
                if cells != [None]:
                    records.append((cells, faults, lines))
                cells, faults, lines = [], set(), 1
        elif state == "closing" and rest[at : at + 2] == "\r\n":
            continue
        elif state == "start" and character == '"':
            state, quoted = "quoted", True
        else:
            if character == "\r" and rest[at + 1] != "\n":
                faults.add("has a carriage return outside quotes")
            elif state == "closing" or (character == '"' and quoted):
                faults.add("has text after a closing quote")
            elif character == '"':
                faults.add('has a quote inside a field that does not begin with one; if it is text: quote = ""')
            state = "plain" if state in ("start", "plain", "closing") else state
            cell += character
    if state == "quoted":
        return None
    rows: list[Row] = []
    broken: list[tuple[int, str]] = []
    number = 0
    for fields, faulty, count in records:
        number += 1
        found = faulty
        if len(fields) != 3:
            found = {f"has {len(fields)} field{'s' * (len(fields) != 1)} where the header has 3"}
        if not found:
            rows.append((number, tuple(fields)))
            continue
        over = f", and a quoted field in it runs over {count} lines: is a quote missing, or one too many?"
        broken.append((number, min(found) + over * (count > 1)))
        inner = "is inside a quoted field that begins in an earlier row and does not end well"
        broken += [(number + at, inner) for at in range(1, count)]
        number += count - 1
    return rows, broken


PIECES = st.sampled_from(
    ["a", ",", ",", '"', '"', '""', "\n", "\r\n", "\r", " ", "é", "\ufeff", '"x"', "1,2,3\n", "'", "#"]
)


@given(
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    pieces=st.lists(PIECES, max_size=40),
    block=st.sampled_from([7, 13, 1000]),
)
@settings(deadline=None, max_examples=examples(100))
def test_any_text_is_cut_into_the_rows_that_a_reader_of_single_characters_finds(
    end: str, pieces: list[str], block: int
) -> None:
    text = "a,b,c" + end + "".join(pieces)
    if end == "\r" and text[6:].startswith("\n"):
        text = text[:6] + text[7:]
    assert ours(text.encode(), block) == judge(text)


CELLS = st.text(
    st.one_of(
        st.sampled_from("ab\",;\n\r \ufeff'#"), st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    ),
    max_size=8,
)


@given(
    table=st.lists(st.lists(st.one_of(st.none(), CELLS), min_size=3, max_size=3), max_size=12),
    line_end=st.sampled_from(["\n", "\r\n"]),
    block=st.sampled_from([11, 64, 4096]),
)
@settings(deadline=None, max_examples=examples(80))
def test_what_python_writes_as_csv_reads_back_null_and_the_empty_string_apart(
    table: list[list[str | None]], line_end: str, block: int
) -> None:
    stream = io.StringIO(newline="")
    stream.write("a,b,c" + line_end)
    quoted = csv.writer(stream, quoting=csv.QUOTE_ALL, lineterminator="")
    for row in table:
        for at, cell in enumerate(row):
            if cell is not None:
                quoted.writerow([cell])
            stream.write("," if at < 2 else line_end)
    read = ours(stream.getvalue().encode(), block)
    assert read == ([(at, tuple(row)) for at, row in enumerate(table, 1)], [])


@pytest.mark.parametrize("block", [9, 40, 1000])
def test_row_numbers_count_records_not_lines(block: int) -> None:
    data = b'a,b,c\n1,"two\nlines",3\n\n4,5\n6,7,8\n9,10,11,12\n13,14,15\n'
    read = ours(data, block)
    assert read is not None
    rows, broken = read
    assert [number for number, _ in rows] == [1, 3, 5]
    assert [number for number, _ in broken] == [2, 4]
