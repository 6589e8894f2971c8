"""What Prometheus reads: requests, latencies and sizes of all workers, and the state of every feature."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from featurestore import times
from featurestore.errors import FeatureStoreError
from featurestore.model import VersionId
from featurestore.online.tables import Marker
from featurestore.serve.live import LiveProject
from featurestore.serving.online_tables import OnlineTables
from featurestore.workflows.catalogue import Entry, Filter, list_features

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # where the workers of one server add up their counts
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60, 600)
SIZES = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
KEEP_SECONDS = 10.0

disable_created_metrics()  # type: ignore[no-untyped-call]  # a third of the page, and of no use


class Metrics:
    """The counters of this worker."""

    def __init__(self, live: LiveProject) -> None:
        own = CollectorRegistry()
        self._own = own
        self.requests = Counter(
            "featurestore_requests", "Requests answered.", ["route", "method", "status"], registry=own
        )
        self.seconds = Histogram(
            "featurestore_request_seconds", "From the first byte of a request to the last of its answer.", ["route"],
            buckets=SECONDS, registry=own,
        )  # fmt: skip
        self.received = Histogram(
            "featurestore_request_bytes", "Bytes of a request's body.", ["route"], buckets=SIZES, registry=own
        )
        self.sent = Histogram(
            "featurestore_response_bytes", "Bytes of an answer's body.", ["route"], buckets=SIZES, registry=own
        )
        self.in_progress = Gauge(
            "featurestore_requests_in_progress", "Requests that are being answered.", registry=own,
            multiprocess_mode="livesum",
        )  # fmt: skip
        self.dropped = Counter(
            "featurestore_log_lines_dropped", "Lines of logs that could not be written.", registry=own
        )
        self._features = CollectorRegistry()
        self._features.register(_FeatureCollector(live))

    def page(self) -> bytes:
        """The metrics as text. Reads the project's files and asks the online store."""
        counts = self._own
        if SHARED_FOLDER in os.environ:
            counts = CollectorRegistry()
            MultiProcessCollector(counts)  # type: ignore[no-untyped-call]  # registers itself
        return generate_latest(counts) + generate_latest(self._features)


class _FeatureCollector:
    """The features' state, found out at most every few seconds, however often it is asked for."""

    def __init__(self, live: LiveProject) -> None:
        self._live = live
        self._lock = threading.Lock()
        self._found: list[Metric] = []
        self._until = 0.0

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterable[Metric]:
        with self._lock:
            if time.monotonic() >= self._until:
                self._found = list(self._collect())
                self._until = time.monotonic() + KEEP_SECONDS
            return self._found

    def _collect(self) -> Iterable[Metric]:
        online = GaugeMetricFamily("featurestore_store_up", "Whether a store answers.", labels=["store"])
        markers: dict[VersionId, Marker] | None = None
        with suppress(FeatureStoreError):
            markers = dict(OnlineTables(self._live.online().store).markers().versions)
        online.add_metric(["online"], float(markers is not None))
        project = GaugeMetricFamily("featurestore_project_readable", "Whether the project's files can be read.")
        try:
            entries = list_features(self._live.snapshot().project, Filter()).entries
        except FeatureStoreError:
            entries = ()
            project.add_metric([], 0.0)
        else:
            project.add_metric([], float(self._live.problem is None))
        yield from (online, project, *_of_features(entries, markers or {}))


def _of_features(entries: Iterable[Entry], markers: dict[VersionId, Marker]) -> Iterable[Metric]:
    now = times.now()
    freshness = _gauge("freshness_seconds", "Since the last run that took the feature.")
    last_run = _gauge("last_run_timestamp_seconds", "When the last run that took the feature ended.")
    failed = _gauge("last_run_failed", "Whether the feature failed in that run.")
    score = _gauge("drift_score", "How far the last run's values have moved: 0 to 1.")
    drifted = _gauge("drifted", "Whether that is drift.")
    lag = _gauge("sync_lag_seconds", "How long the last run has been waiting for a sync; 0 when it is online.")
    for entry in entries:
        name, summary = [entry.feature.name], entry.summary
        if summary.last_run_at is None:
            continue
        freshness.add_metric(name, max(now - summary.last_run_at, 0) / 1e6)
        last_run.add_metric(name, summary.last_run_at / 1e6)
        failed.add_metric(name, float(summary.last_status == "failed"))
        drift = entry.drift if isinstance(entry.drift, dict) else {}
        if isinstance(drift.get("score"), float):
            score.add_metric(name, drift["score"])
            drifted.add_metric(name, float(bool(drift.get("detected"))))
        marker = markers.get(VersionId(entry.feature.name, entry.active_sha256 or ""))
        if marker is not None:
            waits = marker.run_id != summary.last_run and marker.clock < summary.last_run_at
            lag.add_metric(name, max(now - summary.last_run_at, 0) / 1e6 if waits else 0.0)
    return freshness, last_run, failed, score, drifted, lag


def _gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"featurestore_feature_{name}", text, labels=["feature"])
