"""Which files make a slice, when it is the same one again, and that what was hashed is what is read."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from featurestore.errors import SourceError
from featurestore.sources import listing
from tests.sources.conftest import Shop, Shops

GOOD = "id,x\na,1\n"


def test_files_of_a_glob_come_in_the_order_of_their_names(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "data/**/*.csv"')
    for name in ("data/b.csv", "data/2024/a.csv", "data/a.csv", "data/.hidden.csv", "data/a.txt"):
        shop.write(name, GOOD)
    assert [mark.path for mark in shop.list().files] == ["data/2024/a.csv", "data/a.csv", "data/b.csv"]


@pytest.mark.parametrize(
    ("path", "message", "hint"),
    [
        ("visits.csv", "visits.csv does not exist", "mend sources.visits.path or give --input PATH"),
        ("data/*.csv", "no file matches data/*.csv", "mend sources.visits.path"),
        ("folder", "folder is a folder", "name its files: folder/*.csv"),
        ("empty.csv", "is empty: 0 bytes", "still being written"),
    ],
)
def test_what_can_not_be_listed_is_refused_with_the_mend(path: str, message: str, hint: str, shops: Shops) -> None:
    shop = shops(f'type = "csv"\npath = "{path}"')
    (shop.root / "folder").mkdir()
    shop.write("empty.csv", "")
    with pytest.raises(SourceError) as refused:
        shop.list()
    assert message in refused.value.message
    assert hint in (refused.value.hint or "")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_refused(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD).chmod(0)
    with pytest.raises(SourceError, match="can't be read: Permission denied"):
        shop.list()


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
        shop.list("two.csv")


def test_stdin_is_read_as_a_slice_and_leaves_nothing_behind(shops: Shops, monkeypatch: pytest.MonkeyPatch) -> None:
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
    first = shop.list().fingerprint
    os.utime(path, (1, 1))
    assert shop.list().fingerprint == first
    for source in (
        'type = "csv"\npath = "visits.csv"\nevent_time = "x"',
        'type = "csv"\npath = "visits.csv"\ntimezone = "Asia/Kolkata"',
        'type = "csv"\npath = "visits.csv"\nupdated_at = "x"', 'type = "csv"\npath = "visits.csv"\ndelimiter = ";"',
        'type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { type = "int" }',
        'type = "csv"\npath = "visits.csv"\n[sources.visits.columns]\nx = { type = "int", in = [1, 2] }',
    ):  # fmt: skip
        assert shops(source).list().fingerprint != first, source
    assert shops('type = "csv"\npath = "v*.csv"').list().fingerprint == first
    shop.write("visits.csv", GOOD + "b,2\n")
    assert shop.list().fingerprint != first


def test_keeping_what_was_found_gives_the_fingerprint_of_the_next_listing(shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD)
    before = shop.list().fingerprint
    kept = shop.keep()
    assert kept.listing.fingerprint != before
    assert kept.listing.fingerprint == shop.list().fingerprint == shop.keep().listing.fingerprint


def test_what_vanished_is_what_is_there_under_no_name(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "*.csv"')
    for name in ("a", "b", "c", "d"):
        shop.write(f"{name}.csv", f"id,x\n{name},1\n")
    before = shop.list().hashes
    (shop.root / "a.csv").rename(shop.root / "renamed.csv")
    shop.write("b.csv", "id,x\nb,2\n")
    (shop.root / "c.csv").unlink()
    assert listing.vanished(before, shop.list()) == ["c.csv"]


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
    listed = shop.list()
    changes(shop)[change]()
    with (
        pytest.raises(SourceError, match=r"still being written|can't be read: No such file"),
        listing.open_file(listed.files[0], listed.opened[0]) as stream,
    ):
        stream.read()


@pytest.mark.parametrize("change", ["same size", "append", "replace", "remove"])
def test_a_file_that_changes_while_it_is_read_is_refused(change: str, shops: Shops) -> None:
    shop = shops()
    shop.write("visits.csv", GOOD)
    listed = shop.list()
    opened = listing.open_file(listed.files[0], listed.opened[0])
    opened.__enter__().read()
    changes(shop)[change]()
    with pytest.raises(SourceError, match="still being written"):
        opened.__exit__(None, None, None)


def test_listing_imports_nothing_heavy() -> None:
    heavy = "('polars', 'numpy', 'duckdb', 'pyarrow')"
    script = f"import sys, featurestore.sources.listing; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
