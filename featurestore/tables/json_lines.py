"""JSON lines: a stream cut into whole lines, and why a line is not a JSON object.

The one reader of sources and labels. What becomes of the values differs: `json_texts` gives each as text with what it
was, for sources; `json_types` gives columns in the one type that fits the whole file, for labels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import chain
from typing import IO, Any, NoReturn

from featurestore.errors import SourceError
from featurestore.tables.blocks import BLOCK, MAX_LINE, read_blocks

HINT = "write one object per line, for example with: jq -c '.[]'"


def read_lines(
    stream: IO[bytes],
    name: str,
    report: Callable[[str], None],
    *,
    encoding: str = "utf-8",
    block_size: int = BLOCK,
    longest: int = MAX_LINE,
) -> Iterator[tuple[bytes, int]]:
    """Yields whole lines with their line ends, about ``block_size`` bytes at a time, and how many lines came before.

    A last line without a line end is given one, and reported. Raises SourceError for a document that is not JSON
    lines at all, and for a line of more than ``longest`` bytes.
    """
    rest, line = b"", 0
    for block in chain(read_blocks(stream, name, block_size, encoding, report), (None,)):
        data = rest + (block or b"")
        if block is None and data:
            report(f"{name} has no line end after its last row: was it cut?")
            data += b"\n"
        end = data.rfind(b"\n") + 1
        lines, rest = data[:end], data[end:]
        if lines:
            if not line:
                _refuse_one_document(data, name)
            yield lines, line
            line += lines.count(b"\n")
        if len(rest) > longest:
            raise SourceError(f"is longer than {longest >> 20} MiB", where=f"{name} line {line + 1}", hint=HINT)


def parse_object(line: bytes, decoder: json.JSONDecoder) -> dict[str, Any]:
    """One line, by a decoder that decides on numbers. Raises ValueError with the reason why it is not an object."""
    try:
        value = decoder.decode(line.decode("utf-8"))
        # Python decodes half of a surrogate pair without a word; only encoding it fails.
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
    if b"\\u0000" in line and any("\0" in key for key in value):
        raise ValueError("has a NUL in a name")
    return value


def refuse_constant(text: str) -> NoReturn:
    """For decoders that take JSON to the letter: NaN and the infinities are not part of it."""
    raise ValueError(f'is not JSON: {text} is not a JSON value; write null or "{text}"')


def _refuse_one_document(data: bytes, name: str) -> None:
    start = data.lstrip()
    if start.startswith(b"[") or start.partition(b"\n")[0].strip() == b"{":
        raise SourceError("is one JSON document, not a JSON object on each line", where=name, hint=HINT)
