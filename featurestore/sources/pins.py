"""The types of a source's undeclared columns, each taken once from the first values seen.

They live in ``features/.versions/<source>.columns.toml``: written by us, committed and editable by the user.
"""

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Mapping
from pathlib import Path

from featurestore.config import COLUMN_TYPES, Project
from featurestore.errors import VersionFileError, did_you_mean
from featurestore.model import Source

_HEADER = """\
# Types of the columns of source {name} that featurestore.toml does not declare, each as its first values had it.
# Later files are read with these types; a row whose value does not fit is set aside with its reason.
# Edit a line to change a type, or delete it to have it found again. Commit this file.

[columns]
"""


def path(project: Project, source: Source) -> Path:
    """Where the pins of a source stand."""
    return project.versions / f"{source.name}.columns.toml"


def read(project: Project, source: Source) -> dict[str, str]:
    """The pinned types by column; empty before the first slice. Raises VersionFileError naming file and column."""
    file = path(project, source)
    where = file.relative_to(project.root).as_posix()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise VersionFileError(f"can't be read: {exc}", where=where) from exc
    try:
        columns = tomllib.loads(text).get("columns", {})
    except tomllib.TOMLDecodeError as exc:
        raise VersionFileError(f"is not valid TOML: {exc}", where=where, hint="mend it, or delete it") from exc
    if not isinstance(columns, dict):
        raise VersionFileError("columns must be a table", where=where)
    for name, kind in columns.items():
        if kind not in COLUMN_TYPES:
            raise VersionFileError(
                f"column {name!r}: {kind!r} is not a type", where=where, hint=did_you_mean(str(kind), COLUMN_TYPES)
            )
    return dict(columns)


def write(project: Project, source: Source, columns: Mapping[str, str]) -> None:
    """Adds pins to what stands there, atomically. What is there is kept, the user's edits and comments with it."""
    held = read(project, source)
    new = {name: kind for name, kind in columns.items() if name not in held}
    if not new:
        return
    file = path(project, source)
    lines = "".join(f"{_key(name)} = {json.dumps(kind)}\n" for name, kind in new.items())
    file.parent.mkdir(parents=True, exist_ok=True)
    text = file.read_text(encoding="utf-8").rstrip() + "\n" + lines if held else ""
    if _columns(text) != {**held, **new}:  # there was no file, or something stands below its table
        text = _HEADER.format(name=source.name) + "".join(
            f"{_key(name)} = {json.dumps(kind)}\n" for name, kind in {**held, **new}.items()
        )
    _replace(file, text)


def _columns(text: str) -> object:
    try:
        return tomllib.loads(text).get("columns")
    except tomllib.TOMLDecodeError:
        return None


def _replace(file: Path, text: str) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would keep colleagues out of a file that is shared
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _key(name: str) -> str:
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else json.dumps(name, ensure_ascii=False).replace("\x7f", "\\u007f")
