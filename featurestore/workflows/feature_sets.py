"""Named sets of features in featurestore.toml: ``@cardiac_v1`` stands for the features that the set lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean


def expand_sets(project: Project, references: Iterable[str]) -> Sequence[str]:
    """The references with every ``@name`` replaced by those of its set, each once, in order. Raises UsageError."""
    expanded: list[str] = []
    for reference in references:
        if not reference.startswith("@"):
            expanded.append(reference)
            continue
        name = reference[1:]
        if name not in project.feature_sets:
            hint = did_you_mean(name, project.feature_sets) or f"add [feature_sets.{name}] to featurestore.toml"
            raise UsageError(f"there is no feature set {name!r}", hint=hint)
        expanded += project.feature_sets[name]
    return list(dict.fromkeys(expanded))
