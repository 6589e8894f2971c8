"""``featurestore dataset``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.options import output_table
from featurestore.cli.session import Session
from featurestore.errors import UsageError


def command(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="One data set; without it all are listed.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Make its table again.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Make it again and compare; exit 1 where it differs.")
    ] = False,
    card: Annotated[bool, typer.Option("--card", help="One page of Markdown about it.")] = False,
    output: Annotated[str | None, typer.Option(metavar="FILE", help="With --rebuild. Default: CSV on stdout.")] = None,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="csv, parquet, arrow or ndjson (default: by FILE's name).",
        ),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its label file, where that was not stored and has moved.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --rebuild: compare, write nothing.")] = False,
) -> None:
    """List the data sets that join --dataset stored, show one, or make it again.

    Whatever was ingested, promoted or renumbered since, the table is the same: it is made of the history up to its
    run, of its versions and its labels. The same release also writes the same file, byte for byte.

    \b
    Examples:
      featurestore dataset
      featurestore dataset trial_7 --rebuild --output train.parquet
      featurestore dataset trial_7 --verify
      featurestore dataset trial_7 --card > trial_7.md
    """
    session: Session = ctx.obj
    if name is None and (rebuild or verify or card or output or labels):
        raise UsageError("no data set is named", hint="featurestore dataset lists them")
    if rebuild and verify:
        raise UsageError(
            "--rebuild and --verify can't be combined", hint="--rebuild writes the table only if it is the same"
        )
    if card and (rebuild or verify or session.json):
        raise UsageError("--card can't be combined with --rebuild, --verify or --json", hint="it is Markdown")
    if (output or format_) and not rebuild:
        raise UsageError(f"--{'output' if output else 'format'} needs --rebuild")
    from featurestore.render import json, text

    project = session.project()
    store = session.offline(project)
    if name is None:
        stored = store.datasets()
        session.show(
            lambda: json.datasets.datasets_document(stored),
            lambda: text.datasets.datasets_table(stored),
        )
        return
    from featurestore.workflows.datasets.rebuild import find_dataset, rebuild_file, verify_dataset

    if card:
        from featurestore.render.markdown.datasets import card_page
        from featurestore.workflows.datasets.card import dataset_card

        session.write_text(f"{card_page(dataset_card(project, store, name))}\n")
        return
    if not (rebuild or verify):
        one = find_dataset(store, name)
        session.show(lambda: json.datasets.dataset_document(one), lambda: text.datasets.dataset_page(one))
        return
    sink = output_table(session, output, format_)
    path = sink.path if sink else None
    with session.progress(f"making {name} again") as progress:
        if verify or dry_run:
            result = verify_dataset(project, store, name, labels, progress=progress)
        else:
            result = rebuild_file(project, store, name, sink, labels, progress=progress)
    if rebuild:
        for warning in result.warnings:
            session.warn(warning)
    if verify or dry_run or session.json or path is not None:
        session.show(
            lambda: json.datasets.rebuilt_document(result, path, dry_run=dry_run),
            lambda: text.datasets.rebuilt_lines(result),
        )
    session.report_findings(() if result.same else [f"{name}: the content differs", *result.reasons])
    raise typer.Exit(0 if result.same else 1)
