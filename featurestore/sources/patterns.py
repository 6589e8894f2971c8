"""Matching the values of a column against a pattern, in bounded time.

Python's engine backtracks: ``(a+)+`` takes hours for forty letters and a digit, and nothing can end it from outside.
So a pattern that can do that is matched by a process of its own, which has so many seconds for each value.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

from featurestore.errors import ConfigError, FeatureError

SECONDS = 2.0  # for one value; a usual one takes microseconds

_REPEATS = re.compile(r"[*+?{]")
_CHILD = """
import json, re, signal, sys
pattern, seconds, texts = json.load(sys.stdin)
found, wrong, slow = re.compile(pattern).fullmatch, [], None
def end(*_): raise TimeoutError
signal.signal(signal.SIGALRM, end)
for at, text in enumerate(texts):
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        if not found(text): wrong.append(at)
    except TimeoutError:
        slow = at
        break
signal.setitimer(signal.ITIMER_REAL, 0)
json.dump([wrong, slow], sys.stdout)
"""


def check_pattern(pattern: str) -> str | None:
    """What is wrong with a regular expression, if anything."""
    try:
        re.compile(pattern)
    except re.error as exc:
        return f"is not a regular expression: {exc}"
    except (RecursionError, OverflowError, MemoryError):
        return "is a regular expression that is too large"
    return None


def find_mismatches(pattern: str, texts: Sequence[str], column: str, *, seconds: float = SECONDS) -> list[str]:
    """Those of the texts that a pattern does not match from end to end. Raises ConfigError where one takes too long."""
    if _is_linear(pattern):
        match = re.compile(pattern).fullmatch
        return [text for text in texts if not match(text)]
    if not texts:
        return []
    import subprocess  # 10 ms that most commands don't need

    asked = json.dumps([pattern, seconds, texts])  # with escapes, so that half a surrogate pair arrives too
    command = [sys.executable, "-I", "-S", "-c", _CHILD]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, encoding="ascii", check=False)
    if done.returncode:
        what = f"the pattern of column {column!r} could not be matched: its process ended with {done.returncode}"
        raise FeatureError(what)
    wrong, slow = json.loads(done.stdout)
    if slow is not None:
        raise ConfigError(
            f"the pattern of column {column!r} takes more than {seconds:g} s for one value, {texts[slow][:60]!r}",
            where="featurestore.toml", hint="write it without a repetition inside a repetition, as in (a+)+",
        )  # fmt: skip
    return [texts[at] for at in wrong]


def _is_linear(pattern: str) -> bool:
    """Whether a pattern has one repetition at most, and that of a single character: there is nothing to go back to."""
    plain = pattern.replace("(?:", "(").replace("(?P<", "(")
    repeats = list(_REPEATS.finditer(plain))
    return not repeats or (len(repeats) == 1 and not plain[: repeats[0].start()].endswith(")"))
