"""Random modules whose statements bind, share and change a few objects: what a hash must not miss.

``§`` stands for a number, so that each can be changed by itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

NAMES = "ABCDE"

FUNCTIONS = """
def g(x=§):
    A.append(x)
    return len(A)
--
def h(x):
    x.append(§)
    return x
--
def put(fn):
    B.append(fn(§))
    return fn
--
class K:
    v = §
    w = A
--
def setter(v):
    global C
    C = v
--
def outer():
    def inner():
        return D, §
    return inner
--
def show():
    return A, B
""".strip().split("\n--\n")  # code

STATEMENTS = """
{a} = §
--
{a} = []
--
{a} = [{b}, §]
--
{a} = {b}
--
{a} = {b} if § % 2 else {c}
--
{a} += [§]
--
{a}.append(§)
--
{a}.append({b})
--
{a}[§] = {b}
--
{a}['x'] = §
--
for t in ({a}, {b}):
    t.append(§)
--
for i in range(§ % 3):
    {a}.append(i)
--
if § % 2:
    {a} = {b}
else:
    {a} = {c}
--
try:
    {a} = {b}[§ % 3]
except Exception:
    {a} = §
--
{a}, {b} = {b}, §
--
[{a}.append(x) for x in range(§ % 3)]
--
def g(x=§):
    {a}.append(x)
    return len({a})
--
{b} = g()
--
g()
--
{a} = h({b})
--
h({a})
--
{a} = list(map(h, {b}))
--
@put
def one(x):
    return x + §
--
K.v = §
--
setattr(K, 'v', §)
--
K.w.append(§)
--
K.w = {a}
--
{a} = K.v
--
{a} = {b}.pop() if {b} else §
--
setter(§)
--
setter([{b}, §])
--
({a} := [§])
--
{a} = list({b})
--
{a} = sorted({b}, key=lambda v: §)
--
{a} = {b}.copy()
--
{b} = outer()()
--
{a} = [*{b}]
--
{a} = dict(k={b})
--
{a}['k'].append(§)
--
{a}[0].append(§)
--
{a} = lambda: ({b}, §)
--
while len({a}) < § % 4:
    {a}.append({b})
--
for {a} in range(§ % 4):
    pass
--
match § % 3:
    case 0:
        {a} = {b}
    case x:
        {a} = x
--
{a} = {b} or [§]
--
{a} = iter([§, 2, 3])
--
{b} = next({a})
--
{c} = show()
--
class L(K):
    u = {a}
    def m(self):
        return self.v, {b}
--
{a} = L().m()
--
from lib import {b} as {a}
""".strip().split("\n--\n")


@dataclass(frozen=True)
class Soup:
    """The texts of the modules ``lib`` and ``m`` with holes, and the numbers that fill them."""

    lib: str
    m: str
    numbers: tuple[int, ...]

    def texts(self, changed: int | None = None) -> dict[str, str]:
        """The modules; one number changed."""
        numbers = iter(number + (place == changed) for place, number in enumerate(self.numbers))
        return {
            name: re.sub("§", lambda _: str(next(numbers)), text) for name, text in (("lib", self.lib), ("m", self.m))
        }


def soup(seed: int) -> Soup:
    """The soup of a number; it may well raise when it is run."""
    rng = Random(seed)
    lib, m = _module(rng, rng.randrange(3)), _module(rng, rng.randrange(1, 9))
    m += f"\n\ndef f():\n    return {', '.join(rng.sample(NAMES, 2))}\n"
    holes = lib.count("§") + m.count("§")
    return Soup(lib, m, tuple(rng.randrange(1, 9) for _ in range(holes)))


def _module(rng: Random, length: int) -> str:
    lines = [f"{name} = {rng.choice(['[]', '[]', '[1]', '[[]]', '{}'])}" for name in NAMES]
    lines += rng.sample(FUNCTIONS, rng.randrange(5))
    for _ in range(length):
        a, b, c = (rng.choice(NAMES) for _ in range(3))
        lines.append(rng.choice(STATEMENTS).replace("{a}", a).replace("{b}", b).replace("{c}", c))
    return "\n".join(lines)


def shown(value: object, depth: int = 0) -> object:
    """A value as something that can be compared: cycles cut, addresses left out."""
    if depth > 4:
        return "…"
    if isinstance(value, list | tuple):
        return [shown(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return [(repr(key), shown(item, depth + 1)) for key, item in value.items()]
    return repr(value) if isinstance(value, int | str | None) else type(value).__name__
