"""What is reported where a target can't be computed: each problem names the user's file, and the way out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from unicodedata import normalize

import polars as pl

from featurestore.config import Project
from featurestore.errors import (
    DeclarationError,
    FeatureError,
    FeatureStoreError,
    VersionFileError,
    did_you_mean,
    plural,
)
from featurestore.evaluation.evaluate import SortedRows
from featurestore.evaluation.user_code import said_by
from featurestore.model import Problem, RejectedRow, Scope
from featurestore.sources.pinned_types import pin_place, read_pins
from featurestore.toml import toml_key
from featurestore.versioning.running.modules import user_frame
from featurestore.workflows.ingest.targets import Target

_NAMED = 10  # files of one source that are gone


def problem_of(error: BaseException, project: Project, target: Target, rows: Sequence[SortedRows] = ()) -> Problem:
    """An exception in the three parts of every error; a user's own is located in the user's file.

    ``rows`` are those of each source that the code has seen.
    """
    if isinstance(error, FeatureStoreError):
        return Problem(error.code, error.message, error.where or target.place, error.hint)
    where = user_frame(error, project.root) or target.place
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        return _missing_column(error, target, where, [name for each in rows for name in each.unread])
    message = f"{target.feature.function}() raised {said_by(error)}"
    hint = "fix the function, then ingest again; the other features are not affected"
    if isinstance(error, ModuleNotFoundError) and error.name:
        hint = _import_hint(error.name, project)
    if isinstance(error, pl.exceptions.InvalidOperationError | pl.exceptions.SchemaError):
        texts = _inferred_texts(project, target, rows)
        hint = "; ".join([*texts, f"else {hint}" if texts else hint])
    return Problem("feature", message, where, hint)


def _inferred_texts(project: Project, target: Target, rows: Sequence[SortedRows]) -> list[str]:
    """What an operation on a wrong type may come of: columns that are text because of the values that they have now,
    or that they had when their types were pinned.
    """
    found: list[str] = []
    seen = {each.source.name: each.frame.schema for each in rows}
    keys = {name for entity_type in project.entity_types.values() for name in entity_type.key_names}
    for source in target.feature.reads:
        try:
            pins = read_pins(project, source)
        except VersionFileError:  # said by whoever reads the rows
            continue
        known = {*source.columns, *source.roles, *keys, *pins}
        texts = [name for name, kind in seen.get(source.name, {}).items() if kind == pl.String and name not in known]
        found.extend(
            f"{name} is text, as not every value of it is a number: if it should be, declare it, "
            f'{toml_key(name)} = {{ type = "float" }} in [sources.{source.name}.columns], and others are set aside'
            for name in target.seen_among(texts)[:_NAMED]
        )
        for name in target.seen_among([name for name, kind in pins.items() if kind == "string"])[:_NAMED]:
            place = pin_place(project, source, name)
            found.append(f"{name} is text by {place}: if it is not meant to be, change that line, or delete it")
    return found


def _import_hint(module: str, project: Project) -> str:
    """Code of the project is imported from ``features``, as packages are that are installed."""
    first = module.partition(".")[0]
    own = project.root / "features"
    if (own / first).is_dir() or (own / f"{first}.py").is_file():
        return f"code of the project is imported from features: write features.{module}"
    if first == "features":
        return "is the file there, and its name written like that?"
    return f"install {first} where featurestore runs, or import code of the project as features.{module}"


def _missing_column(
    error: pl.exceptions.ColumnNotFoundError, target: Target, where: str, unread: Sequence[str]
) -> Problem:
    """Polars names the column and lists all others; people need the nearest one."""
    # The exception has no field for the column: only its text names it.
    quoted = re.findall(r'"([^"]*)"', str(error).split("\n\n")[0])
    if not quoted:
        return Problem("feature", f"{target.feature.function}() asks for a column that is not there", where)
    name, others = quoted[0], [*quoted[1:], *unread]
    message = f"{target.feature.function}() asks for the column {name!r}, which its rows don't have"
    if normalize("NFC", name) in others:
        hint = "the code has the name in another Unicode form (letters and accents apart); type it anew"
        return Problem("feature", message, where, hint)
    return Problem("feature", message, where, did_you_mean(name, others) or "fix the function, or the source's columns")


def shrunk_problem(target: Target, source: str, missing: Sequence[str]) -> Problem:
    """Something that the last run read is gone from a source, and the feature depends on all of it."""
    shown = ", ".join(missing[:_NAMED]) + (f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else "")
    were = "were there at the last run and are gone" if len(missing) > 1 else "was there at the last run and is gone"
    return Problem(
        "source_shrunk",
        f"{shown} of the source {source!r} {were}; this feature depends on the whole source, so its values "
        "would change silently",
        target.place,
        "put the files back, or accept it with --allow-shrunk"
        if target.feature.sources
        else 'put the files back, declare scope="row" or scope="entity", or accept it with --allow-shrunk',
    )


def forgotten_problem(target: Target, source: str) -> Problem:
    """Rows of an entity are not kept any more, and the feature may look at all of them."""
    return Problem(
        "source_shrunk",
        f"rows of files that are gone from the source {source!r} are not kept any more; this feature may look at all "
        "rows of an entity, so its values would be made of some of them",
        target.place,
        'put the files back, declare how far it looks back (lookback="30d"), or accept it with --allow-shrunk',
    )


def without_columns(source: str, feature: str, files: int, columns: Sequence[str]) -> str:
    """What a new feature names and nobody needed while the files were there."""
    named = f"the column{'s' if len(columns) > 1 else ''} {', '.join(map(repr, columns))}"
    gone = f"{plural(files, 'file')} of {source} that vanished"
    return (
        f"{feature}: the rows of {gone} were kept without {named}, which no feature needed then, and don't count "
        f"for it; columns that are declared in [sources.{source}.columns] are kept for features to come"
    )


def slice_problem(target: Target, scope: Scope) -> Problem:
    """A feature under ``--input`` that may look at rows which the slice does not have."""
    name, source = target.feature.name, target.source
    return Problem(
        "not_row_by_row",
        f"--input gives a feature the rows of that file alone, and {name} may look at others ({scope.reason}): its "
        "values would be wrong",
        target.place,
        f"put the file beside the others of {source.name!r} ({source.location}) and ingest without --input; or, where "
        'each value depends on its own row alone, declare scope="row"',
    )


def window_problem(target: Target) -> Problem:
    """A window over a source whose rows are not kept: they could not be looked at again when they leave."""
    return Problem(
        "declaration",
        f"window= looks at rows again when they leave the window, and the source {target.source.name!r} "
        f"({target.source.type}) gives them only once",
        target.place,
        "write its rows to files, such as Parquet, and declare these as the source",
    )


def backfill_problem(target: Target) -> Problem:
    """A backfill over a source whose rows can't be taken a step at a time."""
    return Problem(
        "feature",
        f"the source {target.source.name!r} is read as a whole, and can't be taken a step at a time",
        target.place,
        f"ingest without --since, --until and --step: featurestore ingest {target.feature.name}",
    )


def window_rows_problem(target: Target, held: int, rows: int, each: int, *, in_part: bool) -> Problem:
    """``held`` are what its windows hold together of the source's ``rows``, of which each may stand in ``each``.

    ``in_part``: others may hold more.
    """
    or_more, at_least = (" or more", "at least ") if in_part else ("", "")
    how = 'with every="1h"' if target.feature.every is None else "with a longer every="
    return Problem(
        FeatureError.code,
        f"its windows hold {held:,} rows{or_more} together, and {each * rows:,} are allowed: {each} times its source's",
        target.place,
        f"let the value change less often {how}, or allow more, which takes time and not memory: "
        f"window_rows = {at_least}{math.ceil(held / max(rows, 1)):,} in [offline] of featurestore.toml",
    )


def too_large_problem(target: Target, rows: int, size: int, memory: int, *, entity: str | None = None) -> Problem:
    """A feature that needs more rows at once than fit into memory. Sizes are in bytes."""
    several = target.feature.sources
    every = f"the sources {target.feature.source_name}" if several else f"the source {target.source.name!r}"
    whose = f"the rows of {entity}" if entity else f"all rows of {every}"
    return Problem(
        "too_large",
        f"{target.feature.name} needs {whose} at once: {rows:,} rows, about {_gigabytes(size)} of memory, and it may "
        f"use {_gigabytes(memory)}",
        target.place,
        "raise memory in [offline], or make a feature of each source"
        if several
        else ("" if entity else 'declare scope="row" or scope="entity" where a value depends on no other rows; ')
        + 'declare lookback="…" where older rows don\'t matter; or raise memory in [offline]',
    )


def repeated_ids_problem(target: Target, rows: int, size: int, memory: int) -> Problem:
    """A feature over a large source in which some ids are those of several rows. Sizes are in bytes."""
    source = target.source
    return Problem(
        "too_large",
        f"some values of {', '.join(source.id)} are those of several rows of the source {source.name!r}, and to find "
        f"which of them count {target.feature.name} needs all rows at once: {rows:,} rows, about {_gigabytes(size)} of "
        f"memory, and it may use {_gigabytes(memory)}",
        target.place,
        f"raise memory in [offline]; or leave id out of [sources.{source.name}] where a row keeps its entity and time",
    )


def untimed_problem(target: Target, size: int, memory: int) -> Problem:
    """A feature over a large source that is read as a whole. Sizes are in bytes."""
    source = target.source
    return Problem(
        "too_large",
        f"the source {source.name!r} has no event_time, so that {target.feature.name} needs all its rows at once: they "
        f"take about {_gigabytes(size)} of memory, and it may use {_gigabytes(memory)}",
        target.place,
        f"name the column of their times as event_time in [sources.{source.name}], with which rows are taken by parts; "
        "or raise memory in [offline]",
    )


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 100_000_000 else f"{size / 1e6:,.1f} MB"


def unkeyed_error(target: Target) -> FeatureStoreError:
    """A feature of scope ``entity`` over a source whose rows do not say which entity they are about."""
    keys = ", ".join(target.feature.entity_type.key_names)
    return DeclarationError(
        f'scope="entity" needs the entity\'s keys ({keys}) in the source {target.source.name!r} under their own names',
        where=target.place,
        hint='rename the columns in the source, or declare scope="source"',
    )


def strict_error(source: str, count: int, first: RejectedRow | None) -> FeatureStoreError:
    """Rows are set aside, now or since an earlier run, under ``--strict``."""
    shown = "" if first is None else f"; the first: {first.reason}"
    return FeatureError(
        f"{_rows(count)} of {source!r} {'breaks' if count == 1 else 'break'} its rules{shown}",
        where=None if first is None else first.place,
        hint="fix the data or the rules, or leave out --strict",
    )


def all_set_aside(source: str, count: int, first: RejectedRow) -> FeatureStoreError:
    """No row of a source was accepted, so that there is nothing to compute from."""
    rows = "the only row" if count == 1 else f"all {_rows(count)}"
    return FeatureError(
        f"{rows} of {source!r} had to be set aside; the first: {first.reason}",
        where=first.place,
        hint=f"fix the data, the rules of [sources.{source}.columns], or the types in "
        f"features/.versions/{source}.columns.toml",
    )


def ahead_problem(target: Target, count: int) -> Problem:
    """A function whose results are all dated ahead of the clock."""
    return Problem(
        "feature",
        f"every value that {target.feature.name} gives is dated ahead of the clock ({count:,} of {count:,})",
        target.place,
        "--allow-future takes them; else a run after their time does",
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
