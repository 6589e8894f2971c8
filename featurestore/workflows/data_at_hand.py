"""Data that somebody has and nobody has described: what `init --from` looks at."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from featurestore.dialect import STANDARD
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.sources.catalogue import choose_table
from featurestore.sources.detection import Detected, detect_csv, detect_values, type_of_file
from featurestore.sources.files import SUFFIXES, is_named, partitions_of
from featurestore.toml import toml_value
from featurestore.workflows.source_preview import Nowhere, sample_of

_MOST_UP = 3  # folders up that a relative path may go


@frozen
class Data:
    """The data: what people call it, what a source would be called after it, its type, and how its sample is written.

    ``lines`` say in ``[sources.NAME]`` where it is; ``{source}`` in them stands for the source's name. ``primary_key``
    are the columns that tell one row from another, and ``cursor`` is one that rises with every change, where that is
    known.
    """

    name: str
    stem: str
    type: str
    detected: Detected
    lines: tuple[str, ...]
    notes: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    cursor: str | None = None


def look_at_files(root: Path, path: Path, table: str | None, decimal: str | None) -> Data:
    """Looks at a file or a folder. Raises UsageError, SourceError, ConfigError.

    ``decimal`` stands before the decimals of numbers in text, where that is known.
    """
    if path.is_dir():
        return _look_into(root, path, decimal)
    if not path.is_file():
        if path.exists():
            raise UsageError("is a pipe or a device", where=str(path), hint="write it to a file, and name that")
        raise UsageError("no such file or folder", where=str(path))
    return _look_at(root, path, table, decimal)


def _look_at(root: Path, path: Path, table: str | None, decimal: str | None) -> Data:
    source_type = type_of_file(path)
    if source_type == "csv":
        return _of_files(root, path, path, source_type, detect_csv(path, decimal))
    chosen = choose_table(path, source_type, table) if source_type in ("sqlite", "duckdb") else None
    sample, whole, numbers = sample_of(Nowhere(Path.cwd()), path, source_type, chosen)
    detected = detect_values(sample, STANDARD, whole=whole, decimal=decimal, numbers=numbers)
    found = _of_files(root, path, path, source_type, detected)
    return found if chosen is None else replace(found, lines=(*found.lines, f"table = {toml_value(chosen)}"))


def _of_files(root: Path, first: Path, path: Path, source_type: str, detected: Detected) -> Data:
    line = f"path = {toml_value(_path(root, path))}"
    return Data(first.name, path.name.split(".")[0], source_type, detected, (line,))


def _look_into(root: Path, folder: Path, decimal: str | None) -> Data:
    """A folder of files of one type, the first of which stands for all; the last one must have the same columns."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    files = {
        kind: [path for path in paths if is_named(path.name, SUFFIXES[kind])]
        for kind in ("csv", "parquet", "arrow", "ndjson")
    }
    kinds = [kind for kind, found in files.items() if found]
    if len(kinds) != 1:
        what = f"holds files of several types: {', '.join(kinds)}" if kinds else "holds no file that a source could be"
        raise UsageError(what, where=str(folder), hint="name one file, or a folder of files of one type")
    names = files[kinds[0]]
    first, last = (_look_at(root, name, None, decimal) for name in (names[0], names[-1]))
    notes: list[str] = []
    if set(first.detected.sample.columns) != set(last.detected.sample.columns):
        notes.append(f"{names[0]} and {names[-1]} have other columns: those of the first are proposed")
    detected = replace(first.detected, whole=first.detected.whole and len(names) == 1)
    found = replace(_of_files(root, names[0], folder, first.type, detected), notes=tuple(notes))
    partitions = bool(partitions_of(names[0].relative_to(folder).as_posix()))
    return replace(found, lines=(*found.lines, "partitions = true")) if partitions else found


def _path(root: Path, data: Path) -> str:
    """The data's path in the settings: relative to the project, unless that leads far away."""
    absolute = data.absolute()
    relative = os.path.relpath(absolute, root.absolute())
    if relative.startswith(os.pardir) and relative.count(os.pardir) > _MOST_UP:
        return str(absolute)
    return Path(relative).as_posix()
