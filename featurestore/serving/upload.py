"""Writing columns of history into fields of the store, entity by entity, in batches of bounded size."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import polars as pl

from featurestore.errors import StoreError
from featurestore.model import EntityType, StoredVersion
from featurestore.online.contract import Merged, OnlineStore, RefusedError
from featurestore.online.packing import entity_keys, pack_column

BATCH = 10_000  # a core keeps it in its cache beside the server
KEYS_AT_ONCE = 500_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Column:
    """The latest rows of one version (as `OfflineStore.latest` gives them) on their way into a field."""

    version: StoredVersion
    field: int
    frame: pl.DataFrame


class Windows(Protocol):
    """Columns of one entity type, some entities after others: each window has the same columns with rows of its own.

    It may be gone through again. How many windows there are is known once the first has come.
    """

    def __iter__(self) -> Iterator[Sequence[Column]]: ...

    def __len__(self) -> int: ...


class Batches:
    """Windows as frames that a store takes, packed when they are asked for. It may be gone through again.

    Columns about the very same entities come together, one row for an entity; others by themselves. ``rows`` counts
    what has come by field, ``keys`` are the keys of it for the fields of ``remembering``. ``tell`` hears how far it is.
    """

    def __init__(
        self,
        project: str,
        windows: Windows,
        tell: Callable[[str], None] = lambda _line: None,
        remembering: Collection[int] = (),
    ) -> None:
        self._project = project
        self._windows = windows
        self._tell = tell
        self._remembering = remembering
        self._begin()

    def _begin(self) -> None:
        self.rows: dict[int, int] = {}
        self.keys: dict[int, list[pl.Series]] = {field: [] for field in self._remembering}
        self._part = self._total = 0

    def __iter__(self) -> Iterator[pl.DataFrame]:
        self._begin()
        done = 0
        for part, window in enumerate(self._windows, start=1):
            self._part = part
            groups = _aligned(window)
            self._total += sum(group[0].frame.height for group in groups)
            for group in groups:
                names = ", ".join(column.version.id.feature for column in group)
                for start in range(0, group[0].frame.height, BATCH):
                    self._tell(f"{self.progress(done)}: {names}")
                    batch = self._pack(group, start)
                    done += batch.height
                    yield batch

    def progress(self, done: int) -> str:
        """How far one is with so many entities."""
        parts = len(self._windows)
        if parts == 1:
            return f"{done:,} of {self._total:,} entities"
        return f"{done:,} entities in {self._part} of {parts} parts"

    def _pack(self, group: Sequence[Column], start: int) -> pl.DataFrame:
        slices = [column.frame.slice(start, BATCH) for column in group]
        keys = entity_keys(self._project, group[0].version.entity_type, slices[0])
        packed = []
        for column, rows in zip(group, slices, strict=True):
            packed.append(pack_column(column.version, rows).alias(str(column.field)))
            self.rows[column.field] = self.rows.get(column.field, 0) + rows.height
            if column.field in self.keys:
                self.keys[column.field].append(keys)
        return pl.DataFrame([keys, *packed])


def upload(store: OnlineStore, batches: Batches, *, load: bool) -> Mapping[int, Merged]:
    """Writes batches: what was written, by field. Raises StoreError with how far it came where the store refuses."""
    try:
        if not load:
            return store.merge(batches)
        store.load(batches)
        return {field: Merged(rows, rows) for field, rows in batches.rows.items()}
    except RefusedError as exc:
        far = f"wrote {batches.progress(exc.written)} before that"
        raise StoreError(f"{exc.message} ({far})", where=exc.where, hint=exc.hint) from exc


def remove_vanished(
    store: OnlineStore, entity_type: EntityType, known: Mapping[int, Iterable[pl.Series]], up_to_run: int
) -> dict[int, int]:
    """Removes what the store holds of entities that the history no longer knows: how many, by field.

    ``known`` are, for each field, the keys that the history knows.
    """
    lasting = {
        field: pl.DataFrame({"key": pl.concat([pl.Series([], dtype=pl.String), *keys])})
        for field, keys in known.items()
    }
    gone: dict[int, set[str]] = {field: set() for field in known}
    for batch in chunks(store.keys(entity_type.name, list(known)), KEYS_AT_ONCE):
        online = pl.DataFrame({"key": batch}, schema={"key": pl.String})
        for field, keys in lasting.items():
            gone[field].update(online.join(keys, on="key", how="anti")["key"])
    return {field: store.discard(field, list(keys), up_to_run) if keys else 0 for field, keys in gone.items()}


def chunks(batches: Iterable[list[Item]], size: int) -> Iterator[list[Item]]:
    """What small batches bring, in larger ones of at least so many; the last may have fewer."""
    chunk: list[Item] = []
    for batch in batches:
        chunk += batch
        if len(chunk) >= size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _aligned(columns: Sequence[Column]) -> list[list[Column]]:
    """Groups of columns that have the same entities in the same order."""
    groups: list[tuple[pl.DataFrame, list[Column]]] = []
    for column in columns:
        keys = column.frame.select(column.version.entity_type.key_names)
        for other, group in groups:
            if keys.equals(other):
                group.append(column)
                break
        else:
            groups.append((keys, [column]))
    return [group for _, group in groups]
