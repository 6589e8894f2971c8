"""One version file: a version's code and facts, readable, self-verifying, and executable by itself.

::

    # /// featurestore
    # checksum = "…"              SHA-256 of every byte below this line
    # feature = "age_normalized"
    # sha256 = "…"                the version's hash
    # recipe = 2
    # parent = "9f86d081884c"     the version before it, where there is one
    # created = "2025-01-31T08:00:00Z"
    # …                           what is needed to run it and to hash it again
    # sections = [{ module = "features.cardiac", lines = 12, package = false }]
    # ///

    # /// module features.cardiac
    …

The version's number is in the file's name only. Sections are separated by their lengths, not by markers, because
code may contain any text. Unknown keys of the header are ignored.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from featurestore.errors import NewerFormatError, VersionFileError
from featurestore.frozen import frozen
from featurestore.model import Feature
from featurestore.regular import VERSION, read_own, reason
from featurestore.times import format_instant, parse_instant
from featurestore.toml import Plain, parse_toml, toml_lines
from featurestore.versioning.folder.header import CLOSING, OPENING, columns_table, describe, restore
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.recipe.closure import Closure
from featurestore.versioning.recipe.hashing import RECIPES, named_columns
from featurestore.versioning.recipe.sections import Section
from featurestore.versioning.recipe.version_hash import VersionHash

FORMAT = 1
MARKER = "# /// module "
LINE_ENDS = (
    "in git, add the line `features/.versions/** -text` to .gitattributes, delete the file, and git checkout it again; "
    "elsewhere, restore it from a backup, or give its lines plain line feeds again"
)
RESTORE = (
    "restore it from git (git checkout) or a backup; where the working tree has this version's code, delete the file, "
    "and featurestore lock writes it again; version files are never edited"
)

_WRITTEN = ("# parent =", "# created =", "# commit =")
_WRITTEN_LINE = (  # compiled where it is used: most commands don't need it
    r"""# created = "\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{6})?Z"|"""
    r"""# (?!created )(?:\w+|"(?:[^"\\\x00-\x1f\x7f]|\\["\\])+") = "(?:[^"\\\x00-\x1f\x7f]|\\["\\])*\""""
)
_WRITTEN_TABLES = ("# [packages]", "# [parts]")
_FEATURE = re.compile(rb'\A# feature = "[a-z0-9_]+"\Z')
_CHECKSUM = re.compile(rb'# checksum = "([0-9a-f]{64})"')


@frozen
class VersionFile:
    """A version file as read. ``feature`` is the feature as it was declared, without its metadata.

    ``created`` is in microseconds since the epoch. ``first_lines`` are the 1-based lines of the file at which
    each section's code begins. ``lazy`` is true where the function takes a ``LazyFrame``.
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
    written: dict[str, Plain | None] = {"parent": parent, "created": format_instant(created), "commit": commit}
    first = dict.fromkeys(("format", "feature", "sha256", "recipe"))
    table = {**first, **written, **_identity(version), "packages": dict(packages), "parts": dict(version.parts)}
    below = f"{_header(table)}{CLOSING}\n{_code(version.closure)}".encode()
    return f'{OPENING}\n# checksum = "{sha256(below).hexdigest()}"\n'.encode() + below


def _identity(version: VersionHash) -> dict[str, Plain | None]:
    """The part of the header that is the same whenever and wherever the version is written."""
    feature, closure = version.feature, version.closure
    return {
        "format": FORMAT,
        "feature": feature.name,
        "sha256": version.sha256,
        "recipe": version.recipe,
        **describe(feature),
        "lazy": True if closure.lazy else None,
        "sections": [
            {"module": section.module, "lines": section.text.count("\n"), "package": section.package}
            for section in closure.sections
        ],
        **_columns(feature, closure),
    }


def _columns(feature: Feature, closure: Closure) -> dict[str, Plain | None]:
    """The types of the declared columns that the code can name, of each source in a table of its own."""
    return {
        columns_table(number): {
            name: column.type for name, column in sorted(named_columns(feature, closure, source).items())
        }
        for number, source in enumerate(feature.reads)
    }


def _header(table: Mapping[str, Plain | None]) -> str:
    lines = toml_lines({name: value for name, value in table.items() if value is not None})
    return "".join(f"# {line}\n" for line in lines)


def _code(closure: Closure) -> str:
    return "".join(f"\n{MARKER}{section.module}\n{section.text}" for section in closure.sections)


def is_file_of(data: bytes, version: VersionHash) -> bool:
    """Whether these are the bytes of an intact version file of exactly this version.

    Compares texts, which takes a fraction of the time of reading the file and hashing its code again. False only means
    that the file has to be read: it may be damaged, of another version, or written by another release.
    """
    opening, _, rest = data.partition(b"\n")
    first, _, below = rest.partition(b"\n")
    if opening != OPENING.encode() or first != f'# checksum = "{sha256(below).hexdigest()}"'.encode():
        return False
    header, _, code = below.decode("utf-8", "surrogateescape").partition(f"\n{CLOSING}\n")
    identity, written = _split_header(header)
    return code == _code(version.closure) and identity == _header(_identity(version)) and _is_well_formed(written)


def _split_header(header: str) -> tuple[str, list[tuple[str, str]]]:
    """The lines that `_identity` decides, and the others, each with its table."""
    identity: list[str] = []
    written: list[tuple[str, str]] = []
    table = ""
    for line in header.split("\n"):
        if line.startswith("# ["):
            table = line
        if table in _WRITTEN_TABLES or (not table and line.startswith(_WRITTEN)):
            written.append((table, line))
        else:
            identity.append(f"{line}\n")
    return "".join(identity), written


def _is_well_formed(written: list[tuple[str, str]]) -> bool:
    """Whether lines that nothing is compared with can be read: each once, and each a text."""
    names = {(table, line.partition(" = ")[0]) for table, line in written}
    return (
        len(names) == len(written)
        and ("", "# created") in names
        and all(line == table or re.fullmatch(_WRITTEN_LINE, line, re.ASCII) for table, line in written)
    )


def under_another_name(data: bytes, feature: str) -> bytes:
    """The same version of a feature that is called otherwise: a name is in a version file, but not in its hash."""
    opening, _checksum, below = data.split(b"\n", 2)
    head, closing, code = below.partition(f"\n{CLOSING}\n".encode())
    lines = [_FEATURE.sub(f'# feature = "{feature}"'.encode(), line) for line in head.split(b"\n")]
    below = b"\n".join(lines) + closing + code
    return b"\n".join((opening, f'# checksum = "{sha256(below).hexdigest()}"'.encode(), below))


def read_version(path: Path) -> VersionFile:
    """Reads a version file and checks it against its checksum and its name.

    Raises VersionFileError for a file that is missing or was changed in any byte, NewerFormatError for one that a
    newer release wrote.
    """
    name = VersionName.parse(path)
    if name is None:
        raise VersionFileError(
            "does not have the name of a version file", where=_shown(path), hint="for example 0002-9f86d081884c.py"
        )
    try:
        data = read_own(path, VERSION)
    except OSError as exc:
        raise VersionFileError(reason(exc), where=_shown(path), hint=RESTORE) from exc
    return parse_version(name, data)


def parse_version(name: VersionName, data: bytes) -> VersionFile:
    """The same for bytes that were read elsewhere, such as from git's index."""
    opening, _, rest = data.partition(b"\n")
    checksum, _, below = rest.partition(b"\n")
    found = _CHECKSUM.fullmatch(checksum)
    if opening != OPENING.encode() or found is None:
        raise _damaged(name, data, "does not begin like a version file")
    if sha256(below).hexdigest().encode() != found[1]:
        raise _damaged(name, data, "does not match its checksum")
    try:
        lines = below.decode().split("\n")
        end = lines.index(CLOSING)
        table = parse_toml("\n".join(line.removeprefix("# ") for line in lines[:end]).encode())
        if table.get("format", 0) > FORMAT or table.get("recipe", 0) > max(RECIPES):
            raise NewerFormatError(
                "was written by a newer release", where=_shown(name.path), hint="upgrade featurestore"
            )
        version = _version(name, table, lines, end)
    except (KeyError, TypeError, ValueError) as exc:
        raise VersionFileError(
            f"has a header that can't be used: {exc}", where=_shown(name.path), hint=RESTORE
        ) from exc
    if not version.sha256.startswith(name.short) or version.feature.name != name.path.parent.name:
        message = f"contains {version.feature.name} {version.sha256[:12]}, which does not match its name"
        raise VersionFileError(message, where=_shown(name.path), hint="rename it back")
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
        feature=restore(table["feature"], name.path.as_posix(), table),
        lazy=bool(table.get("lazy")),
        packages=table.get("packages", {}),
        parts=table.get("parts", {}),
        sections=tuple(sections),
        first_lines=tuple(first_lines),
    )


def _damaged(name: VersionName, data: bytes, otherwise: str) -> VersionFileError:
    hint = LINE_ENDS if b"\r\n" in data else RESTORE
    return VersionFileError(_complaint(data, otherwise), where=_shown(name.path), hint=hint)


def _complaint(data: bytes, otherwise: str) -> str:
    """What has most likely happened to the file."""
    if not data.strip():
        return "is empty"
    if b"\r\n" in data:
        return "has other line endings than it was written with"
    if any(line.startswith((b"<<<<<<< ", b">>>>>>> ")) for line in data.split(b"\n")):
        return "contains merge conflict markers"
    if data.startswith(OPENING.encode()) and not data.endswith(b"\n"):
        return "is truncated or was edited"
    return f"{otherwise}: it was edited, truncated or reformatted"


def _shown(path: Path) -> str:
    """The path from ``features/`` on, for messages."""
    parts = path.parts
    return "/".join(parts[parts.index("features") :]) if "features" in parts else path.as_posix()
