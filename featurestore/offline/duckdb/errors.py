"""DuckDB's errors as ours: told apart by their class, and by what the operating system says of the file.

DuckDB has one class, IOException, for a file that is busy, missing, unreadable or no database, and for a full disk. It
quotes the system's error at the end of its text, and that is where it can be told which it was.
"""

from __future__ import annotations

import errno
from pathlib import Path

import duckdb

from featurestore.errors import CancelledError, DamagedError, FeatureStoreError, StoreError, os_reason, quoted_os_error

RESTORE = (
    "featurestore restore FILE --force puts a backup in its place; without one, move it away, remove history.json "
    "beside it, and run featurestore ingest, then featurestore sync --full: the values of what the sources still hold "
    "come back, and are dated anew"
)
_AGAIN = "run the same command again"


def error_of(exc: duckdb.Error, path: Path) -> FeatureStoreError:
    """An error of an open file, or of opening it, in our words."""
    said = _said(exc)
    refused = quoted_os_error(said)
    if refused is not None:
        return _refused(OSError(refused.errno, refused.strerror, str(path)))
    if isinstance(exc, duckdb.InterruptException):
        return CancelledError("DuckDB was interrupted", where=str(path))
    if isinstance(exc, duckdb.OutOfMemoryException):
        return StoreError("DuckDB has run out of the memory it may use", where=str(path),
                          hint="raise [offline] memory or --memory, and see how much space the disk has")  # fmt: skip
    if isinstance(exc, duckdb.DataError):
        return StoreError(f"DuckDB can't hold a value: {said}", where=str(path))
    if isinstance(exc, duckdb.TransactionException):
        return StoreError(f"DuckDB: {said}", where=str(path), hint=_AGAIN)
    if not path.exists():
        return StoreError("is gone: another process has moved it", where=str(path), hint=_AGAIN)
    if _is_damage(exc):
        return DamagedError(f"is damaged, or no DuckDB file ({said})", where=str(path), hint=RESTORE)
    return StoreError(f"DuckDB: {said}", where=str(path), hint="run featurestore doctor")


def busy(path: Path, holder: str) -> StoreError:
    return StoreError(f"is held by {holder}", where=str(path), hint="close it there, or try again")


def is_busy(exc: duckdb.Error) -> bool:
    """Whether another process has the file open."""
    # DuckDB has no class for it; its text begins so. On a file system without locks it ends with the system's error.
    mark = 'IO Error: Could not set lock on file "'
    return isinstance(exc, duckdb.IOException) and str(exc).startswith(mark) and quoted_os_error(_said(exc)) is None


def _said(exc: duckdb.Error) -> str:
    """The first line, without the address of the manual."""
    return str(exc).partition("\n")[0].partition(". See also ")[0]


def _is_damage(exc: duckdb.Error) -> bool:
    """Whether the bytes of the file are not what DuckDB has written, or its tables not what we have made."""
    # Wrong checksums come as the plain base class.
    kinds = (duckdb.IOException, duckdb.SerializationException, duckdb.FatalException, duckdb.InternalException,
             duckdb.CatalogException)  # fmt: skip
    return type(exc) is duckdb.Error or isinstance(exc, kinds)


def _refused(exc: OSError) -> FeatureStoreError:
    where = exc.filename
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError("the disk is full", where=where, hint="free some space and run the same command again")
    if exc.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
        return StoreError(f"its file system has no locks: {exc.strerror}", where=where,
                          hint="keep the project's .featurestore on a local disk")  # fmt: skip
    return StoreError(f"can't be used: {os_reason(exc)}", where=where, hint="check who may read and write there")
