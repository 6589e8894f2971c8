"""Random modules whose statements bind, share and change a few objects: what a hash must not miss.

Three modules: ``lib`` makes the objects, ``third`` changes them when it is imported, and ``m`` has the feature. In the
templates ``§`` stands for a number, so that each can be changed by itself, and ``{a}``, ``{b}``, ``{c}`` for names.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from io import StringIO
from random import Random
from types import SimpleNamespace
from typing import Any

NAMES = "ABCDE"

# Each is put before the first statement that uses its name.
DEFINITIONS = """
g
def g(x=§):
    A.append(x)
    return len(A)
--
h
def h(x):
    x.append(§)
    return x
--
put
def put(fn):
    B.append(fn(§))
    return fn
--
K
class K:
    v = §
    w = A
--
setter
def setter(v):
    global C
    C = v
--
outer
def outer():
    def inner():
        return D, §
    return inner
--
show
def show():
    return A, B
--
R
class R:
    items = A
    @classmethod
    def add(cls, x):
        cls.items.append(x)
        return x
--
reg
def reg(k):
    def deco(fn):
        B.append(fn(k))
        return fn
    return deco
--
Base
class Base:
    subs = C
    def __init_subclass__(cls, k=§):
        Base.subs.append(k)
--
Meta
class Meta(type):
    def __init__(cls, name, bases, space):
        E.append(space.get('v'))
--
Desc
class Desc:
    def __init__(self, k):
        self.k = k
    def __set_name__(self, owner, name):
        D.append(self.k)
    def __get__(self, obj, owner):
        return self.k
--
t
class T:
    seen = D
    n = 0
    def note(self, x):
        self.seen.append(x)
        return self
    __add__ = __radd__ = __getitem__ = __call__ = note
    def __lt__(self, x):
        return self.note(x)
    def __len__(self):
        T.n += §
        return 1
    def __contains__(self, x):
        self.note(x)
        return True
    def __enter__(self):
        return self.note(§)
    def __exit__(self, *a):
        self.note(a[0])
    def __iter__(self):
        self.note(§)
        return iter([§])
    @property
    def p(self):
        return self.note(§)
    @p.setter
    def p(self, x):
        self.note(x)
t = T()
--
it
def gen():
    for i in range(99):
        A.append(i)
        yield i
it = gen()
--
ctx
import contextlib
@contextlib.contextmanager
def ctx(x):
    B.append(x)
    yield B
--
keep
def keep(x=[§]):
    x.append(§)
    return x
--
twice
def twice(fn, x):
    fn(x)
    return fn(x)
--
cached
import functools
@functools.cache
def cached(x):
    E.append(x)
    return §
--
pair
def pair():
    cell = [§]
    def put(v):
        cell.append(v)
    def get():
        return cell
    return put, get
push, pull = pair()
--
functools
import functools
--
operator
import operator
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
for t_ in ({a}, {b}):
    t_.append(§)
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
--
R.add(§)
--
R.items = {a}
--
@reg(§)
def two(x):
    return x + §
--
@R.add
def three():
    return §
--
class S(Base, k=§):
    pass
--
class S(Base):
    v = §
--
class X(metaclass=Meta):
    v = §
--
class Y:
    d = Desc(§)
--
Y_ = type('Y_', (), {'d': Desc(§)})
--
t + §
--
_ = t < §
--
_ = t[§]
--
t(§)
--
t.p
--
t.p = §
--
with t:
    {a} = §
--
with ctx(§) as {a}:
    pass
--
_ = § in t
--
for x in t:
    break
--
_ = len(t)
--
if t:
    {a} = [§]
--
x, = t
--
next(it)
--
_ = list(zip(range(§ % 3), it))
--
_ = § in it
--
{a} = keep()
--
keep({b})
--
def unused(x={a}.append(§)):
    pass
--
class Unused:
    {a}.append(§)
--
class Unused2(h({a}) and object):
    pass
--
assert {a}.append(§) is None
--
print({a}.append(§))
--
f"{{a}.append(§)}"
--
(lambda x: x.append(§))({a})
--
_ = sorted([3, 1], key=lambda v: {a}.append(v) or §)
--
_ = [*map({a}.append, (§, §))]
--
_ = max([§, 2], key=h and {a}.append and (lambda v: {a}.append(v) or v))
--
{a}.extend(x for x in ({b}, §))
--
{a}.insert(0, §)
--
{a}.reverse()
--
del {a}[:§ % 2]
--
try:
    raise ValueError({a})
except ValueError as error:
    error.args[0].append(§)
--
try:
    {a}.nothing
except AttributeError:
    {b} = [§]
finally:
    {c} = [{b}]
--
functools.partial({a}.append, §)()
--
operator.iadd({a}, [§])
--
operator.setitem({a}, 0, §)
--
{a}, *{b} = [{c}, §, §]
--
match {a}:
    case [x, *_]:
        {b} = x
    case _:
        {b} = §
--
{a} = [x for x in {b} if x != §]
--
{a} = {k: v for k, v in zip('xyz', ({b}, §))}
--
{a}.update(y=§)
--
{a}.setdefault('z', []).append(§)
--
{a} |= {'x': §}
--
twice({a}.append, §)
--
{b} = twice(lambda v: {a}.append(v) or v, §)
--
cached(§)
--
cached(1)
cached(2)
--
push(§)
--
{a} = pull()
--
getattr(K, 'w').append(§)
--
list.append({a}, §)
--
{a}.__setitem__(0, §)
--
append = {a}.append
append(§)
--
def inner():
    {a}.append(§)
    return {b}
{c} = inner()
--
def later():
    global {a}
    {a} = [§]
later()
--
import contextlib
with contextlib.suppress(Exception):
    {a}.append(§)
    {b}.nothing
--
if {a} == {b}:
    {c} = §
--
{a}.append(len({b}) + §)
--
{a} = type({b})
--
del {a}
{a} = [§]
""".strip().split("\n--\n")

# Where other modules can be reached.
OUTSIDE = """
lib.{a}.append(§)
--
lib.{a} = [§]
--
setattr(lib, '{a}', §)
--
from lib import {a}
--
from lib import {b} as {a}
--
from lib import *
--
for module in (lib,):
    module.{a}.append(§)
--
{a} = lib.{b}
--
def reach():
    from lib import {b}
    {b}.append(§)
    return {b}
{a} = reach()
""".strip().split("\n--\n")

RESULTS = ["A", "B", "C", "D", "E", "lib.A", "lib.B", "lib.C", "third.A", "g()", "K.v", "K.w", "keep()", "R.items",
           "Base.subs", "t.seen", "len(t)", "T.n", "next(it)", "cached(7)", "pull()", "show()"]  # fmt: skip

Statements = tuple[str, ...]


@dataclass(frozen=True)
class Soup:
    """The statements of the modules, with holes, and the numbers that fill them."""

    modules: dict[str, Statements]
    numbers: tuple[int, ...]

    def texts(self, changed: int | None = None) -> dict[str, str]:
        """The modules; one number changed."""
        numbers = iter(number + (place == changed) for place, number in enumerate(self.numbers))
        return {
            name: re.sub("§", lambda _: str(next(numbers)), "\n".join(statements))
            for name, statements in self.modules.items()
        }

    def shorter(self) -> Iterator[Soup]:
        """The soups with one statement less; the function stays."""
        at = 0
        for name, statements in self.modules.items():
            for place, statement in enumerate(statements):
                holes = statement.count("§")
                if place < len(statements) - 1 or name != "m":
                    left = statements[:place] + statements[place + 1 :]
                    numbers = self.numbers[:at] + self.numbers[at + holes :]
                    yield replace(self, modules={**self.modules, name: left}, numbers=numbers)
                at += holes


def soup(seed: int) -> Soup:
    """The soup of a number. Its modules run one after another when it is made; a cycle or two may still fail."""
    rng = Random(seed)
    kitchen = _Kitchen(rng)
    heads = ["import lib, third", "import third\nimport lib", ""]
    made = {
        "lib": kitchen.module("lib", rng.randrange(3), None),
        "third": kitchen.module("third", rng.randrange(4), "import lib\nfrom lib import *\n"),
        "m": kitchen.module("m", rng.randrange(1, 9), rng.choice(heads)),
    }
    space = kitchen.spaces["m"]
    usable = [text for text in RESULTS if re.match(r"[A-Za-z]+", text)[0] in space]  # type: ignore[index]
    chosen = rng.sample(usable, min(len(usable), rng.randint(2, 3)))
    made["m"] += (f"def f():\n    return {', '.join(chosen)}",)
    return Soup(made, tuple(kitchen.numbers))


class _Kitchen:
    """Writes modules statement by statement, and keeps those that can be executed."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self.numbers: list[int] = []
        self.spaces: dict[str, dict[str, Any]] = {}

    def module(self, name: str, length: int, head: str | None) -> Statements:
        rng = self._rng
        self.spaces[name] = {"__name__": name, "__builtins__": {**vars(builtins), "__import__": self._import}}
        lines: list[str] = []
        self._add(lines, name, head or "import contextlib")
        for letter in NAMES:
            if name == "lib" or rng.random() < (0.7 if name == "m" else 0.2):
                self._add(lines, name, f"{letter} = {rng.choice(['[]', '[]', '[1]', '[[]]', '{}'])}")
        templates = STATEMENTS if name == "lib" or not head else STATEMENTS + OUTSIDE * 3
        for text in rng.sample(DEFINITIONS, 2 if name == "lib" else 1):
            self._add(lines, name, text.partition("\n")[2])
        tried = 0
        while length and tried < 40:
            tried += 1
            text = rng.choice(templates)
            for letter in "abc":
                text = text.replace(f"{{{letter}}}", rng.choice(NAMES))
            for definition in DEFINITIONS:
                defined, _, code = definition.partition("\n")
                if re.search(rf"\b{defined}\b", text) and defined not in self.spaces[name]:
                    self._add(lines, name, code)
            length -= self._add(lines, name, text)
        return tuple(lines)

    def _add(self, lines: list[str], name: str, text: str) -> bool:
        """Adds a statement if it runs."""
        filled = [self._rng.randrange(1, 9) for _ in range(text.count("§"))]
        numbers = iter(filled)
        try:
            with redirect_stdout(StringIO()):
                exec(re.sub("§", lambda _: str(next(numbers)), text), self.spaces[name])
        except Exception:  # noqa: BLE001  # most statements do not fit to what was before
            return False
        lines.append(text)
        self.numbers += filled
        return True

    def _import(self, name: str, *args: Any, **more: Any) -> Any:
        if name in self.spaces:
            return SimpleNamespace(**{key: value for key, value in self.spaces[name].items() if key[:2] != "__"})
        return __import__(name, *args, **more)


def shown(value: object, depth: int = 0) -> object:
    """A value as something that can be compared: cycles cut, addresses left out."""
    if depth > 4:
        return "…"
    if isinstance(value, list | tuple):
        return [shown(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return [(repr(key), shown(item, depth + 1)) for key, item in value.items()]
    return repr(value) if isinstance(value, int | str | None) else type(value).__name__
