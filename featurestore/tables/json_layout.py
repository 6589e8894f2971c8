"""The fast path through JSON lines: lines that are alike are cut by one regular expression, all at once.

Programs write the same flat object on every line, the same names in the same order. The expression takes exactly
JSON's grammar; a line that differs in anything is left to `json_texts`, which decodes it by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from featurestore.frozen import frozen
from featurestore.tables.batch import BOOLEAN, DECIMAL, INTEGER, NULL, STRING, Rows

# An escape from \ud800 to \udfff is left to the decoder, which sees whether the other half of the pair follows.
_STRING = r'"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u(?:[0-9a-cA-Ce-fE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}))*"'
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_VALUE = rf"(?:{_STRING}|{_NUMBER}|true|false|null|NaN|-?Infinity)"
_ROUGHLY = r"(\"(?:[^\"\\]|\\.)*\"|[-+.0-9A-Za-z]+)"  # the same on lines that have passed, and three times as fast
_SPACE = r"[ \t]*"
_MOST_NAMES = 100


@frozen
class Cut:
    """Values of some lines as text and as kinds (see `Batch`), by column; ``rows`` are their line numbers, from 0."""

    texts: pl.DataFrame
    kinds: pl.DataFrame
    rows: Rows

    def merge(self, other: Cut) -> Cut:
        """Both, in the order of their lines. A name that one of them lacks is null there."""
        if not len(other.rows):
            return self
        rows = np.concatenate((self.rows, other.rows))
        order = np.argsort(rows)
        texts = pl.concat([self.texts, other.texts], how="diagonal")[order]
        kinds = pl.concat([self.kinds, other.kinds], how="diagonal").fill_null(NULL)[order]
        return Cut(texts, kinds, rows[order])


def cut_alike(lines: Sequence[bytes], names: list[str]) -> Cut | None:
    """The lines that are flat objects of these names in this order; None where there are none."""
    if not 0 < len(names) <= _MOST_NAMES:
        return None
    text = pl.Series(lines, dtype=pl.Binary).cast(pl.String, strict=False)
    alike = text.str.contains(_line(names, _VALUE)).fill_null(value=False)
    if not alike.any():
        return None
    groups = text.filter(alike).str.extract_groups(_line(names, _ROUGHLY)).struct.unnest()
    texts = groups.with_columns(_texts(column) for column in groups.iter_columns())
    kinds = groups.select(_kinds(column) for column in groups.columns)
    texts.columns = kinds.columns = names  # last, as Polars takes some names for patterns: ^a$ and *
    return Cut(texts, kinds, alike.arg_true().cast(pl.UInt32).to_numpy())


def _line(names: list[str], value: str) -> str:
    fields = (f"{re.escape(json.dumps(name, ensure_ascii=False))}{_SPACE}:{_SPACE}{value}" for name in names)
    return rf"^{_SPACE}\{{{_SPACE}" + f"{_SPACE},{_SPACE}".join(fields) + rf"{_SPACE}\}}[ \t\r]*$"


def _kinds(column: str) -> pl.Expr:
    raw = pl.col(column)
    return (
        pl.when(raw.str.starts_with('"')).then(STRING)
        .when(raw.str.contains("^-?[0-9]+$")).then(INTEGER)
        .when(raw == "null").then(NULL)
        .when(raw.is_in(["true", "false"])).then(BOOLEAN)
        .otherwise(DECIMAL)
        .cast(pl.UInt8).alias(column)
    )  # fmt: skip


def _texts(raw: pl.Series) -> pl.Series:
    """Strings without their quotes and escapes, null as null, the rest unchanged."""
    raw = raw.set(raw == "null", None)
    quoted = raw.str.starts_with('"')
    if not quoted.any():
        return raw
    escaped = (quoted & raw.str.contains("\\", literal=True)).arg_true()
    text = raw.zip_with(~quoted, raw.str.slice(1).str.head(-1))
    return text.scatter(escaped, [json.loads(value) for value in raw[escaped]]) if len(escaped) else text
