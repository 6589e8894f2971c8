"""A log of what was answered, for comparing it with the history later: one JSON document a line."""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from featurestore import times
from featurestore.errors import OutputError, os_reason
from featurestore.model import Json
from featurestore.serve.lines import LineWriter

MOST_BYTES = 1_000_000_000


class RequestLog:
    """Appends answers, as ``get --json`` has them, with the instant they were given ``at``.

    ``share`` of the requests are logged, chosen at random. A file of ``most_bytes`` is moved to ``FILE.1``, over the
    one before. Nobody but its owner may read it, since it holds values. ``lose`` is told of lines that were dropped.
    """

    def __init__(self, path: Path, share: float, lose: Callable[[float], object], most_bytes: int = MOST_BYTES) -> None:
        self.path, self._share, self._most = path, share, most_bytes
        self._lock = threading.Lock()
        try:
            self._append("")
        except OSError as exc:
            raise OutputError(
                f"can't be written: {os_reason(exc)}", where=str(path), hint="--request-log FILE"
            ) from exc
        self._lines = LineWriter(self._append, lose)

    def add(self, documents: Iterable[Json], now: int) -> None:
        if self._share < 1 and random.random() >= self._share:  # noqa: S311  (a sample, no secret)
            return
        for document in documents:
            if isinstance(document, dict):
                line = {"at": times.format_instant(now), **document}
                self._lines(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")

    def close(self) -> None:
        self._lines.close()

    def _append(self, text: str) -> None:
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if data and os.fstat(handle).st_size + len(data) > self._most:
                    os.replace(self.path, f"{self.path}.1")  # noqa: PTH105
                    os.close(handle)
                    handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
                os.write(handle, data)  # in one piece, so that workers may share the file
            finally:
                os.close(handle)
