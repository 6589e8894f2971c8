"""A good CSV with one thing wrong in one place, for every place: no row comes out as another one than was meant.

What may come out is the row as it was, or with the polluted cell alone changed; everything else is set aside, refused,
or warned of.
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from featurestore.errors import SourceError
from featurestore.tables.delimited import read_csv

HEADER = ["id", "item", "price", "note"]
ROWS = [
    ["1", "All-Weather Table, Round 48", "78.07", "a"],
    ["2", 'Pipe 5"', "3.5", "b, c"],
    ["3", "Lamp", "12", "two\nlines"],
    ["4", "Mat", "9.99", "last"],
]
Place = tuple[int, int]


def field(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in ',"\n') else text


FIELDS = [[field(text) for text in row] for row in ROWS]
PLACES: list[Place] = [(row, column) for row in range(len(ROWS)) for column in range(len(HEADER))]


def text_of(fields: list[list[str]], gaps: dict[Place, str] | None = None, ends: dict[int, str] | None = None) -> str:
    """The file; ``gaps`` are other separators behind a field, ``ends`` other line ends behind a row."""
    lines = []
    for row, cells in enumerate(fields):
        parts = [cell + (gaps or {}).get((row, at), ",") for at, cell in enumerate(cells[:-1])]
        lines.append("".join(parts) + cells[-1] + (ends or {}).get(row, "\n"))
    return ",".join(HEADER) + "\n" + "".join(lines)


def with_field(place: Place, text: str) -> list[list[str]]:
    return [[text if (row, at) == place else cell for at, cell in enumerate(cells)] for row, cells in enumerate(FIELDS)]


def pollutions() -> Iterator[tuple[str, str, Place]]:
    for row, at in PLACES:
        place, cell = (row, at), FIELDS[row][at]
        yield "a quote in front", text_of(with_field(place, '"' + cell)), place
        yield "a quote behind", text_of(with_field(place, cell + '"')), place
        yield "a quote inside", text_of(with_field(place, cell[:1] + '"' + cell[1:])), place
        yield "the first quote lost", text_of(with_field(place, cell.removeprefix('"'))), place
        yield "the last quote lost", text_of(with_field(place, cell.removesuffix('"'))), place
        yield "a tab in front", text_of(with_field(place, "\t" + cell)), place
        yield "a backslash and a quote", text_of(with_field(place, cell[:-1] + '\\"' + cell[-1:])), place
        yield "a carriage return", text_of(with_field(place, cell[:1] + "\r" + cell[1:])), place
        yield "a line end", text_of(with_field(place, cell[:1] + "\n" + cell[1:])), place
        if at < len(HEADER) - 1:
            yield "a separator lost", text_of(FIELDS, {place: ""}), place
            yield "a separator too many", text_of(FIELDS, {place: ",,"}), place
            yield "another separator", text_of(FIELDS, {place: ";"}), place
    for row in range(len(ROWS)):
        yield "a line end lost", text_of(FIELDS, ends={row: ""}), (row, 3)
        yield "a separator at the end", text_of(FIELDS, ends={row: ",\n"}), (row, 3)


CASES = {f"{what}, row {place[0] + 1}, {HEADER[place[1]]}": (text, place) for what, text, place in pollutions()}


def is_right(cells: tuple[str | None, ...], place: Place) -> bool:
    """Whether a row is one of those that were meant, but for the polluted cell."""
    for row, meant in enumerate(ROWS):
        others = [at for at in range(len(HEADER)) if (row, at) != place]
        if all(cells[at] == meant[at] for at in others):
            return True
    return False


@pytest.mark.parametrize("name", CASES)
def test_one_thing_wrong_makes_no_other_row(name: str) -> None:
    text, place = CASES[name]
    warnings: list[str] = []
    accepted: list[tuple[str | None, ...]] = []
    unreadable = 0
    try:
        for batch in read_csv(io.BytesIO(text.encode()), "file", warnings.append):
            accepted += batch.frame.rows()
            unreadable += batch.unreadable_count
    except SourceError:
        return
    wrong = [cells for cells in accepted if not is_right(cells, place)]
    assert not wrong or warnings
    assert len(accepted) == len(ROWS) or unreadable or warnings
