"""A backfill: ordinary runs in a row, each with the end of its step for a clock.

What a version has taken moves with each step, so that a backfill that was broken off goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from featurestore.config import Project
from featurestore.errors import UsageError
from featurestore.frozen import frozen
from featurestore.offline.contract import OfflineStore
from featurestore.progress import SILENT, Progress
from featurestore.times import format_instant
from featurestore.workflows.ingest.events import Step
from featurestore.workflows.ingest.ingest import IngestRequest, IngestResult, ingest
from featurestore.workflows.ingest.steps import cut_steps


@frozen
class BackfillStep:
    """What one step did: the values dated from ``since`` up to ``until`` (µs, exclusive)."""

    since: int
    until: int
    result: IngestResult


@frozen
class BackfillResult:
    """The steps that were made; those that an earlier backfill had made are not among them."""

    steps: tuple[BackfillStep, ...]

    def exit_code(self, *, fail_on_drift: bool = False) -> int:
        """That of the steps together: 4 where none committed, 3 where some of it failed or was set aside."""
        codes = [step.result.exit_code(fail_on_drift=fail_on_drift) for step in self.steps]
        if codes and all(code == 4 for code in codes):
            return 4
        return 3 if any(code in (3, 4) for code in codes) else max(codes, default=0)


def backfill(
    project: Project,
    store: OfflineStore,
    request: IngestRequest,
    bounds: tuple[int, int],
    length: int | None = None,
    progress: Progress = SILENT,
    done: Callable[[BackfillStep], None] = lambda _step: None,
) -> BackfillResult:
    """Makes the runs of a backfill between two instants (µs), ``length`` µs at a time; ``done`` is told each.

    A step in which every feature fails ends it. A dry run is one step: it gives the same values. Raises UsageError for
    a version that was ingested otherwise, and what `ingest` raises; steps that were made before stay.
    """
    since, until = bounds
    steps = cut_steps(since, until, length)
    if request.options.input is not None or request.options.allow_future:
        raise UsageError("a backfill takes neither --input nor --allow-future", hint="leave them out, or --since")
    if request.options.dry_run:
        steps = steps[-1:]
    made: list[BackfillStep] = []
    begin = since
    for step in steps:
        progress(f"from {format_instant(begin)} to {format_instant(step.until)}")
        one = BackfillStep(begin, step.until, ingest(project, store, _of_step(request, since, step), progress))
        if one.result.run.features:
            made.append(one)
            done(one)
        if one.result.run.status == "failed" and one.result.run.features:
            break
        begin = step.until
    return BackfillResult(tuple(made))


def _of_step(request: IngestRequest, since: int, step: Step) -> IngestRequest:
    return replace(request, options=replace(request.options, since=since, step=step))
