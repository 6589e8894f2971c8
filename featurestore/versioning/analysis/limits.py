"""What can't be followed statically, by the names under which it is called, each with a sentence for people."""

from __future__ import annotations

_FILE = "what is read from a file at run time is not part of the hash"
_MODULE = "a module imported by its name in a text is not followed"

BUILTIN = {
    "globals": "names reached through globals() are not followed",
    "locals": "names reached through locals() are not followed",
    "vars": "names reached through vars() are not followed",
    "eval": "code in a text (eval) is not followed",
    "exec": "code in a text (exec) is not followed",
    "compile": "code in a text (compile) is not followed",
    "__import__": _MODULE,
    "open": _FILE,
}
# Beginnings of dotted names.
DOTTED = {
    "builtins.": "names reached through builtins are not followed",
    "importlib.import_module": _MODULE,
    "importlib.reload": _MODULE,
    "importlib.util.": _MODULE,
    "importlib.resources.": _FILE,
    "sys.modules": "modules reached through sys.modules are not followed",
    "sys._getframe": "names reached through frames are not followed",
    "inspect.": "what inspect finds at run time is not followed",
    "os.environ": "environment variables are not part of the hash",
    "os.getenv": "environment variables are not part of the hash",
    "functools.singledispatch": "implementations that other modules register are not followed",
    "pydantic.validate_call": "annotations of the function decide its values, and are not part of the hash",
    "io.open": _FILE,
    "polars.read_": _FILE,
    "polars.scan_": _FILE,
    "pandas.read_": _FILE,
    "numpy.load": _FILE,
    "pickle.load": _FILE,
    "joblib.load": _FILE,
}
ATTRIBUTE = {
    "__subclasses__": "subclasses are not followed from their base",
    "__init_subclass__": "subclasses are not followed from their base",
}
_BEGINNINGS = tuple(DOTTED)


def of_dotted(name: str) -> str | None:
    """What can't be known about something of another package."""
    if not name.startswith(_BEGINNINGS):
        return None
    return next(message for beginning, message in DOTTED.items() if name.startswith(beginning))
