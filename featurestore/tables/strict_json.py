"""JSON lines in, each column in the one type that fits the whole file.

A type is settled only by the last line: a first pass finds the types, a second one reads. Each keeps one piece of
the file in memory. The types are those that Polars finds in the whole file at once.
"""

from __future__ import annotations

import io
import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import BinaryIO, NoReturn

import polars as pl

from featurestore.errors import SourceError
from featurestore.tables.files import BYTE_ORDER_MARK

PIECE = 4 << 20  # bytes: larger ones are no faster
LONGEST_LINE = 64 << 20
_EXAMPLES = {pl.Null(): None, pl.Boolean(): True, pl.Int64(): 0, pl.Int128(): 2**63, pl.Float64(): 0.5, pl.String(): ""}
_HINT = "JSON lines: one object per line, as jq -c writes them"
_HIGH, _LOW = rb"\\u[dD][89abAB][0-9a-fA-F]{2}", rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_HALF_A_PAIR = re.compile(rb"%s(?!%s)|(?<!\\u[dD][89abAB]..)%s" % (_HIGH, _LOW, _LOW))


def read_json_pieces(stream: BinaryIO, name: str, size: int = PIECE) -> Iterator[pl.DataFrame]:
    """Reads JSON lines from a stream that can seek, in frames, at least one, of about ``size`` bytes each.

    ``name`` is for messages. Raises SourceError, naming the line.
    """
    end = stream.seek(0, io.SEEK_END)  # what is added while it is read has no settled types
    schema: pl.Schema | None = None
    for text, line in _pieces(stream, name, size, end):
        _check_pairs(text, line, name)
        find = partial(_find_types, before=schema)
        with _naming_the_line(find, text, line, name):
            schema = find(text)
    if schema is None:
        raise SourceError("is empty", where=name, hint=_HINT)
    read = partial(_read, schema=schema)
    for text, line in _pieces(stream, name, size, end):
        with _naming_the_line(read, text, line, name):
            frame = read(text)
        yield frame


def _pieces(stream: BinaryIO, name: str, size: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, not all of them blank, and the number of the first."""
    stream.seek(0)
    rest, line, done = b"", 1, 0
    while done < end:
        block = stream.read(min(size, end - done))
        if not block:
            raise SourceError("was cut short while it was read", where=name, hint="run the same command again")
        text = rest + (block if done else block.removeprefix(BYTE_ORDER_MARK))
        done += len(block)
        cut = text.rfind(b"\n") + 1 if done < end else len(text)
        text, rest = text[:cut], text[cut:]
        if text and not text.isspace():
            yield text, line
        line += text.count(b"\n")
        if len(rest) > LONGEST_LINE:
            raise SourceError(f"is longer than {LONGEST_LINE >> 20} MiB", where=f"{name}, line {line}", hint=_HINT)


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


def _check_pairs(text: bytes, line: int, name: str) -> None:
    """Polars would read half of a surrogate pair, which stands for nothing, as a NUL."""
    if not _SURROGATE.search(text):  # a hundred times faster than the next
        return
    for found in _HALF_A_PAIR.finditer(text):
        begin, end = text.rfind(b"\n", 0, found.start()) + 1, text.find(b"\n", found.end())
        try:
            json.dumps(json.loads(text[begin : end if end > 0 else None]), ensure_ascii=False).encode()
        except UnicodeEncodeError as exc:
            number = line + text.count(b"\n", 0, begin)
            raise SourceError("holds half of a surrogate pair", where=f"{name}, line {number}") from exc
        except ValueError:
            continue  # no JSON, or an escaped backslash: not for here


@contextmanager
def _naming_the_line(step: Callable[[bytes], object], text: bytes, line: int, name: str) -> Iterator[None]:
    """Turns an error of Polars into one that names the first line at which ``step`` fails."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError) as exc:
        lines = text.splitlines(keepends=True)
        rows = [number for number, each in enumerate(lines) if not each.isspace()]
        first = bisect_left(rows, True, key=lambda row: _fails(step, b"".join(lines[: row + 1])))
        number = rows[min(first, len(rows) - 1)]
        raise SourceError(
            _what_is_wrong(lines[number], exc), where=f"{name}, line {line + number}", hint=_HINT
        ) from exc


def _fails(step: Callable[[bytes], object], text: bytes) -> bool:
    try:
        step(text)
    except (pl.exceptions.PolarsError, OSError):
        return True
    return False


def _what_is_wrong(line: bytes, cause: Exception) -> str:
    try:
        if not isinstance(json.loads(line.decode(), parse_constant=_refuse_constant), dict):
            return "is not a JSON object"
    except UnicodeDecodeError:
        return "is not UTF-8 text"
    except (ValueError, RecursionError) as exc:
        return f"is not JSON: {exc}"
    said = str(cause).strip().split("\n", 1)[0]
    if _fails(lambda text: _find_types(text, None), line):
        return f"can't be read as JSON: {said}"
    return f"does not keep one type per column: {said}"


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f'{text} is no value of JSON; write null or "{text}"')
