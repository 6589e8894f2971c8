"""Runs command lines in forked children, and kills them just before a line of the program that changes something.

Started once as a process of its own (`Killer`), because a fork needs a parent without threads; so a trial costs what
the command itself costs, and no imports.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGE = Path(__file__).parents[2] / "featurestore"
# Where an erasure changes something: the lines of these files are the points at which it is killed.
WATCHED = (
    "atomic.py", "offline/audit_log.py", "offline/datasets.py", "offline/duckdb/", "offline/last_run.py",
    "offline/postgres/store.py", "offline/postgres/run.py", "offline/postgres/purging.py", "postgres/connection.py",
    "online/sqlite.py", "online/redis/store.py", "registry/summary.py", "workflows/delete.py", "workflows/erasure/",
    "workflows/request_logs.py",
)  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """What became of a command: its exit code (None: it was killed), and the distinct lines that it came to."""

    code: int | None
    lines: tuple[str, ...]
    said: str


class Killer:
    """The process that forks. A context manager. The lines of the files ``watched`` are points.

    ``settings`` are constants of the program, by module and name, that have other values in the commands it runs.
    """

    def __init__(
        self, root: Path, watched: Sequence[str] = WATCHED, settings: Mapping[str, Mapping[str, int]] | None = None
    ) -> None:
        self._log, self._paths, self._settings = root / "trials.log", list(watched), settings or {}

    def __enter__(self) -> Killer:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.erasure.killing"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            cwd=PACKAGE.parent,
        )  # fmt: skip
        return self

    def __exit__(self, *_of_an_exception: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def run(
        self,
        project: Path,
        *arguments: str,
        before: str | None = None,
        watch: bool = False,
        env: Mapping[str, str] | None = None,
        file_bytes: int | None = None,
    ) -> Trial:
        """Runs ``featurestore -C PROJECT ARGUMENTS``; killed where it first comes to the line ``before``.

        ``watch`` notes the lines that it comes to, which takes time.
        With ``file_bytes`` no file can grow beyond that, which is what a full disk looks like to each of them.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order: dict[str, object] = {
            "arguments": ["-C", str(project), *arguments],
            "before": before,
            "log": str(self._log),
            "limit": file_bytes,
            "watched": self._paths,
            "settings": self._settings,
        }
        order["watch"] = watch or before is not None
        self._process.stdin.write(json.dumps({**order, "env": dict(env or {})}) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        return Trial(answer["code"], tuple(answer["lines"]), self._log.read_text(errors="replace"))


def line_in(function: Callable[..., object]) -> str:
    """The first line of a function's body, as a point to kill at."""
    code = inspect.unwrap(function).__code__
    first = next(line for _, _, line in code.co_lines() if line is not None and line > code.co_firstlineno)
    return f"{os.path.relpath(code.co_filename, PACKAGE)}:{first}"


def _serve() -> None:
    import confluent_kafka  # noqa: F401
    import duckdb  # noqa: F401
    import polars  # noqa: F401

    from featurestore.cli import app  # noqa: F401
    from featurestore.workflows.erasure import erase  # noqa: F401

    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _obey(order, writing)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            lines = pipe.read().split()
        _, status = os.waitpid(child, 0)
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        sys.stdout.write(json.dumps({"code": code, "lines": lines}) + "\n")
        sys.stdout.flush()


@cache
def _watched(path: str, watched: tuple[str, ...]) -> str | None:
    """The name in the package of a file that is watched. Kept, because it is asked at every call of a function."""
    name = os.path.relpath(path, PACKAGE)
    return name if name.startswith(watched) else None


def _obey(order: Mapping[str, Any], pipe: int) -> None:
    log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(order["env"])
    if order["limit"] is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["limit"], order["limit"]))
    seen: set[str] = set()
    watched = tuple(order["watched"])

    def trace(frame: FrameType, event: str, _argument: object) -> Any:
        name = _watched(frame.f_code.co_filename, watched)
        if name is None or frame.f_code.co_name == "<module>":
            return None
        if event == "line" and (point := f"{name}:{frame.f_lineno}") not in seen:
            seen.add(point)
            os.write(pipe, f"{point}\n".encode())
            if point == order["before"]:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    from featurestore.cli.app import run

    for module, constants in order["settings"].items():
        vars(importlib.import_module(module)).update(constants)
    sys.settrace(trace if order["watch"] else None)
    code = run(list(order["arguments"]))
    sys.settrace(None)
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    _serve()
