"""Each entry of the table of inert calls, called: nothing that other code could see has changed afterwards."""

from __future__ import annotations

import builtins
import decimal
import enum
import importlib
import importlib.util
import logging
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from datetime import date, datetime, timedelta
from io import StringIO
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import polars as pl
import pytest

from featurestore.versioning.analysis import inert

T = TypeVar("T")


def helper(x: Any = 1, *_more: Any) -> Any:
    return x


class Thing:
    pass


class Colour(enum.Enum):
    RED = 1


class Reader(Protocol):
    pass


Arguments = Callable[[], tuple[Any, ...]]

# Fresh arguments for each try: the first that a call takes proves it.
CANDIDATES: list[Arguments] = [
    lambda: (),
    lambda: ("a",),
    lambda: ("1",),
    lambda: ("00",),
    lambda: (timedelta(hours=1),),
    lambda: (Colour,),
    lambda: (Reader,),
    lambda: (int,),
    lambda: (1,),
    lambda: (b"a",),
    lambda: ([3, 1, 2],),
    lambda: (pl.col("a"),),
    lambda: (helper,),
    lambda: (Thing,),
    lambda: (3, 2),
    lambda: ("a", "b"),
    lambda: ("a", 1),
    lambda: (helper, [3, 1, 2]),
    lambda: ([3, 1], [1, 2]),
    lambda: (1, str),
    lambda: (bool, int),
    lambda: ("a", ["x", "y"]),
    lambda: ("a", {"x": 1}),
    lambda: (int, 1),
    lambda: ({"a": [1]},),
    lambda: (b"\x01", "big"),
    lambda: ("a", int),
    lambda: (2024, 5, 1),
    lambda: (date(2024, 1, 1), date(2024, 1, 3)),
    lambda: (datetime(2024, 1, 1), datetime(2024, 1, 3)),
    lambda: (pl.lit(datetime(2024, 1, 1)), pl.lit(datetime(2024, 1, 3))),
    lambda: (pl.Series("a", [1, 2]), pl.Series("b", [1, 2])),
    lambda: ([pl.DataFrame({"a": [1]})],),
    lambda: (pl.Int64, 3),
    lambda: (pl.Int64,),
    lambda: (["a", "b"],),
    lambda: ({"a": pl.Int64},),
    lambda: ("a", 0.5),
    lambda: (0, 1, 5),
    lambda: ("{} b", pl.col("a")),
    lambda: ("a", "b", "c"),
    lambda: (pl.time(1), pl.time(2)),
]  # fmt: skip


def state() -> dict[str, object]:
    """What a call could change for others."""
    modules = [sys.modules[name] for name in ("polars", "numpy", "logging", "json", "math", "re", "typing", "enum")]
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),  # noqa: PTH109  # what the call could have changed
        "path": list(sys.path),
        "builtins": {name: id(value) for name, value in vars(builtins).items() if name != "_"},
        "modules": [{name: id(value) for name, value in vars(module).items()} for module in modules],
        "random": (random.getstate(), np.random.get_state()[1].tolist()),  # type: ignore[index]
        "polars": pl.Config.state(),
        "warnings": list(warnings.filters),
        "decimal": str(decimal.getcontext().prec),
        "logging": (logging.getLogger().level, list(logging.getLogger().handlers), logging.lastResort),
        "numpy": np.get_printoptions(),
        "recursion": sys.getrecursionlimit(),
    }


def find(name: str) -> Any:
    """What a dotted name of the table stands for."""
    parts = name.split(".")
    if parts[0] in ("os", "json") or importlib.util.find_spec(parts[0]):
        for end in range(len(parts), 0, -1):
            try:
                found: Any = importlib.import_module(".".join(parts[:end]))
            except ImportError:
                continue
            for part in parts[end:]:
                found = getattr(found, part)
            return found
    raise LookupError(name)


def called(function: Any) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Calls with arguments that it takes, each with what they were before."""
    for arguments in CANDIDATES:
        given = arguments()
        before = repr(given)
        try:
            with redirect_stdout(StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                function(*given)
        except Exception:  # noqa: BLE001  # these are not its arguments
            continue
        yield given, before


def prove(function: Any) -> None:
    for _ in called(function):
        pass  # the first call may import what it needs
    state()
    before = state()
    taken = 0
    for given, shown in called(function):
        taken += 1
        if not any(callable(item) and hasattr(item, "__next__") for item in given):
            assert repr(given) == shown
    assert taken, "no arguments were found with which it can be called"
    after = state()
    assert after == before


@pytest.mark.parametrize("name", sorted(inert.BUILTINS))
def test_a_builtin_is_inert(name: str) -> None:
    found: Any = builtins
    for part in name.split("."):
        found = getattr(found, part)
    if name == "str.join":
        prove(lambda items: ",".join(map(str, items)))
    else:
        prove(found)


@pytest.mark.parametrize("name", sorted(inert.PACKAGES))
def test_a_call_of_a_package_is_inert(name: str) -> None:
    if name.startswith("polars.") and not name.startswith("polars.selectors"):
        prove(getattr(pl, name.partition(".")[2]))
    elif name == "dataclasses.dataclass":  # changes the class that it is given: it gets one that nobody else has
        prove(lambda *_arguments: find(name)(type("Made", (), {"__annotations__": {"a": "int"}})))
    elif name.startswith("featurestore."):
        prove(find(name)(entity_type="a", data_type="float", source="b"))
    else:
        prove(find(name))


@pytest.mark.parametrize("name", sorted(inert.BASES))
def test_a_class_with_such_a_base_is_inert(name: str) -> None:
    base: Any = Generic
    base = base[T] if name == "typing.Generic" else find(name)
    before = state()
    namespace: dict[str, Any] = {"base": base}
    exec("class Made(base):\n    pass\n", namespace)
    assert state() == before
    assert namespace["Made"].__name__ == "Made"


@pytest.mark.parametrize("name", sorted(inert.READING))
@pytest.mark.parametrize("value", [[3, 1, 2], {"a": 1}, {3, 1}, "text", (1, 2)], ids=lambda value: type(value).__name__)
def test_a_method_that_reads_changes_nothing(name: str, value: Any) -> None:
    if hasattr(value, name):
        before = repr(value)
        for given, shown in called(getattr(value, name)):
            assert repr(given) == shown
        assert repr(value) == before


def test_no_method_both_reads_and_changes() -> None:
    assert inert.READING.isdisjoint(inert.CHANGING)
