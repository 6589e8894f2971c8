"""TOML in and out: tables whose errors name file and key, and the one way in which values are written.

Standard library only, and nothing of the project: whoever reads a table decides what its keys mean.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any, TypeGuard

from featurestore.errors import ConfigError, did_you_mean, nearest
from featurestore.times import parse_duration

Plain = str | int | float | bool | Sequence["Plain"] | Mapping[str, "Plain"]

LEAST_RETENTION = 86_400_000_000  # µs
_USER_PART = re.compile(r"[a-z+]+://(?:\$\{[^}]*\}|[^/?#@$])*@")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
_WORDS: dict[type, str] = {
    bool: "true or false", str: "text", int: "a whole number", float: "a number", dict: "a table", list: "a list",
}  # fmt: skip
_EXAMPLES: dict[type, str] = {
    bool: "true", str: '"…"', int: "1", float: "0.5", dict: '{ … = "…" }', list: '["…"]',
}  # fmt: skip
_MOST_LINES = 500  # each is read with all before it: of so many in about a second
_NO_TABLES = frozenset({str, int, float, bool, list, tuple})
_PLAIN_KEY = re.compile(r"[^@:/\x00-\x1f]{1,64}")
# A key of very many parts takes tomllib minutes: it looks at every beginning of the key.
_DEEP_KEY = re.compile(r"""(?<![\w"'-])(?:(?:[\w-]++|"(?:\\.|[^"\\\n])*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){32}""")


def parse_toml(data: bytes) -> dict[str, Any]:
    """The table that a file holds. Raises ValueError that says of the file what is wrong: ``is not valid TOML: …``."""
    text = decode(data)
    if _DEEP_KEY.search(text):
        raise ValueError("is nested too deeply")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        raise ValueError(f"is not valid TOML: {_problem(exc)}") from None
    except (RecursionError, MemoryError) as exc:
        raise ValueError("is nested too deeply") from exc
    except ValueError as exc:  # int() refuses more than 4,300 digits
        raise ValueError("holds a number of too many digits") from exc


def _problem(exc: tomllib.TOMLDecodeError) -> str:
    """What is wrong, and where, without the keys that tomllib quotes: ``Cannot declare ('a', 'b') twice (at …)``."""
    what, at, place = str(exc).rpartition(" (at ")
    return f"{what.partition(' (')[0]}{at}{place}"


def decode(data: bytes) -> str:
    """The text of a file of ours, with or without a byte order mark. Raises ValueError that says what it is instead."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:200]:
        raise ValueError("is UTF-16, not UTF-8: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise ValueError(f"is not UTF-8 (line {line}): save it as UTF-8") from exc


def find_line(text: str, keys: Sequence[str]) -> int | None:
    """The line, from 1, where a key is set, or the table that should have it; None where none of them is there.

    tomllib says of no key where it stands. But the first lines of a file are a file too, wherever no value is cut off:
    the key stands after the longest one that lacks it.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    if len(lines) > _MOST_LINES:
        return None
    while keys and not _has(tomllib.loads(text), keys):
        keys = keys[:-1]
    without = 0
    for count in range(1, len(lines) + 1) if keys else ():
        try:
            beginning = tomllib.loads("\n".join(lines[:count]))
        except tomllib.TOMLDecodeError:
            continue
        if _has(beginning, keys):
            return without + 1
        without = count
    return None


def _has(data: object, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(data, dict) or key not in data:
            return False
        data = data[key]
    return True


class TomlTable:
    """A table of a TOML file that knows its place, so that every error can name file and key.

    An error says what is wrong with a value, and never the value: a password may stand in any place, above all where
    the file does not say what it was meant to.
    """

    def __init__(
        self, data: Mapping[str, Any], file: str, keys: tuple[str, ...] = (), content: bytes | None = None
    ) -> None:
        """``keys`` lead to the table; ``content`` is that of the file, None where there are no lines to name."""
        self.data, self.file = data, file
        self._keys, self._content = keys, content

    @property
    def path(self) -> str:
        return ".".join(map(shown_key, self._keys))

    def place(self, name: str | None = None) -> str:
        """Where a key stands, or the table: ``featurestore.toml:12``."""
        keys = self._keys if name is None else (*self._keys, name)
        line = None if self._content is None else find_line(decode(self._content), keys)
        return self.file if line is None else f"{self.file}:{line}"

    def key(self, name: str) -> str:
        """The key as a person would look for it: ``sources.visits.path``."""
        return f"{self.path}.{shown_key(name)}" if self.path else shown_key(name)

    def error(self, name: str, message: str, hint: str | None = None) -> ConfigError:
        """An error about one key, to be raised by the caller."""
        return ConfigError(f"{self.key(name)} {message}", where=self.place(name), hint=hint)

    def allow(self, *names: str, elsewhere: Callable[[], Iterable[str]] = tuple) -> TomlTable:
        """The table itself. Raises ConfigError for a key that is not among ``names``.

        It is quoted where it is much like one of them, or one of those that ``elsewhere`` gives, which other tables
        have. Else it may be anything: a url that was meant to be a value.
        """
        for name in self.data:
            if name in names:
                continue
            hint = did_you_mean(name, names)
            if nearest(name, names) is None and name not in set(elsewhere()):
                here = f"[{self.path}] " if self.path else ""
                raise ConfigError(f"{here}has a key that is not known", where=self.place(name), hint=hint)
            raise self.error(name, "is not a known key", hint)
        return self

    def get(self, name: str, kind: type | tuple[type, ...], default: Any = None) -> Any:
        """A value of one of these types. Raises ConfigError for another one; a bool is not an int."""
        if name not in self.data:
            return default
        value = self.data[name]
        wrong_bool = isinstance(value, bool) and kind is not bool
        if wrong_bool or not isinstance(value, kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            wanted = " or ".join(dict.fromkeys(_WORDS[one] for one in kinds if one is not int or float not in kinds))
            found = _WORDS.get(type(value), "a date or a time")
            raise self.error(
                name, f"must be {wanted}, not {found}", f"for example {shown_key(name)} = {_EXAMPLES[kinds[0]]}"
            )
        return value

    def text(self, name: str, default: str | None = None) -> str | None:
        """A text with its ``${VAR}`` replaced."""
        value = self.get(name, str, default)
        return value if value is None else interpolate(value, self, name)

    def retention(self, name: str) -> int | None:
        """A duration of at least a day (µs)."""
        text = self.text(name)
        if text is None:
            return None
        example = f'for example {name} = "400d"'
        try:
            keep = parse_duration(text)
        except ValueError as exc:
            raise self.error(name, str(exc), example) from exc
        if keep < LEAST_RETENTION:
            raise self.error(name, f"is too short: {text}; at least a day", example)
        return keep

    def url(self, name: str) -> str | None:
        """A url with its ``${VAR}`` replaced: in the user's part by exact text, since a password may hold anything."""
        template = self.get(name, str)
        if template is None:
            return None
        user = _USER_PART.match(template)
        split = user.end() if user else 0
        return interpolate(template[:split], self, name, _quote) + interpolate(template[split:], self, name)

    def required_text(self, name: str) -> str:
        """The same for a key that must be there. Raises ConfigError where it is missing or empty."""
        value = self.text(name)
        if not value:
            raise self.error(name, "is missing")
        return value

    def table(self, name: str, *, required: bool = False) -> TomlTable:
        """An inner table; an empty one where there is none."""
        if required and name not in self.data:
            raise self.error(name, "is missing", hint=f"add [{self.key(name)}]")
        return TomlTable(self.get(name, dict, {}), self.file, (*self._keys, name), self._content)

    def tables(self, name: str) -> Iterable[tuple[str, TomlTable]]:
        """The tables inside an inner table, by name."""
        outer = self.table(name)
        return [(inner, outer.table(inner)) for inner in outer.data]


def _quote(text: str) -> str:
    from urllib.parse import quote  # costs 2 ms, and few projects have a server

    return quote(text, safe="")


def shown_key(name: str) -> str:
    """A key as messages quote it: one that is no name, but a url for example, is not shown."""
    return name if _PLAIN_KEY.fullmatch(name) else "…"


def interpolate(text: str, table: TomlTable, name: str, spell: Callable[[str], str] = str) -> str:
    """Replaces ``${VAR}`` and ``${VAR:-default}``. Raises ConfigError for a variable that is not set."""

    def value(match: re.Match[str]) -> str:
        variable, default = match[1], match[2]
        if variable in os.environ:
            return spell(os.environ[variable])
        if default is not None:
            return default
        raise table.error(name, f"uses ${{{variable}}}, which is not set", f"export {variable}=…")

    return _VARIABLE.sub(value, text)


def toml_value(value: Plain) -> str:
    """A value on one line."""
    if isinstance(value, str):
        # JSON's texts are TOML's, but for DEL, which TOML wants escaped.
        return encode_basestring(value).replace("\x7f", "\\u007f")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):  # a union is made anew at each call
        return repr(value)
    if _is_table(value):
        inner = ", ".join(f"{toml_key(name)} = {toml_value(item)}" for name, item in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return f"[{', '.join(map(toml_value, value))}]"


def toml_lines(table: Mapping[str, Plain]) -> list[str]:
    """A table as lines: plain values first, then one ``[table]`` for each mapping that is not empty."""
    lines = [f"{toml_key(name)} = {toml_value(item)}" for name, item in table.items() if not _is_table(item)]
    for name, value in table.items():
        if value and _is_table(value):
            lines += [f"[{toml_key(name)}]", *(f"{toml_key(key)} = {toml_value(item)}" for key, item in value.items())]
    return lines


def _is_table(value: Plain) -> TypeGuard[Mapping[str, Plain]]:
    """Whether it is a mapping. Asked of every value of every header, so that the usual types are not looked up."""
    return value.__class__ is dict or (value.__class__ not in _NO_TABLES and isinstance(value, Mapping))


@lru_cache(maxsize=1024)  # the keys of headers are the same in every version file
def toml_key(name: str) -> str:
    """A key: bare where it may be, else quoted."""
    bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if bare else toml_value(name)
