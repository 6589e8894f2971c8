"""What becomes of one file: its rows, those that are set aside, a warning, or the words of the refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A file of a source type, and its outcome.

    ``data`` are its bytes, or write it. ``x`` is what the column x holds of the accepted rows (NaN and the infinities
    by their names), ``aside`` are rows that are set aside, each with a part of its reason. ``later`` rows are ahead of
    the clock. ``unlabelled`` cases have nothing that a label file could be.
    """

    type: str
    data: bytes | Callable[[Path], object]
    x: Sequence[object] | None = None
    settings: str = ""
    aside: Sequence[tuple[int, str]] = ()
    warning: str = ""
    refusal: str = ""
    hint: str = ""
    later: bool = False
