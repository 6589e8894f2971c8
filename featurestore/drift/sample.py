"""The sample of a run's values that is stored, so that the run's verdict can be computed again years later.

A sample has at most `limit` values, drawn with a seed, and facts about all rows of the run: how many were null, NaN or
infinite, their range, their categories. It is stored as one blob: ``FSD1``, the length of a JSON header (4 bytes,
little endian), the header, and the values as an Arrow IPC stream. Nothing in it is pickled.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from featurestore.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from featurestore.model import DataType, Json

LIMIT = 10_000
MOST_CATEGORIES = 10_000
MAGIC = b"FSD1"

Kind = Literal["number", "category", "none"]


@frozen
class Facts:
    """Facts about the whole run. ``categories`` are all that it has, None if they are more than `MOST_CATEGORIES`.

    ``remade`` is true once the sample was drawn again without an entity that was erased.
    """

    kind: Kind
    method: str
    seed: int
    rows: int
    nulls: int
    nans: int = 0
    infinities: int = 0
    distinct: int | None = None
    low: float | None = None
    high: float | None = None
    categories: tuple[str | bool, ...] | None = None
    edges: tuple[float, ...] = ()
    remade: bool = False

    @property
    def finite(self) -> int:
        """How many values of the run can be compared."""
        return self.rows - self.nulls - self.nans - self.infinities


@frozen
class Sample:
    """Values, sorted, finite and not null, with the facts about the rows that they were drawn from."""

    values: pl.Series
    facts: Facts


def kind_of(data_type: DataType) -> Kind:
    """Numbers and categories can be compared. Dates only ever grow, and a list is not a single value."""
    if data_type.numeric:
        return "number"
    return "category" if data_type.kind in ("string", "bool") else "none"


def draw(
    parts: Iterable[pl.Series],
    data_type: DataType,
    statistics: Mapping[str, Json],
    *,
    method: str,
    seed: int,
    limit: int = LIMIT,
) -> Sample:
    """The sample of one run's values, which come in parts. ``statistics`` are those of all of them.

    The rows are divided into `limit` equal intervals and one row is drawn from each, so that the sample is spread over
    the entities and takes time in proportion to its own size.
    """
    kind = kind_of(data_type)
    present, nulls = _count(statistics, "count"), _count(statistics, "null_count")
    nans, infinities = _count(statistics, "nan_count"), _count(statistics, "infinite_count")
    count = present - nans - infinities if kind != "none" else 0
    places = _positions(count, limit, seed) if count > limit else None
    drawn: list[pl.Series] = []
    seen, categories = 0, _Categories()
    for part in parts:
        comparable = part.drop_nulls() if kind != "none" else part.clear()
        if nans or infinities:
            comparable = comparable.filter(comparable.is_finite())
        if kind == "category":
            categories.add(comparable)
        drawn.append(comparable if places is None else comparable.gather(_within(places, seen, len(comparable))))
        seen += len(comparable)
    histogram = statistics.get("histogram")
    return Sample(
        pl.concat(drawn).rename("value").sort(),
        Facts(
            kind=kind,
            method=method,
            seed=seed,
            rows=present + nulls,
            nulls=nulls,
            nans=nans,
            infinities=infinities,
            distinct=_count(statistics, "distinct") if "distinct" in statistics else None,
            low=_bound(statistics, "min") if kind == "number" else None,
            high=_bound(statistics, "max") if kind == "number" else None,
            categories=categories.names if kind == "category" else None,
            edges=tuple(histogram["edges"]) if isinstance(histogram, dict) else (),
        ),
    )


def pool(samples: Sequence[Sample], *, seed: int, limit: int = LIMIT) -> Sample:
    """One sample for the rows of several runs, oldest first. Each run gives values in proportion to its rows.

    The histogram's edges, the method and the kind are those of the first. Raises ValueError for samples of two kinds.
    """
    facts = [sample.facts for sample in samples]
    if len(samples) == 1:
        return samples[0]
    if len({(fact.kind, str(sample.values.dtype)) for fact, sample in zip(facts, samples, strict=True)}) > 1:
        raise ValueError("the runs of the window have values of more than one type")
    total = sum(fact.finite for fact in facts)
    # The largest share of its rows that every run can give.
    room = min([len(s.values) / s.facts.finite for s in samples if s.facts.finite], default=0.0)
    share = min(room, limit / total) if total else 0.0
    drawn = [
        sample.values.gather(_positions(len(sample.values), size, seed)) if size < len(sample.values) else sample.values
        for sample in samples
        for size in [min(len(sample.values), round(share * sample.facts.finite))]
    ]
    categories = [fact.categories for fact in facts]
    names = None if None in categories else sorted({name for part in categories for name in part or ()}, key=str)
    return Sample(
        pl.concat(drawn).sort(),
        replace(
            facts[0],
            seed=seed,
            rows=sum(fact.rows for fact in facts),
            nulls=sum(fact.nulls for fact in facts),
            nans=sum(fact.nans for fact in facts),
            infinities=sum(fact.infinities for fact in facts),
            distinct=None,
            low=min((fact.low for fact in facts if fact.low is not None), default=None),
            high=max((fact.high for fact in facts if fact.high is not None), default=None),
            categories=None if names is None or len(names) > MOST_CATEGORIES else tuple(names),
            remade=any(fact.remade for fact in facts),
        ),
    )


def pack_sample(sample: Sample) -> bytes:
    """The sample as bytes, as a store stores it."""
    facts = asdict(sample.facts)
    facts["known"] = facts.pop("categories")  # the name in the format FSD1
    if not facts["remade"]:
        del facts["remade"]  # as before there was anything to say of it
    header = json.dumps(facts, ensure_ascii=False, allow_nan=False).encode()
    body = io.BytesIO()
    # In Arrow's oldest layout, which whatever reads the blob in years to come will know.
    sample.values.to_frame("value").write_ipc_stream(body, compression="zstd", compat_level=pl.CompatLevel.oldest())
    return MAGIC + len(header).to_bytes(4, "little") + header + body.getvalue()


def unpack_sample(blob: bytes) -> Sample:
    """The sample that `pack_sample` packed. Raises ValueError for other bytes."""
    if blob[:4] != MAGIC:
        raise ValueError("not a drift sample of this format")
    end = 8 + int.from_bytes(blob[4:8], "little")
    facts = json.loads(blob[8:end])
    categories = facts.pop("known")
    facts |= {"categories": None if categories is None else tuple(categories), "edges": tuple(facts["edges"])}
    return Sample(pl.read_ipc_stream(io.BytesIO(blob[end:]))["value"], Facts(**facts))


def _positions(count: int, limit: int, seed: int) -> pl.Series:
    # NumPy never changes RandomState's stream; that of a Generator may change.
    random = np.random.RandomState(seed % 2**32).random_sample(limit)
    starts = np.arange(limit + 1) * count // limit
    return pl.Series(starts[:-1] + (random * np.diff(starts)).astype(np.int64))


def _within(places: pl.Series, start: int, length: int) -> pl.Series:
    """Those of the sorted places that lie in a part, counted from where it begins."""
    first, last = np.searchsorted(places.to_numpy(), (start, start + length)).tolist()
    return places.slice(first, last - first) - start


class _Categories:
    """The categories of a column that comes in parts."""

    def __init__(self) -> None:
        self._found: pl.Series | None = None
        self._many = False

    def add(self, part: pl.Series) -> None:
        if self._many:
            return
        if len(part) > MOST_CATEGORIES:  # much faster than to find them all
            self._many = part.to_frame().select(pl.all().approx_n_unique()).item() > MOST_CATEGORIES
        if not self._many:
            self._found = (part if self._found is None else pl.concat([self._found, part])).unique()
            self._many = len(self._found) > MOST_CATEGORIES

    @property
    def names(self) -> tuple[str | bool, ...] | None:
        """None if they are too many."""
        return None if self._many or self._found is None else tuple(self._found.sort().to_list())


def _count(statistics: Mapping[str, Json], name: str) -> int:
    value = statistics.get(name)
    return value if isinstance(value, int) else 0


def _bound(statistics: Mapping[str, Json], name: str) -> float | None:
    value = statistics.get(name)
    return float(value) if isinstance(value, int | float) else None
