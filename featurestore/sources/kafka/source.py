"""A Kafka topic as a source: records that are new are fetched into batches, and batches are read as rows.

What was fetched can't be fetched again: a topic forgets. So batches go into the history with the offsets, and rows are
read from them. A batch holds raw records of one partition, as Parquet.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from featurestore.errors import NothingToReadError, plural
from featurestore.model import Json, Source
from featurestore.progress import SILENT, Progress
from featurestore.sources.batches import offer_of_batches, path_of
from featurestore.sources.contract import (
    Choose,
    Cursor,
    Deletions,
    Fetched,
    Finding,
    Held,
    Offer,
    Place,
    ProjectFolders,
    RawPart,
    Report,
    Start,
)
from featurestore.sources.kafka.settings import KafkaSettings, read_schema
from featurestore.sources.kafka.topic import Record, Records, Span, Topic, TopicReader

if TYPE_CHECKING:
    import polars as pl

    from featurestore.sources.kafka.decoding import ReadKeys
    from featurestore.tables.batch import Batch

ROWS = 50_000
BYTES = 32 << 20
"""Of the records of one partition that are in memory before they become a batch."""

SMALL_ROWS = 10_000
MOST_SMALL, MOST_OF_EACH = 64, 8
"""Batches of so few records at the end of what is held, in all and of each partition: more of them become few."""


Last: TypeAlias = dict[str, Any] | None
"""The offset, timestamp and hash of the last record that was read of a partition; None where none was."""


class KafkaSource:
    """`StreamSource` on a topic."""

    complete = False

    def __init__(self, folders: ProjectFolders, source: Source) -> None:
        assert isinstance(source.settings, KafkaSettings), "made by the type's own read_settings"
        self._folders, self._source, self._settings = folders, source, source.settings
        self._batches: dict[str, tuple[int, int]] = {}  # the partition and the first offset of each
        self._held: Held | None = None

    # What is new

    def compare_with(self, held: Held, *, full: bool) -> None:
        """Many small batches of what is held become few with the next records that come."""
        self._held = held

    def fetch(
        self,
        before: Cursor,
        folder: Path,
        sequence: int,
        *,
        restart: bool = False,
        limit: int | None = None,
        progress: Progress = SILENT,
    ) -> Fetched:
        reader = TopicReader(self._settings, self._folders.root, self._source.name)
        try:
            topic = reader.describe()
            known = None if restart or before is None else _State(before)
            spans = self.spans(reader, topic, None if restart else before)
            lasts: dict[int, Last] = {number: known.last(number) if known else None for number in spans}
            writer = _Writer(folder, sequence)
            for records in reader.read(spans, progress):
                writer.add(_unread(records, reader, lasts[records.partition]))
                progress(f"fetching {self._source.name}: {writer.rows:,} records")
                if limit is not None and writer.rows >= limit:
                    break
            writer.flush()
        finally:
            reader.close()
        for number, span in spans.items():  # where not even the record that was read before came
            span.position = max(span.position, 0 if known is None else known.next(number, 0))
        lasts |= {number: _last(record) for number, record in writer.newest.items()}
        partitions = {str(number): {"next": span.position, "last": lasts[number]} for number, span in spans.items()}
        whole = limit is None or writer.rows < limit or all(span.done for span in spans.values())
        waiting = tuple(_waiting(self._settings, topic, spans)) if whole else ()
        cursor = {"cluster": topic.cluster, "topic": topic.id, "partitions": partitions}
        compacted, drops = self._compact(folder / "again") if writer.rows else ((), None)
        return Fetched(cursor, (*compacted, *writer.parts), waiting, whole, drops)

    def _compact(self, folder: Path) -> tuple[tuple[RawPart, ...], tuple[int, int] | None]:
        """What takes the place of many small batches, and which these are: those after one, up to another."""
        held = () if self._held is None else self._held.parts
        count = next((at for at, part in enumerate(reversed(held)) if part.rows >= SMALL_ROWS), len(held))
        small = held[len(held) - count :]
        partitions = {_facts(part)[0] for part in small}
        if self._held is None or count <= max(MOST_SMALL, MOST_OF_EACH * len(partitions)):
            return (), None
        import polars as pl

        folder.mkdir()
        before = small[0].sequence - 1
        writer = _Writer(folder, before, again=True)
        for part in small:
            raw = pl.read_parquet(self._held.open(part))
            writer.add(Records(_facts(part)[0], *(raw[name].to_list() for name in raw.columns)))
        writer.flush()
        return tuple(writer.parts), (before, small[-1].sequence)

    def spans(self, reader: TopicReader, topic: Topic, before: Cursor) -> dict[int, Span]:
        """What is to be read of each partition. Raises SourceError where the topic is not the one that was read."""
        known = None if before is None else _State(before)
        if known is None:
            begins = self._begin(reader, topic)
        else:
            known.check(reader, topic)
            # A partition that is new begins at its beginning: nothing of it was ever passed over.
            begins = {number: known.next(number, found.low) for number, found in topic.partitions.items()}
        spans = {number: Span(begins[number], found.stable) for number, found in topic.partitions.items()}
        for number, span in spans.items():
            last = None if known is None else known.last(number)
            if last is not None and not span.done:  # read once more, to see that it is the one that was read
                span.begin = span.position = max(int(last["offset"]), topic.partitions[number].low)
        return spans

    def _begin(self, reader: TopicReader, topic: Topic) -> dict[int, int]:
        """Where ``start`` says."""
        start = self._settings.start
        if start == "earliest":
            return {number: found.low for number, found in topic.partitions.items()}
        ends = {number: found.stable for number, found in topic.partitions.items()}
        if isinstance(start, int):
            ends |= reader.offsets_at(list(topic.partitions), start)
        return ends

    def commit(self, cursor: Cursor) -> None:
        """Tells the group how far the source was read, where one is named. Raises SourceError."""
        if self._settings.group is None:
            return
        reader = TopicReader(self._settings, self._folders.root, self._source.name)
        try:
            reader.commit(_State(cursor).nexts)
        finally:
            reader.close()

    # What is there

    def offer_of(self, parts: Sequence[RawPart]) -> Offer:
        where = (self._folders.root, self._source.name)
        schemas = {"schema": self._settings.schema, "key_schema": self._settings.key_schema}
        mark = "".join(f"@{read_schema(*where, name, path)[1]}" for name, path in schemas.items() if path is not None)
        self._batches |= {part.name: _facts(part) for part in parts}
        return offer_of_batches(parts, lambda part: _facts(part)[0], mark)

    def offer(self) -> Offer:
        """Nothing: rows of a stream are those that were fetched."""
        return self.offer_of(())

    def missing(self, offer: Offer, cursor: Cursor) -> list[str]:
        return []

    def read(
        self,
        offer: Offer,
        *,
        since: Cursor = None,
        only: Mapping[str, Start | None] | None = None,
        columns: Choose | None = None,
        report: Report,
    ) -> Iterator[Batch]:
        import polars as pl

        from featurestore.sources.kafka.decoding import decode, decoder

        parts: Sequence[RawPart] = offer.handle  # type: ignore[assignment]  # made by offer_of
        avro = None
        if self._settings.format == "avro":
            from featurestore.sources.kafka.avro import open_avro

            avro = open_avro(self._settings, self._folders.root, self._source.name)
        read, read_keys = decoder(self._settings, avro), self._read_keys()
        passed = nameless = 0
        for part in parts:
            if only is not None and part.name not in only:
                continue
            raw = pl.read_parquet(path_of(part, self._source.name), glob=False)
            gone = raw.filter(pl.col("value").is_null())
            passed += gone.height
            nameless += read_keys(gone["key"]).texts.null_count()
            yield decode(raw, _facts(part)[1], part.name, self._settings, read, read_keys)
        if passed and self._settings.tombstone == "skip":
            report(
                f"{self._source.name}: passed over: {plural(passed, 'record')} without a payload; "
                'tombstone = "delete" deletes the entity that their key names'
            )
        elif nameless:
            report(
                f"{self._source.name}: nothing is deleted by {plural(nameless, 'record')} without a payload, whose key "
                f"is missing or can't be read as {self._settings.key_format}"
            )

    def _read_keys(self) -> ReadKeys:
        if self._settings.key_format == "avro":
            from featurestore.sources.kafka.avro import open_avro_keys

            return open_avro_keys(self._settings, self._folders.root, self._source.name)
        from featurestore.sources.kafka.decoding import read_text_keys

        return read_text_keys

    def settled(self, part: RawPart, cursor: Cursor) -> bool:
        return True

    def deleted(self, parts: Sequence[RawPart]) -> Deletions | None:
        key = self._settings.key
        if self._settings.tombstone != "delete" or key is None:
            return None
        import polars as pl

        found = pl.DataFrame(schema={"key": pl.Binary(), "timestamp": pl.Int64()})
        for part in parts:
            if part.path is not None and not _is_again(part):
                gone = pl.read_parquet(part.path, glob=False).filter(pl.col("value").is_null())
                found.extend(gone.select("key", "timestamp"))
        names = self._read_keys()(found["key"]).texts
        instants = (found["timestamp"] * 1_000).cast(pl.Datetime("us"))
        return Deletions(key, pl.DataFrame([names.alias(key), instants.alias("deleted_at")]))

    def without(self, part: RawPart, rows: Collection[int], keys: Sequence[str], folder: Path) -> RawPart | None:
        import polars as pl

        assert part.path is not None, "a batch that can be read"
        raw, first = pl.read_parquet(part.path, glob=False), _facts(part)[1]
        gone = pl.col("offset").is_in([first + row - 1 for row in rows])
        # A record without a payload is no row, and its key may be the entity's.
        named = pl.Series([False]).new_from_index(0, raw.height)
        if raw["value"].null_count():
            named = raw["value"].is_null() & self._read_keys()(raw["key"]).texts.is_in(list(keys)).fill_null(
                value=False
            )
        left = raw.filter(~(gone | named))
        if left.height == raw.height:
            return None
        path = folder / f"without-{part.sequence}.parquet"
        return replace(part, path=path, rows=left.height, **_write(left, path, part.facts))

    def reread(self) -> None:
        """Nothing: a record is read once."""

    def whole_again(self, cursor: Cursor) -> Cursor:
        return cursor

    def beginning(self, rows: int) -> KafkaSource:
        """The same source, whose offer fetches about so many records: from where it starts, or else the last ones."""
        return _Beginning(self._folders, self._source, rows)

    def examine(self) -> Iterator[Finding]:
        reader = TopicReader(self._settings, self._folders.root, self._source.name)
        try:
            topic = reader.describe()
        finally:
            reader.close()
        records = sum(found.stable - found.low for found in topic.partitions.values())
        name = f"{self._source.name}: topic {self._settings.topic}"
        yield Finding(f"{name} has {plural(len(topic.partitions), 'partition')} and at most {records:,} records")
        blocked = [number for number, found in topic.partitions.items() if found.high > found.stable]
        if blocked:
            hint = "a producer has not ended its transaction; what follows is read once it has"
            yield Finding(f"{name}: partition {blocked[0]} is blocked by an open transaction", hint, wrong=True)
        if self._settings.format == "avro":
            from featurestore.sources.kafka.avro import open_avro

            open_avro(self._settings, self._folders.root, self._source.name)
        self._read_keys()

    def begins_with(self, offer: Offer, name: str, size: int, sha256: str) -> bool:
        return False

    def can_start(self, offer: Offer, name: str, size: int) -> bool:
        return False

    def place(self, origin: str, row: int) -> Place:
        partition, first = self._batches[origin]
        return Place(f"{self._settings.topic} partition {partition} offset {first + row - 1}")


class _Beginning(KafkaSource):
    """The first records of a topic, or its last ones where a source begins with those that come."""

    def __init__(self, folders: ProjectFolders, source: Source, rows: int) -> None:
        super().__init__(folders, source)
        self._rows = rows
        self._files = tempfile.TemporaryDirectory(prefix="featurestore-")  # as long as this lives

    def offer(self) -> Offer:
        fetched = self.fetch(None, Path(self._files.name), 0, limit=self._rows)
        if not fetched.parts:
            raise NothingToReadError(
                f"topic {self._settings.topic} has no records to read", where=f"source {self._source.name}"
            )
        return replace(self.offer_of(fetched.parts), warnings=fetched.waiting)

    def _begin(self, reader: TopicReader, topic: Topic) -> dict[int, int]:
        if self._settings.start != "latest":
            return super()._begin(reader, topic)
        each = self._rows // len(topic.partitions) + 1
        return {number: max(found.low, found.stable - each) for number, found in topic.partitions.items()}


class _State:
    """The stored position of a source. Raises nothing: it was written by us."""

    def __init__(self, cursor: Cursor) -> None:
        assert isinstance(cursor, dict), "a position of this type"
        self._cursor: dict[str, Any] = cursor
        self._partitions: dict[str, Any] = cursor["partitions"]

    @property
    def nexts(self) -> dict[int, int]:
        return {int(number): int(each["next"]) for number, each in self._partitions.items()}

    def next(self, number: int, default: int) -> int:
        return self.nexts.get(number, default)

    def last(self, number: int) -> Last:
        found: Last = self._partitions.get(str(number), {}).get("last")
        return found

    def check(self, reader: TopicReader, topic: Topic) -> None:
        """Raises SourceError where the topic is not the one that was read, or has lost what was not read yet."""
        for what, before, now in (
            ("cluster", self._cursor["cluster"], topic.cluster),
            ("topic", self._cursor["topic"], topic.id),
        ):
            if before is not None and now is not None and before != now:
                raise reader.gone(f"is in another {what} than before" if what == "cluster" else "was made anew")
        for number, following in self.nexts.items():
            found = topic.partitions.get(number)
            if found is None:
                raise reader.gone(f"partition {number} is not there any more")
            if following < found.low:
                raise reader.gone(
                    f"the records of partition {number} from offset {following} to {found.low - 1} were removed before "
                    "they were read"
                )
            if following > found.high:
                raise reader.gone(f"partition {number} ends at offset {found.high}, and was read up to {following}")


def _unread(records: Records, reader: TopicReader, last: Last) -> Records:
    """Those after the last record that was read of their partition.

    Raises SourceError where that one is another now. One that was compacted away is none.
    """
    if last is None:
        return records
    left = records.after(last["offset"])
    if len(left) < len(records):
        again = records[len(records) - len(left) - 1]
        if again.offset == last["offset"] and _last(again) != last:
            raise reader.gone(
                f"partition {records.partition} has another record at offset {again.offset} than was read"
            )
    return left


def _last(record: Record) -> Last:
    return {"offset": record.offset, "timestamp": record.timestamp, "sha256": record.sha256}


def _waiting(settings: KafkaSettings, topic: Topic, spans: Mapping[int, Span]) -> Iterator[str]:
    """What could not be read yet, and why, in words."""
    for number, span in spans.items():
        found = topic.partitions[number]
        name = f"topic {settings.topic} partition {number}"
        if not span.done:
            yield (
                f"{name}: nothing came for {settings.timeout:g} s; it is read up to offset {span.position} of "
                f"{span.end}, and the rest by a later run"
            )
        elif found.high > max(found.stable, span.position):
            yield (
                f"{name} is blocked by a transaction that is open: what follows offset {span.position - 1} is read by "
                "the first run after its end"
            )


def _facts(part: RawPart) -> tuple[int, int]:
    assert isinstance(part.facts, dict), "written below"
    return int(part.facts["partition"]), int(part.facts["first"])


def _is_again(part: RawPart) -> bool:
    """Whether a batch holds records of earlier runs, which said then whom they delete."""
    return isinstance(part.facts, dict) and bool(part.facts["again"])


class _Writer:
    """Makes batches of records, each a file in a folder, numbered from after ``sequence`` on.

    With ``again`` they hold records of earlier runs.
    """

    def __init__(self, folder: Path, sequence: int, *, again: bool = False) -> None:
        self._folder, self._sequence, self._again = folder, sequence, again
        self._waiting: dict[int, Records] = {}
        self._sizes: dict[int, int] = {}
        self.parts: list[RawPart] = []
        self.rows = 0
        self.newest: dict[int, Record] = {}

    def add(self, records: Records) -> None:
        if not len(records):
            return
        self.newest[records.partition] = records[-1]
        self.rows += len(records)
        before = self._waiting.get(records.partition)
        if before is not None and records.offsets[0] <= before.offsets[-1]:  # of a topic that was made anew
            self._write(self._waiting.pop(records.partition))
        waiting = self._waiting.setdefault(records.partition, Records(records.partition))
        waiting.extend(records)
        size = self._sizes[records.partition] = self._sizes.get(records.partition, 0) + records.size
        if len(waiting) >= ROWS or size >= BYTES:
            self._sizes[records.partition] = 0
            self._write(self._waiting.pop(records.partition))

    def flush(self) -> None:
        for partition in sorted(self._waiting):
            self._write(self._waiting.pop(partition))

    def _write(self, waiting: Records) -> None:
        import polars as pl

        from featurestore.sources.kafka.decoding import MOST_SPAN, RAW

        columns = {
            "offset": waiting.offsets, "timestamp": waiting.timestamps, "key": waiting.keys, "value": waiting.values,
        }  # fmt: skip
        frame = pl.DataFrame(columns, schema=RAW)
        far = frame.filter(pl.col("offset") - waiting.offsets[0] >= MOST_SPAN)  # of a topic that was compacted
        for piece in (frame.head(frame.height - far.height), *([far] if far.height else [])):
            self._sequence += 1
            path = self._folder / f"{self._sequence}.parquet"
            facts: dict[str, Json] = {"first": int(piece["offset"][0]), "last": int(piece["offset"][-1])}
            facts |= {"partition": waiting.partition, "again": self._again}
            written = _write(piece, path, facts)
            self.parts.append(
                RawPart(name=str(self._sequence), sequence=self._sequence, rows=piece.height, path=path, **written)
            )


def _write(records: pl.DataFrame, path: Path, facts: Json) -> dict[str, Any]:
    """Writes raw records; the content, size and facts of the batch."""
    assert isinstance(facts, dict), "written here"
    records.write_parquet(path, compression="zstd", compression_level=1, statistics=False)
    data = path.read_bytes()
    size = len(data)
    return {"content": hashlib.sha256(data).hexdigest(), "size": size, "facts": {**facts, "size": size}}
