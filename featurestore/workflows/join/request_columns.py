"""Request-time features in a join: their inputs are joined like any other feature, and they are computed from these.

What is joined beside what was asked for gets columns of its own, which the result does not have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from featurestore.errors import SourceError, UsageError, did_you_mean
from featurestore.evaluation.request_fields import from_column
from featurestore.evaluation.request_time import Computation, check_rows, compute, load_computation, request_times
from featurestore.frozen import frozen
from featurestore.point_in_time.kernel import Integers
from featurestore.point_in_time.labels import find_column
from featurestore.sources.ways_out import setting_for
from featurestore.tables.instants import NAIVE
from featurestore.tables.types import INSTANT_UTC
from featurestore.workflows.join.facts import JoinedFeature, JoinFacts, KnownBy
from featurestore.workflows.join.question import JoinQuestion, ResolvedFeature
from featurestore.workflows.label_dialect import as_flags

_Whose = tuple[str | None, str, str]  # a role, and a version by its feature and SHA-256


@frozen
class LabelBatch:
    """A batch of labels as request-time features need it: with the instants (µs) of the labels.

    ``named`` marks, by entity type and role, the labels that name an entity; ``done`` labels came before it.
    """

    frame: pl.DataFrame
    instants: Integers
    named: Mapping[tuple[str, str | None], pl.Series]
    labels_name: str
    done: int


@dataclass(slots=True)
class RequestColumns:
    """The request-time features of a question, computed batch by batch.

    ``stored`` is the question about the features that are joined: those that were asked for, and the inputs.
    """

    question: JoinQuestion
    stored: JoinQuestion = field(init=False)
    _columns: dict[_Whose, str] = field(default_factory=dict)
    _nulls: dict[int, int] = field(default_factory=dict)
    _warnings: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        asked = [item for item in self.question.features if item.bound is None]
        for item in asked:
            self._columns.setdefault(_whose(item, item), item.column_name)
        inputs: list[ResolvedFeature] = []
        for item in self.question.features:
            for version in () if item.bound is None else item.bound.inputs:
                wanted = ResolvedFeature(f"{version.id.feature} of {item.column_name}", version, role=item.role)
                if self._columns.setdefault(_whose(wanted, item), wanted.column_name) == wanted.column_name:
                    inputs.append(wanted)
        self.stored = replace(self.question, features=[*asked, *inputs])
        self._check_fields()

    def _check_fields(self) -> None:
        """Raises UsageError where a field is named that no feature takes."""
        bound = [item.bound for item in self.question.features if item.bound is not None]
        fields = {name for each in bound for name in each.file.feature.request}
        for name in self.question.request:
            if name not in fields:
                hint = did_you_mean(name, fields) or "none of the features takes fields of a request"
                raise UsageError(f"--request {name}: no feature has a field {name!r}", hint=hint)

    def add(self, batch: LabelBatch, joined: pl.DataFrame) -> pl.DataFrame:
        """The joined batch as it was asked for: with the request-time features, and without what was joined for them.

        Raises SourceError for a label whose field does not fit its type, FeatureError where an expression fails.
        """
        columns = [joined[name] for name in batch.frame.columns]
        for at, item in enumerate(self.question.features):
            if item.bound is None:
                columns += [joined[name] for name in self._names(item)]
                continue
            values = self._compute(item, batch, joined)
            self._nulls[at] = self._nulls.get(at, 0) + values.null_count()
            columns.append(_with_zone(values).alias(item.column_name))
            if self.question.times_suffix is not None:
                times = _only(request_times(batch.instants), _named(item, batch))
                columns.append(times.alias(f"{item.column_name}{self.question.times_suffix}"))
        if self.question.splits is not None:
            columns.append(joined[self.question.splits.column])
        return pl.DataFrame(columns)

    def facts(self, facts: JoinFacts) -> JoinFacts:
        """The facts of the whole join, about the features as they were asked for."""
        features: list[JoinedFeature] = []
        keys = []
        found = {item.column_name: at for at, item in enumerate(self.stored.features)}
        own = [item.column_name for item in self.stored.features[: self._asked]]
        places = iter(range(len(own)))
        for at, item in enumerate(self.question.features):
            if item.bound is None:
                place = next(places)
                features.append(facts.features[place])
                keys.append(facts.keys[place])
                continue
            inputs = tuple(replace(each, max_age=self.question.max_age_of(each)) for each in item.bound.inputs)
            nulls = self._nulls.get(at, 0)
            joined = [found[self._columns[_whose(ResolvedFeature("", each, role=item.role), item)]] for each in inputs]
            keys.append(facts.keys[joined[0]])
            known_by: KnownBy = "row" if all(facts.features[each].known_by == "row" for each in joined) else "run"
            features.append(
                JoinedFeature(
                    item.column_name, item.version, 0, facts.labels - nulls, nulls, None, role=item.role, scope="row",
                    warnings=(*(() if item.note is None else (item.note,)), *self._of_inputs(item, facts, found)),
                    inputs=inputs, known_by=known_by,
                )
            )  # fmt: skip
        names = [name for name in facts.columns if name not in self._added()]
        columns = [*names, *self._result_columns()]
        warnings = tuple(dict.fromkeys((*facts.warnings, *self._warnings)))
        return replace(facts, features=tuple(features), keys=tuple(keys), columns=tuple(columns), warnings=warnings)

    @property
    def _asked(self) -> int:
        return sum(item.bound is None for item in self.question.features)

    def _of_inputs(self, item: ResolvedFeature, facts: JoinFacts, found: Mapping[str, int]) -> tuple[str, ...]:
        """What is to be said of inputs that were joined for a feature."""
        assert item.bound is not None
        names = [f"{version.id.feature} of {item.column_name}" for version in item.bound.inputs]
        return tuple(text for name in names if name in found for text in facts.features[found[name]].warnings)

    def _added(self) -> set[str]:
        """The columns that the join of the stored features adds."""
        suffix = self.question.times_suffix
        names = {item.column_name for item in self.stored.features}
        names |= set() if suffix is None else {f"{name}{suffix}" for name in names}
        return names | ({self.question.splits.column} if self.question.splits else set())

    def _result_columns(self) -> list[str]:
        names = [name for item in self.question.features for name in self._names(item)]
        return names + ([self.question.splits.column] if self.question.splits else [])

    def _names(self, item: ResolvedFeature) -> list[str]:
        suffix = self.question.times_suffix
        return [item.column_name, *([] if suffix is None else [f"{item.column_name}{suffix}"])]

    def _compute(self, item: ResolvedFeature, batch: LabelBatch, joined: pl.DataFrame) -> pl.Series:
        assert item.bound is not None
        kinds = {name: each.data_type.kind for name, each in item.bound.named}
        computation = load_computation(item.bound.file, kinds)
        columns = [
            joined[self._columns[_whose(ResolvedFeature("", each, role=item.role), item)]].alias(name)
            for name, each in item.bound.named
        ]
        columns += [self._field(item, name, batch) for name in computation.feature.request]
        columns.append(request_times(batch.instants))
        self._check(computation, columns, batch)
        values = compute(computation, columns, first_row=batch.done + 1)
        return _only(values, _named(item, batch))

    def _check(self, computation: Computation, columns: Sequence[pl.Series], batch: LabelBatch) -> None:
        if not batch.done:
            check_rows(computation, columns)

    def _field(self, item: ResolvedFeature, name: str, batch: LabelBatch) -> pl.Series:
        assert item.bound is not None
        kind = item.bound.file.feature.request[name]
        column = self.question.request.get(name, name)
        if column not in batch.frame.columns:
            hint = did_you_mean(column, batch.frame.columns)
            raise UsageError(
                f"{item.column_name} takes the field {name!r} of a request, and the labels have no column {column!r}",
                where=batch.labels_name,
                hint=f"--request {name}=COLUMN names the column that holds it" + (f"; {hint}" if hint else ""),
            )
        column = find_column(batch.frame.columns, column, batch.labels_name, f"--request {name}=")
        dialect = self.question.dialect
        try:
            found = from_column(name, kind, batch.frame[column], self.question.timezone, dialect)
        except SourceError as exc:
            where = f"{batch.labels_name}, column {column!r}"
            text = f"the field {name!r} of {item.column_name}: {exc.message}"
            raise SourceError(text, where=where, hint=f"cast the column to {kind}") from exc
        if found.misfit is not None:
            value = batch.frame[column].slice(found.misfit, 1).to_list()[0]
            setting = setting_for(value, kind, dialect) if isinstance(value, str) else None
            way_out = (
                "" if setting is None else f"if it is meant to be one, or null: {as_flags(setting, column)}; else "
            )
            raise SourceError(
                f"{value!r} in the column {column!r} is no {kind}, the type of the field "
                f"{name!r} of {item.column_name}, or would lose something as one",
                where=f"{batch.labels_name}, row {batch.done + found.misfit + 1}",
                hint=f"{way_out}fix the value, or declare another type in request=",
            )
        if found.naive and self.question.timezone is None:
            self._warnings[f"{batch.labels_name}, column {column!r}: {NAIVE}"] = None
        return found.values


def _whose(item: ResolvedFeature, asked: ResolvedFeature) -> _Whose:
    return asked.role, item.version.id.feature, item.version.id.sha256


def _named(item: ResolvedFeature, batch: LabelBatch) -> pl.Series:
    return batch.named[item.version.entity_type.name, item.role]


def _only(values: pl.Series, named: pl.Series) -> pl.Series:
    """The values of labels that name an entity; of the others null."""
    return values if named.all() else values.set(~named, None)


def _with_zone(values: pl.Series) -> pl.Series:
    return values.cast(INSTANT_UTC) if isinstance(values.dtype, pl.Datetime) else values
