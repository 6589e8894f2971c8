"""The hash of a feature of the working tree, as its version file and the stores have it."""

from __future__ import annotations

from collections.abc import Sequence

from featurestore.model import Feature
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.names import VersionName
from featurestore.versioning.recipe.closure import capture
from featurestore.versioning.recipe.hashing import version_hash
from featurestore.versioning.recipe.version_hash import VersionHash


def hash_feature(tree: SourceTree, feature: Feature, versions: Sequence[VersionName]) -> VersionHash:
    """The hash of the working tree's code, as its version file and the stores have it. Raises DeclarationError."""
    hashed = version_hash(feature, capture(tree, feature.module, feature.function))
    if any(name.short == hashed.short for name in versions):
        return hashed
    from featurestore.versioning.running.recipes import (
        stored_hash,  # only where an older recipe may have written the file
    )

    return stored_hash(hashed, versions)
