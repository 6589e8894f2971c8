"""The console on which results are printed: the one place that prints renderables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from featurestore.render.printable import printable

WIDTH = 120


class DataConsole(Console):
    """A Rich console that no data can steer: markup is off, and control characters are written out."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Left to the one place that knows exit codes; Rich would end the process with 1."""
        raise BrokenPipeError


def print_problem(renderable: RenderableType) -> None:
    """Prints on stderr what failed, as wide as a result."""
    _print(renderable, sys.stderr)


def print_result(renderable: RenderableType) -> None:
    """Prints a result on stdout: 120 columns wide where that is not a terminal, unless COLUMNS says otherwise."""
    _print(renderable, sys.stdout)


def _print(renderable: RenderableType, stream: TextIO) -> None:
    """Colour is for terminals alone: FORCE_COLOR, as CI sets it, would put it into what a script reads."""
    terminal = stream.isatty()
    width = None if terminal or os.environ.get("COLUMNS") else WIDTH
    console = DataConsole(file=stream, force_terminal=terminal, width=width, highlight=False, markup=False, emoji=False)
    console.print(renderable)
