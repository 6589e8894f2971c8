"""``get``: what is served online for some entities. Without Polars and DuckDB, so that it answers in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

from featurestore import times
from featurestore.config import Project
from featurestore.errors import UsageError, did_you_mean
from featurestore.frozen import frozen
from featurestore.model import EntityType, Json, VersionId
from featurestore.offline.erasing import unfinished_erasure
from featurestore.online.contract import OnlineStore
from featurestore.online.open import open_online
from featurestore.online.tables import Markers, Pointers
from featurestore.point_in_time.entities import parse_entity
from featurestore.serving.decoding import ServedValue
from featurestore.serving.online_tables import OnlineTables
from featurestore.serving.reader import NotOnlineError, Reader
from featurestore.versioning.folder.files import versions_of
from featurestore.workflows.feature_sets import expand_sets, parse_asked
from featurestore.workflows.lives import Lives, read_lives
from featurestore.workflows.request_reader import Answer, GivenRequest, RequestReader
from featurestore.workflows.request_time import request_time_names


@frozen
class EntityValues:
    """One entity's key columns by name, and its features in the order asked."""

    keys: Mapping[str, str | int]
    features: tuple[ServedValue, ...]


@frozen
class GetResult:
    """What is served online, one item for each entity asked for.

    ``warnings`` are about features that are served though they are not declared any more, and an erasure that is not
    complete: what it erases may still be served. ``at`` is the clock (µs). ``request`` has the fields that were taken,
    for each entity; ``run`` is the run up to which all that was read is online, where that was asked.
    """

    entity_type: EntityType
    entities: tuple[EntityValues, ...]
    warnings: tuple[str, ...] = ()
    at: int = 0
    request: tuple[Mapping[str, Json], ...] = ()
    run: int | None = None


def get_by_id(
    project: Project,
    entity_type: str,
    ids: Sequence[str],
    features: Sequence[str] | None = None,
    *,
    request: Mapping[str, str] | None = None,
    with_run: bool = False,
    now: int | None = None,
) -> GetResult:
    """Opens the project's online store and runs `get` for ids as typed: ``42``, ``k1=v1,k2=v2`` or JSON.

    ``request`` has the fields of a request as texts. ``now`` is the clock by default. Raises UsageError for an id that
    can't be read, and what `get` raises.
    """
    parsed = find_entity_type(project, entity_type)
    entities = [parse_entity(parsed, text) for text in ids]
    with closing(open_online(project)) as online:
        given = GivenRequest([request], text=True) if request else None
        clock = times.now() if now is None else now
        result = get(project, online, entity_type, entities, features, now=clock, request=given, with_run=with_run)
    found = [any(served.status != "missing" for served in item.features) for item in result.entities]
    unknown = [text for text, is_found in zip(ids, found, strict=True) if not is_found]
    return replace(result, warnings=(*result.warnings, *_taken_for_ids(project, unknown, features or ())))


def _taken_for_ids(project: Project, unknown: Sequence[str], features: Sequence[str]) -> Iterator[str]:
    """What to say of unknown ids that are names of features: ``-f a b`` asks for the entity ``b``."""
    names = set(read_lives(project).declared) if unknown and features else set[str]()
    for text in unknown:
        if text in names:
            yield f"{text} is a feature, but was taken for an id: names are joined by commas: -f {features[0]},{text}"


def get(
    project: Project,
    online: OnlineStore,
    entity_type: str,
    entities: Sequence[Mapping[str, str | int]],
    features: Sequence[str] | None = None,
    *,
    now: int,
    request: GivenRequest | None = None,
    with_run: bool = False,
) -> GetResult:
    """The online values of some entities: of the features referred to (``name``, ``name@2``), or of all of the type.

    ``@name`` stands for those of a feature set or model that are of the type.

    ``entities`` are key columns by name. ``now`` (µs since 1970) decides what has expired. ``with_run`` asks for the
    run that all that is read stands at. Raises UsageError for an entity type or a feature that does not exist and for a
    request that does not fit, FeatureError where a feature can't be computed, StoreError where the store fails.
    """
    parsed = find_entity_type(project, entity_type)
    lives = read_lives(project)
    if features is not None:
        features = without_sets(project, lives, entity_type, features)
    reader = Reader(project.name, online, max_ages=partial(max_ages, lives))
    markers = OnlineTables(online).markers() if with_run else None
    try:
        answer = RequestReader(project, reader).read(lives, parsed, entities, features, now, request)
    except NotOnlineError as exc:
        raise with_declared(exc, project, lives, entity_type) from exc
    run = None if markers is None else stands_at(answer, markers, OnlineTables(online).markers())
    return get_result(
        parsed, entities, answer, (*lives.notes(answer.names), *unfinished_erasure(project)), now, request, run
    )


def get_result(
    entity_type: EntityType,
    entities: Sequence[Mapping[str, str | int]],
    answer: Answer,
    warnings: Sequence[str],
    now: int,
    request: GivenRequest | None = None,
    run: int | None = None,
) -> GetResult:
    """What was read, as it is answered."""
    return GetResult(
        entity_type,
        tuple(EntityValues(keys, tuple(row)) for keys, row in zip(entities, answer.rows, strict=True)),
        (*warnings, *answer.warnings),
        now,
        () if request is None else tuple(request.document(at, answer.fields) for at in range(len(entities))),
        run,
    )


def stands_at(answer: Answer, before: Markers, after: Markers) -> int | None:
    """The run up to which everything that was read is online; None where that moved meanwhile.

    ``before`` and ``after`` are the markers before and after it was read.
    """
    versions = {
        VersionId(served.name.partition("@")[0], served.sha256)
        for row in answer.rows
        for served in row
        if served.inputs is None
    }
    versions |= {VersionId(name, sha256) for each in answer.loaded for name, _, sha256 in map(_parted, each.inputs)}
    runs = [_run_seq(before, version) for version in versions]
    moved = runs != [_run_seq(after, version) for version in versions]
    return None if moved else min(runs, default=None)


def _parted(reference: str) -> tuple[str, str, str]:
    return reference.partition("@")


def _run_seq(markers: Markers, version: VersionId) -> int:
    marker = markers.versions.get(version)
    return 0 if marker is None else marker.run_seq


def without_sets(project: Project, lives: Lives, entity_type: str, references: Sequence[str]) -> Sequence[str]:
    """The references, and in place of a set or model those of its features that may be of the entity type."""
    found: list[str] = []
    for text in references:
        asked = [parse_asked(each).reference for each in expand_sets(project, [text])] if text[:1] == "@" else [text]
        for reference in asked:
            declared = lives.declared.get(reference.partition("@")[0])
            if asked == [text] or declared is None or declared.entity_type.name == entity_type:
                found.append(reference)
        if not found:
            raise UsageError(f"{text} has no feature of {entity_type}", hint=f"its features: {', '.join(asked)}")
    return list(dict.fromkeys(found))


def with_declared(exc: NotOnlineError, project: Project, lives: Lives, entity_type: str) -> UsageError:
    """The error with the way out: another name, where it is neither declared nor known under another spelling."""
    names = {name for name, feature in lives.declared.items() if feature.entity_type.name == entity_type}
    if exc.feature in names or exc.feature in lives.broken:
        return UsageError(exc.message, hint="run featurestore sync")
    names |= {name for name in request_time_names(project, lives) if _type_of(project, lives, name) == entity_type}
    gone = lives.note(exc.feature) if lives.is_left(exc.feature) else None
    others = did_you_mean(exc.feature, {*names, *exc.online})
    return UsageError(exc.message, hint="; ".join(part for part in (gone, others) if part) or exc.hint)


def _type_of(project: Project, lives: Lives, name: str) -> str:
    """The entity type of a request-time feature: as declared, or as in its newest version."""
    declared = lives.declared.get(name)
    if declared is not None:
        return declared.entity_type.name
    from featurestore.versioning.folder.versionfile import read_version  # an answer needs none

    return read_version(versions_of(project.versions, name)[-1].path).feature.entity_type.name


def max_ages(lives: Lives, pointers: Pointers) -> Mapping[str, int | None]:
    """The age limits (µs) as declared now, of the features that are declared here."""
    return {name: lives.declared[name].max_age for name in pointers.features if name in lives.declared}


def find_entity_type(project: Project, name: str) -> EntityType:
    """The project's entity type of that name. Raises UsageError with the nearest name."""
    if name not in project.entity_types:
        raise UsageError(f"there is no entity type {name!r}", hint=did_you_mean(name, project.entity_types))
    return project.entity_types[name]
