"""Rows of one reading in a file that has no name, so that nothing is left of it whatever happens.

They are written as they come, and hashed: equal rows in any order give the same hash.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

_WRAP = 1 << 64
_SEEDS = (1, 2)


class Spool:
    """Record batches of one schema: first written, then read as often as is needed."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._file = tempfile.TemporaryFile(dir=folder if folder.is_dir() else None)  # noqa: SIM115  # as long as self
        self._writer = pa.ipc.new_stream(self._file, schema)
        self._schema = schema
        self._sums = [0, 0]
        self.rows = 0
        self.size = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Raises OSError."""
        self._writer.write_batch(batch)
        self.rows += batch.num_rows
        frame = pl.DataFrame(pl.from_arrow(batch))
        for at, seed in enumerate(_SEEDS):
            self._sums[at] = (self._sums[at] + int(frame.hash_rows(seed).sum())) % _WRAP

    def close(self) -> None:
        """Ends the writing. Raises OSError."""
        self._writer.close()
        self._file.flush()
        self.size = self._file.tell()

    @property
    def sha256(self) -> str:
        """Of the rows, whatever their order, with their columns."""
        fields = [[field.name, str(field.type)] for field in self._schema]
        document = [pl.__version__, fields, self.rows, *self._sums]
        return hashlib.sha256(json.dumps(document).encode()).hexdigest()

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows as they came; at least one frame."""
        empty = self._schema.empty_table()
        yield pl.DataFrame(pl.from_arrow(empty))
        # Never closed: frames lie in it for as long as they live.
        mapped = mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)
        for batch in pa.ipc.open_stream(pa.py_buffer(mapped)):
            yield pl.DataFrame(pl.from_arrow(batch))
