"""Frames set aside on disk, where memory is not to hold them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import polars as pl

if TYPE_CHECKING:
    import pyarrow as pa


@contextmanager
def spool(folder: Path | None = None) -> Iterator[Spool]:
    """A `Spool` in a file without a name: whatever becomes of the process, nothing of it stays.

    It lies in ``folder``, by default where temporary files do.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        yield Spool(cast("BinaryIO", file))


class Spool:
    """Frames of the same columns: first all are written, then they are read, as often as need be.

    Raises OSError where the disk is full.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None
        self.rows = 0

    def write(self, frame: pl.DataFrame) -> None:
        """Puts a frame behind those that are there."""
        import pyarrow as pa  # most joins set nothing aside

        table = frame.to_arrow()
        if self._writer is None:
            self._writer = pa.ipc.new_stream(self._file, table.schema)
        self._writer.write_table(table)
        self.rows += len(frame)

    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows in their order, in frames of some size."""
        import pyarrow as pa

        if not self.rows:
            return
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self._file.seek(0)
        with pa.ipc.open_stream(self._file) as reader:
            for batch in reader:
                yield cast("pl.DataFrame", pl.from_arrow(batch))
