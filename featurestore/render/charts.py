"""Small pictures in characters: bars of a histogram, a sparkline, a timeline with its threshold."""

from __future__ import annotations

from collections.abc import Sequence

SPARKS = "▁▂▃▄▅▆▇█"
EIGHTHS = "▏▎▍▌▋▊▉█"
LINE = "┄"


def bar(value: float, largest: float, width: int) -> str:
    """A horizontal bar, to an eighth of a character; the least there is shows for any value above 0."""
    if value <= 0 or largest <= 0:
        return ""
    steps = max(1, round(value / largest * width * 8))
    full, rest = divmod(steps, 8)
    return "█" * full + (EIGHTHS[rest - 1] if rest else "")


def spark(values: Sequence[float | None]) -> str:
    """One character a value, between the least and the greatest; a gap where there is none."""
    present = [value for value in values if value is not None]
    if not present:
        return " " * len(values)
    low, high = min(present), max(present)
    spread = (high - low) or 1.0
    steps = len(SPARKS) - 1
    return "".join(
        " " if value is None else SPARKS[round((value - low) / spread * steps) if high > low else steps // 2]
        for value in values
    )


def columns(values: Sequence[float | None], top: float, line: float | None, height: int) -> list[str]:
    """Vertical bars from 0 to ``top``, ``height`` lines from above to below, with a dotted ``line`` across."""
    level = None if line is None else min(height - 1, int(line / top * height))
    return [
        "".join(_cell(value, top, height, row, LINE if row == level else " ") for value in values)
        for row in range(height - 1, -1, -1)
    ]


def _cell(value: float | None, top: float, height: int, row: int, empty: str) -> str:
    if value is None:
        return empty
    steps = round(min(value, top) / top * height * 8) - row * 8
    if row == 0 and steps <= 0:
        return SPARKS[0]
    return empty if steps <= 0 else SPARKS[min(steps, 8) - 1]
