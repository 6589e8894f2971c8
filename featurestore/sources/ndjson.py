"""Reading NDJSON: one JSON object per line to batches of text columns, with what kind of value each text was.

Numbers keep the digits they were written with: an id is never read through a float. Values inside values stay JSON
text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain
from typing import IO

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.sources.batch import MAX_COLUMNS, MAX_REJECTED, Batch, Broken
from featurestore.sources.casts import BOOLEAN, DECIMAL, INTEGER, NESTED, NULL, STRING
from featurestore.sources.json_layout import Cut, cut_alike
from featurestore.sources.streams import blocks

BLOCK = 16 << 20
MAX_LINE = 64 << 20
_WORTH_A_LAYOUT = 100


class _Integer(str):
    __slots__ = ()


class _Decimal(str):
    __slots__ = ()


_DECODER = json.JSONDecoder(parse_int=_Integer, parse_float=_Decimal, parse_constant=_Decimal)
_KINDS: dict[type, int] = {type(None): NULL, str: STRING, _Integer: INTEGER, _Decimal: DECIMAL, bool: BOOLEAN}


def read_ndjson(stream: IO[bytes], file: str, warnings: list[str], block: int = BLOCK) -> Iterator[Batch]:
    """Yields a file's rows, numbered by their lines. A line that is no JSON object is broken, an empty one no row."""
    rest, line = b"", 0
    for piece in chain(blocks(stream, file, block), (None,)):
        data = rest + (piece or b"")
        if piece is None and data:
            warnings.append(f"{file} has no line end after its last row: was it cut?")
            data += b"\n"
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(rest) > MAX_LINE:
            raise SourceError(f"is longer than {MAX_LINE >> 20} MiB", where=f"{file} row {line + len(lines) + 1}")
        if not lines:
            continue
        if not line:
            _refuse_one_document(data, file)
        yield _batch(lines, file, line)
        line += len(lines)


def _refuse_one_document(data: bytes, file: str) -> None:
    start = data.lstrip()
    if start.startswith(b"[") or start.partition(b"\n")[0].strip() == b"{":
        raise SourceError(
            "is one JSON document, not a JSON object on each line", where=file,
            hint="write one object per line, for example with: jq -c '.[]'",
        )  # fmt: skip


def _batch(lines: list[bytes], file: str, before: int) -> Batch:
    quick = cut_alike(lines, _names_of_first(lines)) if len(lines) >= _WORTH_A_LAYOUT else None
    taken = set() if quick is None else set(quick.rows.tolist())
    objects: list[dict[str, object]] = []
    rows: list[int] = []
    broken: list[Broken] = []
    broken_count = 0
    for number, line in enumerate(lines):
        if number in taken or not line or line.isspace():
            continue
        try:
            objects.append(_object(line))
            rows.append(number)
        except ValueError as exc:
            broken_count += 1
            if len(broken) < MAX_REJECTED:
                broken.append(Broken(before + number + 1, str(exc), line[:1_000].decode("utf-8", "replace")))
    cut = _columns(objects, rows, file)
    if quick is not None:
        cut = quick.beside(cut)
    return Batch(
        file=file,
        frame=cut.texts,
        first=before + 1,
        rows=cut.rows + np.uint32(before + 1),
        broken=tuple(broken),
        broken_count=broken_count,
        kinds={kinds.name: kinds.alias("") for kinds in cut.kinds.iter_columns()},
    )


def _names_of_first(lines: list[bytes]) -> list[str]:
    """The names on the first line that is a row; none where that gives nothing to go by."""
    try:
        return list(_object(next(line for line in lines if line and not line.isspace())))
    except (StopIteration, ValueError):
        return []


def _object(line: bytes) -> dict[str, object]:
    """One line. Raises ValueError with the reason why it is no row."""
    try:
        value = _DECODER.decode(line.decode("utf-8"))
        if b"\\ud" in line or b"\\uD" in line:
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as exc:
        raise ValueError(f"is not UTF-8: byte 0x{line[exc.start]:02x}") from exc
    except UnicodeEncodeError as exc:
        raise ValueError("holds half of a surrogate pair") from exc
    except json.JSONDecodeError as exc:
        raise ValueError(f"is not JSON: {exc.msg} at character {exc.pos + 1}") from exc
    except RecursionError as exc:
        raise ValueError("is nested too deeply") from exc
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")  # noqa: TRY004  # about the data, not about an argument
    if b"\\u0000" in line and any("\0" in name for name in value):
        raise ValueError("has a NUL in a name")
    return value


def _columns(objects: list[dict[str, object]], rows: list[int], file: str) -> Cut:
    names = dict.fromkeys(name for each in objects for name in each)
    if len(names) > MAX_COLUMNS:
        raise SourceError(f"has {len(names):,} columns; at most {MAX_COLUMNS:,} can be read", where=file)
    columns = [_column(name, [each.get(name) for each in objects]) for name in names]
    nothing = pl.DataFrame(height=len(rows))
    return Cut(
        nothing.with_columns(texts for texts, _ in columns),
        nothing.with_columns(kinds for _, kinds in columns),
        np.array(rows, np.uint32),
    )


def _column(name: str, values: list[object]) -> tuple[pl.Series, pl.Series]:
    """The values' texts, and what they are."""
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
