"""``observed.toml``: what a version's code met while it ran, and does not declare.

Derived from a run and committed with the version files, so that a check elsewhere knows of it without running anything.
It is of one version; another one's is of no interest, since its code is another.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args

from featurestore.atomic import write_atomically
from featurestore.declared_files import declares
from featurestore.frozen import frozen
from featurestore.model import Feature
from featurestore.regular import SETTINGS, read_own
from featurestore.toml import parse_toml, toml_lines

FILE = "observed.toml"
Kind = Literal["file", "folder", "program", "address", "library"]
KINDS: tuple[Kind, ...] = get_args(Kind)
MOST = 100
"""The observations of one feature: who opens more has a pattern, and its first hundred show it."""

_OPENING = "# What the code met while it ran and does not declare. Written by featurestore ingest."
_KEYS: dict[Kind, str] = {
    "file": "files", "folder": "folders", "program": "programs", "address": "addresses", "library": "libraries",
}  # fmt: skip
_VERBS: dict[Kind, str] = {
    "file": "reads", "folder": "lists", "program": "starts", "address": "connects to", "library": "loads",
}  # fmt: skip


@frozen
class Observation:
    """One thing that code met.

    ``what`` is a path below the project's root or an absolute one, the name of a program, an address, or the path of a
    library. Never what follows a program's name, a query or a password.
    """

    kind: Kind
    what: str

    @property
    def text(self) -> str:
        """``reads weights.json``, for messages."""
        return f"{_VERBS[self.kind]} {self.what}"

    @property
    def hint(self) -> str:
        """How its content becomes part of a version, or else of the rows."""
        if self.kind in ("file", "folder"):
            pattern = self.what if self.kind == "file" else f"{self.what}/*"
            if self.what.startswith("/"):
                return "copy it into the project and declare it in depends_on, or make it a source"
            return f'declare it, depends_on=["{pattern}"], or make it a source'
        return "make what it gives a source, or a file in depends_on"


def in_order(observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Each once, sorted by kind and name, and not too many."""
    chosen = sorted(set(observations), key=lambda item: (KINDS.index(item.kind), item.what))
    return tuple(chosen[:MOST])


def undeclared(feature: Feature, observations: Iterable[Observation]) -> tuple[Observation, ...]:
    """Those that ``depends_on`` does not name."""
    return in_order(
        item
        for item in observations
        if item.kind not in ("file", "folder") or not declares(feature.depends_on, item.what)
    )


def read_observed(folder: Path, feature: str, sha256: str) -> tuple[Observation, ...]:
    """What was observed of a version; nothing where its file is missing, of another version or damaged."""
    path = folder / feature / FILE
    try:
        table = parse_toml(read_own(path, SETTINGS))
    except (OSError, ValueError):
        return ()  # the next run writes it again
    if table.get("sha256") != sha256:
        return ()
    found = [(kind, table.get(key)) for kind, key in _KEYS.items()]
    return in_order(
        Observation(kind, name) for kind, names in found if isinstance(names, list) for name in map(str, names)
    )


def write_observed(folder: Path, feature: str, sha256: str, observations: Iterable[Observation]) -> None:
    """Writes what was observed of a version, beside what is known of it; removes the file where that is nothing.

    Raises OSError.
    """
    path = folder / feature / FILE
    together = in_order((*read_observed(folder, feature, sha256), *observations))
    if not together:
        path.unlink(missing_ok=True)
        return
    names = {key: [item.what for item in together if item.kind == kind] for kind, key in _KEYS.items()}
    table = {"sha256": sha256, **{key: found for key, found in names.items() if found}}
    data = "".join(f"{line}\n" for line in (_OPENING, *toml_lines(table))).encode()
    try:
        if read_own(path, SETTINGS) == data:
            return
    except OSError:
        pass
    write_atomically(path, data)
