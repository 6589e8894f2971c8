"""Many small CSV files parsed as one: what one costs to parse alone is mostly the same, however few rows it has.

Only files whose rows are their lines go together: in UTF-8, under the same header, without quotes, CR, NUL or empty
lines. Whatever is otherwise, or turns out not to be well formed, is read alone, by the same reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from io import BytesIO

from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import SourceError
from featurestore.tables.batch import Batch
from featurestore.tables.blocks import UTF8_MARK
from featurestore.tables.delimited import Hint, no_hint, read_csv

Report = Callable[[str], None]


def read_bundle(
    files: Iterable[tuple[str, bytes]], report: Report, *, dialect: Dialect = STANDARD, hint: Hint = no_hint
) -> Iterator[Batch]:
    """The rows of files, given by name and bytes, in order: of each alone, or of several in one batch (`Batch.parts`).

    Raises what `read_csv` raises.
    """
    run: list[tuple[str, bytes]] = []
    header = b""
    for name, data in files:
        own = _header(data, dialect)
        if run and own != header:
            yield from _read_run(run, header, report, dialect, hint)
            run = []
        if own is None:
            yield from read_csv(BytesIO(data), name, report, dialect=dialect, hint=hint)
            continue
        header = own
        run.append((name, data))
    yield from _read_run(run, header, report, dialect, hint)


def _header(data: bytes, dialect: Dialect) -> bytes | None:
    """The first line of a file whose rows are its lines; None of any other."""
    plain = dialect.encoding == "utf-8" and dialect.header and not dialect.skip_rows and dialect.comment is None
    quote = b"" if dialect.quote is None else dialect.quote.encode()
    if not plain or (quote and quote in data) or any(byte in data for byte in (b"\r", b"\0", b"\n\n")):
        return None
    end = data.find(b"\n") + 1
    whole = 1 < end < len(data) and data.endswith(b"\n") and not data.startswith(UTF8_MARK)
    return data[:end] if whole and dialect.delimiter.encode() in data[:end] else None


def _read_run(
    run: list[tuple[str, bytes]], header: bytes, report: Report, dialect: Dialect, hint: Hint
) -> Iterator[Batch]:
    batch = _parse(run, header, dialect, hint) if len(run) > 1 else None
    if batch is not None:
        yield batch
        return
    for name, data in run:
        yield from read_csv(BytesIO(data), name, report, dialect=dialect, hint=hint)


def _parse(run: list[tuple[str, bytes]], header: bytes, dialect: Dialect, hint: Hint) -> Batch | None:
    """All rows as one batch; None where anything about them is to be said."""
    parts = tuple((name, data.count(b"\n") - 1) for name, data in run)
    said: list[str] = []
    whole = header + b"".join(data[len(header) :] for _, data in run)
    at_once = len(whole) + 1
    try:
        found = list(read_csv(BytesIO(whole), run[0][0], said.append, dialect=dialect, hint=hint, block_size=at_once))
    except SourceError:
        return None
    batches = [batch for batch in found if batch.frame.height]
    if len(batches) != 1 or said or any(batch.unreadable_count for batch in found):
        return None
    return batches[0].of_several(parts) if batches[0].frame.height == sum(rows for _, rows in parts) else None
