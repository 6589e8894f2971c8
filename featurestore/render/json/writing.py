"""The one way in which JSON is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any


def write_document(document: Mapping[str, Any]) -> str:
    """A document as ``--json`` prints it, with its line feed. Raises ValueError for NaN, which JSON has no word for."""
    return _writable(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def write_line(document: Mapping[str, Any]) -> str:
    """A document on a line of its own, for an answer that is a stream of them."""
    return _writable(json.dumps(document, ensure_ascii=False, allow_nan=False)) + "\n"


# What JSON leaves as it is and a terminal obeys: DEL, the second set of control characters, and changes of direction.
_OBEYED = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


def _writable(text: str) -> str:
    """The text with the bytes of names that aren't UTF-8, and what a terminal obeys, as JSON's own escapes."""
    text = _OBEYED.sub(lambda found: json.dumps(found[0])[1:-1], text)
    return text.encode("utf-8", "backslashreplace").decode()
