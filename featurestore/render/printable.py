"""Data made safe for a terminal: control characters are shown, never obeyed."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with whatever could move a cursor, set a colour or turn the direction of writing written out."""
    if text.isprintable():
        return text
    return "".join(ch if ch in "\n\t" or ch.isprintable() else _written_out(ch) for ch in text)


def one_line(text: str) -> str:
    """The same, with line ends written out too: no name of a file can begin a line of its own."""
    return text if text.isprintable() else printable(text).replace("\n", "\\n").replace("\t", "\\t")


def _written_out(ch: str) -> str:
    code = ord(ch)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
