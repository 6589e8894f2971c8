"""Runs code of generated projects in a process that has Polars loaded, so that no run pays for starting Python.

Code that changes its process (a class of another package patched, a seed set) gets a process of its own, forked for
it. ``Worker`` is the side of the tests; ``main`` reads a request a line, and answers each with a line.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from featurestore.model import Feature

ROOT = Path(__file__).parents[2]
PATIENCE = 20
"""A process that computes for so many seconds is ended."""


class Worker:
    """A process that runs what it is asked to; answers are JSON. ``forks``: each run in a process of its own."""

    def __init__(self, *, forks: bool) -> None:
        command = [sys.executable, "-m", "tests.versioning.worker", *(["forks"] if forks else [])]
        one_thread = {"POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # a fork has no use for more
        self._process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **one_thread},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip

    def ask(self, **request: Any) -> Any:
        """What the run gave: ``{"values": …}``, ``{"modules": …}`` or ``{"error": "ValueError: …"}``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def feature_of(features: Sequence[Feature]) -> Feature:
    """The feature that is judged: the only one, or the one named ``f``."""
    (feature,) = features if len(features) == 1 else [feature for feature in features if feature.name == "f"]
    return feature


def live_values(root: str) -> dict[str, Any]:
    """The values of a project's feature, its modules run as `ingest` runs them, and what they met and don't declare."""
    from featurestore.config import load_project
    from featurestore.registry.discovery import discover
    from featurestore.versioning.analysis.tree import SourceTree
    from featurestore.versioning.folder.observed import undeclared
    from featurestore.versioning.running.modules import isolation_of, load_function
    from featurestore.versioning.running.watch import Watch

    tree = SourceTree(Path(root))
    feature = feature_of(discover(load_project(tree.root), tree).features)
    assert feature.source is not None
    columns = {name: column.type for name, column in feature.source.columns.items()}
    folder = tree.root if feature.depends_on.files else None
    watch = Watch(tree.root)
    with watch.watching():
        values = _values(feature, load_function(tree, feature.module, feature.function, folder), columns)
    modules = isolation_of(tree, feature.module).modules
    observed = [item.text for item in undeclared(feature, watch.observations(modules))]
    return {"values": values, "columns": columns, "observed": observed}


def file_values(path: str, columns: dict[str, str]) -> dict[str, Any]:
    """The values of a version file, from nothing but itself. ``path`` is the file's; the source has the columns."""
    from featurestore.versioning.folder.versionfile import read_version
    from featurestore.versioning.running.replay import load

    version = read_version(Path(path))
    return {"values": _values(version.feature, load(version), columns)}


def plain_import(root: str, module: str, function: str) -> dict[str, Any]:
    """What a function of a module returns that Python imports by itself, and which modules of the root it imported."""
    sys.path.insert(0, root)
    importlib.invalidate_caches()
    before = set(sys.modules)
    try:
        value = getattr(importlib.import_module(module), function)()
        paths = {name: getattr(sys.modules[name], "__file__", None) for name in set(sys.modules) - before}
        return {
            "value": value,
            "modules": sorted(name for name, path in paths.items() if path and path.startswith(root)),
        }
    finally:
        sys.path.remove(root)
        for name in set(sys.modules) - before:
            del sys.modules[name]


def _values(feature: Feature, function: Any, columns: Mapping[str, str]) -> list[str]:
    """A feature's values for three rows, of the types that its source declares."""
    import polars as pl

    from featurestore.evaluation.declared_type import cast_value
    from featurestore.evaluation.evaluate import build_expression, call_long, call_short, sort_rows

    types: dict[str, Any] = {"int": pl.Int64, "float": pl.Float64, "string": pl.String, "datetime": pl.Datetime("us")}
    rows = {
        "patient_id": ["p1", "p2", "p3"],
        "visit_at": ["2024-01-01 08:00:00", "2024-01-02 08:00:00", "2024-01-03 08:00:00"],
        "age": ["40", "61", "83"],
        "chol": ["200", "230", "260"],
        "weight": ["60.5", "70.0", "80.25"],
        "sex": ["f", "m", "f"],
    }
    frame = pl.DataFrame(rows).with_columns(
        pl.col(name).str.to_datetime() if columns[name] == "datetime" else pl.col(name).cast(types[columns[name]])
        for name in rows
    )
    assert feature.source is not None
    source = sort_rows(frame, feature.entity_type, feature.source)
    if feature.short:
        result = call_short({"f": build_expression(feature, function)}, source)["f"]
    else:
        result = call_long(feature, function, source)
    return [repr(value) for value in cast_value(result["value"], feature.data_type)]


TASKS: dict[str, Callable[..., dict[str, Any]]] = {"live": live_values, "file": file_values, "import": plain_import}


def main() -> None:
    """Answers requests until there are no more."""
    sys.dont_write_bytecode = True
    import numpy  # noqa: F401
    import polars  # noqa: F401

    import featurestore.evaluation.declared_type
    import featurestore.evaluation.evaluate
    import featurestore.registry.discovery
    import featurestore.versioning.running.modules
    import featurestore.versioning.running.replay
    import featurestore.versioning.running.watch  # noqa: F401

    answers = os.dup(1)
    os.dup2(2, 1)  # what a project prints is no answer
    for line in sys.stdin:
        answer = _forked(line) if "forks" in sys.argv else _answer(line)
        os.write(answers, answer + b"\n")


def _forked(line: str) -> bytes:
    """Does one request in a process of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reading)
        os.write(writing, _answer(line))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    _, status = os.waitpid(pid, 0)
    return data or json.dumps({"error": f"ended with {status}"}).encode()


def _answer(line: str) -> bytes:
    """Does one request in this process."""
    request = json.loads(line)
    signal.alarm(PATIENCE)
    os.chdir(request.pop("cwd"))
    try:
        answer = TASKS[request.pop("task")](**request)
    except BaseException as exc:  # noqa: BLE001  # the error is the outcome
        answer = {"error": f"{type(exc).__name__}: {exc}"}
    signal.alarm(0)
    return json.dumps(answer).encode()


if __name__ == "__main__":
    main()
