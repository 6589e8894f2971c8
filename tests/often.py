"""How many cases run every day, and how many at night.

What can fail like nothing else runs every day. More of the same finds what nobody has thought of, and costs everybody
who waits for it: those cases run at night.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings

NIGHTLY = "nightly"
EVERY_DAY = 30  # generated examples, where a test does not say how many
AT_NIGHT = 20  # times as many generated examples


def nightly(cases: Iterable[object]) -> list[object]:
    """Cases of ``parametrize`` that run with ``-m nightly`` only."""
    return [pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.nightly) for case in cases]


def examples(count: int) -> int:
    """So many of Hypothesis' examples every day, and many more with ``--hypothesis-profile nightly``."""
    return count * (AT_NIGHT if settings.get_current_profile_name() == NIGHTLY else 1)
