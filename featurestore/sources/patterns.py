"""Patterns of columns: regular expressions, matched by Polars' engine, which takes linear time for any of them.

An engine that backtracks takes hours for ``(a+)+`` and forty letters. The price is that some constructs don't exist:
they are refused by name when the project is read, which most commands do without loading Polars.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING

from featurestore.errors import ConfigError

if TYPE_CHECKING:
    import polars as pl

# One item of a pattern: an escape, a class in brackets, or what may be a construct that the engine does not have.
_ITEM = re.compile(
    r"""(?P<look>\(\?<?[=!]) | (?P<reference>\\[0-9]|\\k<|\(\?P=) | (?P<condition>\(\?\() | (?P<atomic>\(\?>)
    | (?P<comment>\(\?\#) | (?P<possessive>(?:[*+?]|\{\d+(?:,\d*)?\}|\{,\d+\})\+) | (?P<end>\\Z)
    | (?P<open>\{,\d+\}) | \\. | \[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]""",
    re.DOTALL | re.VERBOSE,
)
_UNSUPPORTED = {
    "look": ("looks ahead or behind", "declare what must match; a second rule, such as in or min, may say the rest"),
    "reference": ("refers back to a group, or has an octal escape", "spell the alternatives out"),
    "condition": ("has a condition", "spell both alternatives out, as in (a|b)"),
    "atomic": ("has an atomic group", "write (?:…): nothing backtracks here"),
    "comment": ("has a comment", "put it into a line of featurestore.toml that begins with #"),
    "possessive": ("has a possessive repetition", "leave the second + out: nothing backtracks here"),
    "end": (r"has \Z", "leave it out: a pattern matches the whole value"),
    "open": ("repeats without a lower bound", "write {0,…}"),
}
# What Polars' engine knows and Python's parser does not. Only a run, which loads Polars, can tell what is wrong then.
_UNKNOWN_TO_PYTHON = re.compile(
    r"\\[pPzx]|\\[uU]\{|\\b\{|\(\?<[A-Za-z_]|\(\?[a-zA-Z]*[RU-]|\(\?[imsxu]+\)|\[\[|&&|--|~~"
)


def check_pattern(pattern: str) -> tuple[str, str | None] | None:
    """What is wrong with a pattern, and what to do, as far as that can be told without Polars."""
    for found in _ITEM.finditer(pattern):
        if found.lastgroup is not None:
            what, way_out = _UNSUPPORTED[found.lastgroup]
            return f"{what} ({found[0]}), which patterns can't", way_out
    try:
        with warnings.catch_warnings(action="ignore"):
            re.compile(pattern)
    except re.error as exc:
        if not _UNKNOWN_TO_PYTHON.search(pattern):
            return f"is not a regular expression: {exc}", None
    except (RecursionError, OverflowError, MemoryError):
        return "is a regular expression that is too large", None
    return None


def find_mismatches(pattern: str, texts: pl.Series, column: str) -> pl.Series:
    """Which texts a pattern does not match from end to end; null for a null. Raises ConfigError for a bad pattern."""
    from polars.exceptions import ComputeError

    try:
        texts.head(1).str.contains(pattern)  # by itself first: `a)|(b` is one only between the parentheses below
    except ComputeError as exc:
        raise _unreadable(pattern, column, exc) from None
    try:
        return ~texts.str.contains(rf"\A(?:{pattern})\z")
    except ComputeError as exc:
        if "unclosed group" not in str(exc):
            raise _unreadable(pattern, column, exc) from None
    return ~texts.str.contains(f"\\A(?:{pattern}\n)\\z")  # (?x) with a comment at its end, where line feeds are no text


def _unreadable(pattern: str, column: str, exc: Exception) -> ConfigError:
    problem = re.findall(r"(?:^|regex )error: (?!regex parse)(.+)$", str(exc), re.MULTILINE)
    return ConfigError(
        f"the pattern of column {column!r}, {pattern[:60]}, is not a regular expression: {' '.join(problem[-1:])}",
        where="featurestore.toml",
        hint="patterns are those of Rust: https://docs.rs/regex/latest/regex/#syntax",
    )
