"""A log of what was answered, for comparing it with the history later: one line an entity."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path

from featurestore.errors import OutputError, os_reason
from featurestore.render.json.get import log_lines, log_text
from featurestore.serve.lines import LineWriter
from featurestore.workflows.get import GetResult
from featurestore.workflows.request_logs import append

MOST_BYTES = 1_000_000_000


class RequestLog:
    """Appends what was answered, in the lines that ``get --log`` writes.

    ``share`` of the requests are logged, chosen at random. A file of ``most_bytes`` is moved to ``FILE.1``, over the
    one before. Nobody but its owner may read it, since it holds values. ``lose`` is told of lines that were dropped.
    """

    def __init__(self, path: Path, share: float, lose: Callable[[float], object], most_bytes: int = MOST_BYTES) -> None:
        self.path, self._share, self._most = path, share, most_bytes
        try:
            self._append("")
        except OSError as exc:
            raise OutputError(
                f"can't be written: {os_reason(exc)}", where=str(path), hint="--request-log FILE"
            ) from exc
        self._lines = LineWriter(self._append, lose)

    def wants(self) -> bool:
        """Whether the next request is one of those that are logged."""
        return self._share >= 1 or random.random() < self._share  # noqa: S311  (a sample, no secret)

    def add(self, results: Iterable[GetResult]) -> None:
        for result in results:
            self._lines(log_text(log_lines(result)))

    def close(self) -> None:
        self._lines.close()

    def _append(self, text: str) -> None:
        append(self.path, text.encode("utf-8", "backslashreplace"), self._most)
