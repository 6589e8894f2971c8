"""Every error a user can meet, with its exit code and its JSON code.

An error says what happened, where, and what to do. A face catches them in one place (``featurestore.cli.app`` for the
command line); nothing below prints or exits. The exit codes are an interface: scripts branch on them.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path


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


class NoVersionError(VersionFileError):
    """There is no version of that number or hash, or more than one."""


class SourceError(FeatureStoreError):
    """A source can't be read: it is missing, empty or malformed, or lacks a required column."""

    code = "source"


class NothingToReadError(SourceError):
    """A source has no file, or an empty one."""


class UnreachableError(SourceError):
    """A source's server is unreachable or broke off. Nothing was taken; trying again may help."""

    exit_code = 12


class FeatureError(FeatureStoreError):
    """A feature's function failed, or returned something that can't be stored."""

    code = "feature"


class ScopeError(FeatureError):
    """A feature's values depend on other rows than its scope allows."""

    code = "scope"


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


class DamagedError(StoreError):
    """What a store keeps can't be read any more. Trying again does not help; a backup does."""

    code = "damaged"
    exit_code = 4


class ForeignStoreError(FeatureStoreError):
    """A store belongs to another project or history of the same name. Nothing was written."""

    code = "foreign_store"
    exit_code = 3


class TransientStoreError(StoreError):
    """The connection was lost mid-operation. Nothing was committed; retrying is safe."""


class SetBackError(FeatureStoreError):
    """The history lacks a run that was committed here. Nothing was changed; it can still be read."""

    code = "set_back"


class OutputError(FeatureStoreError):
    """The result can't be written where it was to go."""

    code = "output"


def output_error(what: str, exc: OSError, where: str | None, hint: str | None = None) -> OutputError:
    """What the operating system refused to write: a full or broken disk is worth another try, and exits like one."""
    error = OutputError(f"{what}: {os_reason(exc)}", where=where, hint=hint)
    if exc.errno in _DISK:
        error.exit_code, error.hint = StoreError.exit_code, SPACE
    return error


class CancelledError(FeatureStoreError):
    """The caller cancelled the work. Nothing was committed."""

    code = "cancelled"
    exit_code = 130


class AccessError(FeatureStoreError):
    """A server does not let the caller in: there is no token, or one that it does not know."""

    code = "unauthorized"


class ForbiddenError(AccessError):
    """A token is known, and is not for what was asked."""

    code = "forbidden"


class TooLargeError(UsageError):
    """What a server was sent, or would have to answer, is above its limit."""

    code = "too_large"


class BusyError(StoreError):
    """A server has as much to do as it takes at a time, or took too long. Retrying may help."""

    code = "busy"


class NewerFormatError(FeatureStoreError):
    """Something on disk was written by a newer release."""

    code = "newer_format"
    exit_code = 13


def from_os_error(exc: OSError) -> FeatureStoreError:
    """What the operating system refused, as an error for people: a full or broken disk is worth another try."""
    where = None if exc.filename is None else os.fsdecode(exc.filename)
    if exc.errno in _DISK:
        return StoreError(os_reason(exc), where=where, hint=SPACE)
    if exc.errno in _RIGHTS:
        return FeatureStoreError(os_reason(exc), where=where, hint="check who may read and write there")
    if isinstance(exc, FileNotFoundError) and where is None:
        return FeatureStoreError("the current folder no longer exists", hint="change to another one")
    if exc.errno == errno.EBADF:
        hint = "does a feature close files that it has not opened, as os.closerange() does?"
        return FeatureStoreError("a file that this process had opened was closed", where=where, hint=hint)
    return FeatureStoreError(os_reason(exc), where=where)


def os_reason(exc: OSError) -> str:
    """Why the operating system refused; where it is a matter of rights, with whose file or folder it is."""
    reason = exc.strerror or str(exc) or type(exc).__name__
    if exc.errno not in (errno.EACCES, errno.EPERM) or exc.filename is None:
        return reason
    return f"{reason} ({_rights_of(Path(os.fsdecode(exc.filename)).absolute())})"


def quoted_os_error(text: str) -> OSError | None:
    """The operating system's error that a library quotes at the end of its own, where it hands on no number."""
    line = text.partition("\n")[0].rstrip(" .")
    found = re.search(_NUMBERED, line)
    if found is not None:
        number = int(found[1])
        return OSError(number, os.strerror(number))
    quoted = line.rpartition(": ")[2]
    return next((OSError(number, quoted) for number in errno.errorcode if os.strerror(number) == quoted), None)


SPACE = "see how much space the disk has, then try again"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
_RIGHTS = (errno.EACCES, errno.EPERM, errno.EROFS)
_NUMBERED = r"\((?:os error|errno:?) (\d+)\)$"  # so do Rust's libraries


def _rights_of(path: Path) -> str:
    """Whose a file is, or the nearest folder above it that can be seen."""
    for place in (path, *path.parents):
        try:
            found = place.stat()
        except OSError:
            continue
        if found.st_uid != os.geteuid():
            return f"{place} belongs to {_user(found.st_uid)}, and this runs as {_user(os.geteuid())}"
        return f"the mode of {place} is {found.st_mode & 0o7777:04o}"
    return f"this runs as {_user(os.geteuid())}"


def _user(number: int) -> str:
    import pwd  # for the one case in which it is needed

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user of a container, of whom this machine knows nothing
        return f"user {number}"


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The one of the words that is closest to a mistyped one; None where none is close.

    One that differs by case and signs alone comes first: ``ID`` and ``id`` have no letter in common.
    """
    from difflib import get_close_matches

    options = list(words)
    plain = {_plain(each): each for each in reversed(options)}
    if (same := plain.get(_plain(word))) is not None:
        return same
    matches = get_close_matches(word, options, n=1, cutoff=0.6)
    matches = matches or [plain[each] for each in get_close_matches(_plain(word), list(plain), n=1, cutoff=0.6)]
    return matches[0] if matches else None


def _plain(word: str) -> str:
    """Its letters and digits, without case."""
    return "".join(letter for letter in word.casefold() if letter.isalnum()) or word


def with_article(noun: str) -> str:
    """``an int``, ``a float``."""
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """``1 row``, ``1,204 rows``; ``nouns`` where the plural takes more than an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def did_you_mean(word: str, words: Iterable[str]) -> str | None:
    """A hint for a mistyped word: the closest valid one, or all of them where there are few."""
    options = sorted(words)
    close = nearest(word, options)
    if close:
        return f"did you mean {close!r}?"
    if 0 < len(options) <= 12:
        return "there is: " + ", ".join(options)
    return None
