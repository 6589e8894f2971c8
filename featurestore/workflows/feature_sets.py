"""Named lists of features in featurestore.toml: ``@cardiac_v1`` stands for the features of that set or model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from featurestore.config import FeatureSet, Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME


@frozen
class AskedFeature:
    """A reference to a feature, taken apart: the result's column, whose feature it is, and ``NAME[@REF]``."""

    column_name: str
    role: str | None
    reference: str


def parse_asked(text: str) -> AskedFeature:
    """Takes ``[NEW=][ROLE.]NAME[@REF]`` apart; without ``NEW`` the column is called as typed. Raises UsageError."""
    new, equals, asked = text.partition("=")
    asked = asked.strip() if equals else text
    role, dot, reference = asked.rpartition(".")
    example = "for example payer_spend=payer.spend@2"
    if equals and (not new.strip() or not asked or asked.startswith("@")):
        raise UsageError(f"{text!r} does not say which feature gets which name", hint=example)
    if dot and not FEATURE_NAME.fullmatch(role):
        raise UsageError(f"{role!r} is not the name of a role", hint="lower-case letters, digits and _")
    return AskedFeature(new.strip() if equals else text, role or None, reference)


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


@frozen
class ModelUse:
    """A model that a feature is an input of, and how featurestore.toml refers to it there."""

    model: str
    reference: str

    @property
    def pinned(self) -> bool:
        """Whether the reference names a version, so that the model keeps it whatever becomes active."""
        return "@" in parse_asked(self.reference).reference


def models_using(project: Project, feature: str) -> tuple[ModelUse, ...]:
    """The models that a feature is an input of, each reference once. Raises UsageError for one that can't be read."""
    return tuple(
        ModelUse(model, reference)
        for model, listed in project.models.items()
        for reference in listed.features
        if parse_asked(reference).reference.partition("@")[0] == feature
    )


def models_following(project: Project, feature: str) -> tuple[str, ...]:
    """The names of the models that get another value when another version of the feature becomes active."""
    return tuple(dict.fromkeys(use.model for use in models_using(project, feature) if not use.pinned))
