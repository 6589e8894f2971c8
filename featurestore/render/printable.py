"""Data made safe for a terminal: control characters are shown, never obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with whatever could move a cursor, change a colour or set a title written out as ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(ch if ch in "\n\t" or ch.isprintable() else f"\\x{ord(ch):02x}" for ch in text)
