"""What says that an erasure is not complete: a file, for commands that open no offline store. Standard library only.

The store's own record counts (`OfflineStore.erasures`); the file is there from before the erasure until after it.
"""

from __future__ import annotations

from featurestore.config import Project

FLAG = "erasing"
UNFINISHED = (
    "an erasure was broken off: copies of what was erased may still be on disk or online; the next command that "
    "writes, such as featurestore sync, completes it"
)


def unfinished_erasure(project: Project) -> tuple[str, ...]:
    """What to say where an erasure has begun here and is not complete."""
    return (UNFINISHED,) if (project.state / FLAG).exists() else ()
