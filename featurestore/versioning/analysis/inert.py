"""The table of inert calls: what code may call while a module is imported and change nothing by it.

Whatever is not in the table has an effect. Each entry is proved by running it (tests/versioning/test_inert.py).
An entry says what the call returns:

    constant    an immutable value of Python: a number, a text, a tuple of them
    plain       a value whose methods and operators change nothing: an expression of Polars, a path, a date
    data        a new list, dict or set
    object      an object with a state of its own: an iterator, a counter

The functions among the arguments of an inert call count as called by it.
"""

from __future__ import annotations

BUILTINS = {
    **dict.fromkeys(
        (
            "abs", "all", "any", "ascii", "bin", "bool", "bytes", "callable", "chr", "complex", "divmod", "float",
            "format", "hasattr", "hash", "hex", "id", "int", "isinstance", "issubclass", "len", "oct", "ord", "pow",
            "print", "repr", "round", "str", "str.join", "slice", "range", "sum", "dict.fromkeys", "str.maketrans",
            "int.from_bytes", "float.fromhex", "bytes.fromhex",
        ),
        "constant",
    ),
    **dict.fromkeys(("dict", "frozenset", "list", "set", "sorted", "tuple", "max", "min", "bytearray"), "data"),
    **dict.fromkeys(("enumerate", "filter", "iter", "map", "reversed", "zip", "object"), "object"),
    **dict.fromkeys(("property", "staticmethod", "classmethod"), "object"),
    **dict.fromkeys(
        ("Exception", "ValueError", "TypeError", "KeyError", "RuntimeError", "ImportError", "NotImplementedError"),
        "object",
    ),
}  # fmt: skip

POLARS = (
    "all", "all_horizontal", "any_horizontal", "arange", "arg_sort_by", "arg_where", "coalesce", "col", "concat",
    "concat_list", "concat_str", "corr", "count", "cov", "cum_count", "cum_sum", "date", "date_range", "datetime",
    "datetime_range", "duration", "element", "exclude", "field", "first", "format", "from_epoch", "implode",
    "int_range", "int_ranges", "last", "len", "linear_space", "lit", "max", "max_horizontal", "mean",
    "mean_horizontal", "median", "min", "min_horizontal", "n_unique", "nth", "ones", "quantile", "repeat",
    "std", "struct", "sum", "sum_horizontal", "time", "time_range", "var", "when", "zeros",
    "Array", "Categorical", "DataFrame", "Datetime", "Decimal", "Duration", "Enum", "Field", "Float32", "Float64",
    "Int8", "Int16", "Int32", "Int64", "LazyFrame", "List", "Schema", "Series", "String", "Struct", "Utf8", "Boolean",
    "Date", "Time", "UInt8", "UInt16", "UInt32", "UInt64", "Null", "Object", "Binary",
    "selectors.all", "selectors.alpha", "selectors.boolean", "selectors.by_dtype", "selectors.by_index",
    "selectors.by_name", "selectors.categorical", "selectors.contains", "selectors.date", "selectors.datetime",
    "selectors.duration", "selectors.ends_with", "selectors.exclude", "selectors.first", "selectors.float",
    "selectors.integer", "selectors.last", "selectors.matches", "selectors.numeric", "selectors.signed_integer",
    "selectors.starts_with", "selectors.string", "selectors.temporal", "selectors.time", "selectors.unsigned_integer",
)  # fmt: skip

TYPES = frozenset(
    f"polars.{name}"
    for name in (
        "Boolean", "Categorical", "Date", "Datetime", "Decimal", "Duration", "Float32", "Float64", "Int8", "Int16",
        "Int32", "Int64", "List", "String", "Struct", "Time", "UInt8", "UInt16", "UInt32", "UInt64", "Utf8",
    )
)  # fmt: skip
"""Types of Polars, which nothing changes that is given them."""

PACKAGES = {
    "featurestore.feature": "object",
    "featurestore.authoring.feature": "object",
    "json.dumps": "constant",
    "json.loads": "data",
    "logging.getLogger": "plain",
    "logging.NullHandler": "plain",
    "logging.debug": "constant",
    "logging.info": "constant",
    "logging.warning": "constant",
    "logging.error": "constant",
    "typing.TypeVar": "plain",
    "typing.ParamSpec": "plain",
    "typing.NewType": "plain",
    "typing.cast": "object",
    "typing.overload": "object",
    "typing.final": "object",
    "typing.runtime_checkable": "object",
    "typing.NamedTuple": "class",
    "typing.TypedDict": "class",
    "abc.abstractmethod": "object",
    "dataclasses.dataclass": "object",
    "dataclasses.field": "plain",
    "collections.namedtuple": "class",
    "collections.OrderedDict": "data",
    "collections.Counter": "object",
    "collections.defaultdict": "object",
    "collections.deque": "object",
    "enum.Enum": "class",
    "enum.auto": "plain",
    "enum.unique": "object",
    "functools.cache": "object",
    "functools.cached_property": "object",
    "functools.lru_cache": "object",
    "functools.partial": "object",
    "functools.singledispatch": "object",
    "functools.wraps": "object",
    "functools.total_ordering": "object",
    "contextlib.contextmanager": "object",
    "contextlib.suppress": "plain",
    "re.compile": "plain",
    "re.escape": "constant",
    "pathlib.Path": "plain",
    "pathlib.PurePath": "plain",
    "datetime.date": "plain",
    "datetime.datetime": "plain",
    "datetime.time": "plain",
    "datetime.timedelta": "plain",
    "datetime.timezone": "plain",
    "decimal.Decimal": "plain",
    "fractions.Fraction": "plain",
    "math.ceil": "constant",
    "math.cos": "constant",
    "math.exp": "constant",
    "math.floor": "constant",
    "math.fsum": "constant",
    "math.isclose": "constant",
    "math.log": "constant",
    "math.log10": "constant",
    "math.log2": "constant",
    "math.pow": "constant",
    "math.radians": "constant",
    "math.sin": "constant",
    "math.sqrt": "constant",
    "math.tan": "constant",
    "operator.attrgetter": "plain",
    "operator.itemgetter": "plain",
    "string.Template": "plain",
    "textwrap.dedent": "constant",
    "types.MappingProxyType": "data",
    "types.SimpleNamespace": "object",
    "os.environ.get": "constant",
    "os.getenv": "constant",
    "os.cpu_count": "constant",
    "multiprocessing.cpu_count": "constant",
    "os.path.abspath": "constant",
    "os.path.basename": "constant",
    "os.path.dirname": "constant",
    "os.path.join": "constant",
    "numpy.array": "object",
    "numpy.arange": "object",
    "numpy.linspace": "object",
    "numpy.ones": "object",
    "numpy.zeros": "object",
    **{f"polars.{name}": "plain" for name in POLARS},
}

# Base classes of other packages that run no code of theirs which changes anything when a class is made from them.
BASES = frozenset({
    "abc.ABC", "enum.Enum", "enum.Flag", "enum.IntEnum", "enum.IntFlag", "enum.StrEnum", "typing.Generic",
    "typing.NamedTuple", "typing.Protocol", "typing.TypedDict",
    "typing.Iterable", "typing.Iterator", "typing.Mapping", "typing.Sequence", "typing.Sized",
    "collections.abc.Callable", "collections.abc.Collection", "collections.abc.Container",
    "collections.abc.Hashable", "collections.abc.Iterable", "collections.abc.Iterator", "collections.abc.Mapping",
    "collections.abc.MutableMapping", "collections.abc.MutableSequence", "collections.abc.Sequence",
    "collections.abc.Set", "collections.abc.Sized",
    "collections.OrderedDict", "collections.UserDict", "collections.UserList",
})  # fmt: skip
BUILTIN_BASES = frozenset({
    "object", "type", "dict", "list", "set", "frozenset", "tuple", "str", "int", "float", "bytes", "BaseException",
    "Exception", "ValueError", "TypeError", "KeyError", "RuntimeError", "LookupError", "ArithmeticError",
})  # fmt: skip

# What can change anything in the process.
ANYTHING = frozenset({
    "__import__", "breakpoint", "compile", "eval", "exec", "globals", "input", "locals", "open", "vars",
})  # fmt: skip

# Methods of lists, dicts, sets and texts that change nothing.
READING = frozenset({
    "copy", "count", "difference", "get", "index", "intersection", "isdisjoint", "issubset", "issuperset", "items",
    "keys", "symmetric_difference", "union", "values", "__contains__", "__getitem__", "__len__",
})  # fmt: skip
# Methods that change their object, whatever it is: what is reported where a function does it later, at run time.
CHANGING = frozenset({
    "add", "append", "appendleft", "clear", "difference_update", "discard", "extend", "extendleft", "insert",
    "intersection_update", "move_to_end", "pop", "popitem", "popleft", "register", "remove", "reverse", "setdefault",
    "sort", "subtract", "symmetric_difference_update", "update", "__delattr__", "__delitem__", "__setattr__",
    "__setitem__",
})  # fmt: skip

# Inert calls that call what they are given.
CALLING = frozenset({"filter", "functools.reduce", "iter", "map", "max", "min", "sorted"})
# Methods of loggers, series and frames that change them, or what others see of them. A level decides no value.
LOGGER = frozenset({"addFilter", "removeFilter"})
SETTING = LOGGER | CHANGING | {
    "drop_in_place", "insert_column", "replace_column", "scatter", "set_at_idx", "shrink_to_fit",
}  # fmt: skip
