"""Where a feature comes from and what was made of it, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from featurestore.offline.contract import DataSet
from featurestore.render.json.lineage import datasets_of
from featurestore.render.text.style import DIM, NAME
from featurestore.workflows.catalogue import Detail
from featurestore.workflows.feature_sets import ModelUse


def lineage_tree(detail: Detail, datasets: Sequence[DataSet], models: Sequence[ModelUse]) -> RenderableType:
    feature, closure = detail.entry.feature, detail.closure
    source = feature.source
    shown = (source.name, (f"  {source.type} {source.location}", DIM)) if source else ("none",)
    root = Tree(Text.assemble(("source ", DIM), *shown), guide_style=DIM)
    columns = root.add(
        Text.assemble(("columns ", DIM), ", ".join(detail.columns) or "(none known before the first ingestion)")
    )
    helpers = closure.helpers if closure else ()
    above = columns.add(Text.assemble(("helpers ", DIM), ", ".join(helpers))) if helpers else columns
    middle = above.add(Text.assemble(("feature ", DIM), (feature.name, NAME), (f"  {feature.place}", DIM)))
    for version in detail.files:
        notes = "  active" if version.sha256 == detail.entry.active_sha256 else ""
        label = Text.assemble(("version ", DIM), str(version.name.number), (f"  {version.sha256[:12]}{notes}", DIM))
        leaf = middle.add(label)
        for name in datasets_of(datasets, feature.name, version.sha256):
            leaf.add(Text.assemble(("data set ", DIM), name))
    for use in models:
        middle.add(Text.assemble(("model ", DIM), use.model, (f"  {use.reference}", DIM)))
    return root
