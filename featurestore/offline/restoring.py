"""What says that a restore has begun and is not complete: a file beside the history. Standard library only.

As long as it is there, the history may be the one from before or the one of the backup, and may not fit the version
files: it can be read, with a warning, and nothing but the same restore writes to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from featurestore.atomic import write_atomically
from featurestore.config import Project
from featurestore.errors import SetBackError
from featurestore.regular import DERIVED, read_own

FLAG = "restoring"
_completing: ContextVar[bool] = ContextVar("_completing", default=False)


@contextmanager
def completing() -> Iterator[None]:
    """Inside it what is noted keeps nobody from writing: this is who completes it."""
    token = _completing.set(True)
    try:
        yield
    finally:
        _completing.reset(token)


def flag_restore(project: Project, facts: Mapping[str, Any]) -> None:
    """Notes that a restore begins, or how far it has come. Raises OSError."""
    write_atomically(project.state / FLAG, json.dumps(dict(facts)).encode(), mode=0o600)


def clear_restore(project: Project) -> None:
    """Notes that it is complete. Raises OSError."""
    (project.state / FLAG).unlink(missing_ok=True)


def unfinished_restore(project: Project) -> dict[str, Any] | None:
    """What was noted of a restore that is not complete; None where there is none."""
    try:
        text = read_own(project.state / FLAG, DERIVED)
    except OSError:
        return None
    try:
        facts = json.loads(text)
    except ValueError:
        facts = None
    return facts if isinstance(facts, dict) else {}


def broken_off(project: Project, where: str) -> SetBackError | None:
    """The error for a history of which a restore was broken off; None of any other."""
    facts = None if _completing.get() else unfinished_restore(project)
    if facts is None:
        return None
    file = facts.get("file")
    return SetBackError(
        f"a restore{f' of {file}' if file else ''} was broken off: the history may be the one from before or that of "
        "the backup",
        where=where,
        hint=f"run featurestore restore {file or 'FILE'} --force once more, which completes it; to go on with what is "
        f"there, remove {project.state / FLAG}",
    )
