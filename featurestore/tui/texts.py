"""Data as text for a terminal: nothing in it is markup, and what could steer the terminal is written out."""

from __future__ import annotations

from rich.text import Text

from featurestore.render.printable import one_line, printable
from featurestore.render.text.style import BAD, DIM, GOOD, NAME, STATUSES, WARN

__all__ = ["BAD", "DIM", "GOOD", "NAME", "WARN", "block", "cell", "hint", "status"]

MOST = 2_000
"""Characters of one cell: no more could be shown, and a value may have millions."""
_STYLES = {**STATUSES, "experimental": "magenta", "deprecated": DIM, "retired": DIM, "drifted": WARN}


def cell(text: str, style: str = "") -> Text:
    """One line, whatever the data has in it."""
    return _styled(Text(one_line(text[:MOST]), no_wrap=True, end=""), style)


def block(text: str, style: str = "") -> Text:
    """Any number of lines."""
    return _styled(Text(printable(text)), style)


def hint(text: str) -> Text:
    return block(text, DIM)


def status(word: str) -> Text:
    """A status in its colour."""
    return cell(word, _STYLES.get(word, ""))


def _styled(text: Text, style: str) -> Text:
    """The style on the characters, not on the whole: Textual reads the name of a whole's colour as CSS does."""
    if style:
        text.stylize(style)
    return text
