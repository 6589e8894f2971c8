"""Prints the canonical form of the golden vectors as JSON. Run by every Python that is found.

Arguments: the folder of the vectors. Needs no package but featurestore itself.
"""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import capture

# Classes of `ast` that no source text gives, or that say nothing by themselves.
NOT_IN_SOURCE = {
    "AugLoad", "AugStore", "Bytes", "Ellipsis", "Expression", "ExtSlice", "FunctionType", "Index", "Interactive",
    "NameConstant", "Num", "Param", "Str", "Suite", "TypeIgnore",
}  # fmt: skip


def modules(folder: Path) -> list[str]:
    """The modules of vectors that this Python's grammar covers."""
    running = sys.version_info[0] * 100 + sys.version_info[1]
    return [path.stem for path in sorted(folder.glob("py*.py")) if int(path.stem.removeprefix("py")) <= running]


def canonical_forms(folder: Path) -> dict[str, str]:
    """The canonical text of each function, by ``module.function``."""
    tree = SourceTree(folder)
    forms = {}
    for name in modules(folder):
        module = tree.module(name)
        assert module is not None
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                closure = capture(tree, name, node.name)
                forms[f"{name}.{node.name}"] = closure.canonical.decode("utf-8", "backslashreplace")
    return forms


def nodes_without_vector(folder: Path) -> list[str]:
    """The classes of this Python's grammar that no vector has."""
    seen = {
        node.__class__.__name__
        for path in modules(folder)
        for node in ast.walk(ast.parse((folder / f"{path}.py").read_text("utf-8")))
    }
    kinds = {kind for kind in vars(ast).values() if isinstance(kind, type) and issubclass(kind, ast.AST)}
    concrete = {kind.__name__ for kind in kinds if not kind.__subclasses__()}
    return sorted(concrete - seen - NOT_IN_SOURCE)


if __name__ == "__main__":
    given = Path(sys.argv[1])
    json.dump({"forms": canonical_forms(given), "missing": nodes_without_vector(given)}, sys.stdout)
