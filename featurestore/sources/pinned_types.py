"""The types of a source's undeclared columns, each inferred once, from the first values seen.

They are stored in ``features/.versions/<source>.columns.toml``: written by featurestore, committed and editable by
the user.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from unicodedata import normalize

from featurestore.atomic import write_atomically
from featurestore.errors import VersionFileError, did_you_mean
from featurestore.model import KINDS, Scalar, Source
from featurestore.regular import SETTINGS, read_own, reason
from featurestore.sources.contract import ProjectFolders
from featurestore.toml import decode, parse_toml, toml_key, toml_value

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
        columns = parse_toml(read_own(file, SETTINGS)).get("columns", {})
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise VersionFileError(reason(exc), where=where, hint="make it a readable file, or remove it") from exc
    except ValueError as exc:
        raise VersionFileError(str(exc), where=where, hint="fix it, or delete it") from exc
    if not isinstance(columns, dict):
        raise VersionFileError("columns must be a table", where=where)
    for name, kind in columns.items():
        if kind not in KINDS:
            raise VersionFileError(
                f"column {name!r}: {kind!r} is not a type", where=where, hint=did_you_mean(str(kind), KINDS)
            )
    return {normalize("NFC", name): kind for name, kind in columns.items()}


def pin_place(folders: ProjectFolders, source: Source, name: str) -> str:
    """Where the type of a column is written: the file, and the line if it is a plain one."""
    file = pins_path(folders, source)
    where = file.relative_to(folders.root).as_posix()
    try:
        lines = decode(read_own(file, SETTINGS)).splitlines()
    except (OSError, ValueError):
        return where
    starts = (f"{toml_key(name)} ", f"{toml_key(name)}=")
    return next((f"{where}:{number}" for number, line in enumerate(lines, 1) if line.startswith(starts)), where)


def add_pins(
    folders: ProjectFolders, source: Source, columns: Mapping[str, Scalar], widened: Mapping[str, Scalar] | None = None
) -> None:
    """Adds types to the file, in the order of their names, so that git can merge what two branches have added.

    What is there stays as it is, the user's edits and comments with it, but for the types of ``widened`` columns.
    """
    held = read_pins(folders, source)
    other = {name: kind for name, kind in (widened or {}).items() if held.get(name, kind) != kind}
    pinned = {**held, **other}
    new = {name: kind for name, kind in columns.items() if name not in pinned}
    if not new and not other:
        return
    file = pins_path(folders, source)
    text = _insert(_replace(decode(read_own(file, SETTINGS)), other), new) if pinned else ""
    if _columns(text) != {**pinned, **new}:  # there was no file, or its table is written in another way
        text = _HEADER.format(name=source.name) + "".join(_line(*item) for item in sorted({**pinned, **new}.items()))
    write_atomically(file, text.encode())


def _replace(text: str, other: Mapping[str, str]) -> str:
    """The text with another type on the lines of some columns."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines) if other else ():
        for name, kind in (_columns(f"[columns]\n{line}") or {}).items():
            if name in other:
                lines[number] = line.replace(toml_value(kind), toml_value(other[name]))
    return "".join(lines)


def _insert(text: str, new: Mapping[str, str]) -> str:
    """The text with a line for each new column, after the last line of a column whose name comes before."""
    lines = text.splitlines(keepends=True)
    start = next((number for number, line in enumerate(lines) if line.strip() == "[columns]"), len(lines) - 1)
    held = sorted(
        (column, number)
        for number, line in enumerate(lines[start + 1 :], start=start + 1)
        for column in list(_columns(f"[columns]\n{line}") or {})[:1]
    )
    names = [column for column, _ in held]
    last = list(
        accumulate((number for _, number in held), max)
    )  # of the columns up to each in the order of their names
    after: dict[int, list[str]] = {}
    for name, kind in sorted(new.items()):
        before = bisect_left(names, name)
        after.setdefault(last[before - 1] if before else start, []).append(_line(name, kind))
    for at in sorted(after, reverse=True):
        if lines and not lines[at].endswith("\n"):
            lines[at] += "\n"
        lines[at + 1 : at + 1] = after[at]
    return "".join(lines)


def _line(name: str, kind: str) -> str:
    return f"{toml_key(name)} = {toml_value(kind)}\n"


def _columns(text: str) -> dict[str, Scalar] | None:
    try:
        return parse_toml(text.encode()).get("columns")
    except ValueError:
        return None
