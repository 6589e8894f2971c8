"""Times the hash: many features, a large helper, a large table, and code that is nested too deeply.

Run by hand: ``python scripts/bench/hash.py``. Prints seconds beside what they may be.
"""

from __future__ import annotations

import ast
import sysconfig
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from featurestore.errors import DeclarationError
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.recipe.closure import capture


def timed(name: str, bar: float, run: Callable[[], object]) -> None:
    """Prints how long it takes."""
    start = time.perf_counter()
    try:
        result = run()
    except DeclarationError as exc:
        result = f"refused: {exc.where}: {exc.message}"
    print(f"{name:40} {time.perf_counter() - start:6.2f} s  (at most {bar} s)  {result}")


def project(files: Mapping[str, str]) -> SourceTree:
    """The files in a folder of their own."""
    root = Path(tempfile.mkdtemp(prefix="hash-"))
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return SourceTree(root)


def many(count: int) -> int:
    """Features in modules of twenty, which share a helper and a table that is filled at import."""
    lib = "import polars as pl\nW = {}\nW['a'] = 2\ndef scale(x):\n    return x * W['a']\n"
    head = "import polars as pl\nfrom features.lib import scale\n"
    files = {"features/lib.py": lib}
    for module in range(count // 20):
        body = "".join(f"def f{at}():\n    return scale(pl.col('age')) + {module + at}\n" for at in range(20))
        files[f"features/m{module}.py"] = head + body
    tree = project(files)
    return sum(len(capture(tree, f"features.m{one // 20}", f"f{one % 20}").canonical) for one in range(count))


def reaching(lib: str) -> int:
    """A feature that uses everything of a module."""
    feature = "from features import lib\ndef f(x):\n    return x(lib)\n"
    return len(capture(project({"features/m.py": feature, "features/lib.py": lib}), "features.m", "f").canonical)


def written_functions(size: int) -> str:
    """So many characters of functions that people wrote: those of Python's standard library."""
    text = ""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        for node in ast.parse("".join(lines)).body:
            if isinstance(node, ast.FunctionDef) and len(text) < size:
                first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
                text += "".join(lines[first - 1 : node.end_lineno]) + "\n"
    return text


def main() -> None:
    """Prints all of it."""
    timed("2,000 features", 10, lambda: many(2_000))
    functions = "".join(f"def g{at}(x, y=1):\n    return [x + {at}, y * 2, len(str(x))]\n" for at in range(17_000))
    timed(f"{len(functions) / 1e6:.1f} MB of functions of one line", 2, lambda: reaching(functions))
    written = written_functions(1_000_000)
    timed(f"{len(written) / 1e6:.1f} MB of Python's own functions", 2, lambda: reaching(written))
    table = f"T = {{{', '.join(f'{at}: {at / 7}' for at in range(370_000))}}}\n"
    timed(f"{len(table) / 1e6:.1f} MB of one table", 8, lambda: reaching(table))
    timed("a sum of 60,000 terms", 2, lambda: reaching(f"K = {' + '.join(['x'] * 60_000)}\n"))
    timed("10,000 nested parentheses", 2, lambda: reaching(f"K = {'(' * 10_000}1{')' * 10_000}\n"))


if __name__ == "__main__":
    main()
