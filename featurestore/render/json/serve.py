"""The document of ``serve``: what is served where, and to whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from featurestore.model import Json


def serve_document(
    url: str,
    workers: int,
    tokens: Mapping[str, Sequence[str]],
    request_log: Path | None,
    *,
    dry_run: bool,
) -> dict[str, Json]:
    """``tokens`` are the scopes by name."""
    return {
        "url": url,
        "workers": workers,
        "tokens": [{"name": name, "scopes": sorted(scopes)} for name, scopes in tokens.items()],
        "request_log": None if request_log is None else str(request_log),
        "dry_run": dry_run,
    }
