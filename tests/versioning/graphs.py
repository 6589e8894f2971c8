"""Random projects: functions and constants that use each other, spread over modules, imported in every way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

MODULES = ("m", "lib", "pack.one", "pack.two", "pack.deep.three")


@dataclass(frozen=True)
class Graph:
    """``uses`` maps each definition to those it mentions; upper-case ones are constants. ``f`` is the feature.

    ``places`` are their modules, and ``ways`` how one mentions another of another module.
    """

    uses: dict[str, tuple[str, ...]]
    places: dict[str, str]
    ways: dict[tuple[str, str], int]

    @property
    def module(self) -> str:
        return self.places["f"]

    def names(self) -> list[str]:
        return sorted(self.uses)

    def texts(self, changed: str | None = None) -> dict[str, str]:
        """The modules' texts; one definition changed."""
        imports: dict[str, list[str]] = {module: [] for module in MODULES}
        bodies: dict[str, list[str]] = {module: [] for module in MODULES}
        for name in sorted(self.uses, key=lambda name: (name not in "ABCD", name)):  # constants first
            module = self.places[name]
            inside: list[str] = []
            terms = [self._mention(name, other, imports[module], inside) for other in self.uses[name]]
            value = " + ".join([str(len(name) + (name == changed)), *terms])
            if name.isupper():
                imports[module] += inside
                bodies[module].append(f"{name} = {value.replace('()', '')}")
            else:
                lines = "".join(f"    {line}\n" for line in inside)
                returned = f"0 if depth < 0 else {value.replace('()', '(depth - 1)')}"
                bodies[module].append(f"def {name}(depth=3):\n{lines}    return {returned}\n")
        return {module: "\n".join([*imports[module], *bodies[module]]) + "\n" for module in MODULES}

    def _mention(self, user: str, name: str, top: list[str], inside: list[str]) -> str:
        here, there = self.places[user], self.places[name]
        call = "" if name.isupper() else "()"
        if here == there:
            return f"{name}{call}"
        alias = f"_{name}_{user}"
        parent, _, last = there.rpartition(".")
        ways = [
            ([f"from {there} import {name} as {alias}"], alias),
            ([f"from {there} import {name}"], name),
            ([f"import {there}"], f"{there}.{name}"),
            ([f"import {there} as {alias}"], f"{alias}.{name}"),
            (
                [f"from {parent} import {last} as {alias}"] if parent else [f"import {there} as {alias}"],
                f"{alias}.{name}",
            ),
        ]
        if here.startswith("pack.") and there.startswith("pack."):
            dots = "." * here.count(".")
            ways.append(([f"from {dots}{there.removeprefix('pack.')} import {name} as {alias}"], alias))
        way = self.ways[user, name]
        lines, said = ways[way % len(ways)]
        (inside if way >= 10 and not user.isupper() else top).extend(lines)
        return f"{said}{call}"

    def moved(self, style: Random) -> Graph:
        """The same definitions in other modules, mentioned in other ways."""
        places = {name: style.choice(MODULES) for name in self.uses}
        return replace(self, places=places, ways={pair: style.randrange(20) for pair in self.ways})


def is_reached(graph: Graph, name: str) -> bool:
    """Whether a walk over the graph from ``f`` meets the definition."""
    seen: set[str] = set()
    pending = ["f"]
    while pending:
        current = pending.pop()
        if current not in seen:
            seen.add(current)
            pending += graph.uses[current]
    return name in seen


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    functions, constants = ["f", "g", "h", "k"], ["A", "B", "C", "D"]
    uses: dict[str, tuple[str, ...]] = {}
    for name in functions:  # functions may call each other in cycles
        uses[name] = tuple(draw(st.lists(st.sampled_from([*functions, *constants]), max_size=3, unique=True)))
    for position, name in enumerate(constants):
        earlier = constants[:position]
        uses[name] = tuple(draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True))) if earlier else ()
    places = {name: draw(st.sampled_from(MODULES)) for name in uses}
    ways = {(user, other): draw(st.integers(0, 19)) for user, others in uses.items() for other in others}
    return Graph(uses, places, ways)
