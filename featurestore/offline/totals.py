"""What an audit log of any length adds up to: a light line for each run, and one for each version.

`AuditLog.runs` gives runs whole, with the statistics and verdicts of each feature. A list of 100,000 of them needs only
their counts, which are added up where they are stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from featurestore.frozen import frozen
from featurestore.model import RunStatus, VersionId
from featurestore.runs import fewest_rejected

Query = Callable[[str, Sequence[Any]], list[dict[str, Any]]]
NAMES = 3
"""How many of a run's features its totals name."""


@frozen
class RunTotals:
    """One run with its counts added up over its features, or those of one feature alone where that was asked for.

    Instants are microseconds, counts are rows. ``names`` are the first of its ``features``; ``failed`` and ``drifted``
    count features. Features of one source set aside the same rows, so ``rows_rejected`` is the least that it can be.
    """

    run_id: str
    run_seq: int | None
    started_at: int
    duration_s: float
    status: RunStatus
    sources: tuple[str, ...]
    git_commit: str | None
    features: int
    names: tuple[str, ...]
    failed: int
    drifted: int
    rows_written: int
    rows_corrected: int
    rows_rejected: int


@frozen
class VersionTotals:
    """One version over all its runs: the rows that they wrote, and the drift scores of the last of them, oldest first.

    A score is None where drift was not measured.
    """

    rows: int
    scores: tuple[float | None, ...]


# The order of `AuditLog.runs`.
_TOTALS = (
    "SELECT r.*, f.features, f.names, f.failed, f.drifted, f.rows_written, f.rows_corrected, f.rejected "
    "FROM (SELECT * FROM ({in_order}) runs {where} ORDER BY place DESC, run_seq DESC NULLS FIRST, started_at DESC, "
    "run_id LIMIT {limit:d} OFFSET {skip:d}) r "
    "LEFT JOIN (SELECT run_id, count(*) AS features, "
    "string_agg(CASE WHEN position < {names} THEN name END, ' ' ORDER BY position) AS names, "
    "count(CASE WHEN status = 'failed' THEN 1 END) AS failed, "
    # Few verdicts have the words; of those, some only say that an earlier version had other values.
    "count(CASE WHEN strpos(drift, $1) > 0 AND CAST(drift AS JSON) ->> 'detected' = 'true' THEN 1 END) AS drifted, "
    "sum(rows_written) AS rows_written, sum(rows_corrected) AS rows_corrected, "
    "string_agg(CASE WHEN rows_rejected > 0 THEN rows_rejected || ' ' || source END, '\n') AS rejected "
    "FROM run_features {of_feature} GROUP BY run_id) f ON r.run_id = f.run_id "
    "ORDER BY r.place DESC, r.run_seq DESC NULLS FIRST, r.started_at DESC, r.run_id"
)
_DETECTED = json.dumps({"detected": True}).strip("{}")  # as `audit_rows.dump_json` writes it
_ROWS = (
    "SELECT name, sha256, sum(rows_written) AS rows FROM run_features WHERE sha256 IS NOT NULL GROUP BY name, sha256"
)
_SCORES = (
    "SELECT name, sha256, score FROM (SELECT f.name, f.sha256, r.run_seq, CAST(f.drift AS JSON) ->> 'score' AS score, "
    "row_number() OVER (PARTITION BY f.name, f.sha256 ORDER BY r.run_seq DESC) AS back FROM run_features f "
    "JOIN runs r ON f.run_id = r.run_id WHERE f.drift IS NOT NULL AND f.sha256 IS NOT NULL "
    "AND r.run_seq IS NOT NULL) s WHERE back <= {last:d} ORDER BY name, sha256, run_seq"
)


def read_run_totals(query: Query, in_order: str, *, feature: str | None, last: int, skip: int) -> list[RunTotals]:
    """The ``last`` newest runs but the first ``skip`` of them, newest first, of one feature or all."""
    of_feature = "" if feature is None else "WHERE name = $2"
    where = of_feature and f"WHERE run_id IN (SELECT run_id FROM run_features {of_feature})"
    text = _TOTALS.format(in_order=in_order, where=where, of_feature=of_feature, limit=last, skip=skip, names=NAMES)
    rows = query(text, [_DETECTED] if feature is None else [_DETECTED, feature])
    return [_run(row) for row in rows]


def read_version_totals(query: Query, *, last: int) -> dict[VersionId, VersionTotals]:
    """Every version that a run has computed, with the scores of its ``last`` newest measured runs."""
    scores: dict[VersionId, list[float | None]] = {}
    for row in query(_SCORES.format(last=last), []):
        score = row["score"]
        scores.setdefault(VersionId(row["name"], row["sha256"]), []).append(None if score is None else float(score))
    totals = {}
    for row in query(_ROWS, []):
        version = VersionId(row["name"], row["sha256"])
        totals[version] = VersionTotals(int(row["rows"]), tuple(scores.get(version, ())))
    return totals


def _run(row: Mapping[str, Any]) -> RunTotals:
    counts = {name: int(row[name] or 0) for name in _COUNTS}
    rejected = (line.partition(" ") for line in (row["rejected"] or "").splitlines())
    return RunTotals(
        run_id=row["run_id"], run_seq=row["run_seq"], started_at=row["started_at"], duration_s=row["duration_s"],
        status=row["status"], sources=tuple(json.loads(row["sources"])), git_commit=row["git_commit"],
        names=tuple((row["names"] or "").split()),
        rows_rejected=fewest_rejected((source, int(count)) for count, _, source in rejected), **counts,
    )  # fmt: skip


_COUNTS = ("features", "failed", "drifted", "rows_written", "rows_corrected")
