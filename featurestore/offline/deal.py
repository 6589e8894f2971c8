"""Rows dealt out to files by their entity, so that each file's rows can be sorted in memory.

Two rows of one entity always go to the same hand. Which hand that is holds for one deal only: the hash is not
the same for every release of Polars, nor need it be.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import polars as pl
import pyarrow as pa

_HAND = "\0hand"


@dataclass(frozen=True, slots=True)
class Hand:
    """The rows that one file was dealt."""

    path: Path
    rows: int

    def batches(self) -> Iterator[pl.DataFrame]:
        """The rows, in frames as they came."""
        with self.path.open("rb") as file, pa.ipc.open_stream(file) as reader:
            for batch in reader:
                yield cast("pl.DataFrame", pl.from_arrow(batch))


@contextmanager
def deal(frames: Iterable[pl.DataFrame], keys: Sequence[str], count: int, folder: Path) -> Iterator[list[Hand]]:
    """Deals the rows of all frames, which have the same columns, out to ``count`` files in a folder of their own.

    The folder is there while the hands are in use. Raises OSError where it can't be written.
    """
    folder.mkdir(mode=0o700)
    try:
        rows = [0] * count
        with ExitStack() as files:
            writers: dict[int, pa.ipc.RecordBatchStreamWriter] = {}
            for frame in frames:
                hand = (frame.select(keys).hash_rows() % count).alias(_HAND)
                dealt = frame.with_columns(hand).partition_by(_HAND, as_dict=True, include_key=False)
                for (number,), part in dealt.items():
                    table = part.to_arrow()
                    if number not in writers:
                        file = files.enter_context(_path(folder, number).open("xb"))
                        writers[number] = files.enter_context(pa.ipc.new_stream(file, table.schema))
                    writers[number].write_table(table)
                    rows[number] += len(part)
        yield [Hand(_path(folder, number), held) for number, held in enumerate(rows)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number}.arrow"
