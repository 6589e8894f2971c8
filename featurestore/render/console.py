"""The console on which results are printed: the one place that prints renderables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

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
    width = None if sys.stderr.isatty() or os.environ.get("COLUMNS") else WIDTH
    DataConsole(width=width, highlight=False, markup=False, emoji=False, stderr=True).print(renderable)


def print_result(renderable: RenderableType) -> None:
    """Prints a result on stdout: 120 columns wide where that is not a terminal, unless COLUMNS says otherwise."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else WIDTH
    DataConsole(width=width, highlight=False, markup=False, emoji=False).print(renderable)
