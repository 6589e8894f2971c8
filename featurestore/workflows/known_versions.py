"""The versions that somebody knows although their files may be gone: the store that has their values, and git.

A number that either of them knows is never given again: ``v@2`` means one version for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Literal

from featurestore.config import Project
from featurestore.frozen import frozen
from featurestore.registry.git import GitError, ever_added, removed
from featurestore.registry.summary import FeatureSummary
from featurestore.versioning.folder.names import VersionName

RESTORE = (
    "restore it from git (git checkout HEAD -- the file, or from an earlier commit) or a backup, then run featurestore "
    "lock, which writes it again by itself where the working tree has its code"
)


@frozen
class LostVersion:
    """A version that is known and has no file: who knows it, and whether its number is another version's by now.

    ``path`` is where the file was, below the project.
    """

    feature: str
    number: int
    short: str
    known_by: Literal["store", "git"]
    path: str
    reused: bool = False


class KnownVersions:
    """What the store and git's history know of a project's versions.

    ``stored`` gives, for a feature, the numbers of the versions that the store has values of, by their SHA-256.
    """

    def __init__(self, project: Project, stored: Callable[[str], Mapping[str, int]]) -> None:
        self._root = project.root
        self._stored = stored

    @classmethod
    def of_summary(cls, project: Project, features: Mapping[str, FeatureSummary]) -> KnownVersions:
        """As the summary of the audit log has them."""
        return cls(project, lambda feature: features.get(feature, FeatureSummary()).numbers or {})

    @cached_property
    def _added(self) -> dict[str, set[tuple[int, str]]]:
        found: dict[str, set[tuple[int, str]]] = {}
        with suppress(GitError):  # whoever needs git says so; here it is one witness of two
            for path in ever_added(self._root):
                name = VersionName.parse(Path(path))
                if name is not None:
                    found.setdefault(name.path.parent.name, set()).add((name.number, name.short))
        return found

    def held(self, feature: str) -> frozenset[str]:
        """The versions that the store has values of, by their SHA-256."""
        return frozenset(self._stored(feature))

    def number_for(self, feature: str, names: Sequence[VersionName], sha256: str) -> int:
        """The number for a version that has no file: its own where it is known, else one that none ever had."""
        stored, added = self._stored(feature), sorted(self._added.get(feature, ()))
        others = {name.number for name in names}
        others |= {number for other, number in stored.items() if other != sha256}
        others |= {number for number, short in added if short != sha256[:12]}
        own = [stored[sha256]] if sha256 in stored else [number for number, short in added if short == sha256[:12]]
        return next((number for number in own if number not in others), max(others | {*own}, default=0) + 1)

    def lost(self, listed: Mapping[str, Sequence[VersionName]], declared: Iterable[str]) -> list[LostVersion]:
        """The versions whose files are missing, of features that are declared or have others.

        Of those that only git's past knows, the ones whose number is taken: a file whose removal was committed was
        meant to go.
        """
        lost: dict[tuple[str, str], LostVersion] = {}
        for feature in sorted({*listed, *declared}):
            names = listed.get(feature, ())
            there, numbers = {name.short for name in names}, {name.number for name in names}
            for sha256, number in self._stored(feature).items():
                if sha256[:12] not in there:
                    lost[feature, sha256[:12]] = _lost(feature, number, sha256[:12], "store", numbers)
            for number, short in sorted(self._added.get(feature, ())):
                if short not in there and number in numbers:
                    lost.setdefault((feature, short), _lost(feature, number, short, "git", numbers))
            # A merge may have given a version two numbers in the past; the one it has today is what counts.
        for item in missing_from_head(self._root, listed, declared):
            lost.setdefault((item.feature, item.short), item)
        return list(lost.values())


def missing_from_head(
    root: Path, listed: Mapping[str, Sequence[VersionName]], declared: Iterable[str], *, staged: bool = False
) -> list[LostVersion]:
    """The version files that HEAD has, and the working tree (with ``staged`` the index) has under no number."""
    wanted = {*listed, *declared}
    lost = []
    with suppress(GitError):
        for path in removed(root, staged=staged):
            name = VersionName.parse(Path(path))
            feature = Path(path).parent.name
            names = listed.get(feature, ())
            if name is not None and feature in wanted and name.short not in {other.short for other in names}:
                numbers = {other.number for other in names}
                lost.append(_lost(feature, name.number, name.short, "git", numbers))
    return lost


def _lost(feature: str, number: int, short: str, known_by: Literal["store", "git"], numbers: set[int]) -> LostVersion:
    path = f"features/.versions/{feature}/{VersionName.file_name(number, short)}"
    return LostVersion(feature, number, short, known_by, path, reused=number in numbers)
