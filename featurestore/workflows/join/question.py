"""What a join is asked: which features, which columns of the labels, and which values count. Labels come beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from featurestore.config import Project
from featurestore.dialect import STANDARD, Dialect
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.model import StoredVersion
from featurestore.offline.contract import CommittedRun, OfflineStore
from featurestore.point_in_time.labels import find_column
from featurestore.workflows.feature_sets import expand_sets, parse_asked
from featurestore.workflows.join.splits import Splits
from featurestore.workflows.references import resolve
from featurestore.workflows.request_time import BoundVersion


@frozen
class ResolvedFeature:
    """A column of the result, and the version that answers it.

    ``role`` is whose feature it is where several entities of a label are of its type. ``note`` is what to say of a
    feature that is not declared any more. ``bound`` is there for a request-time feature.
    """

    column_name: str
    version: StoredVersion
    note: str | None = None
    role: str | None = None
    bound: BoundVersion | None = None


@frozen
class EntityColumns:
    """Which columns of the labels hold an entity's keys: one per key, in the order of the keys.

    In `JoinQuestion.entities`, ``type`` is the entity type, and ``role`` which of several entities of that type it is.
    In `JoinQuestion.entity`, which is about features of one type, ``type`` may be None for theirs, and without
    ``columns`` they are called like the keys.
    """

    type: str | None = None
    columns: tuple[str, ...] = ()
    role: str | None = None


@frozen
class JoinQuestion:
    """A question that any labels can be joined by. Instants and durations are microseconds.

    ``features`` come from `resolve_features`; ``timestamp_column`` is the labels' column of times. ``entities`` say
    which columns hold the keys of an entity type or a role; those of other types are called like their keys.
    ``entity`` says it of the one type that all features have. ``known`` asks that a value was learned by the label's
    time. ``as_of`` answers as the store was then, ``last_run`` as it was after that run. ``max_age`` replaces each
    feature's own. ``lag`` is taken off the labels' times before anything is compared with them. ``timezone`` is that
    of label times without one, ``dialect`` is how values in columns of text are written. ``times_suffix`` asks for the
    times of the values, in columns called like the features with this behind. ``splits`` ask for a column that
    divides the labels by their times. ``request`` gives the labels' columns that hold the fields of a request, by
    field, where they are not called like these. With ``strict`` no label may lie beyond what is known of a window, or
    after ``clock`` where that is given; ``seen_by`` is the clock that ``last_run`` stood at. With ``as_served`` labels
    are questions that readers asked then: how old windows were is told by the horizon that was known at each of them.
    """

    features: Sequence[ResolvedFeature]
    timestamp_column: str
    entity: EntityColumns = EntityColumns()
    known: bool = False
    as_of: int | None = None
    max_age: int | None = None
    last_run: int | None = None
    timezone: str | None = None
    dialect: Dialect = STANDARD
    entities: tuple[EntityColumns, ...] = ()
    lag: int = 0
    times_suffix: str | None = None
    splits: Splits | None = None
    request: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    clock: int | None = None
    seen_by: int | None = None
    as_served: bool = False

    def max_age_of(self, version: StoredVersion) -> int | None:
        """The age limit that holds for a version."""
        return version.max_age if self.max_age is None else self.max_age

    def counts(self, run: CommittedRun) -> bool:
        """Whether the rows of a run may answer."""
        in_time = self.as_of is None or run.learned_at <= self.as_of
        return in_time and (self.last_run is None or run.run_seq <= self.last_run)


def resolve_features(
    project: Project, store: OfflineStore, references: Iterable[str], *, only: str | None = None
) -> tuple[ResolvedFeature, ...]:
    """The features that references name: ``[NEW=][ROLE.]NAME[@REF]``, or a set or model of features, ``@name``.

    A column is called what stands left of ``=``, else like the reference as it was typed. Of a set or model, only the
    features of the entity type ``only`` are taken where one is named. Raises UsageError for a name that does not exist
    or has no history, and for one that is typed twice (sets may have it in common); VersionFileError.
    """
    typed = list(references)
    for text in typed:
        if typed.count(text) > 1 and not text.startswith("@"):
            name = parse_asked(text).reference
            raise UsageError(
                f"{text} is asked for twice", hint=f"leave one out, or give it another name: -f NEW={name}"
            )
    texts = expand_sets(project, typed)
    asked = [parse_asked(text) for text in texts]
    resolved = resolve(project, store, [item.reference for item in asked])
    return tuple(
        ResolvedFeature(item.column_name, found.version, found.note, item.role, found.bound)
        for text, item, found in zip(texts, asked, resolved, strict=True)
        if only is None or text in typed or found.version.entity_type.name == only
    )


def check_columns(question: JoinQuestion, label_columns: Sequence[str], labels_name: str) -> None:
    """Raises UsageError where two columns of the result would have one name, or where no feature is named."""
    if not question.features:
        raise UsageError("no feature is named", hint="name some with -f NAME[,NAME...]")
    for name in question.dialect.times:
        find_column(label_columns, name, labels_name, "--format-of ")
    names = set(label_columns)
    for name, what, hint in _new_columns(question):
        if name in label_columns:
            raise UsageError(f"the labels already have a column {name!r}", where=labels_name, hint=hint)
        if name in names:
            raise UsageError(f"{what} is asked for twice", hint=hint)
        names.add(name)


def _new_columns(question: JoinQuestion) -> Iterator[tuple[str, str, str]]:
    """The columns that are added: their names, what messages call them, and how to call them otherwise."""
    for feature in question.features:
        name, reference = feature.column_name, feature.version.id.feature
        hint = f"give it another name: -f NEW={f'{feature.role}.' if feature.role else ''}{reference}"
        hint += f", or {name}@{feature.version.number}" if name == reference else ""
        yield name, name, hint
    if question.times_suffix is not None:
        for feature in question.features:
            name = feature.column_name + question.times_suffix
            yield name, f"the column {name}", "end the names of the columns of times otherwise, with --times-suffix"
    if question.splits is not None:
        name = question.splits.column
        yield name, f"the column {name}", "call the column of the splits otherwise, with --split-column"
