"""What a file is, told by its first bytes: for whoever was given another one than was said."""

from __future__ import annotations

from typing import IO

from featurestore.errors import SourceError

_HEAD = 16
_BEGINNINGS = (
    (b"PAR1", "Parquet", 'set type = "parquet"'),
    (b"ARROW1", "Arrow", 'set type = "arrow"'),
    (b"\xff\xff\xff\xff", "an Arrow stream", 'set type = "arrow"'),
    (b"FEA1", "Feather of the first version", "write it as Feather 2 or Parquet"),
    (b"\x1f\x8b", "gzip", "unpack it; only text may be packed"),
    (b"PK\x03\x04", "a zip archive (or an Excel workbook)", "unpack it, or save the sheet as CSV"),
    (b"PK\x05\x06", "an empty zip archive", "unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed by zstd", "unpack it: zstd -d"),
    (b"BZh", "packed by bzip2", "unpack it: bzip2 -d"),
    (b"\xfd7zXZ\x00", "packed by xz", "unpack it: xz -d"),
    (b"\x04\x22\x4d\x18", "packed by lz4", "unpack it: lz4 -d"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook, or another file of Microsoft Office", "save the sheet as CSV"),
    (b"SQLite format 3\x00", "a SQLite database", 'set type = "sqlite"'),
    (b"Obj\x01", "Avro", "write it as Parquet"),
    (b"ORC", "ORC", "write it as Parquet"),
    (b"\x89HDF", "HDF5", "write it as Parquet"),
    (b"%PDF-", "a PDF document", "export the table as CSV"),
)


def foreign_format(head: bytes, *, text: bool) -> tuple[str, str] | None:
    """(What a file is that begins with these bytes, what to do about it); None for what is unknown.

    With ``text`` also for what may be text: a line may begin with such a word.
    """
    if head[8:12] == b"DUCK":
        return "a DuckDB database", 'set type = "duckdb"'
    for magic, name, hint in _BEGINNINGS:
        if head.startswith(magic) and (not text or not magic.isalnum() or _is_binary(head[len(magic) :])):
            return name, hint
    return None


def refuse_foreign(stream: IO[bytes], name: str, form: str) -> None:
    """Raises SourceError where a stream that can seek holds another format than ``form``: ``Parquet``."""
    head = stream.read(_HEAD)
    stream.seek(0)
    found = foreign_format(head, text=False)
    if found is not None and not found[0].removeprefix("an ").removeprefix("a ").startswith(form):
        raise SourceError(f"is not {form} but {found[0]}", where=name, hint=found[1])


def _is_binary(rest: bytes) -> bool:
    return any(byte < 9 or 13 < byte < 32 or byte > 126 for byte in rest)
