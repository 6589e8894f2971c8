"""What runs have measured of an entity, made again without it: statistics, samples, the texts of verdicts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from featurestore.config import DriftSettings
from featurestore.drift.remake import remake
from featurestore.model import FeatureRun, Json, StoredVersion
from featurestore.offline.contract import VALUE, Measures, OfflineStore

Edges = tuple[float, ...]


def measure_without(
    store: OfflineStore, version: StoredVersion, entity: pl.DataFrame, runs: set[int], settings: DriftSettings
) -> Iterator[Measures]:
    """What each run measured of a version, without an entity (a frame of key columns) of which ``runs`` wrote rows.

    Those runs are measured again, and so are others whose histograms have the edges of one of them: an edge may be a
    value. Oldest first, as the edges go.
    """
    keys = version.entity_type.key_names
    renewed: dict[Edges, Edges] = {}
    for run in reversed(store.runs(feature=version.id.feature)):
        item = next((item for item in run.features if item.sha256 == version.id.sha256), None)
        if run.run_seq is None or item is None or item.statistics is None:
            continue
        before = _edges(item.statistics)
        if run.run_seq not in runs and before not in renewed:
            continue
        rows = store.scan(version, up_to_run=run.run_seq, after_run=run.run_seq - 1)
        rows = rows.filter(pl.col("op") == VALUE).join(entity, on=list(keys), how="anti", maintain_order="left")
        again = remake(
            rows.select(*keys, "computed_at", "value"),
            keys,
            version.data_type,
            verdict=item.drift,
            sample=store.sample(version.id, run.run_seq),
            edges=renewed.get(before, before) if _is_compared(item) else None,
            learned_at=run.learned_at,
            limit=settings.sample,
        )
        if before and run.run_seq in runs and not _is_compared(item):
            renewed[before] = _edges(again.statistics)
        yield Measures(run.run_id, run.run_seq, again.statistics, again.verdict, again.sample)


def _is_compared(item: FeatureRun) -> bool:
    """Whether the run's histogram has the edges of its reference, and not its own."""
    return item.drift is not None and item.drift.get("reference_run") is not None


def _edges(statistics: Mapping[str, Json]) -> Edges:
    histogram = statistics.get("histogram")
    found: Sequence[float] = histogram["edges"] if isinstance(histogram, Mapping) else ()
    return tuple(found)
