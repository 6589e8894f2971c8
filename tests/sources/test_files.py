"""Which files a source offers, when they are the same ones again, and that what was hashed is what is read."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featurestore.errors import SourceError
from featurestore.sources.files import HashedFile, open_hashed
from featurestore.sources.offers import fingerprint
from featurestore.tables.batch import MAX_COLUMNS
from tests.sources.conftest import Shop, Shops

GOOD = "id,x\na,1\n"


def files_of(shop: Shop) -> list[HashedFile]:
    handle = shop.offer().handle
    assert isinstance(handle, list)
    return handle


def test_files_of_a_glob_come_in_the_order_of_their_names(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data/**/*.csv"')
    for name in ("data/b.csv", "data/2024/a.csv", "data/a.csv", "data/.hidden.csv", "data/a.txt"):
        shop.write(name, GOOD)
    assert [file.name for file in files_of(shop)] == ["data/2024/a.csv", "data/a.csv", "data/b.csv"]


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("visits.csv", "visits.csv does not exist", "fix sources.visits.path or give --input PATH"),
        ("data/*.csv", "no file matches data/*.csv", "fix sources.visits.path"),
        ("folder", "folder is a folder without csv files", "such as folder/*.dat"),
        ("empty.csv", "is empty: 0 bytes", "still being written"),
    ],
)
def test_what_can_not_be_offered_is_refused_with_the_fix(path: str, message: str, hint: str, shops: Shops) -> None:
    shop = shops(f'type = "csv"\npath = "{path}"')
    (shop.root / "folder").mkdir()
    shop.write("empty.csv", "")
    with pytest.raises(SourceError) as refused:
        shop.offer()
    assert message in refused.value.message
    assert hint in (refused.value.hint or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD).chmod(0)
    with pytest.raises(SourceError, match="can't be read: Permission denied"):
        shop.offer()


def test_input_takes_the_place_of_the_path_and_is_relative_to_the_current_folder(
    shops: Shops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = shops()
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "one.csv").write_text("id,x\nb,2\n")
    monkeypatch.chdir(other)
    taken = shop.read(given="one.csv")
    assert taken.frame["id"].to_list() == ["b"]
    assert taken.place(0) == "elsewhere/one.csv row 1"
    with pytest.raises(SourceError, match=r"two\.csv does not exist"):
        shop.offer("two.csv")


def test_stdin_is_read_and_leaves_nothing_behind(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = shops()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GOOD.encode())))
    taken = shop.read(given="-")
    assert taken.frame.rows() == [("a", 1)]
    assert taken.place(0) == "stdin row 1"
    assert list(shop.project.state.iterdir()) == []


def test_parquet_may_come_through_a_pipe(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = shops('type = "parquet"\npath = "visits.parquet"')
    stream = io.BytesIO()
    pl.DataFrame({"id": ["a"]}).write_parquet(stream)
    stream.seek(0)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
    assert shop.read(given="-").frame.rows() == [("a",)]


def test_a_named_pipe_is_read_once(shops: Shops) -> None:
    shop = shops()
    pipe = shop.root / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text(GOOD))
    writer.start()
    taken = shop.read(given=str(pipe))
    writer.join()
    assert taken.frame.rows() == [("a", 1)]


def test_the_fingerprint_is_that_of_the_bytes_and_of_how_they_are_read(shops: Shops) -> None:
    shop = shops()
    path = shop.write("visits.csv", GOOD)
    first = shop.fingerprint()
    os.utime(path, (1, 1))
    assert shop.fingerprint() == first
    for source in (
        'type = "csv"\npath = "visits.csv"\nevent_time = "x"',
        'type = "csv"\npath = "visits.csv"\ntimezone = "Asia/Kolkata"',
        'type = "csv"\npath = "visits.csv"\nupdated_at = "x"', 'type = "csv"\npath = "visits.csv"\ndelimiter = ";"',
        'type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { type = "int" }',
        'type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { type = "int", in = [1, 2] }',
    ):  # fmt: skip
        assert shops(source).fingerprint() != first, source
    assert shops('type = "csv"\npath = "v*.csv"').fingerprint() == first
    shop.write("visits.csv", GOOD + "b,2\n")
    assert shop.fingerprint() != first


def test_pinned_types_are_part_of_the_fingerprint_and_settle_it(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD)
    before = shop.fingerprint()
    inferred = shop.pin().inferred
    after = shop.fingerprint()
    assert before != after == fingerprint(shop.source, shop.offer(), inferred)
    shop.pin()
    assert shop.fingerprint() == after


def changes(shop: Shop) -> dict[str, Callable[[], object]]:
    path = shop.root / "visits.csv"

    def same_size() -> None:
        path.write_text(GOOD.replace("1", "2"))

    def append() -> None:
        with path.open("a") as stream:
            stream.write("b,2\n")

    def replace() -> None:
        other = shop.write("new", GOOD.replace("1", "2"))
        other.replace(path)

    return {"same size": same_size, "append": append, "replace": replace, "remove": path.unlink}


@pytest.mark.parametrize("change", ["same size", "append", "replace", "remove"])
def test_a_file_that_changes_after_it_was_hashed_is_refused(change: str, shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD)
    (file,) = files_of(shop)
    changes(shop)[change]()
    with (
        pytest.raises(SourceError, match=r"still being written|can't be read: No such file"),
        open_hashed(file) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("change", ["same size", "append", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_refused(change: str, shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD)
    (file,) = files_of(shop)
    opened = open_hashed(file)
    opened.__enter__().read()
    changes(shop)[change]()
    with pytest.raises(SourceError, match="still being written"):
        opened.__exit__(None, None, None)


@pytest.mark.parametrize(("kind", "more", "expected"), [
    ("csv", 'timezone = "Europe/Paris"\ndelimiter = ";"',
     "8dce46870014a00da1110f62ed3373b7ea7006a8b35ee234fac83b11ac1ae325"),
    ("ndjson", 'updated_at = "changed"', "40a6498afa40a1d24cb8b134ccf800901542c7a13a5340b53755088d9a5e002f"),
    ("parquet", "", "7ce2ac3c6e6cc84f185102aab2d25850c5eb3a7ef647cf4823a448b1d5d91b3b"),
])  # fmt: skip
def test_fingerprints_are_those_of_the_first_release(kind: str, more: str, expected: str, shops: Shops) -> None:
    """Another one would make every project ingest everything again."""
    shop = shops(
        f'type = "{kind}"\npath = "visits*"\nevent_time = "at"\n{more}\n[sources.visits.columns]\n'
        'x = { type = "int", min = 0, in = [1, 2], null = false }\ns = { type = "string", pattern = "[FM]" }'
    )
    shop.write("visits1", "one")
    shop.write("visits2", "two")
    shop.write("features/.versions/visits.columns.toml", '[columns]\nextra = "float"\n"a b" = "string"\n')
    assert shop.fingerprint() == expected


def test_the_names_of_columns_are_equal_in_every_unicode_form(shops: Shops) -> None:
    apart = unicodedata.normalize("NFD", "größe")
    shop = shops(f'type = "csv"\npath = "v.csv"\n[sources.visits.columns]\n"{apart}" = {{ type = "float" }}')
    shop.write("v.csv", f"id,{apart}\na,1\n")
    assert shop.read().frame["größe"].to_list() == [1.0]
    shop.write("v.csv", f"id,{apart},größe\na,1,2\n")
    with pytest.raises(SourceError, match="in two Unicode forms"):
        shop.read()


@pytest.mark.parametrize("folder", ["plain", "a [2024]", "b *1"])
def test_a_pattern_is_looked_for_below_a_folder_of_any_name(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    shop = Shops(tmp_path / folder)('type = "csv"\npath = "data/v-*.csv"')
    shop.write("data/v-1.csv", "id,x\na,1\n")
    shop.write("data/v-2.csv", "id,x\nb,1\n")
    assert shop.read().frame["id"].to_list() == ["a", "b"]


@pytest.mark.parametrize("form", ["csv", "ndjson", "parquet"])
def test_as_many_columns_as_can_be_read_are_read(form: str, shops: Shops) -> None:
    """In seconds: what is done for each column must not look at all the others."""
    width = MAX_COLUMNS - 1
    shop = shops(f'type = "{form}"\npath = "wide.{form}"\n[sources.visits.columns]\nc3 = {{ type = "float" }}')
    frame = pl.DataFrame({"id": ["a", "b"], **{f"c{at}": [at, at + 1] for at in range(width - 1)}})
    getattr(frame, f"write_{form}")(shop.root / f"wide.{form}")
    taken = shop.read()
    assert taken.frame.shape == (2, width)
    assert taken.frame.row(1)[:5] == ("b", 1, 2, 3, 4.0)


def test_a_folder_is_all_files_in_it_that_are_named_like_the_type(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data"')
    shop.write("data/b/2.csv.gz", gzip.compress(b"id,x\n2,2\n"))
    shop.write("data/a.CSV", "id,x\n1,1\n")
    shop.write("data/.hidden.csv", "id,x\n9,9\n")
    shop.write("data/_SUCCESS", "")
    shop.write("data/readme.md", "# data")
    taken = shop.read()
    assert taken.frame["id"].to_list() == ["1", "2"]
    left_out = "source visits: left out in data: 1 file not named like csv, such as readme.md"
    assert list(taken.warnings) == [left_out]


def test_folders_of_a_path_are_columns_where_partitions_says_so(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data"\npartitions = true\n[sources.visits.columns]\nday = { type = "date" }')
    shop.write("data/year=2023/day=2023-12-31/a.csv", "id,x\n1,1\n")
    shop.write("data/year=2024/day=__HIVE_DEFAULT_PARTITION__/a%20b.csv", "id,x\n2,2\n")
    taken = shop.read()
    assert taken.frame.select("id", "year").rows() == [("1", 2023), ("2", 2024)]
    assert taken.frame["day"].to_list() == [date(2023, 12, 31), None]
    shop.write("data/year=2024/a.csv", "id,year,day\n3,2024,2024-01-01\n")
    with pytest.raises(SourceError, match="has a column 'year', which a folder of its path gives too"):
        shop.read()


def test_the_memory_of_a_parquet_file_does_not_grow_with_its_rows(tmp_path: Path) -> None:
    """In a process of its own, of which the system knows the peak."""
    random, path = np.random.default_rng(1), tmp_path / "large.parquet"
    columns = {name: pa.array(random.normal(size=100_000)) for name in "abcdefgh"}
    with pq.ParquetWriter(path, pa.table(columns).schema, use_dictionary=False) as writer:
        for _ in range(24):
            writer.write_table(pa.table(columns))
    script = """
import resource, sys
from featurestore.sources.parquet import read_parquet

with open(sys.argv[1], "rb") as file:
    batches = read_parquet(file, "large.parquet", None, print, 50_000)
    read = [next(batches).frame.height for _ in range(12)]
    few = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read += [batch.frame.height for batch in batches]
print(sum(read), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - few) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == 2_400_000
    assert grown < 60_000_000, f"{path.stat().st_size:,} bytes are read one after the other"
