"""Works out which file an expression names, as far as that can be read from the code.

``"weights.json"``, ``Path(__file__).parent / "w.json"``, ``os.path.join(HERE, NAME)`` with constants of modules: as a
path below the project's root, because a function that declares files runs in that folder.
"""

from __future__ import annotations

import ast
import os
import posixpath
from typing import TYPE_CHECKING

from featurestore.versioning.analysis.names import Definition, Dotted, Plain

if TYPE_CHECKING:
    from featurestore.versioning.analysis.reach import Reach

IN_MEMORY = ""
"""In place of a path: what is read is no file."""

DEEPEST = 20
_PATHS = {"pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "pathlib.PurePosixPath", "os.fspath", "builtins.str"}
_SAME = {
    "os.path.abspath",
    "os.path.realpath",
    "os.path.normpath",
    "os.path.expanduser",
    "codecs.open",
    "io.open",
    "builtins.open",
}
_RESOURCES = ("importlib.resources.", "importlib_resources.", "pkgutil.get_data")
_BUFFERS = {"io.StringIO", "io.BytesIO"}
_UNCHANGED = {"resolve", "absolute", "open", "as_posix", "expanduser", "__str__", "__fspath__"}
_FILE_ARGUMENTS = {
    "file", "filename", "filepath", "filepath_or_buffer", "fname", "fp", "io", "name", "path", "path_or_buf", "source",
    "database", "pathname", "top", "folder", "directory", "uri",
}  # fmt: skip


def file_of(reach: Reach, call: ast.Call) -> str | None:
    """The file that a call names by its first argument or a keyword; None where it can't be worked out."""
    if (_name(reach, call.func) or "").startswith(_RESOURCES):
        return _of_package(reach, call.args) if len(call.args) > 1 else None  # a package alone is no file
    if call.args:
        return path_of(reach, call.args[0])
    for keyword in call.keywords:
        if keyword.arg in _FILE_ARGUMENTS:
            return path_of(reach, keyword.value)
    return None


def path_of(reach: Reach, node: ast.expr) -> str | None:
    """The path of an expression; None where it can't be worked out, or leads out of the project."""
    found = _path(reach, node, 0)
    if found is None or found == IN_MEMORY:
        return found
    path = posixpath.normpath(found)
    return None if path.startswith(("/", "..")) else path


def text_of(reach: Reach, node: ast.expr) -> str | None:
    """The text of an expression, with a blank for each placeholder; None where it can't be worked out."""
    return _text(reach, node, 0)


def _text(reach: Reach, node: ast.expr, depth: int) -> str | None:
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(
                str(part.value) if isinstance(part, ast.Constant) else _placeholder(reach, part, depth)
                for part in parts
            )
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            first, second = _text(reach, left, depth), _text(reach, right, depth)
            return None if first is None or second is None else first + second
        case ast.Call(func=ast.Attribute(value=inner, attr="format" | "strip" | "lower" | "replace" | "removesuffix")):
            return _text(reach, inner, depth)
        case ast.Name() | ast.Attribute() if depth < DEEPEST:
            assigned = _assigned(reach, node)
            return None if assigned is None else _text(*assigned, depth + 1)
    return None


def _placeholder(reach: Reach, part: ast.expr, depth: int) -> str:
    value = part.value if isinstance(part, ast.FormattedValue) else part
    return _text(reach, value, depth + 1) or " "


def _path(reach: Reach, node: ast.expr, depth: int) -> str | None:
    if depth > DEEPEST:
        return None
    match node:
        case ast.Constant(value=value):
            text = os.fsdecode(value) if isinstance(value, bytes) else value
            return (text or ".") if isinstance(text, str) else None
        case ast.BinOp(op=ast.Div() | ast.Add() as operation, left=left, right=right):
            first, second = _path(reach, left, depth + 1), _path(reach, right, depth + 1)
            if not first or not second:
                return None
            return posixpath.join(first, second) if isinstance(operation, ast.Div) else first + second
        case ast.JoinedStr(values=parts):
            return _joined(reach, parts, depth)
        case ast.Call():
            return _called(reach, node, depth)
        case ast.Attribute(value=inner, attr="parent"):
            return _parent(_path(reach, inner, depth + 1))
        case ast.Subscript(value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int() as up)):
            return _parent(_path(reach, inner, depth + 1), up + 1)
        case ast.Name(id="__file__"):
            return reach.world.file
        case ast.Name() | ast.Attribute():
            assigned = _assigned(reach, node)
            return None if assigned is None else _path(*assigned, depth + 1)
    return None


def _called(reach: Reach, node: ast.Call, depth: int) -> str | None:
    name = _name(reach, node.func) or ""
    arguments = [_path(reach, argument, depth + 1) for argument in node.args] if not node.keywords else []
    if name in _BUFFERS:
        return IN_MEMORY
    if name in _PATHS or name == "os.path.join":
        return posixpath.join(*(text for text in arguments if text)) if arguments and all(arguments) else None
    if name in _SAME:
        return _path(reach, node.args[0], depth + 1) if node.args else None
    if name.startswith(_RESOURCES):
        return _of_package(reach, node.args)
    if name == "os.path.dirname":
        return _parent(arguments[0]) if arguments else None
    if name in ("pathlib.Path.cwd", "os.getcwd"):
        return "."
    if isinstance(node.func, ast.Attribute):
        return _by_method(node.func.attr, _path(reach, node.func.value, depth + 1), arguments)
    return None


def _by_method(method: str, path: str | None, arguments: list[str | None]) -> str | None:
    """What a method of a path gives."""
    if not path:
        return None
    if method in _UNCHANGED:
        return path
    given = [text for text in arguments if text]
    if not given or len(given) < len(arguments):
        return None
    if method in ("joinpath", "glob", "rglob"):
        return posixpath.join(path, *given)
    if method == "with_name":
        return posixpath.join(posixpath.dirname(path), given[0])
    return posixpath.splitext(path)[0] + given[0] if method == "with_suffix" else None


def _joined(reach: Reach, parts: list[ast.expr], depth: int) -> str | None:
    texts = [_path(reach, part.value if isinstance(part, ast.FormattedValue) else part, depth + 1) for part in parts]
    return "".join(text for text in texts if text) if all(texts) else None


def _of_package(reach: Reach, arguments: list[ast.expr]) -> str | None:
    """A file or folder of a package that is named by a text, as `importlib.resources` and `pkgutil` find it."""
    texts = [_text(reach, argument, 0) for argument in arguments]
    if not texts or not all(texts):
        return None
    return posixpath.join(str(texts[0]).replace(".", "/"), *(text for text in texts[1:] if text))


def _parent(path: str | None, up: int = 1) -> str | None:
    for _ in range(up):
        path = posixpath.dirname(path) or "." if path else None
    return path


def _name(reach: Reach, node: ast.expr) -> str | None:
    """The dotted name of a function of another package, or of a builtin."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    target = reach.find(node.id)
    if isinstance(target, Plain):
        return None if names else f"builtins.{target.name}"
    return ".".join((target.name, *reversed(names))) if isinstance(target, Dotted) else None


def _assigned(reach: Reach, node: ast.Name | ast.Attribute) -> tuple[Reach, ast.expr] | None:
    """The only value that a name of a project module gets, and the names as that module sees them."""
    names: list[str] = []
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        names.append(base.attr)
        base = base.value
    if not isinstance(base, ast.Name):
        return None
    target = reach.look(reach.find(base.id), names)
    if not isinstance(target, Definition) or names:
        return None
    found = reach.world.assigned(target.module, target.name)
    if found is None:
        return None
    value, world = found
    return reach.elsewhere(world), value
