"""A document with what changes from run to run, or from machine to machine, replaced by what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

# Times of the fixed rows are in 2024; any other is of the run.
REPLACED = (
    (re.compile(r"\b(?!2024-)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<instant>"),
    (re.compile(r"\b\d{8}T\d{6}-[0-9a-f]{8}\b"), "<run id>"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "<sha256>"),
    (re.compile(r"\b[0-9a-f]{12}(\+dirty)?\b"), "<hash>"),
    (re.compile(r"^.*\(pid \d+ on [^,]+"), "<command> (pid <number> on <host>"),
    (re.compile(r"defect-[0-9TZ-]+\.log"), "defect-<instant>.log"),
    (re.compile(r"\b(featurestore|polars|Python) \d[\w.]*"), r"\1 <version>"),
)
# Keys whose values are as long, as late or as many as the machine makes them. The type stays.
VOLATILE = {"duration_s", "freshness_s", "host", "writer", "git_commit", "file_bytes"}
# Keys whose values are data of another kind on every machine.
MACHINE = {"packages"}


def shape(value: Any, root: Path, key: str = "") -> Any:
    """The document as it is compared. Keys keep their order; numbers keep six digits."""
    if isinstance(value, dict) and key in MACHINE:
        return dict.fromkeys(value, "<version>")
    if isinstance(value, dict):
        return {name: shape(item, root, name) for name, item in value.items()}
    if isinstance(value, list):
        return [shape(item, root, key) for item in value]
    if isinstance(value, str):
        return _text(value, root, key)
    if key in VOLATILE and value is not None:
        return "<integer>" if isinstance(value, int) else "<number>"
    return float(f"{value:.6g}") if isinstance(value, float) else value


def _text(value: str, root: Path, key: str) -> str:
    if key in VOLATILE:
        return "<text>"
    value = value.replace(str(root), "<root>")
    for pattern, name in REPLACED:
        value = pattern.sub(name, value)
    return value
