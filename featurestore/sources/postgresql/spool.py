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
_SEED = 1


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
        hashes = pl.DataFrame(pl.from_arrow(batch)).hash_rows(_SEED)
        for at, values in enumerate((hashes, hashes * hashes)):  # both wrap
            self._sums[at] = (self._sums[at] + int(values.sum())) % _WRAP

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
        # Never closed: frames lie in it for as long as they live.
        mapped = mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)
        for at, batch in enumerate(pa.ipc.open_stream(pa.py_buffer(mapped))):
            frame = pl.DataFrame(pl.from_arrow(batch))
            if not at:
                yield frame.clear()
            yield frame
        if not self.rows:  # pyarrow imports pandas for this, where that is installed
            yield pl.DataFrame(pl.from_arrow(self._schema.empty_table()))
