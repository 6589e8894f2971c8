"""Random programs: written out in many styles, and judged by Python's own tools."""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Callable, Iterator
from random import Random

Render = Callable[[Random], str]
"""A piece of code that can be written out in many styles, all with the same meaning."""

NAMES = ["a", "b", "c", "K", "h", "len"]
TARGETS = ["a", "b", "x", "y"]
BINARY = "+ - * / // % ** @ << >> | & ^ and or < <= == != > >= is in".split()  # noqa: SIM905  # reads better


def wrap(render: Render) -> Render:
    """In parentheses, which may hold line breaks and comments, once or more."""

    def write(style: Random) -> str:
        text = render(style)
        for _ in range(style.choice([1, 1, 1, 2])):
            text = style.choice(["({})", "( {} )", "(\n  {}\n)", "(  # why\n {})"]).replace("{}", text)
        return text

    return write


def fill(template: str, *parts: Render) -> Render:
    """The template with each ``§`` replaced by a part in parentheses."""
    pieces = template.split("§")
    wrapped = [wrap(part) for part in parts]

    def write(style: Random) -> str:
        texts = [part(style) for part in wrapped]
        return "".join(piece + text for piece, text in zip(pieces, [*texts, ""], strict=True))

    return write


def commas(opening: str, items: list[Render], closing: str) -> Render:
    wrapped = [wrap(item) for item in items]

    def write(style: Random) -> str:
        texts = [item(style) for item in wrapped]
        last = style.choice(["", ","]) if texts else ""
        return opening + style.choice([", ", ",\n  "]).join(texts) + last + closing

    return write


def quoted(text: str) -> Render:
    def write(style: Random) -> str:
        quote = style.choice(["'", '"', "'''", '"""'])
        body = "".join(f"\\x{ord(char):02x}" if style.random() < 0.2 else char for char in text)
        return f"{style.choice(['', 'u'])}{quote}{body}{quote}"

    return write


def number(value: int) -> Render:
    return lambda style: style.choice([str(value), hex(value), f"{value:_}", bin(value)])


def plain(text: str) -> Render:
    return lambda style: text


class Writer:
    """Makes up a program; ``size`` bounds how deep it nests. ``bare``: without annotations and imports."""

    def __init__(self, rng: Random, size: int, *, bare: bool = False) -> None:
        self._rng = rng
        self._size = size
        self._annotations = [""] if bare else ["", ": int", ": K[h]"]
        self._others = ["global K", "global b", "nonlocal a", "raise a", "assert b, c"]
        if not bare:
            self._others += ["import os.path as x", "from os import path as h", "import os"]

    def function(self) -> Render:
        """A function ``f``."""
        return self._function("f", "c", self._block(self._size))

    def _leaf(self) -> Render:
        rng = self._rng
        kind = rng.randrange(4)
        if kind == 0:
            return number(rng.choice([0, 1, 7, 255, 2**70]))
        if kind == 1:
            return plain(rng.choice(["1.5", "0.25", "2j", "None", "True", "False", "b'x'", "..."]))
        if kind == 2:
            return quoted(rng.choice(["", "a", "age", "a b_1"]))
        return plain(rng.choice(NAMES))

    def expression(self, depth: int) -> Render:
        """Any expression."""
        rng = self._rng
        if depth <= 0 or rng.random() < 0.2:
            return self._leaf()

        def inner() -> Render:
            return self.expression(depth - 1)

        def some() -> list[Render]:
            return [inner() for _ in range(rng.randrange(3))]

        name = rng.choice(TARGETS)
        choices: list[Callable[[], Render]] = [
            lambda: fill(f"§ {rng.choice(BINARY)} §", inner(), inner()),
            lambda: fill(f"{rng.choice(['-', 'not', '~', '+'])} §", inner()),
            lambda: fill("§ if § else §", inner(), inner(), inner()),
            lambda: fill(f"§.{rng.choice(['x', 'col', 'y'])}", inner()),
            lambda: fill("§[§]", inner(), inner()),
            lambda: fill("§[§:§]", inner(), inner(), inner()),
            lambda: fill(f"§(§, {name}=§)", inner(), inner(), inner()),
            lambda: fill("§(*§, **§)", inner(), inner(), inner()),
            lambda: commas("[", some(), "]"),
            lambda: commas("{", [inner(), *some()], "}"),
            lambda: fill("§, §", inner(), inner()),
            lambda: fill("{§: §, **§}", inner(), inner(), inner()),
            lambda: fill(f"[§ for {name} in § if §]", inner(), inner(), inner()),
            lambda: fill(f"{{§ for {name} in § for b in §}}", inner(), inner(), inner()),
            lambda: fill(f"lambda {name}=§: §", inner(), inner()),
            lambda: fill(f"lambda {name}, /, *b: §", inner()),
            lambda: fill(f"({name} := §)", inner()),
            lambda: plain(f"f'x{{{rng.choice(NAMES)}}}y{{{name}!r:{rng.choice(['', '>5', '{a}'])}}}'"),
        ]  # fmt: skip
        return rng.choice(choices)()

    def _block(self, depth: int) -> Render:
        statements = [self._statement(depth) for _ in range(self._rng.randrange(1, 4))]

        def write(style: Random) -> str:
            lines: list[str] = []
            for statement in statements:
                if style.random() < 0.2:
                    lines.append(style.choice(["# note", "'''text'''", "pass", "", "..."]))
                lines.append(statement(style))
            indent = style.choice(["    ", "  ", "\t"])
            return "\n".join(indent + line for line in "\n".join(lines).split("\n"))

        return write

    def _statement(self, depth: int) -> Render:
        rng = self._rng
        value = wrap(self.expression(depth))
        name = rng.choice(TARGETS)
        annotations = self._annotations
        if depth <= 0 or rng.random() < 0.5:
            op = rng.choice("+-*")
            return rng.choice([
                lambda style: f"{name}{style.choice(annotations)} = {value(style)}",
                lambda style: f"{name} {op}= {value(style)}",
                lambda style: f"return {value(style)}",
                value,
                lambda style: style.choice([f"del {name}, b", f"del ({name}, b)"]),
                lambda style: f"{name}, (*b, a.x) = {value(style)}",
                *map(plain, self._others),
            ])  # fmt: skip
        body, other = self._block(depth - 1), self._block(depth - 1)
        return rng.choice([
            lambda style: f"if {value(style)}:\n{body(style)}",
            lambda style: f"if {value(style)}:\n{body(style)}\nelse:\n{other(style)}",
            lambda style: f"for {name} in {value(style)}:\n{body(style)}\nelse:\n{other(style)}",
            lambda style: f"while {value(style)}:\n{body(style)}",
            lambda style: f"with {value(style)} as {name}:\n{body(style)}",
            lambda style: f"try:\n{body(style)}\nexcept a as {name}:\n{other(style)}",
            lambda style: f"match {value(style)}:\n  case [{name}, *_]:\n{_indented(body(style))}",
            self._function(rng.choice(["g", "a"]), name, body),
            self._function("g", name, body),
            self._class(depth - 1),
        ])  # fmt: skip

    def _class(self, depth: int) -> Render:
        """Annotations of a class body are part of a version, so there are none."""
        annotations, self._annotations = self._annotations, [""]
        body = self._block(depth)
        self._annotations = annotations
        return lambda style: f"class C{style.choice(['', '()'])}:\n{body(style)}"

    def _function(self, name: str, argument: str, body: Render) -> Render:
        annotations = self._annotations

        def write(style: Random) -> str:
            annotation = style.choice(annotations)
            result = style.choice(annotations).replace(":", " ->")
            return f"def {name}({argument}{annotation}){result}:\n{body(style)}"

        return write


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.split("\n"))


def program(seed: int, size: int, *, bare: bool = False) -> Render:
    """The program of a number: a function ``f`` that is Python in any style."""
    rng = Random(seed)
    while True:
        made = Writer(rng, size, bare=bare).function()
        if is_python(made(Random(0))):
            return made


def is_python(text: str) -> bool:
    """Whether it compiles."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "f", "exec")
        except (SyntaxError, ValueError):
            return False
    return True


# Judges


class _Normal(ast.NodeTransformer):
    """Takes away what is not part of a version, in another way than the hash does."""

    def __init__(self) -> None:
        self.inside: list[str] = []

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list):
                kept = [item for item in body if not isinstance(item, ast.Pass) and not _is_constant(item)]
                setattr(node, field, kept)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        self.inside.append("class")
        self.generic_visit(node)
        self.inside.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        self.inside.append("function")
        self.generic_visit(node)
        self.inside.pop()
        return node

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return super().generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        return super().generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        self.generic_visit(node)
        if self.inside[-1] == "class" or node.value is None:
            return node
        return ast.Assign([node.target], node.value, lineno=1)

    def visit_Delete(self, node: ast.Delete) -> ast.AST:
        flat = [
            item for target in node.targets for item in (target.elts if isinstance(target, ast.Tuple) else [target])
        ]
        return ast.Delete(flat)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Set([ast.Constant(ast.unparse(node))])  # no plain constant: as a statement it is kept

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        return ast.Constant(node.value)


def _is_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def normal_form(text: str) -> str:
    """Another canonical form, good on one Python only: ``ast.dump`` of what remains."""
    return ast.dump(_Normal().visit(ast.parse(text)))


def global_names(text: str) -> tuple[set[str], set[str]]:
    """What Python's own tables say of the function ``f``: names that are global for sure, and those that may be."""
    sure: set[str] = set()
    perhaps: set[str] = set()
    pending = [table for table in symtable.symtable(text, "f", "exec").get_children() if table.get_name() == "f"]
    while pending:
        table = pending.pop()
        for symbol in table.get_symbols():
            if symbol.is_referenced() and symbol.is_global():
                sure.add(symbol.get_name())
            elif symbol.is_global() or (table.get_type() == "class" and symbol.is_local()):
                perhaps.add(symbol.get_name())
        pending += table.get_children()
    return sure, perhaps


def mutations(text: str, style: Random) -> Iterator[str]:
    """The program with one thing changed, again and again."""
    count = sum(1 for _ in ast.walk(ast.parse(text)))
    for position in style.sample(range(count), min(count, 6)):
        tree = ast.parse(text)
        node = list(ast.walk(tree))[position]
        if _mutate(node, style):
            try:
                changed = ast.unparse(ast.fix_missing_locations(tree))
            except ValueError:  # a number in the place of an f-string's text
                continue
            if is_python(changed):
                yield changed


def _mutate(node: ast.AST, style: Random) -> bool:
    match node:
        case ast.Constant():
            node.value = style.choice([0, 1, 1.0, True, "1", None, b"1", 2**80])
        case ast.Name():
            node.id = style.choice([*NAMES, "x", "y"])
        case ast.Attribute():
            node.attr = style.choice(["x", "col", "z"])
        case ast.BinOp():
            node.op = style.choice([ast.Add(), ast.Sub(), ast.Mult()])
        case ast.BoolOp():
            node.op = style.choice([ast.And(), ast.Or()])
        case ast.Compare():
            node.ops = [style.choice([ast.Lt(), ast.GtE(), ast.Is()]) for _ in node.ops]
        case ast.Call() if node.args:
            node.args = style.choice(
                [node.args[1:], node.args[::-1], [*node.args, ast.Starred(node.args[0], ast.Load())]]
            )
        case ast.List() | ast.Tuple() if isinstance(node.ctx, ast.Load) and node.elts:
            node.elts = style.choice([node.elts[1:], node.elts[::-1]])
        case ast.FunctionDef() | ast.If() | ast.For() | ast.While() | ast.With() | ast.ClassDef():
            node.body = style.choice([node.body[1:] or [ast.Pass()], node.body[::-1], [*node.body, ast.Return(None)]])
        case ast.arg():
            node.arg = style.choice(["a", "b", "x"])
        case ast.comprehension():
            node.ifs = []
        case _:
            return False
    return True
