"""``featurestore init``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.options import zone
from featurestore.cli.session import Session
from featurestore.errors import UsageError
from featurestore.render import json, text
from featurestore.render.printable import one_line
from featurestore.workflows.init import init

if TYPE_CHECKING:
    from featurestore.sources.detection import Question
    from featurestore.workflows.init_from import Wishes


def command(
    ctx: typer.Context,
    directory: Annotated[str, typer.Argument(metavar="[DIR]", help="The folder; created if it is missing.")] = ".",
    demo: Annotated[bool, typer.Option("--demo", help="Create the heart-disease example: data and features.")] = False,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="FILE|FOLDER|URL", help="Propose a project for this data.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="The project's name (default: the folder's).")] = None,
    key: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN", help="With --from: the key; repeat it for several columns.")
    ] = None,
    event_time: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="With --from: when a row was true; none for no column.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(metavar="ZONE", help="With --from: of times without a zone.")] = None,
    entity_type: Annotated[str | None, typer.Option(help="With --from: what the rows are about.")] = None,
    source: Annotated[str | None, typer.Option(help="With --from: the source's name.")] = None,
    table: Annotated[str | None, typer.Option(help="With --from: the table of a database.")] = None,
    decimal: Annotated[str | None, typer.Option(metavar="C", help="With --from: what 1,234 is: , or .")] = None,
    format_of: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=FORMAT", help="With --from: how a column's times are written.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be written.")] = False,
) -> None:
    """Start a project. Files that are there already are left alone.

    With --from its source, settings, types and rules are those of the data, and three features are there to edit.
    What the data leaves open is asked on a terminal; elsewhere the flag that says it is named.

    \b
    Examples:
      featurestore init                  here
      featurestore init --demo heart     the example project, in ./heart
      featurestore init shop --from orders.csv
      featurestore init shop --from orders.csv --key customer_id --event-time ordered_at
      featurestore init shop --from '${DATABASE_URL}' --table orders
    """
    session: Session = ctx.obj
    given = (key, event_time, timezone, entity_type, source, table, decimal, format_of)
    if from_ is None and any(each is not None for each in given):
        raise UsageError("these options describe data", hint="name it with --from FILE")
    if from_ is not None and demo:
        raise UsageError("--demo brings its own data", hint="leave out --demo or --from")
    wishes = None
    if from_ is not None:
        wishes = _wishes(key, event_time, timezone, entity_type, source, table, decimal, format_of)
    ask = _ask if sys.stdin.isatty() and sys.stderr.isatty() and not session.json else None
    result = init(
        Path(directory), name=name, demo=demo, dry_run=dry_run, data=from_, wishes=wishes, ask=ask,
    )  # fmt: skip
    session.show(lambda: json.project.init_document(result), lambda: text.project.init_lines(result, dry_run=dry_run))


def _wishes(
    key: list[str] | None,
    event_time: str | None,
    timezone: str | None,
    entity_type: str | None,
    source: str | None,
    table: str | None,
    decimal: str | None,
    format_of: list[str] | None,
) -> Wishes:
    from featurestore.model import FEATURE_NAME
    from featurestore.tables.time_formats import compile_format
    from featurestore.workflows.init_from import Wishes

    zone("--timezone", timezone)
    for flag, named in (("--entity-type", entity_type), ("--source", source)):
        if named is not None and not FEATURE_NAME.fullmatch(named):
            raise UsageError(f"{flag} must match {FEATURE_NAME.pattern}, not {named!r}")
    if decimal not in (None, ".", ","):
        raise UsageError(f'--decimal is "." or ",", not {decimal!r}')
    formats = {}
    for pair in format_of or ():
        column, equals, written = pair.partition("=")
        if not equals:
            raise UsageError(f"--format-of {pair!r} is not COLUMN=FORMAT", hint='for example --format-of "at=%d/%m/%Y"')
        try:
            compile_format(written)
        except ValueError as exc:
            raise UsageError(f"--format-of {pair!r} {exc}") from None
        formats[column] = written
    return Wishes(tuple(key or ()), event_time, timezone, entity_type, source, table, decimal, formats)


def _ask(question: Question) -> str:
    """Asks on the terminal, until the answer is one of the choices."""
    last = len(question.choices)
    typer.echo(one_line(question.text), err=True)
    for number, choice in enumerate(question.choices, 1):
        typer.echo(f"  {number}  {one_line(choice)}", err=True)
    while True:
        answer = str(typer.prompt(f"1 to {last}", err=True)).strip()
        if answer in question.choices:
            return answer
        if answer.isdecimal() and 1 <= int(answer) <= last:
            return question.choices[int(answer) - 1]
        typer.echo(f"{one_line(answer)} is none of them: answer with its number, or as it is written there", err=True)
