"""Versions that an older recipe wrote, found again under the newest one. A new recipe makes no new versions.

A version file holds its code, so that the newest recipe can hash it anew. What comes out is written down beside the
versions, in ``recipes.toml``: derived, committed, and used only for the file whose checksum it names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from featurestore.errors import FeatureStoreError, VersionFileError
from featurestore.regular import read_start
from featurestore.versioning.explain import explain, explain_recipe
from featurestore.versioning.folder.header import OPENING
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.folder.rehashed import Rehashed, read_recipes, write_recipes
from featurestore.versioning.folder.versionfile import VersionFile, read_version
from featurestore.versioning.recipe.hashing import RECIPES
from featurestore.versioning.recipe.version_hash import VersionHash
from featurestore.versioning.running.replay import rehash

_HEAD = re.compile(rb'# checksum = "([0-9a-f]{64})"\n(?:# .*\n){0,8}?# recipe = (\d+)\n')
_START = 2_000  # bytes, in which a version file says its checksum and its recipe


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


def update_recipes(folder: Path, feature: str, names: Iterable[VersionName]) -> None:
    """Writes down what the newest recipe gives for a feature's older versions. ``folder`` is ``features/.versions``.

    Raises OSError.
    """
    newest = max(RECIPES)
    damaged = False
    try:
        known = read_recipes(folder, feature)
    except VersionFileError:
        known, damaged = {}, True
    found: dict[str, Rehashed] = {}
    for name in names:
        start = _start(name)
        again = _again(name, start[0], newest, known) if start is not None and start[1] < newest else None
        if again is not None:
            found[name.short] = again
    if found != known or damaged:
        write_recipes(folder, feature, found)


def current_parts(version: VersionFile) -> Mapping[str, str]:
    """A version's parts as the newest recipe has them, to be compared with those of today."""
    if version.recipe == max(RECIPES):
        return version.parts
    try:
        return rehash(version, max(RECIPES)).parts
    except FeatureStoreError:
        return version.parts


def reasons(before: VersionFile, now: VersionHash) -> list[str]:
    """Why a version that an older recipe wrote is not the working tree's, although its code may be the same."""
    parts = current_parts(before)
    if parts is before.parts:
        return explain(parts, now.parts)
    return explain_recipe(parts, now.parts, now.recipe, before.number)


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
        return Rehashed(checksum, recipe, rehash(read_version(name.path), recipe).sha256)
    except FeatureStoreError:
        return None
