"""The canonical form of Python code: recipe 2, our own walk of the syntax tree.

The same program gives the same bytes on every Python from 3.11 up, however it is formatted. This is the format;
any change of it is a new recipe.

    node      "(" kind " " fields ")" kind is the name of the class in Python's grammar
    list      "[" items "]"
    absent    "-"                     a field that is None, or an item that is None
    word      "=" identifier " "      names in binding positions, attributes, keywords
    flag      digits " "              small integers of the grammar (is_async, conversion)
    text      "'" length ":" text     length in code points
    number    "i" hex " "             int; "f" float.hex() " "; "c" hex "," hex " " for complex
    bytes     "b" hex " "
    singleton "None " "True " "False " "Ellipsis "
    name      "L:" local " "          a variable of a function, class or comprehension
              "G:" name " "           a name that a statement of a module binds
              "T:" dotted.name " "    something of another package: aliases resolved, attributes joined
              "B:" name " "           a builtin, or an undefined name
              "M:" name " "           ``__name__`` and similar names of a module
              "#" number " "          a definition of the project, by the order of first mention
              "?" name name           in a class body: bound there on some paths only, else outside;
                                      before the target of an augmented assignment: what it reads

Fields are in the order of `grammar.FIELDS`; a node that is not there has a method of `Walk`, which shows its
fields. An import inside a statement is ``(Import name target)``, where a module is ``module ``; consecutive
imports are sorted by the names they bind, an import whose name can be followed is left out, and
``(uses #… )`` at the end lists what such imports provide but nothing mentions. ``getattr`` of a project
module by a constant is ``(getattr target rest)``.

Left out: ``ctx``, ``kind``, type comments, docstrings and every statement that is only a constant,
``pass``, annotations in signatures and in function and module bodies (an annotated assignment is an
assignment), type parameters of functions, the ``@feature`` decorator, and the source text that a t-string
stores of its expressions. The annotations of a function decorated with ``….register`` stay: they decide when
it is called. In f-strings adjacent constant parts are merged and empty ones dropped; an f-string without
placeholders is a text. ``del (a, b)`` is ``del a, b``.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, ClassVar

from featurestore.versioning.analysis import limits
from featurestore.versioning.analysis.inert import BASES, PACKAGES
from featurestore.versioning.analysis.names import (
    WHOLE,
    Definition,
    Dotted,
    Global,
    Key,
    Local,
    ProjectModule,
    Referent,
    World,
)
from featurestore.versioning.analysis.reach import MODULE_NAMES, READING, Import, Reach, Scope, chain, imported
from featurestore.versioning.analysis.scopes import (
    Comprehension,
    Function,
    annotations_of,
    argument_names,
    bound_by,
    has_call,
    import_name,
    is_compound,
    is_guard,
    runs_code,
    target_names,
    type_parameter_names,
    walruses,
)
from featurestore.versioning.recipe.grammar import SHAPES, Mention, OwnName, Piece, constant

_IMPORTS = {ast.Import, ast.ImportFrom}
_LINKS = {ast.Attribute, ast.Call, ast.Subscript}


class Walk(Reach):
    """Writes one top-level statement to ``out``: texts, with mentions of definitions between them.

    ``defaults`` are the arguments with a default of a top-level function, each with its range in ``out``. A
    ``full`` form has docstrings and the annotations of functions too.
    """

    def __init__(self, world: World, *, walrus: bool = True, full: bool = False) -> None:
        super().__init__(world)
        self.out: list[Piece] = []
        self.defaults: list[tuple[str, int, int]] = []
        self._full = full
        self._walrus = walrus

    def statement(self, node: ast.stmt) -> None:
        """Writes a statement of a module's top level. Called once."""
        self._walk(node)
        if not self.required:
            return
        mentioned = {piece.key for piece in self.out if isinstance(piece, Mention)}
        unused = [Mention(key) for key in sorted(self.required, key=lambda key: key[1]) if key not in mentioned]
        if unused:
            self.out += ["(uses ", *unused, ")"]

    def _walk(self, node: ast.AST) -> None:
        kind = node.__class__
        method = self._METHODS.get(kind)
        if method is not None:
            method(self, node)
            return
        opening, fields = SHAPES[kind]
        out = self.out
        out.append(opening)
        if not fields:
            return
        for field in fields:
            value = getattr(node, field, None)
            if value is None:
                out.append("-")
            elif value.__class__ is list:
                self._items(value)
            elif value.__class__ is str:
                out.append(f"={value} ")
            elif isinstance(value, ast.AST):
                self._walk(value)
            else:
                out.append(f"{value} ")
        out.append(")")

    def _items(self, items: Sequence[ast.AST | str | None]) -> None:
        out = self.out
        if not items:
            out.append("[]")
            return
        out.append("[")
        imports: list[Import] = []
        for item in items:
            if item.__class__ in _IMPORTS:
                imports.append(item)  # type: ignore[arg-type]  # its class says so, and isinstance is slow in the hottest loop
                continue
            if imports:
                if _is_nothing(item):  # imports before and after it are still one after the other
                    continue
                self._import(*imports)
                imports.clear()
            if item is None:
                out.append("-")
            elif item.__class__ is str:
                out.append(f"={item} ")
            else:
                self._walk(item)  # type: ignore[arg-type]
        if imports:
            self._import(*imports)
        out.append("]")

    def _optional(self, node: ast.AST | None) -> None:
        if node is None:
            self.out.append("-")
        else:
            self._walk(node)

    # Names

    def _name(self, node: ast.Name) -> None:
        if node.ctx.__class__ is not ast.Load:
            self._store(node)
            return
        scope = self.scopes[-1] if self.scopes else None
        if scope is not None and node.id in scope.sometimes:
            self.out.append(f"?L:{node.id} ")
            self._target(self.find_global(node.id), node)
            return
        if scope is not None and scope.is_only_local(node.id):  # most names are
            self.out.append(f"L:{node.id} ")
            return
        self._target(self.find(node.id), node)

    def _store(self, node: ast.Name) -> None:
        name = node.id
        for scope in reversed(self.scopes):
            if name in scope.globals:
                self._target(self.world.lookup(name), node, value=False)
                return
            if name in scope.names or scope.kind in ("function", "class"):
                self.out.append(f"L:{name} ")
                return
        self.out.append(f"G:{name} ")

    def _target(self, target: Referent, node: ast.expr | ast.stmt, *, value: bool = True) -> None:
        """Writes what a name stands for. ``value`` is false where only an attribute of it is used."""
        self.passed(target)
        if isinstance(target, (Local, Definition)):  # a union would be made each time
            if isinstance(target, Local):
                self.out.append(f"L:{target.name} ")
            else:
                self._mention(target.key)
            for module in target.maybe if value else ():
                self._target(ProjectModule(module), node)
        elif isinstance(target, ProjectModule):
            self.modules[target.name] = None
            self._mention((target.name, WHOLE))
            whole = "all its names are part of the hash, but not those it gets at run time"
            self.limit(node, f"module {target.name} is used as a value: {whole}")
        elif isinstance(target, Dotted):
            self.out.append(f"T:{target.name} ")
            self.met_dotted(target.name, node, missing=target.missing)
        else:
            self.out.append(f"{'M' if target.name in MODULE_NAMES else 'B'}:{target.name} ")
            self.met_plain(target, node)

    def _mention(self, key: Key) -> None:
        self.out.append(Mention(key))

    def _links(self, node: ast.expr) -> None:
        """``a.b(c)[d].e``: the names at its start, then link by link, since a chain may be a thousand links long."""
        if node.__class__ is ast.Call and self.is_plain_call(node):
            self._plain_call(node)
            return
        links: list[tuple[ast.expr, list[str]]] = []
        while node.__class__ in _LINKS:
            names, inner = self._link(node)  # type: ignore[arg-type]  # its class says so
            if inner is None:
                break
            links.append((node, names))
            node = inner
        out = self.out
        for link, names in links:
            out.append(f"({link.__class__.__name__} " * (len(names) or 1))
        if isinstance(node, ast.Attribute):
            self._path(node)
        elif isinstance(node, ast.Call):
            self._special_call(node)
        else:
            self._walk(node)
        for link, names in reversed(links):
            if isinstance(link, ast.Call):
                self._items(link.args)
                self._items(link.keywords)
                out.append(")")
            elif isinstance(link, ast.Subscript):
                self._walk(link.slice)
                out.append(")")
            else:
                self._attribute_ends(names)

    def _plain_call(self, node: ast.Call) -> None:
        """``f(a, b)``, as most calls are: what a chain of this one link is, in half of its time."""
        self.met_call(node)
        self.out.append("(Call ")
        self._walk(node.func)
        self._items(node.args)
        self._items(node.keywords)
        self.out.append(")")

    def _link(self, node: ast.Attribute | ast.Call | ast.Subscript) -> tuple[list[str], ast.expr | None]:
        """A link's attributes, and what it is a link of: None where the chain begins."""
        if isinstance(node, ast.Attribute):
            names, inner = chain(node)
            self._met_attributes(names, node)
            if isinstance(inner, ast.Name) or self.imported_by(inner) is not None:
                return names, None
            self.met_attributes(names, inner, node)
            return names, inner
        if isinstance(node, ast.Subscript):
            return [], node.value
        self.met_call(node)
        special = self._getattr_of(node) is not None
        if not special:
            self.met_names(node)
        return [], None if special or self._is_logger(node) or self.imported_by(node) is not None else node.func

    def _met_attributes(self, names: Sequence[str], node: ast.expr) -> None:
        for name in names:
            if name in READING:
                self.reads.add(READING[name])
            elif name in limits.ATTRIBUTE and name != "__init_subclass__":
                self.limit(node, limits.ATTRIBUTE[name])

    def _path(self, node: ast.Attribute) -> None:
        """Attributes of a name, or of what a call imports by a literal name."""
        names, base = chain(node)
        target = self.find(base.id) if isinstance(base, ast.Name) else self.imported_by(base)
        assert target is not None
        if isinstance(target, Local):
            assert isinstance(base, ast.Name)
            self.met_attributes(names, base, node)
            self.out.append("(Attribute " * len(names))
            if base.id not in self.scopes[-1].sometimes:
                self.out.append(f"L:{base.id} ")
            else:
                self._walk(base)
            self._attribute_ends(names)
            self._maybe_members(target, names[-1], base)
            return
        later = any(scope.kind == "function" for scope in self.scopes)
        if later and isinstance(target, ProjectModule | Dotted) and node.ctx.__class__ is not ast.Load:
            self.limit(node, f"{target.name}.{'.'.join(reversed(names))} is assigned at run time")
        target = self.follow(target, names, base)
        if isinstance(target, Dotted):
            joined = ".".join((target.name, *reversed(names)))
            self._target(Dotted(joined, target.hops, missing=target.missing), node)
            return
        if names:
            self.met_attributes(names, base, node)
        self.out.append("(Attribute " * len(names))
        self._target(target, base, value=not names)
        self._attribute_ends(names)
        if names and isinstance(target, Definition):
            self._maybe_members(target, names[-1], base)

    def _attribute_ends(self, names: list[str]) -> None:
        self.out.append("".join(f"={name} )" for name in reversed(names)))

    def _maybe_members(self, target: Local | Definition, name: str, node: ast.expr) -> None:
        """Mentions the member of each module that a name may be."""
        for module in target.maybe:
            self.modules[module] = None
            member = self.world.member(module, name)
            if member is None:
                self.limit(node, f"name {name!r} is not defined in module {module}", "project")
            elif isinstance(member, ProjectModule):
                self._target(member, node)
            else:
                self._target(member, node, value=False)

    # Constants and texts

    def _constant(self, node: ast.Constant | ast.MatchSingleton) -> None:
        if isinstance(node.value, str):
            self.strings.add(node.value)
            if node.value in READING:
                self.reads.add(READING[node.value])
        self.out.append(constant(node.value))

    def _singleton(self, node: ast.MatchSingleton) -> None:
        self.out.append("(MatchSingleton ")
        self._constant(node)
        self.out.append(")")

    def _template(self, node: ast.JoinedStr) -> None:
        kind = node.__class__.__name__
        parts: list[ast.expr] = []
        # How a text between placeholders is split, and whether there are empty ones, depends on the version of Python.
        for part in node.values:
            if isinstance(part, ast.Constant) and parts and isinstance(parts[-1], ast.Constant):
                parts[-1] = ast.Constant(f"{parts[-1].value!s}{part.value!s}")
            elif not (isinstance(part, ast.Constant) and part.value == ""):
                parts.append(part)
        if kind == "JoinedStr" and all(isinstance(part, ast.Constant) for part in parts):
            self._walk(parts[0] if parts else ast.Constant(""))
            return
        self.out.append(f"({kind} ")
        self._items(parts)
        self.out.append(")")

    def _placeholder(self, node: ast.FormattedValue) -> None:
        self.out.append(f"({node.__class__.__name__} ")
        self._walk(node.value)
        self.out.append(f"{node.conversion} ")
        spec = node.format_spec
        empty = isinstance(spec, ast.JoinedStr) and all(
            isinstance(part, ast.Constant) and part.value == "" for part in spec.values
        )
        self._optional(None if empty else spec)
        self.out.append(")")

    # Calls

    def _special_call(self, node: ast.Call) -> None:
        imported = self.imported_by(node)
        if imported is not None:
            if isinstance(imported, Dotted) and not imported.missing:
                self.limit(node, limits.HELD.format(imported.name))
            self._target(imported, node)
            return
        module = self._getattr_of(node)
        if module is None:
            self.out.append("(Call ")
            self._walk(node.func)
            self.out.append("[M:__name__ ][])")
            return
        name = node.args[1]
        assert isinstance(name, ast.Constant)
        self._known_getattr(node, module, str(name.value))

    def _getattr_of(self, node: ast.Call) -> ProjectModule | None:
        """The project module of which ``getattr`` takes an attribute by a constant name."""
        arguments = node.args
        if not isinstance(node.func, ast.Name) or node.func.id != "getattr" or len(arguments) < 2:
            return None
        name = arguments[1]
        text = isinstance(name, ast.Constant) and isinstance(name.value, str)
        return self.module_of(arguments[0]) if text else None

    def _is_logger(self, node: ast.Call) -> bool:
        """``logging.getLogger(__name__)``: a logger's name decides no value."""
        if len(node.args) != 1 or not isinstance(node.args[0], ast.Name) or node.args[0].id != "__name__":
            return False
        names, base = chain(node.func)
        target = self.find(base.id) if isinstance(base, ast.Name) else None
        return isinstance(target, Dotted) and ".".join((target.name, *reversed(names))) == "logging.getLogger"

    def _known_getattr(self, node: ast.Call, module: ProjectModule, name: str) -> None:
        names = [name]
        target = self.follow(module, names, node.args[0])
        self.out.append("(getattr ")
        self._target(target, node.args[0])
        self._items(node.args[2:])
        self.out.append(")")

    def _binary(self, node: ast.expr) -> None:
        """``a + b + c``: from the left, since a sum may be long."""
        operations: list[ast.BinOp] = []
        while isinstance(node, ast.BinOp):
            operations.append(node)
            node = node.left
        out = self.out
        out.append("(BinOp " * len(operations))
        self._walk(node)
        for operation in reversed(operations):
            out.append(SHAPES[operation.op.__class__][0])
            self._walk(operation.right)
            out.append(")")

    def _keyword(self, node: ast.keyword) -> None:
        if node.arg is None:
            self.out.append("(keyword -")
        else:
            self.out.append(f"(keyword ={node.arg} ")
            self.strings.add(node.arg)  # filter(sex="F") names a column
        self._walk(node.value)
        self.out.append(")")

    # Statements

    def _nothing(self, node: ast.Pass) -> None:
        """Writes nothing: ``pass`` has no effect on values."""

    def _docstring(self, body: Sequence[ast.AST]) -> None:
        first = body[0] if body and self._full else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            self.out.append(f"(doc {constant(first.value.value)})")

    def _expression(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.out.append("(Expr ")
            self._walk(node.value)
            self.out.append(")")

    def _delete(self, node: ast.Delete) -> None:
        """``del (a, b)`` is written as ``del a, b``, as formatters do."""
        targets = list(node.targets)
        while any(isinstance(target, ast.Tuple | ast.List) for target in targets):
            targets = [
                item
                for target in targets
                for item in (target.elts if isinstance(target, ast.Tuple | ast.List) else [target])
            ]
        self.out.append("(Delete ")
        self._items(targets)
        self.out.append(")")

    def _augmented(self, node: ast.AugAssign) -> None:
        """``k += 1`` reads ``k``, which in a class body may be the module's ``k``."""
        self.out.append("(AugAssign ")
        scope = next((scope for scope in reversed(self.scopes) if scope.kind != "loop"), None)
        target = node.target
        if isinstance(target, ast.Name) and (
            scope is None or target.id in scope.bound - scope.names or target.id in scope.sometimes
        ):
            self.out.append("?")
            self._target(self.find_global(target.id), target)
        self._walk(target)
        self._walk(node.op)
        self._walk(node.value)
        self.out.append(")")

    def _annotated(self, node: ast.AnnAssign) -> None:
        # In a class body an annotation may decide what the class is, as for a dataclass; at module level it is
        # evaluated, and so may have an effect.
        kind = self.scopes[-1].kind if self.scopes else "module"
        if kind == "class" or (kind == "module" and runs_code(node.annotation)):
            self.out.append("(AnnAssign ")
            self._walk(node.target)
            self._annotation(node.annotation)
            self._optional(node.value)
            self.out.append(f"{node.simple} )")
        elif self._full and not any(scope.kind == "function" for scope in self.scopes):
            self.out.append("(AnnAssign ")
            self._walk(node.target)
            self._annotation(node.annotation)
            self._optional(node.value)
            self.out.append(")")
        elif node.value is not None:
            if has_call(node.annotation) and not self.scopes:
                self.reads.add("text")
            self.out.append("(Assign [")
            self._walk(node.target)
            self.out.append("]")
            self._walk(node.value)
            self.out.append(")")

    def _annotation(self, node: ast.expr | None) -> None:
        """In a full form, text is the code that it holds: it may be evaluated."""
        if self._full and isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                parsed = ast.parse(node.value, mode="eval").body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                self._walk(node)
                return
            for item in ast.walk(parsed):
                if isinstance(item, ast.expr):
                    ast.copy_location(item, node)
            self.out.append("(quoted ")
            self._walk(parsed)
            self.out.append(")")
        else:
            self._optional(node)

    def _if(self, node: ast.If) -> None:
        """With all its ``elif``. What stands under ``if TYPE_CHECKING`` does not run."""
        depth = 0
        while True:
            depth += 1
            if is_guard(node):
                self._passed_guard(node.test)
                self.out.append("(If (guard )[]")
            else:
                self.out.append("(If ")
                self._walk(node.test)
                self._items(node.body)
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                break
            self.out.append("[")
            node = node.orelse[0]
        self._items(node.orelse)
        self.out.append(")" + "])" * (depth - 1))

    def _passed_guard(self, test: ast.expr) -> None:
        """The import of ``TYPE_CHECKING`` is needed to run it."""
        for item in ast.walk(test):
            if isinstance(item, ast.Name):
                self.passed(self.find(item.id))

    def _loop(self, node: ast.For | ast.AsyncFor) -> None:
        """A loop at module level is a scope: its variables are local to the code in its body."""
        self.out.append(f"({node.__class__.__name__} ")
        self._walk(node.target)
        self._walk(node.iter)
        if self.scopes and self.scopes[-1].kind != "loop":
            self._items(node.body)
        else:
            self.scopes.append(Scope(set(target_names(node.target)), "loop"))
            self._items(node.body)
            self.scopes.pop()
        self._items(node.orelse)
        self.out.append(")")

    def _outer_names(self, node: ast.Global | ast.Nonlocal) -> None:
        words = "".join(f"={name} " for name in sorted(node.names))
        self.out.append(f"({node.__class__.__name__} {words})")

    def _import(self, *nodes: Import) -> None:
        """Consecutive imports inside a function, a class or a compound statement."""
        scope = next((scope for scope in reversed(self.scopes) if scope.kind in ("function", "class")), None)
        found = [(import_name(node, alias), node, alias) for node in nodes for alias in node.names]
        # Sorted, since a tool that sorts imports must not make a new version.
        for name, node, alias in sorted(found, key=lambda item: item[0]):
            target = imported(self.world, node, alias)
            if isinstance(node, ast.Import) and isinstance(self.world.imported(0, alias.name, None), Dotted):
                self.out.append("missing " if isinstance(target, ProjectModule) else "")
            if scope is not None and scope.kind == "class" and name not in scope.globals:
                self.out.append(f"(Import L:{name} ")
                self._target(target, node)
                self.out.append(")")
            elif scope is None or name not in scope.aliases:
                local = scope is not None and name not in scope.globals
                self.out.append(f"(Import {'L' if local else 'G'}:{name} ")
                self._bound_to(target)
                self.out.append(")")
            self.met_import(node, alias, target)

    def _bound_to(self, target: Global) -> None:
        if isinstance(target, ProjectModule):
            self.out.append("module ")
        elif isinstance(target, Definition):
            self._mention(target.key)
        else:
            self.out.append(f"T:{target.name} ")

    def _function(self, node: Function) -> None:
        self._head(node)
        parameters = [*argument_names(node.args), *type_parameter_names(node)]
        self._arguments(node.args, record=not self.scopes)
        if node.name == "__init_subclass__":
            self.limit(node, limits.ATTRIBUTE[node.name])
        if self._full:
            self._items([argument.arg for argument in _arguments_of(node.args) if argument.annotation is not None])
            for annotation in annotations_of(node):
                self._annotation(annotation)
        elif any(has_call(item) for item in annotations_of(node)):
            self.reads.add("text")  # an effect may be in it
        elif any(chain(decorator)[0][:1] == ["register"] for decorator in node.decorator_list):
            self._items([argument.annotation for argument in _arguments_of(node.args)])
        self._docstring(node.body)
        self._inside(self.scope_of(bound_by(node.body, walrus=self._walrus), parameters), node.body)
        self.out.append(")")

    def _lambda(self, node: ast.Lambda) -> None:
        self.out.append("(Lambda ")
        self._arguments(node.args)
        names = set(argument_names(node.args))
        names.update(walruses([node.body]) if self._walrus else ())
        self._inside(Scope(names), [node.body])
        self.out.append(")")

    def _inside(self, scope: Scope, body: Sequence[ast.AST]) -> None:
        """The body of a function, which runs later, in its own scope."""
        self.scopes.append(scope)
        self._items(body)
        self.scopes.pop()

    def _head(self, node: Function | ast.ClassDef) -> None:
        self.out.append(f"({node.__class__.__name__} ")
        self.out.append(f"={node.name} " if self.scopes else OwnName(node.name))
        decorators = [decorator for decorator in node.decorator_list if not self.is_feature(decorator)]
        self._items(decorators)

    def _arguments(self, node: ast.arguments, *, record: bool = False) -> None:
        out = self.out
        names = [
            f"[{''.join([f'={argument.arg} ' for argument in arguments])}]"
            for arguments in (node.posonlyargs, node.args, node.kwonlyargs)
        ]
        rests = ["-" if rest is None else f"={rest.arg} " for rest in (node.vararg, node.kwarg)]
        out.append(f"(arguments {''.join(names)}{''.join(rests)}")
        positional = [*node.posonlyargs, *node.args]
        optional = positional[len(positional) - len(node.defaults) :]
        for arguments, values in ((optional, node.defaults), (node.kwonlyargs, node.kw_defaults)):
            out.append("[")
            for argument, value in zip(arguments, values, strict=True):
                start = len(out)
                self._optional(value)
                if record and value is not None:
                    self.defaults.append((argument.arg, start, len(out)))
            out.append("]")
        out.append(")")

    def _comprehension(self, node: Comprehension) -> None:
        """The first iterable is evaluated in the outer scope, everything else in the comprehension's own."""
        self.out.append(f"({node.__class__.__name__} ")
        first = node.generators[0]
        self._walk(first.iter)
        names = {name for generator in node.generators for name in target_names(generator.target)}
        self.scopes.append(Scope(names, "comprehension"))
        self.out.append("[")
        for generator in node.generators:
            self.out.append("(comprehension ")
            self._walk(generator.target)
            self._optional(None if generator is first else generator.iter)
            self._items(generator.ifs)
            self.out.append(f"{generator.is_async} )")
        self.out.append("]")
        for result in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self._walk(result)
        self.scopes.pop()
        self.out.append(")")

    def _class(self, node: ast.ClassDef) -> None:
        self._head(node)
        self.scopes.append(Scope(set(type_parameter_names(node)), "comprehension"))
        self._items(getattr(node, "type_params", []))
        self._items(node.bases)
        self._items(node.keywords)
        self._met_foreign(node)
        full = self.scope_of(bound_by(node.body, walrus=self._walrus, annotated=False))
        scope = Scope(set(), "class")
        scope.globals, scope.maybe, scope.bound = full.globals, full.maybe, full.names
        self.scopes.append(scope)
        self.classes.append(node.name)
        self._docstring(node.body)
        self.out.append("[")
        for statement in node.body:
            self._class_statement(statement, scope, full)
        self.out.append("]")
        self.classes.pop()
        self.scopes[-2:] = []
        self.out.append(")")

    def _met_foreign(self, node: ast.ClassDef) -> None:
        """A base class or decorator of another package may read what the annotations say."""
        for item in (*node.bases, *node.decorator_list):
            names, base = chain(item.func if isinstance(item, ast.Call) else item)
            target = self.find(base.id) if isinstance(base, ast.Name) else None
            if isinstance(target, Dotted):
                name = ".".join((target.name, *reversed(names)))
                if name not in BASES and name not in PACKAGES:
                    self.reads.add("text")

    def _class_statement(self, statement: ast.stmt, scope: Scope, full: Scope) -> None:
        """A class body runs from top to bottom: a name is the class's own only once it is bound."""
        names = bound_by([statement], walrus=self._walrus, annotated=False).everything() & full.names
        uncertain = is_compound(statement) or isinstance(statement, ast.Delete)
        if uncertain:
            scope.sometimes |= names
        scope.aliases.update({name: full.aliases[name] for name in names if name in full.aliases})
        self._walk(statement)
        scope.names |= names
        if not uncertain:
            scope.sometimes -= names

    def _type_alias(self, node: Any) -> None:  # ast.TypeAlias, since Python 3.12
        self.out.append("(TypeAlias ")
        self._walk(node.name)
        self.scopes.append(Scope(set(type_parameter_names(node)), "comprehension"))
        self._items(node.type_params)
        self._walk(node.value)
        self.scopes.pop()
        self.out.append(")")

    _METHODS: ClassVar[dict[type[ast.AST], Any]] = {
        getattr(ast, name): method
        for name, method in {
            "Name": _name, "Attribute": _links, "Subscript": _links,
            "BinOp": _binary, "If": _if, "Constant": _constant, "MatchSingleton": _singleton,
            "JoinedStr": _template, "TemplateStr": _template, "FormattedValue": _placeholder,
            "Interpolation": _placeholder, "Call": _links, "keyword": _keyword, "Pass": _nothing, "Expr": _expression,
            "AnnAssign": _annotated, "AugAssign": _augmented, "Delete": _delete, "For": _loop, "AsyncFor": _loop,
            "Global": _outer_names, "Nonlocal": _outer_names, "Import": _import, "ImportFrom": _import,
            "FunctionDef": _function, "AsyncFunctionDef": _function, "Lambda": _lambda, "ListComp": _comprehension,
            "SetComp": _comprehension, "DictComp": _comprehension, "GeneratorExp": _comprehension, "ClassDef": _class,
            "TypeAlias": _type_alias,
        }.items()
        # Some kinds of nodes came after Python 3.11.
        if hasattr(ast, name)
    }  # fmt: skip


def _is_nothing(item: ast.AST | str | None) -> bool:
    """Whether a statement is one of which nothing is written: ``pass``, ``...``, a text that is not assigned."""
    return item.__class__ is ast.Pass or (isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant))


def _arguments_of(node: ast.arguments) -> list[ast.arg]:
    return [*node.posonlyargs, *node.args, *node.kwonlyargs]
