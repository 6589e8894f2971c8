"""Versions that an older recipe wrote, found again under the newest one. A new recipe makes no new versions.

A version file holds its code, so that the newest recipe can hash it anew. What comes out is written down beside the
versions, in ``recipes.toml``: derived, committed, and used only for the file whose checksum it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.errors import FeatureStoreError, VersionFileError
from featurestore.frozen import frozen
from featurestore.regular import SETTINGS, read_own, read_start, reason
from featurestore.toml import Plain, parse_toml, toml_lines
from featurestore.versioning.folder.header import OPENING
from featurestore.versioning.folder.versionfile import VersionFile, VersionName, read_version
from featurestore.versioning.recipe.hashing import RECIPES, VersionHash
from featurestore.versioning.running.replay import rehash

FILE = "recipes.toml"

_ABOUT = "# What newer recipes give for versions of older ones. Made by featurestore lock; commit it.\n"
_HEAD = re.compile(rb'# checksum = "([0-9a-f]{64})"\n(?:# .*\n){0,8}?# recipe = (\d+)\n')
_CHECKSUM = re.compile(rb'# checksum = "([0-9a-f]{64})"\n')
_START = 2_000  # bytes, in which a version file says its checksum and its recipe


@frozen
class Rehashed:
    """The SHA-256 that a recipe gives for the code of a version file with this checksum."""

    checksum: str
    recipe: int
    sha256: str


def stored_hash(version: VersionHash, names: Iterable[VersionName]) -> VersionHash:
    """The version with the hash under which its file and the stores have it.

    That differs from the newest recipe's only where an older one wrote the file. Of several such versions it is the
    last.
    """
    names = sorted(names, reverse=True)
    known: Mapping[str, Rehashed] | None = None
    for name in names:
        start = _start(name)
        if start is None or start[1] >= version.recipe:
            continue
        known = _read(name.path.parent) if known is None else known
        again = _again(name, start[0], version.recipe, known)
        if again is not None and again.sha256 == version.sha256:
            return replace(version, sha256=read_version(name.path).sha256, recipe=start[1])
    return version


def missing_recipes(folder: Path, feature: str, names: Iterable[VersionName]) -> dict[str, Rehashed] | None:
    """What ``recipes.toml`` of a feature should hold; None where it does. ``folder`` is ``features/.versions``."""
    newest = max(RECIPES)
    try:
        known = read_recipes(folder, feature)
    except VersionFileError:
        known = {}
    found: dict[str, Rehashed] = {}
    for name in names:
        start = _start(name)
        again = _again(name, start[0], newest, known) if start is not None and start[1] < newest else None
        if again is not None:
            found[name.short] = again
    return None if found == known else found


def write_recipes(folder: Path, feature: str, found: Mapping[str, Rehashed]) -> None:
    """Writes the file, or removes it where nothing is to be said. Raises OSError."""
    path = folder / feature / FILE
    if not found:
        path.unlink(missing_ok=True)
        return
    table: dict[str, Plain] = {
        short: {"checksum": item.checksum, "recipe": item.recipe, "sha256": item.sha256}
        for short, item in sorted(found.items())
    }
    below = (_ABOUT + "".join(f"{line}\n" for line in toml_lines(table))).encode()
    write_atomically(path, f'# checksum = "{sha256(below).hexdigest()}"\n'.encode() + below)


def read_recipes(folder: Path, feature: str) -> dict[str, Rehashed]:
    """What the file says by the first digits of the versions' hashes; empty where there is none.

    Raises VersionFileError for one that was changed in any way.
    """
    path = folder / feature / FILE
    hint = f"run featurestore lock {feature} to write it again"
    try:
        data = read_own(path, SETTINGS)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise VersionFileError(reason(exc), where=str(path), hint=hint) from exc
    checksum = _CHECKSUM.match(data)
    if checksum is None or sha256(data[checksum.end() :]).hexdigest().encode() != checksum[1]:
        raise VersionFileError("does not match its checksum", where=str(path), hint=hint)
    try:
        return {
            short: Rehashed(str(item["checksum"]), int(item["recipe"]), str(item["sha256"]))
            for short, item in parse_toml(data).items()
        }
    except (KeyError, TypeError, ValueError) as exc:
        raise VersionFileError(f"can't be used: {exc}", where=str(path), hint=hint) from exc


def reasons(before: VersionFile, now: VersionHash) -> list[str]:
    """Why a version that an older recipe wrote is not the working tree's, although its code may be the same."""
    from featurestore.versioning.explain import explain, explain_recipe

    try:
        again = rehash(before)
    except FeatureStoreError:
        return explain(before.parts, now.parts)
    return explain_recipe(again.parts, now.parts, now.recipe, before.number)


def _read(folder: Path) -> Mapping[str, Rehashed]:
    with suppress(VersionFileError):  # `check` names it; here it only saves time
        return read_recipes(folder.parent, folder.name)
    return {}


def _start(name: VersionName) -> tuple[str, int] | None:
    """The checksum and the recipe that a version file gives; None for a damaged one."""
    try:
        data = read_start(name.path, _START)
    except OSError:
        return None
    found = _HEAD.match(data, len(OPENING) + 1)
    return None if found is None else (found[1].decode(), int(found[2]))


def _again(name: VersionName, checksum: str, recipe: int, known: Mapping[str, Rehashed]) -> Rehashed | None:
    """The hash of the file's code under a newer recipe: as it was written down for this very file, else worked out."""
    item = known.get(name.short)
    if item is not None and item.checksum == checksum and item.recipe == recipe:
        return item
    try:
        return Rehashed(checksum, recipe, rehash(read_version(name.path)).sha256)
    except FeatureStoreError:
        return None
