"""``featurestore delete``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featurestore.cli.session import Session
from featurestore.errors import UsageError


def command(
    ctx: typer.Context,
    entity_type: Annotated[str, typer.Argument(metavar="ENTITY_TYPE", help="For example patient.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id; a composite one is k1=v1,k2=v2 or JSON.")],
    at: Annotated[str | None, typer.Option("--at", metavar="TS", help="From this instant on (default: now).")] = None,
    erase: Annotated[
        bool, typer.Option("--erase", help="Remove every row of it for good, offline and online.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before erasing.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go, change nothing.")] = False,
) -> None:
    """Delete an entity: from then on joins answer null, and its online values go at the next sync.

    A deletion is history like any other: a join as of an earlier instant still finds the values. A row of before
    that is read again brings nothing back. --erase removes the rows themselves, from both stores and from the disk,
    and the label files kept for data sets that name the entity in their key columns: these data sets can't be made
    again. What the sources and your own label files still hold is yours to remove; the next ingestion would bring it
    back. Exit code 3: erased, but the online store could not be reached; the next sync does it.

    \b
    Examples:
      featurestore delete patient 42
      featurestore delete patient 42 --at 2024-05-01
      featurestore delete shelf store=s1,product=7 --erase --yes
    """
    from featurestore import times
    from featurestore.online.open import open_online
    from featurestore.point_in_time.entities import format_entity, parse_entity
    from featurestore.workflows.delete import delete
    from featurestore.workflows.delete import erase as erase_all
    from featurestore.workflows.get import find_entity_type

    session: Session = ctx.obj
    project = session.project()
    found = find_entity_type(project, entity_type)
    entity = parse_entity(found, id_)
    offline = session.offline(project)
    if erase:
        if at is not None:
            raise UsageError("--erase takes all rows, whatever their time; leave --at out")
        if not (yes or dry_run) and sys.stdin.isatty():
            typer.confirm(f"Erase {found.name} {format_entity(found, entity)} for good?", abort=True, err=True)
        result = erase_all(project, offline, open_online(project), found, entity, dry_run=dry_run)
        if result.unreached:
            session.warn(f"{result.unreached}; what is online goes at the next sync")
    else:
        try:
            moment, naive = (None, False) if at is None else times.parse_instant(at)
        except ValueError as exc:
            raise UsageError(f"--at {at!r} is no date or time", hint="for example 2024-05-01T12:00:00Z") from exc
        if naive:
            session.note(f"--at is taken as UTC: {times.format_instant(moment or 0)}")
        result = delete(project, offline, found, entity, moment, dry_run=dry_run)
    from featurestore.render import json, text

    session.show(
        lambda: json.deletion.delete_document(result, dry_run=dry_run),
        lambda: text.deletion.delete_lines(result, dry_run=dry_run),
    )
    raise typer.Exit(3 if result.unreached else 0)
