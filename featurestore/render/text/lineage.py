"""Where a feature comes from and what was made of it, as a tree."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text
from rich.tree import Tree

from featurestore.model import Feature
from featurestore.offline.contract import DataSet
from featurestore.render.json.lineage import datasets_of
from featurestore.render.text.style import DIM, NAME
from featurestore.workflows.catalogue import Detail
from featurestore.workflows.feature_sets import ModelUse


def lineage_tree(detail: Detail, datasets: Sequence[DataSet], models: Sequence[ModelUse]) -> RenderableType:
    feature, closure = detail.entry.feature, detail.closure
    root = Tree(_origin(feature), guide_style=DIM)
    columns = root
    if not feature.at_request:
        listed = ", ".join(detail.columns) or "(none known before the first ingestion)"
        columns = root.add(Text.assemble(("columns ", DIM), listed))
    helpers = closure.helpers if closure else ()
    above = columns.add(Text.assemble(("helpers ", DIM), ", ".join(helpers))) if helpers else columns
    middle = above.add(Text.assemble(("feature ", DIM), (feature.name, NAME), (f"  {feature.place}", DIM)))
    for version in detail.files:
        notes = "  active" if version.sha256 == detail.entry.active_sha256 else ""
        label = Text.assemble(("version ", DIM), str(version.name.number), (f"  {version.sha256[:12]}{notes}", DIM))
        leaf = middle.add(label)
        for name in datasets_of(datasets, feature.name, version.sha256):
            leaf.add(Text.assemble(("data set ", DIM), name))
    for name in detail.taken_by:
        middle.add(Text.assemble(("request-time feature ", DIM), name))
    for use in models:
        middle.add(Text.assemble(("model ", DIM), use.model, (f"  {use.reference}", DIM)))
    return root


def _origin(feature: Feature) -> Text:
    """What it is computed from: a source, or other features and a request."""
    if feature.at_request:
        inputs = ", ".join(f"{item.name} {item.sha256[:12]}" for item in feature.inputs)
        fields = ", ".join(feature.request)
        return Text.assemble(("inputs ", DIM), inputs, *((("  request ", DIM), fields) if fields else ()))
    if not feature.reads:
        return Text.assemble(("source ", DIM), "none")
    parts = [(("source ", DIM), each.name, (f"  {each.type} {each.location}", DIM)) for each in feature.reads]
    return Text("\n").join(Text.assemble(*part) for part in parts)
