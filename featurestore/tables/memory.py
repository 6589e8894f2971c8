"""Memory that libraries keep for later."""

from __future__ import annotations

import sys


def release_unused() -> None:
    """Gives back to the system what Arrow has freed and keeps: after a large file as much as several of its batches."""
    arrow = sys.modules.get("pyarrow")  # slow to import; what was not loaded keeps nothing
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
