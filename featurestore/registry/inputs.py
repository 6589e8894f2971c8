"""The inputs of request-time features, found among the declared features, with the hashes of their code."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from featurestore.config import Project
from featurestore.errors import DeclarationError, FeatureStoreError, did_you_mean
from featurestore.model import Feature, Input
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.folder.files import versions_of


class InputFinder:
    """Finds the inputs of request-time features among ``features``; ``broken`` are the names of other declarations."""

    def __init__(
        self, project: Project, tree: SourceTree, features: Iterable[Feature], broken: Collection[str]
    ) -> None:
        self._project, self._tree, self._broken = project, tree, broken
        self._features = {feature.name: feature for feature in features}
        self._hashes: dict[str, str] = {}

    def bound(self, feature: Feature) -> Feature:
        """The feature with the hash of each input. Raises DeclarationError for an input that can't be one."""
        return replace(
            feature, inputs=tuple(Input(item.name, self._hash(feature, item.name)) for item in feature.inputs)
        )

    def _hash(self, feature: Feature, name: str) -> str:
        found = self._features.get(name)
        if found is None:
            raise self._missing(feature, name)
        if found.at_request:
            raise DeclarationError(
                f"{name}, an input of {feature.name}, is computed at the request itself",
                where=feature.place,
                hint="take its inputs, and share the expression in a helper",
            )
        if found.entity_type.name != feature.entity_type.name:
            raise DeclarationError(
                f"{name}, an input of {feature.name}, is a feature of {found.entity_type.name}, "
                f"not of {feature.entity_type.name}",
                where=feature.place,
                hint=f"take features of {feature.entity_type.name}",
            )
        if name not in self._hashes:
            self._hashes[name] = self._hash_code(feature, found)
        return self._hashes[name]

    def _hash_code(self, feature: Feature, found: Feature) -> str:
        from featurestore.versioning.running.working_tree import hash_feature  # follows code: 10 ms to import

        try:
            return hash_feature(self._tree, found, versions_of(self._project.versions, found.name)).sha256
        except FeatureStoreError as exc:
            raise DeclarationError(
                f"{found.name}, an input of {feature.name}, can't be hashed: {exc.message}",
                where=exc.where or found.place,
                hint=exc.hint,
            ) from exc

    def _missing(self, feature: Feature, name: str) -> DeclarationError:
        if name in self._broken:
            message = f"the declaration of {name}, an input of {feature.name}, can't be used"
            return DeclarationError(message, where=feature.place, hint=f"first that of {name}: featurestore check")
        others = {item.name for item in self._features.values() if not item.at_request} - {feature.name}
        return DeclarationError(
            f"there is no feature {name!r}, an input of {feature.name}",
            where=feature.place,
            hint=did_you_mean(name, others),
        )
