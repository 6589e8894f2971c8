"""What a merge leaves in the files under ``features/.versions``: conflict markers, and how they are settled.

Both sides were written by featurestore, so that mostly one of them is right, or both are. Types of columns are put
together, of two promotions the later one counts, and of two files of one version the earlier one. What is derived is
written anew by whoever needs it, so that either side will do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.errors import FeatureStoreError, VersionFileError
from featurestore.model import Json
from featurestore.regular import VERSION, read_own
from featurestore.times import parse_instant
from featurestore.toml import parse_toml, toml_key
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.versionfile import parse_version

ACTIVE = "active"
BY_HAND = "keep one side, or git checkout --ours or --theirs"

_OURS, _BASE, _MIDDLE, _THEIRS = b"<<<<<<< ", b"||||||| ", b"=======", b">>>>>>> "


def has_markers(data: bytes) -> bool:
    """Whether a text has git's conflict markers."""
    return _OURS in data and any(line.startswith(_OURS) for line in data.splitlines())


def conflicting(folder: Path) -> Iterator[Path]:
    """The files under ``features/.versions`` that have conflict markers. ``folder`` is that folder."""
    for inside, folders, names in os.walk(folder):
        if Path(inside) != folder:
            folders.clear()  # below a feature's folder are copies of the user's own files
        for name in names:
            path = Path(inside, name)
            try:
                if has_markers(read_own(path, VERSION)):
                    yield path
            except OSError:  # `check` names it
                continue


def settle(path: Path, *, dry_run: bool = False) -> None:
    """Writes the file without its markers. Raises VersionFileError where a person has to decide."""
    sides = _sides(read_own(path, VERSION))
    merged = None if sides is None else _merged(path, *sides)
    if merged is None:
        raise VersionFileError("contains merge conflict markers", where=str(path), hint=BY_HAND)
    if not dry_run:
        write_atomically(path, merged)


def _sides(data: bytes) -> tuple[bytes, bytes] | None:
    """The file as either side has it; None where the markers don't fit together."""
    ours, theirs = [], []
    place = "both"
    for line in data.splitlines(keepends=True):
        if line.startswith(_OURS) and place == "both":
            place = "ours"
        elif line.startswith(_BASE) and place == "ours":
            place = "base"
        elif line.rstrip() == _MIDDLE and place in ("ours", "base"):
            place = "theirs"
        elif line.startswith(_THEIRS) and place == "theirs":
            place = "both"
        else:
            if place in ("both", "ours"):
                ours.append(line)
            if place in ("both", "theirs"):
                theirs.append(line)
    return (b"".join(ours), b"".join(theirs)) if place == "both" else None


def _merged(path: Path, ours: bytes, theirs: bytes) -> bytes | None:
    name = VersionName.parse(path)
    if name is not None:
        return _earlier(name, ours, theirs)
    try:
        one, other = parse_toml(ours), parse_toml(theirs)
    except ValueError:
        return None
    if path.name == ACTIVE:
        return max(ours, theirs, key=lambda data: _since(parse_toml(data)))
    if path.name.endswith(".columns.toml"):
        return _united(ours, one, other)
    return ours


def _earlier(name: VersionName, ours: bytes, theirs: bytes) -> bytes | None:
    good = []
    for data in (ours, theirs):
        try:
            good.append((parse_version(name, data).created, data))
        except FeatureStoreError:
            continue
    return min(good)[1] if good else None


def _since(table: dict[str, Json]) -> int:
    try:
        return parse_instant(str(table.get("since")))[0]
    except ValueError:
        return -1


def _united(ours: bytes, one: dict[str, Json], other: dict[str, Json]) -> bytes | None:
    """The lines of both sides, in the order of their columns; None where they disagree on a column's type."""
    first, second = one.get("columns", {}), other.get("columns", {})
    if not isinstance(first, dict) or not isinstance(second, dict):
        return None
    if any(first[name] != second[name] for name in first.keys() & second.keys()):
        return None
    text = ours.decode("utf-8-sig")
    head = text[: text.index("[columns]\n") + len("[columns]\n")] if "[columns]\n" in text else "[columns]\n"
    types = {**first, **second}
    return (head + "".join(f'{toml_key(name)} = "{types[name]}"\n' for name in sorted(types))).encode()
