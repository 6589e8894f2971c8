"""Files that are written together take their places together, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from featurestore.atomic import together, write_atomically


@pytest.mark.parametrize("count", [1, 3, 40])
def test_files_written_together_are_there_on_leaving(tmp_path: Path, count: int) -> None:
    paths = [tmp_path / str(number % 7) / f"{number}.txt" for number in range(count)]
    paths[0].parent.mkdir()
    paths[0].write_text("before")
    with together():
        for path in paths:
            write_atomically(path, path.name.encode())
        assert paths[0].read_text() == "before"
    assert [path.read_text() for path in paths] == [path.name for path in paths]
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_nothing_is_there_where_one_of_them_fails(tmp_path: Path) -> None:
    (tmp_path / "folder.txt").mkdir()

    def write() -> None:
        with together():
            write_atomically(tmp_path / "a.txt", b"a")
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["folder.txt"]
    write_atomically(tmp_path / "b.txt", b"b")
    assert (tmp_path / "b.txt").read_bytes() == b"b"


def test_the_last_of_two_writes_counts(tmp_path: Path) -> None:
    with together():
        write_atomically(tmp_path / "a.txt", b"1")
        write_atomically(tmp_path / "a.txt", b"2")
    assert (tmp_path / "a.txt").read_bytes() == b"2"
