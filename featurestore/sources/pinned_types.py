"""The types of a source's undeclared columns, each inferred once, from the first values seen.

They are stored in ``features/.versions/<source>.columns.toml``: written by featurestore, committed and editable by
the user.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.errors import VersionFileError, did_you_mean
from featurestore.model import KINDS, Scalar, Source
from featurestore.sources.contract import ProjectFolders
from featurestore.toml import toml_key, toml_value

_HEADER = """\
# Types of the columns of source {name} that featurestore.toml does not declare, each as its first values had it.
# Later rows are read with these types; a row whose value does not fit is set aside with its reason.
# Edit a line to change a type, or delete it to have it inferred again. Commit this file.

[columns]
"""


def pins_path(folders: ProjectFolders, source: Source) -> Path:
    """The file with the pinned types of a source."""
    return folders.versions / f"{source.name}.columns.toml"


def read_pins(folders: ProjectFolders, source: Source) -> dict[str, Scalar]:
    """The pinned types by column; empty before the first run. Raises VersionFileError naming file and column."""
    file = pins_path(folders, source)
    where = file.relative_to(folders.root).as_posix()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise VersionFileError(f"can't be read: {exc}", where=where) from exc
    try:
        columns = tomllib.loads(text).get("columns", {})
    except tomllib.TOMLDecodeError as exc:
        raise VersionFileError(f"is not valid TOML: {exc}", where=where, hint="fix it, or delete it") from exc
    if not isinstance(columns, dict):
        raise VersionFileError("columns must be a table", where=where)
    for name, kind in columns.items():
        if kind not in KINDS:
            raise VersionFileError(
                f"column {name!r}: {kind!r} is not a type", where=where, hint=did_you_mean(str(kind), KINDS)
            )
    return columns


def add_pins(folders: ProjectFolders, source: Source, columns: Mapping[str, Scalar]) -> None:
    """Adds types to the file. What is there stays as it is, the user's edits and comments with it."""
    pinned = read_pins(folders, source)
    new = {name: kind for name, kind in columns.items() if name not in pinned}
    if not new:
        return
    file = pins_path(folders, source)
    text = file.read_text(encoding="utf-8").rstrip() + "\n" + _lines(new) if pinned else ""
    if _columns(text) != {**pinned, **new}:  # there was no file, or something follows its table
        text = _HEADER.format(name=source.name) + _lines({**pinned, **new})
    write_atomically(file, text.encode())


def _lines(columns: Mapping[str, str]) -> str:
    return "".join(f"{toml_key(name)} = {toml_value(kind)}\n" for name, kind in columns.items())


def _columns(text: str) -> object:
    try:
        return tomllib.loads(text).get("columns")
    except tomllib.TOMLDecodeError:
        return None
