"""Every error a user can meet, with its exit code and its JSON code.

An error says what happened, where, and what to do. A face catches them in one place (``featurestore.cli.app`` for the
command line); nothing below prints or exits. The exit codes are an interface: scripts branch on them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable


class FeatureStoreError(Exception):
    """Base of all expected failures: a message for people, a code for programs, a hint to act on.

    ``code`` is stable text for ``--json``; ``exit_code`` is the process status.
    """

    code = "failed"
    exit_code = 4

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(FeatureStoreError):
    """The command line, or a call, asks for something that can't be done. Nothing was changed."""

    code = "usage"
    exit_code = 2


class ConfigError(FeatureStoreError):
    """featurestore.toml has an invalid setting. Nothing was changed."""

    code = "configuration"
    exit_code = 2


class DeclarationError(FeatureStoreError):
    """A feature's declaration is invalid. Nothing was changed."""

    code = "declaration"
    exit_code = 2


class VersionFileError(FeatureStoreError):
    """A file under ``features/.versions`` is damaged, ambiguous or missing."""

    code = "version_file"
    exit_code = 2


class SourceError(FeatureStoreError):
    """A source can't be read: it is missing, empty or malformed, or lacks a required column."""

    code = "source"


class NothingToReadError(SourceError):
    """A source has no file, or an empty one."""


class FeatureError(FeatureStoreError):
    """A feature's function failed, or returned something that can't be stored."""

    code = "feature"


class NoProjectError(FeatureStoreError):
    """There is no featurestore.toml in this folder or above it."""

    code = "no_project"
    exit_code = 10


class LockedError(FeatureStoreError):
    """Another run holds the project's lock."""

    code = "locked"
    exit_code = 11


class StoreError(FeatureStoreError):
    """A store is unreachable, full, or refuses. Retrying may help."""

    code = "store"
    exit_code = 12


class TransientStoreError(StoreError):
    """The connection was lost mid-operation. Nothing was committed; retrying is safe."""


class SetBackError(FeatureStoreError):
    """The history lacks a run that was committed here. Nothing was changed; it can still be read."""

    code = "set_back"


class OutputError(FeatureStoreError):
    """The result can't be written where it was to go."""

    code = "output"


class CancelledError(FeatureStoreError):
    """The caller cancelled the work. Nothing was committed."""

    code = "cancelled"
    exit_code = 130


class NewerFormatError(FeatureStoreError):
    """Something on disk was written by a newer release."""

    code = "newer_format"
    exit_code = 13


def from_os_error(exc: OSError) -> FeatureStoreError:
    """What the operating system refused, as an error for people: a full or broken disk is worth another try."""
    message = exc.strerror or str(exc) or type(exc).__name__
    where = None if exc.filename is None else os.fsdecode(exc.filename)
    if exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        return StoreError(message, where=where, hint="see how much space the disk has, then try again")
    if exc.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return FeatureStoreError(message, where=where, hint="check who may read and write there")
    if isinstance(exc, FileNotFoundError) and where is None:
        return FeatureStoreError("the current folder no longer exists", hint="change to another one")
    return FeatureStoreError(message, where=where)


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of the words that is closest to a mistyped one; None where none is close."""
    from difflib import get_close_matches

    matches = get_close_matches(word, list(words), n=1, cutoff=0.6)
    return matches[0] if matches else None


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A hint for a mistyped word: the closest valid one, or all of them where there are few."""
    options = sorted(words)
    close = nearest(word, options)
    if close:
        return f"did you mean {close!r}?"
    if 0 < len(options) <= 12:
        return "there is: " + ", ".join(options)
    return None
