"""``featurestore delete``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.options import instant
from featurestore.cli.session import Session
from featurestore.errors import UsageError


def command(
    ctx: typer.Context,
    entity_type: Annotated[str, typer.Argument(metavar="ENTITY_TYPE", help="For example patient.")],
    id_: Annotated[str, typer.Argument(metavar="ID", help="Its id; a composite one is k1=v1,k2=v2 or JSON.")],
    at: Annotated[str | None, typer.Option("--at", metavar="TS", help="From this instant on (default: now).")] = None,
    erase: Annotated[bool, typer.Option("--erase", help="Remove all its rows for good, offline and online.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before erasing, which is asked on a terminal only.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would be deleted, change nothing.")] = False,
) -> None:
    """Delete an entity: from then on joins answer null, and its online values go at the next sync.

    A deletion is part of the history: a join as of an earlier instant still finds the values, and reading an older
    row again does not bring them back. --erase removes the rows themselves, from both stores and from the disk, the
    lines about the entity in logs of requests, and the stored label files that name it in their key columns: their
    data sets can't be made again. Rows in your sources and in your own label files are yours to remove: files of the
    sources that still name the entity are listed, since the next ingestion would bring it back. Exit code 3: erased,
    but there are such files, or a store could not be cleaned yet, where the next command that writes goes on.

    \b
    Examples:
      featurestore delete patient 42
      featurestore delete patient 42 --at 2024-05-01
      featurestore delete shelf store=s1,product=7 --erase --yes
    """
    if erase and at is not None:
        raise UsageError("--erase removes all rows, whatever their time", hint="leave out --at")
    from featurestore.online.open import open_online
    from featurestore.point_in_time.entities import parse_entity
    from featurestore.render import json, text
    from featurestore.render.lines import left_lines
    from featurestore.workflows.delete import delete
    from featurestore.workflows.erasure.erase import erase as erase_entity
    from featurestore.workflows.get import find_entity_type

    session: Session = ctx.obj
    project = session.project()
    kind = find_entity_type(project, entity_type)
    entity = parse_entity(kind, id_)
    offline = session.offline(project)
    if not erase:
        moment = instant(session, "--at", at)
        result = delete(project, offline, kind, entity, moment, dry_run=dry_run)
    else:
        online = open_online(project)
        session.confirm(
            lambda: text.deletion.erase_question(
                erase_entity(project, offline, online, kind, entity, dry_run=True),
            ),
            agreed=yes or dry_run,
        )
        with session.progress(f"erasing {entity_type}") as report:
            result = erase_entity(project, offline, online, kind, entity, dry_run=dry_run, progress=report)
    session.report_reasons((*result.incomplete, *left_lines(result)))
    session.show(
        lambda: json.deletion.delete_document(result, dry_run=dry_run),
        lambda: text.deletion.delete_lines(result, dry_run=dry_run),
    )
    raise typer.Exit(result.exit_code)
