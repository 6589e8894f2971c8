"""Sorted columns beside the history: one version's rows as flat files that a join maps into memory.

Derived and disposable: they save a join the scan and the sort, and may be deleted at any time. They never
answer for a store they were not made from: a generation carries the `Mark` of the table it holds (the store's
id, the last run with its id, the row count), and is used only where the store gives the same mark now.

Under ``.featurestore/columns/<feature>_<sha12>/`` each generation is a folder, written beside and renamed:

- ``stamp.json``: format, mark, the size of every file, and a digest of all but the values (`Columns.layout`)
- ``entities.arrow``: one row per entity, its keys; ``offsets.npy``: where its rows begin, and the end
- ``computed_at.npy`` (microseconds), ``run_seq.npy`` (as narrow as it can be), ``op.npy`` (where there are tombstones)
- ``value.npy`` where values have one width and none is null, else ``value.arrow``
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.frames.kernel import Flat, SortedHistory, Values
from featurestore.frames.types import key_types, value_type
from featurestore.model import StoredVersion
from featurestore.offline.store import Mark

FORMAT = 1
STAMP = "stamp.json"
ABANDONED_SECONDS = 86_400.0

_ENTITIES, _VALUES = "entities.arrow", "value.arrow"


@dataclass(frozen=True, slots=True)
class Columns:
    """A version's whole history as of its mark. Equal ``layout``: the same entities, times, runs and tombstones."""

    mark: Mark
    history: SortedHistory
    values: Values
    layout: str


def folder_of(state: Path, version: StoredVersion) -> Path:
    """Where a version's generations lie."""
    return state / "columns" / f"{version.id.feature}_{version.id.short}"


def can_write(folder: Path) -> bool:
    """Whether generations can be kept there: what could not be kept is not worth making."""
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def read_columns(folder: Path, version: StoredVersion) -> Iterator[Columns]:
    """The generations that are there and whole, the latest first. What can't be read is as if it were not there."""
    found = [(stamp, path) for path in _generations(folder) if (stamp := _read_stamp(path, version)) is not None]
    for stamp, path in sorted(found, key=lambda item: -int(item[0]["mark"]["run_seq"])):
        with suppress(OSError, ValueError, pl.exceptions.PolarsError):  # another process is replacing it
            yield _open(path, stamp, version)


def write_columns(folder: Path, version: StoredVersion, columns: Columns) -> Columns:
    """Writes a generation and removes the others; gives it as it is read.

    Where that can't be done, the columns are given back as they are, in memory.
    """
    part = folder / f".part-{os.getpid()}-{secrets.token_hex(4)}"
    try:
        part.mkdir(parents=True, mode=0o700)
        _write_files(part, version, columns)
        target = folder / f"{columns.mark.run_seq}-{secrets.token_hex(4)}"
        part.rename(target)
        stamp = _read_stamp(target, version)
        written = columns if stamp is None else _open(target, stamp, version)
    except OSError:  # read-only, full, or not ours: a join needs them only to be fast
        shutil.rmtree(part, ignore_errors=True)
        return columns
    _remove_others(folder, target)
    return written


def layout_of(entities: pl.DataFrame, *arrays: NDArray[Any] | None) -> str:
    """A digest of everything that decides which row answers."""
    digest = hashlib.sha256()
    for column in entities.get_columns():
        digest.update(f"{column.name} {column.dtype} {len(column)};".encode())
        if column.dtype == pl.String:
            digest.update(column.str.len_bytes().to_numpy().data)
            digest.update("".join(column.to_list()).encode())
        else:
            digest.update(np.ascontiguousarray(column.to_numpy()).data)
    for array in arrays:
        digest.update(b"-" if array is None else f"{array.dtype} {len(array)};".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _generations(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _read_stamp(path: Path, version: StoredVersion) -> Mapping[str, Any] | None:
    try:
        stamp: Mapping[str, Any] = json.loads((path / STAMP).read_bytes())
        same = (
            stamp["format"] == FORMAT
            and stamp["version"] == _identity(version)
            and all((path / name).stat().st_size == size for name, size in stamp["sizes"].items())
        )
        Mark(**stamp["mark"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return stamp if same else None


def _identity(version: StoredVersion) -> list[Any]:
    keys = [[key.name, key.type] for key in version.entity_type.keys]
    return [version.id.feature, version.id.sha256, keys, version.data_type.kind]


def _open(path: Path, stamp: Mapping[str, Any], version: StoredVersion) -> Columns:
    names = stamp["sizes"]

    def column(name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(path / f"{name}.npy", mmap_mode="r")
        return array

    entities = pl.read_ipc(path / _ENTITIES)
    if entities.schema != pl.Schema(key_types(version.entity_type)):
        raise ValueError("entities of another type")
    history = SortedHistory(
        entities=entities,
        offsets=np.load(path / "offsets.npy"),
        computed_at=column("computed_at"),
        run_seq=column("run_seq"),
        op=column("op") if "op.npy" in names else None,
    )
    kind = value_type(version.data_type)
    values: Values = Flat(column("value"), kind) if "value.npy" in names else pl.read_ipc(path / _VALUES)["value"]
    return Columns(Mark(**stamp["mark"]), history, values, stamp["layout"])


def _write_files(part: Path, version: StoredVersion, columns: Columns) -> None:
    history = columns.history
    arrays = {"offsets": history.offsets, "computed_at": history.computed_at, "run_seq": history.run_seq}
    arrays |= {} if history.op is None else {"op": history.op}
    if isinstance(columns.values, Flat):
        arrays["value"] = columns.values.items
    else:
        columns.values.alias("value").to_frame().write_ipc(part / _VALUES)
    history.entities.write_ipc(part / _ENTITIES)
    for name, array in arrays.items():
        np.save(part / f"{name}.npy", array)
    for path in part.iterdir():
        _flush(path)
    stamp = {
        "format": FORMAT,
        "version": _identity(version),
        "mark": asdict(columns.mark),
        "layout": columns.layout,
        "sizes": {path.name: path.stat().st_size for path in part.iterdir()},
    }
    (part / STAMP).write_text(json.dumps(stamp), encoding="utf-8")
    _flush(part / STAMP)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_others(folder: Path, kept: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            being_written = path.name.startswith(".part-") and time.time() - path.stat().st_mtime < ABANDONED_SECONDS
            if path != kept and not being_written:
                shutil.rmtree(path, ignore_errors=True)
