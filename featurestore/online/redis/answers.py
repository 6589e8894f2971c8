"""What a server may answer to each command: anything else comes from a foreign or broken server, and is refused.

RESP has few kinds of answers: bytes (of a status too), whole numbers, lists, and nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import exceptions as redis_errors

_TEXTS = {bytes}
_TEXTS_OR_NOTHING = {bytes, type(None)}
_SHOWN_BYTES = 40


def text(command: str, answer: Any) -> bytes:
    """An answer that must be a text."""
    return answer if isinstance(answer, bytes) else _refuse(command, answer)


def text_or_nothing(command: str, answer: Any) -> bytes | None:
    """An answer that may be nothing too."""
    return answer if answer is None or isinstance(answer, bytes) else _refuse(command, answer)


def number(command: str, answer: Any) -> int:
    """An answer that must be a whole number."""
    return answer if isinstance(answer, int) else _refuse(command, answer)


def numbers(command: str, answer: Any, count: int) -> list[int]:
    """An answer that must be so many whole numbers; one alone is a list of one."""
    items = [answer] if isinstance(answer, int) else answer
    if not isinstance(items, list) or len(items) != count or not set(map(type, items)) <= {int}:
        _refuse(command, answer)
    return list(items)


def texts(command: str, answer: Any) -> list[bytes]:
    """An answer that must be a list of texts."""
    if not isinstance(answer, list) or not set(map(type, answer)) <= _TEXTS:
        _refuse(command, answer)
    return list(answer)


def pairs(command: str, answer: Any) -> dict[str, bytes]:
    """An answer that must be names and texts in turn; bytes of a name that are not UTF-8 are replaced."""
    flat = texts(command, answer)
    if len(flat) % 2:
        _refuse(command, answer)
    return {flat[at].decode(errors="replace"): flat[at + 1] for at in range(0, len(flat), 2)}


def rows(command: str, answers: Sequence[Any], width: int) -> list[list[bytes | None]]:
    """Answers that must each have so many texts, or nothing in a text's place. Every read comes through here."""
    for row in answers:
        if type(row) is not list or len(row) != width or not set(map(type, row)) <= _TEXTS_OR_NOTHING:
            _refuse(command, row)
    return list(answers)


def page(command: str, answer: Any) -> tuple[bytes, list[bytes]]:
    """An answer that must be a cursor and a list of texts."""
    if not isinstance(answer, list) or len(answer) != 2 or not isinstance(answer[0], bytes):
        _refuse(command, answer)
    return answer[0], texts(command, answer[1])


def slot_ranges(command: str, answer: Any) -> list[tuple[int, bytes, int]]:
    """An answer that must be ranges of slots: the first slot, host and port of each, in order."""
    if not isinstance(answer, list):
        _refuse(command, answer)
    ranges = []
    for item in answer:
        match item:
            case [int(first), int(), [None | bytes() as host, int(port), *_], *_]:
                ranges.append((first, host or b"", port))
            case _:
                _refuse(command, answer)
    return sorted(ranges)


def _refuse(command: str, answer: Any) -> Any:
    raise redis_errors.InvalidResponse(f"{command} was answered with {_describe(answer)}")


def _describe(answer: Any) -> str:
    if answer is None:
        return "nothing"
    if isinstance(answer, list):
        return f"a list of {len(answer)}"
    if isinstance(answer, bytes):
        return repr(answer[:_SHOWN_BYTES].decode(errors="replace"))
    if isinstance(answer, dict):
        return f"a map of {len(answer)}"
    return f"{answer}" if isinstance(answer, bool) else f"the number {answer}"
