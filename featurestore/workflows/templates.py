"""Features to edit: Python text for columns that are known by name and type."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Iterator, Sequence
from unicodedata import normalize

from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, Scalar

HEAD = '''"""Features: decorated functions. Every .py file in this folder is searched for them."""

import polars as pl

from featurestore import feature
'''

FEATURE = """

@feature(entity_type="{entity_type}", data_type="{data_type}", description="{description}"{more})
def {name}() -> pl.Expr:
    return {expression}
"""

_TOGETHER = {"int": "max", "float": "mean", "string": "max", "bool": "any"}


@frozen
class TemplateFeature:
    """A feature as text: its name, data type, one line for people, and the expression."""

    name: str
    data_type: Scalar
    description: str
    expression: str

    def text(self, entity_type: str, source: str | None = None) -> str:
        """The decorated function; ``source`` is named where the project has several."""
        more = "" if source is None else f', source="{source}"'
        return FEATURE.format(
            entity_type=entity_type, data_type=self.data_type, description=self.description, name=self.name,
            expression=self.expression, more=more,
        )  # fmt: skip


def slug(text: str, otherwise: str = "value") -> str:
    """A name for a feature, a source or an entity type, made from any text."""
    plain = normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:40].strip("_")
    if name and name[0].isdigit():
        name = f"c_{name}"
    if keyword.iskeyword(name) or name in ("pl", "feature"):
        name += "_value"
    return name if FEATURE_NAME.fullmatch(name) else otherwise


def features_of(
    columns: Sequence[tuple[str, Scalar]], keys: Sequence[str], event_time: str | None, *, several: bool, count: int
) -> list[TemplateFeature]:
    """At most so many features of some columns. With ``several`` an entity may have several rows of one instant."""
    group = [*keys, *([event_time] if event_time else [])]
    found: list[TemplateFeature] = []
    taken: set[str] = set()
    for feature in _candidates(columns, keys, event_time, group if several else []):
        if feature.name not in taken:
            taken.add(feature.name)
            found.append(feature)
        if len(found) == count:
            break
    return found


def _candidates(
    columns: Sequence[tuple[str, Scalar]], keys: Sequence[str], event_time: str | None, group: Collection[str]
) -> Iterator[TemplateFeature]:
    over = f".over({', '.join(map(_text, group))})" if group else ""
    for name, kind in columns:
        if kind in _TOGETHER:
            expression = f"pl.col({_text(name)})" + (f".{_TOGETHER[kind]}(){over}" if over else "")
            what = f"{_words(name)}, as the row has it" if not over else f"{_words(name)}, of all rows of the moment"
            yield TemplateFeature(slug(name), kind, what, expression)
    for name, _kind in columns:
        missing = f"pl.col({_text(name)}).is_null()" + (f".all(){over}" if over else "")
        yield TemplateFeature(f"{slug(name)}_missing", "bool", f"Whether {_words(name)} is missing", missing)
    if event_time is not None:
        time = f"pl.col({_text(event_time)}).dt"
        yield TemplateFeature("weekday", "int", "The day of the week, 1 is Monday", f"{time}.weekday().cast(pl.Int64)")
        yield TemplateFeature("month", "int", "The month, 1 to 12", f"{time}.month().cast(pl.Int64)")
        yield TemplateFeature("year", "int", "The year", f"{time}.year().cast(pl.Int64)")
    else:
        key = f"pl.col({_text(keys[0])})"
        yield TemplateFeature("is_known", "bool", "Whether there is a row", f"{key}.is_not_null()")


def _text(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _words(name: str) -> str:
    return re.sub(r"[^\w .,()%/°€$£-]+", " ", name).strip() or "The value"
