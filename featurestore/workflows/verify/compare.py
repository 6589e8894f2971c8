"""Comparing what is online with what should be, a chunk of entities at a time.

A `Ledger` holds what the history says of one entity type, packed as it should lie in the store, and ticks off what
the store really holds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl

from featurestore.model import EntityType, StoredVersion
from featurestore.online import format as layout
from featurestore.online.packing import entity_keys, pack_column
from featurestore.serving.upload import Column

Kind = Literal["missing", "stale", "different", "unexpected"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not as it should be. ``field`` is its name in the store; packed bytes, None for nothing."""

    kind: Kind
    key: str
    field: str
    online: bytes | None
    history: bytes | None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: a value of an entity, or (``key`` None) an entry of the store's own tables."""

    kind: Kind
    feature: str | None
    version: StoredVersion | None
    key: str | None
    note: str
    online: bytes | None = None
    history: bytes | None = None


def packed_frame(project: str, entity_type: EntityType, columns: Sequence[Column]) -> pl.DataFrame:
    """What the history says of some entities: keys, and a packed column for each field, null where it has none."""
    frame = pl.DataFrame(schema={"key": pl.String})
    for column in columns:
        packed = pack_column(column.version, column.frame).alias(str(column.field))
        one = pl.DataFrame([entity_keys(project, entity_type, column.frame), packed])
        if frame.height == one.height and frame["key"].equals(one["key"]):
            frame = frame.with_columns(packed)
        else:
            frame = frame.join(one, on="key", how="full", coalesce=True)
    return frame


class Ledger:
    """What the history says of some entities of one type (`packed_frame`), and which of it was met online."""

    def __init__(self, frame: pl.DataFrame) -> None:
        self.fields = frame.columns[1:]
        self._frame = frame.with_row_index("place")
        self._met = np.zeros(frame.height, np.bool_)
        self.checked = 0

    def meet(self, found: pl.DataFrame) -> Iterator[Difference]:
        """Compares some entities as they are online (`frame_of`); one that was met before is passed over."""
        found = found.select("key", *self.fields).unique("key", keep="first", maintain_order=True)
        joined = found.join(self._frame, on="key", how="left", suffix="_history", maintain_order="left")
        place = joined["place"].fill_null(0).to_numpy()
        again = joined["place"].is_not_null().to_numpy() & (self._met[place] if len(self._met) else False)
        self._met[joined["place"].drop_nulls().to_numpy()] = True
        joined = joined.filter(~pl.Series(again, dtype=pl.Boolean))
        for field in self.fields:
            self.checked += int(joined[field].is_not_null().sum())
            wrong = joined.filter(pl.col(field).ne_missing(pl.col(f"{field}_history")))
            yield from _differences(field, wrong.select("key", field, f"{field}_history"))

    def unmet(self) -> Iterator[Difference]:
        """What should be online and was not met."""
        rest = self._frame.filter(~pl.Series(self._met, dtype=pl.Boolean))
        for field in self.fields:
            nothing = rest.select("key", pl.lit(None, pl.Binary).alias(field), pl.col(field).alias("history"))
            yield from _differences(field, nothing.drop_nulls("history"))


def frame_of(entities: Sequence[tuple[str, Mapping[str, bytes]]], fields: Sequence[str]) -> pl.DataFrame:
    """Entities as they are online: their keys, and a column for each field, null where they have none."""
    return pl.DataFrame(
        {"key": [key for key, _ in entities], **{name: [held.get(name) for _, held in entities] for name in fields}},
        schema={"key": pl.String, **dict.fromkeys(fields, pl.Binary)},
    )


def strangers(entities: Sequence[tuple[str, Mapping[str, bytes]]], known: Set[str]) -> Iterator[Difference]:
    """What lies in fields that nobody knows."""
    for key, held in entities:
        for name in held.keys() - known:
            yield Difference("unexpected", key, name, held[name], None)


def _differences(field: str, rows: pl.DataFrame) -> Iterator[Difference]:
    for key, online, history in rows.iter_rows():
        kind = classify(online, history)
        if kind is not None:
            yield Difference(kind, key, field, online, history)


def classify(online: bytes | None, history: bytes | None) -> Kind | None:
    """How a packed value online differs from what the history says; None where it does not matter."""
    if online == history:
        return None
    if history is None:
        return "unexpected"
    if online is None:
        return None if layout.op_of(history) == layout.TOMBSTONE else "missing"
    if len(online) < layout.HEADER or online[layout.ORDER : layout.HEADER] != history[layout.ORDER : layout.HEADER]:
        return "different"
    return "stale" if online[: layout.ORDER] < history[: layout.ORDER] else "different"
