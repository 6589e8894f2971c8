"""Converts runs, versions and rejected rows to rows of the store's own tables, and back.

The tables have plain columns for what SQL asks for, and JSON text for what is only passed through.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from featurestore.model import (
    DataType,
    EntityType,
    FeatureRun,
    Json,
    Key,
    Problem,
    RejectedRow,
    Run,
    StoredVersion,
    VersionId,
)  # fmt: skip
from featurestore.offline.contract import Position

RUN_COLUMNS = (
    "run_id", "run_seq", "learned_at", "started_at", "finished_at", "duration_s", "status", "sources", "host",
    "git_commit",
)  # fmt: skip
FEATURE_COLUMNS = (
    "run_id", "position", "name", "sha256", "version", "source", "status", "new_version", "rows_read", "rows_rejected",
    "rows_written", "rows_unchanged", "rows_corrected", "rows_withdrawn", "note", "drift", "statistics", "error",
    "taken",
)  # fmt: skip
_TAKEN = ("rows_computed", "rows_older", "scope", "reason", "steps_written", "horizon")
VERSION_COLUMNS = ("feature", "sha256", "number", "entity_type", "keys", "data_type", "max_age", "table_name", "steps")
POSITION_COLUMNS = ("feature", "sha256", "source", "fingerprint", "cursor", "run_seq")
REJECTED_COLUMNS = (
    "run_id", "position", "source", "file", "row_number", "column_name", "reason", "row_values", "place",
)  # fmt: skip


# The codes of errors about code and settings; whatever else goes wrong may be about a value, and quote it.
_QUOTES_NOTHING = ("configuration", "declaration", "usage", "version_file")


def table_name(version: VersionId) -> str:
    """At most 63 bytes, the limit of PostgreSQL: ``h_`` + 48 + ``_`` + 12."""
    return f"h_{version.feature}_{version.short}"


def later_name(version: VersionId) -> str:
    """The table of what came after a version's first rows, where these lie together with those of others."""
    return f"l_{version.feature}_{version.short}"


def coming_name(version: VersionId) -> str:
    """The table of a version's coming steps, of as many bytes."""
    return f"s_{version.feature}_{version.short}"


def run_row(run: Run) -> tuple[Any, ...]:
    return (
        run.run_id, run.run_seq, run.learned_at, run.started_at, run.finished_at, run.duration_s, run.status,
        json.dumps(run.sources), run.host, run.git_commit,
    )  # fmt: skip


def feature_rows(run: Run) -> list[tuple[Any, ...]]:
    return [
        (
            run.run_id, position, item.name, item.sha256, item.version, item.source, item.status, item.new_version,
            item.rows_read, item.rows_rejected, item.rows_written, item.rows_unchanged, item.rows_corrected,
            item.rows_withdrawn, item.note, dump_json(item.drift), dump_json(item.statistics),
            dump_json(None if item.error is None else asdict(item.error)),
            dump_json({name: getattr(item, name) for name in _TAKEN}),
        )
        for position, item in enumerate(run.features)
    ]  # fmt: skip


def read_run(row: Mapping[str, Any], features: tuple[FeatureRun, ...]) -> Run:
    return Run(
        run_id=row["run_id"], started_at=row["started_at"], finished_at=row["finished_at"],
        duration_s=row["duration_s"], status=row["status"], sources=tuple(json.loads(row["sources"])),
        host=row["host"], git_commit=row["git_commit"], features=features, run_seq=row["run_seq"],
        learned_at=row["learned_at"],
    )  # fmt: skip


def read_feature(row: Mapping[str, Any]) -> FeatureRun:
    error = load_json(row["error"])
    return FeatureRun(
        name=row["name"], source=row["source"], status=row["status"], version=row["version"], sha256=row["sha256"],
        new_version=row["new_version"], rows_read=row["rows_read"], rows_rejected=row["rows_rejected"],
        rows_written=row["rows_written"], rows_unchanged=row["rows_unchanged"], rows_corrected=row["rows_corrected"],
        rows_withdrawn=row.get("rows_withdrawn") or 0,  # format 4 counted none
        drift=load_json(row["drift"]), statistics=load_json(row["statistics"]), note=row["note"],
        error=None if error is None else Problem(**error), **(load_json(row.get("taken")) or {}),
    )  # fmt: skip


def version_row(version: StoredVersion) -> tuple[Any, ...]:
    return (
        version.id.feature, version.id.sha256, version.number, version.entity_type.name,
        json.dumps([[key.name, key.type] for key in version.entity_type.keys]), str(version.data_type),
        version.max_age, table_name(version.id), version.steps,
    )  # fmt: skip


def read_version(row: Mapping[str, Any]) -> StoredVersion:
    keys = tuple(Key(name, kind) for name, kind in json.loads(row["keys"]))
    return StoredVersion(
        id=VersionId(row["feature"], row["sha256"]), number=row["number"],
        entity_type=EntityType(row["entity_type"], keys), data_type=DataType.parse(row["data_type"]),
        max_age=row["max_age"], steps=bool(row.get("steps")),  # format 7 has no such column
    )  # fmt: skip


def position_row(position: Position) -> tuple[Any, ...]:
    version = position.version
    return (
        version.feature, version.sha256, position.source, position.fingerprint, json.dumps(position.cursor),
        position.run_seq,
    )  # fmt: skip


def read_position(row: Mapping[str, Any]) -> Position:
    # A store is brought to this release's format by its next write; until then it is read as it is.
    cursor = {"files": json.loads(row["files"])} if "files" in row else json.loads(row["cursor"])
    return Position(
        VersionId(row["feature"], row["sha256"]), row["source"], row["fingerprint"], cursor, row["run_seq"]
    )  # fmt: skip


def rejected_row(run_id: str, position: int, item: RejectedRow) -> tuple[Any, ...]:
    return (
        run_id, position, item.source, item.file, item.row, item.column, item.reason, json.dumps(item.values),
        item.place,
    )  # fmt: skip


def read_rejected(row: Mapping[str, Any]) -> RejectedRow:
    file, number = row["file"], row["row_number"]
    place = row.get("place") or f"{file} row {number}"  # format 2 stored no place, and knew no source but files
    return RejectedRow(
        row["source"], file, number, row["column_name"], row["reason"], json.loads(row["row_values"]), place
    )


def text_of(error: str) -> str:
    """All that a recorded error says."""
    return "\n".join(map(str, json.loads(error).values()))


def without_text(error: str) -> str:
    """A recorded error without the texts that may quote values; one of a kind that quotes none stays as it is."""
    code = json.loads(error)["code"]
    if code in _QUOTES_NOTHING:
        return error
    return json.dumps(asdict(Problem(code, "its text was removed when an entity was erased")))


def dump_json(value: Mapping[str, Json] | None) -> str | None:
    return None if value is None else json.dumps(value, allow_nan=False)


def load_json(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
