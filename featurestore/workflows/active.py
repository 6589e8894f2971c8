"""Which version of a feature is the active one: the rule, in the one place where everybody asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from featurestore.frozen import frozen
from featurestore.versioning.folder.files import Active, called_now, versions_of

ActiveInput = Callable[[str], str | None]
"""Gives the SHA-256 of an input's active version, by its name; None where it has none."""


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


def active_input(folder: Path, name: str, active: ActiveInput) -> str | None:
    """The active version of an input, which may have another name now than the code that takes it says.

    Until the store has its history under the new name, it is asked by the old one.
    """
    found = active(called_now(folder, name))
    return active(name) if found is None else found


def fitting_version(folder: Path, feature: str, active: ActiveInput) -> str | None:
    """The SHA-256 of a request-time feature's newest version of whose inputs all versions are active; None without one.

    ``folder`` is ``features/.versions``, and ``active`` gives the active version of an input by its name. Raises
    VersionFileError for a damaged file.
    """
    from featurestore.versioning.folder.versionfile import read_version  # a listing of other features reads none

    for name in reversed(versions_of(folder, feature)):
        version = read_version(name.path)
        inputs = version.feature.inputs
        if inputs and all(active_input(folder, item.name, active) == item.sha256 for item in inputs):
            return version.sha256
    return None
