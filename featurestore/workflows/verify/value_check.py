"""Comparing the values that are online with those that the history says should be, some entities at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set

import numpy as np
import polars as pl

from featurestore.model import EntityType
from featurestore.online import format as layout
from featurestore.online.packed_steps import pack_rows
from featurestore.online.packing import entity_keys
from featurestore.serving.batches import VersionRows
from featurestore.workflows.verify.differences import Difference, Kind


def history_frame(project: str, entity_type: EntityType, partition: Sequence[VersionRows]) -> pl.DataFrame:
    """What should be online: ``key``, and a packed column for each field, null where the history has no value."""
    frame = pl.DataFrame(schema={"key": pl.String})
    for rows in partition:
        packed = pack_rows(rows.version, rows.frame).alias(str(rows.field))
        one = pl.DataFrame([entity_keys(project, entity_type, rows.frame), packed])
        if frame.height == one.height and frame["key"].equals(one["key"]):
            frame = frame.with_columns(packed)
        else:
            frame = frame.join(one, on="key", how="full", coalesce=True)
    return frame


def online_frame(entities: Sequence[tuple[str, Mapping[str, bytes]]], fields: Sequence[str]) -> pl.DataFrame:
    """What is online: ``key``, and a packed column for each of these fields, null where an entity has no value."""
    return pl.DataFrame(
        {
            "key": [key for key, _ in entities],
            **{name: [values.get(name) for _, values in entities] for name in fields},
        },
        schema={"key": pl.String, **dict.fromkeys(fields, pl.Binary)},
    )


class ValueCheck:
    """Compares a `history_frame` with `online_frame`s of the same entities, and remembers which of them have come.

    ``checked`` counts the online values that were compared.
    """

    def __init__(self, history: pl.DataFrame) -> None:
        self.fields = history.columns[1:]
        self.checked = 0
        self._history = history.with_row_index("place")
        self._has_come = np.zeros(history.height, np.bool_)

    def compare(self, online: pl.DataFrame) -> Iterator[Difference]:
        """The differences of some entities. An entity that has come before is skipped: a scan may repeat one."""
        online = online.select("key", *self.fields).unique("key", keep="first", maintain_order=True)
        joined = online.join(self._history, on="key", how="left", suffix="_history", maintain_order="left")
        place = joined["place"].fill_null(0).to_numpy()
        repeated = joined["place"].is_not_null().to_numpy() & (self._has_come[place] if len(self._has_come) else False)
        self._has_come[joined["place"].drop_nulls().to_numpy()] = True
        joined = joined.filter(~pl.Series(repeated, dtype=pl.Boolean))
        for field in self.fields:
            self.checked += int(joined[field].is_not_null().sum())
            differing = joined.filter(pl.col(field).ne_missing(pl.col(f"{field}_history")))
            yield from _differences(field, differing.select("key", field, f"{field}_history"))

    def rest(self) -> Iterator[Difference]:
        """The differences of entities that have not come: the history has values for them."""
        rest = self._history.filter(~pl.Series(self._has_come, dtype=pl.Boolean))
        for field in self.fields:
            rows = rest.select("key", pl.lit(None, pl.Binary).alias(field), pl.col(field).alias("history"))
            yield from _differences(field, rows.drop_nulls("history"))


def unknown_fields(entities: Sequence[tuple[str, Mapping[str, bytes]]], known: Set[str]) -> Iterator[Difference]:
    """Values in fields that belong to no version."""
    for key, values in entities:
        for name in values.keys() - known:
            yield Difference("unexpected", key, name, values[name], None)


def classify(online: bytes | None, history: bytes | None) -> Kind | None:
    """How an online value differs from the history's; None where a reader gets the same from both."""
    if online == history:
        return None
    if history is None:
        return "unexpected"
    if online is None:
        return None if layout.op_of(history) == layout.TOMBSTONE else "missing"
    if len(online) < layout.HEADER or online[layout.ORDER : layout.HEADER] != history[layout.ORDER : layout.HEADER]:
        return "different"
    return "stale" if layout.order_of(online) < layout.order_of(history) else "different"


def _differences(field: str, rows: pl.DataFrame) -> Iterator[Difference]:
    for key, online, history in rows.iter_rows():
        kind = classify(online, history)
        if kind is not None:
            yield Difference(kind, key, field, online, history)
