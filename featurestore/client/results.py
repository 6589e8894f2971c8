"""What the methods of `FeatureStore` return: the documents of the commands of the same names."""

from __future__ import annotations

from typing import Any

from featurestore.client.result import Result


class Problem(Result):
    """What is wrong: a stable code, a message, where, and what to do."""

    code: str
    message: str
    where: str | None
    hint: str | None


class FeatureEntry(Result):
    """One declared feature, as ``list`` shows it."""

    name: str
    entity_type: str
    data_type: str
    description: str
    owner: str
    tags: tuple[str, ...]
    status: str
    source: str | None
    sources: tuple[str, ...]
    active_version: int | None
    active_sha256: str | None
    sha256: str | None
    last_run: str | None
    last_run_at: str | None
    online: bool


class Features(Result):
    """All declared features, and what is wrong with declarations that can't be used."""

    features: tuple[FeatureEntry, ...]
    problems: tuple[Problem, ...]


class Version(Result):
    """One version of a feature."""

    version: int
    sha256: str
    created: str
    git_commit: str | None
    active: bool
    packages: dict[str, str]


class FeatureDetail(FeatureEntry):
    """One feature with all that its files say of it, as ``show`` has it."""

    versions: tuple[Version, ...]


class PlannedFeature(Result):
    """What would change of one feature: it is ``new``, ``changed``, ``metadata``, ``removed``, or ``none`` does."""

    name: str
    change: str
    old_sha256: str | None
    new_sha256: str | None
    old_version: int | None
    new_version: int | None
    locked: bool
    reasons: tuple[str, ...]


class Plan(Result):
    """What the working tree would change."""

    features: tuple[PlannedFeature, ...]
    problems: tuple[Problem, ...]


class DriftVerdict(Result):
    """Whether a run's values are distributed as those of the reference run."""

    detected: bool
    score: float | None
    statistic: float | None
    p_value: float | None
    method: str | None
    threshold: float | None
    reasons: tuple[str, ...]
    reference_run: str | None


class FeatureRun(Result):
    """What a run did with one feature."""

    name: str
    version: int | None
    sha256: str | None
    new_version: bool
    status: str
    rows_read: int
    rows_rejected: int
    rows_written: int
    rows_unchanged: int
    rows_corrected: int
    rows_withdrawn: int
    source: str | None
    drift: DriftVerdict
    note: str | None
    error: Problem | None


class Run(Result):
    """One run of the audit log."""

    run_id: str
    run_seq: int | None
    started_at: str
    finished_at: str
    duration_s: float
    status: str
    source: str
    host: str
    git_commit: str | None
    features: tuple[FeatureRun, ...]


class IngestRun(Run):
    """The run that ``ingest`` made."""

    dry_run: bool
    warnings: tuple[str, ...]


class Backfill(IngestRun):
    """The last run of a backfill, and under ``steps`` all that were made."""

    steps: tuple[Run, ...]


class Runs(Result):
    """Runs of the audit log, newest first."""

    runs: tuple[Run, ...]


class HistoryValue(Result):
    """One value that was ever held: when it was true, when it was learned, and by which run."""

    value: Any
    computed_at: str
    ingested_at: str
    run_id: str
    tombstone: bool
    withdrawn: bool


class History(Result):
    """Every value ever held of one entity, oldest first."""

    feature: str
    version: int
    sha256: str
    entity_id: Any
    values: tuple[HistoryValue, ...]


class DriftPoint(Result):
    """One run of a drift timeline, as statistics show it."""

    run_id: str
    started_at: str
    score: float | None
    detected: bool
    status: str
    mean: float | None
    count: int | None


class Stats(Result):
    """The distribution of one run's values and of all that are held, and the drift score of each run."""

    feature: str
    version: int
    sha256: str
    run_id: str
    statistics: dict[str, Any]
    held: dict[str, Any]
    drift: tuple[DriftPoint, ...]


class DriftRun(DriftVerdict):
    """One run of a feature's drift timeline."""

    run_id: str
    run_seq: int
    started_at: str
    status: str
    chance: float | None
    reference_since: str | None
    n: int | None
    reference_n: int | None
    rows: int | None
    reference_rows: int | None
    distinct: int | None
    reference_distinct: int | None
    null_share: float | None
    reference_null_share: float | None
    new_categories: tuple[str, ...]
    since: str | None


class DriftTimeline(Result):
    """The drift timeline of one feature, oldest first."""

    feature: str
    version: int
    sha256: str
    reference: dict[str, Any] | None
    runs: tuple[DriftRun, ...]


class FeatureDrift(DriftRun):
    """The newest verdict of one feature, and since when it has drifted."""

    feature: str
    version: int
    sha256: str
    since_run: str | None
    since: str | None


class DriftOverview(Result):
    """The newest verdict of each feature, worst first."""

    features: tuple[FeatureDrift, ...]


class DiffSide(Result):
    """One of the two versions that are compared."""

    version: int | None
    sha256: str | None
    source: str
    data_source: str | None
    label: str


class Diff(Result):
    """How two versions of a feature differ: in code, and, where both have values, in distribution and by entity."""

    feature: str
    old: DiffSide
    new: DiffSide
    code_changed: bool
    reasons: tuple[str, ...]
    note: str | None
    metadata: dict[str, Any]
    unified_diff: str
    statistics: dict[str, Any]
    entities: dict[str, Any]


class DataSets(Result):
    """The data sets made so far."""

    datasets: tuple[DataSet, ...]


class DataSet(Result):
    """A training set, with what it takes to make it again."""

    name: str
    made_at: str
    run_seq: int
    run_id: str | None
    features: tuple[Any, ...]
    timestamp_column: str


class FeatureStatus(Result):
    """One feature in the morning's page."""

    name: str
    version: int | None
    freshness_s: float | None
    last_run: str | None
    last_status: str | None
    drift: Any
    online_lag_runs: int | None
    problems: tuple[str, ...]


class Status(Result):
    """Freshness, failures, drift and lag of the online store, worst first."""

    features: tuple[FeatureStatus, ...]
    problems: int


class SyncedFeature(Result):
    """What ``sync`` did with one feature."""

    name: str
    version: int
    entities_written: int
    watermark: int | None


class Sync(Result):
    """What ``sync`` wrote to the online store."""

    mode: str
    duration_s: float
    features: tuple[SyncedFeature, ...]


class JoinSummary(Result):
    """What a join did: how many labels, which columns, and how old the values are."""

    labels: int
    columns: tuple[str, ...]
    features: tuple[Any, ...]
    output: str | None


class LatestSummary(Result):
    """What ``latest`` wrote to a file."""

    entity_type: str
    at: str
    entities: int
    columns: tuple[str, ...]
    features: tuple[Any, ...]
    output: str


class Backup(Result):
    """A backup that was written, or would be; ``changed`` is False where the file was one of this state already."""

    file: str
    changed: bool
    made_at: str
    last_run: str | None
    runs: int
    versions: int
    rows: int
    version_files: int
    file_bytes: int | None
    dry_run: bool
    warnings: tuple[str, ...]


class Restored(Result):
    """What was restored, or would be; ``left`` is what was erased since and has to be erased again."""

    file: str
    changed: bool
    project: str
    made_at: str
    last_run: str | None
    runs: int
    versions: int
    rows: int
    version_files: dict[str, list[str]]
    runs_replaced: int
    entities_erased: int
    needs_force: tuple[str, ...]
    left: tuple[str, ...]
    dry_run: bool
    warnings: tuple[str, ...]
