"""The settings of a ``[sources.NAME]`` table that say how its text is written, as a `Dialect`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from featurestore import times
from featurestore.dialect import STANDARD, UNITS, Dialect, TimeFormat
from featurestore.toml import TomlTable

WORDS = ("null", "true", "false", "decimal", "thousands")
"""How values are written: for every type that may hold text."""

CSV = ("delimiter", "quote", "encoding", "skip_rows", "comment", "header")
"""How a text file is cut into rows and columns."""

COLUMN = ("format", "unit", "timezone", "ambiguous", "nonexistent", "rename")
"""What a column's table may say of how it is written."""


def read_dialect(
    table: TomlTable, keys: Iterable[str], formats: Mapping[str, TimeFormat], renamed: Mapping[str, str]
) -> Dialect:
    """The dialect that a source's table declares. ``keys`` are those of its type. Raises ConfigError naming the key."""
    cut = _read_cut(table) if "quote" in keys else STANDARD
    encoding = _encoding(table) if "encoding" in keys else STANDARD.encoding
    words = {name: _words(table, name) for name in ("null", "true", "false")}
    both = set(words["true"]) & set(words["false"])
    if both:
        raise table.error("true", "and false name the same word")
    decimal = table.text("decimal", ".") or ""
    thousands = table.text("thousands")
    if decimal not in (".", ","):
        raise table.error("decimal", 'must be "." or ","')
    if thousands is not None and thousands not in (".", ",", " ", "'", "_", "’"):
        raise table.error("thousands", 'must be one of . , \' _ and a space, for example thousands = "."')
    if thousands == decimal:
        raise table.error("thousands", f"is the same as decimal: which of them is {decimal!r}?")
    return Dialect(
        delimiter=cut.delimiter, quote=cut.quote, encoding=encoding, skip_rows=cut.skip_rows, comment=cut.comment,
        header=cut.header, **words, decimal=decimal, thousands=thousands, times=formats, renamed=renamed,
        numbers_said=thousands is not None or table.text("decimal") is not None,
    )  # fmt: skip


def read_time_format(table: TomlTable) -> TimeFormat:
    """How the times of one column are written. Raises ConfigError naming the key."""
    format_, unit = table.text("format"), table.text("unit")
    if format_ is not None:
        from featurestore.tables.time_formats import compile_format  # most projects have no format

        try:
            compile_format(format_)
        except ValueError as exc:
            raise table.error("format", str(exc), 'for example format = "%d/%m/%Y %H:%M"') from None
        if unit is not None:
            raise table.error("unit", "and format exclude each other")
    _one_of(table, "unit", UNITS)
    _one_of(table, "ambiguous", ("earliest", "latest"))
    _one_of(table, "nonexistent", ("forward", "backward"))
    zone = table.text("timezone")
    if zone is not None:
        check_zone(zone, table)
    return TimeFormat(format_, unit, zone, table.text("ambiguous"), table.text("nonexistent"))


def check_zone(zone: str, table: TomlTable) -> None:
    """Raises ConfigError for what is not a time zone, or can't be found on this machine."""
    if not times.is_zone(zone):
        if not times.has_zones():
            hint = "install it: the system's package tzdata, or pip install tzdata; UTC works without"
            raise table.error("timezone", "can't be used: this machine has no time zone data", hint)
        raise table.error("timezone", "is not a time zone", 'for example "Europe/Paris"')


def _read_cut(table: TomlTable) -> Dialect:
    delimiter = table.text("delimiter", ",") or ","
    quote = table.text("quote", '"')
    comment = table.text("comment")
    for name, character in (("delimiter", delimiter), ("quote", quote), ("comment", comment)):
        if character and (len(character) != 1 or character in "\r\n" or not character.isascii()):
            raise table.error(name, "must be one ASCII character")
    if quote and quote == delimiter:
        raise table.error("quote", "is the same as delimiter")
    if comment is not None and (not comment or comment in (delimiter, quote)):
        raise table.error("comment", "must be one ASCII character other than delimiter and quote")
    skip = table.get("skip_rows", int, 0)
    if not 0 <= skip <= 1_000_000:
        raise table.error("skip_rows", "must be the number of lines before the header")
    return Dialect(delimiter, quote or None, "utf-8", skip, comment, table.get("header", bool, True))


def _encoding(table: TomlTable) -> str:
    from featurestore.tables.encodings import text_encoding

    found = text_encoding(table.text("encoding", "utf-8") or "")
    if found is None:
        raise table.error("encoding", "is not an encoding of text", 'for example "cp1252", "latin-1" or "utf-16"')
    return found


def _words(table: TomlTable, name: str) -> tuple[str, ...]:
    words = table.get(name, (list, str), [])
    words = [words] if isinstance(words, str) else words
    if not all(isinstance(word, str) for word in words):
        raise table.error(name, "must be a list of words", f'for example {name} = ["{_EXAMPLES[name]}"]')
    return tuple(dict.fromkeys(words))


_EXAMPLES = {"null": "NULL", "true": "yes", "false": "no"}


def _one_of(table: TomlTable, name: str, words: Iterable[str]) -> None:
    found = table.text(name)
    if found is not None and found not in words:
        raise table.error(name, f"must be one of {', '.join(words)}")
