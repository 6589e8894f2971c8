"""``recipes.toml`` beside a feature's versions: what newer recipes give for the code in the files of older ones.

Derived, committed, and used only for the very file whose checksum it names::

    # checksum = "…"                          SHA-256 of every byte below this line
    # What newer recipes give …
    [3b5e8ca90979]                            the first digits of the version's hash
    checksum = "…"                            that of the version file
    recipe = 2
    sha256 = "…"
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.errors import VersionFileError
from featurestore.frozen import frozen
from featurestore.regular import SETTINGS, read_own, reason
from featurestore.toml import Plain, parse_toml, toml_lines

FILE = "recipes.toml"

_ABOUT = "# What newer recipes give for versions of older ones. Written by featurestore; commit it.\n"
_CHECKSUM = re.compile(rb'# checksum = "([0-9a-f]{64})"\n')


@frozen
class Rehashed:
    """The SHA-256 that a recipe gives for the code of a version file with this checksum."""

    checksum: str
    recipe: int
    sha256: str


def read_recipes(folder: Path, feature: str) -> dict[str, Rehashed]:
    """What the file says, by the first digits of the versions' hashes; empty where there is none.

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


def write_recipes(folder: Path, feature: str, found: Mapping[str, Rehashed]) -> None:
    """Writes the file, or removes it where there is nothing to say. Raises OSError."""
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
