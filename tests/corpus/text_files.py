"""Text files as people have them, and what becomes of each."""
# ruff: noqa: E501  # tables: a file a line

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa

from tests.corpus.case import Case

GOOD = "id,at,x\n1,2024-01-01,1\n2,2024-01-02,2\n3,2024-01-03,3\n"
ROWS = [1, 2, 3]
TEXTS = ["1", "2", "3"]
FLOAT = 'columns.x = { type = "float" }'
INT = 'columns.x = { type = "int" }'


def swap(old: str, new: str, text: str = GOOD) -> bytes:
    """The good file with one text in place of another."""
    assert old in text
    return text.replace(old, new).encode()


def second(x: str, at: str = "2024-01-02") -> bytes:
    """The good file with another second row."""
    return swap("2,2024-01-02,2", f"2,{at},{x}")


def csv(data: bytes | str, x: Sequence[object] | None = None, settings: str = "", **outcome: object) -> Case:
    """A CSV; ``x`` is what its column x holds."""
    data = data.encode() if isinstance(data, str) else data
    return Case("csv", data, x=x, settings=settings, **outcome)  # type: ignore[arg-type]


def zipped(*members: tuple[str, str]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in members:
            archive.writestr(name, text)
    return out.getvalue()


NO_END = "id,at,x\n1,2024-01-01,2024-05-01\n2,2024-01-02,9999-12-31 23:59:59\n3,2024-01-03,2024-05-03\n"
NO_END_IN_NEW_YORK = 'timezone = "America/New_York"\ncolumns.x = { type = "datetime" }'
MAY = [datetime(2024, 5, day, 4, tzinfo=UTC) for day in (1, 3)]
ASIDE_2 = "has 2 fields where the header has 3"
ASIDE_4 = "has 4 fields where the header has 3"

SHAPES = {
    "plain": csv(GOOD, ROWS),
    "fields in quotes": csv(swap("2,2024-01-02,2", '"2","2024-01-02","2"'), ROWS),
    "a delimiter in quotes": csv(second('"a,b"'), ["1", "a,b", "3"]),
    "a doubled quote": csv(second('"a""b"'), ["1", 'a"b', "3"]),
    "only quotes": csv(second('""""'), ["1", '"', "3"]),
    "an empty text and a null": csv(second('""') + b"4,2024-01-04,\n", ["1", "", "3", None]),
    "a line break in quotes": csv(second('"a\nb"'), ["1", "a\nb", "3"]),
    "a line break in quotes, CRLF": csv(second('"a\r\nb"').replace(b"\n", b"\n"), ["1", "a\r\nb", "3"]),
    "spaces around fields": csv(second(" 2 "), ["1", " 2 ", "3"]),
    "an inch mark": csv(second('2" pipe'), [1, 3], aside=[(2, 'quote = ""')]),
    "an inch mark without quoting": csv(second('2" pipe'), ["1", '2" pipe', "3"], 'quote = ""'),
    "text behind a quote": csv(second('"2"x'), ROWS[::2], aside=[(2, "after a closing quote")]),
    "text before a quote": csv(second('x"2"'), ROWS[::2], aside=[(2, "inside a field that does not begin with one")]),
    "a quote escaped by a backslash": csv(second('"a\\"b"'), ROWS[::2], aside=[(2, "after a closing quote")]),
    "a quote too many": csv(
        swap("2,2024-01-02,2\n3,2024-01-03,3", '2,"2024-01-02,2\n3,2024-01-03,"3"'), [1],
        aside=[(2, "runs over 2 lines"), (3, "inside a quoted field")],
    ),
    "a quote that is never closed": csv(second('"2'), refusal="row 2: a quoted field begins here and never ends"),
    "a quote in the header that is never closed": csv('id,"at,x\n1,2\n', refusal="quote in the header"),
    "a whole row inside a quoted field": csv(
        'id,at,x\n1,2024-01-01,"a\n2,2024-01-02,b\nc"\n3,2024-01-03,d\n', ["a\n2,2024-01-02,b\nc", "d"],
        warning="has the 3 fields of a whole row, in 1 row, first in row",
    ),
    "a lost separator": csv(swap("2,2024-01-02,2", "2,2024-01-022"), ROWS[::2], aside=[(2, ASIDE_2)]),
    "a lost separator beside a quote": csv(
        swap("2,2024-01-02,2", '2,2024-01-02"a, b"'), ROWS[::2], aside=[(2, "inside a field")]
    ),
    "a separator too many": csv(swap("2,2024-01-02,2", "2,2024-01-02,,2"), ROWS[::2], aside=[(2, ASIDE_4)]),
    "a short and a long row": csv(
        "id,at,x\n1,2024-01-01\n2,2024-01-02,2,2\n3,2024-01-03,3\n", [3], aside=[(1, ASIDE_2), (2, ASIDE_4)]
    ),
    "separators behind every row": csv(
        "id,at,x\n1,2024-01-01,1,\n2,2024-01-02,2,\n", [], aside=[(1, ASIDE_4), (2, ASIDE_4)]
    ),
    "separators behind every line": csv(
        "id,at,x,\n1,2024-01-01,1,\n2,2024-01-02,2,\n", [1, 2], warning="left out: 1 column without a name"
    ),
    "single quotes that nobody declared": csv(second("'2,5'"), [1, 3], aside=[(2, "quote = \"'\"")]),
    "single quotes": csv(swap("2,2024-01-02,2", "'2','2024-01-02','2,5'"), ["1", "2,5", "3"], "quote = \"'\""),
    "semicolons": csv(GOOD.replace(",", ";"), refusal="a single column 'id;at;x'", hint='delimiter = ";"'),
    "semicolons, as set": csv(GOOD.replace(",", ";"), ROWS, 'delimiter = ";"'),
    "tabs": csv(GOOD.replace(",", "\t"), refusal="a single column", hint='delimiter = "\\t"'),
    "tabs, as set": csv(GOOD.replace(",", "\t"), ROWS, 'delimiter = "\\t"'),
    "bars": csv(GOOD.replace(",", "|"), refusal="a single column", hint='delimiter = "|"'),
    "bars, as set": csv(GOOD.replace(",", "|"), ROWS, 'delimiter = "|"'),
    "the delimiter is another one": csv(GOOD, refusal="a single column", hint='delimiter = ","', settings='delimiter = ";"'),
}  # fmt: skip

LINES = {
    "CRLF": csv(GOOD.replace("\n", "\r\n"), ROWS),
    "a lone CR": csv(GOOD.replace("\n", "\r"), ROWS),
    "CRLF and LF": csv(swap("1\n2", "1\r\n2"), ROWS),
    "a stray CR": csv(second("2\rx"), ROWS[::2], aside=[(2, "carriage return")]),
    "no last line end": csv(GOOD.removesuffix("\n"), ROWS, warning="no line end after its last row"),
    "cut in the middle of a row": csv(GOOD[:-5], ROWS[:2], aside=[(3, ASIDE_2)], warning="no line end"),
    "empty lines": csv("\n\n" + GOOD.replace("\n2", "\n\n\r\n2") + "\n\n", ROWS),
    "a header and no rows": csv("id,at,x\n", [], warning="a header and no rows"),
    "a header without a line end": csv("id,at,x", [], warning="a header and no rows"),
    "nothing": csv("", refusal="is empty: 0 bytes"),
    "empty lines only": csv("\n\r\n\n", refusal="it has no header"),
    "a comment": csv(swap("2,2024", "# a, \"b\n2,2024"), ROWS, 'comment = "#"'),
    "a comment that nobody declared": csv(
        swap("2,2024", "# made by hand\n2,2024"), ROWS, aside=[(2, 'if it is a comment: comment = "#"')]
    ),
    "a comment before the header": csv("# export\n" + GOOD, refusal="has no column 'at'"),
    "a comment before the header, as set": csv("# export\n\n" + GOOD, ROWS, 'comment = "#"'),
    "a footer": csv(GOOD + "3 rows\n", ROWS, aside=[(4, "has 1 field")]),
    "a total below": csv(GOOD + "Total,,6\n", ROWS, aside=[(4, "event time is null")]),
    "a second table below": csv(
        GOOD + "\nname,age\nAnn,50\n", ROWS, aside=[(4, ASIDE_2), (5, ASIDE_2)]
    ),
    "a NUL": csv(second("\0"), [1, 3], aside=[(2, "holds a NUL byte")]),
    "NULs behind the last row": csv(GOOD.encode() + bytes(300), ROWS, aside=[(4, "has 1 field")], warning="no line end"),
    "a control character": csv(second("a\x0cb"), ["1", "a\x0cb", "3"]),
    "a row of 100 kB": csv(second("y" * 100_000), ["1", "y" * 100_000, "3"]),
}  # fmt: skip

HEADERS = {
    "a title above": csv("Report\n\n" + GOOD, refusal="has no column 'at'"),
    "a title above, as set": csv("Report\n\n" + GOOD, ROWS, "skip_rows = 2"),
    "more lines skipped than there are": csv(GOOD, refusal="skip_rows leaves nothing", settings="skip_rows = 9"),
    "no header": csv(GOOD.partition("\n")[2], refusal="the header names '1' 2 times", hint="header = false"),
    "no header, as set": csv(
        GOOD.partition("\n")[2], ROWS,
        'header = false\ncolumns.id = { type = "string", rename = "column_1" }\n'
        'columns.at = { type = "datetime", rename = "column_2" }\ncolumns.x = { type = "int", rename = "column_3" }',
    ),
    "the header again": csv(GOOD + GOOD, ROWS + ROWS, aside=[(4, "is the header again")]),
    "a name twice": csv("id,at,x,x\n1,2024-01-01,1,2\n", refusal="names 'x' 2 times", hint="header = false"),
    "a name twice, but for case": csv("id,at,x,X\n1,2024-01-01,1,2\n", [1]),
    "a column without a name": csv(
        "id,,at,x\n1,9,2024-01-01,1\n", [1], warning="left out: 1 column without a name in the header"
    ),
    "names in quotes": csv(GOOD.replace("id,at,x", '"id","at","x"'), ROWS),
    "a line break in a name": csv(GOOD.replace("id,at,x", '"id","at",x').replace(",x\n", ',"x"\n'), ROWS),
    "spaces in names": csv(GOOD.replace("id,at,x", "id, at, x"), refusal="has no column 'at'", hint="did you mean ' at'?"),
    "spaces in names, as set": csv(
        GOOD.replace("id,at,x", "id, at, x"), ROWS,
        'columns.at = { type = "datetime", rename = " at" }\ncolumns.x = { type = "int", rename = " x" }',
    ),
    "names in another Unicode form": csv("id,at,x,gro\u0308\u00dfe\n1,2024-01-01,1,5\n", [1]),
    "one name in two Unicode forms": csv("id,at,o\u0308,\u00f6\n1,2024-01-01,1,2\n", refusal="in two Unicode forms"),
    "a misspelt key": csv("idd,at,x\n1,2024-01-01,1\n", refusal="has no column 'id'", hint="did you mean 'idd'?"),
    "6,000 columns": csv(",".join(f"c{at}" for at in range(6000)), refusal="6,000 columns; at most 5,000"),
    "a name that Polars takes for a pattern": csv("id,at,^x$,x\n1,2024-01-01,5,1\n", [1]),
}  # fmt: skip

ACCENTS = GOOD.replace(",2\n", ",café\n")
ENCODINGS = {
    "a mark of UTF-8": csv(b"\xef\xbb\xbf" + GOOD.encode(), ROWS),
    "UTF-16 with a mark": csv(GOOD.encode("utf-16"), ROWS),
    "UTF-16 BE with a mark": csv(b"\xfe\xff" + GOOD.encode("utf-16-be"), ROWS),
    "UTF-16 without a mark": csv(GOOD.encode("utf-16-le"), refusal="is UTF-16", hint='encoding = "utf-16-le"'),
    "UTF-16 without a mark, as set": csv(GOOD.encode("utf-16-le"), ROWS, 'encoding = "utf-16-le"'),
    "UTF-16 that was cut": csv(GOOD.encode("utf-16")[:-1], refusal="is not utf-16"),
    "UTF-32 with a mark": csv(GOOD.encode("utf-32"), refusal="is UTF-32", hint='encoding = "utf-32-le"'),
    "UTF-32 BE with a mark": csv(
        b"\0\0\xfe\xff" + GOOD.encode("utf-32-be"), refusal="is UTF-32", hint='encoding = "utf-32-be"'
    ),
    "UTF-32 with a mark, as set": csv(GOOD.encode("utf-32"), ROWS, 'encoding = "utf-32-le"'),
    "UTF-32": csv(GOOD.encode("utf-32-le"), refusal="is UTF-32", hint='encoding = "utf-32-le"'),
    "Latin-1": csv(ACCENTS.encode("latin-1"), refusal="row 2: is not UTF-8: byte 0xe9", hint='encoding = "cp1252"'),
    "Latin-1, as set": csv(ACCENTS.encode("latin-1"), ["1", "café", "3"], 'encoding = "latin-1"'),
    "a header in Latin-1": csv("id,at,é\n".encode("latin-1"), refusal="the header is not UTF-8", hint="encoding"),
    "Windows' euro sign": csv(second("5 €").decode().encode("cp1252"), ["1", "5 €", "3"], 'encoding = "cp1252"'),
    "Shift JIS, as set": csv(second("表").decode().encode("shift_jis"), ["1", "表", "3"], 'encoding = "shift_jis"'),
    "UTF-8 under another name": csv(ACCENTS.encode(), refusal="is not ascii", settings='encoding = "ascii"'),
    "files with marks of UTF-8 put together": csv(
        b"\xef\xbb\xbf" + GOOD.encode() + b"\xef\xbb\xbf" + GOOD.replace("\n1,", "\n\ufeff1,").encode(), ROWS + ROWS,
        aside=[(4, "is the header again")], warning="the mark of UTF-8 that files begin with, in 2 rows",
    ),
    "a mark of UTF-8 twice": csv(b"\xef\xbb\xbf" * 2 + GOOD.encode(), ROWS),
    "UTF-8 read as Latin-1": csv(
        ACCENTS.encode(), ["1", "caf\u00c3\u00a9", "3"], 'encoding = "latin-1"', warning="all of it is UTF-8"
    ),
    "half a character": csv(second("é").replace("é".encode(), "é".encode()[:1]), refusal="row 2: is not UTF-8"),
}  # fmt: skip

CUT = GOOD.encode() * 50
PACKED = {
    "gzip": csv(gzip.compress(GOOD.encode()), ROWS),
    "two gzips": csv(gzip.compress(GOOD.encode()) + gzip.compress(b"4,2024-01-04,4\n"), [*ROWS, 4]),
    "zstd": csv(pa.compress(GOOD.encode(), "zstd", asbytes=True), ROWS),
    "bzip2": csv(bz2.compress(GOOD.encode()), ROWS),
    "xz": csv(lzma.compress(GOOD.encode()), ROWS),
    "zip": csv(zipped(("a.csv", GOOD)), ROWS),
    "zip of two": csv(zipped(("a.csv", GOOD), ("b.csv", GOOD)), refusal="a zip archive of 2 files: a.csv, b.csv"),
    "an Excel workbook": csv(zipped(("[Content_Types].xml", ""), ("xl/a.xml", "")), refusal="an Excel workbook"),
    "gzip that was cut": csv(gzip.compress(CUT)[:60], refusal="gzip that ends too early"),
    "zstd that was cut": csv(pa.compress(CUT, "zstd", asbytes=True)[:-9], refusal="zstd that ends too early"),
    "bzip2 that was cut": csv(bz2.compress(CUT)[:-9], refusal="bzip2 that ends too early"),
    "xz that was cut": csv(lzma.compress(CUT)[:-9], refusal="xz that ends too early"),
    "damaged gzip": csv(gzip.compress(GOOD.encode())[:-8] + b"\0" * 8, refusal="damaged gzip"),
    "gzip in gzip": csv(gzip.compress(gzip.compress(GOOD.encode())), refusal="is not text but gzip"),
    "an old Excel workbook": csv(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), refusal="an old Excel workbook"),
    "a PDF": csv(b"%PDF-1.7\n%\xe2\xe3\n", refusal="a PDF document"),
}  # fmt: skip

VALUES = {
    "a word for null": csv(second("NULL"), [1, 3], INT, aside=[(2, 'null = ["NULL"]')]),
    "a word for null, as set": csv(second("NULL"), [1, None, 3], INT + '\nnull = ["NULL"]'),
    "a word for null in an undeclared column": csv(second("NULL"), ["1", "NULL", "3"]),
    "no end, beyond the years of UTC": csv(NO_END, MAY, NO_END_IN_NEW_YORK, aside=[(2, "is not in the years 1 to 9999")]),
    "no end, as set": csv(NO_END, [MAY[0], None, MAY[1]], NO_END_IN_NEW_YORK + '\nnull = ["9999-12-31 23:59:59"]'),
    "a quoted empty field": csv(second('""'), [1, 3], INT, aside=[(2, 'null = [""]')]),
    "a quoted empty field, as set": csv(second('""'), [1, None, 3], INT + '\nnull = [""]'),
    "a decimal comma": csv(second('"2,5"'), [1.0, 3.0], FLOAT, aside=[(2, 'decimal = ","')]),
    "a decimal comma, as set": csv(second('"2,5"'), [1.0, 2.5, 3.0], FLOAT + '\ndecimal = ","'),
    "a decimal comma in every row": csv(
        'id,at,x\n1,2024-01-01,"1,5"\n2,2024-01-02,"2,5"\n', ["1,5", "2,5"], warning='decimal = "," would read them so'
    ),
    "thousands": csv(second('"1,234.5"'), [1.0, 3.0], FLOAT, aside=[(2, 'thousands = ","')]),
    "thousands, as set": csv(second('"1,234.5"'), [1.0, 1234.5, 3.0], FLOAT + '\nthousands = ","'),
    "thousands or a decimal comma": csv(second('"1,234"'), [1.0, 3.0], FLOAT, aside=[(2, "whichever it means")]),
    "a zero before points that are no thousands": csv(
        second('"0.123"'), [1.0, 3.0], FLOAT + '\ndecimal = ","\nthousands = "."', aside=[(2, "'0.123' is not a float")]
    ),
    "a zero before a comma that is no thousand": csv(
        second('"-0,123"'), [1.0, 3.0], FLOAT + '\nthousands = ","', aside=[(2, "'-0,123' is not a float")]
    ),
    "a zero before a comma": csv(second('"0,123"'), [1.0, 3.0], FLOAT, aside=[(2, 'or null: decimal = ","')]),
    "groups of the wrong size": csv(
        second('"1,23"'), [1.0, 3.0], FLOAT + '\nthousands = ","', aside=[(2, "is not a float")]
    ),
    "a currency": csv(second("$2"), [1.0, 3.0], FLOAT, aside=[(2, "'$2' is not a float")]),
    "a percentage": csv(second("2%"), [1.0, 3.0], FLOAT, aside=[(2, "'2%' is not a float")]),
    "NaN and infinity": csv(second("NaN") + b"4,2024-01-04,-inf\n", [1.0, "NaN", 3.0, "-Infinity"], FLOAT),
    "a float that is too large": csv(second("1e400"), [1.0, 3.0], FLOAT, aside=[(2, "is not a float")]),
    "an integer that no float is": csv(second("9007199254740993"), [1.0, 3.0], FLOAT, aside=[(2, "is not a float, which holds no more")]),
    "an integer of 65 bits": csv(second("18446744073709551616"), [1, 3], INT, aside=[(2, "is not an int, which has 64 bits")]),
    "a fraction in whole numbers": csv(second("2.5"), [1, 3], INT, aside=[(2, "'2.5' is not an int")]),
    "leading zeros": csv(second("007"), ["1", "007", "3"]),
    "a plus": csv(second("+2"), ["1", "+2", "3"]),
    "a hexadecimal number": csv(second("0x10"), [1, 3], INT, aside=[(2, "is not an int")]),
    "yes and no": csv(
        "id,at,x\n1,2024-01-01,yes\n2,2024-01-02,no\n", [], 'columns.x = { type = "bool" }',
        aside=[(1, 'true = ["yes"]'), (2, 'false = ["no"]')],
    ),
    "yes and no, as set": csv("id,at,x\n1,2024-01-01,yes\n2,2024-01-02,no\n", [True, False], 'true = ["yes"]\nfalse = ["no"]'),
    "a day first": csv(second("2", "31/12/2024"), [1, 3], aside=[(2, 'format = "%d/%m/%Y"')]),
    "a day first, as set": csv("id,at,x\n1,31/12/2024,1\n2,1/2/2024,2\n", [1, 2], 'columns.at = { format = "%d/%m/%Y" }'),
    "day or month first": csv(second("2", "1/2/2024"), [1, 3], aside=[(2, "is it day or month first?")]),
    "a year of two digits": csv(
        "id,at,x\n1,31/12/24,1\n2,1/2/2024,2\n", [1], 'columns.at = { format = "%d/%m/%y" }', aside=[(2, "not written as")]
    ),
    "a day that is not": csv(second("2", "2024-02-30"), [1, 3], aside=[(2, "is not a datetime")]),
    "24 o'clock": csv(second("2", "2024-01-02T24:00"), [1, 3], aside=[(2, "is not a datetime")]),
    "seconds since 1970": csv(second("2", "1704153600"), [1, 3], aside=[(2, 'unit = "s"')]),
    "seconds since 1970, as set": csv("id,at,x\n1,1704153600,1\n2,1704153601.5,2\n", [1, 2], 'columns.at = { unit = "s" }'),
    "milliseconds since 1970": csv(second("2", "1704153600000"), [1, 3], aside=[(2, 'unit = "ms"')]),
    "a time ahead of the clock": csv(second("2", "9998-01-01"), [1, 3], aside=[(2, "is ahead of the clock")], later=True),
    "a time that clocks skip": csv(
        second("2", "2024-03-31T02:30"), [1, 3], 'timezone = "Europe/Paris"', aside=[(2, "never happened")]
    ),
    "a time that clocks repeat": csv(
        second("2", "2024-10-27T02:30"), [1, 3], 'timezone = "Europe/Paris"', aside=[(2, "happened twice")]
    ),
    "a list with a number that no float is": csv(
        'id,at,x\n1,2024-01-01,"[1, 9007199254740993]"\n2,2024-01-02,"[9007199254740992]"\n', [[9007199254740992.0]],
        'columns.x = { type = "list[float]" }', aside=[(1, "is not a list[float]")],
    ),
    "a list with a number that is too large": csv(
        'id,at,x\n1,2024-01-01,"[1.5, 1e400]"\n2,2024-01-02,"[1e300, -0.5]"\n', [[1e300, -0.5]],
        'columns.x = { type = "list[float]" }', aside=[(1, "is not a list[float]")],
    ),
    "ids with a space of no width": csv(
        "id,at,x\n1,2024-01-01,1\n1\u200b,2024-01-02,2\n", [1, 2], warning="2 values of id differ only by"
    ),
    "a key that is null": csv(swap("2,2024", ",2024"), [1, 3], aside=[(2, "entity key is null")]),
    "a key that is a null word": csv(swap("2,2024", "-,2024"), [1, 3], 'null = ["-"]', aside=[(2, "entity key is null")]),
}  # fmt: skip


def ndjson(text: bytes | str, x: Sequence[object] | None = None, settings: str = "", **outcome: object) -> Case:
    data = text.encode() if isinstance(text, str) else text
    return Case("ndjson", data, x=x, settings=settings, **outcome)  # type: ignore[arg-type]


def line(at: int, x: object) -> str:
    return json.dumps({"id": str(at), "at": f"2024-01-0{at}", "x": x}) + "\n"


JSON = line(1, 1) + line(2, 2) + line(3, 3)
NDJSON = {
    "JSON lines": ndjson(JSON, ROWS),
    "JSON lines, gzip": ndjson(gzip.compress(JSON.encode()), ROWS),
    "JSON lines, CRLF and empty lines": ndjson(JSON.replace("\n", "\r\n\r\n"), ROWS),
    "JSON lines with a mark of UTF-8": ndjson(b"\xef\xbb\xbf" + JSON.encode(), ROWS),
    "JSON lines in UTF-16": ndjson(JSON.encode("utf-16"), ROWS),
    "JSON without a last line end": ndjson(JSON.removesuffix("\n"), ROWS, warning="no line end"),
    "a JSON array": ndjson("[" + ",".join(JSON.split("\n")[:3]) + "]", refusal="is one JSON document", hint="jq"),
    "JSON over several lines": ndjson(json.dumps({"id": "1"}, indent=1), refusal="is one JSON document"),
    "a line that is not JSON": ndjson(line(1, 1) + "{'id': 2}\n" + line(3, 3), [1, 3], aside=[(2, "is not JSON")]),
    "a line that was cut": ndjson(JSON[:-9] + "\n", [1, 2], aside=[(3, "is not JSON")]),
    "a line that is a list": ndjson(line(1, 1) + "[1, 2]\n" + line(3, 3), [1, 3], aside=[(2, "is not a JSON object")]),
    "a null and a name left out": ndjson(
        line(1, 1) + line(2, None) + '{"id": "3", "at": "2024-01-03"}\n', [1, None, None]
    ),
    "a number as text": ndjson(line(1, 1) + line(2, "2"), ["1", "2"]),
    "a number as text, declared": ndjson(line(1, 1) + line(2, "2"), [1, 2], INT),
    "an integer beyond a float": ndjson(line(1, 9007199254740993) + line(2, 1), [9007199254740993, 1]),
    "an id that is a float": ndjson('{"id": 1.0, "at": "2024-01-01", "x": 1}\n' + line(2, 2), [2], aside=[(1, "is not a string key")]),
    "a list of numbers": ndjson(line(1, [1, 2.5]) + line(2, []), [[1.0, 2.5], []], 'columns.x = { type = "list[float]" }'),
    "a name twice in an object": ndjson(
        line(1, 1) + '{"id": "2", "at": "2024-01-02", "x": 1, "x": 2}\n' + line(3, 3), [1, 3], aside=[(2, "has the name 'x' twice")]
    ),
    "a part of an object, digit by digit": ndjson(
        '{"id": "1", "at": "2024-01-01", "y": {"a b": {"c": 18446744073709551617}}}\n'
        '{"id": "2", "at": "2024-01-02", "y": {"a b": {"c": 1.10}}}\n{"id": "3", "at": "2024-01-03", "y": null}\n',
        ["18446744073709551617", "1.10", None], 'columns.x = { type = "string", rename = "y.a b.c" }',
    ),
    "a part that no object has": ndjson(
        '{"id": "1", "at": "2024-01-01", "y": {"a": 1}}\n', refusal="has no column 'y.b'",
        settings='columns.x = { type = "int", rename = "y.b" }',
    ),
    "a key that is part of an object, and a float": ndjson(
        '{"k": {"id": 1.0}, "at": "2024-01-01", "x": 1}\n{"k": {"id": 2}, "at": "2024-01-01", "x": 2}\n', [2],
        'columns.id = { type = "string", rename = "k.id" }', aside=[(1, "is not a string key")],
    ),
    "an object": ndjson(line(1, {"a": 1}), ['{"a":1}']),
    "half of a surrogate pair": ndjson(line(1, 1) + '{"id": "2", "at": "2024-01-02", "x": "\\ud800"}\n', [1], aside=[(2, "half of a surrogate pair")]),
    "NaN in JSON": ndjson(line(1, 1.5) + '{"id": "2", "at": "2024-01-02", "x": NaN}\n', [1.5, "NaN"]),
    "seconds since 1970 in JSON": ndjson(
        '{"id": "1", "at": 1704153600, "x": 1}\n', [1], 'columns.at = { unit = "s" }'
    ),
    "a Parquet file named JSON": ndjson(b"PAR1" + bytes(20), refusal="is not text but Parquet"),
}  # fmt: skip

TEXT_FILES = {**SHAPES, **LINES, **HEADERS, **ENCODINGS, **PACKED, **VALUES, **NDJSON}
