"""The one way in which JSON is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from json.encoder import encode_basestring
from typing import Any


def write_document(document: Mapping[str, Any]) -> str:
    """A document as ``--json`` prints it, with its line feed. Raises ValueError for NaN, which JSON has no word for."""
    return _writable(_indented(document, "\n")) + "\n"


def write_line(document: Mapping[str, Any]) -> str:
    """A document on a line of its own, for an answer that is a stream of them."""
    return _writable(_encode(document)) + "\n"


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _indented(value: Any, margin: str) -> str:
    """What ``json.dumps`` gives with ``indent=2``, where it does without its C encoder and takes twice as long."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if not value or not isinstance(value, dict | list | tuple):
        return _encode(value)
    inner = f"{margin}  "
    if isinstance(value, dict):
        items = [f"{encode_basestring(key)}: {_indented(item, inner)}" for key, item in value.items()]
        return f"{{{inner}{f',{inner}'.join(items)}{margin}}}"
    return f"[{inner}{f',{inner}'.join([_indented(item, inner) for item in value])}{margin}]"


# What JSON leaves as it is and a terminal obeys: DEL, the second set of control characters, and changes of direction.
_OBEYED = "[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]"


def _writable(text: str) -> str:
    """The text with the bytes of names that aren't UTF-8, and what a terminal obeys, as JSON's own escapes."""
    if text.isascii() and "\x7f" not in text:
        return text
    text = re.sub(_OBEYED, lambda found: json.dumps(found[0])[1:-1], text)
    return text.encode("utf-8", "backslashreplace").decode()
