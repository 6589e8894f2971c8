"""``featurestore dataset``."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.options import output_format
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
    output: Annotated[str | None, typer.Option(metavar="FILE", help="With --rebuild. Default: CSV on stdout.")] = None,
    format_: Annotated[
        str | None,
        typer.Option("--format", metavar="FORMAT", help="Its format: csv, parquet, arrow or ndjson; by FILE's name."),
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its label file, where that was not kept and has moved.")
    ] = None,
) -> None:
    """List the data sets that join --dataset kept, show one, or make it again.

    Whatever was ingested, promoted or renumbered since, the table is the same: it stands at its run, with its
    versions and its labels. The file is the same byte for byte while the release that writes it is.

    \b
    Examples:
      featurestore dataset
      featurestore dataset trial_7 --rebuild --output train.parquet
      featurestore dataset trial_7 --verify
    """
    session: Session = ctx.obj
    making = rebuild or verify
    if name is None and (making or output or labels):
        raise UsageError("no data set is named", hint="featurestore dataset lists them")
    if rebuild and verify:
        raise UsageError("--rebuild and --verify are two questions", hint="--rebuild writes only what is the same")
    if (output or format_) and not rebuild:
        raise UsageError(f"--{'output' if output else 'format'} needs --rebuild")
    from featurestore.render import json, text

    project = session.project()
    store = session.offline(project)
    if name is None:
        kept = store.datasets()
        session.show(
            lambda: json.datasets.datasets_document(kept),
            lambda: text.datasets.datasets_table(kept),
        )
        return
    from featurestore.tables.batches import write_batches
    from featurestore.workflows.datasets import datasets

    if not making:
        one = datasets.find_dataset(store, name)
        session.show(lambda: json.datasets.dataset_document(one), lambda: text.datasets.dataset_page(one))
        return
    if verify:
        with session.progress(f"making {name} again"):
            found = datasets.rebuild(project, store, name, lambda _frame: None, labels)
        session.show(lambda: json.datasets.rebuilt_document(found, None), lambda: text.datasets.rebuilt_lines(found))
        raise typer.Exit(0 if found.same else 1)
    target = None if output is None or output == "-" else Path(output)
    form = output_format(format_, target, labels)
    # On stdout nothing can be taken back: what goes there waits until it is known to be the same.
    with session.progress(f"making {name} again"), tempfile.TemporaryFile() as waiting:
        with write_batches(target or waiting, form=form) as write:
            rebuilt = datasets.rebuild(project, store, name, write, labels)
            datasets.require_same(rebuilt)
        if target is None and not session.json:
            waiting.seek(0)
            shutil.copyfileobj(waiting, sys.stdout.buffer)
    if not rebuilt.same_writer:
        session.warn(f"written by {datasets.writer()}, then by {rebuilt.dataset.writer}: the bytes may differ")
    if target is not None or session.json:
        session.show(
            lambda: json.datasets.rebuilt_document(rebuilt, target), lambda: text.datasets.rebuilt_lines(rebuilt)
        )
