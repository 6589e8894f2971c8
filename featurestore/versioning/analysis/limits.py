"""Names whose effect can't be followed without running the code, each with a sentence for people."""

from __future__ import annotations

_FILE = "files read at run time are not part of the hash"
_MODULE = "modules imported by a computed name are not followed"

BUILTIN = {
    "globals": "names reached through globals() are not followed",
    "locals": "names reached through locals() are not followed",
    "vars": "names reached through vars() are not followed",
    "eval": "code in strings (eval) is not followed",
    "exec": "code in strings (exec) is not followed",
    "compile": "code in strings (compile) is not followed",
    "__import__": _MODULE,
    "open": _FILE,
}
# By the start of the dotted name.
DOTTED = {
    "builtins.": "names reached through builtins are not followed",
    "importlib.import_module": _MODULE,
    "importlib.reload": _MODULE,
    "importlib.util.": _MODULE,
    "importlib.resources.": _FILE,
    "sys.modules": "modules reached through sys.modules are not followed",
    "sys.path": "modules found through changes of sys.path are not followed",
    "sys.meta_path": "modules found through changes of sys.meta_path are not followed",
    "runpy.": "code that runpy runs is not followed",
    "pydoc.locate": "modules imported by a computed name are not followed",
    "pkgutil.": "modules imported by a computed name are not followed",
    "sys._getframe": "names reached through stack frames are not followed",
    "inspect.": "objects found by inspect at run time are not followed",
    "os.environ": "environment variables are not part of the hash",
    "os.getenv": "environment variables are not part of the hash",
    "functools.singledispatch": "implementations registered by other modules are not followed",
    "pydantic.validate_call": "the function's annotations convert its arguments, and are not part of the hash",
    "io.open": _FILE,
    "polars.read_": _FILE,
    "polars.scan_": _FILE,
    "pandas.read_": _FILE,
    "numpy.load": _FILE,
    "pickle.load": _FILE,
    "joblib.load": _FILE,
}
ATTRIBUTE = {
    "__globals__": "names reached through a function's __globals__ are not followed",
    "__builtins__": "names reached through builtins are not followed",
    "__subclasses__": "subclasses are not followed from their base class",
    "__init_subclass__": "subclasses are not followed from their base class",
}
_STARTS = tuple(DOTTED)


def of_dotted(name: str) -> str | None:
    """The limit of something of another package; None where it has none."""
    if not name.startswith(_STARTS):
        return None
    return next(message for start, message in DOTTED.items() if name.startswith(start))
