"""Whole tables in and out of files, as the tests like them."""

from pathlib import Path
from typing import BinaryIO

import polars as pl

from featurestore.tables.batches import read_batches, write_batches
from featurestore.tables.files import Format


def read_table(source: Path | BinaryIO, *, name: str | None = None, form: Format | None = None) -> pl.DataFrame:
    (frame,) = read_batches(source, name=name or str(source), form=form, rows=1 << 40)
    return frame


def write_table(frame: pl.DataFrame, target: Path | BinaryIO, *, form: Format | None = None) -> None:
    with write_batches(target, form=form) as write:
        write(frame)
