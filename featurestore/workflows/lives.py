"""Which features are declared, removed, retired or renamed, and what follows from that wherever one is used.

A feature whose code is gone goes on being served until it is retired. Reads files only, and runs nobody's code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from featurestore.config import Project
from featurestore.errors import VersionFileError
from featurestore.frozen import frozen
from featurestore.model import Feature, StoredVersion
from featurestore.registry.discovery import Registry, discover, said_of_file
from featurestore.times import format_instant, parse_duration
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder import files
from featurestore.versioning.folder.files import Retired


@frozen
class Lives:
    """The declarations of the working tree, beside the version files in ``folder``.

    ``broken`` are the names of declarations that can't be used. ``unreadable`` says what is wrong with a file that
    can't be parsed or read, in which whatever is not found may be declared; it is empty where there is none.
    ``renamed`` has the new names by the old ones, as declared.
    """

    folder: Path
    declared: Mapping[str, Feature]
    broken: frozenset[str]
    unreadable: str
    renamed: Mapping[str, str]

    def retired(self, name: str) -> Retired | None:
        """When a feature was retired; None for one that was not, or is declared again."""
        return None if name in self.declared else files.read_retired(self.folder, name)

    def damage(self, name: str) -> VersionFileError | None:
        """Why it is not known whether a feature was retired: its file is damaged. None where it is known."""
        try:
            self.retired(name)
        except VersionFileError as exc:
            return exc
        return None

    def is_removed(self, name: str) -> bool:
        """Whether a feature's code is gone though it was not retired, as far as is known."""
        if name in self.declared or name in self.broken or self.unreadable or self.damage(name):
            return False
        return files.read_retired(self.folder, name) is None

    def is_left(self, name: str) -> bool:
        """Whether a feature is not used any more, or its file is damaged, so that this is not known."""
        return self.damage(name) is not None or self.retired(name) is not None

    def note(self, name: str) -> str | None:
        """What to say wherever a feature is used that is not declared any more; None for any other."""
        if name in self.declared:
            return None
        damage = self.damage(name)
        if damage is not None:
            return f"whether {name} was retired is not known: {damage}; {damage.hint}"
        retired = self.retired(name)
        if retired is not None and retired.renamed_to is not None:
            return f"{name} was renamed to {retired.renamed_to}: it gets no new values"
        if retired is not None:
            return f"{name} was retired on {format_instant(retired.since)[:10]}: it gets no new values"
        if not self.is_removed(name):
            return None
        if name in self.renamed:
            new = self.renamed[name]
            return f"{name} is called {new} now: featurestore ingest {new} carries its history over"
        return f"{name} is no longer declared; it goes on being served until featurestore retire {name}"

    def notes(self, names: Iterable[str]) -> tuple[str, ...]:
        """What to say of all these features, in order."""
        return tuple(note for name in dict.fromkeys(names) if (note := self.note(name)) is not None)

    def max_age(self, version: StoredVersion) -> int | None:
        """The age limit of a version (µs) as declared now; for a feature that is not declared any more, as it was.

        As it was when its metadata was last locked; where that was never, when the version was first stored.
        """
        name = version.id.feature
        if name in self.declared:
            return self.declared[name].max_age
        locked = locked_metadata(self.folder, name)
        return version.max_age if locked is None else locked["max_age"]


def read_lives(project: Project, registry: Registry | None = None) -> Lives:
    """The features of the working tree and their folders. ``registry`` is what `discover` has found, if it ran."""
    found = registry or discover(project, SourceTree(project.root))
    names = [item.name for item in found.broken]
    return Lives(
        project.versions,
        {feature.name: feature for feature in found.features},
        frozenset(names),
        said_of_file(found.unread[0]) if found.unread else "",
        {feature.renamed_from: feature.name for feature in found.features if feature.renamed_from},
    )


def locked_metadata(folder: Path, name: str) -> dict[str, Any] | None:
    """The metadata of a feature as last locked, in the form of `Feature`; None where they never were.

    Raises VersionFileError for a damaged file.
    """
    locked = files.read_metadata(folder, name)
    if locked is None:
        return None
    max_age, tags = locked.get("max_age"), locked.get("tags")
    try:
        return {
            "description": str(locked.get("description") or ""),
            "owner": str(locked.get("owner") or ""),
            "tags": tuple(map(str, tags)) if isinstance(tags, list) else (),
            "status": str(locked.get("status") or ""),
            "max_age": None if max_age is None else parse_duration(str(max_age)),
        }
    except ValueError as exc:
        where = str(folder / name / files.METADATA)
        hint = "restore it from git (git checkout) or a backup"
        raise VersionFileError(f"max_age: {exc}", where=where, hint=hint) from exc
