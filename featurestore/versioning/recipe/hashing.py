"""The hash of a version: its code's canonical form and the declared facts that decide its values.

SHA-256 over ``featurestore recipe 2`` and a line feed, then each fact as ``=`` name value in the order of
their names (constants as in `canonical`, lists in brackets; an absent fact is left out, so that a fact to come
doesn't change the hashes of today), then the closure's canonical bytes.

Not hashed: the feature's name, the place of its code, and metadata.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import sha256

from featurestore.arguments import fact_texts, hashed_facts
from featurestore.errors import NewerFormatError
from featurestore.model import Column, Feature, Json, Source
from featurestore.versioning.analysis.columns import ColumnUse, chooses
from featurestore.versioning.recipe.closure import Closure
from featurestore.versioning.recipe.grammar import constant
from featurestore.versioning.recipe.version_hash import VersionHash

# A long form that returns its source's own columns of these names need not say so.
RETURNED = ("entity_id", "value", "computed_at")


def version_hash(feature: Feature, closure: Closure, recipe: int | None = None) -> VersionHash:
    """The hash of a feature with its captured code, under the newest recipe unless another is named.

    Raises NewerFormatError for a recipe of a newer release.
    """
    recipe = max(RECIPES) if recipe is None else recipe
    if recipe not in RECIPES:
        raise NewerFormatError(f"this release does not know hash recipe {recipe}", hint="upgrade featurestore")
    return VersionHash(RECIPES[recipe](feature, closure), recipe, feature, lambda: closure)


def _recipe_2(feature: Feature, closure: Closure) -> str:
    digest = sha256(b"featurestore recipe 2\n")
    for name, value in sorted(facts(feature, closure).items()):
        digest.update(f"={constant(name)}{_encode(value)}".encode("utf-8", "surrogatepass"))
    digest.update(closure.canonical)
    return digest.hexdigest()


RECIPES: dict[int, Callable[[Feature, Closure], str]] = {2: _recipe_2}
"""The recipes whose hashes can be computed. An older one's code is gone: `running.replay` hashes its files anew."""


def facts(feature: Feature, closure: Closure) -> dict[str, Json]:
    """What is hashed beside the code. Absent facts are left out."""
    return {**hashed_facts(feature), "form": _form(feature), **_column_types(feature, closure)}


def _column_types(feature: Feature, closure: Closure) -> dict[str, str]:
    types: dict[str, str] = {}
    for number, source in enumerate(feature.reads, 1):
        of = "column" if number == 1 else f"source {number} column"
        named = named_columns(feature, closure, source)
        types |= {f"{of} {name}": column.type for name, column in named.items()}
    return types


def named_columns(feature: Feature, closure: Closure, source: Source) -> dict[str, Column]:
    """The declared columns of a source that the code can name: all where it computes a name, or names none."""
    return {name: source.columns[name] for name in named_among(feature, closure, source.columns)}


def named_among(feature: Feature, closure: Closure, columns: Iterable[str]) -> list[str]:
    """The columns that the code can name: all where it computes a name, or names none."""
    every = list(columns)
    if not every:
        return []
    given = {text for value in feature.params.values() for text in _texts(value)}
    own = given if feature.short else given | set(RETURNED)
    use = ColumnUse(closure.columns.texts | own, closure.columns.computed)
    named = [] if chooses(use.texts) else [name for name in every if use.may_name(name)]
    return named or every


def seen_among(feature: Feature, closure: Closure, columns: Iterable[str]) -> list[str]:
    """The columns that the code can see: those that it can name, and those that a join in it gives another name."""
    every = list(columns)
    named = set(named_among(feature, closure, every))
    texts = closure.columns.texts
    endings = {"_right", *texts}
    return [
        name
        for name in every
        if name in named or any(text[len(name) :] in endings for text in texts if text.startswith(name))
    ]


def parts(feature: Feature, closure: Closure) -> dict[str, str]:
    """The closure's parts and the declared facts, by readable names."""
    return {**closure.parts, **fact_texts(feature), "form": _form(feature), **_column_types(feature, closure)}


def _form(feature: Feature) -> str:
    return "short" if feature.short else "long"


def _encode(value: Json) -> str:
    if isinstance(value, list):
        return f"[{''.join(map(_encode, value))}]"
    if isinstance(value, dict):
        return "{" + "".join(_encode(name) + _encode(value[name]) for name in sorted(value)) + "}"
    return constant(value)


def _texts(value: Json) -> list[str]:
    if isinstance(value, str):
        return [value]
    items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
    return [text for item in items for text in _texts(item)]
