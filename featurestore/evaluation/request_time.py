"""Computes request-time features from their version files: the same bits for one row and for a million.

An expression is taken only where it is row by row: every operation of its tree, and, beside that, as it runs. What it
may name are the inputs, the fields of the request, and ``request_time``.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from featurestore.arguments import OTHER_ROWS, REQUEST_TIME, WITHOUT_OTHER_ROWS
from featurestore.errors import FeatureError, FeatureStoreError, did_you_mean
from featurestore.evaluation.declared_type import cast_value
from featurestore.evaluation.evaluate import build_expression
from featurestore.evaluation.operations import other_rows
from featurestore.evaluation.request_rows import generated_rows
from featurestore.evaluation.user_code import ENDS_THE_RUN, said_by, user_code
from featurestore.frozen import frozen
from featurestore.model import DataType, Feature, Scalar
from featurestore.tables.types import INSTANT_UTC, column_type
from featurestore.times import EPOCH, MICROSECOND
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.versioning.running import replay
from featurestore.versioning.running.modules import working_in

_VALUE = "featurestore value"  # the space keeps it apart from every column
_GUARDS = 64
_SAMPLE = 1_000  # rows that are computed again
_ALONE = 8  # of them one by one
_CACHED = 1_000  # versions in a process


@frozen
class Computation:
    """A version of a request-time feature, ready to compute.

    ``kinds`` are the types of its columns in the order in which `compute` takes them: inputs, fields, request_time.
    ``guards`` are rows of these columns that it is computed for beside those that are asked for; see `compute`.
    """

    feature: Feature
    expression: pl.Expr
    kinds: Mapping[str, Scalar]
    guards: pl.DataFrame | None = None

    @property
    def place(self) -> str:
        return self.feature.place


def load_computation(file: VersionFile, input_kinds: Mapping[str, Scalar]) -> Computation:
    """Loads a version of a request-time feature, whose inputs have these types. It is loaded once in a process.

    Raises FeatureError for an expression that is not row by row, or names another column; VersionFileError.
    """
    return _load(
        file.name.path, file.sha256, tuple((item.name, input_kinds[item.name]) for item in file.feature.inputs)
    )


@lru_cache(maxsize=_CACHED)
def _load(path: Path, sha256: str, inputs: tuple[tuple[str, Scalar], ...]) -> Computation:
    file = read_version(path)
    assert file.sha256 == sha256, "the name of a version file has its hash"
    expression = _build(file)
    kinds: dict[str, Scalar] = {**dict(inputs), **file.feature.request, REQUEST_TIME: "datetime"}
    computation = Computation(file.feature, expression.alias(_VALUE), kinds)
    _check_tree(computation)
    return _guarded(computation)


def compute(computation: Computation, columns: Sequence[pl.Series], *, first_row: int = 1) -> pl.Series:
    """The values for some rows, in the type that the feature declares; ``columns`` are those of ``kinds``, in order.

    Raises FeatureError, which names the row where a value does not fit that type.
    """
    rows = len(columns[0])
    # Polars gives other bits for a frame of one row than for the same row among others (see `evaluate.pad`), and where
    # a condition holds for all rows or for none: what it chooses is one value then, and x / 3 is not what x / y is for
    # y = 3. So the guards stand below the rows, whatever these are.
    asked = pl.DataFrame(columns)
    frame = asked.vstack(asked if computation.guards is None else computation.guards).rechunk()
    try:
        # In memory and in this thread: for a single request, handing it to others takes longer than computing it.
        values = frame.with_columns_seq(computation.expression).get_column(_VALUE)
        return _as_declared(values.head(rows), computation.feature.data_type)
    except FeatureError as exc:
        name = computation.feature.name
        rest = "" if first_row == 1 else f" (rows are counted from row {first_row})"
        raise FeatureError(f"{name}: {exc.message}{rest}", where=computation.place, hint=exc.hint) from exc
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
        raise _failed(computation, exc) from exc


def _as_declared(values: pl.Series, data_type: DataType) -> pl.Series:
    """`cast_value`, at a tenth of the time for the floats of a single request, which mostly are floats already."""
    if data_type.kind == "float" and values.dtype == pl.Float64:
        zeros = 0.0 in values.to_list() if len(values) == 1 else (values == 0.0).any()
        if not zeros:
            return values
    return cast_value(values.alias("value"), data_type)


def request_times(micros: Sequence[int] | NDArray[np.int64]) -> pl.Series:
    """The column ``request_time`` from instants in microseconds."""
    return pl.Series(REQUEST_TIME, micros, dtype=pl.Int64).cast(INSTANT_UTC)


def column_of(name: str, kind: Scalar, values: Sequence[Any]) -> pl.Series:
    """A column of inputs or fields from values as they are read. Datetimes are UTC, and go in as integers: sooner."""
    if kind != "datetime":
        return pl.Series(name, values, dtype=column_type(kind))
    micros = [None if value is None else (value - EPOCH) // MICROSECOND for value in values]
    return pl.Series(name, micros, dtype=pl.Int64).cast(INSTANT_UTC)


def check_rows(computation: Computation, columns: Sequence[pl.Series], *, seed: int = 0) -> None:
    """Computes some rows again, shuffled and split, and compares the bits.

    Raises FeatureError where a value depends on the rows beside it.
    """
    rows = min(len(columns[0]), _SAMPLE)
    if rows < 2:
        return
    picked = random.Random(seed).sample(range(len(columns[0])), rows)  # noqa: S311  (a sample, no secret)
    sample = [column.gather(picked) for column in columns]
    whole = compute(computation, sample)
    order = random.Random(seed + 1).sample(range(rows), rows)  # noqa: S311
    shuffled = compute(computation, [column.gather(order) for column in sample])
    cut = rows // 3 + 1
    parts = [
        compute(computation, [column[at:end] for column in sample]) for at, end in ((0, cut), (cut, rows)) if at < end
    ]
    alone = [compute(computation, [column[at : at + 1] for column in sample]) for at in range(min(rows, _ALONE))]
    for again, first in (
        (shuffled, whole.gather(order)),
        (pl.concat(parts), whole),
        (pl.concat(alone), whole.head(len(alone))),
    ):
        if not again.equals(first, null_equal=True):
            row = int((~again.eq_missing(first)).arg_true()[0])
            raise FeatureError(
                f"{computation.feature.name} gives {again[row]!r} where the row stands among others than those with "
                f"which it gives {first[row]!r}: what is computed at a request must depend on its own row alone",
                where=computation.place,
                hint="compute what looks at several rows in a feature of its own, and name that in inputs=",
            )


def _build(file: VersionFile) -> pl.Expr:
    feature = file.feature
    try:
        with user_code(), working_in(replay.folder_of(file)):
            return build_expression(feature, replay.load(file))
    except ENDS_THE_RUN:
        raise
    except FeatureStoreError as exc:
        exc.where = exc.where or feature.place
        raise
    except BaseException as exc:  # a user's code may raise anything
        message = f"{feature.name}: {feature.function}() raised {said_by(exc)}"
        raise FeatureError(message, where=feature.place, hint="fix the function, then run featurestore lock") from exc


def _check_tree(computation: Computation) -> None:
    feature, expression = computation.feature, computation.expression
    for name in expression.meta.root_names():
        if name not in computation.kinds:
            raise FeatureError(
                f"{feature.name} asks for the column {name!r}, which is neither an input nor a field of its request",
                where=feature.place,
                hint=did_you_mean(name, computation.kinds),
            )
    if expression.meta.has_multiple_outputs():
        raise FeatureError(
            f"{feature.name} gives several columns, or does not name those that it takes",
            where=feature.place,
            hint=f'name each: pl.col("{next(iter(computation.kinds))}") …',
        )
    found = other_rows(expression)
    if found is not None:
        raise FeatureError(
            OTHER_ROWS.format(name=feature.name, operation=found), where=feature.place, hint=WITHOUT_OTHER_ROWS
        )


def _guarded(computation: Computation) -> Computation:
    """The computation with guards, but for generated rows for which the expression fails."""
    rows = generated_rows(computation.kinds, _literals(computation.expression), _GUARDS, computation.feature.name)
    try:
        compute(computation, rows)
    except FeatureError:
        kept = [at for at in range(_GUARDS) if _computes(computation, [column[at : at + 1] for column in rows])]
        rows = [column.gather(kept) for column in rows]
    guarded = replace(computation, guards=pl.DataFrame(rows) if len(rows[0]) else None)
    check_rows(guarded, rows)
    return guarded


def _computes(computation: Computation, columns: Sequence[pl.Series]) -> bool:
    try:
        compute(computation, columns)
    except FeatureError:
        return False
    return True


def _literals(expression: pl.Expr) -> list[object]:
    """The numbers and texts in an expression: values at which it may decide otherwise."""
    found: list[object] = []
    waiting: list[object] = [json.loads(expression.meta.serialize(format="json"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
        elif isinstance(node, int | float | str) and not isinstance(node, bool):
            found.append(node)
    return found


def _failed(computation: Computation, exc: BaseException) -> FeatureError:
    text = " ".join(str(exc).split("\n\n")[0].split())
    return FeatureError(
        f"{computation.feature.name} can't be computed: {text}",
        where=computation.place,
        hint="make the expression give null for such values, for example with cast(…, strict=False)",
    )
