"""The online store's contract. SQLite and Redis implement it; one suite of tests proves each.

A store keeps entities (a key, and packed values in numbered fields) and two small tables of text (see
`online.format` and `online.records`). It knows nothing of features, versions or history: `online.directory` and
the workflows do. Reading needs only the standard library, for processes that serve; what writes takes columns, so
that a store may encode whole batches at once.

Every method may be called again after a failure: writing the same twice changes nothing the second time. Each
raises StoreError where the store is unreachable, full or refuses; of a refusal in the middle of a write, RefusedError.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from featurestore.errors import StoreError
from featurestore.model import Check

if TYPE_CHECKING:
    import polars as pl

Table = Literal["active", "meta"]
UNREADABLE = ""


@dataclass(frozen=True, slots=True)
class Merged:
    """What a merge did to one field: values written, and how many of them were new to the store."""

    written: int = 0
    created: int = 0


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a store says of itself, to notice that it has lost something between two looks.

    ``servers`` changes when a server was restarted or replaced. ``evicted`` counts entities that the servers have
    dropped by themselves since they were started. With several ``shards``, one may have lost what another has kept.
    """

    servers: str
    evicted: int = 0
    shards: int = 1


class RefusedError(StoreError):
    """A write was refused when some of it was done: ``written`` entities are known to be in the store."""

    def __init__(self, message: str, *, where: str | None, hint: str | None, written: int) -> None:
        super().__init__(message, where=where, hint=hint)
        self.written = written


class OnlineStore(Protocol):
    """Packed values by entity and field, never going backwards."""

    def fetch(self, keys: Sequence[str], fields: Sequence[int]) -> tuple[str, list[list[bytes | None]]]:
        """The packed values of some entities, in one round trip (per shard): (generation, a row for each key).

        A row has a value, or None, for each field in order. The generation is that of the ``@active`` table and
        is read after the values, so that a caller who finds the one it knows may trust the fields it asked for.
        Safe to call from several threads.
        """
        ...

    def table(self, name: Table) -> dict[str, str]:
        """One of the two tables, whole; empty in a store that was never written."""
        ...

    def swap(self, name: Table, expected: Mapping[str, str | None], updates: Mapping[str, str | None]) -> bool:
        """Changes entries of a table if those expected still stand; all or nothing, atomically.

        None means no such entry: expected, absent; as an update, removed. Returns whether it was done.
        """
        ...

    def load(self, batches: Iterable[pl.DataFrame]) -> None:
        """Writes values into fields that nobody else knows yet, without asking what is there.

        A batch has ``key`` (String, each once) and a Binary column for each field, named by its number; a null is
        no value. The batches may be gone through again, after a failure.
        """
        ...

    def merge(self, batches: Iterable[pl.DataFrame]) -> dict[int, Merged]:
        """Writes values by compare-and-set, atomic for each value; batches as for `load`.

        A value is written where there is none, or where its first eleven bytes (computed_at, run_seq, op) are no
        less than those of the value held and any byte differs. So whoever runs beside, in whatever order, the
        greatest (computed_at, run_seq) stays. A value of another version in the same field always gives way.
        """
        ...

    def discard(self, field: int | str, keys: Sequence[str], up_to_run: int) -> int:
        """Removes a field from these entities where its run_seq is at most ``up_to_run``: how many were removed."""
        ...

    def clear(self, entity_type: str, fields: Sequence[int]) -> None:
        """Removes fields from every entity of a type."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Removes entities altogether, whatever they hold."""
        ...

    def keys(self, entity_type: str, fields: Sequence[int]) -> Iterator[list[str]]:
        """The keys of all entities that hold any of these fields, in batches; others of the type may come too."""
        ...

    def scan(self, entity_type: str) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
        """Every entity of a type with all that it holds, by name of field, in batches; one may come twice.

        What stands under an entity's key and is no entity comes with one field, `UNREADABLE`.
        """
        ...

    def pulse(self) -> Pulse: ...

    def checks(self) -> Iterator[Check]:
        """What is worth knowing of how the store is kept, and whether it may be written."""
        ...

    def close(self) -> None: ...
