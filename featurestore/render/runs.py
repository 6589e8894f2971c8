"""How a run looks: the answer of ``ingest`` and the audit log of ``runs``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text

from featurestore import times
from featurestore.model import FeatureRun, Json, RejectedRow, Run
from featurestore.render.style import BAD, DIM, NAME, WARN, facts, instant, plural, status, table

if TYPE_CHECKING:
    from rich.console import Console

    from featurestore.workflows.runs import RunDetail

WIDE, NARROW = 118, 90
EMPTY_DRIFT: dict[str, Json] = {
    "detected": False, "score": None, "statistic": None, "p_value": None, "method": None, "threshold": None,
    "reasons": [], "reference_run": None,
}  # fmt: skip


def run_json(run: Run) -> dict[str, Json]:
    """One run in the keys of ``runs --json``."""
    return {
        "run_id": run.run_id,
        "run_seq": run.run_seq,
        "started_at": times.format_instant(run.started_at),
        "finished_at": times.format_instant(run.finished_at),
        "duration_s": run.duration_s,
        "status": run.status,
        "source": ", ".join(run.sources),
        "host": run.host,
        "git_commit": run.git_commit,
        "features": [feature_json(item) for item in run.features],
    }


def feature_json(item: FeatureRun) -> dict[str, Json]:
    """One feature of a run in the keys of ``ingest --json``."""
    error = item.error
    return {
        "name": item.name,
        "version": item.version,
        "sha256": item.sha256,
        "new_version": item.new_version,
        "status": item.status,
        "rows_read": item.rows_read,
        "rows_rejected": item.rows_rejected,
        "rows_written": item.rows_written,
        "rows_unchanged": item.rows_unchanged,
        "rows_corrected": item.rows_corrected,
        "source": item.source,
        "drift": dict(item.drift) if item.drift is not None else dict(EMPTY_DRIFT),
        "note": item.note,
        "error": None if error is None else asdict(error),
    }


def rejected_json(row: RejectedRow) -> dict[str, Json]:
    return {**asdict(row), "values": dict(row.values)}


def draw_run(console: Console, run: Run, rejected: Sequence[RejectedRow] = (), *, dry_run: bool = False) -> None:
    """One run: its features with counts, what was set aside, what failed and why."""
    if run.features:
        draw_features(console, run)
    draw_errors(console, run)
    if rejected:
        draw_rejected(console, rejected)
    console.print(Text(("\n" if run.features else "") + _closing(run, dry_run=dry_run)))


def draw_features(console: Console, run: Run) -> None:
    """A row per feature; counts that are nothing everywhere get no column."""
    counts = {
        "written": [item.rows_written for item in run.features],
        "corrected": [item.rows_corrected for item in run.features],
        "unchanged": [item.rows_unchanged for item in run.features],
        "set aside": [item.rows_rejected for item in run.features],
    }
    shown = [name for name, numbers in counts.items() if any(numbers)]
    drift = any(item.drift is not None for item in run.features)
    notes = any(item.note for item in run.features)
    columns = ["feature", "version", "status", *shown, *(["drift"] if drift else []), *([""] if notes else [])]
    grid = table(*columns, right=("version", *shown))
    for at, item in enumerate(run.features):
        version = "" if item.version is None else f"{item.version}{' new' if item.new_version else ''}"
        cells: list[str | Text] = [f"{counts[name][at]:,}" if counts[name][at] else "" for name in shown]
        cells += [_drift(item)] if drift else []
        cells += [Text(item.note or "", style=DIM)] if notes else []
        grid.add_row(Text(item.name, style=NAME), version, status(item.status), *cells)
    console.print(grid)


def draw_errors(console: Console, run: Run) -> None:
    """What failed: what happened, where, and what to do."""
    for item in run.features:
        if item.error is not None:
            console.print(Text(f"\n{item.name}: {item.error.message}", style=BAD))
            if item.error.where:
                console.print(Text(f"  at {item.error.where}", style=DIM))
            if item.error.hint:
                console.print(Text(f"  hint: {item.error.hint}", style=DIM))


def draw_runs(console: Console, runs: Sequence[Run]) -> None:
    """The audit log, newest first."""
    if not runs:
        console.print("no runs yet; featurestore ingest makes the first")
        return
    wide, narrow = console.width >= WIDE, console.width < NARROW
    columns: dict[str, Callable[[Run], str | Text]] = {"run": lambda run: Text(run.run_id, style=NAME)}
    if wide:  # the id begins with the time as well
        columns["started"] = lambda run: instant(run.started_at)
    columns["status"] = lambda run: status(run.status)
    columns["#"] = lambda run: "–" if run.run_seq is None else str(run.run_seq)
    if not narrow:
        columns["time"] = lambda run: f"{run.duration_s:.2f} s"
        columns["features"] = lambda run: str(len(run.features))
    columns["written"] = partial(_total, "rows_written")
    if not narrow:
        columns["corrected"] = partial(_total, "rows_corrected")
        columns["set aside"] = partial(_total, "rows_rejected")
    if wide and any(run.git_commit for run in runs):
        columns["commit"] = lambda run: Text(run.git_commit or "", style=DIM)
    grid = table(*columns, right=("#", "time", "features", "written", "corrected", "set aside"))
    for run in runs:
        grid.add_row(*(cell(run) for cell in columns.values()))
    console.print(grid)


def _total(field: str, run: Run) -> str:
    total = sum(getattr(item, field) for item in run.features)
    return f"{total:,}" if total else ""


def draw_detail(console: Console, detail: RunDetail) -> None:
    """Everything about one run."""
    run = detail.run
    rows: list[tuple[str, str | Text]] = [
        ("run", run.run_id), ("status", status(run.status)), ("started", instant(run.started_at)),
        ("seconds", f"{run.duration_s:.2f}"),
        ("number", "none: nothing was stored" if run.run_seq is None else str(run.run_seq)),
        ("sources", ", ".join(run.sources)), ("host", run.host), ("commit", run.git_commit or "–"),
    ]  # fmt: skip
    console.print(facts(rows))
    console.print()
    draw_features(console, run)
    draw_errors(console, run)
    if detail.rejected:
        draw_rejected(console, detail.rejected)


def draw_rejected(console: Console, rejected: Sequence[RejectedRow], limit: int = 20) -> None:
    grid = table("set aside", "column", "reason")
    for row in rejected[:limit]:
        grid.add_row(row.place, row.column or "", Text(row.reason, style=WARN))
    console.print(grid)
    if len(rejected) > limit:
        console.print(Text(f"and {len(rejected) - limit:,} more; featurestore runs RUN --json has them all", style=DIM))


def _drift(item: FeatureRun) -> Text:
    if item.drift is None:
        return Text("")
    score = item.drift.get("score")
    if item.drift.get("detected"):
        reasons = item.drift.get("reasons")
        why = ", ".join(str(reason) for reason in reasons) if isinstance(reasons, list) else ""
        return Text(f"{_score(score)} {why}", style=WARN)
    return Text(_score(score), style=DIM)


def _score(score: Json) -> str:
    return f"{score:.3f}" if isinstance(score, int | float) else ""


def _closing(run: Run, *, dry_run: bool) -> str:
    written = sum(item.rows_written for item in run.features)
    corrected = sum(item.rows_corrected for item in run.features)
    failed = sum(item.status == "failed" for item in run.features)
    if not run.features:
        return "there are no features; declare one in features/"
    if failed == len(run.features):
        return "nothing was committed"
    if not written and not corrected and not failed:
        unchanged = all(item.status == "unchanged" for item in run.features)
        return "nothing new: the sources and the code are those of the last run" if unchanged else "no new values"
    words = [f"{plural(written, 'value')} written"] + ([f"{corrected:,} corrected"] if corrected else [])
    verb = "would have " if dry_run else ""
    tail = f", {plural(failed, 'feature')} failed" if failed else ""
    return f"{verb}{' and '.join(words)} in {run.duration_s:.2f} s{tail} (run {run.run_id})"
