"""The settings of text: each reads what its owner wrote, and the error that it would solve names it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pytest

from featurestore.dialect import STANDARD, Dialect, TimeFormat, dialect_of
from featurestore.errors import ConfigError, SourceError
from featurestore.tables.instants import read_instants
from featurestore.tables.time_formats import compile_format, guess_formats, guess_unit
from featurestore.tables.written_times import epochs_of, parse_times
from featurestore.times import EPOCH, MICROSECOND
from tests.conftest import Folder
from tests.sources.conftest import Shops

CSV = 'type = "csv"\npath = "visits.csv"\n'


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]  # never so many parts that a zone is meant


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def test_a_file_of_excel_in_german_is_read_as_its_owner_means_it(shops: Shops) -> None:
    shop = shops(
        CSV
        + 'event_time = "am"\ntimezone = "Europe/Berlin"\ndelimiter = ";"\nencoding = "cp1252"\nnull = ["-"]\n'
        + 'decimal = ","\nthousands = "."\ntrue = ["ja"]\nfalse = ["nein"]\nskip_rows = 2\n'
        + '[sources.visits.columns]\nam = { format = "%d.%m.%Y %H:%M" }\nid = { type = "string", rename = "Nr." }\n'
    )
    rows = 'Bericht "Q1"\n\n\nNr.;am;größe;ok;preis\n1;31.12.2024 13:05;1,75;ja;1.234,5\n2;1.1.2025 00:00;-;nein;7\n'
    shop.write("visits.csv", rows.encode("cp1252"))
    taken = shop.read()
    assert not taken.rejected
    assert taken.frame.rows(named=True) == [
        {"id": "1", "am": at(2024, 12, 31, 12, 5), "größe": 1.75, "ok": True, "preis": 1234.5},
        {"id": "2", "am": at(2024, 12, 31, 23), "größe": None, "ok": False, "preis": 7.0},
    ]


def zipped(*names: str) -> Callable[[bytes], bytes]:
    def pack(data: bytes) -> bytes:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name in names:
                archive.writestr(name, data)
        return out.getvalue()

    return pack


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zip": zipped("__MACOSX/._visits.csv", "visits.csv"),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_a_packed_file_is_read_as_what_is_inside(shops: Shops, suffix: str) -> None:
    shop = shops(f'type = "csv"\npath = "visits.csv.{suffix}"')
    text = b"id,x\n" + b"".join(b"%d,%d\n" % (number, number) for number in range(50_000))
    shop.write(f"visits.csv.{suffix}", PACKERS[suffix](text))
    assert shop.read().frame["x"].to_list() == list(range(50_000))


@pytest.mark.parametrize("suffix", [suffix for suffix in PACKERS if suffix != "zip"])
def test_a_packed_file_that_was_cut_is_refused(shops: Shops, suffix: str) -> None:
    shop = shops(f'type = "csv"\npath = "visits.csv.{suffix}"')
    packed = PACKERS[suffix](b"id,x\n" + b"".join(b"%d,%d\n" % (at, at * at) for at in range(9_000)))
    shop.write(f"visits.csv.{suffix}", packed[:-20])
    with pytest.raises(SourceError, match="ends too early"):
        shop.read()


def test_a_packed_file_that_is_damaged_is_refused(shops: Shops) -> None:
    for suffix in ("gz", "bz2", "xz", "zip"):  # what Arrow packs by zstd has no checksum
        shop = shops(f'type = "csv"\npath = "visits.csv.{suffix}"')
        packed = bytearray(PACKERS[suffix](b"id,x\n" + b"".join(b"%d,%d\n" % (at, at * at) for at in range(9_000))))
        for place in range(len(packed) // 2, len(packed) // 2 + 50):
            packed[place] ^= 0xFF
        shop.write(f"visits.csv.{suffix}", bytes(packed))
        with pytest.raises(SourceError):
            shop.read()


def test_two_packed_parts_put_together_are_both_read(shops: Shops) -> None:
    for suffix in ("gz", "zst", "bz2", "xz"):
        shop = shops(f'type = "csv"\npath = "visits.csv.{suffix}"')
        shop.write(f"visits.csv.{suffix}", PACKERS[suffix](b"id,x\n1,1\n") + PACKERS[suffix](b"2,2\n"))
        assert shop.read().frame["x"].to_list() == [1, 2], suffix


def test_a_zip_of_several_files_is_refused_by_their_names(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.zip"')
    shop.write("visits.zip", zipped("a.csv", "b.csv")(b"id,x\n1,1\n"))
    with pytest.raises(SourceError, match=r"a zip archive of 2 files: a\.csv, b\.csv"):
        shop.read()


def test_a_small_file_that_unpacks_to_a_very_long_line_is_refused_in_bounded_memory(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv.gz"')
    shop.write("visits.csv.gz", gzip.compress(b"id,x\n1," + bytes([65]) * (80 << 20)))
    with pytest.raises(SourceError, match="is longer than 64 MiB"):
        shop.read()


def test_a_file_named_packed_that_is_not_is_read_and_said(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "visits.csv.gz"')
    shop.write("visits.csv.gz", "id,x\n1,1\n")
    taken = shop.read()
    assert taken.frame.height == 1
    assert taken.warnings == ("visits.csv.gz is not gzip, whatever its name says",)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "latin-1", "cp1252", "cp437", "shift_jis"])
def test_encodings(shops: Shops, encoding: str) -> None:
    text = "名" if encoding == "shift_jis" else "é"
    shop = shops(f'{CSV}encoding = "{encoding}"')
    shop.write("visits.csv", f'id,{text}\n1,"{text},\n{text}"\n'.encode(encoding))
    assert shop.read().frame.rows(named=True) == [{"id": "1", text: f"{text},\n{text}"}]


def test_bytes_that_the_encoding_does_not_have_are_named_by_their_line(shops: Shops) -> None:
    shop = shops(f'{CSV}encoding = "ascii"')
    shop.write("visits.csv", "id,x\n1,a\n2,é\n".encode("latin-1"))
    with pytest.raises(SourceError, match="is not ascii: byte 0xe9 in line 3"):
        shop.read()


def test_another_quote_and_none(shops: Shops) -> None:
    shop = shops(CSV + 'quote = "\'"')
    shop.write("visits.csv", "id,x\n1,'a,''b'''\n2,5\" pipe\n")
    assert shop.read().frame["x"].to_list() == ["a,'b'", '5" pipe']
    shop = shops(CSV + 'quote = ""')
    shop.write("visits.csv", 'id,x\n1,"a"\n2,5" pipe\n')
    assert shop.read().frame["x"].to_list() == ['"a"', '5" pipe']


def test_comments_are_no_rows_but_inside_quotes_they_are_text(shops: Shops) -> None:
    shop = shops(CSV + 'comment = "#"')
    shop.write("visits.csv", '# it\'s, "so\nid,x\n# one\n1,"a\n# b"\n#2,c\n3,#d\n# end')
    taken = shop.read()
    assert taken.frame.rows() == [("1", "a\n# b"), ("3", "#d")]
    assert not taken.rejected


def test_a_file_without_a_header_has_columns_by_position(shops: Shops) -> None:
    shop = shops(CSV + 'header = false\n[sources.visits.columns]\nid = { type = "string", rename = "column_1" }')
    shop.write("visits.csv", "1,a\n2,b\n")
    assert shop.read().frame.rows(named=True) == [{"id": "1", "column_2": "a"}, {"id": "2", "column_2": "b"}]


def test_a_name_that_a_rename_takes_must_be_free(shops: Shops) -> None:
    shop = shops(CSV + '[sources.visits.columns]\nid = { type = "string", rename = "Nr" }')
    shop.write("visits.csv", "Nr,id\n1,a\n")
    with pytest.raises(SourceError, match="has a column 'id' beside 'Nr'"):
        shop.read()
    shop.write("visits.csv", "nr,x\n1,a\n")
    with pytest.raises(SourceError, match="has no column 'Nr'; it has nr, x") as refused:
        shop.read()
    assert "rename in [sources.visits.columns] names it" in (refused.value.hint or "")


def test_words_for_null_hold_in_files_of_every_type(shops: Shops) -> None:
    shop = shops('type = "ndjson"\npath = "visits"\nnull = ["NULL"]')
    shop.write("visits", '{"id":"1","x":"NULL"}\n{"id":"2","x":3}\n{"id":"NULL","x":4}\n')
    taken = shop.read()
    assert taken.frame["x"].to_list() == [None, 3]
    assert taken.rejected[0].reason == "entity key is null"
    shop = shops('type = "parquet"\npath = "visits"\nnull = ["NULL"]\n[sources.visits.columns]\nx = { type = "int" }')
    pl.DataFrame({"id": ["1", "2"], "x": ["NULL", "7"]}).write_parquet(shop.root / "visits")
    assert shop.read().frame["x"].to_list() == [None, 7]


FORMATS: dict[str, dict[str, datetime | None]] = {
    "%d/%m/%Y": {"31/12/2024": at(2024, 12, 31), "1/2/2024": at(2024, 2, 1), "31/12/24": None, "2024-12-31": None},
    "%d/%m/%y": {"31/12/24": at(2024, 12, 31), "31/12/69": at(1969, 12, 31), "31/12/2024": None},
    "%m/%d/%Y %I:%M %p": {"12/31/2024 12:05 am": at(2024, 12, 31, 0, 5), "12/31/2024 1:05 PM": at(2024, 12, 31, 13, 5)},
    "%Y%m%d": {"20241231": at(2024, 12, 31), "2024123": None, "20240230": None},
    "%Y%m%dT%H%M%S.%f": {"20241231T010203.5": at(2024, 12, 31, 1, 2, 3, 500_000)},
    "%d %b %Y": {"3 Mar 2024": at(2024, 3, 3), "03 mar 2024": at(2024, 3, 3), "3 Mrz 2024": None},
    "%A, %d. %B %Y": {"Monday, 4. March 2024": at(2024, 3, 4)},
    "%Y-%j": {"2024-366": at(2024, 12, 31), "2023-366": None, "2023-000": None},
    "%d/%m/%Y %H:%M %z": {"31/12/2024 01:00 +0200": at(2024, 12, 30, 23), "31/12/2024 01:00 Z": at(2024, 12, 31, 1)},
    "%F %T": {"2024-12-31 23:59:59": at(2024, 12, 31, 23, 59, 59), "2024-12-31 24:00:00": None},
    "%Y年%m月%d日": {"2024年3月4日": at(2024, 3, 4)},
}


@pytest.mark.parametrize(
    ("written", "text", "expected"), [(key, text, time) for key, of in FORMATS.items() for text, time in of.items()]
)
def test_a_format_takes_what_is_written_so_and_nothing_else(written: str, text: str, expected: datetime | None) -> None:
    read = parse_times(pl.Series([text, None]), TimeFormat(format=written))
    assert (int(read.micros[0]) if read.valid[0] else None) == (None if expected is None else micros(expected))
    assert not read.valid[1]


@pytest.mark.parametrize(
    ("written", "reason"),
    {
        "%d/%m": "has no year", "%Y": "no month and day", "%Y-%m-%d %I": "need each other", "%s": 'unit = "s"',
        "%Y-%m-%d %Q": "has %Q, which is not known", "%Y-%m-%d at 5": "holds digits", "%d/%d/%Y": "twice",
    }.items(),
)  # fmt: skip
def test_a_format_that_gives_no_time_is_refused_with_the_reason(written: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        compile_format(written)


EPOCHS = [
    ("s", "1700000000", 1_700_000_000_000_000), ("s", "1700000000.123456", 1_700_000_000_123_456),
    ("s", "-1.5", -1_500_000), ("ms", "1700000000123", 1_700_000_000_123_000), ("us", "0", 0),
    ("ns", "1700000000123456789", 1_700_000_000_123_457), ("ns", "1", 1), ("ns", "-1", 0), ("ns", "-1000", -1),
    ("s", "999999999999", None), ("s", "1.7e9", None), ("s", "", None), ("s", "2024-01-01", None),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "text", "expected"), EPOCHS)
def test_numbers_since_1970_are_exact_or_refused(unit: str, text: str, expected: int | None) -> None:
    read = parse_times(pl.Series([text]), TimeFormat(unit=unit), up=True)
    assert (int(read.micros[0]) if read.valid[0] else None) == expected
    if expected is not None and "." not in text:
        assert epochs_of(pl.Series([int(text)]), unit, up=True).to_list() == [expected]


def test_labels_round_down_and_rows_up() -> None:
    texts = pl.Series(["1700000000123456789"])
    assert read_instants(texts, "labels", times=TimeFormat(unit="ns")).micros.tolist() == [1_700_000_000_123_456]
    assert read_instants(texts.cast(pl.Int64), "labels", times=TimeFormat(unit="ns")).micros.tolist() == [
        1_700_000_000_123_456
    ]


def test_times_that_clocks_skip_or_repeat_are_read_as_the_column_says(shops: Shops) -> None:
    zone = 'timezone = "Europe/Paris", ambiguous = "{}", nonexistent = "{}"'
    rows = "id,t\n1,2024-10-27T02:30\n2,2024-03-31T02:30\n3,2024-07-01T00:00\n"
    expected = {
        ("earliest", "forward"): [at(2024, 10, 27, 0, 30), at(2024, 3, 31, 1, 30)],
        ("latest", "backward"): [at(2024, 10, 27, 1, 30), at(2024, 3, 31, 0, 30)],
    }
    for settings, times in expected.items():
        shop = shops(f"{CSV}[sources.visits.columns]\nt = {{ {zone.format(*settings)} }}")
        shop.write("visits.csv", rows)
        assert shop.read().frame["t"].to_list() == [*times, at(2024, 6, 30, 22)]
    shop = shops(f'{CSV}[sources.visits.columns]\nt = {{ timezone = "Europe/Paris" }}')
    assert [row.row for row in shop.read().rejected] == [1, 2]


def test_a_key_is_read_byte_for_byte_whatever_the_numbers_look_like(shops: Shops) -> None:
    shop = shops(CSV + 'decimal = ","\nthousands = "."\ntrue = ["1"]')
    shop.write("visits.csv", 'id,x\n1.000,"2,5"\n1,"1.000"\n')
    assert shop.read().frame.rows() == [("1.000", 2.5), ("1", 1000.0)]


@pytest.mark.parametrize("text", ["1.5", "1,2,3", "1.23,5", "12.34.567,8x", ",", "1.000.00,5"])
def test_a_number_that_is_written_otherwise_is_set_aside(shops: Shops, text: str) -> None:
    shop = shops(CSV + 'delimiter = ";"\ndecimal = ","\nthousands = "."\n[sources.visits.columns]\nx.type = "float"')
    shop.write("visits.csv", f"id;x\n1;{text}\n2;1.234.567,25\n3;12.34.567,8\n")
    taken = shop.read()
    assert taken.frame["x"].to_list() == [1234567.25, 1234567.8]
    assert taken.rejected_count == 1


REFUSED = {
    'delimiter = ";;"': "delimiter must be one ASCII character",
    'quote = "«"': "quote must be one ASCII character",
    'encoding = "klingon"': "encoding is not an encoding of text",
    'encoding = "rot13"': "encoding is not an encoding of text",
    "null = [1]": "null must be a list of words",
    'decimal = ";"': "decimal must be",
    'decimal = ","\nthousands = ","': "thousands is the same as decimal",
    'thousands = "x"': "thousands must be one of",
    'true = ["x"]\nfalse = ["x"]': "name the same word",
    "skip_rows = -1": "skip_rows must be the number of lines",
    'max_rejected = "2"': "is not a share",
    'columns.x = { type = "int", format = "%Y" }': "needs a datetime or date column",
    'columns.x = { format = "%d/%m" }': "has no year",
    'columns.x = { unit = "min" }': "must be one of s, ms, us, ns",
    'columns.x = { unit = "s", format = "%Y-%m-%d" }': "exclude each other",
    'columns.x = { timezone = "Mars" }': "is not a time zone",
    'columns.x = { ambiguous = "first", type = "datetime" }': "must be one of earliest, latest",
    'columns.x = { type = "int", min_length = 2 }': "has no meaning for a int column",
    'columns.x = { type = "int", rename = "a" }\ncolumns.y = { type = "int", rename = "a" }': "names a column that",
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.items())
def test_a_setting_that_can_mean_nothing_is_refused(shops: Shops, settings: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        shops(CSV + settings)


def test_every_setting_is_in_the_fingerprint_and_the_default_is_that_of_before(shops: Shops) -> None:
    shop = shops(CSV)
    shop.write("visits.csv", "id,x\n1,1\n")
    seen = {shop.fingerprint()}
    for setting in (
        'delimiter = ";"', 'quote = ""', 'encoding = "latin-1"', "skip_rows = 1", 'comment = "#"', "header = false",
        'null = ["-"]', 'true = ["-"]', 'false = ["-"]', 'decimal = ","', 'thousands = ","',
        'columns.x = { type = "datetime" }', 'columns.x = { format = "%Y-%m-%d" }', 'columns.x = { unit = "s" }',
        'columns.x = { timezone = "Asia/Tokyo" }', 'columns.x = { type = "datetime", ambiguous = "latest" }',
        'columns.x = { type = "datetime", nonexistent = "forward" }',
        'columns.x = { type = "datetime", rename = "y" }',
    ):  # fmt: skip
        seen.add(shops(CSV + setting).fingerprint())
    assert len(seen) == 19
    assert shops(CSV + 'delimiter = ","\nencoding = "UTF8"\nnull = []').fingerprint() in seen


def test_a_dialect_comes_back_from_its_identity() -> None:
    times = {"t": TimeFormat("%Y-%m-%d", timezone="UTC")}
    made = Dialect(delimiter=";", quote=None, null=("-",), true=("y",), decimal=",", times=times, renamed={"a": "b"})
    assert dialect_of(made.identity) == made
    assert (STANDARD.identity, dialect_of({})) == ({}, STANDARD)


GUESSES = {
    "31/12/2024": ["%d/%m/%Y"], "12/31/2024": ["%m/%d/%Y"], "1/2/2024": ["%d/%m/%Y", "%m/%d/%Y"],
    "31.12.2024 13:05": ["%d.%m.%Y %H:%M"], "20241231": ["%Y%m%d"], "Dec 31, 2024": ["%b %d, %Y"],
    "31-Dec-2024": ["%d-%b-%Y"], "2024/12/31 01:02:03.5": ["%Y/%m/%d %H:%M:%S.%f"], "12345": [], "a/b/c": [],
    "12/31/2024 1:05 PM": ["%m/%d/%Y %I:%M %p"], "24-01-02": ["%y-%m-%d", "%d-%m-%y"], "13/05/24": ["%d/%m/%y"],
    "01-02-03": ["%y-%m-%d", "%d-%m-%y", "%m-%d-%y"], "24-01-45": ["%d-%m-%y"],
}  # fmt: skip


@pytest.mark.parametrize(("text", "formats"), GUESSES.items())
def test_a_guess_at_a_format_reads_the_text_it_was_made_from(text: str, formats: list[str]) -> None:
    assert list(guess_formats(text)) == formats
    for written in formats:
        assert parse_times(pl.Series([text]), TimeFormat(format=written)).valid.all()


def test_a_unit_is_guessed_for_times_of_this_century() -> None:
    assert [guess_unit(1.7 * 10**digits) for digits in (8, 9, 12, 15, 18)] == [None, "s", "ms", "us", "ns"]


NAMED = [
    ("int", "NULL", 'null = ["NULL"]'), ("float", "1,5", 'decimal = ","'), ("float", "1.234,5", 'thousands = "."'),
    ("float", "1,234,567.5", 'thousands = ","'), ("int", "1,234", 'or thousands = ","'), ("float", "1 234,5", '" "'),
    ("bool", "yes", 'true = ["yes"] and false = ["no"]'), ("bool", "N", 'true = ["Y"]'),
    ("datetime", "31/12/2024", 'format = "%d/%m/%Y"'), ("datetime", "1/2/2024", "day or month first"),
    ("date", "24-01-02", 'format = "%y-%m-%d" or "%d-%m-%y" for its column: is it year, day or month first?'),
    ("datetime", "1700000000", 'unit = "s"'), ("datetime", "1700000000123", 'unit = "ms"'),
    ("date", "20241231", 'format = "%Y%m%d"'), ("date", "-", 'null = ["-"]'), ("float", "", 'null = [""]'),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "text", "setting"), NAMED)
def test_a_row_that_is_set_aside_names_the_setting_that_takes_it(
    shops: Shops, kind: str, text: str, setting: str
) -> None:
    shop = shops(f'{CSV}[sources.visits.columns]\nx = {{ type = "{kind}" }}')
    shop.write("visits.csv", f'id,x\n1,"{text}"\n')
    assert setting in shop.read().rejected[0].reason


def test_bytes_that_are_not_utf_8_name_the_encoding(shops: Shops) -> None:
    shop = shops(CSV)
    for text, encoding in (("café", "cp1252"), ("ca\x81é", "latin-1")):
        shop.write("visits.csv", f"id,x\n1,{text}\n".encode("latin-1"))
        with pytest.raises(SourceError, match="is not UTF-8: byte") as refused:
            shop.read()
        assert refused.value.hint == f'add encoding = "{encoding}" to [sources.visits]'


def test_text_that_a_setting_would_read_as_numbers_or_times_is_said(shops: Shops) -> None:
    shop = shops(CSV)
    shop.write("visits.csv", 'id,x,y\n1,"1,5",1/2/2024\n2,"2,25",31/1/2024\n3,NULL,\n')
    assert list(shop.read().warnings) == [
        'column x is text; its values look like numbers: decimal = "," would read them so',
        'column y is text; its values look like times: format = "%d/%m/%Y" for its column would read them so',
    ]


POINTS = {
    "undeclared": ('delimiter = ";"', "1.500", "2.000", True),
    "declared": ('delimiter = ";"\ncolumns.x.type = "float"', "1.500", "2", True),
    "beside days with points": ('columns.at = { format = "%d.%m.%Y" }', "1.500", "2", True),
    "from where points stand before decimals": ("", "1.500", "2.000", False),
    "with other decimals": ('delimiter = ";"', "1.500", "2.5", False),
    "beside other decimals": ('delimiter = ";"', "1.500;0.25", "2.000;0.5", False),
    "begins with zero": ('delimiter = ";"', "0.500", "2.000", False),
    "said to be decimals": ('delimiter = ";"\ndecimal = "."', "1.500", "2.000", False),
    "said to be thousands": ('delimiter = ";"\ndecimal = ","\nthousands = "."', "1.500", "2.000", False),
}


@pytest.mark.parametrize("name", POINTS)
def test_points_that_may_stand_between_thousands_are_said(shops: Shops, name: str) -> None:
    """What `init --from` would ask about a file is said of a source that is written by hand."""
    settings, one, other, said = POINTS[name]
    shop = shops(CSV + settings)
    lines = [f"id;at;x{';y' if ';' in one else ''}", f"a;01.02.2024;{one}", f"b;02.02.2024;{other}"]
    text = "\n".join(lines) + "\n"
    shop.write("visits.csv", text if "delimiter" in settings else text.replace(";", ","))
    found = [line for line in shop.read().warnings if "thousands" in line]
    line = (
        "visits: 1.500 in visits.csv row 1, column 'x', is read as a number with decimals; if points stand between "
        'thousands: decimal = "," and thousands = "." in [sources.visits]; decimal = "." says that they don\'t'
    )
    assert found == [line] * said
    shop.pin()
    again = [line for line in shop.read().warnings if "thousands" in line]
    assert bool(again) == (said and "columns.x" in settings)  # of a pinned column it was said


@pytest.mark.parametrize(("value", "said"), [('"1.500"', True), ("1.500", False)])
def test_points_in_texts_of_json_are_said_and_in_its_numbers_are_none(shops: Shops, value: str, said: bool) -> None:
    shop = shops(
        'type = "ndjson"\npath = "visits.ndjson"\n[sources.visits.columns]\nat.format = "%d.%m.%Y"\n'
        'at.type = "datetime"\nx.type = "float"\n'
    )
    shop.write("visits.ndjson", f'{{"id": "a", "at": "01.02.2024", "x": {value}}}\n{{"id": "b", "x": 2.5}}\n')
    taken = shop.read()
    assert taken.frame["x"].to_list() == [1.5, 2.5]
    assert any("1.500 in visits.ndjson line 1, column 'x', is read as" in line for line in taken.warnings) == said


def test_a_mark_between_thousands_is_one_of_texts_and_a_number_of_json_is_that_number(shops: Shops) -> None:
    shop = shops(
        'type = "ndjson"\npath = "visits.ndjson"\ndecimal = ","\nthousands = "."\n'
        '[sources.visits.columns]\nx.type = "float"\n'
    )
    shop.write(
        "visits.ndjson",
        b"".join(b'{"id": "%d", "x": %d.500, "y": "%d.500"}\n' % (at, at, at) for at in range(1, 200))
        + b'{"id": "a", "x": "1.500", "y": 1.500}\n',
    )
    frame = shop.read().frame
    assert frame["x"].to_list() == [*(at + 0.5 for at in range(1, 200)), 1500.0]
    assert frame["y"].to_list() == [*(at * 1000.0 + 500 for at in range(1, 200)), 1.5]


PROJECT_OF_POINTS = """
[project]
name = "shop"
[entity_types.one]
keys = { id = "string" }
[sources.visits]
type = "csv"
path = "*.csv"
delimiter = ";"
event_time = "at"
timezone = "UTC"
"""
FEATURE_OF_POINTS = """
import polars as pl
from featurestore import feature

@feature(entity_type="one", data_type="float")
def x() -> pl.Expr:
    return pl.col("x")
"""


def test_a_file_among_many_is_named_with_the_row_that_leaves_open_what_points_are(folder: Folder) -> None:
    folder.write(
        {
            "featurestore.toml": PROJECT_OF_POINTS,
            "features/f.py": FEATURE_OF_POINTS,
            "a.csv": "id;at;x\na;2024-01-01;1\n",
            "b.csv": "id;at;x\nb;2024-01-01;3\nc;2024-01-01;2.500\n",
        }
    )
    (line,) = (line for line in folder.run("ingest").err.splitlines() if "thousands" in line)
    assert "2.500 in b.csv row 2" in line
    assert "thousands" not in folder.run("ingest", "--full").err
