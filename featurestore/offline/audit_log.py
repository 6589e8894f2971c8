"""The SQL of the audit log and of samples: runs, versions, positions, rejected rows.

It is the same in DuckDB and in PostgreSQL (`offline.schema` has the tables); a store brings the connection.
"""

from __future__ import annotations

import datetime
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

import polars as pl

from featurestore import times
from featurestore.model import EntityType, FeatureRun, Json, RejectedRow, Run, Scope, StoredVersion, VersionId
from featurestore.offline import audit_rows
from featurestore.offline.contract import (
    TOMBSTONE,
    VALUE,
    WITHDRAWN,
    Author,
    Baseline,
    CommittedRun,
    Erasure,
    Measures,
    Part,
    Position,
    RawBatch,
    Written,
)
from featurestore.offline.datasets import drop_labels
from featurestore.offline.known import KNOWN, known_now, with_held_times, withdrawals
from featurestore.offline.naming import naming
from featurestore.offline.raw_rows import delete_raw, insert_raw, put_source_position
from featurestore.offline.retention import count_details
from featurestore.offline.sql import (
    SqlConnection,
    Values,
    coming_table,
    history_table,
    quote,
)
from featurestore.offline.totals import RunTotals, VersionTotals, read_run_totals, read_version_totals
from featurestore.registry.summary import FeatureSummary
from featurestore.tables.types import INSTANT, key_types, value_type

_COMMITTED = (
    "committed AS (SELECT f.name, f.sha256, f.status, f.position, f.statistics, f.drift, r.run_seq, r.run_id, "
    "r.started_at FROM run_features f JOIN runs r USING (run_id) WHERE r.run_seq IS NOT NULL AND f.sha256 IS NOT NULL "
    "AND f.status <> 'failed' AND NOT (f.source = 'delete' AND f.rows_read = 0))"
)
# The first of a feature's versions in a run is the working tree's (`last_committed` goes by it too); ``since`` is the
# start of the first run after the last one in which it was another version.
_LAST_COMMITTED = (
    f"WITH {_COMMITTED}, "
    "firsts AS (SELECT DISTINCT ON (name, run_seq) name, sha256, status, run_seq, run_id, started_at FROM committed "
    "ORDER BY name, run_seq, position), "
    "lasts AS (SELECT DISTINCT ON (name) * FROM firsts ORDER BY name, run_seq DESC), "
    "others AS (SELECT f.name, max(f.run_seq) AS run_seq FROM firsts f JOIN lasts l ON f.name = l.name "
    "WHERE f.sha256 <> l.sha256 GROUP BY f.name), "
    "sinces AS (SELECT DISTINCT ON (f.name) f.name, f.started_at AS since FROM firsts f LEFT JOIN others o "
    "ON f.name = o.name WHERE f.run_seq > coalesce(o.run_seq, 0) ORDER BY f.name, f.run_seq) "
    "SELECT l.*, s.since FROM lasts l JOIN sinces s ON l.name = s.name"
)
_LAST_OF_VERSIONS = (
    f"WITH {_COMMITTED} SELECT DISTINCT ON (name, sha256) name, sha256, run_id, started_at FROM committed "
    "ORDER BY name, sha256, run_seq DESC"
)
_LAST_STATISTICS = (
    f"WITH {_COMMITTED} SELECT DISTINCT ON (name, sha256) name, sha256, statistics, drift FROM committed "
    "WHERE statistics IS NOT NULL ORDER BY name, sha256, run_seq DESC"
)


# The order of commits, whatever the clocks of the machines said; a run that committed nothing comes after the last one
# whose clock, which counts the others too, was before its own.
_IN_ORDER = (
    "SELECT *, coalesce(run_seq, max(run_seq) OVER (ORDER BY coalesce(learned_at, started_at)), 0) AS place FROM runs"
)


CURSORS_SINCE = 3  # the format whose positions are cursors, and no longer lists of files
DELETIONS_SINCE = 5  # the format that first had the table of marks
HORIZONS_SINCE = 8  # the format that first had windows


class SqlAuditLog(ABC):
    """The reading half of `AuditLog` and `Samples`, and `History.versions`. A store gives it ``_rows``."""

    @abstractmethod
    def _rows(self, query: str, values: Values = ()) -> list[dict[str, Any]]:
        """Queries the tables; no rows where the store does not exist yet."""

    def position(self, version: VersionId, source: str) -> Position | None:
        rows = self._rows(
            "SELECT * FROM positions WHERE feature = $1 AND sha256 = $2 AND source = $3 ORDER BY run_seq DESC LIMIT 1",
            [version.feature, version.sha256, source],
        )
        return audit_rows.read_position(rows[0]) if rows else None

    def positions(self, source: str) -> list[Position]:
        rows = self._rows(
            "SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY feature, sha256 ORDER BY run_seq DESC) AS place "
            "FROM positions WHERE source = $1) latest WHERE place = 1 ORDER BY run_seq, feature",
            [source],
        )
        return [audit_rows.read_position(row) for row in rows]

    def positions_with(self, text: str) -> list[Position]:
        # Cursors are stored as JSON, so the text is searched as JSON writes it.
        column = "cursor" if self._format() >= CURSORS_SINCE else "files"
        rows = self._rows(f"SELECT * FROM positions WHERE strpos({column}, $1) > 0", [json.dumps(text)[1:-1]])
        return [audit_rows.read_position(row) for row in rows]

    def last_committed(self, feature: str) -> VersionId | None:
        rows = self._rows(
            "SELECT f.sha256 FROM run_features f JOIN runs r USING (run_id) WHERE f.name = $1 "
            "AND f.status <> 'failed' AND r.run_seq IS NOT NULL ORDER BY r.run_seq DESC, f.position LIMIT 1",
            [feature],
        )
        return VersionId(feature, rows[0]["sha256"]) if rows else None

    def versions(self, feature: str | None = None) -> list[StoredVersion]:
        where, values = ("TRUE", []) if feature is None else ("feature = $1", [feature])
        rows = self._rows(f"SELECT * FROM versions WHERE {where} ORDER BY created_seq, number", values)
        # Sorted here, because each server has a collation of its own. It is stable: a feature's versions stay in order.
        return [audit_rows.read_version(row) for row in sorted(rows, key=lambda row: str(row["feature"]))]

    def deletions(self, entity_type: EntityType) -> pl.DataFrame:
        has_table = self._format() >= DELETIONS_SINCE
        return read_deletions(self._rows if has_table else lambda _query, _values: [], entity_type)

    def _format(self) -> int:
        """0 where there is no store yet. An older release's is read as it is, until something is written."""
        meta = self._rows("SELECT format FROM meta")
        return int(meta[0]["format"]) if meta else 0

    def has_withdrawn(self, version: VersionId) -> bool:
        """Whether a pair of the version was ever withdrawn."""
        return self._of_version(version, "withdrawn_seq") is not None

    def scope(self, version: VersionId) -> Scope | None:
        """The scope of a version: as declared, or as a run found it; None before its first run."""
        found = audit_rows.load_json(self._of_version(version, "scope"))
        return None if found is None else Scope(**found)

    def _of_version(self, version: VersionId, column: str) -> Any:
        """A column of the version's row; None where it has none, as in an older format."""
        rows = self._rows(
            "SELECT * FROM versions WHERE feature = $1 AND sha256 = $2", [version.feature, version.sha256]
        )
        return rows[0].get(column) if rows else None

    def has_known(self, version: VersionId) -> bool:
        """Whether the rows of the version have known times of their own."""
        return has_known(self._rows, version)

    def runs(
        self,
        *,
        feature: str | None = None,
        status: str | None = None,
        last: int | None = None,
        run_id: str | None = None,
    ) -> list[Run]:
        clauses: list[str] = ["TRUE"]
        values: list[str | int] = []

        def require(clause: str, value: str | int) -> None:
            values.append(value)
            clauses.append(clause.format(f"${len(values)}"))

        if feature is not None:
            require("run_id IN (SELECT run_id FROM run_features WHERE name = {})", feature)
        if status is not None:
            require("status = {}", status)
        ordered = _IN_ORDER
        if run_id is not None and run_id.isdigit() and len(run_id) < 18:
            require("run_seq = {}", int(run_id))
            ordered = "SELECT *, run_seq AS place FROM runs"  # its place is among no others
        elif run_id is not None:
            require("starts_with(run_id, {})", run_id)
        where = " AND ".join(clauses)
        limit = "" if last is None else f" LIMIT {last:d}"
        chosen = (
            f"FROM ({ordered}) runs WHERE {where} "
            f"ORDER BY place DESC, run_seq DESC NULLS FIRST, started_at DESC, run_id{limit}"
        )
        runs = self._rows(f"SELECT * {chosen}", values)
        if not runs:
            return []
        of_runs, asked = f"IN (SELECT run_id {chosen})", values
        if len(runs) == 1:
            of_runs, asked = "= $1", [runs[0]["run_id"]]
        items = self._rows(f"SELECT * FROM run_features WHERE run_id {of_runs} ORDER BY run_id, position", asked)
        by_run: dict[str, list[FeatureRun]] = {}
        for row in items:
            by_run.setdefault(row["run_id"], []).append(audit_rows.read_feature(row))
        return [audit_rows.read_run(row, tuple(by_run.get(row["run_id"], ()))) for row in runs]

    def summarize(self) -> dict[str, FeatureSummary]:
        by_version: dict[str, tuple[dict[str, Json], dict[str, Json]]] = {}
        for row in self._rows(_LAST_STATISTICS):
            statistics, drift = by_version.setdefault(row["name"], ({}, {}))
            statistics[row["sha256"]] = audit_rows.load_json(row["statistics"])
            drift[row["sha256"]] = audit_rows.load_json(row["drift"])
        last_runs: dict[str, dict[str, Json]] = {}
        for row in self._rows(_LAST_OF_VERSIONS):
            last_runs.setdefault(row["name"], {})[row["sha256"]] = [row["run_id"], row["started_at"]]
        numbers: dict[str, dict[str, int]] = {}
        scopes: dict[str, dict[str, Json]] = {}
        for row in self._rows("SELECT * FROM versions ORDER BY created_seq, number"):
            numbers.setdefault(row["feature"], {})[row["sha256"]] = row["number"]
            if row.get("scope") is not None:  # format 4 has no such column
                scopes.setdefault(row["feature"], {})[row["sha256"]] = audit_rows.load_json(row["scope"])
        summaries = {}
        for row in self._rows(_LAST_COMMITTED):
            of_versions, drift_of_versions = by_version.get(row["name"], (None, None))
            summaries[row["name"]] = FeatureSummary(
                committed_sha256=row["sha256"], committed_since=row["since"], last_run=row["run_id"],
                last_run_at=row["started_at"], last_status=row["status"], statistics=of_versions,
                drift=drift_of_versions, numbers=numbers.get(row["name"]),
                scopes=scopes.get(row["name"]), last_runs=last_runs.get(row["name"]),
            )  # fmt: skip
        return summaries

    def run_totals(self, *, feature: str | None = None, last: int, skip: int = 0) -> list[RunTotals]:
        return read_run_totals(self._rows, _IN_ORDER, feature=feature, last=last, skip=skip)

    def version_totals(self, *, last: int) -> dict[VersionId, VersionTotals]:
        return read_version_totals(self._rows, last=last)

    def rejected(self, run_id: str, limit: int | None = None) -> list[RejectedRow]:
        rows = self._rows(
            "SELECT * FROM rejected WHERE run_id = $1 ORDER BY position"
            + ("" if limit is None else f" LIMIT {limit:d}"),
            [run_id],
        )
        return [audit_rows.read_rejected(row) for row in rows]

    def count_naming(self, keys: Sequence[str | int]) -> int:
        names = naming(keys)
        errors = self._rows("SELECT error FROM run_features WHERE error IS NOT NULL")
        named = sum(names(audit_rows.text_of(row["error"])) for row in errors)
        return len(rejected_naming(self._rows, keys)) + named

    def count_details(self, before: int) -> int:
        return count_details(self._rows, before, times.now())

    def erasures(self) -> list[Erasure]:
        return read_erasures(self._rows("SELECT * FROM meta"))

    def committed_runs(self) -> list[CommittedRun]:
        rows = self._rows("SELECT run_seq, run_id, learned_at FROM runs WHERE run_seq IS NOT NULL ORDER BY run_seq")
        return [CommittedRun(row["run_seq"], row["run_id"], row["learned_at"]) for row in rows]

    def next_clock(self) -> int:
        rows = self._rows(
            "SELECT greatest(c.learned_at, q.clock) AS clock FROM counter c CROSS JOIN ("
            "SELECT coalesce(max(started_at), 0) AS clock FROM runs WHERE run_seq IS NULL AND status <> 'failed') q"
        )
        return max([times.now(), *(int(row["clock"]) + 1 for row in rows)])

    def horizon(self, version: VersionId) -> int | None:
        rows = self._horizons("max(horizon) AS horizon", version)
        return rows[0]["horizon"] if rows else None

    def horizons(self, version: VersionId) -> list[int]:
        return [row["horizon"] for row in self._horizons("DISTINCT horizon", version, "ORDER BY horizon")]

    def _horizons(self, what: str, version: VersionId, order: str = "") -> list[dict[str, Any]]:
        meta = self._rows("SELECT format FROM meta")
        if not meta or meta[0]["format"] < HORIZONS_SINCE:
            return []
        return self._rows(
            f"SELECT {what} FROM horizons WHERE feature = $1 AND sha256 = $2 {order}",
            [version.feature, version.sha256],
        )

    def reference(self, version: VersionId) -> Baseline | None:
        named = self._rows(
            "SELECT run_seq, span, method FROM drift_references WHERE feature = $1 AND sha256 = $2 "
            "ORDER BY set_at DESC LIMIT 1",
            [version.feature, version.sha256],
        )
        if named:
            return Baseline(named[0]["run_seq"], named[0]["span"], named[0]["method"])
        first = self._rows(
            "SELECT min(run_seq) AS run_seq FROM samples WHERE feature = $1 AND sha256 = $2 HAVING count(*) > 0",
            [version.feature, version.sha256],
        )
        return Baseline(first[0]["run_seq"]) if first else None

    def sample(self, version: VersionId, run_seq: int) -> bytes | None:
        rows = self._rows(
            "SELECT sample FROM samples WHERE feature = $1 AND sha256 = $2 AND run_seq = $3",
            [version.feature, version.sha256, run_seq],
        )
        return bytes(rows[0]["sample"]) if rows else None

    def samples(self, version: VersionId, first: int, last: int, limit: int) -> dict[int, bytes]:
        rows = self._rows(
            "SELECT run_seq, sample FROM samples WHERE feature = $1 AND sha256 = $2 AND run_seq BETWEEN $3 AND $4 "
            f"ORDER BY run_seq DESC LIMIT {limit:d}",
            [version.feature, version.sha256, first, last],
        )
        return {row["run_seq"]: bytes(row["sample"]) for row in reversed(rows)}


# What is stored of a version beside its values, by table: the columns other than the version's own.
_BESIDE_HISTORY = {
    "positions": "source, fingerprint, cursor, run_seq",
    "samples": "run_seq, sample",
    "drift_references": "run_seq, span, method, set_at",
    "horizons": "horizon",
}

WriteFirst = Callable[[pl.DataFrame, Part | None], Written]
"""Writes rows of a version, which are those of a part where there is one."""


class SqlRun(ABC):
    """What `RunTransaction` writes other than values. Created first in a transaction: it takes the next run_seq."""

    def __init__(self, connection: SqlConnection, run_id: str, clock: int | None = None) -> None:
        self._sql = connection
        self._run_id = run_id
        # Joins search learned_at as a sorted column, so it rises with run_seq even where the clock is set back.
        row = connection.rows(
            "UPDATE counter SET run_seq = run_seq + 1, learned_at = greatest($1, learned_at + 1) "
            "RETURNING run_seq, learned_at",
            [times.now() if clock is None else clock],
        )[0]
        self._marked: dict[str, pl.DataFrame] = {}  # `_marks` of entity types, as far as they were asked for
        self.run_seq: int = row["run_seq"]
        self.learned_at: int = row["learned_at"]

    def reject(self, rows: Sequence[RejectedRow]) -> None:
        insert_rejected(self._sql, self._run_id, rows)

    def write(self, version: StoredVersion, frame: pl.DataFrame, *, tolerance: float | None = None) -> Written:
        pair = [*version.entity_type.key_names, "computed_at"]
        marks = self._marks(version.entity_type)
        if marks.height:
            marks = marks.join(frame.select(version.entity_type.key_names).unique(), on=pair[:-1], how="semi")
        if not marks.height:
            return self.write_timed(version, frame, tolerance)
        # Of one run there is one row of a pair, and a mark goes before a value.
        rest = frame.join(marks, on=pair, how="anti", maintain_order="left")
        written = self.write_timed(version, rest, tolerance)
        missing = marks.join(self.held(version, marks), on=pair, how="anti", maintain_order="left")
        self.append_op(version, missing, TOMBSTONE)
        met = frame.height - rest.height
        return replace(written, unchanged=written.unchanged + met, deleted=written.deleted + met)

    def write_parts(
        self, version: StoredVersion, parts: Iterable[Part], *, tolerance: float | None = None
    ) -> Iterator[Written]:
        if self._marks(version.entity_type).height:
            yield from (self.write(version, part.read(), tolerance=tolerance) for part in parts)
            return
        rest = ((part.read(), part) for part in parts)
        first = next(rest, None)
        if first is None:
            return
        with self.first_rows(version, known=KNOWN in first[0].columns) as write_first:
            for frame, part in chain([first], rest):
                yield self.write_timed(version, frame, tolerance) if write_first is None else write_first(frame, part)

    @abstractmethod
    def first_rows(self, version: StoredVersion, *, known: bool = False) -> AbstractContextManager[WriteFirst | None]:
        """What writes frames of a version that has no rows yet, made ready by then; None for one that has.

        ``known``: they have known times of their own.
        """

    @abstractmethod
    def write_timed(self, version: StoredVersion, frame: pl.DataFrame, tolerance: float | None) -> Written:
        """`write`, whatever was deleted before."""

    def delete(self, version: StoredVersion, frame: pl.DataFrame) -> None:
        self.append_op(version, frame, TOMBSTONE)

    def mark_deleted(self, entity_type: EntityType, frame: pl.DataFrame, author: Author) -> None:
        self._marked.clear()
        keys = frame.select(entity_type.key_names).rows()
        instants = frame["deleted_at"].to_physical()
        rows = [
            (entity_type.name, json.dumps(each), at, self.run_seq, author)
            for each, at in zip(keys, instants, strict=True)
        ]
        if rows:
            self._sql.insert("deletions", ("entity_type", "keys", "deleted_at", "run_seq", "author"), rows)

    def mark_returned(self, entity_type: EntityType, frame: pl.DataFrame) -> None:
        self._marked.clear()
        for keys in frame.select(entity_type.key_names).iter_rows():
            self._sql.rows(
                "UPDATE deletions SET author = 'returned', run_seq = $1 WHERE entity_type = $2 AND keys = $3 "
                "AND author = 'snapshot' RETURNING 1",
                [self.run_seq, entity_type.name, json.dumps(keys)],
            )

    def deletions(self, entity_type: EntityType) -> pl.DataFrame:
        return read_deletions(self._sql.rows, entity_type)

    def unmark_deleted(self, entity_type: EntityType, frame: pl.DataFrame) -> None:
        self._marked.clear()
        for keys in frame.select(entity_type.key_names).iter_rows():
            self._sql.rows(
                "DELETE FROM deletions WHERE entity_type = $1 AND keys = $2 RETURNING 1",
                [entity_type.name, json.dumps(keys)],
            )

    def _marks(self, entity_type: EntityType) -> pl.DataFrame:
        """The marks of an entity type's deleted entities, as (keys, computed_at)."""
        if entity_type.name not in self._marked:
            marks = self.deletions(entity_type).filter(pl.col("author") != "returned")
            pairs = marks.select(*entity_type.key_names, pl.col("deleted_at").alias("computed_at"))
            self._marked[entity_type.name] = pairs.unique(maintain_order=True)
        return self._marked[entity_type.name]

    def withdraw(self, version: StoredVersion, frame: pl.DataFrame, *, of: int = VALUE) -> int:
        if KNOWN in frame.columns:
            held = withdrawals(self, version, frame)
        else:
            held = self.held(version, frame).filter(pl.col("held_op") == of)
        if held.height:
            self.append_op(version, held, WITHDRAWN)
            self._sql.rows(
                "UPDATE versions SET withdrawn_seq = $1 WHERE feature = $2 AND sha256 = $3 AND withdrawn_seq IS NULL "
                "RETURNING 1",
                [self.run_seq, version.id.feature, version.id.sha256],
            )
        return held.height

    def write_known(
        self, version: StoredVersion, frame: pl.DataFrame, withdrawn: pl.DataFrame, *, tolerance: float | None = None
    ) -> tuple[Written, int]:
        if self.has_known(version.id):
            frame, withdrawn = with_held_times(self, version, frame, withdrawn)
        written = self.write(version, frame, tolerance=tolerance)
        return written, self.withdraw(version, withdrawn)

    @abstractmethod
    def held(self, version: StoredVersion, frame: pl.DataFrame) -> pl.DataFrame:
        """The (keys, computed_at) of a frame that the version has, and what each is: ``held_op``."""

    def append_op(self, version: StoredVersion, frame: pl.DataFrame, op: int) -> None:
        """Adds a row without a value for each (keys, computed_at) of a frame."""
        nothing = pl.lit(None, value_type(version.data_type)).alias("value")
        known = [KNOWN] if KNOWN in frame.columns else []
        rows = frame.select(*version.entity_type.key_names, "computed_at", nothing, *known)
        if not known and self.has_known(version.id):
            rows = known_now(self, version, rows)
        self.append(version, rows, op)

    @abstractmethod
    def append(self, version: StoredVersion, frame: pl.DataFrame, op: int) -> None:
        """Adds a row of this run for each of a frame: keys, computed_at, value, and known_at where rows have it."""

    @abstractmethod
    def rows_at(self, version: StoredVersion, pairs: pl.DataFrame) -> pl.DataFrame:
        """All rows that a version with known times has at some (keys, computed_at), as `History.scan` gives them."""

    def learned_times(self) -> pl.DataFrame:
        """When each committed run learned its rows: run_seq and learned_at."""
        rows = self._sql.rows("SELECT run_seq, learned_at FROM runs WHERE run_seq IS NOT NULL")
        schema = {"run_seq": pl.Int64(), "learned_at": pl.Int64()}
        return pl.DataFrame(rows, schema=schema).with_columns(pl.col("learned_at").cast(INSTANT))

    def has_known(self, version: VersionId) -> bool:
        """Whether the rows of a version have known times of their own."""
        return has_known(self._sql.rows, version)

    def add_known(self, version: StoredVersion) -> None:
        """Gives the rows of a version that has none known times: those of the runs that brought them."""
        self.alter_known(version)
        # Copies made before (sorted columns) don't have the times. A new id makes them outdated.
        self._sql.rows("UPDATE meta SET store_id = gen_random_uuid() RETURNING 1")
        self.note_known(version.id)

    @abstractmethod
    def alter_known(self, version: StoredVersion) -> None:
        """Adds the column of known times to a version's table, and fills it."""

    def note_known(self, version: VersionId) -> None:
        """Records that the rows of a version have known times from this run on."""
        self._sql.rows(
            "UPDATE versions SET known_seq = $1 WHERE feature = $2 AND sha256 = $3 AND known_seq IS NULL RETURNING 1",
            [self.run_seq, version.feature, version.sha256],
        )

    def erase(self, version: StoredVersion, frame: pl.DataFrame) -> int:
        names = version.entity_type.key_names
        same = " AND ".join(f"{quote(name)} = ${number}" for number, name in enumerate(names, 1))
        erased = 0
        for keys in frame.select(names).iter_rows():
            if version.steps:
                self._sql.rows(f"DELETE FROM {coming_table(version.id)} WHERE {same} RETURNING 1", keys)
            erased += len(self._sql.rows(f"DELETE FROM {history_table(version.id)} WHERE {same} RETURNING 1", keys))
        # Copies made before (sorted columns, values online) may contain what is erased. A new id makes them outdated.
        self._sql.rows("UPDATE meta SET store_id = gen_random_uuid() RETURNING 1")
        return erased

    def first_coming(self, version: StoredVersion) -> int | None:
        found = self._sql.rows(f"SELECT min(computed_at) AS first FROM {coming_table(version.id)}")
        first: datetime.datetime | None = found[0]["first"]
        micros = (
            None if first is None else (first - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
        )
        return None if micros == times.MAX_INSTANT else micros

    def erase_rejected(self, keys: Sequence[str | int]) -> None:
        positions: dict[str, list[int]] = {}
        for run_id, position in rejected_naming(self._sql.rows, keys):
            positions.setdefault(run_id, []).append(position)
        for run_id, found in positions.items():  # one statement for all rows of a run
            listed = ", ".join(f"{position:d}" for position in found)
            self._sql.change(f"DELETE FROM rejected WHERE run_id = $1 AND position IN ({listed})", [run_id])

    def replace_position(self, position: Position) -> None:
        names, row = audit_rows.POSITION_COLUMNS, audit_rows.position_row(position)
        found = dict(zip(names, row, strict=True))
        at = ("feature", "sha256", "source", "run_seq")
        where = " AND ".join(f"{name} = ${number}" for number, name in enumerate(at, 2))
        self._sql.rows(
            f"UPDATE positions SET cursor = $1 WHERE {where} RETURNING 1",
            [found["cursor"], *(found[name] for name in at)],
        )

    def rename_file(self, source: str, old: str, new: str) -> None:
        self._sql.rows(
            "UPDATE rejected SET file = $1, place = replace(place, $2, $1) WHERE source = $3 AND file = $2 RETURNING 1",
            [new, old, source],
        )

    def drop_labels(self, hashes: Collection[str]) -> None:
        drop_labels(self._sql, hashes, self.learned_at)

    def begin_erasure(self, online_key: str | None) -> None:
        others = read_erasures(self._sql.rows("SELECT * FROM meta"))
        write_erasures(self._sql, [*others, Erasure(self._run_id, online_key)])

    def replace_measures(self, version: VersionId, measures: Measures) -> None:
        for column, document in (("statistics", measures.statistics), ("drift", measures.verdict)):
            self._sql.rows(
                f"UPDATE run_features SET {column} = nullif($1, '') WHERE run_id = $2 AND name = $3 AND sha256 = $4 "
                "RETURNING 1",
                [audit_rows.dump_json(document) or "", measures.run_id, version.feature, version.sha256],
            )
        self._sql.rows(
            "DELETE FROM samples WHERE feature = $1 AND sha256 = $2 AND run_seq = $3 RETURNING 1",
            [version.feature, version.sha256, measures.run_seq],
        )
        if measures.sample is not None:
            row = (version.feature, version.sha256, measures.run_seq, measures.sample)
            self._sql.insert("samples", ("feature", "sha256", "run_seq", "sample"), [row])

    def drop_errors(self, keys: Sequence[str | int], keep: Collection[str]) -> int:
        names, dropped = naming(keys), 0
        for row in self._sql.rows("SELECT DISTINCT name, error FROM run_features WHERE error IS NOT NULL"):
            error = audit_rows.without_text(row["error"])
            stays = row["name"] in keep and not names(audit_rows.text_of(row["error"]))
            if not stays and error != row["error"]:
                changed = self._sql.rows(
                    "UPDATE run_features SET error = $1 WHERE name = $2 AND error = $3 RETURNING 1",
                    [error, row["name"], row["error"]],
                )
                dropped += len(changed)
        return dropped

    def set_position(self, position: Position) -> None:
        self._sql.insert("positions", audit_rows.POSITION_COLUMNS, [audit_rows.position_row(position)])

    def set_scope(self, version: VersionId, scope: Scope) -> None:
        text = json.dumps(asdict(scope))
        self._sql.change(
            "UPDATE versions SET scope = $1 WHERE feature = $2 AND sha256 = $3 AND scope IS DISTINCT FROM $4",
            [text, version.feature, version.sha256, text],
        )

    def begin_writing(self) -> None:  # noqa: B027  # whatever is taken is written at once, unless a store waits
        """See `RunTransaction`."""

    def store_sample(self, version: VersionId, sample: bytes) -> None:
        row = (version.feature, version.sha256, self.run_seq, sample)
        self._sql.insert("samples", ("feature", "sha256", "run_seq", "sample"), [row])

    def put_raw(self, batch: RawBatch, parts: Iterable[bytes]) -> None:
        insert_raw(self._sql, batch, parts)

    def drop_raw(self, source: str, up_to: int, *, after: int = 0) -> None:
        delete_raw(self._sql, source, after, up_to)

    def set_source_position(self, source: str, cursor: Json) -> None:
        put_source_position(self._sql, source, cursor, self.run_seq)

    def finish(self, run: Run) -> None:
        insert_run(self._sql, run)

    def drop(self, version: StoredVersion) -> int:
        table = history_table(version.id)
        rows = int(self._sql.rows(f"SELECT count(*) AS rows FROM {table}")[0]["rows"])
        self._sql.rows(f"DELETE FROM {table} WHERE TRUE RETURNING 1")
        if version.steps:
            self._sql.rows(f"DELETE FROM {coming_table(version.id)} WHERE TRUE RETURNING 1")
        for beside in _BESIDE_HISTORY:
            self._sql.rows(
                f"DELETE FROM {beside} WHERE feature = $1 AND sha256 = $2 RETURNING 1",
                [version.id.feature, version.id.sha256],
            )
        self._sql.rows(
            "UPDATE run_features SET statistics = NULL, drift = NULL WHERE name = $1 AND sha256 = $2 RETURNING 1",
            [version.id.feature, version.id.sha256],
        )
        self._sql.rows("UPDATE meta SET store_id = gen_random_uuid() RETURNING 1")
        return rows

    @abstractmethod
    def copy_history(self, old: VersionId, version: StoredVersion) -> int:
        """Makes the table of ``version`` as a copy of another version's, and returns the number of its rows."""

    def carry(self, old: VersionId, version: StoredVersion) -> int:
        rows = self.copy_history(old, version)
        self._sql.rows(
            "UPDATE versions SET withdrawn_seq = (SELECT withdrawn_seq FROM versions v WHERE v.feature = $1 "
            "AND v.sha256 = $2) WHERE feature = $3 AND sha256 = $4 RETURNING 1",
            [old.feature, old.sha256, version.id.feature, version.id.sha256],
        )
        for table, columns in _BESIDE_HISTORY.items():
            self._sql.rows(
                f"INSERT INTO {table} (feature, sha256, {columns}) SELECT $1, sha256, {columns} FROM {table} "
                "WHERE feature = $2 AND sha256 = $3 RETURNING 1",
                [version.id.feature, old.feature, old.sha256],
            )
        return rows

    def note_version(self, version: StoredVersion) -> None:
        """Records that the version has a table, made by this run."""
        row = (*audit_rows.version_row(version), self.run_seq)
        self._sql.insert("versions", (*audit_rows.VERSION_COLUMNS, "created_seq"), [row])


def has_known(query: Callable[[str, Values], list[dict[str, Any]]], version: VersionId) -> bool:
    """Whether the rows of a version have known times of their own."""
    rows = query("SELECT * FROM versions WHERE feature = $1 AND sha256 = $2", [version.feature, version.sha256])
    return any(row.get("known_seq") is not None for row in rows)  # format 6 has no such column


def rejected_naming(
    query: Callable[[str, Values], list[dict[str, Any]]], keys: Sequence[str | int]
) -> list[tuple[str, int]]:
    """The (run_id, position) of rejected rows that name an entity; of one that can't be read there is only its text."""
    first = str(abs(keys[0]) if isinstance(keys[0], int) else keys[0])
    # Row values are stored as JSON, so the key is searched as JSON writes it. That only narrows the search.
    found = query(
        "SELECT run_id, position, reason, row_values FROM rejected "
        "WHERE strpos(row_values, $1) > 0 OR strpos(reason, $2) > 0",
        [json.dumps(first)[1:-1], first],
    )
    names = naming(keys)
    return [
        (row["run_id"], row["position"])
        for row in found
        if names("\n".join([row["reason"], *map(str, json.loads(row["row_values"]).values())]))
    ]


def read_deletions(query: Callable[[str, Values], list[dict[str, Any]]], entity_type: EntityType) -> pl.DataFrame:
    """The marks of deleted entities, as `History.deletions` gives them."""
    names = entity_type.key_names
    schema = {**key_types(entity_type), "deleted_at": INSTANT, "run_seq": pl.Int64(), "author": pl.String()}
    rows = query("SELECT keys, deleted_at, run_seq, author FROM deletions WHERE entity_type = $1", [entity_type.name])
    marks = [(*json.loads(row["keys"]), row["deleted_at"], row["run_seq"], row["author"]) for row in rows]
    frame = pl.DataFrame(marks, schema={**schema, "deleted_at": pl.Int64}, orient="row")
    return frame.cast(pl.Schema(schema)).sort(*names, "deleted_at", "run_seq")


def read_erasures(meta: Sequence[Mapping[str, Any]]) -> list[Erasure]:
    """The erasures that are not complete, from the row of ``meta``; none in a store of an earlier format."""
    text = meta[0].get("erasing") if meta else None
    return [Erasure(**item) for item in json.loads(text)] if text else []


def write_erasures(connection: SqlConnection, erasures: Sequence[Erasure]) -> None:
    """Replaces the record of erasures that are not complete."""
    text = json.dumps([asdict(item) for item in erasures]) if erasures else ""
    connection.rows("UPDATE meta SET erasing = nullif($1, '') RETURNING 1", [text])


def insert_run(connection: SqlConnection, run: Run) -> None:
    connection.insert("runs", audit_rows.RUN_COLUMNS, [audit_rows.run_row(run)])
    if run.features:
        connection.insert("run_features", audit_rows.FEATURE_COLUMNS, audit_rows.feature_rows(run))
    horizons = [(item.name, item.sha256, item.horizon) for item in run.features if item.horizon is not None]
    if horizons:
        connection.insert("horizons", ("feature", "sha256", "horizon"), horizons)


def insert_rejected(connection: SqlConnection, run_id: str, rejected: Sequence[RejectedRow]) -> None:
    if rejected:
        rows = [audit_rows.rejected_row(run_id, position, item) for position, item in enumerate(rejected)]
        connection.insert("rejected", audit_rows.REJECTED_COLUMNS, rows)


def insert_reference(connection: SqlConnection, version: VersionId, baseline: Baseline) -> None:
    """Adds a reference. The latest one counts, so ``set_at`` grows even where the clock does not."""
    found = connection.rows("SELECT coalesce(max(set_at), 0) AS last FROM drift_references")
    set_at = max(times.now(), found[0]["last"] + 1)
    row = (version.feature, version.sha256, baseline.run_seq, baseline.window, baseline.method, set_at)
    connection.insert("drift_references", ("feature", "sha256", "run_seq", "span", "method", "set_at"), [row])
