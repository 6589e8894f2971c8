"""Which setting would take a value that does not fit, as text to paste. For people: nothing here decides anything."""

from __future__ import annotations

import re

from featurestore.dialect import Dialect
from featurestore.model import Scalar
from featurestore.tables.time_formats import guess_unit, question_of
from featurestore.tables.written_times import formats_of

NULL_WORDS = frozenset({
    "null", "none", "nil", "na", "n/a", "n.a.", "#n/a", "#na", "nan", "<na>", "nat", "-", "--", "---", "?", ".", "\\n",
    "missing", "unknown", "undefined", "(null)", "#null!",
})  # fmt: skip
TRUE_WORDS = {"yes": "no", "y": "n", "on": "off", "ja": "nein", "j": "n", "oui": "non", "si": "no", "sí": "no", "x": ""}
_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")
_POINTS_AND_COMMA = re.compile(r"[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?")
_COMMAS_AND_POINT = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
_MARKS_AND_DECIMALS = re.compile(r"[+-]?[1-9]\d{0,2}([ '’_\u00a0\u202f]\d{3})+([.,]\d+)?")


def is_null_word(text: str) -> bool:
    """Whether people write this for a value that is not there."""
    return text.strip().lower() in NULL_WORDS or text == ""


def setting_for(text: str, kind: Scalar, dialect: Dialect) -> str | None:
    """The settings by which a text would be a value of a type, or null; None where none comes to mind."""
    if kind in ("date", "datetime") and (found := _for_time(text, kind)) is not None:
        return found
    if kind in ("int", "float") and (found := number_setting(text, dialect)) is not None:
        return found
    if kind == "bool" and (found := bool_setting(text)) is not None:
        return found
    if kind != "string" and is_null_word(text):
        words = ", ".join(f'"{word}"' for word in (*dialect.null, text))
        return f"null = [{words}]"
    return None


def number_setting(text: str, dialect: Dialect) -> str | None:
    """How a text is a number: by a decimal comma, or by marks between its digits."""
    text = text.strip()
    decimal, found = dialect.decimal, None
    if decimal == "." and dialect.thousands is None:
        if (marks := _MARKS_AND_DECIMALS.fullmatch(text)) is not None:
            mark = marks[1][0] if marks[1][0] not in "\u00a0\u202f" else " "
            found = f'thousands = "{mark}"' + (' and decimal = ","' if (marks[2] or "").startswith(",") else "")
        elif _POINTS_AND_COMMA.fullmatch(text) and (text.count(".") > 1 or "," in text):
            found = 'decimal = "," and thousands = "."'
        elif _COMMAS_AND_POINT.fullmatch(text):
            grouped = text.count(",") > 1 or "." in text
            found = 'thousands = ","' if grouped else 'decimal = ",", or thousands = ",", whichever it means'
        elif _WITH_COMMA.fullmatch(text):
            found = 'decimal = ","'
    return found


def bool_setting(text: str) -> str | None:
    """The words for true and false that one of them belongs to."""
    for true, false in TRUE_WORDS.items():
        if text.lower() in (true, false) and text:
            other = str.upper if text.isupper() else str.title if text.istitle() and len(text) > 1 else str.lower
            return f'true = ["{other(true)}"]' + (f' and false = ["{other(false)}"]' if false else "")
    return None


def _for_time(text: str, kind: Scalar) -> str | None:
    formats = formats_of(text)
    if len(formats) > 1:
        choices = " or ".join(f'"{each}"' for each in formats)
        return f"format = {choices} for its column: {question_of(formats)}"
    if formats:
        return f'format = "{formats[0]}" for its column'
    if kind == "datetime" and re.fullmatch(r"-?\d{1,19}(\.\d+)?", text) and (unit := guess_unit(float(text))):
        return f'unit = "{unit}" for its column'
    return None
