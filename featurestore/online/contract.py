"""The online store's contract. SQLite and Redis implement it; one conformance suite tests both.

A store holds entities (a key, and packed values in numbered fields) and two small tables of text (see `online.format`
and `online.tables`). It knows nothing of features, versions or history; `featurestore.serving` does. Reading needs only
the standard library, since serving processes read; writing takes columns, so that a store can encode whole batches.

Every method may be called again after a failure: writing the same values twice changes nothing the second time. Every
method raises StoreError where the store is unreachable, full or refuses, and RefusedError where it refuses in the
middle of a write.

Threads: the threads of a process may share one store and call its methods at the same time, but for `close`, which
waits for nobody: call it when no other thread uses the store. A store that is used after `close` opens itself again. An
iterator belongs to one thread at a time. A forked child opens connections of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from featurestore.errors import StoreError
from featurestore.frozen import frozen
from featurestore.model import Check

if TYPE_CHECKING:
    import polars as pl

TableName = Literal["active", "meta"]
UNREADABLE = ""


@frozen
class WriteCounts:
    """What a write did to one field: how many values were written, and how many of them were new to the store."""

    written: int = 0
    created: int = 0


@frozen
class Pulse:
    """What a store reports about itself, so that a loss between two looks is noticed.

    ``servers`` changes when a server is restarted or replaced. ``evicted`` is the number of entities that the servers
    have dropped on their own since they started. With several ``shards``, one may have lost what another still has:
    ``contents`` is a token that `OnlineStore.mark_shards` has stored on each of them, empty where it is not the same
    on all. A store that loses everything or nothing has none.
    """

    servers: str
    evicted: int = 0
    shards: int = 1
    contents: str = ""


class RefusedError(StoreError):
    """The store refused in the middle of a write: at least ``written`` entities are in the store."""

    def __init__(self, message: str, *, where: str | None, hint: str | None, written: int) -> None:
        super().__init__(message, where=where, hint=hint)
        self.written = written


class OnlineStore(Protocol):
    """Packed values by entity and field; a value is never replaced by an older one."""

    def fetch(self, keys: Sequence[str], fields: Sequence[int]) -> tuple[str, list[list[bytes | None]]]:
        """Reads the packed values of some entities in one round trip (per shard): (generation, one row per key).

        A row has the value of each field in order, None where there is none. The generation is that of the
        ``@active`` table and is read after the values: a caller who gets the generation it already knows can trust
        the fields it asked for.
        """
        ...

    def table(self, name: TableName) -> dict[str, str]:
        """Reads one of the two tables, whole; empty in a store that was never written."""
        ...

    def swap(self, name: TableName, expected: Mapping[str, str | None], updates: Mapping[str, str | None]) -> bool:
        """Updates entries of a table if the expected entries are unchanged; atomic. Returns whether it updated.

        None means no entry: as an expectation, absent; as an update, removed. False does not prove that nothing was
        written: where the answer of a server was lost, the call is repeated and fails on its own first success.
        """
        ...

    def load(self, batches: Iterable[pl.DataFrame]) -> None:
        """Writes values into fields that nobody else uses yet, without comparing them with what is stored.

        A batch has ``key`` (String, each once) and one Binary column per field, named by the field's number; null is
        no value. ``batches`` is iterated again after a failure.
        """
        ...

    def merge(self, batches: Iterable[pl.DataFrame]) -> dict[int, WriteCounts]:
        """Writes values by compare-and-set, atomic for each value; batches as for `load`. Returns counts by field.

        A value is written where there is none, or where its (run_seq, computed_at, op) is not less than that of the
        stored value and any byte differs. So the greatest (run_seq, computed_at) wins, whoever writes at the same time
        and in whatever order. A stored value of another version is always replaced.
        """
        ...

    def discard(self, field: int | str, keys: Sequence[str], up_to_run: int) -> int:
        """Removes a field from these entities where its run_seq is at most ``up_to_run``. Returns how many."""
        ...

    def clear(self, entity_type: str, fields: Sequence[int]) -> None:
        """Removes fields from every entity of a type."""
        ...

    def remove(self, keys: Sequence[str]) -> None:
        """Removes entities with all their fields."""
        ...

    def keys(self, entity_type: str, fields: Sequence[int]) -> Iterator[list[str]]:
        """The keys of all entities that have any of these fields, in batches; other keys of the type may come too."""
        ...

    def scan(self, entity_type: str) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
        """Every entity of a type with all its fields by name, in batches; an entity may come twice.

        Anything else that is stored under an entity's key comes with the one field `UNREADABLE`.
        """
        ...

    def pulse(self) -> Pulse: ...

    def mark_shards(self) -> None:
        """Stores a new token on every shard, unless all have the same one: from then on the loss of one is noticed."""
        ...

    def checks(self) -> Iterator[Check]:
        """What ``doctor`` should know: how the store is configured, and whether it can be written."""
        ...

    def close(self) -> None: ...
