"""Lines for people on stderr and in hooks: plain strings, built without Rich because most commands need none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from featurestore.errors import plural
from featurestore.point_in_time.entities import format_entity
from featurestore.render.words import drift_reasons

if TYPE_CHECKING:
    from featurestore.model import Check, RejectedRow, Run
    from featurestore.registry.discovery import BrokenDeclaration
    from featurestore.workflows.check import CheckFinding, CheckResult
    from featurestore.workflows.delete import DeleteResult
    from featurestore.workflows.lock import LockResult
    from featurestore.workflows.sync import SyncResult
    from featurestore.workflows.verify.replay import Replay

MOST_LINES = 10


def problem_lines(broken: Sequence[BrokenDeclaration]) -> list[str]:
    """A line for each declaration that can't be used."""
    return [
        f"{item.problem.where or item.name}: {item.problem.message}"
        + (f" ({item.problem.hint})" if item.problem.hint else "")
        for item in broken
    ]


def failure_lines(checks: Sequence[Check]) -> list[str]:
    """A line for each check of ``doctor`` that fails."""
    failed = [check for check in checks if check.state == "fail"]
    return [f"{check.area}: {check.what}" + (f"; {check.hint}" if check.hint else "") for check in failed]


def run_lines(run: Run, rejected: Sequence[RejectedRow], *, dry_run: bool) -> list[str]:
    """A line for each feature that failed, and for the first rows set aside, none of which a dry run stores."""
    failed = [
        f"{item.name}: {item.error.message}"
        + (f" ({item.error.where})" if item.error.where else "")
        + (f"; {item.error.hint}" if item.error.hint else "")
        for item in run.features
        if item.error is not None
    ]
    rows = [f"set aside: {row.place}: {row.column or 'row'}: {row.reason}" for row in rejected]
    return [*failed, *_at_most(rows, "" if dry_run else f"; featurestore runs {run.run_id} --json")]


def drift_lines(run: Run) -> list[str]:
    """A line for each feature that has drifted, with its reasons."""
    drifted = [(item.name, item.drift) for item in run.features if item.drift is not None and item.drift["detected"]]
    return [f"{name} has drifted: {drift_reasons(drift)}" for name, drift in drifted]


def round_line(run: Run) -> str:
    """A run of ``--follow`` in one line."""
    written = sum(item.rows_written + item.rows_corrected + item.rows_withdrawn for item in run.features)
    aside = max((item.rows_rejected for item in run.features), default=0)
    failed = sum(item.status == "failed" for item in run.features)
    line = (
        f"{run.status}: {plural(written, 'value')} written" if run.run_seq is not None else f"{run.status}: nothing new"
    )
    line += f", {plural(aside, 'record')} set aside" if aside else ""
    return line + (f", {plural(failed, 'feature')} failed" if failed else "")


def finding_lines(result: CheckResult) -> list[str]:
    """What ``check`` found, each with its hint; at most ten lines, for a hook."""
    return _at_most([*map(finding_line, result.findings)], "; featurestore check lists them all")


def finding_line(finding: CheckFinding) -> str:
    """What is wrong, where, and what to do."""
    return f"{finding.where}: {finding.message}" + (f"; {finding.hint}" if finding.hint else "")


def locked_lines(locked: LockResult, *, dry_run: bool) -> list[str]:
    """What was written, renumbered and settled, or would be."""
    verbs = {"written": "wrote", "renumbered": "renumbered", "metadata": "wrote the metadata of"}
    if dry_run:
        verbs = {"written": "would write", "renumbered": "would renumber", "metadata": "would write the metadata of"}
    settled = "would settle" if dry_run else "settled"
    return [
        *(f"{settled} the merge conflict in {path}" for path in locked.settled),
        *(
            f"{verbs[item.what]} {item.name} version {item.version.number} ({item.version.short})"
            for item in locked.versions
        ),
    ]


def staging_lines(locked: LockResult, root: Path) -> list[str]:
    """The version files that a hook wrote and git has yet to be told of; at most ten lines."""
    lines = []
    for item in locked.versions:
        path = item.version.path.relative_to(root)
        copies = item.version.path.with_suffix(".files").is_dir()
        lines.append(f"wrote {path} and {path.stem}.files; git add them" if copies else f"wrote {path}; git add it")
    lines += [f"settled the merge conflict in {path}; git add it" for path in locked.settled]
    return _at_most(lines, "; git add features/.versions")


def left_lines(result: DeleteResult) -> list[str]:
    """What still names an erased entity, and would bring it back."""
    name = f"{result.entity_type.name} {format_entity(result.entity_type, result.entity)}"
    back = f"still names {name}; remove it there, or the next ingestion brings it back"
    return [*(f"{file} {back}" for file in result.named_in), *result.unread, *result.namesakes]


def replay_line(replay: Replay) -> str:
    """How many answers were compared, and how many the history gives otherwise."""
    counts = (
        f"{plural(replay.lines, 'line')}, {plural(replay.checked, 'value')} compared: {replay.different:,} different"
    )
    counts += f", {plural(replay.behind, 'line')} behind" if replay.behind else ""
    return counts + (f", {replay.unreadable:,} unreadable" if replay.unreadable else "")


def sync_line(result: SyncResult) -> str:
    """A sync in one line."""
    if not result.features and result.warnings:
        return "nothing was written"
    if not result.features:
        return "nothing to sync: no feature has a version with a committed run"
    if not result.entities_written:
        return "nothing to do: the online store is up to date with the history's last run"
    verb = "would write" if result.dry_run else "wrote"
    seconds = "" if result.dry_run else f" in {result.duration_s:.2f} s"
    features = plural(sum(1 for item in result.features if item.entities_written), "feature")
    return f"{verb} {plural(result.entities_written, 'value')} of {features}{seconds} ({result.mode})"


def _at_most(lines: list[str], rest: str) -> list[str]:
    if len(lines) <= MOST_LINES:
        return lines
    return [*lines[: MOST_LINES - 1], f"and {len(lines) - MOST_LINES + 1} more{rest}"]
