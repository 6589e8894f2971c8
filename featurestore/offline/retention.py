"""The SQL of retention: what goes from the audit log after a time, so that it does not grow for ever.

Details of runs go: counts and statistics of features, rejected rows, samples that are no reference, positions that
later ones have superseded. What stays of each run are its number, id, times and status, and the verdicts. Whole stays
what is still asked for: of each version the last run, the last with statistics, those whose samples stay and the one at
which it stands in its source; and of each feature the runs in which its active version changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from featurestore.offline.sql import SqlConnection, Values
from featurestore.runs import GONE

# Not those at which a version stands: what they have set aside is set aside still.
_OLD = (
    "(SELECT run_id FROM runs WHERE finished_at < {before:d} AND NOT EXISTS (SELECT 1 FROM "
    "(SELECT max(run_seq) AS last FROM positions GROUP BY feature, sha256, source) stands "
    "WHERE stands.last = runs.run_seq))"
)
_COMMITTED = (
    "SELECT f.name, f.sha256, f.run_id, f.position, f.statistics, r.run_seq FROM run_features f JOIN runs r "
    "USING (run_id) WHERE r.run_seq IS NOT NULL AND f.sha256 IS NOT NULL AND f.status <> 'failed'"
)
_LAST = "SELECT DISTINCT ON (name, sha256) run_id, position FROM ({rows}) rows ORDER BY name, sha256, run_seq DESC"
_CHANGES = (
    "SELECT run_id, position FROM (SELECT *, lag(sha256) OVER (PARTITION BY name ORDER BY run_seq) AS before_it FROM "
    f"(SELECT DISTINCT ON (name, run_seq) * FROM ({_COMMITTED}) rows ORDER BY name, run_seq, position) firsts) changes "
    "WHERE before_it IS DISTINCT FROM sha256"
)
# The first sample of a version is its reference where none is named; the newest stands in for an empty window.
_SAMPLES = (
    "run_seq IN (SELECT run_seq FROM runs WHERE finished_at < {before:d} AND run_seq IS NOT NULL) "
    "AND NOT EXISTS (SELECT 1 FROM drift_references d JOIN runs r ON r.run_seq = samples.run_seq "
    "WHERE d.feature = samples.feature AND d.sha256 = samples.sha256 "
    "AND (d.run_seq = samples.run_seq OR r.learned_at >= {now:d} - d.span)) "
    "AND EXISTS (SELECT 1 FROM samples s WHERE s.feature = samples.feature AND s.sha256 = samples.sha256 "
    "AND s.run_seq > samples.run_seq) "
    "AND (EXISTS (SELECT 1 FROM samples s WHERE s.feature = samples.feature AND s.sha256 = samples.sha256 "
    "AND s.run_seq < samples.run_seq) OR EXISTS (SELECT 1 FROM drift_references d "
    "WHERE d.feature = samples.feature AND d.sha256 = samples.sha256))"
)
_SAMPLED = (
    f"SELECT run_id, position FROM ({_COMMITTED}) rows WHERE EXISTS (SELECT 1 FROM samples "
    "WHERE samples.feature = rows.name AND samples.sha256 = rows.sha256 AND samples.run_seq = rows.run_seq "
    f"AND NOT ({_SAMPLES}))"
)
_KEPT = " UNION ".join(
    f"({query})"
    for query in (
        _LAST.format(rows=_COMMITTED),
        _LAST.format(rows=f"{_COMMITTED} AND f.statistics IS NOT NULL"),
        _CHANGES,
        _SAMPLED,
    )
)
# A row that was dropped before has no statistics and this note; it is not counted again.
_DROPPED = (
    f"run_id IN {_OLD} AND coalesce(note, '') <> '{GONE}' AND NOT EXISTS (SELECT 1 FROM ({_KEPT}) kept "
    "WHERE kept.run_id = run_features.run_id AND kept.position = run_features.position)"
)
_POSITIONS = (
    "run_seq IN (SELECT run_seq FROM runs WHERE finished_at < {before:d} AND run_seq IS NOT NULL) "
    "AND EXISTS (SELECT 1 FROM positions p WHERE p.feature = positions.feature AND p.sha256 = positions.sha256 "
    "AND p.source = positions.source AND p.run_seq > positions.run_seq)"
)


def drop_details(connection: SqlConnection, before: int, now: int) -> None:
    """Drops the details of runs that ended before an instant (µs); inside the caller's transaction."""
    dropped = _DROPPED.format(before=before, now=now)
    connection.rows(f"DELETE FROM rejected WHERE run_id IN {_OLD.format(before=before)} RETURNING 1")
    connection.rows(f"DELETE FROM run_features WHERE drift IS NULL AND {dropped} RETURNING 1")
    connection.rows(
        "UPDATE run_features SET statistics = NULL, error = NULL, rows_read = 0, rows_rejected = 0, rows_written = 0, "
        f"rows_unchanged = 0, rows_corrected = 0, rows_withdrawn = 0, note = '{GONE}' WHERE {dropped} RETURNING 1"
    )
    connection.rows(f"DELETE FROM samples WHERE {_SAMPLES.format(before=before, now=now)} RETURNING 1")
    connection.rows(f"DELETE FROM positions WHERE {_POSITIONS.format(before=before)} RETURNING 1")


def count_details(query: Callable[[str, Values], list[dict[str, Any]]], before: int, now: int) -> int:
    """How many runs that ended before an instant (µs) still have details that `drop_details` would drop."""
    found = query(
        f"SELECT count(DISTINCT run_id) AS runs FROM (SELECT run_id FROM run_features WHERE "
        f"{_DROPPED.format(before=before, now=now)} UNION SELECT run_id FROM rejected WHERE run_id IN "
        f"{_OLD.format(before=before)}) due",
        (),
    )
    return int(found[0]["runs"]) if found else 0
