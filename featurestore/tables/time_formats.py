"""``format = "%d/%m/%Y"``: what it takes, as an expression over the layouts of times.

A layout is a text with every digit written as 0, as `tables.iso8601` has it. Standard library only, so that settings
can be checked without loading more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FULL_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_DAYS = "monday|tuesday|wednesday|thursday|friday|saturday|sunday"
# One or two digits are what people write, but next to other digits only two can be told apart.
_ONE_OR_TWO = {"d": "day", "m": "month", "H": "hour", "I": "half", "M": "minute", "S": "second", "e": "day"}
_DIGITS = {"Y": ("year", 4), "y": ("short", 2), "j": ("yearday", 3)}
_WORDS = {
    "b": rf"(?P<month_name>{'|'.join(MONTHS)})",
    "h": rf"(?P<month_name>{'|'.join(MONTHS)})",
    "B": rf"(?P<month_name>{'|'.join(_FULL_MONTHS)})",
    "a": "(?:mon|tue|wed|thu|fri|sat|sun)",
    "A": f"(?:{_DAYS})",
    "p": r"(?P<noon>[ap]\.?m\.?)",
    "z": r"(?P<zone>z|[+-]00(?::?00)?)",
    "Z": r"(?P<zone>z|utc|gmt)",
    "f": r"(?P<fraction>0{1,9})",
    ".f": r"(?:\.(?P<fraction>0{1,9}))?",
    "3f": r"(?P<fraction>000)",
    "6f": r"(?P<fraction>000000)",
    "9f": r"(?P<fraction>000000000)",
    "%": "%",
}
_SHORT = {"T": "%H:%M:%S", "D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M"}
_PART = re.compile(r"%([-_]?[A-Za-z%]|\.f|[369]f)|([^%]+)|(%)")


def compile_format(format_: str) -> re.Pattern[str]:
    """An expression that matches the layout of a time in that format, with a group for each part of the time.

    Raises ValueError with the reason why it is not a format of times.
    """
    for short, long in _SHORT.items():
        format_ = format_.replace(f"%{short}", long)
    parts = list(_PART.finditer(format_))
    kinds = [_is_digits(part) for part in parts]
    pattern = ""
    for at, part in enumerate(parts):
        beside = (at > 0 and kinds[at - 1]) or (at + 1 < len(parts) and kinds[at + 1])
        pattern += _expression(part, beside=beside)
    try:
        compiled = re.compile(pattern, re.IGNORECASE)
    except re.error:
        raise ValueError("names a part of the time twice") from None
    _check_parts(set(compiled.groupindex))
    return compiled


def _is_digits(part: re.Match[str]) -> bool:
    directive = (part[1] or "").lstrip("-_")
    return directive in _ONE_OR_TWO or directive in _DIGITS or directive in ("f", "3f", "6f", "9f")


def _expression(part: re.Match[str], *, beside: bool) -> str:
    directive, text = (part[1] or "").lstrip("-_"), part[2]
    if text is not None:
        if any(character.isdigit() for character in text):
            raise ValueError("holds digits that are no part of a time")
        return re.escape(text.encode().decode("latin-1"))  # layouts are bytes, each as a character
    if directive in _ONE_OR_TWO:
        space = " ?" if directive == "e" else ""
        return rf"{space}(?P<{_ONE_OR_TWO[directive]}>{'00' if beside else '00?'})"
    if directive in _DIGITS:
        name, count = _DIGITS[directive]
        return rf"(?P<{name}>{'0' * count})"
    if directive in _WORDS:
        return _WORDS[directive]
    if directive == "s":
        raise ValueError('has %s: for seconds since 1970 set unit = "s"')
    raise ValueError(f"has {part[0]}, which is not known")


def _check_parts(names: set[str]) -> None:
    if not names & {"year", "short"}:
        raise ValueError("has no year (%Y)")
    if "yearday" not in names and not ("day" in names and names & {"month", "month_name"}):
        raise ValueError("has no month and day (%m, %d)")
    if ("half" in names) != ("noon" in names):
        raise ValueError("has one of %I and %p, which need each other")
    if "hour" in names and "half" in names:
        raise ValueError("has both %H and %I")


_WORD_OF_MONTH = re.compile(r"\b(" + "|".join(_FULL_MONTHS) + r"|" + "|".join(MONTHS) + r")\b", re.IGNORECASE)


def guess_formats(text: str) -> Iterator[str]:
    """The formats in which a text may be a time, the likelier first. Several mean that it is open what comes first."""
    text = text.strip()
    date, clock = _split_clock(text)
    for format_ in _dates(date):
        yield format_ + clock


def _split_clock(text: str) -> tuple[str, str]:
    found = re.search(
        r"(?P<gap>[ T,]+)(?P<clock>\d{1,2}:\d\d(?P<second>:\d\d)?)(?P<fraction>\.\d+)?(?P<half> ?[AaPp][Mm])?$", text
    )
    if found is None:
        return text, ""
    hour = "%I" if found["half"] else "%H"
    half = "" if not found["half"] else " %p" if found["half"].startswith(" ") else "%p"
    second = ":%S" if found["second"] else ""
    fraction = ".%f" if found["fraction"] else ""
    return text[: found.start()], f"{found['gap']}{hour}:%M{second}{fraction}{half}"


def _dates(date: str) -> Iterator[str]:
    if found := re.fullmatch(r"(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d\d)", date):
        first, mark, second, year = int(found[1]), found[2], int(found[3]), "%Y" if len(found[4]) == 4 else "%y"
        short = mark == "-" and [len(each) for each in (found[1], found[3], found[4])] == [2, 2, 2]
        if short and 1 <= second <= 12 and 1 <= int(found[4]) <= 31:
            yield "%y-%m-%d"
        if 1 <= first <= 31 and 1 <= second <= 12:
            yield f"%d{mark}%m{mark}{year}"
        if 1 <= first <= 12 and 1 <= second <= 31 and mark != ".":
            yield f"%m{mark}%d{mark}{year}"
    elif found := re.fullmatch(r"\d{4}([/.-])\d{1,2}\1\d{1,2}", date):
        yield f"%Y{found[1]}%m{found[1]}%d"
    elif re.fullmatch(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", date):
        yield "%Y%m%d"
    elif found := _WORD_OF_MONTH.search(date):
        name = "%b" if len(found[0]) == 3 else "%B"
        before, after = date[: found.start()], date[found.end() :]
        if re.fullmatch(r"\d{1,2}[ -]", before) and re.fullmatch(r"[ -]\d{4}", after):
            yield f"%d{before[-1]}{name}{after[0]}%Y"
        elif not before and (rest := re.fullmatch(r" \d{1,2}(,? )\d{4}", after)):
            yield f"{name} %d{rest[1]}%Y"


def question_of(formats: Sequence[str]) -> str:
    """What is open where a text may be a time in several formats."""
    return "is it year, day or month first?" if "%y-%m-%d" in formats else "is it day or month first?"


def guess_unit(number: float) -> str | None:
    """The unit in which a number may be a time since 1970: one between 2001 and 2096."""
    for unit, scale in (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)):
        if 1_000_000_000 * scale <= abs(number) < 4_000_000_000 * scale:
            return unit
    return None
