"""Records to rows: a batch of raw records of one partition, decoded, with the record's key and timestamp as columns.

A row's number is its offset, counted from the batch's first one. What can't be decoded is listed as unreadable; a
record without a payload is no row.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TypeAlias

import numpy as np
import polars as pl

from featurestore.errors import SourceError
from featurestore.frozen import frozen
from featurestore.sources.kafka.settings import TEXT, KafkaSettings
from featurestore.tables.batch import MAX_REJECTED, STRING, Batch, Rows, UnreadableRow
from featurestore.tables.json_texts import read_objects, without

RAW = {"offset": pl.Int64(), "timestamp": pl.Int64(), "key": pl.Binary(), "value": pl.Binary()}
"""The columns of raw records of one partition; ``timestamp`` is in milliseconds, null where a record has none."""

MOST_SPAN = 1 << 31
"""Offsets from the first to the last record of a batch: rows have numbers of 32 bits."""

NO_TEXT = (
    'its key is not text: UTF-8, without a zero byte as in a number or an Avro key (which key_format = "avro" reads)'
)

SHOWN = 1_000  # bytes of a payload that are shown of a record that can't be decoded

Decode: TypeAlias = Callable[[Sequence[bytes], str], "Decoded"]
"""Reads payloads, none of which is null, given the name of their batch."""

ReadKeys: TypeAlias = Callable[[pl.Series], "Keys"]
"""Reads the keys of records, some of which may be null."""


@frozen
class Keys:
    """Keys as text, null where a record has none or one that can't be read: ``wrong`` says why, by its place."""

    texts: pl.Series
    wrong: Mapping[int, str]


@frozen
class Decoded:
    """The rows of some payloads: ``at`` are their places among these, ``wrong`` says why others are none."""

    frame: pl.DataFrame
    at: Rows
    kinds: dict[str, pl.Series] = field(default_factory=dict)
    wrong: dict[int, str] = field(default_factory=dict)


def decoder(settings: KafkaSettings, avro: Decode | None) -> Decode:
    """What reads the payloads of a source; ``avro`` is that of its schema or registry."""
    if settings.format == "json":
        return read_json
    if settings.format == "text":
        return read_text
    assert avro is not None, "given for this format"
    return avro


def decode(
    raw: pl.DataFrame, first: int, origin: str, settings: KafkaSettings, read: Decode, read_keys: ReadKeys
) -> Batch:
    """The rows of raw records (`RAW`) of one partition; the one at offset ``first`` has the number 1.

    Raises SourceError where a column would come twice.
    """
    raw = raw.filter(pl.col("value").is_not_null())
    numbers = (raw["offset"] - first + 1).cast(pl.UInt32).to_numpy()
    found = read(raw["value"].to_list(), origin)
    frame, kinds, wrong = found.frame, dict(found.kinds), dict(found.wrong)
    chosen = raw.select("timestamp", "key")[found.at.tolist()] if frame.height < raw.height else raw
    kept = np.ones(frame.height, bool)
    if settings.key is not None:
        keys = read_keys(chosen["key"])
        for place, reason in keys.wrong.items():
            wrong[int(found.at[place])], kept[place] = reason, False
        frame = _with(frame, settings.key, keys.texts, "key", origin)
        kinds[settings.key] = pl.Series("", [STRING], dtype=pl.UInt8).new_from_index(0, frame.height)
    if settings.timestamp is not None:
        times = chosen["timestamp"].cast(pl.Datetime("ms", "UTC"))
        frame = _with(frame, settings.timestamp, times, "timestamp", origin)
    at = found.at
    if not kept.all():
        mask = pl.Series(kept)
        frame, at = frame.filter(mask), at[kept]
        kinds = {name: kind.filter(mask) for name, kind in kinds.items()}
    values = raw["value"]
    unreadable = [
        UnreadableRow(int(numbers[place]), wrong[place], _shown(values[place]))
        for place in sorted(wrong)[:MAX_REJECTED]
    ]
    return Batch(
        origin,
        frame,
        rows=numbers[at],
        unreadable=tuple(unreadable),
        unreadable_count=raw.height - len(at),
        kinds=kinds,
    )


def _with(frame: pl.DataFrame, name: str, values: pl.Series, what: str, origin: str) -> pl.DataFrame:
    if name in frame.columns:
        raise SourceError(
            f"has a field {name!r}, which the record's {what} is to be called too", where=origin,
            hint=f"give {what} another name in [sources.NAME], or leave it out: then the field is the column",
        )  # fmt: skip
    return pl.DataFrame([*frame.get_columns(), values.alias(name)])


def read_text_keys(values: pl.Series) -> Keys:
    """Keys in UTF-8. Those with a zero byte are none: a number in bytes has some, and what a schema registry frames.

    Such bytes may well be UTF-8, and would be the ids of entities that nobody knows.
    """
    texts = _texts(values)
    texts = texts.set(texts.str.contains("\0", literal=True), None)
    return Keys(texts, dict.fromkeys((texts.is_null() & values.is_not_null()).arg_true(), NO_TEXT))


def _texts(values: pl.Series) -> pl.Series:
    """Bytes as text; null where they are not UTF-8."""
    try:
        return values.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series([_text(value) for value in values], dtype=pl.String)


def _text(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _shown(value: bytes) -> str:
    text = _text(value[:SHOWN])
    return f"x'{value[:100].hex()}'" if text is None else text


def read_text(values: Sequence[bytes], _origin: str) -> Decoded:
    """Each payload as one text."""
    texts = _texts(pl.Series(values, dtype=pl.Binary))
    wrong = {int(at): "is not UTF-8" for at in texts.is_null().arg_true()}
    at = texts.is_not_null().arg_true().cast(pl.UInt32).to_numpy()
    return Decoded(texts.drop_nulls().alias(TEXT).to_frame(), at, wrong=wrong)


def _on_one_line(value: bytes) -> bytes:
    """JSON without its line ends, which are white space between its parts. What is not JSON stays as it is."""
    try:
        json.loads(value)
    except (ValueError, RecursionError):
        return value
    return value.replace(b"\n", b" ")


def read_json(values: Sequence[bytes], origin: str) -> Decoded:
    """Each payload as one JSON object."""
    lines = [_on_one_line(value) if b"\n" in value else value for value in values]
    batch = read_objects(lines, origin)
    assert batch.rows is not None, "objects are numbered one by one"
    at = batch.rows - np.uint32(1)
    others = without(len(lines), at)
    empty = {number: "is empty" for number in others if not lines[number] or lines[number].isspace()}
    wrong = {row.row - 1: row.reason for row in batch.unreadable} | empty
    return Decoded(batch.frame, at, batch.kinds, wrong)
