"""Sorted columns beside the history: one version's rows as flat files that a join maps into memory.

They are derived, save a join the scan and the sort, and may be deleted at any time. They never answer for a store they
were not made from: a generation carries the `HistoryMark` of the table it holds (the store's id, the last run with its
id, the row count), and is used only where the store gives the same mark now.

Under ``.featurestore/columns/<feature>_<sha12>/`` each generation is a folder, written beside and renamed. Its
entities are in partitions, mostly one, each small enough for the memory allowed:

- ``stamp.json``: format, mark, how the partitions were made, and of each the size, time and checksum of every file
  and a digest of all but the values (`layout`); a checksum of itself
- ``0/entities.arrow``: one row per entity, its keys; ``0/offsets.npy``: where its rows begin, and the end
- ``0/computed_at.npy`` (microseconds), ``0/run_seq.npy`` (as narrow as it can be), ``0/op.npy`` (where not all rows are
  values), ``0/withdrawn.npy`` (where some are withdrawn: their numbers), ``0/known_at.npy`` (microseconds, where rows
  have known times)
- ``0/value.npy`` where values have one width and none is null, else ``0/value.arrow``
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.atomic import flush_folder
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import HistoryMark
from featurestore.point_in_time.kernel import Flat, SortedHistory, Values
from featurestore.regular import DERIVED, is_own, read_own
from featurestore.tables.types import key_types, value_type

FORMAT = 4
STAMP = "stamp.json"
# A generation that was begun longer ago was left by a process that died; a younger one may belong to another process.
ABANDONED_SECONDS = 86_400.0

_ENTITIES, _VALUES = "entities.arrow", "value.arrow"
# A panic of Polars is no Exception.
_UNREADABLE = (OSError, ValueError, EOFError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
_BLOCK = 1 << 20


class _DamagedError(Exception):
    """A file is not what its stamp says."""


class ColumnsLostError(Exception):
    """A file of the columns is gone or damaged. They count as missing then."""


@frozen
class Partition:
    """Some of a version's entities with all their rows, in files that are opened when asked for.

    ``sizes`` (bytes) names the files. Equal ``layout``: the same entities, times, known times, runs and ops.
    Everything that reads them raises ColumnsLostError.
    """

    folder: Path
    version: StoredVersion
    layout: str
    sizes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    def entities(self) -> pl.DataFrame:
        """The keys of its entities, in the order of the offsets."""
        with _reading():
            entities = _read_ipc(self.folder / _ENTITIES)
        if entities.schema != pl.Schema(key_types(self.version.entity_type)):
            raise ColumnsLostError
        return entities

    def history(self) -> SortedHistory:
        """Its rows but for the values, mapped into memory."""
        entities = self.entities()
        with _reading():
            return SortedHistory(
                entities=entities,
                offsets=np.load(self.folder / "offsets.npy"),
                computed_at=self._mapped("computed_at"),
                run_seq=self._mapped("run_seq"),
                op=self._mapped("op") if "op.npy" in self.sizes else None,
                withdrawn=self._mapped("withdrawn") if "withdrawn.npy" in self.sizes else None,
                known_at=self._mapped("known_at") if "known_at.npy" in self.sizes else None,
            )

    def values(self) -> Values:
        """The values of its rows, mapped into memory where they have one width."""
        with _reading():
            if "value.npy" in self.sizes:
                return Flat(self._mapped("value"), value_type(self.version.data_type))
            return _read_ipc(self.folder / _VALUES)["value"]

    def _mapped(self, name: str) -> NDArray[Any]:
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r")
        return array


@frozen
class SortedColumns:
    """A version's whole history as of its mark.

    The partitions were made for ``memory`` (bytes), when the history had ``made_rows``; later ones were merged in.
    """

    mark: HistoryMark
    memory: int
    made_rows: int
    partitions: tuple[Partition, ...]

    @property
    def bytes(self) -> int:
        return sum(each.bytes for each in self.partitions)


@dataclass(slots=True)
class Generation:
    """A generation that is being written: partitions are added to it one by one."""

    folder: Path
    version: StoredVersion
    partitions: list[Mapping[str, Any]] = field(default_factory=list)

    def add(self, history: SortedHistory, values: Values) -> None:
        """Writes a partition."""
        folder = self._next()
        arrays = {"offsets": history.offsets, "computed_at": history.computed_at, "run_seq": history.run_seq}
        arrays |= {} if history.op is None else {"op": history.op}
        arrays |= {} if history.withdrawn is None else {"withdrawn": history.withdrawn}
        arrays |= {} if history.known_at is None else {"known_at": history.known_at}
        if isinstance(values, Flat):
            arrays["value"] = values.items
        else:
            values.alias("value").to_frame().write_ipc(folder / _VALUES)
        history.entities.write_ipc(folder / _ENTITIES)
        for name, array in arrays.items():
            np.save(folder / f"{name}.npy", array)
        layout = layout_of(
            history.entities, history.offsets, history.computed_at, history.run_seq, history.op, history.known_at
        )
        self._note(folder, layout)

    def keep(self, partition: Partition) -> None:
        """Takes a partition over unchanged; no byte of it is copied where the file system can share it."""
        folder = self._next()
        for name in partition.sizes:
            try:
                (folder / name).hardlink_to(partition.folder / name)
            except OSError:
                shutil.copyfile(partition.folder / name, folder / name)
        self._note(folder, partition.layout)

    def _next(self) -> Path:
        folder = self.folder / str(len(self.partitions))
        folder.mkdir(mode=0o700)
        return folder

    def _note(self, folder: Path, layout: str) -> None:
        for path in folder.iterdir():
            _flush(path)
        flush_folder(folder)
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        sums = {path.name: [path.stat().st_mtime_ns, _checksum(path)] for path in folder.iterdir()}
        self.partitions.append({"layout": layout, "sizes": sizes, "sums": sums})


def folder_of(state: Path, version: StoredVersion) -> Path:
    """Where a version's generations lie."""
    return state / "columns" / f"{version.id.feature}_{version.id.short}"


def can_write(folder: Path) -> bool:
    """Whether generations can be written there: without that they are not worth making."""
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def read_columns(folder: Path, version: StoredVersion) -> list[SortedColumns]:
    """The generations that are complete, the latest first. What can't be read counts as missing."""
    found = []
    for path in _generations(folder):
        with suppress(_DamagedError):
            if (columns := _read_stamp(path, version)) is not None:
                found.append(columns)
    return sorted(found, key=lambda columns: -columns.mark.run_seq)


def has_damage(folder: Path, version: StoredVersion) -> bool:
    """Whether a generation is there whose bytes have changed since it was written."""
    for path in _generations(folder):
        try:
            _read_stamp(path, version)
        except _DamagedError:
            return True
    return False


@contextmanager
def new_generation(
    folder: Path, version: StoredVersion, mark: HistoryMark, *, memory: int, made_rows: int
) -> Iterator[Generation]:
    """Replaces the others once all its partitions are added; nothing remains of one that was not finished.

    Raises OSError where the folder is read-only, full, or not ours.
    """
    part = folder / f".part-{os.getpid()}-{secrets.token_hex(4)}"
    part.mkdir(parents=True, mode=0o700)
    try:
        generation = Generation(part, version)
        yield generation
        stamp = {
            "format": FORMAT,
            "version": _identity(version),
            "mark": asdict(mark),
            "memory": memory,
            "made_rows": made_rows,
            "parts": generation.partitions,
        }
        (part / STAMP).write_text(json.dumps({**stamp, "sha256": _digest(stamp)}), encoding="utf-8")
        _flush(part / STAMP)
        flush_folder(part)
        # All is on the disk before it gets its name, part of which is random: two joins may make the same generation.
        target = folder / f"{mark.run_seq}-{secrets.token_hex(4)}"
        part.rename(target)
        flush_folder(folder)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    _remove_others(folder, target)


def layout_of(entities: pl.DataFrame, *arrays: NDArray[Any] | None) -> str:
    """A digest of everything that decides which row answers."""
    digest = hashlib.sha256()
    for column in entities.get_columns():
        digest.update(f"{column.name} {column.dtype} {len(column)};".encode())
        if column.dtype == pl.String:
            # With the lengths, because "a" and "bc" have the same bytes as "ab" and "c".
            digest.update(column.str.len_bytes().to_numpy().data)
            digest.update("".join(column.to_list()).encode())
        else:
            digest.update(np.ascontiguousarray(column.to_numpy()).data)
    for array in arrays:
        digest.update(b"-" if array is None else f"{array.dtype} {len(array)};".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except _UNREADABLE as exc:  # another process is replacing it, or its bytes are not what they were
        raise ColumnsLostError from exc


def _read_ipc(path: Path) -> pl.DataFrame:
    return pl.scan_ipc(path, glob=False).collect()  # read_ipc takes what stands in brackets for a pattern


def _generations(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def _read_stamp(path: Path, version: StoredVersion) -> SortedColumns | None:
    """A generation; None where there is none, or it is another release's. Raises _DamagedError."""
    try:
        stamp: dict[str, Any] = json.loads(read_own(path / STAMP, DERIVED))
        if stamp["format"] != FORMAT:
            return None
        if stamp.pop("sha256") != _digest(stamp):
            raise _DamagedError
        if stamp["version"] != _identity(version):
            return None
        parts = stamp["parts"]
        partitions = tuple(
            Partition(path / str(number), version, each["layout"], each["sizes"]) for number, each in enumerate(parts)
        )
        for partition, each in zip(partitions, parts, strict=True):
            for name, size in partition.sizes.items():
                _check(partition.folder / name, size, *each["sums"][name])
        mark, memory, made_rows = HistoryMark(**stamp["mark"]), int(stamp["memory"]), int(stamp["made_rows"])
        return SortedColumns(mark, memory, made_rows, partitions)
    except FileNotFoundError:  # another process is replacing it
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise _DamagedError from exc


def _check(path: Path, size: int, modified: int, checksum: int) -> None:
    """Raises _DamagedError for a file that would give wrong answers: cut short, or with other bytes than were written.

    The bytes are read only where the file was touched since: a join of few labels reads a small part of them.
    """
    found = path.lstat()
    if not is_own(found) or found.st_size != size or (found.st_mtime_ns != modified and _checksum(path) != checksum):
        raise _DamagedError


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            checksum = zlib.crc32(block, checksum)
    return checksum


def _digest(stamp: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(stamp, sort_keys=True).encode()).hexdigest()


def _identity(version: StoredVersion) -> list[Any]:
    keys = [[key.name, key.type] for key in version.entity_type.keys]
    return [version.id.feature, version.id.sha256, keys, version.data_type.kind]


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_others(folder: Path, current: Path) -> None:
    with suppress(OSError):
        for path in folder.iterdir():
            being_written = path.name.startswith(".part-") and time.time() - path.stat().st_mtime < ABANDONED_SECONDS
            if path != current and not being_written:
                shutil.rmtree(path, ignore_errors=True)
