"""Logs of requests: files that ``get --log`` and ``serve --request-log`` append to, and that an erasure cleans.

A line names an entity and holds its values, so the project notes where its logs are. Whoever writes to one holds the
file's lock, so that no line is lost where a log is moved aside or written again without an entity.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from urllib.parse import unquote

from featurestore.atomic import append_bytes, replace_atomically
from featurestore.config import Project
from featurestore.errors import StoreError, os_reason
from featurestore.locking import prepare_state
from featurestore.offline.naming import naming, texts_in
from featurestore.regular import DERIVED, read_own

NOTED = "request_logs"
"""In the project's state folder: a path a line, as JSON, from the project's root where it is inside."""


def note(project: Project, path: Path) -> str | None:
    """Notes that requests are logged to a file, for erasures to come; says why not, where it can't be noted."""
    try:
        place, root = path.resolve(), project.root.resolve()
        line = json.dumps(str(place.relative_to(root) if place.is_relative_to(root) else place))
        if line not in _noted_lines(project):
            prepare_state(project)
            append_bytes(project.state / NOTED, f"{line}\n".encode())
    except (OSError, StoreError) as exc:
        why = os_reason(exc) if isinstance(exc, OSError) else str(exc)
        return f"featurestore delete --erase won't look into {path}, since that can't be noted: {why}"
    return None


def append(path: Path, data: bytes, most_bytes: int | None = None) -> None:
    """Appends lines to a log, which is its owner's alone. Raises OSError.

    One that would be larger than ``most_bytes`` is moved to ``FILE.1`` first, over the one before.
    """
    with _locked(path) as handle:
        full = most_bytes is not None and os.fstat(handle).st_size + len(data) > most_bytes
        if not (full and data):
            os.write(handle, data)
            return
        os.replace(path, f"{path}.1")  # noqa: PTH105  # who waits for the lock finds out, and opens the new one
    append(path, data)


def count_lines(project: Project, online_key: str) -> int:
    """How many lines of the project's logs name an entity, given by its key online; of the files that can be read."""
    names = _naming([online_key])
    found = 0
    for log in _logs(project):
        with suppress(OSError):
            for path in _files_of(log):
                with path.open("rb") as lines:
                    found += sum(map(names, lines))
    return found


def erase_lines(project: Project, online_keys: Sequence[str]) -> tuple[str, ...]:
    """Removes the lines of the project's logs that name entities; says which logs could not be cleaned, and why."""
    names = _naming(online_keys)
    left: list[str] = []
    for log in _logs(project):
        try:
            with _locked(log) if log.exists() else nullcontext():
                for path in _files_of(log):
                    _rewrite(path, names)
        except OSError as exc:
            left.append(
                f"the log of requests {log} can't be cleaned: {os_reason(exc)}; remove the entity's lines, or the "
                "file, and run featurestore sync"
            )
    return tuple(left)


def _rewrite(path: Path, names: Callable[[bytes], bool]) -> None:
    with path.open("rb") as lines:
        if not any(map(names, lines)):
            return
        lines.seek(0)
        before = os.fstat(lines.fileno())
        with replace_atomically(path, mode=before.st_mode & 0o777) as rest:
            with suppress(PermissionError):  # only root gives files away, and only root cleans those of others
                os.fchown(rest.fileno(), before.st_uid, before.st_gid)
            rest.writelines(line for line in lines if not names(line))


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """A descriptor to append by, and the lock of the file that has this name now."""
    while True:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            with suppress(OSError):  # a pipe, or a file system without locks: there nobody moves it either
                fcntl.flock(handle, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(handle), path.stat()):
                yield handle
                return
        finally:
            os.close(handle)


def _noted_lines(project: Project) -> list[str]:
    try:
        return read_own(project.state / NOTED, DERIVED).decode(errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _logs(project: Project) -> list[Path]:
    noted: list[Path] = []
    with suppress(OSError):
        for line in _noted_lines(project):
            with suppress(ValueError, TypeError):  # a line that was broken off
                noted.append(project.root / json.loads(line))
    return list(dict.fromkeys(noted))


def _files_of(log: Path) -> list[Path]:
    """What there is of a log: the file, and the one that was moved aside."""
    return [path for path in (log, Path(f"{log}.1")) if path.is_file()]


def _naming(online_keys: Sequence[str]) -> Callable[[bytes], bool]:
    """A test of lines: is one about an entity, or does it name one in a text of the request or of a value?"""
    wanted = []
    for key in online_keys:
        *_, entity_type, parts = key.split(":", 3)
        keys = [unquote(part) for part in parts.split(",")]
        wanted.append((entity_type, keys, [json.dumps(each, ensure_ascii=False)[1:-1] for each in keys]))

    def names(line: bytes) -> bool:
        text = line.decode(errors="surrogateescape")
        return any(
            all(part in text for part in quoted) and _is_about(text, entity_type, keys)
            for entity_type, keys, quoted in wanted
        )

    return names


def _is_about(text: str, entity_type: str, keys: Sequence[str]) -> bool:
    named = naming(keys)
    try:
        line = json.loads(text)
        entity_id = line["entity_id"]
        found = list(entity_id.values()) if isinstance(entity_id, dict) else [entity_id]
        about = line["entity_type"] == entity_type and [str(each) for each in found] == list(keys)
        return about or any(map(named, texts_in([line.get("request"), line.get("features")])))
    except (ValueError, KeyError, TypeError, AttributeError):
        # One of ours that was broken off, perhaps. No other is ours to remove: which files are logs is written in the
        # project's folder, which may have come with a clone and name any file.
        return text.startswith('{"') and named(text)
