"""The online store on Redis or Valkey, one server or a cluster.

One hash for each entity (see `online.format`). Values are written by compare-and-set inside the server, so that no
writer replaces a newer value; only a load into fields that nobody uses yet streams plain commands. Every exchange is
idempotent, so it is tried again a few times where the server was only briefly unable.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import chain, count
from typing import TYPE_CHECKING, Any, TypeVar

from redis import exceptions as redis_errors
from redis.crc import key_slot

from featurestore.config import Project
from featurestore.model import Check
from featurestore.online import format as layout
from featurestore.online.contract import Pulse, RefusedError, TableName, WriteCounts
from featurestore.online.redis import answers, wire
from featurestore.online.redis.errors import note_written
from featurestore.online.redis.health import checks_of, count_of
from featurestore.online.redis.scripts import DISCARD, MERGE, SWAP
from featurestore.online.redis.servers import DEFAULT_RETRIES, RedisNode, Retries, Servers
from featurestore.online.tables import EPOCH, GENERATION

if TYPE_CHECKING:
    import polars as pl

# The server answers nobody while a script runs. So many entities take it some 3 ms.
ENTITIES_PER_CALL = 500
KEYS_PER_SCAN = 2_000
SLOTS = 16_384
SHARD_MARKS = 128
Answer = TypeVar("Answer")
TOKEN = "token"  # noqa: S105  (of a mark, no secret)


class RedisStore:
    """`OnlineStore` on the servers that ``[online] url`` names. Raises ConfigError for a url that can't be read."""

    def __init__(self, project: Project, url: str, retries: Retries = DEFAULT_RETRIES) -> None:
        self._project = project.name
        self._servers = Servers(url, retries, project.online_timeout)
        self._tables = {"active": layout.active_key(project.name), "meta": layout.meta_key(project.name)}
        self._active = self._tables["active"].encode()
        self._generation = wire.command("HGET", self._tables["active"], GENERATION)

    def fetch(self, keys: Sequence[str], fields: Sequence[int]) -> tuple[str, list[list[bytes | None]]]:
        if self._servers.cluster:
            return self._servers.attempt(lambda: self._fetch_from_many(keys, tuple(fields)))
        return self._servers.attempt(lambda: self._fetch(keys, tuple(fields)))

    def _fetch(self, keys: Sequence[str], fields: tuple[int, ...]) -> tuple[str, list[list[bytes | None]]]:
        node = self._servers.node_of(self._active)
        connection = node.take()  # not `node.connection()`, which is slower, for every read comes here
        try:
            # The generation last: if it is the expected one, no field was given up while its values were read.
            connection.send(wire.hmget(keys, fields) + self._generation)
            found = connection.read_many(len(keys) + 1 if fields else 1)
            generation = answers.text_or_nothing("HGET", found.pop())
            rows = answers.rows("HMGET", found, len(fields))
        except BaseException:
            connection.close()
            raise
        node.give(connection)
        return (generation or b"").decode(errors="replace"), rows if fields else [[] for _ in keys]

    def _fetch_from_many(self, keys: Sequence[str], fields: tuple[int, ...]) -> tuple[str, list[list[bytes | None]]]:
        """One exchange with each shard, all at the same time; one more where a value is missing."""
        first = self._servers.node_of(self._active)
        places: dict[RedisNode, list[int]] = {first: []}
        for place, key in enumerate(keys if fields else ()):
            places.setdefault(self._servers.node_of(key.encode()), []).append(place)
        asked = {node: (wire.hmget([keys[at] for at in some], fields), len(some)) for node, some in places.items()}
        asked[first] = (asked[first][0] + self._generation, asked[first][1] + 1)
        found = wire.exchange(asked)
        generation = answers.text_or_nothing("HGET", found[first].pop())
        rows: list[list[bytes | None]] = [[] for _ in keys]
        for node, some in places.items():
            for at, row in zip(some, answers.rows("HMGET", found[node], len(fields)), strict=True):
                rows[at] = row
        if len(asked) > 1 and any(None in row for row in rows):
            # Another shard may have answered a moment later, when its values had already moved to other fields.
            node = self._servers.node_of(self._active)
            generation = answers.text_or_nothing("HGET", node.ask("HGET", self._tables["active"], GENERATION))
        return (generation or b"").decode(errors="replace"), rows

    def table(self, name: TableName) -> dict[str, str]:
        found = self._ask(answers.pairs, self._tables[name], "HGETALL", self._tables[name])
        return {entry: text.decode(errors="replace") for entry, text in found.items()}

    def swap(self, name: TableName, expected: Mapping[str, str | None], updates: Mapping[str, str | None]) -> bool:
        key = self._tables[name]
        words = [str(len(expected)), *wire.entries(expected), str(len(updates)), *wire.entries(updates)]
        return bool(self._ask(answers.number, key, "EVAL", SWAP, 1, key, *words))

    def load(self, batches: Iterable[pl.DataFrame]) -> None:
        from featurestore.online.redis.bulk import Stream, hset_commands

        def stream() -> None:
            with Stream() as out:
                for batch in batches:
                    for node, rows in self._by_node(batch):
                        for commands in hset_commands(rows):
                            out.send(node, commands)

        self._servers.attempt(stream)

    def merge(self, batches: Iterable[pl.DataFrame]) -> dict[int, WriteCounts]:
        totals: dict[int, WriteCounts] = {}
        done = 0
        for batch in batches:
            fields = [name for name in batch.columns if name != "key"]
            columns = [batch[name].fill_null(b"").to_list() for name in fields]
            rows = dict(zip(batch["key"].to_list(), zip(*columns, strict=True), strict=True))

            def arguments(keys: Sequence[str], rows: dict[str, Any] = rows, fields: list[str] = fields) -> list[Any]:
                return [len(fields), *fields, *chain.from_iterable(rows[key] for key in keys)]

            try:
                found = self._run(MERGE, list(rows), arguments, 2 * len(fields))
            except RefusedError as exc:
                exc.written += done
                raise
            counts = [sum(column) for column in zip(*found, strict=True)]
            for name, written, created in zip(fields, counts, counts[len(fields) :], strict=False):
                total = totals.get(int(name), WriteCounts())
                totals[int(name)] = WriteCounts(total.written + written, total.created + created)
            done += batch.height
        return totals

    def discard(self, field: int | str, keys: Sequence[str], up_to_run: int) -> int:
        return sum(count for (count,) in self._run(DISCARD, keys, lambda _: [field, up_to_run], 1))

    def clear(self, entity_type: str, fields: Sequence[int]) -> None:
        import polars as pl

        from featurestore.online.redis.bulk import Stream, hdel_commands

        names = [str(field) for field in fields]

        def stream() -> None:
            with Stream() as out:
                for node, keys in self._scan_keys(entity_type):
                    out.send(node, hdel_commands(pl.Series("key", keys, dtype=pl.String), names))

        self._servers.attempt(stream)

    def remove(self, keys: Sequence[str]) -> None:
        def work() -> None:
            by_node: dict[RedisNode, list[str]] = {}
            for key in keys:
                by_node.setdefault(self._servers.node_of(key.encode()), []).append(key)
            for node, some in by_node.items():
                for _ in wire.pipeline(node, (("UNLINK", key) for key in some)):
                    pass

        self._servers.attempt(work)

    def keys(self, entity_type: str, fields: Sequence[int]) -> Iterator[list[str]]:
        return (keys for _, keys in self._scan_keys(entity_type))

    def scan(self, entity_type: str) -> Iterator[list[tuple[str, dict[str, bytes]]]]:
        for node, keys in self._scan_keys(entity_type):
            asked = {node: (b"".join(wire.command("HGETALL", key) for key in keys), len(keys))}
            hashes = self._servers.attempt(partial(self._hashes, asked, node))
            yield [(key, fields) for key, fields in zip(keys, hashes, strict=True) if fields]

    @staticmethod
    def _hashes(asked: Mapping[RedisNode, tuple[bytes, int]], node: RedisNode) -> list[dict[str, bytes]]:
        found = wire.exchange(asked, tolerate="WRONGTYPE")[node]
        return [answers.pairs("HGETALL", fields) for fields in found]

    def pulse(self) -> Pulse:
        infos = self._servers.attempt(lambda: [wire.info(node) for node in self._servers.nodes()])
        servers = ",".join(sorted(info.get("run_id", "") for info in infos))
        evicted = sum(count_of(info, "evicted_keys") for info in infos)
        return Pulse(servers, evicted, len(infos), self._contents())

    def mark_shards(self) -> None:
        if self._servers.cluster and not self._contents():
            token = secrets.token_hex(8)
            for key in shard_keys(self._project):
                self._ask(answers.number, key, "HSET", key, TOKEN, token)

    def _contents(self) -> str:
        """The token that all parts of a cluster have; empty where it is not the same."""
        if not self._servers.cluster:
            return ""

        def ask() -> set[bytes | None]:
            places: dict[RedisNode, list[bytes]] = {}
            for key in shard_keys(self._project):
                places.setdefault(self._servers.node_of(key.encode()), []).append(wire.command("HGET", key, TOKEN))
            asked = {node: (b"".join(commands), len(commands)) for node, commands in places.items()}
            found = wire.exchange(asked).values()
            return {answers.text_or_nothing("HGET", token) for tokens in found for token in tokens}

        tokens = self._servers.attempt(ask)
        token = tokens.pop() if len(tokens) == 1 else None
        return "" if token is None else token.decode(errors="replace")

    def checks(self) -> Iterator[Check]:
        for node in self._servers.attempt(self._servers.nodes):
            info = self._servers.attempt(partial(wire.info, node))
            yield from checks_of(info, self._servers.where)
        epoch = {EPOCH: self.table("meta").get(EPOCH)}
        self.swap("meta", epoch, epoch)  # changes nothing, and is refused where writing is not permitted
        yield Check("online", "ok", "it may be written")

    def close(self) -> None:
        self._servers.disconnect()

    def _ask(self, read: Callable[[str, Any], Answer], key: str, *words: str | int) -> Answer:
        """One command to the server that has a key; ``read`` takes its answer, or refuses it."""
        return self._servers.attempt(lambda: read(str(words[0]), self._servers.node_of(key.encode()).ask(*words)))

    def _run(
        self, script: str, keys: Sequence[str], arguments: Callable[[Sequence[str]], list[Any]], width: int
    ) -> list[list[int]]:
        """Calls a script for all keys, some hundreds per call and one slot per call: ``width`` numbers of each call."""

        def work() -> list[list[int]]:
            found: list[list[int]] = []
            done = 0
            try:
                for node, groups in self._groups(keys).items():
                    # Each time, because a server that was restarted has forgotten it.
                    sha = answers.text("SCRIPT LOAD", node.ask("SCRIPT", "LOAD", script))
                    calls = (("EVALSHA", sha, len(group), *group, *arguments(group)) for group in groups)
                    for group, answer in zip(groups, wire.pipeline(node, calls), strict=True):
                        found.append(answers.numbers("EVALSHA", answer, width))
                        done += len(group)
            except redis_errors.ResponseError as exc:
                note_written(exc, done)
                raise
            return found

        return self._servers.attempt(work)

    def _groups(self, keys: Sequence[str]) -> dict[RedisNode, list[Sequence[str]]]:
        """Keys in groups, one call each, by the node that has them; on a cluster a group is of one slot."""
        slots: dict[int, list[str]] = {}
        for key in keys:
            slots.setdefault(key_slot(key.encode()) if self._servers.cluster else 0, []).append(key)
        groups: dict[RedisNode, list[Sequence[str]]] = {}
        for slot, some in slots.items():
            calls = [some[at : at + ENTITIES_PER_CALL] for at in range(0, len(some), ENTITIES_PER_CALL)]
            groups.setdefault(self._servers.node_of_slot(slot), []).extend(calls)
        return groups

    def _by_node(self, batch: pl.DataFrame) -> Iterator[tuple[RedisNode, pl.DataFrame]]:
        import polars as pl

        if not self._servers.cluster:
            yield self._servers.node_of(self._active), batch
            return
        owners = [self._servers.node_of(key.encode()) for key in batch["key"].to_list()]
        for node in dict.fromkeys(owners):
            yield node, batch.filter(pl.Series([owner is node for owner in owners]))

    @staticmethod
    def _page(node: RedisNode, words: tuple[str | bytes | int, ...]) -> tuple[bytes, list[bytes]]:
        return answers.page("SCAN", node.ask(*words))

    def _scan_keys(self, entity_type: str) -> Iterator[tuple[RedisNode, list[str]]]:
        """Every key of an entity type, node by node; one may come twice."""
        pattern = layout.key_prefix(self._project, entity_type) + "*"
        for node in self._servers.attempt(self._servers.nodes):
            cursor: bytes | int = 0
            while True:
                words = ("SCAN", cursor, "MATCH", pattern, "COUNT", KEYS_PER_SCAN)
                cursor, keys = self._servers.attempt(partial(self._page, node, words))
                if keys:
                    yield node, [key.decode() for key in keys]
                if cursor in (b"0", 0):
                    break


@lru_cache(maxsize=8)
def shard_keys(project: str) -> list[str]:
    """Keys of which one lies in every 128th part of a cluster's slots: some on each shard, however it is cut."""
    found: dict[int, str] = {}
    for number in count():
        key = f"{layout.PREFIX}:{project}:@shard:{number}"
        found.setdefault(key_slot(key.encode()) * SHARD_MARKS // SLOTS, key)
        if len(found) == SHARD_MARKS:
            break
    return list(found.values())
