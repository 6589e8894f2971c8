"""Named lists of features in featurestore.toml: ``@cardiac_v1`` stands for the features of that set or model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from featurestore.config import FeatureSet, Project
from featurestore.errors import UsageError, did_you_mean


def expand_sets(project: Project, references: Iterable[str]) -> Sequence[str]:
    """The references with every ``@name`` replaced by those of its set or model, each once, in order.

    Raises UsageError.
    """
    expanded: list[str] = []
    for reference in references:
        expanded += _find(project, reference).features if reference.startswith("@") else [reference]
    return list(dict.fromkeys(expanded))


def roles_of_sets(project: Project, references: Iterable[str]) -> Mapping[str, str]:
    """The entity type of each role that the sets and models among the references declare. Raises UsageError."""
    roles: dict[str, str] = {}
    for reference in references:
        if reference.startswith("@"):
            for role, entity_type in _find(project, reference).roles.items():
                if roles.setdefault(role, entity_type) != entity_type:
                    raise UsageError(
                        f"{role} is a {roles[role]} in one feature set and a {entity_type} in another",
                        hint="ask for them one after the other, or rename the role in featurestore.toml",
                    )
    return roles


def _find(project: Project, reference: str) -> FeatureSet:
    name = reference[1:]
    named = {**project.feature_sets, **project.models}
    if name not in named:
        hint = did_you_mean(name, named) or f"add [feature_sets.{name}] to featurestore.toml"
        raise UsageError(f"there is no feature set {name!r}", hint=hint)
    return named[name]
