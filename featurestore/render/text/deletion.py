"""What ``delete`` removed, and what that means."""

from __future__ import annotations

from rich.console import Group, RenderableType

from featurestore.errors import plural
from featurestore.point_in_time.entities import format_entity
from featurestore.render.printable import one_line
from featurestore.render.text.style import DIM, line
from featurestore.times import format_instant
from featurestore.workflows.delete import DeleteResult


def delete_lines(result: DeleteResult, *, dry_run: bool) -> RenderableType:
    name = one_line(f"{result.entity_type.name} {format_entity(result.entity_type, result.entity)}")
    rows, features = sum(result.rows.values()), plural(len(result.rows), "feature")
    if not (rows or result.datasets or result.logged or result.beside) and result.run_id is None:
        why = f"{name} is deleted already" if result.deleted_before else f"nothing is stored of {name}"
        done = "completed an erasure that was broken off" if result.completed else "nothing to do"
        return line(f"{done}: {why}")
    if result.erased:
        verb = "would erase" if dry_run else "erased"
        what = f"{plural(rows, 'row')} of {features}" if rows or not result.beside else "what sources brought of it"
        lines = [line(f"{verb} {name}: {what}")] if rows or not result.datasets else []
        if result.datasets:
            labels = f"the labels stored for {plural(len(result.datasets), 'data set')}, which name {name}"
            then = "then" if dry_run else "any more"
            lines.append(line(f"{verb} {labels}; {', '.join(result.datasets)} can't be rebuilt {then}"))
        if result.errors:
            lines.append(line(f"removed the texts of {plural(result.errors, 'recorded error')}, which may quote it"))
        if result.logged:
            lines.append(line(f"{verb} {plural(result.logged, 'line')} of logs of requests"))
        if not dry_run:
            lines.append(line(f"not reached: {'; '.join(result.beyond)}", DIM))
        return Group(*lines)
    verb = "would delete" if dry_run else "deleted"
    lines = [line(f"{verb} {name} from {format_instant(result.at)} on: {features}")]
    if not dry_run:
        lines.append(line("featurestore sync removes its online values", DIM))
    return Group(*lines)


def erase_question(plan: DeleteResult) -> str:
    """The question before an erasure, with what it would remove."""
    name = f"{plan.entity_type.name} {format_entity(plan.entity_type, plan.entity)}"
    labels = f" and the stored labels of {plural(len(plan.datasets), 'data set')}" if plan.datasets else ""
    labels += f" and {plural(plan.logged, 'line')} of logs of requests" if plan.logged else ""
    return f"Erase {one_line(name)} for good: {plural(sum(plan.rows.values()), 'row')}{labels}?"
