"""A feature to edit, in a module of its own."""

from __future__ import annotations

from pathlib import Path

from featurestore.atomic import write_atomically
from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import FEATURE_NAME, EntityType, Scalar, Source
from featurestore.registry.discovery import discover
from featurestore.sources.pinned_types import read_pins
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.workflows.templates import HEAD, TemplateFeature, features_of


@frozen
class NewFeature:
    """The file that holds the feature, below the project's root, and its text."""

    name: str
    path: Path
    text: str


def new_feature(
    project: Project, name: str, *, entity_type: str | None = None, source: str | None = None, dry_run: bool = False
) -> NewFeature:
    """Writes ``features/NAME.py`` with a feature of the first column that is known of the source.

    Raises UsageError for a name that is taken or can't be one, and where the project leaves open which entity type or
    source is meant.
    """
    if not FEATURE_NAME.fullmatch(name) or not name.isidentifier():
        raise UsageError(f"{name!r} is not a name for a feature", hint="lower-case letters, digits and _, as age_days")
    kind = project.entity_types[_choose("entity type", "--entity-type", entity_type, list(project.entity_types))]
    of = project.sources[_choose("source", "--source", source, list(project.sources))]
    path = project.features / f"{name}.py"
    taken = [item for item in discover(project, SourceTree(project.root)).features if item.name == name]
    if taken or path.exists():
        where = taken[0].place if taken else path.relative_to(project.root).as_posix()
        raise UsageError(f"there is {name} already", where=where, hint="choose another name")
    template = _template(project, name, kind, of)
    named = of.name if len(project.sources) > 1 else None
    text = HEAD + template.text(kind.name, named)
    if not dry_run:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, text.encode())
    return NewFeature(name, path.relative_to(project.root), text)


def _choose(what: str, flag: str, wanted: str | None, names: list[str]) -> str:
    """The named one, or the only one."""
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"there is no {what} {wanted!r}", hint=did_you_mean(wanted, names))
        return wanted
    if not names:
        raise UsageError(
            f"featurestore.toml declares no {what}", hint="featurestore init --from FILE proposes a project"
        )
    if len(names) > 1:
        raise UsageError(f"which {what}? There are {', '.join(names)}", hint=f"name it with {flag}")
    return names[0]


def _template(project: Project, name: str, entity_type: EntityType, source: Source) -> TemplateFeature:
    known: dict[str, Scalar] = {column.name: column.type for column in source.columns.values()}
    known = {**read_pins(project, source), **known}
    used = {*entity_type.key_names, *source.roles}
    columns = [(column, kind) for column, kind in known.items() if column not in used]
    found = features_of(columns, entity_type.key_names, source.event_time, several=False, count=1)[0]
    return TemplateFeature(name, found.data_type, found.description, found.expression)
