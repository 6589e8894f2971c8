"""How much to read at a time, and memory that libraries keep for later."""

from __future__ import annotations

import sys
from collections.abc import Callable

_SHARE = 64
_M_ARENA_MAX = -8  # of malloc.h


def batch_bytes(memory: int, most: int) -> int:
    """How many bytes to read at a time, of ``most``, where about ``memory`` bytes may be used.

    What is made of them takes several times as much: texts, types, and the batch after it, which is read meanwhile.
    """
    return min(most, memory // _SHARE)


def use_one_heap() -> None:
    """Lets all threads of this process take memory from one heap, where the C library can be told so.

    By default glibc gives each thread a heap of its own, and none of them shrinks while anything lies at its end: what
    threads read one block of a file after the other then takes more memory the longer the file is.
    """
    set_option = _of_c_library("mallopt")
    if set_option is not None:
        set_option(_M_ARENA_MAX, 1)


def release_unused() -> None:
    """Gives back to the system what was freed and is kept: after a large file as much as several of its batches."""
    arrow = sys.modules.get("pyarrow")  # slow to import; what was not loaded keeps nothing
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    trim = _of_c_library("malloc_trim")
    if trim is not None:
        trim(0)


def _of_c_library(name: str) -> Callable[..., int] | None:
    """A function of glibc's own; None with other C libraries."""
    import ctypes  # Polars loads it, which commands without rows do without

    return getattr(ctypes.CDLL(None), name, None)
