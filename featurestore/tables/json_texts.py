"""JSON lines as batches of text columns, with what each value was.

Numbers keep the digits they were written with: an id is never read through a float. Values inside values stay JSON
text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import IO

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.tables.batch import (
    BOOLEAN,
    DECIMAL,
    INTEGER,
    MAX_COLUMNS,
    MAX_REJECTED,
    NESTED,
    NULL,
    STRING,
    Batch,
    UnreadableRow,
)
from featurestore.tables.blocks import BLOCK
from featurestore.tables.json_layout import Cut, cut_alike
from featurestore.tables.json_lines import parse_object, read_lines

WORTH_A_LAYOUT = 100


class _Integer(str):
    __slots__ = ()


class _Decimal(str):
    __slots__ = ()


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object of JSON, in which no name may stand twice: programs differ in which of the values they take."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has the name {next(name for name in names if names.count(name) > 1)!r} twice")
    return found


_DECODER = json.JSONDecoder(
    parse_int=_Integer, parse_float=_Decimal, parse_constant=_Decimal, object_pairs_hook=_object
)
_KINDS: dict[type, int] = {type(None): NULL, str: STRING, _Integer: INTEGER, _Decimal: DECIMAL, bool: BOOLEAN}


def read_json_texts(
    stream: IO[bytes],
    name: str,
    report: Callable[[str], None],
    *,
    encoding: str = "utf-8",
    block_size: int = BLOCK,
    worth_a_layout: int = WORTH_A_LAYOUT,
) -> Iterator[Batch]:
    """Yields a file's rows, numbered by their lines.

    An empty line is not a row, and one that is not an object is listed as unreadable. From ``worth_a_layout`` lines on
    the fast path is tried.
    """
    for lines, before in read_lines(stream, name, report, encoding=encoding, block_size=block_size):
        yield read_objects(lines[:-1].split(b"\n"), name, before, worth_a_layout=worth_a_layout)


def read_objects(lines: Sequence[bytes], name: str, before: int = 0, *, worth_a_layout: int = WORTH_A_LAYOUT) -> Batch:
    """The rows of some lines without their ends, numbered from the one after ``before`` on."""
    quick = cut_alike(lines, _names_of_first(lines)) if len(lines) >= worth_a_layout else None
    others: Sequence[int] = range(len(lines))
    if quick is not None:  # only the lines that it left are looked at one by one
        others = without(len(lines), quick.rows)
    objects: list[dict[str, object]] = []
    rows: list[int] = []
    unreadable: list[UnreadableRow] = []
    unreadable_count = 0
    for number in others:
        line = lines[number]
        if not line or line.isspace():
            continue
        try:
            objects.append(parse_object(line, _DECODER))
            rows.append(number)
        except ValueError as exc:
            unreadable_count += 1
            if len(unreadable) < MAX_REJECTED:
                text = line[:1_000].decode("utf-8", "replace")
                unreadable.append(UnreadableRow(before + number + 1, str(exc), text))
    cut = _columns(objects, rows, name)
    if quick is not None:
        cut = quick.merge(cut)
    return Batch(
        origin=name,
        frame=cut.texts,
        first=before + 1,
        rows=cut.rows + np.uint32(before + 1),
        unreadable=tuple(unreadable),
        unreadable_count=unreadable_count,
        kinds={kinds.name: kinds.alias("") for kinds in cut.kinds.iter_columns()},
    )


def without(count: int, rows: np.ndarray) -> list[int]:
    """The numbers below ``count`` that are not among some rows, in order. A mask is far faster than a set."""
    left = np.ones(count, bool)
    left[rows] = False
    return np.flatnonzero(left).tolist()


def _names_of_first(lines: Sequence[bytes]) -> list[str]:
    """The names on the first line that is a row; none where that gives nothing to go by."""
    try:
        return list(parse_object(next(line for line in lines if line and not line.isspace()), _DECODER))
    except (StopIteration, ValueError):
        return []


def _columns(objects: list[dict[str, object]], rows: list[int], file: str) -> Cut:
    names = dict.fromkeys(name for each in objects for name in each)
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=file)
    columns = [column_of(name, [each.get(name) for each in objects]) for name in names]
    nothing = pl.DataFrame(height=len(rows))
    return Cut(
        nothing.with_columns(texts for texts, _ in columns),
        nothing.with_columns(kinds for _, kinds in columns),
        np.array(rows, np.uint32),
    )


def decode(text: str) -> object:
    """A JSON text, with numbers as the digits that they were written with."""
    return _DECODER.decode(text)


def column_of(name: str, values: list[object]) -> tuple[pl.Series, pl.Series]:
    """The texts of decoded values, and what they are."""
    kinds = [_KINDS.get(type(value), NESTED) for value in values]
    if not {BOOLEAN, NESTED}.isdisjoint(kinds):
        values = [_text(value, kind) for value, kind in zip(values, kinds, strict=True)]
    return pl.Series(name, values, dtype=pl.String), pl.Series(name, kinds, dtype=pl.UInt8)


def _text(value: object, kind: int) -> object:
    if kind == BOOLEAN:
        return "true" if value else "false"
    return _nested(value) if kind == NESTED else value


def _nested(value: object) -> str:
    """JSON again, numbers with their own digits."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{_nested(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_nested, value)) + "]"
    return str(value) if isinstance(value, _Integer | _Decimal) else json.dumps(value, ensure_ascii=False)
