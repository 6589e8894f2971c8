"""`FeatureStore`: a project from Python, by the workflows that the commands call.

What a command reads and writes, the method of its name does; it returns the command's document as a frozen value, or a
frame. A store is open only while a method runs, so that a notebook that stands open never holds up a job. Nothing heavy
is imported before it is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from featurestore.client import labels as tables
from featurestore.client import notebook, options, results
from featurestore.client.options import Duration, Entities, Instant
from featurestore.config import Project, find_root, load_project
from featurestore.dialect import STANDARD
from featurestore.errors import UsageError
from featurestore.progress import Progress

if TYPE_CHECKING:
    from typing import TypedDict, Unpack

    import polars as pl

    from featurestore.client.online import OnlineReader
    from featurestore.offline.contract import OfflineStore
    from featurestore.workflows.join.files import JoinResult
    from featurestore.workflows.join.question import JoinQuestion

    class JoinOptions(TypedDict, total=False):
        """The keywords of `FeatureStore.historical_features` that both of its forms have, for type checkers."""

        entities: Entities | None
        entity_type: str | None
        entity_column: Sequence[str] | str
        known: bool
        as_of: Instant | None
        max_age: Duration | None
        before: bool
        lag: Duration | None
        with_times: bool
        times_suffix: str
        timezone: str | None
        split: Mapping[str, Instant | None] | None
        split_column: str
        request: Mapping[str, str] | None
        delimiter: str
        dialect: Mapping[str, Any] | None
        dataset: str | None
        keep_labels: bool
        replace: bool
        batch_rows: int | None
        strict: bool
        progress: Progress | None


DriftResult = results.DriftOverview | results.DriftTimeline


class FeatureStore:
    """A project, opened from Python.

    ``path`` is its folder; by default the one that ``FEATURESTORE_PROJECT`` names, else the nearest one at or above the
    current folder that has a featurestore.toml. Threads may share it. Raises NoProjectError, ConfigError.

    Every method raises `featurestore.errors.FeatureStoreError`: ``code``, ``message``, ``where``, ``hint`` and
    ``exit_code`` are those of the command line. What a command warns of is a `FeatureStoreWarning`.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.project: Project = load_project(find_root(named=None if path is None else str(path)))

    def __repr__(self) -> str:
        return f"FeatureStore({str(self.project.root)!r})"

    # Data out

    @overload
    def historical_features(
        self, labels: Any, features: Sequence[str], *, timestamp_column: str, output: None = None,
        **how: Unpack[JoinOptions],
    ) -> pl.DataFrame: ...  # fmt: skip

    @overload
    def historical_features(
        self, labels: Any, features: Sequence[str], *, timestamp_column: str, output: str | Path,
        **how: Unpack[JoinOptions],
    ) -> results.JoinSummary: ...  # fmt: skip

    def historical_features(
        self, labels: Any, features: Sequence[str], *, timestamp_column: str, output: str | Path | None = None,
        entities: Entities | None = None, entity_type: str | None = None, entity_column: Sequence[str] | str = (),
        known: bool = False, as_of: Instant | None = None, max_age: Duration | None = None, before: bool = False,
        lag: Duration | None = None, with_times: bool = False, times_suffix: str = ".at", timezone: str | None = None,
        split: Mapping[str, Instant | None] | None = None, split_column: str = "split",
        request: Mapping[str, str] | None = None, delimiter: str = ",", dialect: Mapping[str, Any] | None = None,
        dataset: str | None = None, keep_labels: bool = True, replace: bool = False, batch_rows: int | None = None,
        strict: bool = False, progress: Progress | None = None,
    ) -> pl.DataFrame | results.JoinSummary:  # fmt: skip
        """Joins features to labels: for each label the values that were true at its time, as ``join`` does.

        ``labels`` are a Polars or pandas DataFrame, an Arrow table, a DuckDB relation, or the path of a file. The
        result has their rows, order and columns and one more column per feature; with ``output`` it is written to that
        file, in bounded memory, and a summary is returned. ``entities`` says which columns hold the keys, where they
        are not called like them: ``{"customer": "buyer_id"}``, for several keys ``{"shop": ["country", "shop_id"]}``,
        and for a role ``{"payer": ("customer", "from_id")}``, whose features are asked for as ``payer.NAME``.
        ``request`` names the columns that hold the fields of request-time features, where they are called otherwise:
        ``{"amount": "basket_total"}``. ``dialect`` has settings of how a file is written, as sources have them:
        ``{"encoding": "cp1252", "columns": {"at": {"unit": "ms"}}}``. Times are datetimes or ISO 8601, durations
        timedeltas or texts like ``36h``. The other keywords are the options of ``join`` of the same names; ``split``
        maps each part to the instant before which it ends, the last to None.

        >>> store.historical_features("labels.csv", ["age_normalized"], timestamp_column="diagnosed_at")
        """
        from featurestore.workflows.datasets.create import NewDataSet
        from featurestore.workflows.join.files import join_files
        from featurestore.workflows.table_files import TableFile

        asked = options.names("features", features)
        one = (entity_column,) if isinstance(entity_column, str) else tuple(entity_column)
        new = None if dataset is None else NewDataSet(dataset, store_labels=keep_labels, replace=replace)
        with self._offline() as store, notebook.progress(progress) as report:
            written = options.dialect(delimiter, dialect)
            question = self._question(
                store, asked, timestamp_column, entities, entity_type, one,
                known=known, as_of=options.instant("as_of", as_of), max_age=options.duration("max_age", max_age),
                lag=(options.duration("lag", lag) or 0) + before, timezone=options.timezone(timezone),
                times_suffix=times_suffix if with_times else None, splits=options.splits(split, split_column),
                strict=strict, dialect=written,
                request=dict(request or {}),
            )  # fmt: skip
            path = tables.as_path(labels)
            if path is None and output is None and new is None:
                return self._join_frame(store, question, tables.as_frame(labels, "labels"), batch_rows, report)
            sink = None if output is None else TableFile(Path(output))
            with _in_file(labels, "labels") as file:
                assert file is not None
                name = "labels" if path is None else ""
                source = TableFile(file, None, name, written)
                found = join_files(
                    self.project, store, question, source, sink, new, batch_rows=batch_rows, progress=report
                )
        options.warn(found.facts.all_warnings)
        return _summary(found, Path(output)) if output is not None else _frame(found)

    @overload
    def latest(
        self, entity_type: str, features: Sequence[str], *, at: Instant | None = None, known: bool = False,
        output: None = None, progress: Progress | None = None,
    ) -> pl.DataFrame: ...  # fmt: skip

    @overload
    def latest(
        self, entity_type: str, features: Sequence[str], *, at: Instant | None = None, known: bool = False,
        output: str | Path, progress: Progress | None = None,
    ) -> results.LatestSummary: ...  # fmt: skip

    def latest(
        self, entity_type: str, features: Sequence[str], *, at: Instant | None = None, known: bool = False,
        output: str | Path | None = None, progress: Progress | None = None,
    ) -> pl.DataFrame | results.LatestSummary:  # fmt: skip
        """One row per entity as of a time (by default now), sorted by the keys: for scoring everybody.

        The answers are those of a join of all entities with that time. With ``output`` they go to that file.

        >>> store.latest("patient", ["age_normalized"], at="2024-07-01T00:00:00Z")
        """
        from featurestore import times
        from featurestore.render.json.joins import latest_document
        from featurestore.workflows.join.question import resolve_features
        from featurestore.workflows.latest import latest
        from featurestore.workflows.table_files import TableFile

        given = options.instant("at", at)
        path = None if output is None else Path(output)
        with self._offline() as store, notebook.progress(progress) as report:
            asked = resolve_features(self.project, store, options.names("features", features), only=entity_type)
            found = latest(
                self.project, store, entity_type, asked, at=times.now() if given is None else given, known=known,
                output=None if path is None else TableFile(path), progress=report,
            )  # fmt: skip
        options.warn(found.warnings)
        if found.frame is not None:
            return found.frame
        return results.LatestSummary(latest_document(found, path))

    def online(self) -> OnlineReader:
        """A reader of what is served. Make one per process; its threads may share it."""
        from featurestore.client.online import OnlineReader

        return OnlineReader(self.project)

    def history(self, name: str, entity: str) -> results.History:
        """Every value ever held of an entity, with when it was true and when it was learned.

        >>> store.history("age_normalized", "001").values[0].value
        """
        from featurestore.render.json.history import history_document
        from featurestore.workflows.history import feature_history

        with self._offline() as store:
            return results.History(history_document(feature_history(self.project, store, name, str(entity))))

    def datasets(self) -> results.DataSets:
        """The data sets made so far."""
        from featurestore.render.json.datasets import datasets_document

        with self._offline() as store:
            return results.DataSets(datasets_document(store.datasets()))

    # Features and versions

    def features(
        self,
        query: str | None = None,
        *,
        entity_type: str | None = None,
        tag: str | None = None,
        status: str | None = None,
        owner: str | None = None,
        source: str | None = None,
    ) -> results.Features:
        """The features of the working tree, as ``list`` shows them. Runs no code of theirs."""
        from featurestore.render.json.features import list_document
        from featurestore.workflows.catalogue import Filter, list_features

        found = list_features(self.project, Filter(query, entity_type, tag, status, owner, source))
        options.warn(found.warnings)
        return results.Features(list_document(found))

    def feature(self, name: str) -> results.FeatureDetail:
        """One feature, or one version of it, in detail, as ``show`` shows it; also one that was removed or retired."""
        from featurestore.render.json.features import show_document
        from featurestore.workflows.catalogue import show_feature
        from featurestore.workflows.version_commits import known_commits

        found = show_feature(self.project, name)
        commits = known_commits(self.project, found.entry.feature.name)
        options.warn((*found.warnings, *commits.warnings))
        return results.FeatureDetail(show_document(found, commits.by_file))

    def versions(self, name: str) -> tuple[results.Version, ...]:
        """The versions of a feature, by number."""
        return self.feature(name).versions

    def plan(self, *names: str) -> results.Plan:
        """What the working tree would change: new, changed and removed features."""
        from featurestore.render.json.features import plan_document
        from featurestore.workflows.plan import plan

        found = plan(self.project, names)
        options.warn(found.warnings)
        return results.Plan(plan_document(found, None))

    def diff(
        self,
        name: str,
        old: str | int | None = None,
        new: str | int | None = None,
        *,
        code: bool = False,
        tolerance: float = 0.0,
    ) -> results.Diff:
        """How two versions differ in code, distribution and by entity; with ``code`` in code only.

        ``old`` and ``new`` are numbers, hash prefixes or ``worktree``; with neither the active version is compared with
        the working tree if that differs, else the previous one with the active one.
        """
        from featurestore.render.json.diff import diff_document
        from featurestore.workflows.diff import diff

        sides = [None if side is None else str(side) for side in (old, new)]
        with self._offline() as store:
            found = diff(self.project, name, *sides, store=None if code else store, tolerance=tolerance)
        return results.Diff(diff_document(found.code, found.values, found.entity_type))

    # Data in

    def ingest(
        self, *names: str, input: Any = None, source: Sequence[str] = (), full: bool = False,  # noqa: A002  # the option
        strict: bool = False, drift: bool = True, allow_future: bool = False, allow_shrunk: bool = False,
        restart_source: Sequence[str] = (), since: Instant | None = None, until: Instant | None = None,
        step: Duration | None = None, dry_run: bool = False, progress: Progress | None = None,
    ) -> results.IngestRun:  # fmt: skip
        """Reads sources, computes features, versions their code, stores values, measures drift and logs: one run.

        ``input`` is a path or a frame that is read in place of the source's path. A feature that fails is in the
        result, ``status`` says ``partial`` or ``failed``; what could not begin at all raises. With ``since`` it is a
        backfill up to ``until``, ``step`` at a time: the result is the last of its runs, and ``steps`` are all.

        >>> store.ingest("age_normalized").status
        """
        from featurestore.render.json.runs import backfill_document, ingest_document
        from featurestore.workflows.ingest.backfill import backfill
        from featurestore.workflows.ingest.events import IngestOptions
        from featurestore.workflows.ingest.ingest import IngestRequest, ingest
        from featurestore.workflows.ingest.steps import backfill_bounds

        begin, length = options.instant("since", since), options.duration("step", step)
        bounds = backfill_bounds(begin, options.instant("until", until), length, full=full)
        with self._offline() as store, notebook.progress(progress) as report, _in_file(input, "input") as file:
            given = None if file is None else str(file)
            restart = tuple(options.names("restart_source", restart_source))
            how = IngestOptions(given, full, strict, allow_future, allow_shrunk, dry_run, restart, since=begin)
            request = IngestRequest(names, tuple(options.names("source", source)), how, drift=drift)
            project = self.project if tables.as_path(input) or input is None else _reading_frames(self.project)
            if bounds is not None:
                made = backfill(project, store, request, bounds, length, report)
                options.warn(line for each in made.steps for line in each.result.warnings)
                return results.Backfill(backfill_document(made, dry_run=dry_run))
            found = ingest(project, store, request, report)
        options.warn(found.warnings)
        return results.IngestRun(ingest_document(found.run, found.warnings, dry_run=dry_run))

    def sync(
        self,
        *names: str,
        mode: Literal["incremental", "full"] = "incremental",
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> results.Sync:
        """Brings the online store up to date with the history, and serves the active versions."""
        from featurestore.render.json.sync import sync_document
        from featurestore.workflows.sync import sync_project

        if mode not in ("incremental", "full"):
            raise UsageError(f"mode={mode!r} is neither incremental nor full")
        with notebook.progress(progress) as report:
            found = sync_project(self.project, names, mode, dry_run=dry_run, progress=report)
        options.warn(found.warnings)
        return results.Sync(sync_document(found))

    # Watching

    def stats(self, name: str, *, run: str | int | None = None, last: int | None = None) -> results.Stats:
        """The distribution of a run's values (by default the last run that wrote any), and each run's drift score."""
        from featurestore.render.json.stats import stats_document
        from featurestore.workflows.stats import stats

        with self._offline() as store:
            wanted = None if run is None else str(run)
            return results.Stats(stats_document(stats(self.project, store, name, run=wanted, last=last)))

    @overload
    def drift(self, name: None = None, *, last: int | None = None) -> results.DriftOverview: ...

    @overload
    def drift(self, name: str, *, last: int | None = None) -> results.DriftTimeline: ...

    def drift(self, name: str | None = None, *, last: int | None = None) -> DriftResult:
        """A feature's drift timeline; without a name each feature's newest verdict, worst first."""
        from featurestore.render.json.drift import drift_document, overview_document
        from featurestore.workflows.drift.overview import overview
        from featurestore.workflows.drift.timeline import timeline

        with self._offline() as store:
            if name is None:
                return results.DriftOverview(overview_document(overview(self.project, store, last=last)))
            return results.DriftTimeline(drift_document(timeline(self.project, store, name, last=last)))

    def runs(self, *, feature: str | None = None, status: str | None = None, last: int | None = None) -> results.Runs:
        """The audit log, newest first."""
        from featurestore.render.json.runs import runs_document
        from featurestore.workflows.runs import list_runs

        with self._offline() as store:
            found = list_runs(self.project, store, feature=feature, status=status, last=last)
            return results.Runs(runs_document(found))

    def status(self, *, max_age: Duration | None = None) -> results.Status:
        """Freshness, failures, drift and lag of the online store, worst first."""
        from featurestore.render.json.status import status_document
        from featurestore.workflows.status import project_state

        with self._offline() as store:
            found = project_state(self.project, store, max_age=options.duration("max_age", max_age))
        options.warn(found.warnings)
        return results.Status(status_document(found))

    # Inside

    @contextmanager
    def _offline(self) -> Iterator[OfflineStore]:
        """The offline store for one call, which opens and closes it itself."""
        from featurestore.offline.open import open_offline

        store = open_offline(self.project)
        options.warn(store.warnings)
        try:
            yield store
        finally:
            options.warn(store.notices)

    def _question(
        self,
        store: OfflineStore,
        features: Sequence[str],
        timestamp_column: str,
        entities: Entities | None,
        entity_type: str | None,
        entity_column: tuple[str, ...],
        **how: Any,
    ) -> JoinQuestion:
        from featurestore.workflows.join.entities import resolve_entities
        from featurestore.workflows.join.question import EntityColumns, JoinQuestion, resolve_features

        return JoinQuestion(
            resolve_features(self.project, store, features),
            timestamp_column,
            EntityColumns(entity_type, entity_column),
            entities=resolve_entities(self.project, features, options.entity_columns(entities)),
            **how,
        )

    def _join_frame(
        self, store: OfflineStore, question: JoinQuestion, frame: pl.DataFrame, batch_rows: int | None, report: Progress
    ) -> pl.DataFrame:
        """A join in memory, without a file in between."""
        import polars as pl

        from featurestore.workflows.join.batches import join
        from featurestore.workflows.join.files import default_batch_rows

        rows = batch_rows or default_batch_rows(len(question.features))
        batches = [frame] if len(frame) <= rows else frame.iter_slices(rows)
        joined: list[pl.DataFrame] = []
        facts = join(self.project, store, question, batches, joined.append, progress=report)
        options.warn(facts.all_warnings)
        return pl.concat(joined)


@contextmanager
def _in_file(table: Any, what: str) -> Iterator[Path | None]:
    """The file of a table: its own, or a temporary one for a table in memory; None for no table."""
    if table is None or (path := tables.as_path(table)) is not None:
        yield None if table is None else path
        return
    frame = tables.as_frame(table, what)
    import tempfile

    with tempfile.TemporaryDirectory(prefix="featurestore-") as folder:
        file = Path(folder) / f"{what}.parquet"
        frame.write_parquet(file, compression="uncompressed")
        yield file


def _reading_frames(project: Project) -> Project:
    """The project with sources that read what `_in_file` writes, in place of what they are declared to read."""
    sources = {
        name: dataclasses.replace(source, type="parquet", dialect=STANDARD) for name, source in project.sources.items()
    }
    return dataclasses.replace(project, sources=sources)


def _frame(found: JoinResult) -> pl.DataFrame:
    assert found.frame is not None  # as nothing was written to a file
    return found.frame


def _summary(found: JoinResult, output: Path) -> results.JoinSummary:
    from featurestore.render.json.joins import join_document

    return results.JoinSummary(join_document(found.facts, output, None, found.dataset))
