"""JSON lines as frames, each column in the one type that fits the whole file.

A type is settled only by the last line: a first pass finds the types, a second one reads. Each holds one block of the
file in memory. The types are those that Polars finds in the whole file at once.
"""

from __future__ import annotations

import io
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import BinaryIO

import polars as pl

from featurestore.errors import SourceError
from featurestore.tables.blocks import MAX_LINE
from featurestore.tables.json_lines import HINT, parse_object, read_lines, refuse_constant
from featurestore.tables.precision import is_lost_as_zero

BLOCK = 4 << 20  # bytes: larger ones are not faster
_EXAMPLES = {pl.Null(): None, pl.Boolean(): True, pl.Int64(): 0, pl.Int128(): 2**63, pl.Float64(): 0.5, pl.String(): ""}
_DECODER = json.JSONDecoder(parse_constant=refuse_constant)
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_NEAR_ZERO = re.compile(rb"[eE]-[0-9]{3}|[^0-9]0?\.0{300}")
_HALF_A_PAIR = re.compile(rb"%s(?!%s)|(?<!\\u[dD][89abAB]..)%s" % (_HIGH, _LOW, _LOW))


def read_json_types(
    stream: BinaryIO, name: str, *, encoding: str = "utf-8", block_size: int = BLOCK, longest: int = MAX_LINE
) -> Iterator[pl.DataFrame]:
    """Reads JSON lines from a stream that can seek, in frames, at least one, of about ``block_size`` bytes each.

    ``name`` is for messages. Raises SourceError, naming the line.
    """
    schema: pl.Schema | None = None
    total = 0
    for lines, before in _batches(stream, name, encoding, block_size, longest):
        total += len(lines)
        _check_pairs(lines, before, name)
        _check_numbers(lines, before, name)
        find = partial(_find_types, before=schema)
        with _naming_the_line(find, lines, before, name):
            schema = find(lines)
    if schema is None:
        raise SourceError("is empty", where=name, hint=HINT)
    read = partial(_read, schema=schema)
    for whole, before in _batches(stream, name, encoding, block_size, longest):
        lines = whole[:total]  # the types of what was added meanwhile are not settled
        total -= len(lines)
        if lines:
            with _naming_the_line(read, lines, before, name):
                frame = read(lines)
            yield frame
    if total:
        raise SourceError("was cut short while it was read", where=name, hint="run the same command again")


def _batches(stream: BinaryIO, name: str, encoding: str, block_size: int, longest: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, not all of them blank, and how many came before."""
    stream.seek(0)
    for lines, before in read_lines(stream, name, _ignore, encoding=encoding, block_size=block_size, longest=longest):
        if not lines.isspace():
            yield lines, before


def _ignore(_warning: str) -> None:
    """A label file may end without a line end."""


def _find_types(text: bytes, before: pl.Schema | None) -> pl.Schema:
    """The types so far. What was found before goes in as a line in front: Polars goes on from there."""
    example = b"" if before is None else json.dumps(_example(pl.Struct(before))).encode() + b"\n"
    return pl.scan_ndjson(io.BytesIO(example + text), infer_schema_length=None).collect_schema()


def _example(kind: pl.DataType) -> object:
    """A value that has this type and no other."""
    if isinstance(kind, pl.Struct):
        return {field.name: _example(field.dtype) for field in kind.fields}  # type: ignore[arg-type]  # an instance
    if isinstance(kind, pl.List):
        return [] if kind.inner == pl.Null else [_example(kind.inner)]  # type: ignore[arg-type]  # likewise
    return _EXAMPLES[kind]


def _read(text: bytes, schema: pl.Schema) -> pl.DataFrame:
    return pl.read_ndjson(io.BytesIO(text), schema=schema)


def _check_pairs(text: bytes, before: int, name: str) -> None:
    """Polars would read half of a surrogate pair, which is not a character, as a NUL."""
    if not _SURROGATE.search(text):  # a hundred times faster than the next
        return
    for line, number in _lines_with(_HALF_A_PAIR, text, before):
        try:
            json.dumps(json.loads(line), ensure_ascii=False).encode()
        except UnicodeEncodeError as exc:
            raise SourceError("holds half of a surrogate pair", where=f"{name} line {number}") from exc
        except ValueError:
            continue  # not JSON, which is found later, or an escaped backslash


def _check_numbers(text: bytes, before: int, name: str) -> None:
    """Polars would read what is too near to zero for a float as 0."""
    for line, number in _lines_with(_NEAR_ZERO, text, before):
        lost: list[str] = []
        with suppress(ValueError):  # not JSON, which is found later
            json.loads(line, parse_float=partial(_note_lost, lost))
        if lost:
            reason = f"holds {lost[0][:20]}, which would become 0: it is too near to zero for a float"
            raise SourceError(reason, where=f"{name} line {number}", hint="write 0, or the number as a text")


def _note_lost(lost: list[str], text: str) -> float:
    value = float(text)
    if is_lost_as_zero(text, value):
        lost.append(text)
    return value


def _lines_with(pattern: re.Pattern[bytes], text: bytes, before: int) -> Iterator[tuple[bytes, int]]:
    """The lines in which a pattern is found, each as often as it is, with their numbers."""
    for found in pattern.finditer(text):
        begin, end = text.rfind(b"\n", 0, found.start()) + 1, text.find(b"\n", found.end())
        yield text[begin : end if end > 0 else None], before + 1 + text.count(b"\n", 0, begin)


@contextmanager
def _naming_the_line(step: Callable[[bytes], object], text: bytes, before: int, name: str) -> Iterator[None]:
    """Turns an error of Polars into one that names the first line at which ``step`` fails."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as exc:
        lines = text.splitlines(keepends=True)
        rows = [number for number, each in enumerate(lines) if not each.isspace()]
        first = bisect_left(rows, True, key=lambda row: _fails(step, b"".join(lines[: row + 1])))
        number = rows[min(first, len(rows) - 1)]
        raise SourceError(
            _what_is_wrong(lines[number], exc), where=f"{name} line {before + number + 1}", hint=HINT
        ) from exc


def _fails(step: Callable[[bytes], object], text: bytes) -> bool:
    try:
        step(text)
    except (pl.exceptions.PolarsError, OSError):
        return True
    return False


def _what_is_wrong(line: bytes, cause: Exception) -> str:
    try:
        parse_object(line, _DECODER)
    except ValueError as exc:
        return str(exc)
    text = str(cause).strip().split("\n", 1)[0]
    if _fails(lambda lines: _find_types(lines, None), line):
        return f"can't be read as JSON: {text}"
    return f"does not have one type per column: {text}"
