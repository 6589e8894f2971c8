"""``featurestore retire``."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.session import Session


def command(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A feature whose code is gone.")],
    erase: Annotated[bool, typer.Option("--erase", help="Remove its history too, for good.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Don't ask before erasing, which is asked on a terminal only.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, change nothing.")] = False,
) -> None:
    """End the serving of a feature that is not declared any more.

    Until then sync goes on serving it, since code that is gone in one checkout may be there in another. Readers lose
    it at once; its version files and its history stay, and show, history and join answer for it. --erase removes the
    history. A feature that is declared again is not retired any more. Commit features/.versions/NAME/retired. Exit
    code 3: retired, but the online store could not be reached; readers lose it at the next sync.

    \b
    Examples:
      featurestore retire old_score
      featurestore retire old_score --erase --yes
    """
    from featurestore.online.open import open_online
    from featurestore.render import json, text
    from featurestore.workflows.retire import retire

    session: Session = ctx.obj
    project = session.project()
    offline, online = session.offline(project), open_online(project)
    session.confirm(
        lambda: text.lives.erase_question(retire(project, offline, online, name, erase=True, dry_run=True)),
        agreed=yes or dry_run or not erase,
    )
    with session.progress("switching the online store"):
        result = retire(project, offline, online, name, erase=erase, dry_run=dry_run)
    late = [f"{result.online_error}; readers lose {name} at the next sync"] if result.online_error else []
    session.report_reasons((*late, *result.incomplete))
    session.show(
        lambda: json.lives.retire_document(result, dry_run=dry_run),
        lambda: text.lives.retire_lines(result, dry_run=dry_run),
    )
    raise typer.Exit(result.exit_code)
