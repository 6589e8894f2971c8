"""``/v1/historical`` and ``/v1/latest``: the questions of ``join`` and ``latest``, and their tables as files.

An answer begins when the whole table lies in a file: a failure in the middle could not be told in CSV.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from featurestore import times
from featurestore.config import Project
from featurestore.dialect import Dialect
from featurestore.errors import ConfigError, TooLargeError, UsageError
from featurestore.frozen import frozen
from featurestore.given import read_duration, read_instant
from featurestore.progress import Progress
from featurestore.serve.errors import NotAcceptableError

ARROW_STREAM = "application/vnd.apache.arrow.stream"
FORMATS: Mapping[str, str] = {
    "text/csv": "csv", "application/vnd.apache.parquet": "parquet", "application/vnd.apache.arrow.file": "arrow",
    ARROW_STREAM: "arrow", "application/x-ndjson": "ndjson", "application/json": "json",
}  # fmt: skip


def _listed(given: object) -> object:
    """``a,b`` as a list, as ``-f a,b``."""
    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        return [name for item in given for name in map(str.strip, item.split(",")) if name]
    return given


def _settings(given: object) -> object:
    """``encoding=cp1252`` as ``--dialect`` takes it, once or several times, as the table of settings that it is."""
    from featurestore.workflows.label_dialect import parse_settings

    if isinstance(given, str):
        given = [given]
    if isinstance(given, list) and all(isinstance(item, str) for item in given):
        return parse_settings(given, "dialect")
    return given


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1, max_length=1_000)]


class HistoricalQuestion(BaseModel):
    """The options of ``join`` under their names."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"features": ["age_normalized"], "timestamp_column": "at"}]}
    )
    features: Names
    timestamp_column: str
    entity: list[str] = []
    entity_type: str | None = None
    entity_column: list[str] = []
    known: bool = False
    as_of: str | None = None
    max_age: str | None = None
    before: bool = False
    lag: str | None = None
    with_times: bool = False
    times_suffix: str = ".at"
    timezone: str | None = None
    request: list[str] = []
    delimiter: str = ","
    dialect: Annotated[dict[str, Any], BeforeValidator(_settings)] = {}
    strict: bool = False


class LatestQuestion(BaseModel):
    """The options of ``latest`` under their names."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"entity_type": "patient", "features": ["age_normalized"]}]}
    )
    entity_type: str
    features: Names
    at: str | None = None
    known: bool = False


@frozen
class Table:
    """An answer: a file with its media type, or a document where JSON is asked for."""

    media_type: str
    file: Path | None
    document: dict[str, Any] | None
    warnings: Sequence[str]


def accepted(header: str | None, default: str) -> str:
    """The media type to answer with: the first that the caller names and that can be written.

    Raises NotAcceptableError.
    """
    wanted = [part.partition(";")[0].strip().lower() for part in (header or "*/*").split(",")]
    for kind in wanted:
        if kind in FORMATS:
            return kind
        if kind in ("*/*", "application/*", ""):
            return default
    raise NotAcceptableError("none of the accepted formats can be answered", hint=", ".join(FORMATS))


def join(
    project: Project, question: HistoricalQuestion, labels: Path, accept: str | None, rows: int, progress: Progress
) -> Table:
    """Joins a file of labels. ``rows`` is how many may be answered as JSON. Raises what `join_files` raises."""
    from featurestore.offline.open import open_offline
    from featurestore.render.json.joins import join_document
    from featurestore.tables.files import open_table
    from featurestore.workflows.join.entities import parse_entity_columns, resolve_entities
    from featurestore.workflows.join.files import join_files
    from featurestore.workflows.join.question import EntityColumns, JoinQuestion, resolve_features
    from featurestore.workflows.table_files import TableFile

    dialect = _dialect(question)
    if question.timezone is not None and not times.is_zone(question.timezone):
        raise UsageError(f"timezone {question.timezone!r} is not a time zone", hint="for example Europe/Paris")
    with labels.open("rb") as raw, open_table(raw, "labels") as (_, form):
        pass
    kind = accepted(accept, next(name for name, each in FORMATS.items() if each == form))
    store, warnings = open_offline(project), list[str]()
    asked = JoinQuestion(
        resolve_features(project, store, question.features), question.timestamp_column,
        EntityColumns(question.entity_type, tuple(question.entity_column)), known=question.known,
        as_of=read_instant("as_of=", question.as_of, warnings.append),
        max_age=read_duration("max_age=", question.max_age),
        timezone=question.timezone, lag=(read_duration("lag=", question.lag) or 0) + question.before,
        entities=resolve_entities(project, question.features, map(parse_entity_columns, question.entity)),
        times_suffix=question.times_suffix if question.with_times else None, strict=question.strict,
        request=_fields(question.request), dialect=dialect,
    )  # fmt: skip
    source = TableFile(labels, form, "labels", dialect)
    output = _output(labels, kind)
    found = join_files(
        project, store, asked, source, None if output is None else TableFile(output, _form(kind)), progress=progress
    )
    warnings += [*found.facts.all_warnings, *store.warnings, *store.notices]
    if output is not None:
        return Table(kind, _finished(output, kind), None, warnings)
    assert found.frame is not None  # as there is no output
    _check_rows(len(found.frame), rows)
    return Table(kind, None, join_document(found.facts, None, found.frame, None), warnings)


def latest(
    project: Project, question: LatestQuestion, folder: Path, accept: str | None, rows: int, progress: Progress
) -> Table:
    """Everybody as of a time. Raises what `workflows.latest` raises."""
    from featurestore.offline.open import open_offline
    from featurestore.render.json.joins import latest_document
    from featurestore.workflows.join.question import resolve_features
    from featurestore.workflows.latest import latest as find
    from featurestore.workflows.table_files import TableFile

    kind = accepted(accept, "application/json")
    store, warnings = open_offline(project), list[str]()
    at = read_instant("at=", question.at, warnings.append)
    features = resolve_features(project, store, question.features, only=question.entity_type)
    output = _output(folder / "latest", kind)
    found = find(
        project, store, question.entity_type, features,
        at=times.now() if at is None else at, known=question.known,
        output=None if output is None else TableFile(output, _form(kind)), progress=progress,
    )  # fmt: skip
    warnings += [*found.warnings, *store.warnings, *store.notices]
    if output is not None:
        return Table(kind, _finished(output, kind), None, warnings)
    _check_rows(found.entities, rows)
    return Table(kind, None, latest_document(found, None), warnings)


def _dialect(question: HistoricalQuestion) -> Dialect:
    """How the labels are written. Raises UsageError."""
    from featurestore.workflows.label_dialect import read_label_dialect
    from featurestore.workflows.table_files import parse_delimiter

    settings = {"delimiter": parse_delimiter("delimiter", question.delimiter), **question.dialect}
    try:
        return read_label_dialect(settings, "dialect")
    except ConfigError as exc:  # the caller's setting, not one of this project
        raise UsageError(exc.message, where=exc.where, hint=exc.hint) from exc


def warning_header(warnings: Sequence[str]) -> str:
    """Warnings as a header: a JSON list in ASCII, of the first few where there are very many."""
    few: list[str] = []
    for warning in dict.fromkeys(warnings):
        if len(json.dumps([*few, warning])) > 4_000:
            break
        few.append(warning)
    return json.dumps(few)


def _form(kind: str) -> Any:
    return FORMATS[kind]


def _output(beside: Path, kind: str) -> Path | None:
    return None if FORMATS[kind] == "json" else beside.with_name("answer")


def _finished(output: Path, kind: str) -> Path:
    if kind != ARROW_STREAM:
        return output
    import pyarrow as pa

    stream = output.with_name("stream")
    with (
        pa.memory_map(str(output)) as mapped,
        pa.ipc.open_file(mapped) as file,
        pa.OSFile(str(stream), "wb") as sink,
        pa.ipc.new_stream(sink, file.schema) as writer,
    ):
        for number in range(file.num_record_batches):
            writer.write_batch(file.get_batch(number))
    return stream


def _check_rows(count: int, most: int) -> None:
    if count > most:
        raise TooLargeError(f"{count:,} rows are too many for JSON", hint=f"at most {most:,}; accept {ARROW_STREAM}")


def _fields(given: Sequence[str]) -> dict[str, str]:
    """``FIELD=COLUMN`` as a mapping. Raises UsageError."""
    found = {name: column for name, equals, column in (item.partition("=") for item in given) if name and equals}
    if len(found) != len(given):
        raise UsageError("request must name each field once, with its column", hint="for example amount=basket_total")
    return found
