"""Random packages whose modules import each other in every way that Python has, and keep a log of what ran.

Each noisy module adds its name to one list, and the feature ``m.f`` returns that list: so every noisy module that is
executed counts, in the order in which it is executed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

MODULES = ("a", "b", "p", "p.c", "p.d", "p.q", "p.q.e", "p.q.g")
PACKAGES = ("p", "p.q")
TOP = "pack"


def packages(random: Random) -> dict[str, str]:
    """The texts of a package's modules by dotted name; ``pack.m`` has the feature."""
    chosen = [name for name in MODULES if name in PACKAGES or random.random() < 0.8]
    texts = {f"{TOP}.log": "LOG = []\n"}
    for position, name in enumerate([*chosen, "m"]):
        # A module imports those after it most of the time, so that few cycles fail.
        others = chosen[position + 1 :] if name != "m" and random.random() < 0.8 else chosen
        others = [other for other in others if other != name]
        texts[f"{TOP}.{name}"] = _module(random, name, others, chosen)
    texts[f"{TOP}.m"] += "def f():\n    return LOG\n"
    return {TOP: "", **texts}


def _module(random: Random, name: str, others: list[str], chosen: list[str]) -> str:
    lines: list[str] = []
    for _ in range(random.randint(1 if name == "m" else 0, 3)):
        if others:
            lines += random.choice(WAYS)(random, name, random.choice(others))
    below = [other.rpartition(".")[2] for other in chosen if other.rpartition(".")[0] == name]
    if below and random.random() < 0.3:
        lines.append(f"__all__ = {random.sample(below, random.randint(0, len(below)))!r}")
    noisy = name == "m" or random.random() < 0.8
    log = [f"from {TOP}.log import LOG", f"LOG.append({name!r})"] if noisy else []
    at = random.choice([0, len(lines)])  # logs before what it imports, or after
    if at and lines and lines[-1].startswith(" "):
        lines.append("")
    lines[at:at] = log
    return "\n".join([*lines, f"K = {len(name)}", ""])


def _relative(name: str, other: str) -> str:
    """``other`` as a module of the package sees it: dots, and the path from there."""
    parts = [TOP, *name.split(".")] if name in PACKAGES else [TOP, *name.split(".")[:-1]]
    target = [TOP, *other.split(".")]
    same = 0
    while same < min(len(parts), len(target) - 1) and parts[same] == target[same]:
        same += 1
    return "." * (len(parts) - same + 1) + ".".join(target[same:])


def _import(random: Random, name: str, other: str) -> list[str]:
    return [f"import {TOP}.{other}"]


def _import_as(random: Random, name: str, other: str) -> list[str]:
    return [f"import {TOP}.{other} as x"]


def _from_package(random: Random, name: str, other: str) -> list[str]:
    parent, _, last = f"{TOP}.{other}".rpartition(".")
    return [f"from {parent} import {last}"]


def _from_module(random: Random, name: str, other: str) -> list[str]:
    return [f"from {TOP}.{other} import K as J"]


def _relative_member(random: Random, name: str, other: str) -> list[str]:
    return [f"from {_relative(name, other)} import K as J"]


def _relative_module(random: Random, name: str, other: str) -> list[str]:
    dots = _relative(name, other)
    base, _, last = dots.rpartition(".")
    return [f"from {base + '.' if not base.strip('.') else base} import {last} as x"]


def _star(random: Random, name: str, other: str) -> list[str]:
    return [f"from {TOP}.{other} import *"]


def _try_missing(random: Random, name: str, other: str) -> list[str]:
    missing = random.choice([f"from {TOP} import nowhere", "import nowhere_at_all", f"import {TOP}.{other}.nowhere"])
    return ["try:", f"    {missing}", "except ImportError:", f"    import {TOP}.{other}"]


def _try_found(random: Random, name: str, other: str) -> list[str]:
    return ["try:", f"    from {TOP} import {other.partition('.')[0]}", "except ImportError:", "    pass"]


def _condition(random: Random, name: str, other: str) -> list[str]:
    condition = random.choice(["sys.maxsize > 0", "sys.maxsize < 0", "not sys.flags.verbose"])
    return ["import sys", f"if {condition}:", f"    import {TOP}.{other}", "else:", "    pass"]


def _loop(random: Random, name: str, other: str) -> list[str]:
    return [random.choice(["for _ in (1,):", "for _ in ():", "while True:"]), f"    import {TOP}.{other}", "    break"]


def _class(random: Random, name: str, other: str) -> list[str]:
    return ["class C:", f"    from {TOP}.{other} import K as J"]


def _function(random: Random, name: str, other: str) -> list[str]:
    lines = ["def load():", f"    import {TOP}.{other} as y", "    return y"]
    return [*lines, "Y = load()"] if random.random() < 0.5 else lines


def _attribute(random: Random, name: str, other: str) -> list[str]:
    """A submodule as an attribute, which is there only if somebody has imported it."""
    return [f"import {TOP}", f"Z = getattr({TOP}, {other.partition('.')[0]!r}, None)"]


WAYS: list[Callable[[Random, str, str], list[str]]] = [
    _import, _import_as, _from_package, _from_module, _relative_member, _relative_module, _star, _try_missing,
    _try_found, _condition, _loop, _class, _function, _attribute,
]  # fmt: skip


def files(texts: dict[str, str]) -> dict[str, str]:
    """The texts by their path below the root."""
    inside = {TOP, *(f"{TOP}.{name}" for name in PACKAGES)}
    return {name.replace(".", "/") + ("/__init__.py" if name in inside else ".py"): texts[name] for name in texts}
