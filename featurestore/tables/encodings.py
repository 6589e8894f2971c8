"""Encodings of text by their names. Standard library only: settings are checked by it."""

from __future__ import annotations

import codecs

_NOT_TEXT = {"idna", "punycode", "raw_unicode_escape", "undefined", "unicode_escape", "utf-7"}


def text_encoding(name: str) -> str | None:
    """The usual name of a text encoding; None where there is no such encoding."""
    try:
        found = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    if found.name in _NOT_TEXT or not getattr(found, "_is_text_encoding", True):
        return None
    return "utf-8" if found.name == "utf-8-sig" else found.name
