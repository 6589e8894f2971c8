"""How ``init`` looks."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from featurestore.model import Json
from featurestore.workflows.init import InitResult

if TYPE_CHECKING:
    from rich.console import Console


def init_json(result: InitResult) -> dict[str, Json]:
    return {
        "project": result.name,
        "root": str(result.root),
        "demo": result.demo,
        "created": list(result.created),
        "kept": list(result.kept),
    }


def draw_init(console: Console, result: InitResult, *, dry_run: bool) -> None:
    if not result.created:
        console.print(f"{result.root} is a project already; nothing changed")
        return
    console.print(f"{'would write' if dry_run else 'wrote'} to {result.root}:")
    for path in result.created:
        console.print(f"  {path}")
    if dry_run:
        return
    here = shlex.quote(str(result.root))
    console.print("\nnext:")
    console.print(f"  cd {here}")
    if result.demo:
        console.print("  featurestore ingest        compute the features and keep their history")
        console.print("  featurestore list          see them")
    else:
        console.print("  edit featurestore.toml     entity types and sources")
        console.print("  edit features/examples.py  a first feature")
        console.print("  featurestore plan          see what you declared")
