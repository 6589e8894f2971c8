"""The one way in which JSON is written."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def write_document(document: Mapping[str, Any]) -> str:
    """A document as ``--json`` prints it, with its line feed. Raises ValueError for NaN, which JSON has no word for."""
    return _writable(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def write_line(document: Mapping[str, Any]) -> str:
    """A document on a line of its own, for an answer that is a stream of them."""
    return _writable(json.dumps(document, ensure_ascii=False, allow_nan=False)) + "\n"


def _writable(text: str) -> str:
    """The text with the bytes of names that aren't UTF-8 as JSON's own escapes, such as ``\\udcff``."""
    return text.encode("utf-8", "backslashreplace").decode()
