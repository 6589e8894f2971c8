"""What is reported where a target can't be computed: each problem names the user's file, and the way out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import polars as pl

from featurestore.config import Project
from featurestore.errors import FeatureError, FeatureStoreError, did_you_mean
from featurestore.model import Problem, RejectedRow
from featurestore.versioning.running.modules import user_frame
from featurestore.workflows.ingest.targets import Target


def problem_of(error: BaseException, project: Project, target: Target) -> Problem:
    """An exception in the three parts of every error; a user's own is located in the user's file."""
    if isinstance(error, FeatureStoreError):
        return Problem(error.code, error.message, error.where or target.place, error.hint)
    where = user_frame(error, project.root) or target.place
    if isinstance(error, pl.exceptions.ColumnNotFoundError):
        return _missing_column(error, target, where)
    text = " ".join(str(error).split("\n\n")[0].split())
    message = f"{target.feature.function}() raised {type(error).__name__}: {text}".rstrip(": ")
    return Problem(
        "feature", message, where, "fix the function, then ingest again; the other features are not affected"
    )


def _missing_column(error: pl.exceptions.ColumnNotFoundError, target: Target, where: str) -> Problem:
    """Polars names the column and lists all others; people need the nearest one."""
    quoted = re.findall(r'"([^"]*)"', str(error).split("\n\n")[0])
    if not quoted:
        return Problem("feature", f"{target.feature.function}() asks for a column that is not there", where)
    name, *others = quoted
    message = f"{target.feature.function}() asks for the column {name!r}, which its rows don't have"
    return Problem("feature", message, where, did_you_mean(name, others) or "fix the function, or the source's columns")


def shrunk_problem(target: Target, missing: Sequence[str]) -> Problem:
    """Something that the last run read is gone, and the feature depends on all of its source."""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return Problem(
        "source_shrunk",
        f"{missing[0]}{more} of the source {target.source.name!r} was there at the last run and is gone; this feature "
        "depends on the whole source, so its values would change silently",
        target.place,
        'put the files back, declare lookback="30d" (or "0"), or accept it with --allow-shrunk',
    )


def strict_error(source: str, count: int, first: RejectedRow) -> FeatureStoreError:
    """Rows were rejected under ``--strict``."""
    return FeatureError(
        f"{count} rows of {source!r} break its rules; the first: {first.reason}",
        where=first.place,
        hint="fix the data or the rules, or leave out --strict",
    )
