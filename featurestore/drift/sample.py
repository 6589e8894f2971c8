"""What is kept of a run's values, so that its verdict can be reached again years later.

A sample holds at most `limit` values, drawn with a seed, and facts about all the rows it stands for:
how many were null, NaN or infinite, between what they lay, which categories they took. It travels as
one blob: ``FSD1``, the length of a JSON header (4 bytes, little endian), the header, and the values as
an Arrow IPC stream. Nothing in it is pickled.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from featurestore.model import DataType, Json

LIMIT = 10_000
CATEGORIES = 10_000
MAGIC = b"FSD1"

Kind = Literal["number", "category", "none"]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a sample says of the whole run. ``known`` are all its categories, None where there were too many."""

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
    known: tuple[str | bool, ...] | None = None
    edges: tuple[float, ...] = ()

    @property
    def finite(self) -> int:
        """How many values of the run could be compared."""
        return self.rows - self.nulls - self.nans - self.infinities


@dataclass(frozen=True, slots=True)
class Sample:
    """Sorted, finite, non-null values, and the facts about the rows they were drawn from."""

    values: pl.Series
    facts: Facts


def kind_of(data_type: DataType) -> Kind:
    """Numbers and categories can be compared; dates only ever grow, and lists have no one distribution."""
    if data_type.numeric:
        return "number"
    return "category" if data_type.kind in ("string", "bool") else "none"


def draw(
    values: pl.Series,
    data_type: DataType,
    statistics: Mapping[str, Json],
    *,
    method: str,
    seed: int,
    limit: int = LIMIT,
) -> Sample:
    """The sample of one run's values; ``statistics`` are those that `describe` gave for the same values.

    The rows are cut into `limit` equal stretches and one row is drawn from each, so that the sample is
    spread over the entities and costs no more than its own size.
    """
    kind = kind_of(data_type)
    present = values.drop_nulls() if kind != "none" else values.clear()
    nans, infinities = _count(statistics, "nan_count"), _count(statistics, "infinite_count")
    if nans or infinities:
        present = present.filter(present.is_finite())
    drawn = present.gather(_positions(len(present), limit, seed)) if len(present) > limit else present
    histogram = statistics.get("histogram")
    return Sample(
        drawn.rename("value").sort(),
        Facts(
            kind=kind,
            method=method,
            seed=seed,
            rows=len(values),
            nulls=values.null_count(),
            nans=nans,
            infinities=infinities,
            distinct=_count(statistics, "distinct") if "distinct" in statistics else None,
            low=_bound(statistics, "min") if kind == "number" else None,
            high=_bound(statistics, "max") if kind == "number" else None,
            known=_known(present) if kind == "category" else None,
            edges=tuple(histogram["edges"]) if isinstance(histogram, dict) else (),
        ),
    )


def pool(samples: Sequence[Sample], *, seed: int, limit: int = LIMIT) -> Sample:
    """One sample that stands for the rows of several runs, oldest first; each with its share of the values.

    The histogram's edges, the method and the kind are the first one's. Raises ValueError for samples of two kinds.
    """
    facts = [sample.facts for sample in samples]
    if len(samples) == 1:
        return samples[0]
    if len({(fact.kind, str(sample.values.dtype)) for fact, sample in zip(facts, samples, strict=True)}) > 1:
        raise ValueError("the runs of the window hold values of more than one type")
    total = sum(fact.finite for fact in facts)
    # The most values of which every run can give its share.
    room = min([len(s.values) / s.facts.finite for s in samples if s.facts.finite], default=0.0)
    share = min(room, limit / total) if total else 0.0
    drawn = [
        sample.values.gather(_positions(len(sample.values), size, seed)) if size < len(sample.values) else sample.values
        for sample in samples
        for size in [min(len(sample.values), round(share * sample.facts.finite))]
    ]
    known = [fact.known for fact in facts]
    names = None if None in known else sorted({name for part in known for name in part or ()}, key=str)
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
            known=None if names is None or len(names) > CATEGORIES else tuple(names),
        ),
    )


def pack_sample(sample: Sample) -> bytes:
    """The sample as bytes for a store to keep."""
    header = json.dumps(asdict(sample.facts), ensure_ascii=False, allow_nan=False).encode()
    body = io.BytesIO()
    sample.values.to_frame("value").write_ipc_stream(body, compression="zstd", compat_level=pl.CompatLevel.oldest())
    return MAGIC + len(header).to_bytes(4, "little") + header + body.getvalue()


def unpack_sample(blob: bytes) -> Sample:
    """The sample that `pack_sample` packed. Raises ValueError for bytes that are not one."""
    if blob[:4] != MAGIC:
        raise ValueError("not a drift sample of this format")
    end = 8 + int.from_bytes(blob[4:8], "little")
    facts = json.loads(blob[8:end])
    known = facts["known"]
    facts |= {"known": None if known is None else tuple(known), "edges": tuple(facts["edges"])}
    return Sample(pl.read_ipc_stream(io.BytesIO(blob[end:]))["value"], Facts(**facts))


def _positions(count: int, limit: int, seed: int) -> pl.Series:
    # RandomState's stream is frozen for good, which a Generator's is not.
    random = np.random.RandomState(seed % 2**32).random_sample(limit)
    starts = np.arange(limit + 1) * count // limit
    return pl.Series(starts[:-1] + (random * np.diff(starts)).astype(np.int64))


def _known(present: pl.Series) -> tuple[str | bool, ...] | None:
    if len(present) > CATEGORIES:
        distinct = present.to_frame().select(pl.all().approx_n_unique()).item()
        if distinct > CATEGORIES:
            return None
    return tuple(present.unique().sort().to_list())


def _count(statistics: Mapping[str, Json], name: str) -> int:
    value = statistics.get(name)
    return value if isinstance(value, int) else 0


def _bound(statistics: Mapping[str, Json], name: str) -> float | None:
    value = statistics.get(name)
    return float(value) if isinstance(value, int | float) else None
