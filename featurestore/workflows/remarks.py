"""What is said once of a version, where it bites: what decides its values and is not part of its hash."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.versioning.folder.copies import missing_copies
from featurestore.versioning.folder.observed import Observation
from featurestore.versioning.recipe.version_hash import VersionHash


def version_remarks(hashed: VersionHash) -> list[str]:
    """A line for what the hash of a new or changed version lacks, and one for each file of which no copy is kept."""
    name, lines = hashed.feature.name, []
    if hashed.limits:
        first = hashed.limits[0]
        lines.append(f"{first.place}: the hash of {name} is limited: {first.message}{_more(len(hashed.limits), name)}")
    lines += [
        f"{name}: {file.path} ({file.size:,} bytes) is too large for a copy beside the version; only its hash is kept"
        for file in missing_copies(hashed.feature)
    ]
    return lines


def observed_remarks(name: str, observations: Sequence[Observation]) -> list[str]:
    """A line for what a feature's code met and does not declare; none where that is nothing."""
    if not observations:
        return []
    first = observations[0]
    more = _more(len(observations), name)
    return [f"{name}: its code {first.text}, which is not part of its hash; {first.hint}{more}"]


def _more(count: int, name: str) -> str:
    return "" if count == 1 else f" (and {count - 1} more: featurestore show {name})"
