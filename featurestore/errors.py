"""Every error a user can meet, with its exit code and its JSON code.

An error says what happened, where, and what to do. One place (``featurestore.cli.app``) catches them;
nothing else prints or exits. The exit codes are an interface: scripts branch on them.
"""

from __future__ import annotations

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
    """A wrong word on the command line or in a call. Nothing was changed."""

    code = "usage"
    exit_code = 2


class ConfigError(FeatureStoreError):
    """featurestore.toml says something that can't be true. Nothing was changed."""

    code = "configuration"
    exit_code = 2


class DeclarationError(FeatureStoreError):
    """A feature is declared in a way that can't be used. Nothing was changed."""

    code = "declaration"
    exit_code = 2


class VersionFileError(FeatureStoreError):
    """A file under ``features/.versions`` is damaged, ambiguous or missing."""

    code = "version_file"
    exit_code = 2


class SourceError(FeatureStoreError):
    """A source can't be read: missing, empty, malformed, or without a column it must have."""

    code = "source"


class FeatureError(FeatureStoreError):
    """A feature's function failed, or returned something that can't be stored."""

    code = "feature"


class NoProjectError(FeatureStoreError):
    """No featurestore.toml here or above."""

    code = "no_project"
    exit_code = 10


class LockedError(FeatureStoreError):
    """Another run holds the project's lock."""

    code = "locked"
    exit_code = 11


class StoreError(FeatureStoreError):
    """A store is unreachable, full, or refuses. Trying again may help."""

    code = "store"
    exit_code = 12


class TransientStoreError(StoreError):
    """A store let go in the middle. Nothing is kept of what was under way, and the same again may well succeed."""


class CancelledError(FeatureStoreError):
    """The caller cancelled the work before it was done. Nothing of it was committed."""

    code = "cancelled"
    exit_code = 130


class NewerFormatError(FeatureStoreError):
    """Something on disk was written by a newer release."""

    code = "newer_format"
    exit_code = 13


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to a mistyped one, or None when none is close."""
    from difflib import get_close_matches

    found = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint for a mistyped word: the nearest known one, else the short list of what there is."""
    options = sorted(known)
    close = nearest(word, options)
    if close:
        return f"did you mean {close!r}?"
    if 0 < len(options) <= 12:
        return "there is: " + ", ".join(options)
    return None
