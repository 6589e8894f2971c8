"""Lists of features that featurestore.toml names: ``@cardiac_v1`` stands for what its set lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean


def expand_sets(project: Project, references: Iterable[str]) -> Sequence[str]:
    """References with every ``@name`` replaced by its set's, each once, in order. Raises UsageError."""
    found: list[str] = []
    for reference in references:
        if not reference.startswith("@"):
            found.append(reference)
            continue
        name = reference[1:]
        if name not in project.feature_sets:
            hint = did_you_mean(name, project.feature_sets) or f"add [feature_sets.{name}] to featurestore.toml"
            raise UsageError(f"there is no set of features {name!r}", hint=hint)
        found += project.feature_sets[name]
    return list(dict.fromkeys(found))
