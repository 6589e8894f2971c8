"""Text for Markdown that data can't break out of."""

from __future__ import annotations


def cell(text: str) -> str:
    """Text for a cell of a table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
