"""Values that can be used only some time after what they are dated at: `delay` of a feature without a window.

A window moves its rows itself. Everything else is computed, compared and found to be due at its own time, and stored
that much later; what is dated ahead of the clock by it waits in the history until its time has come.
"""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from featurestore.frozen import frozen
from featurestore.offline.contract import Part, RunTransaction
from featurestore.workflows.ingest.evaluating import Comparison, ValuesPart
from featurestore.workflows.ingest.events import Computed
from featurestore.workflows.ingest.pairs import AT, HIGH, LOW, later


def delay_values(event: Computed, transaction: RunTransaction) -> Computed:
    """What is to be stored of a target, at the times from which on it can be used."""
    feature = event.target.feature
    if feature.delay is None or feature.window is not None:
        return event
    marks = transaction.deletions(feature.entity_type).filter(pl.col("author") != "returned")
    delay = _Delay(feature.delay, marks.select(*feature.entity_type.key_names, "deleted_at"))
    return replace(
        event,
        result=replace(event.result, frame=delay.values(event.result.frame)),
        comparison=None if event.comparison is None else delay.comparison(event.comparison),
        parts=[ValuesPart(_DelayedFrame(part.frame, delay), delay.comparison(part.comparison)) for part in event.parts],
    )


@frozen
class _Delay:
    """``by`` is in µs; ``marks`` are the deletions of entities: their keys and ``deleted_at``."""

    by: int
    marks: pl.DataFrame

    def values(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Later, without those that an entity's deletion lies before: they are made of rows up to then."""
        moved = frame.with_columns(later(pl.col(AT), self.by))
        if not self.marks.height or not moved.height:
            return moved
        keys = [name for name in self.marks.columns if name != "deleted_at"]
        number = moved.with_row_index(_NUMBER)
        met = number.join(self.marks, on=keys, how="inner")
        met = met.filter(pl.col("deleted_at") < pl.col(AT), pl.col("deleted_at") >= later(pl.col(AT), -self.by))
        return number.join(met, on=_NUMBER, how="anti", maintain_order="left").drop(_NUMBER)

    def comparison(self, one: Comparison) -> Comparison:
        """Of what is held at the later times."""
        return replace(
            one,
            pairs=self._moved(one.pairs, AT),
            spans=self._moved(one.spans, LOW, HIGH),
            checks=self._moved(one.checks, LOW, HIGH),
            expected=self._moved(one.expected, AT),
            floor=None if one.floor is None else one.floor + self.by,
            ceiling=None if one.ceiling is None else one.ceiling + self.by,
        )

    def _moved(self, frame: pl.DataFrame | None, *columns: str) -> pl.DataFrame | None:
        """`LOW` and `HIGH` of spans without a bound stay as they are: they lie beyond all times."""
        if frame is None:
            return None
        return frame.with_columns(later(pl.col(name), self.by) for name in columns)


_NUMBER = "featurestore number"


@frozen
class _DelayedFrame:
    """A frame on disk whose values are later when it is read."""

    spilled: Part
    delay: _Delay

    @property
    def height(self) -> int:
        return self.spilled.height

    @property
    def common(self) -> None:
        """Those of another delay have other times."""
        return

    def read(self) -> pl.DataFrame:
        return self.delay.values(self.spilled.read())
