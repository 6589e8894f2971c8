"""A file without line ends is refused at once, however large it is, and a field that is too long is said to be that."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from featurestore.errors import SourceError
from featurestore.sources import files
from featurestore.tables.blocks import MAX_LINE
from featurestore.tables.delimited import read_csv
from tests.conftest import Folder

ZEROS = 1 << 40  # of a sparse file: to read it all takes an hour


def sparse(path: Path, first: str = "") -> None:
    path.write_text(first)
    with path.open("r+b") as file:
        file.truncate(ZEROS)


@pytest.mark.parametrize("first", ["", "patient_id,visit_at,age,chol\n"])
def test_zeros_without_end_are_refused_by_a_run(project: Folder, first: str) -> None:
    sparse(project.root / "visits.csv", first)
    refused = project.json("ingest", code=4)["features"][0]["error"]
    assert refused["message"] == "has a line of more than 64 MiB"
    assert refused["where"] == "visits.csv"


@pytest.mark.parametrize("words", [["preview"], ["init", "shop", "--from"]])
def test_and_by_what_looks_at_the_beginning(folder: Folder, words: list[str]) -> None:
    sparse(folder.root / "data.csv")
    assert "has no line end in its first 1 MiB" in folder.run(*words, str(folder.root / "data.csv"), code=4).err


def test_lines_are_counted_across_blocks_and_hashed_as_any_file(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(b"a\n" + b"x" * (MAX_LINE - 1) + b"\r" + b"y" * MAX_LINE + b"\nz")
    with path.open("rb") as one, path.open("rb") as other:
        assert files._digest_lines(one, "data.csv", None) == (files._digest(other), None)
    path.write_bytes(b"a\n" + b"x" * (MAX_LINE + (2 << 20)))  # looked at block by block
    with path.open("rb") as stream, pytest.raises(SourceError, match="more than 64 MiB"):
        files._digest_lines(stream, "data.csv", None)


def test_a_closed_field_that_is_too_long_is_not_said_to_never_end() -> None:
    data = b'a,b\n1,"' + b"some words\n" * (MAX_LINE // 10) + b'"\n'
    with pytest.raises(SourceError, match="a quoted field begins here and is longer than 64 MiB"):
        list(read_csv(io.BytesIO(data), "data.csv", lambda _: None))
