"""What runs have measured of an entity, made again without it: statistics, samples, the texts of verdicts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from featurestore.config import DriftSettings
from featurestore.drift.remake import edges_of, remake
from featurestore.model import FeatureRun, Json, StoredVersion
from featurestore.offline.contract import VALUE, CommittedRun, Measures, OfflineStore
from featurestore.runs import RENAME

Edges = tuple[float, ...]


def measure_without(
    store: OfflineStore, version: StoredVersion, entity: pl.DataFrame, runs: set[int], settings: DriftSettings
) -> Iterator[Measures]:
    """What each run measured of a version, without an entity (a frame of key columns) of which ``runs`` wrote rows.

    Those runs are measured again, and so are others whose histograms have the edges of one of them: an edge may be a
    value. Oldest first, as the edges go.
    """
    keys = version.entity_type.key_names
    seen: set[Edges] = set()
    renewed: dict[Edges, Edges] = {}
    met: dict[str, Mapping[str, Json] | None] = {}  # what statistics are by now, None where they stay
    for run, item in _measured(store, version):
        text = "" if item is None else json.dumps(item.statistics, sort_keys=True)
        # A rename measured nothing, and has a copy of what a run before it did.
        if item is not None and item.source == RENAME:
            if text not in met or met[text] is not None:
                yield Measures(run.run_id, run.run_seq, met.get(text), None, None)
            continue
        sample = store.sample(version.id, run.run_seq) if item is None or run.run_seq in runs or renewed else None
        before = edges_of(sample) if item is None else _edges(item.statistics or {})
        compared = before in seen if item is None else _is_compared(item)
        seen.add(before)
        met.setdefault(text, None)
        if run.run_seq not in runs and before not in renewed:
            continue
        rows = store.scan(version, up_to_run=run.run_seq, after_run=run.run_seq - 1)
        rows = rows.filter(pl.col("op") == VALUE).join(entity, on=list(keys), how="anti", maintain_order="left")
        again = remake(
            rows.select(*keys, "computed_at", "value"),
            keys,
            version.data_type,
            verdict=None if item is None else item.drift,
            sample=sample,
            edges=renewed.get(before, before) if compared else None,
            learned_at=run.learned_at,
            limit=settings.sample,
        )
        if before and run.run_seq in runs and not compared:
            renewed[before] = _edges(again.statistics)
        met[text] = again.statistics
        yield Measures(run.run_id, run.run_seq, again.statistics, again.verdict, again.sample)


def _measured(store: OfflineStore, version: StoredVersion) -> Iterator[tuple[CommittedRun, FeatureRun | None]]:
    """The committed runs that measured a version, oldest first, and what is recorded of it.

    A version that has another name now has the samples of its former one, of which nothing may be recorded any more.
    """
    names = dict.fromkeys(each.id.feature for each in store.versions() if each.id.sha256 == version.id.sha256)
    found: dict[int, FeatureRun] = {}
    for name in sorted(names, key=lambda name: name != version.id.feature):
        for run in store.runs(feature=name):
            item = next((each for each in run.features if (each.name, each.sha256) == (name, version.id.sha256)), None)
            if run.run_seq is not None and item is not None and item.statistics is not None:
                found.setdefault(run.run_seq, item)
    for committed in store.committed_runs():
        if committed.run_seq in found or len(names) > 1:
            yield committed, found.get(committed.run_seq)


def _is_compared(item: FeatureRun) -> bool:
    """Whether the run's histogram has the edges of its reference, and not its own."""
    return item.drift is not None and item.drift.get("reference_run") is not None


def _edges(statistics: Mapping[str, Json]) -> Edges:
    histogram = statistics.get("histogram")
    found: Sequence[float] = histogram["edges"] if isinstance(histogram, Mapping) else ()
    return tuple(found)
