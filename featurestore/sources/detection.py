"""What a file that nobody has described yet is: its type, how its text is written, and what its columns hold.

A proposal for people, made from a sample: the beginning of the file, and some places further on. What can't be told
is a `Question`, never a guess.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl

from featurestore.dialect import STANDARD, Dialect, TimeFormat
from featurestore.errors import SourceError, os_reason
from featurestore.frozen import frozen
from featurestore.model import Scalar
from featurestore.sources.casts.cast import ColumnType
from featurestore.sources.casts.from_text import cast_text
from featurestore.sources.inference import infer
from featurestore.sources.ways_out import TRUE_WORDS, is_null_word
from featurestore.tables.batch import Mask, nfc
from featurestore.tables.blocks import read_blocks
from featurestore.tables.delimited import read_csv
from featurestore.tables.formats import foreign_format
from featurestore.tables.packed import inner_name, packed_by
from featurestore.tables.time_formats import guess_formats, guess_unit, question_of
from featurestore.tables.written_times import parse_times

_HEAD = 1 << 20  # bytes of the beginning
_PLACES, _PIECE = 16, 1 << 16  # further on, so many pieces of so many bytes
_LINES = 300  # that a delimiter is found by
_ROWS_OF_VALUES = 20  # by which a header is told from a row
_DELIMITERS = (",", ";", "\t", "|")
_FORMATS_FROM = 200  # different values of a column
_ENOUGH = 20  # values among which one may be no like the others
_TEXT = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "ndjson", ".ndjson": "ndjson", ".json": "ndjson"}
_BINARY = {"Parquet": "parquet", "Arrow": "arrow", "an Arrow stream": "arrow", "a SQLite database": "sqlite",
           "a DuckDB database": "duckdb"}  # fmt: skip
_NUMBERS = ((".", None), (",", None), (",", "."), (".", ","), (",", " "), (".", " "), (".", "'"))


@frozen
class Question:
    """What a sample leaves open: about which column, the choices, and the sentence that asks.

    ``ways`` are the dialects that the choices mean, where it is open how numbers are written.
    """

    column: str
    choices: tuple[str, ...]
    text: str
    ways: tuple[Dialect, ...] = ()


@frozen
class Unlike:
    """A column of which a few values are not like all the others: with them, without them, and what to say of them."""

    column: pl.Series
    others: pl.Series
    note: str


@frozen
class Detected:
    """How a text file is written. ``sample`` are rows as text; ``whole`` says that they are all rows.

    ``notes`` say what was taken as it most likely is. In the sample there is null for the few values of ``unlike``.
    """

    dialect: Dialect
    sample: pl.DataFrame
    whole: bool
    questions: tuple[Question, ...] = ()
    notes: tuple[str, ...] = ()
    unlike: Mapping[str, Unlike] = field(default_factory=dict)


def type_of_file(path: Path) -> str:
    """The source type of a file, by its first bytes, and of text by its name and contents. Raises SourceError."""
    try:
        with path.open("rb") as stream:
            head = stream.read(1 << 12)
    except OSError as exc:
        raise SourceError(f"can't be read: {os_reason(exc)}", where=str(path)) from exc
    found = foreign_format(head[:16], text=True)
    if found is not None and packed_by(head) is None:
        if found[0] in _BINARY:
            return _BINARY[found[0]]
        raise SourceError(f"is {found[0]}", where=str(path), hint=found[1])
    suffix = Path(inner_name(path.name)).suffix.lower()
    if suffix in _TEXT:
        return _TEXT[suffix]
    return "ndjson" if head.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"{") else "csv"


def detect_csv(path: Path, decimal: str | None = None) -> Detected:
    """Finds how a CSV is written, from its beginning and some places further on. Raises SourceError.

    ``decimal`` stands before the decimals of numbers, where that is known.
    """
    with path.open("rb") as stream:
        encoding = _encoding(stream, path.name)
        text, whole = _sample(stream, path.name, encoding)
    dialect = _cut(text)
    frames = read_csv(io.BytesIO(text), path.name, _ignore, dialect=dialect)
    sample = pl.concat([batch.frame for batch in frames])
    dialect = replace(dialect, encoding="utf-8" if encoding in ("utf-8", "utf-16") else encoding)
    sample = sample.rename({name: nfc(name) for name in sample.columns if nfc(name) != name})
    return detect_values(sample, dialect, whole=whole, decimal=decimal)


def detect_values(
    sample: pl.DataFrame, dialect: Dialect, *, whole: bool, decimal: str | None = None, numbers: Collection[str] = ()
) -> Detected:
    """Finds how the values in columns of text are written: words for null, numbers, booleans, times.

    ``decimal`` stands before the decimals, where that is known; ``numbers`` are columns whose numbers a program wrote.
    """
    unlike: dict[str, Unlike] = {}
    for column in sample.get_columns():
        if column.dtype == pl.String and column.name not in numbers and not sounds_like_id(column.name):
            found_unlike = _unlike_others(column, dialect, whole=whole)
            if found_unlike is not None:
                unlike[column.name] = found_unlike
    sample = sample.with_columns(each.others for each in unlike.values())
    texts = [column for column in sample.get_columns() if column.dtype == pl.String and not sounds_like_id(column.name)]
    nulls = dict.fromkeys((*dialect.null, *_null_words(texts)))
    dialect = replace(dialect, null=tuple(nulls))
    texts = [_without(column, tuple(nulls)) for column in texts]
    questions: list[Question] = []
    notes: list[str] = []
    written = [column for column in texts if column.name not in numbers]
    dialect = _numbers(written, dialect, decimal, questions, notes)
    dialect = _booleans(texts, dialect)
    times: dict[str, TimeFormat] = dict(dialect.times)
    for column in texts:
        found = None if column.name in times else _time_format(column, dialect, questions)
        if found is not None:
            times[column.name] = found
    for column in sample.get_columns():
        unit = _unit_of_numbers(column)
        if unit is not None and column.name not in times:
            times[column.name] = TimeFormat(unit=unit)
    return Detected(replace(dialect, times=times), sample, whole, tuple(questions), tuple(notes), unlike)


def kind_of_column(column: pl.Series, dialect: Dialect) -> Scalar | None:
    """The type that a column of a sample would get; None for what has no type here, such as nothing but nulls."""
    if column.name in dialect.times:
        return "datetime"
    if column.dtype == pl.String:
        column = _without(column, dialect.null)
    found = infer(column.alias(""), dialect=dialect)
    return None if found is None else found[0]


def _ignore(_warning: str) -> None:
    """What a reader would warn of, it warns of when the file is read."""


def _encoding(stream: IO[bytes], name: str) -> str:
    """UTF-8 where the beginning is, UTF-16 where that is to be seen, else the encoding of Western Europe."""
    head = stream.read(4)
    stream.seek(0)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    first, size = b"", 0
    try:
        for block in read_blocks(stream, name, _HEAD):
            first, size = first + block, size + len(block)
            if size >= _HEAD:
                break
    except SourceError as exc:
        likely = (exc.hint or "").partition('encoding = "')[2].rstrip('"')
        if not likely:
            raise
        return likely
    finally:
        stream.seek(0)
    try:
        first[: first.rfind(b"\n") + 1 or None].decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1" if any(byte in first for byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D)) else "cp1252"
    return "utf-8"


def _sample(stream: IO[bytes], name: str, encoding: str) -> tuple[bytes, bool]:
    """(whole lines as UTF-8, whether they are the whole file): the beginning, then pieces of a file not packed."""
    text, whole = b"", True
    for block in read_blocks(stream, name, _HEAD, encoding):
        text += block
        if len(text) > _HEAD:
            whole = False
            break
    if whole:
        return text, True
    end = text.rfind(b"\n") if b"\n" in text else text.rfind(b"\r")
    if end < 0:
        raise SourceError(f"has no line end in its first {_HEAD >> 20} MiB", where=name, hint="is it a table at all?")
    text = text[: end + 1]
    stream.seek(0, io.SEEK_END)
    size = stream.tell()
    stream.seek(0)
    if packed_by(stream.read(10)) is None and encoding in ("utf-8", "cp1252", "latin-1"):
        for place in range(1, _PLACES + 1):
            stream.seek(max(_HEAD, (size - _PIECE) * place // _PLACES))
            piece = stream.read(_PIECE)
            piece = piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1]
            text += piece if encoding == "utf-8" else piece.decode(encoding, "replace").encode()
    return text, False


def _cut(text: bytes) -> Dialect:
    """Delimiter, quote, lines before the header, comments, and whether there is a header."""
    lines = text[:_HEAD].decode("utf-8", "replace").splitlines()[:_LINES]
    comment = "#" if lines and lines[0].startswith("#") and not lines[-1].startswith("#") else None
    rows_of: dict[tuple[str, str], list[list[str]]] = {}
    quotes = ("'",) if _is_quoted_by_apostrophes(lines) else ('"',)
    kept = [line for line in lines if line.strip() and not (comment and line.startswith(comment))]
    for delimiter in _DELIMITERS:
        for quote in quotes:
            rows_of[delimiter, quote] = list(csv.reader(kept, delimiter=delimiter, quotechar=quote))
    (delimiter, quote), rows = max(rows_of.items(), key=lambda item: _regularity(item[1]))
    usual = Counter(map(len, rows)).most_common(1)[0][0] if rows else 1
    before = next((at for at, row in enumerate(rows) if len(row) == usual), 0)
    below = next((at for at, row in enumerate(rows) if len(row) == usual and not _is_title(row)), before)
    if below > before and _is_header(rows[below:]):  # a spreadsheet writes as many fields into each line
        before = below
    skip = _lines_before(lines, kept, before) if before and comment is None else 0
    header = not rows or _is_header(rows[before:])
    return Dialect(delimiter=delimiter, quote=quote, comment=comment, skip_rows=skip, header=header)


def _is_title(row: Sequence[str]) -> bool:
    """Whether a row of many fields has but one, if any, that is not empty."""
    return len(row) > 2 and sum(bool(cell.strip()) for cell in row) <= 1


def _lines_before(lines: Sequence[str], kept: Sequence[str], before: int) -> int:
    """How many lines stand before one of those that were kept."""
    return next((at for at, line in enumerate(lines) if line == kept[before]), 0)


def _is_quoted_by_apostrophes(lines: Sequence[str]) -> bool:
    return not any('"' in line for line in lines) and sum(line.count("','") + line.count("';'") for line in lines) > (
        len(lines) // 2
    )


def _regularity(rows: Sequence[Sequence[str]]) -> tuple[float, int]:
    """How much a file looks as if it were cut in the right way: the share of rows of one length, and that length."""
    if not rows:
        return 0.0, 0
    length, count = Counter(map(len, rows)).most_common(1)[0]
    return (0.0, 0) if length < 2 else (round(count / len(rows), 1), length)


def _is_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first of some rows are names: texts, none of which is a number or a time.

    They are different ones, unless the other rows hold numbers and times.
    """
    first = rows[0]
    if any(_is_value(cell) for cell in first):
        return False
    return len(set(first)) == len(first) or any(_is_value(cell) for row in rows[1:_ROWS_OF_VALUES] for cell in row)


def _is_value(text: str) -> bool:
    if not text.strip():
        return False
    kind = infer(pl.Series([text.replace(",", ".")]))
    return kind is not None and (kind[0] != "string" or any(guess_formats(text)))


def sounds_like_id(name: str) -> bool:
    """Whether a column is one of ids by its name: those are read byte for byte."""
    lowered = name.lower()
    return lowered in ("id", "key", "uuid", "guid") or lowered.endswith(
        ("_id", " id", "-id", "_key", "_uuid", "nr", "nr.")
    )


def _without(column: pl.Series, words: tuple[str, ...]) -> pl.Series:
    if not words:
        return column
    return column.set(column.is_in(pl.Series(words, dtype=pl.String).implode()).fill_null(value=False), None)


def _unlike_others(column: pl.Series, dialect: Dialect, *, whole: bool) -> Unlike | None:
    """The few values of a column of numbers or times that are none: a line of totals, an error of a spreadsheet."""
    is_null = pl.Series([text is None or is_null_word(text) for text in column], dtype=pl.Boolean)
    values = column.set(is_null, None).drop_nulls().alias("")
    found = list(_misfits(values, dialect)) if len(values) >= _ENOUGH else []
    fewest = min(found, key=lambda mask: int(mask.sum()), default=None)
    if fewest is None or not 0 < int(fewest.sum()) <= max(1, len(values) // 100):
        return None
    words = values.filter(pl.Series(fewest)).unique().to_list()
    at = int((~is_null).arg_true()[int(fewest.argmax())])
    row = f" in row {at + 1}" if whole else ""
    note = (
        f"{column.name} is read by its other values: {int(fewest.sum())} of {len(values)} is not like them, "
        f"as {column[at]!r}{row}; such rows will be set aside, unless it is declared as a string"
    )
    return Unlike(column, column.set(column.is_in(pl.Series(words).implode()).fill_null(value=False), None), note)


def _misfits(values: pl.Series, dialect: Dialect) -> Iterator[Mask]:
    """Which values are no numbers, by each way to write them; no times, by each format. Those with digits are codes."""
    none = np.zeros(len(values), bool)
    for way in _dialects(dialect):
        found = cast_text(values, ColumnType("float", strict=True, dialect=way)).misfits
        codes = values.filter(none if found is None else found).str.contains("^[^#]*[0-9]")
        if not codes.any():
            yield none if found is None else found
    found = cast_text(values, ColumnType("datetime", strict=True)).misfits
    yield none if found is None else found
    formats = Counter(each for text in values.unique().head(_FORMATS_FROM) for each in guess_formats(text))
    for each, _count in formats.most_common(2):
        yield ~parse_times(values, TimeFormat(format=each)).valid


def _null_words(texts: Sequence[pl.Series]) -> Iterator[str]:
    """Words for null: those that stand among values of which the others are no text."""
    for column in texts:
        present = column.drop_nulls().unique()
        words = [word for word in present.to_list() if is_null_word(word)]
        if not words or len(words) == len(present):
            continue
        rest = _without(column, tuple(words))
        if any(kind_of_column(rest, dialect) not in (None, "string") for dialect in _dialects(STANDARD)) or _formats(
            rest
        ):
            yield from sorted(words)


def _dialects(dialect: Dialect) -> Iterator[Dialect]:
    for decimal, thousands in _NUMBERS:
        yield replace(dialect, decimal=decimal, thousands=thousands)


def _numbers(
    texts: Sequence[pl.Series], dialect: Dialect, decimal: str | None, questions: list[Question], notes: list[str]
) -> Dialect:
    """How numbers are written: by the way in which most columns become numbers, the plain one first.

    Where another way makes as many columns numbers, but other ones, it is open which is meant.
    """
    plain = [(column, kind_of_column(column, dialect)) for column in texts if column.null_count() < len(column)]
    columns = [column for column, kind in plain if kind in ("float", "string")]
    ways = [way for way in _dialects(dialect) if decimal in (None, way.decimal)]
    found = [_numbers_of(columns, way) for way in ways]
    best = max(range(len(ways)), key=lambda at: len(found[at]))
    for other in range(len(ways)):
        differs = _where_they_differ(columns, found[best], found[other])
        if differs is None or len(found[other]) < len(found[best]):
            continue
        column, at = differs
        decimals, marks = sorted((best, other), key=lambda way: abs(found[way][column.name][at]))
        if ways[best].plain_numbers and not _is_of_points(texts, dialect):
            notes.append(
                f"{column[at]} in {column.name} is read as a number with decimals: if points stand between its "
                'thousands, init --from … --decimal ","'
            )
            break
        text = (
            f"is {column[at]} in {column.name} a number with decimals ({_settings_of(ways[decimals])}), "
            f"or one with marks between its thousands ({_settings_of(ways[marks])})?"
        )
        questions.append(Question(column.name, ("decimal", "thousands"), text, (ways[decimals], ways[marks])))
        break
    if decimal is not None:
        lost = [column for column, kind in plain if kind == "float" and column.name not in found[best]]
        notes += [
            f'{column.name} is text: {column.drop_nulls()[0]} is no number with decimal = "{decimal}"'
            for column in lost
        ]
    return replace(ways[best], numbers_said=decimal is not None)


def _numbers_of(columns: Sequence[pl.Series], dialect: Dialect) -> dict[str, pl.Series]:
    """The numbers in columns of text, by name, of those that hold nothing else."""
    found = ((column.name, infer(_without(column, dialect.null).alias(""), dialect=dialect)) for column in columns)
    return {
        name: one[1].values.cast(pl.Float64) for name, one in found if one is not None and one[0] in ("int", "float")
    }


def _where_they_differ(
    columns: Sequence[pl.Series], one: Mapping[str, pl.Series], other: Mapping[str, pl.Series]
) -> tuple[pl.Series, int] | None:
    """The first column that two ways make other numbers of, and its first row where they do."""
    for column in columns:
        if column.name in one and column.name in other:
            differs = one[column.name].ne_missing(other[column.name])
            if differs.any():
                return column, int(differs.arg_true()[0])
    return None


def _settings_of(dialect: Dialect) -> str:
    """How numbers are written in a dialect, as settings; the usual way too."""
    settings = f'decimal = "{dialect.decimal}"'
    return settings if dialect.thousands is None else f'{settings} and thousands = "{dialect.thousands}"'


def _is_of_points(texts: Sequence[pl.Series], dialect: Dialect) -> bool:
    """Whether a file is from where points stand between thousands: by its delimiter, or by points in its dates."""
    return dialect.delimiter == ";" or any(
        each.startswith("%d.") for column in texts for each in _formats(column.head(_FORMATS_FROM))
    )


def _booleans(texts: Sequence[pl.Series], dialect: Dialect) -> Dialect:
    """Words for true and false, from columns that hold nothing else."""
    true, false = list(dialect.true), list(dialect.false)
    for column in texts:
        present = set(column.drop_nulls().unique().head(3).to_list())
        if len(present) != 2:
            continue
        for yes, no in TRUE_WORDS.items():
            if no and {word.lower() for word in present} == {yes, no}:
                true += [word for word in present if word.lower() == yes and word not in true]
                false += [word for word in present if word.lower() == no and word not in false]
                break
    return dialect if set(true) & set(false) else replace(dialect, true=tuple(true), false=tuple(false))


def _time_format(column: pl.Series, dialect: Dialect, questions: list[Question]) -> TimeFormat | None:
    if column.null_count() == len(column):
        return None
    kind = kind_of_column(column, dialect)
    if kind not in ("string", "int"):
        return None
    formats = _formats(column)
    if kind == "int" and formats and not _sounds_like_time(column.name):
        return None
    if len(formats) > 1:
        text = f"in {column.name} ({column.drop_nulls()[0]}), {question_of(formats)}"
        questions.append(Question(column.name, tuple(formats), text))
    return TimeFormat(format=formats[0]) if formats else None


def _formats(column: pl.Series) -> list[str]:
    """The formats in which all values of a column are times."""
    values = column.drop_nulls().unique()
    if values.is_empty():
        return []
    formats: dict[str, None] | None = None
    for value in values.head(_FORMATS_FROM):
        found = dict.fromkeys(guess_formats(value))
        formats = found if formats is None else {each: None for each in formats if each in found}
        if not formats:
            return []
    return [each for each in formats or {} if parse_times(values, TimeFormat(format=each)).valid.all()]


def _sounds_like_time(name: str) -> bool:
    lowered = name.lower()
    words = ("time", "date", "stamp", "epoch", "_at", "_ts", "datum", "zeit", "day")
    return lowered in ("at", "ts", "t") or any(word in lowered for word in words)


def _unit_of_numbers(column: pl.Series) -> str | None:
    """The unit of a column of numbers since 1970: by its name, and because all of them are of this century."""
    if not _sounds_like_time(column.name) or column.null_count() == len(column):
        return None
    numbers = column.cast(pl.Float64, strict=False) if column.dtype == pl.String or column.dtype.is_numeric() else None
    if numbers is None or numbers.null_count() > column.null_count():
        return None
    units = {guess_unit(float(bound)) for bound in (numbers.min(), numbers.max())}  # type: ignore[arg-type]
    return units.pop() if len(units) == 1 else None
