"""A file that has not changed is not read again to see that it has not, and one that has always is."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from featurestore.sources.contract import Offer
from featurestore.sources.files import FileSource, HashedFile
from featurestore.sources.hashes import FRESH
from tests.sources.conftest import Shop, Shops

BIG = "id,x\n" + "a,1\n" * 1_000_000


def hash_of(shop: Shop, given: str | None = None) -> str:
    handle = shop.offer(given).handle
    assert isinstance(handle, list)
    (file,) = handle
    assert isinstance(file, HashedFile)
    return file.sha256


def beginning_of(offer: Offer) -> tuple[int, str] | None:
    assert isinstance(offer.handle, list)
    (file,) = offer.handle
    assert isinstance(file, HashedFile)
    return file.beginning


def begins_with(shop: Shop, offer: Offer, name: str, size: int, sha256: str) -> bool:
    opened = shop.open()
    assert isinstance(opened, FileSource)
    return opened.begins_with(offer, name, size, sha256)


def settle(path: Path) -> None:
    """Waits until the file's state alone proves that it is the same."""
    while time.time_ns() - path.stat().st_ctime_ns < FRESH:
        time.sleep(0.01)


def bytes_read(call: Callable[[], object]) -> int:
    def count() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    before = count()
    call()
    return count() - before


@pytest.fixture
def shop(shops: Shops) -> Shop:
    return shops()


@pytest.fixture
def visits(shop: Shop) -> Path:
    path = shop.write("visits.csv", BIG)
    settle(path)
    hash_of(shop)
    return path


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts the bytes that a process reads")
def test_a_known_file_is_not_read(shop: Shop, visits: Path) -> None:
    assert bytes_read(lambda: hash_of(shop)) < 100_000
    (shop.root / ".featurestore/hashes/visits.json").unlink()
    assert bytes_read(lambda: hash_of(shop)) > len(BIG)


def same_size(path: Path) -> None:
    with path.open("r+") as file:
        file.write("id,y")


def same_size_and_time(path: Path) -> None:
    before = path.stat()
    same_size(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def moved_into_place_with_the_same_time(path: Path) -> None:
    before = path.stat()
    other = path.with_name("other")
    other.write_text(BIG.replace("x", "y"))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [same_size, same_size_and_time, moved_into_place_with_the_same_time])
def test_a_changed_file_is_hashed_again(change: Callable[[Path], None], shop: Shop, visits: Path) -> None:
    before = hash_of(shop)
    change(visits)
    assert hash_of(shop) != before


def test_a_file_that_was_just_written_is_not_known(shop: Shop) -> None:
    shop.write("visits.csv", "id,x\na,1\n")
    before = hash_of(shop)
    assert not (shop.root / ".featurestore/hashes/visits.json").exists()
    shop.write("visits.csv", "id,x\na,2\n")
    assert hash_of(shop) != before


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"format": 1}', '{"format": 1, "files": []}', '{"format": 1, "files": {"visits.csv": [1]}}',
     '{"format": 2, "files": {}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_list_is_made_again(damage: str, shop: Shop, visits: Path) -> None:
    before = hash_of(shop)
    known = shop.root / ".featurestore/hashes/visits.json"
    good = known.read_text()
    known.write_text(damage)
    assert hash_of(shop) == before
    assert known.read_text() == good


def test_files_that_are_gone_leave_the_list(shops: Shops) -> None:
    shop = shops('type = "csv"\npath = "*.csv"')
    for name in ("a.csv", "b.csv"):
        settle(shop.write(name, "id,x\na,1\n"))
    shop.offer()
    (shop.root / "a.csv").unlink()
    shop.offer()
    known = json.loads((shop.root / ".featurestore/hashes/visits.json").read_text())
    assert list(known["files"]) == ["b.csv"]


def test_a_slice_leaves_the_list_alone(shop: Shop, visits: Path) -> None:
    known = shop.root / ".featurestore/hashes/visits.json"
    good = known.read_text()
    settle(shop.write("today.csv", "id,x\na,1\n"))
    hash_of(shop, str(shop.root / "today.csv"))
    assert known.read_text() == good


@pytest.mark.parametrize("grown", [b"b,2\n", b"b,2\n" * 1_000_000])
def test_the_hash_of_a_grown_file_comes_with_that_of_its_beginning(shop: Shop, visits: Path, grown: bytes) -> None:
    whole, offer = sha256(BIG.encode()).hexdigest(), shop.offer()
    with visits.open("ab") as file:
        file.write(grown)
    found = shop.offer()
    assert beginning_of(offer) is None
    assert beginning_of(found) == (len(BIG), whole)
    assert begins_with(shop, found, "visits.csv", len(BIG), whole)
    assert begins_with(shop, found, "visits.csv", 8, sha256(b"id,x\na,1").hexdigest())


def test_nor_is_a_file_that_was_written_over_taken_for_a_grown_one(shop: Shop, visits: Path) -> None:
    visits.write_text(BIG[:-2] + "2\nb,2\n")
    found = shop.offer()
    size, beginning = beginning_of(found) or (0, "")
    assert size == len(BIG)
    assert beginning != sha256(BIG.encode()).hexdigest()
    assert not begins_with(shop, found, "visits.csv", len(BIG), sha256(BIG.encode()).hexdigest())


def test_a_file_that_is_shorter_now_has_no_beginning(shop: Shop, visits: Path) -> None:
    visits.write_text("id,x\na,1\n")
    assert beginning_of(shop.offer()) is None
