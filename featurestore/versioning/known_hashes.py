"""What `lock` found out about the working tree's code, so that `list`, `plan` and `check` need not find it out again.

Following functions through their modules takes most of a listing's time, and what comes out depends on nothing but the
declaration and the answers of the source tree. These hashes are used only where **every** answer is the same today:
the same names are modules, packages or neither, and the files of the modules have the same bytes.

``.featurestore/known_hashes.json`` is derived and local. One that came with a clone or a copy is not used: the file
says which inode it has and when it was written, which nobody can know beforehand.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from featurestore import __version__
from featurestore.arguments import hashed_facts
from featurestore.atomic import replace_atomically
from featurestore.errors import DeclarationError
from featurestore.model import Feature
from featurestore.regular import VERSION, read_own
from featurestore.versioning.analysis.tree import Answers, SourceTree
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.recipe.version_hash import Limit, Outline, VersionHash

if TYPE_CHECKING:
    from featurestore.versioning.recipe.closure import Closure

_SORTED = json.JSONEncoder(sort_keys=True)

_CODE = ("analysis", "recipe")
"""The folders of this package whose code decides what is found."""


class _Record(TypedDict):
    """What was found of one feature with these declared facts; ``file`` is the SHA-256 of its verified version file."""

    facts: str
    sha256: str
    recipe: int
    modules: list[str]
    limits: list[list[Any]]
    file: str


class KnownHashes:
    """The hashes that were known of a tree; none where anything that decides them has changed."""

    def __init__(self, path: Path, tree: SourceTree) -> None:
        self._tree = tree
        self._records = _read(path, tree)

    def find(self, feature: Feature, names: Sequence[VersionName]) -> VersionHash | None:
        """The hash of a feature's code, where it is known and one of the versions has it."""
        record = self._records.get(feature.name)
        if record is None or record["facts"] != _facts_of(feature):
            return None
        if not any(record["sha256"].startswith(name.short) for name in names):
            return None
        limits = tuple(
            Limit(path, line, message, kind, tuple(paths)) for path, line, message, kind, paths in record["limits"]
        )
        capture = partial(_capture, self._tree, feature, record["sha256"])
        outline = Outline(frozenset(record["modules"]), limits)
        return VersionHash(record["sha256"], record["recipe"], feature, capture, outline)

    def is_verified(self, feature: str, data: bytes) -> bool:
        """Whether these are the bytes of the feature's version file as they were when it was verified."""
        record = self._records.get(feature)
        return record is not None and record["file"] == sha256(data).hexdigest()


def store_known(path: Path, tree: SourceTree, found: Iterable[tuple[VersionHash, bytes]]) -> None:
    """Stores the hashes of a tree, each with the bytes of its verified version file, unless they are stored.

    Where that is not possible they are found out again.
    """
    document = {
        "made_by": _made_by(),
        "answers": tree.answers(),
        "features": {hashed.feature.name: _record(hashed, data) for hashed, data in found},
    }
    if _contents(path) == document:
        return
    with suppress(OSError), replace_atomically(path, mode=0o600) as file:
        stamp = time.time_ns() // 1_000_000_000 * 1_000_000_000  # every file system can keep it
        place = os.fstat(file.fileno())
        file.write(json.dumps({"file": [place.st_dev, place.st_ino, stamp], **document}).encode())
        file.flush()
        os.utime(file.fileno(), ns=(stamp, stamp))


def _record(hashed: VersionHash, data: bytes) -> _Record:
    outline = hashed.outline
    return {
        "facts": _facts_of(hashed.feature),
        "sha256": hashed.sha256,
        "recipe": hashed.recipe,
        "modules": sorted(outline.modules),
        "limits": [[item.path, item.line, item.message, item.kind, list(item.files)] for item in outline.limits],
        "file": sha256(data).hexdigest(),
    }


def _facts_of(feature: Feature) -> str:
    """Everything of a declaration that the hash of its code can depend on."""
    columns = [{name: item.type for name, item in source.columns.items()} for source in feature.reads]
    facts = [feature.module, feature.function, feature.short, hashed_facts(feature), columns]
    return sha256(_SORTED.encode(facts).encode()).hexdigest()


def _made_by() -> list[Any]:
    """The release and the Python that followed the code; the state of our own files, for whoever works on them."""
    folder = Path(__file__).parent
    files = [entry.stat() for name in _CODE for entry in os.scandir(folder / name) if entry.name.endswith(".py")]
    state = [sum(item.st_size for item in files), max(item.st_mtime_ns for item in files)]
    return [__version__, list(sys.version_info[:2]), state]


def _contents(path: Path) -> Mapping[str, Any]:
    """What the file says, without its stamp; nothing where there is none, or it is damaged, or was made elsewhere."""
    try:
        found = os.lstat(path)
        contents: dict[str, Any] = json.loads(read_own(path, VERSION))
        if contents.pop("file") != [found.st_dev, found.st_ino, found.st_mtime_ns]:
            return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    return contents


def _read(path: Path, tree: SourceTree) -> Mapping[str, _Record]:
    contents = _contents(path)
    try:
        if contents.get("made_by") != _made_by():
            return {}
        answers: Answers = contents["answers"]
        records: dict[str, _Record] = contents["features"]
        return records if tree.answers_again(answers) else {}
    except OSError:  # a module that can't be read: whoever hashes it says so
        return {}


def _capture(tree: SourceTree, feature: Feature, known: str) -> Closure:
    """The closure of code that is known by its hash. Raises DeclarationError where it has changed in the meantime."""
    from featurestore.versioning.recipe.closure import capture
    from featurestore.versioning.recipe.hashing import version_hash

    closure = capture(tree, feature.module, feature.function)
    if version_hash(feature, closure).sha256 != known:
        raise DeclarationError("was changed while it was read", where=feature.place, hint="run the command again")
    return closure
