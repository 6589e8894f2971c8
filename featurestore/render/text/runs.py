"""A run: what ``ingest`` did, and the audit log of ``runs``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from featurestore.errors import plural
from featurestore.model import FeatureRun, Json, Problem, RejectedRow, Run
from featurestore.render.text.style import BAD, DIM, NAME, WARN, facts, line, status
from featurestore.render.text.table import Column, table
from featurestore.render.words import count, drift_reasons, instant, score
from featurestore.runs import GONE, fewest_rejected
from featurestore.workflows.runs import RunDetail

if TYPE_CHECKING:
    from featurestore.workflows.ingest.backfill import BackfillResult

MOST_REJECTED = 20
MOST_NAMES = 5


def ingest_page(run: Run, *, dry_run: bool = False, sources: Sequence[RenderableType] = ()) -> RenderableType:
    """One run: its features with counts, and a closing line. `ingest_problems` is the other half.

    ``sources`` are pages of how each is read, for a dry run, which also says what is evaluated, and why.
    """
    evaluated = _evaluated(run) if dry_run else []
    return Group(*sources, *_features_and_notes(run), *evaluated, line(_closing(run, dry_run=dry_run)))


def ingest_problems(run: Run, rejected: Sequence[RejectedRow] = (), *, dry_run: bool = False) -> RenderableType | None:
    """What of one run failed and why, and what was set aside; None where nothing was."""
    parts = [*_errors(run), *(_rejected(run, rejected, dry_run=dry_run) if rejected else [])]
    return Group(*parts) if parts else None


def backfill_page(found: BackfillResult, *, dry_run: bool) -> RenderableType:
    """The steps of a backfill with what each wrote, and what there is to say of their features."""
    if not found.steps:
        return line("nothing to do: the backfill was made before")
    columns = [
        Column("from", spare=1), Column("until"), Column("status"), Column("written", "number"),
        Column("corrected", "number", spare=2), Column("set aside", "number"), Column("run", style=DIM, spare=3),
    ]  # fmt: skip
    rows: list[tuple[str | Text, ...]] = []
    for step in found.steps:
        run = step.result.run
        shown = "would be" if dry_run else run.run_id
        rows.append((instant(step.since), instant(step.until), status(run.status), *_totals(run), shown))
    return Group(table(columns, rows), line(_closing(found.steps[-1].result.run, dry_run=dry_run)))


def runs_table(runs: Sequence[Run]) -> RenderableType:
    """The audit log, newest first."""
    if not runs:
        return line("no runs yet; featurestore ingest makes the first")
    columns = [
        Column("run", style=NAME), Column("started", spare=7), Column("status"), Column("#", "number"),
        Column("time", "number", spare=4), Column("features", "number", spare=3), Column("written", "number"),
        Column("corrected", "number", spare=2), Column("set aside", "number", spare=1),
        Column("commit", style=DIM, spare=6),
    ]  # fmt: skip
    return table(columns, map(_run_cells, runs))


def run_page(detail: RunDetail) -> RenderableType:
    """Everything about one run."""
    run = detail.run
    rows: list[tuple[str, str | Text]] = [
        ("run", run.run_id), ("status", status(run.status)), ("started", instant(run.started_at)),
        ("seconds", f"{run.duration_s:.2f}"),
        ("number", "none: nothing was stored" if run.run_seq is None else str(run.run_seq)),
        ("sources", ", ".join(run.sources)), ("host", run.host), ("commit", run.git_commit or "–"),
    ]  # fmt: skip
    return Group(facts(rows), *_run_parts(run, detail.rejected))


def _totals(run: Run) -> Iterator[str]:
    """Values that were written and corrected, and rows that were set aside."""
    for name in ("rows_written", "rows_corrected"):
        yield count(sum(getattr(item, name) for item in run.features))
    yield count(_fewest_rejected(run))


def _run_cells(run: Run) -> tuple[str | Text, ...]:
    return (
        run.run_id, instant(run.started_at), status(run.status), "–" if run.run_seq is None else str(run.run_seq),
        f"{run.duration_s:.2f} s", str(len(run.features)), *_totals(run), run.git_commit or "",
    )  # fmt: skip


def _run_parts(run: Run, rejected: Sequence[RejectedRow]) -> list[RenderableType]:
    return [*_features_and_notes(run), *_errors(run), *(_rejected(run, rejected) if rejected else [])]


def _features_and_notes(run: Run) -> list[RenderableType]:
    """The table, and below it what there is to say of some of its features, each sentence once."""
    if not run.features:
        return []
    notes: dict[str, list[str]] = {}
    for item in run.features:
        if item.note:
            notes.setdefault(item.note, []).append(item.name)
    lines = [Text(f"{_list(names)}: {note}", style=DIM) for note, names in notes.items()]
    return [_features(run), *lines]


def _list(names: Sequence[str]) -> str:
    """Names in a row, the first few of many."""
    shown = ", ".join(names[:MOST_NAMES])
    return shown if len(names) <= MOST_NAMES else f"{shown} and {len(names) - MOST_NAMES:,} more"


def _features(run: Run) -> RenderableType:
    columns = [
        Column("feature", "name", NAME), Column("version", "number", spare=3), Column("status"),
        Column("written", "number"), Column("corrected", "number", spare=1), Column("unchanged", "number", spare=4),
        Column("set aside", "number"), Column("drift", "words"),
    ]  # fmt: skip
    # Rare, so no column for them where there are none.
    more = [(name, label) for name, label in _SELDOM.items() if any(getattr(item, name) for item in run.features)]
    columns[5:5] = [Column(label, "number", spare=2) for _, label in more]
    return table(columns, (_feature_cells(item, [name for name, _ in more]) for item in run.features))


_SELDOM = {"rows_withdrawn": "withdrawn", "steps_written": "steps", "rows_older": "older"}


def _feature_cells(item: FeatureRun, more: Sequence[str]) -> tuple[str | Text, ...]:
    version = "" if item.version is None else f"{item.version}{' new' if item.new_version else ''}"
    seldom = [getattr(item, name) for name in more]
    counts = (item.rows_written, item.rows_corrected, *seldom, item.rows_unchanged, item.rows_rejected)
    return (item.name, version, status(item.status), *map(count, counts), _drift(item))


def _evaluated(run: Run) -> list[RenderableType]:
    """How much of its source each feature is evaluated over, and why."""
    return [
        line(
            f"{item.name}: {item.rows_computed:,} of {item.rows_read:,} rows are evaluated"
            f"{_share(item.rows_computed, item.rows_read)} ({item.reason})",
            DIM,
        )
        for item in run.features
        if item.reason is not None
    ]


def _share(part: int, whole: int) -> str:
    return f", {part / whole:.1%}" if whole else ""


def _errors(run: Run) -> list[RenderableType]:
    """What failed: what happened, where, and what to do; once for all features to which the same happened."""
    failed: dict[Problem, list[str]] = {}
    for item in run.features:
        if item.error is not None:
            failed.setdefault(item.error, []).append(item.name)
    lines: list[RenderableType] = []
    for error, names in failed.items():
        gap = "\n" if lines else ""
        lines.append(line(f"{gap}{_list(names)}: {error.message}", BAD))
        lines += [line(f"  at {error.where}", DIM)] if error.where else []
        lines += [line(f"  hint: {error.hint}", DIM)] if error.hint else []
    return lines


def _rejected(run: Run, rejected: Sequence[RejectedRow], *, dry_run: bool = False) -> list[RenderableType]:
    """The first rows that were set aside, and where the others are: a run stores so many of them, a dry run none."""
    columns = [
        Column("set aside", "id"),
        Column("column", "name"),
        Column("reason", "words", WARN),
    ]
    rows = [(row.place, row.column or "", row.reason) for row in rejected[:MOST_REJECTED]]
    parts: list[RenderableType] = [table(columns, rows)]
    hidden, lost = len(rejected) - MOST_REJECTED, _fewest_rejected(run) - len(rejected)
    if hidden > 0:
        more = f"and {hidden:,} more: featurestore runs {run.run_id} --rejected"
        parts.append(Text("; ".join([more, *_not_stored(lost)]), style=DIM))
    return parts


def rejected_page(detail: RunDetail, path: Path | None) -> RenderableType:
    """All rows that a run set aside, or where they were written."""
    count, lost = len(detail.rejected), _fewest_rejected(detail.run) - len(detail.rejected)
    others = _not_stored(lost)
    if path is not None:
        return Text("; ".join([f"{plural(count, 'row')} written to {path}", *others]))
    if not count and others:  # its details are older than `[log] keep`
        return Text(f"run {detail.run.run_id} set {plural(lost, 'row')} aside, of which none is stored any more")
    if not count:
        forgotten = not detail.run.features or any(item.note == GONE for item in detail.run.features)
        return Text(f"run {detail.run.run_id}: {GONE}" if forgotten else f"run {detail.run.run_id} set no row aside")
    columns = [Column("set aside", "id"), Column("column", "name"), Column("reason", "words", WARN)]
    rows = table(columns, [(row.place, row.column or "", row.reason) for row in detail.rejected])
    return Group(rows, Text("".join(others), style=DIM)) if others else rows


def _not_stored(lost: int) -> list[str]:
    return [f"{plural(lost, 'other was', 'others were')} counted and not stored"] if lost > 0 else []


def _fewest_rejected(run: Run) -> int:
    """How many rows were set aside at least: several features may have read the same ones of a source."""
    return fewest_rejected((item.source, item.rows_rejected) for item in run.features)


def _drift(item: FeatureRun) -> Text:
    if item.drift is None:
        return Text("")
    measured = _score(item.drift.get("score"))
    if item.drift.get("detected"):
        return Text(f"{measured} {drift_reasons(item.drift)}".strip(), style=WARN)
    return Text(measured, style=DIM)


def _score(value: Json) -> str:
    return score(value) if isinstance(value, int | float) else ""


def _closing(run: Run, *, dry_run: bool) -> str:
    written = sum(item.rows_written for item in run.features)
    corrected = sum(item.rows_corrected for item in run.features)
    withdrawn = sum(item.rows_withdrawn for item in run.features)
    steps = sum(item.steps_written for item in run.features)
    failed = sum(item.status == "failed" for item in run.features)
    if not run.features:
        return "there are no features; declare one in features/"
    if failed == len(run.features):
        return "nothing was committed"
    if not written and not corrected and not withdrawn and not steps and not failed:
        if all(item.status == "unchanged" and not item.rows_read for item in run.features):
            if run.run_seq is not None:  # a version that was active before
                return "no new values: the sources have not changed since it was ingested"
            return "nothing new: sources and code have not changed since the last run"
        older = max(item.rows_older for item in run.features)
        if older:
            those = "1 row is" if older == 1 else f"{older:,} rows are"
            return f"no new values: {those} older than what is held, by updated_at"
        return "no new values: what the rows that were read give by now is held already"
    tail = f", {plural(failed, 'feature')} failed" if failed else ""
    if dry_run:
        others = [f"{verb} {rows:,}" for verb, rows in (("correct", corrected), ("withdraw", withdrawn)) if rows]
        others += [f"add {plural(steps, 'step')}"] if steps else []
        would = " and ".join([f"write {plural(written, 'value')}", *others])
        return f"would {would}{tail}"
    others = [f"{rows:,} {done}" for rows, done in ((corrected, "corrected"), (withdrawn, "withdrawn")) if rows]
    others += [f"{plural(steps, 'step')} of windows"] if steps else []
    counts = " and ".join([f"{plural(written, 'value')} written", *others])
    return f"{counts} in {run.duration_s:.2f} s{tail} (run {run.run_id})"
