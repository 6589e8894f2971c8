"""A file that is not the backup that was written is refused, whatever is wrong with it, and nothing is changed."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from featurestore.errors import DamagedError, SourceError, UsageError
from featurestore.tables import arrow_streams
from featurestore.tables.arrow_streams import read_frames, write_frames
from featurestore.workflows.backup import archive
from featurestore.workflows.backup.archive import ArchiveWriter, open_archive
from tests.backup.conftest import Made
from tests.conftest import Folder

Members = dict[str, bytes]


def check(path: Path) -> None:
    with open_archive(path) as opened:
        opened.check()


def test_no_byte_of_it_may_be_another_one(made: Made, tmp_path: Path) -> None:
    whole = made.backup.read_bytes()
    copy = tmp_path / "copy"
    places = {*range(0, len(whole), len(whole) // 150), *range(40), *range(len(whole) - 120, len(whole))}
    with zipfile.ZipFile(made.backup) as opened:
        for info in opened.infolist():  # the headers of members, and where their bytes begin and end
            places |= {info.header_offset + at for at in (0, 5, 15, 20, 27, 31)}
        places |= {opened.start_dir + at for at in range(0, 200, 7)}
    for place in sorted(places):
        copy.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        with pytest.raises((DamagedError, UsageError)):
            check(copy)


def test_no_part_of_it_may_be_missing(made: Made, tmp_path: Path) -> None:
    whole = made.backup.read_bytes()
    copy = tmp_path / "copy"
    for length in [0, 1, 30, *range(100, len(whole), len(whole) // 40), len(whole) - 1]:
        copy.write_bytes(whole[:length])
        with pytest.raises((DamagedError, UsageError)):
            check(copy)
    for longer in (whole + b"\0", b"\0" + whole, whole + whole):
        copy.write_bytes(longer)
        with pytest.raises((DamagedError, UsageError)):
            check(copy)


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda data: data[: len(data) // 2], 4, "cut short"),
        (lambda data: data.replace(b"Restore it", b"Restore_it"), 4, "not those that were written"),
        (lambda _data: b"id,age\n1,2\n", 2, "is not a backup"),
        (lambda _data: b"", 2, "is not a backup"),
    ],
)
def test_the_command_says_what_is_wrong_and_changes_nothing(
    made: Made, cloned: Folder, change: Callable[[bytes], bytes], code: int, said: str
) -> None:
    copy = cloned.root / "copy"
    copy.write_bytes(change(made.backup.read_bytes()))
    error = cloned.json("restore", str(copy), code=code)["error"]
    assert said in error["message"]
    assert error["hint"]
    assert not (cloned.root / ".featurestore" / "history.duckdb").exists()
    assert not (cloned.root / "features" / ".versions").exists()


def test_what_is_no_file_is_refused(cloned: Folder) -> None:
    pipe = cloned.root / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, cloned.root, cloned.root / "nowhere"):
        assert cloned.json("restore", str(path), code=2)["error"]["hint"] == "name the file of a backup"


def test_a_foreign_zip_is_no_backup(cloned: Folder) -> None:
    path = cloned.root / "foreign.zip"
    with zipfile.ZipFile(path, "w") as foreign:
        foreign.writestr("manifest.json", "{}")
    assert "is not a backup" in cloned.run("restore", str(path), code=2).err


# --- made by somebody who computes the hashes anew ------------------------------------------------------


def forge(made: Made, to: Path, change: Callable[[Members, dict[str, Any]], None]) -> Path:
    """A backup with other members or another manifest, and with the right hashes."""
    with zipfile.ZipFile(made.backup) as opened:
        members = {info.filename: opened.read(info) for info in opened.infolist()}
    manifest = json.loads(members.pop("manifest.json"))
    rows = {item["name"]: item["rows"] for item in manifest.pop("members")}
    members.pop("backup.txt")
    change(members, manifest)
    with to.open("x+b") as file, ArchiveWriter(file) as writer:
        for name, data in members.items():
            with writer.member(name) as sink:
                sink.write(data)
                sink.rows = rows.get(name)
        writer.finish(manifest)
    return to


def refused(folder: Folder, path: Path, code: int = 4) -> str:
    """What is said of a backup that is refused, once it is sure that nothing was changed."""
    before = everything(folder.root.parent)
    said = folder.json("restore", str(path), code=code)["error"]
    assert said["hint"], said
    assert everything(folder.root.parent) == before
    return str(said["message"])


def everything(root: Path) -> set[tuple[str, bytes]]:
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return {(str(path), path.read_bytes()) for path in files if path.name not in ("lock", ".gitignore")}


@pytest.mark.parametrize(
    "name",
    [
        "../../evil.py",
        "/etc/evil",
        "a/../../evil.py",
        "a//b",
        "./a",
        "a/.",
        "..",
        "a\\..\\evil.py",
        "C:evil.py",
        "a/\x00b",
        "a\nb",
        " a",
        "x" * 2_000,
    ],
)
def test_a_version_file_never_leaves_its_folder(made: Made, cloned: Folder, name: str) -> None:
    path = forge(made, cloned.root / "evil", lambda members, _: members.update({f"versions/{name}": b"evil"}))
    said = refused(cloned, path)
    assert "no project has" in said or "other members" in said


def test_a_version_file_is_never_written_through_a_link(made: Made, cloned: Folder, tmp_path_factory: Any) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (cloned.root / "features" / ".versions").mkdir()
    (cloned.root / "features" / ".versions" / "age_share").symlink_to(outside)
    assert "not a folder" in refused(cloned, made.backup)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("name", ["rows/visits/../../../evil.parquet", "rows/../evil.parquet", "rows/visits/index.py"])
def test_nor_do_kept_rows(made: Made, cloned: Folder, name: str) -> None:
    refused(cloned, forge(made, cloned.root / "evil", lambda members, _: members.update({name: b"evil"})))


def test_an_index_of_kept_rows_names_only_what_is_there(made: Made, cloned: Folder) -> None:
    def change(members: Members, _manifest: dict[str, Any]) -> None:
        index = json.loads(members["rows/visits/index.json"])
        index["contents"][0]["pieces"][0][0] = "../../../visits2.csv"
        members["rows/visits/index.json"] = json.dumps(index).encode()

    assert "kept rows" in refused(cloned, forge(made, cloned.root / "evil", change))


def test_a_table_may_be_neither_missing_nor_invented(made: Made, cloned: Folder) -> None:
    missing = forge(made, cloned.root / "a", lambda members, _: _ignore(members.pop("tables/rejected.arrow.zst")))
    assert "no table rejected" in refused(cloned, missing)
    table = {"tables/pg_authid.arrow.zst": b""}
    more = forge(made, cloned.root / "b", lambda members, _: members.update(table))
    assert "no history has" in refused(cloned, more)


def _ignore(_answer: object) -> None:
    pass


def test_a_later_format_is_refused_with_the_way_out(
    made: Made, cloned: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = forge(made, cloned.root / "newer", lambda _, manifest: manifest["store"].update(format=99))
    assert "format 99" in refused(cloned, newer, code=13)
    monkeypatch.setattr(archive, "FORMAT", 0)
    assert "is a backup in format 1" in refused(cloned, made.backup, code=13)


@pytest.mark.parametrize("key", ["project", "store", "history", "made_at"])
def test_a_manifest_says_what_is_in_it(made: Made, cloned: Folder, key: str) -> None:
    path = forge(made, cloned.root / "a", lambda _, manifest: _ignore(manifest.pop(key)))
    assert "manifest" in refused(cloned, path) or key == "made_at"


def packed(frame: pl.DataFrame) -> bytes:
    stream = io.BytesIO()
    with write_frames(stream, frame.schema) as write:
        write(frame)
    return stream.getvalue()


def test_rows_of_another_shape_are_refused(made: Made, cloned: Folder) -> None:
    odd = {"tables/counter.arrow.zst": packed(pl.DataFrame({"run_seq": ["x"], "learned_at": [1]}))}
    assert "columns of counter" in refused(cloned, forge(made, cloned.root / "a", lambda m, _: m.update(odd)))
    noise = {"tables/counter.arrow.zst": b"\x28\xb5\x2f\xfd" + b"noise" * 99}
    assert "Arrow" in refused(cloned, forge(made, cloned.root / "b", lambda m, _: m.update(noise)))


def test_a_stream_with_buffers_that_are_compressed_once_more_is_refused() -> None:
    """They say themselves how large they become."""
    table = pl.DataFrame({"a": [0] * 1_000_000}).to_arrow()
    stream = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression="zstd")
    out = pa.CompressedOutputStream(pa.PythonFile(arrow_streams._Stays(stream)), "zstd")
    with out, pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table)
    stream.seek(0)
    with pytest.raises(SourceError, match="no backup has"):
        list(read_frames(stream, 1))


def test_a_message_beyond_the_memory_that_may_be_used_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrow_streams, "MESSAGE_BYTES", 1 << 40)
    monkeypatch.setattr(arrow_streams, "LEAST_LIMIT", 1_000_000)
    stream = io.BytesIO(packed(pl.DataFrame({"a": [0] * 1_000_000})))  # a few hundred bytes
    assert len(stream.getvalue()) < 10_000
    with pytest.raises(SourceError, match="more than 1 MB"):
        list(read_frames(stream, 1))


def test_offsets_that_lead_out_of_a_message_are_refused() -> None:
    kind = pa.large_string()
    _, offsets, texts = pa.array(["abc"] * 50, kind).buffers()
    wrong = bytearray(offsets.to_pybytes())
    wrong[25 * 8 : 26 * 8] = (1 << 40).to_bytes(8, "little")
    rows = pa.RecordBatch.from_arrays([pa.Array.from_buffers(kind, 50, [None, pa.py_buffer(wrong), texts])], ["a"])
    stream = io.BytesIO()
    out = pa.CompressedOutputStream(pa.PythonFile(arrow_streams._Stays(stream)), "zstd")
    with out, pa.ipc.new_stream(out, rows.schema) as writer:
        writer.write_batch(rows)
    stream.seek(0)
    with pytest.raises(SourceError, match="not an Arrow stream"):
        list(read_frames(stream, 1))
