"""Random projects with import cycles: at the top of modules or below, in functions, or unused."""

from __future__ import annotations

from random import Random

MODULES = ("a", "b", "c", "p.d", "p.e")


def cycles(random: Random) -> tuple[dict[str, str], str]:
    """The modules' texts, and the module of the feature's function ``f``.

    ``K0`` are constants, ``F1`` functions, and some constants are made by calls. Values never depend on the order
    of loading; whether the modules load at all often does.
    """
    modules = MODULES[: random.randint(2, 5)]
    names = [f"{random.choice('FK')}{number}" for number in range(random.randint(3, 12))]
    places = {name: random.choice(modules) for name in [*names, "f"]}
    imports: dict[str, list[str]] = {module: [] for module in modules}
    bodies: dict[str, list[str]] = {module: [] for module in modules}
    for position, name in enumerate([*names, "f"]):
        inside: list[str] = []
        used = random.sample(names[:position], min(position, random.randint(name == "f", 3)))
        terms = [_mention(places[name], places[other], other, imports, inside, random) for other in used]
        value = " + ".join([str(position + 1), *terms])
        if name.startswith("K"):
            imports[places[name]] += inside
            bodies[places[name]].append(f"{name} = {value}")
        else:
            lines = "".join(f"    {line}\n" for line in inside)
            bodies[places[name]].append(f"def {name}():\n{lines}    return {value}\n")
    for module in modules:
        others = [other for other in modules if other != module]
        imports[module] += [f"import {other} as unused" for other in random.sample(others, random.randint(0, 1))]
    return {module: _text(imports[module], bodies[module], random) for module in modules}, places["f"]


def _mention(here: str, there: str, name: str, imports: dict[str, list[str]], inside: list[str], random: Random) -> str:
    call = "" if name.startswith("K") else "()"
    if here == there:
        return f"{name}{call}"
    package, _, last = there.rpartition(".")
    line, said = random.choice(
        [
            (f"from {there} import {name}", name),
            (f"from {there} import {name} as _{name}", f"_{name}"),
            (f"import {there}", f"{there}.{name}"),
            (f"import {there} as _{last}", f"_{last}.{name}"),
            (f"from {package or there} import {last if package else name}", f"{last}.{name}" if package else name),
        ]
    )
    where = random.choice(["head"] * 6 + ["function"] * 2 + ["try"])
    if where == "function":
        inside.append(line)
    else:
        imports[here].append(line if where == "head" else f"try:\n    {line}\nexcept ValueError:\n    pass")
    return f"{said}{call}"


def _text(imports: list[str], body: list[str], random: Random) -> str:
    """The imports at the head, or among the first of the definitions."""
    random.shuffle(imports)
    if random.random() < 0.5:
        return "\n".join([*imports, *body]) + "\n"
    lines = list(body)
    for statement in imports:
        lines.insert(random.randint(0, len(body) // 2), statement)
    return "\n".join(lines) + "\n"
