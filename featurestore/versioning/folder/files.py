"""The folder ``features/.versions``: which versions a feature has, which is active, and its metadata.

``folder`` is always the project's ``features/.versions``. Listing opens no file.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.arguments import default_metadata, metadata_of
from featurestore.atomic import flush_folder, write_atomically
from featurestore.errors import NoVersionError, UsageError, VersionFileError
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, Feature, Json
from featurestore.regular import SETTINGS, read_own, reason
from featurestore.times import format_instant, parse_instant
from featurestore.toml import parse_toml, toml_lines
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.recipe.version_hash import VersionHash

# What reads and writes version files is imported where one is read or written: a listing needs their names only.
if TYPE_CHECKING:
    from featurestore.versioning.folder.versionfile import VersionFile

ACTIVE = "active"
METADATA = "metadata.toml"
RETIRED = "retired"
SHORTEST_PREFIX = 6


@frozen
class WrittenVersion:
    """A version file, and whether this call wrote it."""

    name: VersionName
    new: bool


@frozen
class FeatureFiles:
    """What one listing of a feature's folder finds.

    ``versions`` are its version files by number, ``strangers`` the Python files that are not named as such, and
    ``promoted`` says whether a promotion has made one of its versions the active one.
    """

    versions: tuple[VersionName, ...] = ()
    strangers: tuple[Path, ...] = ()
    promoted: bool = False


@frozen
class Active:
    """The version that ``promote`` made the active one, and since when (µs)."""

    sha256: str
    since: int


@frozen
class Retired:
    """When a feature was retired (µs), and the name that it has now where it was renamed."""

    since: int
    renamed_to: str | None = None


def versions_of(folder: Path, feature: str) -> list[VersionName]:
    """A feature's versions by number, from the names of their files."""
    return list(list_files(folder, feature).versions)


def list_files(folder: Path, feature: str) -> FeatureFiles:
    """Lists a feature's folder; there is nothing in a folder that does not exist."""
    versions: list[VersionName] = []
    strangers: list[Path] = []
    inside = f"{folder}{os.sep}{feature}"
    names = _names(inside)
    for name in names:
        if name.endswith(".py"):
            path = Path(inside, name)
            version = VersionName.parse(path)
            if version is None:
                strangers.append(path)
            else:
                versions.append(version)
    return FeatureFiles(tuple(sorted(versions)), tuple(strangers), ACTIVE in names)


def features_of(folder: Path) -> list[str]:
    """The names of the features that have a folder, including those that are no longer declared."""
    return sorted(name for name in _names(folder) if FEATURE_NAME.fullmatch(name))


def all_versions(folder: Path) -> dict[str, list[VersionName]]:
    """The versions of every feature that has any, including those that are no longer declared."""
    versions = {feature: versions_of(folder, feature) for feature in features_of(folder)}
    return {feature: names for feature, names in versions.items() if names}


def write_version(
    folder: Path,
    version: VersionHash,
    *,
    created: int,
    packages: Mapping[str, str] | None = None,
    commit: str | None = None,
    number: int | None = None,
) -> WrittenVersion:
    """Writes a version file under a number (default: the one after the last file's); a version that has one keeps it.

    ``created`` is in microseconds since the epoch. The caller holds the project's lock. Raises OSError.
    """
    from featurestore.versioning.folder.copies import write_copies
    from featurestore.versioning.folder.versionfile import write_text

    feature = version.feature.name
    names = versions_of(folder, feature)
    for name in names:
        if name.short == version.short:
            return WrittenVersion(name, new=False)
    if number is None:
        number = names[-1].number + 1 if names else 1
    path = folder / feature / VersionName.file_name(number, version.sha256)
    _refuse_link(path.parent)
    data = write_text(
        version,
        created=created,
        packages=package_versions(version.closure.third_party) if packages is None else packages,
        parent=names[-1].short if names else None,
        commit=commit,
    )
    write_copies(path, version.feature)
    write_atomically(path, data)
    return WrittenVersion(VersionName(number, version.short, path), new=True)


def package_versions(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions of Python, Polars and these packages, by import name, as far as they are installed."""
    versions = {"python": ".".join(map(str, sys.version_info[:3]))}
    for package in sorted({*packages, "polars"}):
        installed = _installed(package)
        if installed is not None:
            versions[package] = installed
    return versions


@cache
def _installed(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    try:
        return version(package)
    except PackageNotFoundError:
        return next((version(name) for name in packages_distributions().get(package, ())[:1]), None)


def split_reference(reference: str) -> tuple[str, str | None]:
    """Splits ``name``, ``name@2`` or ``name@1f2e3d4c`` at the ``@``. Raises UsageError."""
    feature, at, wanted = reference.partition("@")
    if not FEATURE_NAME.fullmatch(feature):
        raise UsageError(f"{feature!r} is not a feature name", hint="lower-case letters, digits and _")
    if not at:
        return feature, None
    if not re.fullmatch(r"[0-9]+|[0-9a-fA-F]{6,64}", wanted):
        message = f"{wanted!r} is neither a version number nor {SHORTEST_PREFIX} or more digits of a hash"
        raise UsageError(message, hint=f"for example {feature}@2")
    return feature, wanted.lower()


def resolve(folder: Path, feature: str, wanted: str) -> VersionName:
    """The version with that number or hash prefix. Raises NoVersionError where there is none, or more than one."""
    names = versions_of(folder, feature)
    if not names:
        hint = f"run featurestore ingest {feature}, or featurestore lock {feature}"
        raise NoVersionError(f"{feature} has no versions yet", hint=hint)
    # A hash first: it may begin with six decimal digits, and version numbers hardly ever have as many.
    matching = [name for name in names if len(wanted) >= SHORTEST_PREFIX and _has_prefix(name, wanted)]
    if not matching and wanted.isdecimal():
        matching = [name for name in names if name.number == int(wanted)]
    if len({name.short for name in matching}) > 1:
        files = " and ".join(f"{feature}/{name.path.name}" for name in matching)
        raise NoVersionError(
            f"{feature}@{wanted} is ambiguous: {files}",
            hint=f"run featurestore lock {feature} to renumber the later one, or write {feature}@{matching[0].short}",
        )
    if not matching:
        numbers = sorted({name.number for name in names})
        listed = ", ".join(map(str, numbers[-12:]))
        more = "…, " if len(numbers) > 12 else ""
        raise NoVersionError(f"{feature} has no version {wanted}", hint=f"there is: {more}{listed}")
    return matching[0]


def clashes(names: Iterable[VersionName]) -> list[tuple[VersionName, ...]]:
    """Groups of files with the same number, or of the same version, as a merge may leave them."""
    by_number: dict[int, list[VersionName]] = {}
    by_hash: dict[str, list[VersionName]] = {}
    for name in sorted(names):
        by_number.setdefault(name.number, []).append(name)
        by_hash.setdefault(name.short, []).append(name)
    groups = [*by_number.values(), *by_hash.values()]
    return [tuple(group) for group in groups if len(group) > 1]


@frozen
class Renumbering:
    """How clashes are settled: files and the names that they get, and second files of one version, which go."""

    moved: tuple[tuple[VersionName, VersionName], ...] = ()
    doubled: tuple[VersionName, ...] = ()


def renumbering(names: Sequence[VersionName], held: frozenset[str] = frozenset()) -> Renumbering:
    """How clashes among a feature's versions are settled: from the first one on, they are numbered anew.

    First those that are ``held`` (full SHA-256), since people know them by their numbers, then by (created, sha256).
    Of two files of one version the earlier stays. Raises VersionFileError for a damaged file.
    """
    from featurestore.versioning.folder.versionfile import read_version

    groups = clashes(names)
    if not groups:
        return Renumbering()
    first = min(name.number for group in groups for name in group)
    files: dict[str, VersionFile] = {}
    doubled: list[VersionName] = []
    for name in sorted(names):
        if name.number < first:
            continue
        file = read_version(name.path)
        other = files.get(file.sha256)
        if other is None:
            files[file.sha256] = file
        else:
            later = max(other, file, key=lambda item: (item.created, item.number))
            files[file.sha256] = file if later is other else other
            doubled.append(later.name)
    moved = []
    ordered = sorted(files.values(), key=lambda item: (item.sha256 not in held, item.created, item.sha256))
    for number, file in enumerate(ordered, start=first):
        if file.number != number:
            path = file.name.path.with_name(VersionName.file_name(number, file.sha256))
            moved.append((file.name, VersionName(number, file.name.short, path)))
    return Renumbering(tuple(moved), tuple(doubled))


def renumber(folder: Path, feature: str, held: frozenset[str] = frozenset()) -> list[tuple[VersionName, VersionName]]:
    """Does what `renumbering` says, without changing a file. Returns (before, after) of each renamed one."""
    from featurestore.versioning.folder.copies import remove_copies, rename_copies

    plan = renumbering(versions_of(folder, feature), held)
    for name in plan.doubled:
        name.path.unlink()
        remove_copies(name.path)
    for before, after in plan.moved:
        rename_copies(before.path, after.path)
        before.path.rename(after.path)
    if plan.doubled or plan.moved:
        flush_folder(folder / feature)
    return list(plan.moved)


def read_active(folder: Path, feature: str) -> Active | None:
    """The promoted version; None where none was promoted. Raises VersionFileError for a damaged file."""
    path = folder / feature / ACTIVE
    hint = f"run featurestore promote {feature} VERSION to write it again"
    table = _read_toml(path, f"remove the folder, then {hint}" if _is_folder(path) else hint)
    if table is None:
        return None
    try:
        sha256, since = str(table["sha256"]), parse_instant(str(table["since"]))[0]
    except (KeyError, ValueError) as exc:
        raise VersionFileError(f"does not say which version is active: {exc}", where=str(path), hint=hint) from exc
    return Active(sha256, since)


def is_active_replaceable(folder: Path, feature: str) -> bool:
    """Whether `write_active` can replace what is in the place of its file: anything but a folder."""
    return not _is_folder(folder / feature / ACTIVE)


def write_active(folder: Path, feature: str, active: Active) -> None:
    """Makes a version the active one, by its hash: numbers may change after a merge."""
    _refuse_link(folder / feature)
    lines = toml_lines({"sha256": active.sha256, "since": format_instant(active.since)})
    write_atomically(folder / feature / ACTIVE, _text(lines))


def read_retired(folder: Path, feature: str) -> Retired | None:
    """Whether a feature was retired; None where it was not. Raises VersionFileError for a damaged file."""
    path = folder / feature / RETIRED
    hint = f"remove the file, then run featurestore retire {feature} again"
    table = _read_toml(path, hint)
    if table is None:
        return None
    try:
        renamed_to = table.get("renamed_to")
        return Retired(parse_instant(str(table["since"]))[0], None if renamed_to is None else str(renamed_to))
    except (KeyError, ValueError) as exc:
        raise VersionFileError(f"does not say since when: {exc}", where=str(path), hint=hint) from exc


def called_now(folder: Path, feature: str) -> str:
    """The name that a feature has now, however often it was renamed. Raises VersionFileError for a damaged file."""
    passed = {feature}
    while (retired := read_retired(folder, feature)) is not None and retired.renamed_to not in (None, *passed):
        feature = str(retired.renamed_to)
        passed.add(feature)
    return feature


def write_retired(folder: Path, feature: str, retired: Retired) -> None:
    """Retires a feature. Its version files stay."""
    facts = {"since": format_instant(retired.since), "renamed_to": retired.renamed_to}
    lines = toml_lines({name: value for name, value in facts.items() if value is not None})
    write_atomically(folder / feature / RETIRED, _text(lines))


def remove_retired(folder: Path, feature: str) -> None:
    """Removes the record that a feature was retired, where there is one. Raises OSError."""
    (folder / feature / RETIRED).unlink(missing_ok=True)


def copy_versions(folder: Path, feature: str, new: str) -> list[VersionName]:
    """Writes a feature's versions, with their numbers, and its promotion under another name, which has none yet.

    Raises VersionFileError for a damaged file, OSError.
    """
    from featurestore.versioning.folder.copies import copy_copies
    from featurestore.versioning.folder.versionfile import read_version, under_another_name

    copied = []
    for name in versions_of(folder, feature):
        version = read_version(name.path)  # so that no damage gets a checksum that fits
        path = folder / new / name.path.name
        copy_copies(name.path, path, version.feature)
        write_atomically(path, under_another_name(name.path.read_bytes(), new))
        copied.append(VersionName(name.number, name.short, path))
    active = read_active(folder, feature)
    if active is not None:
        write_active(folder, new, active)
    return copied


def read_metadata(folder: Path, feature: str) -> dict[str, Json] | None:
    """The metadata as last locked, in the form of `metadata_of`; None before the first lock.

    Raises VersionFileError for a damaged file.
    """
    table = _read_toml(folder / feature / METADATA, f"run featurestore lock {feature} to write it again")
    if table is None:
        return None
    return {**default_metadata(), **table}


def write_metadata(folder: Path, feature: Feature) -> bool:
    """Writes the metadata of the working tree. False where the file is up to date."""
    if is_locked_metadata(folder, feature):
        return False
    path = folder / feature.name / METADATA
    _refuse_link(path.parent)
    write_atomically(path, _metadata_text(feature))
    return True


def is_locked_metadata(folder: Path, feature: Feature) -> bool:
    """Whether the file holds exactly the metadata of the working tree. Compares texts, which is faster than reading."""
    try:
        return read_own(folder / feature.name / METADATA, SETTINGS) == _metadata_text(feature)
    except OSError:
        return False


def _metadata_text(feature: Feature) -> bytes:
    return _text(toml_lines({name: value for name, value in metadata_of(feature).items() if value is not None}))


def metadata_changes(folder: Path, feature: Feature) -> list[str]:
    """The names of the metadata that changed since the last lock; empty before the first."""
    if is_locked_metadata(folder, feature):
        return []
    locked = read_metadata(folder, feature.name)
    if locked is None:
        return []
    return [name for name, value in metadata_of(feature).items() if locked.get(name) != value]


def _refuse_link(folder: Path) -> None:
    """Raises VersionFileError where a feature's folder is a link: files written there would land anywhere."""
    if folder.is_symlink():
        raise VersionFileError(
            "is a link; version files are written into a folder of the project only",
            where=str(folder),
            hint="replace the link by the folder that it leads to",
        )


def _has_prefix(name: VersionName, wanted: str) -> bool:
    if len(wanted) <= len(name.short):
        return name.short.startswith(wanted)
    from featurestore.versioning.folder.versionfile import read_version

    return wanted.startswith(name.short) and read_version(name.path).sha256.startswith(wanted)


def _names(folder: str | Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208  # a third of the time of iterdir
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _read_toml(path: Path, hint: str) -> dict[str, Json] | None:
    try:
        data = read_own(path, SETTINGS)
        table = parse_toml(data)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise VersionFileError(reason(exc), where=str(path), hint=hint) from exc
    except ValueError as exc:
        from featurestore.versioning.folder.conflicts import has_markers

        if has_markers(data):
            settle = f"run featurestore lock, which settles most; else {hint}"
            raise VersionFileError("contains merge conflict markers", where=str(path), hint=settle) from exc
        raise VersionFileError(str(exc), where=str(path), hint=hint) from exc
    if not table:  # such a file always says something
        raise VersionFileError("is empty", where=str(path), hint=hint)
    return table


def _text(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
