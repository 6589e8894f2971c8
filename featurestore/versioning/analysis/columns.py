"""Which columns code can name. Sound by construction: all of them, unless every name is a literal.

A name that stands nowhere in the code has to come from somewhere: a text that is computed, the frame that shows its
columns, an expression that chooses by type or by pattern. Code that uses only what `column_words` lists can do none of
that, but for one thing: ``+`` and ``*`` put literals together, so that a column counts if its name is made of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from featurestore.frozen import frozen
from featurestore.versioning.analysis import column_words as words
from featurestore.versioning.analysis.names import Definition, Dotted, Local, Plain, Referent
from featurestore.versioning.analysis.project import ProjectNames
from featurestore.versioning.analysis.reach import Reach, Scope, chain
from featurestore.versioning.analysis.scopes import (
    Comprehension,
    Function,
    argument_names,
    bound_by,
    target_names,
    type_parameter_names,
    walruses,
)
from featurestore.versioning.analysis.tree import SourceTree
from featurestore.versioning.analysis.walking import children

_DISPLAYS = (ast.List, ast.Tuple, ast.Set, ast.Dict)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_DICT_VIEWS = {"items", "keys", "values"}
_PAIRS = {"zip", "enumerate"}


@frozen
class ColumnUse:
    """The texts in some code, and whether it may name columns by texts that are not among them."""

    texts: frozenset[str]
    computed: bool

    def may_name(self, column: str) -> bool:
        """Whether the code may name this column."""
        return self.computed or _is_made_of(column, self.texts)


def column_use(project: ProjectNames, statements: Iterable[tuple[str, int]]) -> ColumnUse:
    """The columns that top-level statements name, each given by its module and its position there."""
    uses = project.tree.attached(_Uses)
    found = [uses.of(project, module, position) for module, position in statements]
    texts: set[str] = set().union(*(use.texts for use in found))
    defined: set[str] = set().union(*(use.defined for use in found))
    computed = any(use.computed or not use.wanted <= defined for use in found)
    formats = any(use.formats for use in found) and any("%" in text for text in texts)
    return ColumnUse(frozenset(texts), computed or formats)


def chooses(texts: Iterable[str]) -> bool:
    """Whether Polars takes one of the texts, or some put together, for many columns: ``*``, or ``^a pattern$``."""
    given = list(texts)
    pattern = any(text.startswith("^") for text in given) and any(text.endswith("$") for text in given)
    return pattern or "*" in given


def _is_made_of(name: str, texts: frozenset[str]) -> bool:
    """Whether a name is one of the texts, or several of them one after another."""
    reached = {0}
    for end in range(1, len(name) + 1):
        if any(name[start:end] in texts for start in reached):
            reached.add(end)
    return len(name) in reached and bool(name)


class _Uses:
    """The uses of one tree's statements, and what its modules' names are bound to, each worked out once."""

    def __init__(self, _: SourceTree) -> None:
        self._found: dict[tuple[str, int], _Use] = {}
        self._values: dict[str, dict[str, list[ast.expr | None]]] = {}

    def of(self, project: ProjectNames, module: str, position: int) -> _Use:
        """The use of one top-level statement."""
        at = (module, position)
        if at not in self._found:
            table = project.table(module)
            use = self._found[at] = _Use(project, module, self)
            if table is not None:
                use.read(table.body[position])
        return self._found[at]

    def values(self, project: ProjectNames, target: Definition) -> list[ast.expr | None]:
        """What a module's name is bound to, in order: None for anything but a plain assignment."""
        if target.module not in self._values:
            table = project.table(target.module)
            self._values[target.module] = {} if table is None else _values_of(table.body)
        return self._values[target.module].get(target.name, [])


def _values_of(body: Iterable[ast.stmt]) -> dict[str, list[ast.expr | None]]:
    values: dict[str, list[ast.expr | None]] = {}
    for statement in body:
        value = statement.value if isinstance(statement, ast.Assign | ast.AnnAssign) else None
        if isinstance(statement, ast.Assign) and not all(isinstance(item, ast.Name) for item in statement.targets):
            value = None
        for name in bound_by([statement], walrus=True, annotated=False).everything():
            values.setdefault(name, []).append(value)
    return values


class _Use(Reach):
    """What one top-level statement does with texts and columns.

    ``wanted`` are the attributes that some class of the closure has to define, ``defined`` those that this statement
    defines. ``formats`` says that a ``%`` may fill in a text. Deep code is walked with a list, not by recursion: what
    is found must not depend on how deep the stack already is.
    """

    def __init__(self, project: ProjectNames, module: str, uses: _Uses) -> None:
        super().__init__(project.world(module))
        self._project = project
        self._uses = uses
        self.texts: set[str] = set()
        self.wanted: set[str] = set()
        self.defined: set[str] = set()
        self.computed = False
        self.formats = False
        self._pending: list[ast.AST] = []
        self._literal: frozenset[str] = frozenset()  # variables of comprehensions that stand for literal texts

    def read(self, statement: ast.stmt) -> None:
        """Reads the statement. Called once."""
        self._read(statement)

    def _read(self, *nodes: ast.AST) -> None:
        before, self._pending = self._pending, [*reversed(nodes)]
        while self._pending:
            node = self._pending.pop()
            method = self._METHODS.get(node.__class__)
            if method is None:
                self._pending += children(node)
            else:
                method(self, node)
        self._pending = before

    def _later(self, *nodes: ast.AST | None) -> None:
        self._pending += [node for node in nodes if node is not None]

    def _inside(self, scope: Scope, *nodes: ast.AST) -> None:
        self.scopes.append(scope)
        before, self._literal = self._literal, frozenset()
        self._read(*nodes)
        self._literal = before
        self.scopes.pop()

    # Names and attributes

    def _name(self, node: ast.Name) -> None:
        if node.ctx.__class__ is ast.Load:
            self._value(self.find(node.id))

    def _value(self, target: Referent) -> None:
        """Something is used as a value."""
        if isinstance(target, Local | Definition):
            self.computed |= bool(target.maybe)
        elif isinstance(target, Dotted):
            self.computed |= not _is_inert(target.name)
        elif isinstance(target, Plain):
            self.computed |= target.name not in words.BUILTINS or bool(target.limit)
        else:
            self.computed = True

    def _attribute(self, node: ast.Attribute) -> None:
        names, target, base = self._resolved(node)
        if isinstance(target, Dotted):
            name = ".".join((target.name, *reversed(names)))
            stored = node.ctx.__class__ is not ast.Load
            if name.startswith("polars.col.") and not stored:
                parts = name.split(".")
                self.texts.add(parts[2])
                self._attributes(parts[3:], target, base)
            else:
                self.computed |= stored or not _is_inert(name)
            return
        if target is None:
            self._later(base)
        else:
            self._value(target)
        if node.ctx.__class__ is not ast.Load and names:  # none are left where a name of a module is assigned
            self.defined.add(names[0])
            names = names[1:]
        self._attributes([*reversed(names)], target, base)

    def _resolved(self, node: ast.expr) -> tuple[list[str], Referent | None, ast.expr]:
        """Attributes (the last one first), what they belong to where a name says it, and its expression."""
        names, base = chain(node)
        if not isinstance(base, ast.Name):
            return names, None, base
        target = self.follow(self.find(base.id), names, base)
        return names, target, base

    def _attributes(self, names: list[str], target: Referent | None, base: ast.expr) -> None:
        """Attributes from left to right, none of them called here (`_call` looks at those that are)."""
        if names and isinstance(base, ast.Constant):
            self.computed = True
        own = isinstance(base, ast.Name) and base.id in ("self", "cls")
        if isinstance(target, Definition):  # a class or an object of one, not a text
            own = not any(isinstance(value, ast.Constant) for value in self._uses.values(self._project, target))
        for number, name in enumerate(names):
            if number and names[number - 1] in words.NAMESPACES:
                self.computed |= name not in words.NAMESPACES[names[number - 1]]
            elif name in words.METHODS or (name in words.NAMESPACES and number + 1 < len(names)):
                continue
            elif own and number == 0 and name != "name" and not name.startswith("__"):
                self.wanted.add(name)
            else:
                self.computed = True

    def _subscript(self, node: ast.Subscript) -> None:
        self._later(node.slice)
        names, target, _ = self._resolved(node.value)
        if node.ctx.__class__ is not ast.Load:
            self.computed |= isinstance(node.slice, ast.Slice)  # a list takes a text's letters
        elif not isinstance(node.value, ast.Dict):
            is_type = isinstance(target, Dotted | Plain)  # list[float]
            written_out = isinstance(target, Definition) and not names and self._display(target)
            self.computed |= not is_type and not written_out
        self._later(node.value)

    # Texts

    def _constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.texts.add(node.value)

    def _written_out(self, node: ast.List | ast.Tuple | ast.Set | ast.Dict) -> None:
        """A table may have a million entries: those that are constants are taken without a turn of the loop."""
        for item in ast.iter_child_nodes(node):
            if item.__class__ is ast.Constant:
                if isinstance(item.value, str):
                    self.texts.add(item.value)
            else:
                self._pending.append(item)

    def _template(self, node: ast.JoinedStr) -> None:
        if all(isinstance(part, ast.Constant) for part in node.values):
            self.texts.add("".join(str(part.value) for part in node.values if isinstance(part, ast.Constant)))
        else:
            self.computed = True

    def _operation(self, node: ast.BinOp | ast.AugAssign) -> None:
        left = node.left if isinstance(node, ast.BinOp) else node.target
        self._later(left, node.right if isinstance(node, ast.BinOp) else node.value)
        if isinstance(node.op, ast.Mod) and not self._is_expression(left):
            self.formats = True
        if isinstance(node, ast.AugAssign) and isinstance(node.op, ast.Add):  # a list takes a text's letters
            number = isinstance(node.value, ast.Constant) and not isinstance(node.value.value, str | bytes)
            harmless = number or self._is_expression(node.value) or self._can_be_gone_through(node.value)
            self.computed |= not harmless

    # Calls

    def _call(self, node: ast.Call) -> None:
        function = node.func
        names, target, _ = self._resolved(function)
        dotted = ".".join((target.name, *reversed(names))) if isinstance(target, Dotted) else ""
        if isinstance(target, Plain) and not names:
            dotted = target.name
        if dotted == "logging.getLogger":
            return
        if dotted in ("isinstance", "issubclass"):  # the types are only compared
            self._later(*node.args[:1])
            return
        self._check_arguments(node, dotted)
        for keyword in node.keywords:
            if keyword.arg is None:
                self.computed |= not isinstance(keyword.value, ast.Dict)
            else:
                self.texts.add(keyword.arg)  # filter(sex="F") names a column
        self._later(*node.args, *(keyword.value for keyword in node.keywords))
        if dotted in words.BY_NAME:
            return
        of_column = dotted.count(".") > 2 and dotted.startswith("polars.col.")
        if (not dotted or of_column) and isinstance(function, ast.Attribute) and self._is_known_method(node, function):
            function = function.value
        self._later(function)

    def _check_arguments(self, node: ast.Call, dotted: str) -> None:
        """Looks at arguments that are taken apart, or taken for columns of a type. ``dotted`` is what is called."""
        if dotted in words.BY_NAME:
            self.computed |= not node.args or not all(map(self._is_literal, node.args))
        elif dotted in words.ITERATING or (dotted in ("min", "max") and len(node.args) == 1):
            given = node.args[1:] if dotted in ("map", "filter", "functools.reduce") else node.args[:1]
            self.computed |= not all(map(self._can_be_gone_through, node.args if dotted == "zip" else given))
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in words.ITERATING_METHODS:
                self.computed |= not all(map(self._can_be_gone_through, node.args))
            elif node.func.attr in words.LITERALLY:
                self.computed |= not all(map(self._is_literal, node.args))

    def _is_known_method(self, node: ast.Call, function: ast.Attribute) -> bool:
        """Whether a method that is not harmless everywhere is harmless here."""
        name, receiver = function.attr, function.value
        if isinstance(receiver, ast.Attribute) and receiver.attr in words.NAMESPACES:
            return False
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in words.WITH_COLUMNS and (node.args or "subset" in keywords):
            named = [*node.args, *(keywords[key] for key in ("subset",) if key in keywords)]
            return all(map(self._is_literal, named)) or self._is_expression(receiver)
        if name == "join":  # of a frame: a text's takes one thing
            return len(node.args) > 1 or bool(keywords)
        if name == "rename":
            return len(node.args) == 1 and isinstance(node.args[0], ast.Dict)
        return name in words.OF_EXPRESSIONS and self._is_expression(receiver)

    def _is_literal(self, node: ast.expr) -> bool:
        """Whether an expression is the text of a literal, or several in a list."""
        pending = [node]
        while pending:
            item = pending.pop()
            if isinstance(item, ast.List | ast.Tuple):
                pending += item.elts
            elif isinstance(item, ast.Name):
                if item.id not in self._literal and not self._is_literal_name(item):
                    return False
            elif isinstance(item, ast.Attribute):
                if not self._is_literal_name(item):
                    return False
            elif not isinstance(item, ast.Constant):
                return False
        return True

    def _is_literal_name(self, node: ast.expr) -> bool:
        """Whether a name stands for a constant of a module: a text, or a tuple of texts."""
        names, target, _ = self._resolved(node)
        if names or not isinstance(target, Definition):
            return False
        values = self._uses.values(self._project, target)
        return len(values) == 1 and _is_text(values[0])

    def _is_expression(self, node: ast.expr) -> bool:
        """Whether something is for sure no text, but a number or an expression of Polars."""
        if isinstance(node, ast.Constant):
            return not isinstance(node.value, str | bytes)
        pending = [node]
        while pending:
            item = pending.pop()
            if isinstance(item, ast.BinOp):
                # A text may be multiplied by a number and filled in with anything.
                numbers = [side for side in (item.left, item.right) if isinstance(side, ast.Constant)]
                if not isinstance(item.op, ast.Mult | ast.Mod) and any(map(self._is_expression, numbers)):
                    return True
                pending += (item.left,) if isinstance(item.op, ast.Mod) else (item.left, item.right)
            elif isinstance(item, ast.UnaryOp | ast.Compare):
                return True
            elif isinstance(item, ast.Call | ast.Attribute):
                target = self._resolved(item.func if isinstance(item, ast.Call) else item)
                if isinstance(target[1], Dotted):
                    name = ".".join((target[1].name, *reversed(target[0])))
                    made = name in words.BY_NAME or (name in words.POLARS and name not in words.FRAMES)
                    if made or name.startswith("polars.col."):
                        return True
                elif target[1] is None:
                    pending.append(target[2])
        return False

    # Going through things item by item

    def _can_be_gone_through(self, node: ast.expr) -> bool:
        """Whether the items of something are those of a list, a dict or a range, and not a text's letters."""
        if isinstance(node, (*_DISPLAYS, *_COMPREHENSIONS)):
            return True
        if isinstance(node, ast.Call):
            names, target, base = self._resolved(node.func)
            if names and names[0] in _DICT_VIEWS and not node.args:
                if len(names) == 1 and isinstance(base, ast.Dict):
                    return True
                return len(names) == 1 and isinstance(target, Definition) and self._display(target)
            return isinstance(target, Plain) and not names and target.name in (words.ITERATING | {"range"}) - {"sum"}
        names, target, _ = self._resolved(node)
        return isinstance(target, Definition) and not names and self._display(target)

    def _can_be_unpacked(self, node: ast.expr) -> bool:
        """Whether each item of something that can be gone through is itself a tuple or a list."""
        if isinstance(node, ast.Call):
            names, target, _ = self._resolved(node.func)
            pairs = isinstance(target, Plain) and not names and target.name in _PAIRS
            return pairs or (bool(names) and names[0] == "items")
        if isinstance(node, ast.List | ast.Tuple | ast.Set):
            return all(isinstance(item, ast.List | ast.Tuple) for item in node.elts)
        names, target, _ = self._resolved(node)
        named = isinstance(target, Definition) and not names
        values = self._uses.values(self._project, target) if named else []  # type: ignore[arg-type]
        return bool(values) and all(
            isinstance(value, ast.List | ast.Tuple | ast.Set)
            and all(isinstance(item, ast.List | ast.Tuple) for item in value.elts)
            for value in values
        )

    def _bind(self, target: ast.expr, value: ast.expr, *, each: bool) -> None:
        """Binds a target to a value, or to ``each`` of its items."""
        if each:
            self.computed |= not self._can_be_gone_through(value)
        if isinstance(target, ast.Tuple | ast.List):
            fits = self._can_be_unpacked(value) if each else isinstance(value, ast.Tuple | ast.List)
            nested = any(isinstance(item, ast.Tuple | ast.List) for item in target.elts)
            self.computed |= nested or not fits

    def _display(self, target: Definition) -> bool:
        """Whether a module's name is bound to nothing but lists, tuples, sets and dicts that are written out."""
        values = self._uses.values(self._project, target)
        return bool(values) and all(isinstance(value, _DISPLAYS) for value in values)

    # Statements and scopes

    def _starred(self, node: ast.Starred) -> None:
        if node.ctx.__class__ is ast.Load:
            self.computed |= not self._can_be_gone_through(node.value)
        self._later(node.value)

    def _everything(self, node: ast.AST) -> None:
        self.computed = True

    def _nothing(self, node: ast.AST) -> None:
        """An import alone names no column; what it binds is looked at where it is used."""

    def _import_from(self, node: ast.ImportFrom) -> None:
        self.computed |= any(alias.name == "*" for alias in node.names) and bool(self.scopes)

    def _expression(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):  # a docstring
            self._later(node.value)

    def _assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._bind(target, node.value, each=False)
        self._later(*node.targets, node.value)

    def _annotated(self, node: ast.AnnAssign) -> None:
        self._later(node.target, node.value)

    def _loop(self, node: ast.For) -> None:
        self._bind(node.target, node.iter, each=True)
        self._later(node.target, node.iter, *node.body, *node.orelse)

    def _function(self, node: Function) -> None:
        self._read(*(item for item in node.decorator_list if not self.is_feature(item)), *_defaults(node.args))
        parameters = [*argument_names(node.args), *type_parameter_names(node)]
        self._inside(self.scope_of(bound_by(node.body, walrus=True), parameters), *node.body)

    def _lambda(self, node: ast.Lambda) -> None:
        self._read(*_defaults(node.args))
        self._inside(Scope({*argument_names(node.args), *walruses([node.body])}), node.body)

    def _comprehension(self, node: Comprehension) -> None:
        first = node.generators[0]
        self._read(first.iter)
        names = {name for generator in node.generators for name in target_names(generator.target)}
        self.scopes.append(Scope(names, "comprehension"))
        literal: set[str] = set()
        for generator in node.generators:
            self._bind(generator.target, generator.iter, each=True)
            if isinstance(generator.target, ast.Name) and self._is_literal_list(generator.iter):
                literal.add(generator.target.id)
            self._read(generator.target, *([] if generator is first else [generator.iter]))
        before, self._literal = self._literal, (self._literal - names) | literal
        self._read(*(test for generator in node.generators for test in generator.ifs))
        self._read(*((node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,)))
        self._literal = before
        self.scopes.pop()

    def _is_literal_list(self, node: ast.expr) -> bool:
        listed = isinstance(node, ast.List | ast.Tuple | ast.Name | ast.Attribute)
        return listed and self._is_literal(node) and self._can_be_gone_through(node)

    def _class(self, node: ast.ClassDef) -> None:
        self._read(*(item for item in node.decorator_list if not self.is_feature(item)), *node.bases)
        self._read(*(keyword.value for keyword in node.keywords))
        bound = bound_by(node.body, walrus=True)
        self.defined |= bound.everything()
        scope = self.scope_of(bound, type_parameter_names(node))
        scope.kind = "class"
        self._inside(scope, *node.body)

    # How each node is read; of any other one its children are.
    _METHODS: ClassVar[dict[type[ast.AST], Any]] = {
        getattr(ast, name): method
        for name, method in {
            "Name": _name, "Attribute": _attribute, "Subscript": _subscript, "Constant": _constant,
            "List": _written_out, "Tuple": _written_out, "Set": _written_out, "Dict": _written_out,
            "JoinedStr": _template, "TemplateStr": _everything, "BinOp": _operation,
            "AugAssign": _operation, "Call": _call, "Match": _everything, "Global": _everything,
            "Import": _nothing, "ImportFrom": _import_from, "Expr": _expression, "Assign": _assign,
            "AnnAssign": _annotated, "Starred": _starred, "For": _loop, "AsyncFor": _everything,
            "FunctionDef": _function, "AsyncFunctionDef": _function, "Lambda": _lambda,
            "ListComp": _comprehension, "SetComp": _comprehension, "DictComp": _comprehension,
            "GeneratorExp": _comprehension, "ClassDef": _class, "TypeAlias": _nothing,
        }.items()
        if hasattr(ast, name)
    }  # fmt: skip


def _defaults(arguments: ast.arguments) -> Iterator[ast.expr]:
    yield from arguments.defaults
    yield from (item for item in arguments.kw_defaults if item is not None)


def _is_inert(name: str) -> bool:
    """Whether something of another package is in the tables, as it is or with everything beside it."""
    return name in words.POLARS or name in words.OTHERS or f"{name.rpartition('.')[0]}." in words.OTHERS


def _is_text(node: ast.expr | None) -> bool:
    if isinstance(node, ast.Tuple):
        return all(_is_text(item) for item in node.elts)
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
