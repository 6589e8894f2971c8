"""The ids of runs."""

from __future__ import annotations

import secrets
import time


def new_run_id() -> str:
    """An id that sorts by time and is unique: ``20240131T070509-1f2e3d4c``."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
