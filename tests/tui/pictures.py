"""A picture of the screen as text: what is shown, and below it the style of every character.

    SIZE and THEME, then the lines, then the same lines with a letter for each style, then what the letters stand for.

Times, run ids and hashes are replaced by stand-ins of the same width, so that a picture is the same on every day.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

LETTERS = ".abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
# What changes from one run of the tests to the next, and what stands for it.
CHANGING = (
    (re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}"), "RUN"),
    (re.compile(r"2\d{3}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?Z?"), "time"),
    (re.compile(r"\b2\d{3}-\d\d-\d\d\b"), "date"),
    (re.compile(r"\b[0-9a-f]{12,64}(\+dirty)?\b|\b(?=[0-9a-f]*\d)[0-9a-f]{7,}…"), "hash"),
    (re.compile(r" *\b\d+(\.\d+)? (s|min|h)\b( old)?|  *\bnow\b"), "age"),
    (re.compile(r"\b[\d.,]+ d old when learned"), "age"),
    (re.compile(r"(?<=host {5})\S+"), "host"),
    (re.compile(r"(?<=seconds {2})\S+"), "took"),
)


def picture(strips: Iterable[Strip], heading: str) -> str:
    """The picture of a screen."""
    lines: list[str] = []
    styles: list[str] = []
    legend: dict[str, str] = {}
    for strip in strips:
        text, letters = "", ""
        for segment in strip:
            letter = legend.setdefault(_described(segment), LETTERS[len(legend) % len(LETTERS)])
            text += segment.text
            letters += letter * len(segment.text)
        lines.append(_steady(text))
        styles.append(letters)
    shown = [line.rstrip() for line in lines]
    drawn = [_shortened(line) for line in styles]
    meaning = [f"{letter} {described}" for described, letter in legend.items()]
    return "\n".join([heading, *shown, "-" * 40, *drawn, "-" * 40, *meaning, ""])


def _described(segment: Segment) -> str:
    style = segment.style or Style()
    colour = f"{_name(style.color)} on {_name(style.bgcolor)}"
    words = [word for word in ("bold", "dim", "italic", "underline", "reverse") if getattr(style, word)]
    return " ".join([colour, *words])


def _name(colour: object) -> str:
    return "default" if colour is None else str(getattr(colour, "name", colour))


def _shortened(letters: str) -> str:
    """Runs of a letter as the letter and their length: a row of one style is one word."""
    return " ".join(f"{match[1]}{len(match[0])}" for match in re.finditer(r"(.)\1*", letters))


def _steady(text: str) -> str:
    for pattern, name in CHANGING:
        text = pattern.sub(lambda match, name=name: f"{name:·<{len(match[0])}}"[: len(match[0])], text)  # type: ignore[misc]
    return text
