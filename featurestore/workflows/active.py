"""Which version of a feature is the active one: the rule, in the one place where everybody asks."""

from __future__ import annotations

from collections.abc import Callable

from featurestore.frozen import frozen
from featurestore.versioning.folder.files import Active


@frozen
class ActiveVersion:
    """The active version's SHA-256 (None before the first run), and when it was promoted (µs), if it was."""

    sha256: str | None
    promoted_at: int | None = None


def active_version(promoted: Active | None, last_committed: Callable[[], str | None]) -> ActiveVersion:
    """The promoted version, as its file says; without one, the version of the latest committed run, as the store says.

    The store is asked only where nothing is promoted.
    """
    if promoted is not None:
        return ActiveVersion(promoted.sha256, promoted.since)
    return ActiveVersion(last_committed())
