"""A project from the data that one has: a source with its settings, types, keys and rules, and features to edit.

What a sample can't tell is asked; where nobody can be asked it is refused, with the flag that says it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import date, timedelta
from pathlib import Path
from shlex import quote

import polars as pl

from featurestore.config import RESERVED_KEYS
from featurestore.dialect import Dialect, TimeFormat
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import COLUMN_NAME, Scalar
from featurestore.sources.catalogue import tables_of
from featurestore.sources.detection import (
    Detected,
    Question,
    kind_of_column,
    sounds_like_id,
    type_of_file,
)
from featurestore.tables.time_formats import guess_formats
from featurestore.tables.written_times import parse_times
from featurestore.toml import toml_key, toml_value
from featurestore.workflows.data_at_hand import Data, look_at_files
from featurestore.workflows.templates import HEAD, features_of, slug

Ask = Callable[[Question], str]
"""Asks a person and returns one of the question's choices."""

FEATURES = 3
_ASKED_TABLES = 20  # more of them nobody reads through on a terminal
_FEW, _OFTEN, _LEAST_ROWS = 10, 10, 50  # texts that a rule lists, rows for each on average, rows
_LONGEST = 30  # letters of a category, and three words: longer ones are what somebody wrote
_SERVER = re.compile(r"postgres(ql)?://|\$\{\w+\}$")
_WHY_ID = {True: "the table's primary key", False: "tells one row from another"}


@frozen
class Wishes:
    """What the caller says of the data; None and empty where a sample has to tell.

    ``event_time`` may be ``none``: the rows have no time. ``formats`` are those of columns of times.
    """

    keys: tuple[str, ...] = ()
    event_time: str | None = None
    timezone: str | None = None
    entity_type: str | None = None
    source: str | None = None
    table: str | None = None
    decimal: str | None = None
    formats: Mapping[str, str] = field(default_factory=dict)


@frozen
class Proposal:
    """A project as text, and what to say of it: facts that were found, and what had to be assumed."""

    settings: str
    features: str
    source: str
    notes: tuple[str, ...]


@frozen
class _Column:
    """A column of the data: its name in the project and in the file, its type, and its values in the sample."""

    name: str
    in_file: str
    kind: Scalar
    values: pl.Series


def propose(root: Path, name: str, data: str | Path, wishes: Wishes, ask: Ask | None = None) -> Proposal:
    """Looks at a file, a folder or a table of a server and proposes a project in ``root``. Writes nothing.

    Raises UsageError naming the flag for what the data leaves open, where ``ask`` is None; SourceError for what can't
    be read.
    """
    found = _look(root, data, wishes, ask)
    if found.detected.sample.is_empty():
        what = "has no rows: nothing can be proposed from it"
        raise UsageError(what, where=found.name, hint="name data with rows")
    unlike = found.detected.unlike
    wishes = _with_names(wishes, found.detected.sample.columns)
    dialect, notes_of_times = _settle(found.detected, wishes, ask)
    columns = _columns(found.detected.sample, dialect)
    keys = _choose_keys(columns, wishes, ask, found.primary_key)
    columns = [
        replace(each, kind="string", values=unlike[each.name].column)
        if each.name in keys and each.name in unlike
        else each
        for each in columns
    ]  # of keys each value counts
    event_time = _choose_time(columns, keys, wishes, ask, found.cursor)
    source = wishes.source or slug(found.stem, "events")
    entity_type = wishes.entity_type or _entity_type(keys[0], source)
    columns = _with_key_names(columns, keys, entity_type)
    key_columns = [column for column in columns if column.in_file in keys]
    time = next((column for column in columns if column.in_file == event_time), None)
    id_ = () if time is None or found.primary_key == keys else found.primary_key or _row_id(columns, keys)
    repeats = not id_ and _has_repeats(key_columns, time)
    several = repeats or bool(id_) or not found.detected.whole
    notes = [*found.notes, *found.detected.notes, *notes_of_times]
    notes += [each.note for name, each in unlike.items() if name not in keys and name not in wishes.formats]
    notes += [*_notes(found, dialect, columns, time, wishes, several=several)]
    notes += [] if wishes.keys or time is None else _note_own_keys(columns, keys)
    settings = _settings(
        name, found, dialect, columns, key_columns, time, entity_type, source, wishes, id_, repeats=repeats
    )
    told = {time.in_file if time else None, *keys, *id_}
    of = [(each.name, each.kind) for each in columns if each.in_file not in told]
    features = features_of(
        [pair for pair in of if pair[1] in ("float", "int")] + [pair for pair in of if pair[1] in ("bool", "string")],
        [each.name for each in key_columns], time.name if time else None, several=several, count=FEATURES,
    )  # fmt: skip
    return Proposal(settings, HEAD + "".join(each.text(entity_type) for each in features), source, tuple(notes))


def _look(root: Path, data: str | Path, wishes: Wishes, ask: Ask | None) -> Data:
    if isinstance(data, str) and _SERVER.match(data):
        from featurestore.workflows.server_at_hand import look_at_server  # it loads the drivers

        return look_at_server(data, wishes.table, wishes.decimal)
    path = Path(data)
    return look_at_files(root, path, wishes.table or _asked_table(path, ask), wishes.decimal)


def _asked_table(path: Path, ask: Ask | None) -> str | None:
    """The table of a file that has a few, as somebody says who can be asked."""
    source_type = type_of_file(path) if ask is not None and path.is_file() else None
    if ask is None or source_type not in ("sqlite", "duckdb"):
        return None
    names = tables_of(path, source_type)
    text = f"which table of {path.name} is it?"
    return ask(Question("", tuple(names), text)) if 1 < len(names) <= _ASKED_TABLES else None


def _with_names(wishes: Wishes, columns: Sequence[str]) -> Wishes:
    """The wishes with the names of columns as the data has them."""
    keys = [name for given in wishes.keys for name in _columns_named(given, columns)]
    formats = {name: each for given, each in wishes.formats.items() for name in _columns_named(given, columns)}
    time = wishes.event_time if wishes.event_time in (None, "none") else _columns_named(wishes.event_time, columns)[0]
    return replace(wishes, keys=tuple(dict.fromkeys(keys)), event_time=time, formats=formats)


def _columns_named(given: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that a flag names: as they are called, else but for spaces at the ends, or several with commas."""
    alike = [name for name in columns if name.strip() == given.strip()]
    if given in columns or len(alike) == 1:
        return (given if given in columns else alike[0],)
    parts = [part for part in given.split(",") if part.strip()]
    if len(parts) < 2:
        return (given,)
    return tuple(name for part in parts for name in _columns_named(part, columns))


def _settle(detected: Detected, wishes: Wishes, ask: Ask | None) -> tuple[Dialect, list[str]]:
    """The dialect, with what the sample leaves open as the caller says, and what to say of formats that were given."""
    dialect, times = detected.dialect, dict(detected.dialect.times)
    notes: list[str] = []
    for question in detected.questions:
        if question.ways:
            flags = " or ".join(f'--decimal "{way.decimal}"' for way in question.ways)
            way = question.ways[question.choices.index(_asked(question, ask, flags))]
            dialect = replace(dialect, decimal=way.decimal, thousands=way.thousands, numbers_said=True)
        elif question.column not in wishes.formats:
            flag = " or ".join(f'--format-of "{question.column}={choice}"' for choice in question.choices)
            times[question.column] = TimeFormat(format=_asked(question, ask, flag))
    for column, written in wishes.formats.items():
        if column not in detected.sample.columns:
            raise UsageError(f"--format-of names {column!r}, which is no column", hint=_names(detected.sample.columns))
        values = detected.unlike[column].column if column in detected.unlike else detected.sample[column]
        notes += _check_format(values, written, dialect)
        times[column] = TimeFormat(format=written)
    return replace(dialect, times=times), notes


def _check_format(column: pl.Series, format_: str, dialect: Dialect) -> list[str]:
    """What to say of values that are not written in a format. Raises UsageError where none is."""
    values = column.cast(pl.String).set(column.cast(pl.String).is_in([*dialect.null]).fill_null(value=False), None)
    values = values.drop_nulls()
    wrong = values.filter(pl.Series(~parse_times(values, TimeFormat(format=format_)).valid))
    if wrong.is_empty():
        return []
    what = f"{wrong[0]!r} in {column.name} is not written as {format_}"
    if len(wrong) == len(values):
        raise UsageError(f"--format-of: {what}, and no other value is", hint=_way_to_times(values))
    return [f"{what}: {len(wrong)} of {len(values)} rows will be set aside for it"]


def _way_to_times(values: pl.Series) -> str:
    """What makes times of a column's values."""
    first = values.drop_nulls()
    text = str(first[0]) if len(first) else ""
    formats = Counter(each for value in first.cast(pl.String).head(200) for each in guess_formats(value)).most_common(1)
    if formats:
        return f'--format-of "{values.name}={formats[0][0]}" reads {formats[0][1]} of the first {min(200, len(first))}'
    if re.fullmatch(r"[2-7]\d{4}([.,]\d+)?", text):
        day = date(1899, 12, 30) + timedelta(days=int(text[:5]))
        return f"{text} may be a spreadsheet's number for {day}: format the column as a date there, and export it again"
    return f"{text!r} is no time that is known: ISO 8601, or --format-of with names of months in English"


def _asked(question: Question, ask: Ask | None, flag: str) -> str:
    if ask is None:
        raise UsageError(question.text, hint=f"say it with {flag}")
    return ask(question)


def _columns(sample: pl.DataFrame, dialect: Dialect) -> list[_Column]:
    columns = []
    for values in sample.get_columns():
        kind = kind_of_column(values, dialect)
        if kind is not None:
            columns.append(_Column(values.name, values.name, kind, values))
    return columns


def _choose_keys(
    columns: Sequence[_Column], wishes: Wishes, ask: Ask | None, primary_key: Sequence[str]
) -> tuple[str, ...]:
    """The columns that say what a row is about: not those that only tell it from others, where there are others."""
    names = [column.name for column in columns if column.kind in ("string", "int")]
    if wishes.keys:
        for key in wishes.keys:
            if key not in names:
                raise UsageError(
                    f"--key names {key!r}, which is no column of text or whole numbers", hint=_names(names)
                )
        return wishes.keys
    if not names:
        raise UsageError("no column can be a key: none is text or whole numbers", hint="name another file")
    likely = [name for name in names if sounds_like_id(name)]
    others = [name for name in likely if name not in primary_key]
    if len(likely) == 1 or (len(others) == 1 and primary_key):
        return tuple(others or likely)
    choices = tuple(likely or names)
    what = "could be the key of what the rows are about" if likely else "is named like a key; what are the rows about?"
    text = f"{_names(choices)} {what}" if likely else f"no column {what} There are {_names(choices)}"
    return (_asked(Question("key", choices, text), ask, f"--key {quote(choices[0])}"),)


def _row_id(columns: Sequence[_Column], keys: Sequence[str]) -> tuple[str, ...]:
    """The column that tells one row from another, by its name and its values, where there is just one."""
    found = [
        column.in_file for column in columns
        if column.in_file not in keys and column.kind in ("string", "int") and sounds_like_id(column.in_file)
        and _tells_apart(column)
    ]  # fmt: skip
    return tuple(found) if len(found) == 1 else ()


def _tells_apart(column: _Column) -> bool:
    """Whether each row of the sample has a value of its own."""
    values = column.values
    return len(values) > 1 and not values.null_count() and not values.is_duplicated().any()


def _note_own_keys(columns: Sequence[_Column], keys: Sequence[str]) -> list[str]:
    """Says where each row is about an entity of its own: rows may be events of something else."""
    others = [
        column.in_file for column in columns
        if column.in_file not in keys and column.kind == "string" and column.values.is_duplicated().any()
    ]  # fmt: skip
    if len(keys) != 1 or not others or not any(each.in_file in keys and _tells_apart(each) for each in columns):
        return []
    return [f"each row has its own {keys[0]}: if rows are events of another entity, name it: --key {quote(others[0])}"]


def _choose_time(
    columns: Sequence[_Column], keys: Sequence[str], wishes: Wishes, ask: Ask | None, cursor: str | None
) -> str | None:
    times = [column.name for column in columns if column.kind in ("datetime", "date") and column.name not in keys]
    if wishes.event_time is not None:
        if wishes.event_time != "none" and wishes.event_time not in times:
            what = f"--event-time names {wishes.event_time!r}, which is no column of times"
            column = next((each for each in columns if each.in_file == wishes.event_time), None)
            raise UsageError(what, hint=_names(times) if column is None else _way_to_times(column.values))
        return None if wishes.event_time == "none" else wishes.event_time
    times = [name for name in times if name != cursor] or times  # when it was changed is not when it was true
    if len(times) < 2:
        return times[0] if times else None
    question = Question("event_time", tuple(times), f"{_names(times)} could be the time at which a row was true")
    return _asked(question, ask, f"--event-time {quote(times[0])}")


def _names(names: Sequence[str]) -> str:
    shown = [name if name == name.strip() and "," not in name else repr(name) for name in names[:12]]
    return ", ".join(shown) + (", …" if len(names) > 12 else "")


def _entity_type(key: str, source: str) -> str:
    """What an entity is called: ``patient`` of ``patient_id``."""
    name = slug(key, "entity")
    for suffix in ("_id", "_key", "_uuid", "_nr", "_no"):
        name = name.removesuffix(suffix)
    return name if name not in ("id", "key", "uuid", "guid", "nr", "no") else source.removesuffix("s") or "entity"


def _with_key_names(columns: Sequence[_Column], keys: Sequence[str], entity_type: str) -> list[_Column]:
    """The columns, with names for the keys that a key may have."""
    renamed = []
    for column in columns:
        name = column.name
        if name in keys and (not COLUMN_NAME.fullmatch(name) or name.lower() in RESERVED_KEYS):
            name = slug(name, f"{entity_type}_key")
            name = f"{entity_type}_{name}" if name in RESERVED_KEYS else name
        renamed.append(replace(column, name=name))
    return renamed


def _has_repeats(keys: Sequence[_Column], time: _Column | None) -> bool:
    of = pl.DataFrame([each.values for each in (*keys, *([time] if time else []))])
    return bool(of.is_duplicated().any())


def _notes(
    found: Data, dialect: Dialect, columns: Sequence[_Column], time: _Column | None, wishes: Wishes, *, several: bool
) -> list[str]:
    notes = []
    identity = {key: value for key, value in dialect.identity.items() if key not in ("times", "renamed")}
    shown = ", ".join(f"{key} = {toml_value('' if value is None else value)}" for key, value in identity.items())
    notes.append(f"{found.name} is {found.type}" + (f": {shown}" if shown else ""))
    written = [f"{name} as {one.format or f'{one.unit} since 1970'}" for name, one in dialect.times.items()]
    notes += [f"times are written: {', '.join(written)}"] if written else []
    if time is None:
        notes.append("no column is the time of a row: values hold from the run that learned them on")
    elif wishes.timezone is None and found.type in ("csv", "ndjson"):
        notes.append(f"times without a zone are taken as UTC: if {time.in_file} is local, name its zone in timezone")
    if several:
        notes.append("an entity may have several rows of one instant: the features make one value of them")
    if not found.detected.whole:
        notes.append("types and rules are those of a sample: rows that don't fit will be set aside, and counted")
    missing = [name for name in found.detected.sample.columns if name not in {each.in_file for each in columns}]
    notes += [f"left out, as nothing is known of them: {_names(missing)}"] if missing else []
    return notes


def _settings(
    name: str, found: Data, dialect: Dialect, columns: Sequence[_Column], keys: Sequence[_Column],
    time: _Column | None, entity_type: str, source: str, wishes: Wishes, id_: Sequence[str], *, repeats: bool,
) -> str:  # fmt: skip
    """The text of featurestore.toml."""
    kinds = ", ".join(f'{each.name} = "{"int" if each.kind == "int" else "string"}"' for each in keys)
    lines = [
        "[project]", f"name = {toml_value(name)}", "",
        f"[entity_types.{entity_type}]", f"keys = {{ {kinds} }}", "",
        f"[sources.{source}]", f"type = {toml_value(found.type)}", *found.lines,
    ]  # fmt: skip
    if time is not None:
        lines.append(f"event_time = {toml_value(time.name)}")
        lines.append(f"timezone = {toml_value(wishes.timezone or 'UTC')}  # of times without a zone")
        lines += ['duplicates = "keep"  # rows of one entity and time are several events'] if repeats else []
        lines += [f"id = {toml_value(list(id_))}  # {_WHY_ID[bool(found.primary_key)]}"] if id_ else []
        if found.cursor is not None:
            lines.append(f"cursor = {toml_value(found.cursor)}  # a run reads what has changed since the last one")
            lines += [f"updated_at = {toml_value(found.cursor)}"] if found.cursor != time.name else []
    for key, value in dialect.identity.items():
        if key not in ("times", "renamed"):
            lines.append(f"{key} = {toml_value('' if value is None else value)}")
    if dialect.numbers_said and dialect.plain_numbers:
        lines.append('decimal = "."  # no point stands between thousands')
    lines += ["", f"[sources.{source}.columns]"]
    if not found.detected.whole:
        lines.append("# Rules behind # are those of a sample: take # away for those that hold for all rows.")
    for column in columns:
        lines.append(_column_line(column, dialect, is_key=column in keys, whole=found.detected.whole))
    return _escaped("\n".join(lines) + "\n")


def _escaped(text: str) -> str:
    """The same TOML with whatever could turn the direction of writing, or can't be seen, written out."""
    unseen = {ord(ch) for ch in text if ch != "\n" and not ch.isprintable()}
    return text.translate({code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}" for code in unseen})


def _column_line(column: _Column, dialect: Dialect, *, is_key: bool, whole: bool) -> str:
    kind = ("int" if column.kind == "int" else "string") if is_key else column.kind
    facts: dict[str, object] = {"type": kind}
    written = dialect.times.get(column.in_file)
    if written is not None:
        facts |= written.identity
    if column.name != column.in_file:
        facts["rename"] = column.in_file
    rules = {} if is_key else _rules(column, dialect)
    line = f"{toml_key(column.name)} = {toml_value({**facts, **(rules if whole else {})})}"  # type: ignore[dict-item]
    if rules and not whole:
        line += "  # " + ", ".join(f"{name} = {toml_value(value)}" for name, value in rules.items())  # type: ignore[arg-type]
    return line


def _rules(column: _Column, dialect: Dialect) -> dict[str, object]:
    """Rules that all rows of the sample keep."""
    values = column.values
    if dialect.null and values.dtype == pl.String:
        values = values.set(
            values.is_in(pl.Series(dialect.null, dtype=pl.String).implode()).fill_null(value=False), None
        )
    rules: dict[str, object] = {}
    if not values.null_count() and len(values) > 1:
        rules["null"] = False
    if column.kind == "string":
        choices = _categories(values)
        if choices:
            rules["in"] = choices
    elif column.kind in ("int", "float"):
        plain = values.cast(pl.Float64, strict=False)
        if plain.null_count() == values.null_count() and len(plain.drop_nulls()) and float(plain.min()) >= 0:  # type: ignore[arg-type]
            rules["min"] = 0
    return rules


def _categories(values: pl.Series) -> list[str]:
    """The texts of a column that has a few, again and again: categories, and not what somebody wrote for once."""
    counts = values.drop_nulls().value_counts(name="count")
    texts = counts[values.name].to_list()
    few = 1 < len(texts) <= _FEW and len(values) >= max(_OFTEN * len(texts), _LEAST_ROWS)
    often = few and int(counts["count"].min()) > 1  # type: ignore[arg-type]  # of integers an integer
    return sorted(texts) if often and all(len(text) <= _LONGEST and len(text.split()) <= 3 for text in texts) else []
