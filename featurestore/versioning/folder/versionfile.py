"""One version file: a version's code and facts, readable, self-verifying, and executable by itself.

::

    # /// featurestore
    # checksum = "…"              SHA-256 of every byte below this line
    # feature = "age_normalized"
    # sha256 = "…"                the version's hash
    # recipe = 1
    # parent = "9f86d081884c"     the version before it, where there is one
    # created = "2025-01-31T08:00:00Z"
    # …                           what is needed to run it and to hash it again
    # sections = [{ module = "features.cardiac", lines = 12, package = false }]
    # ///

    # /// module features.cardiac
    …

The number of the version stands in the file's name only. Lengths, not markers, separate the sections, so
that code may hold any text. Unknown keys of the header are passed over.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from featurestore.errors import NewerFormatError, VersionFileError
from featurestore.model import Feature
from featurestore.times import format_instant, parse_instant
from featurestore.toml import Plain, toml_lines
from featurestore.versioning.folder.header import CLOSING, OPENING, describe, restore
from featurestore.versioning.recipe.hashing import RECIPES, VersionHash, named_columns
from featurestore.versioning.recipe.sections import Section

FORMAT = 1
MARKER = "# /// module "
RESTORE = "git checkout -- brings a committed version file back; they are never edited"

_NAME = re.compile(r"([0-9]{4,})-([0-9a-f]{12})\.py")
_CHECKSUM = re.compile(rb'# checksum = "([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True, order=True)
class VersionName:
    """What the name of a version file tells: ``0002-9f86d081884c.py``."""

    number: int
    short: str
    path: Path

    @classmethod
    def parse(cls, path: Path) -> VersionName | None:
        """The parts of a version file's name; None for any other name."""
        found = _NAME.fullmatch(path.name)
        return cls(int(found[1]), found[2], path) if found else None

    @staticmethod
    def file_name(number: int, hash_: str) -> str:
        """The name of the file for a number and a hash (the first 12 digits count)."""
        return f"{number:04d}-{hash_[:12]}.py"


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A version file as read. ``feature`` holds the facts as they were; its metadata is not kept here.

    ``created`` is in microseconds since the epoch. ``first_lines`` are the 1-based lines of the file at which
    each section's code begins. ``lazy`` tells a long form that wants a ``LazyFrame``.
    """

    name: VersionName
    sha256: str
    recipe: int
    parent: str | None
    created: int
    commit: str | None
    feature: Feature
    lazy: bool
    packages: Mapping[str, str]
    parts: Mapping[str, str]
    sections: tuple[Section, ...]
    first_lines: tuple[int, ...]

    @property
    def number(self) -> int:
        return self.name.number


def write_text(
    version: VersionHash,
    *,
    created: int,
    packages: Mapping[str, str],
    parent: str | None = None,
    commit: str | None = None,
) -> bytes:
    """The contents of a version file."""
    feature, closure = version.feature, version.closure
    table: dict[str, Plain | None] = {
        "format": FORMAT,
        "feature": feature.name,
        "sha256": version.sha256,
        "recipe": version.recipe,
        "parent": parent,
        "created": format_instant(created),
        "commit": commit,
        **describe(feature),
        "lazy": True if closure.lazy else None,
        "sections": [
            {"module": section.module, "lines": section.text.count("\n"), "package": section.package}
            for section in closure.sections
        ],
        "columns": {name: column.type for name, column in sorted(named_columns(feature, closure).items())},
        "packages": dict(packages),
        "parts": dict(version.parts),
    }
    lines = toml_lines({name: value for name, value in table.items() if value is not None})
    below = "".join(f"# {line}\n" for line in lines) + f"{CLOSING}\n"
    below += "".join(f"\n{MARKER}{section.module}\n{section.text}" for section in closure.sections)
    data = below.encode()
    return f'{OPENING}\n# checksum = "{sha256(data).hexdigest()}"\n'.encode() + data


def read_version(path: Path) -> VersionFile:
    """Reads a version file and checks it against its checksum and its own name.

    Raises VersionFileError for a file that is missing or not byte for byte as it was written, NewerFormatError
    for one that a newer release wrote.
    """
    name = VersionName.parse(path)
    if name is None:
        raise VersionFileError(
            "is not named as a version file", where=_shown(path), hint="for example 0002-9f86d081884c.py"
        )
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise VersionFileError(f"can't be read: {exc.strerror or exc}", where=_shown(path), hint=RESTORE) from exc
    return parse_version(name, data)


def parse_version(name: VersionName, data: bytes) -> VersionFile:
    """The same, from bytes that were read elsewhere, such as git's index."""
    opening, _, rest = data.partition(b"\n")
    checksum, _, below = rest.partition(b"\n")
    found = _CHECKSUM.fullmatch(checksum)
    if opening != OPENING.encode() or found is None:
        raise VersionFileError(_complaint(data, "does not begin as one"), where=_shown(name.path), hint=RESTORE)
    if sha256(below).hexdigest().encode() != found[1]:
        raise VersionFileError(_complaint(data, "is not as it was written"), where=_shown(name.path), hint=RESTORE)
    lines = below.decode().split("\n")
    end = lines.index(CLOSING)
    table = tomllib.loads("\n".join(line.removeprefix("# ") for line in lines[:end]))
    if table.get("format", 0) > FORMAT or table.get("recipe", 0) > max(RECIPES):
        raise NewerFormatError("was written by a newer release", where=_shown(name.path), hint="upgrade featurestore")
    try:
        version = _version(name, table, lines, end)
    except (KeyError, TypeError, ValueError) as exc:
        raise VersionFileError(
            f"has a header that can't be used: {exc}", where=_shown(name.path), hint=RESTORE
        ) from exc
    if not version.sha256.startswith(name.short) or version.feature.name != name.path.parent.name:
        message = f"holds {version.feature.name} {version.sha256[:12]}, which is not what its name says"
        raise VersionFileError(message, where=_shown(name.path), hint="give it back the name it was written with")
    return version


def _version(name: VersionName, table: dict[str, Any], lines: list[str], end: int) -> VersionFile:
    sections, first_lines = [], []
    at = end + 1
    for entry in table["sections"]:
        if lines[at : at + 2] != ["", f"{MARKER}{entry['module']}"]:
            raise ValueError(f"no section {entry['module']}")
        text = lines[at + 2 : at + 2 + entry["lines"]]
        sections.append(Section(entry["module"], "".join(f"{line}\n" for line in text), entry["package"]))
        first_lines.append(at + 2 + 3)  # two lines of the file stand above `lines`, and lines count from 1
        at += 2 + entry["lines"]
    created, _ = parse_instant(table["created"])
    return VersionFile(
        name=name,
        sha256=table["sha256"],
        recipe=table["recipe"],
        parent=table.get("parent"),
        created=created,
        commit=table.get("commit"),
        feature=restore(table["feature"], name.path.as_posix(), table, table.get("columns", {})),
        lazy=bool(table.get("lazy")),
        packages=table.get("packages", {}),
        parts=table.get("parts", {}),
        sections=tuple(sections),
        first_lines=tuple(first_lines),
    )


def _complaint(data: bytes, otherwise: str) -> str:
    """What most likely happened to the file."""
    if not data.strip():
        return "is empty"
    if b"\r\n" in data:
        return "has had its line endings changed"
    if any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in data.split(b"\n")):
        return "has conflict markers of a merge in it"
    if data.startswith(OPENING.encode()) and not data.endswith(b"\n"):
        return "is cut off, or was edited"
    return f"{otherwise}: it was edited, cut off or reformatted"


def _shown(path: Path) -> str:
    """The path from ``features/`` on, for messages."""
    parts = path.parts
    return "/".join(parts[parts.index("features") :]) if "features" in parts else path.as_posix()
