"""Frozen values: what ``dataclass(frozen=True)`` makes, when it is first needed.

A command defines some two hundred of these classes, and makes instances of a third of them. The standard decorator
looks at the fields of each at once and compiles six methods, in 0.6 ms. Here a class is left as it is until somebody
asks for its fields, as the first instance does; only ``__init__`` is compiled, and the other methods are shared by all.
Every frozen value of the package is one of these, unless it has a ``__post_init__`` or is generic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform

T = TypeVar("T")

_FIELDS = "__dataclass_fields__"
"""Where the standard library looks for the fields of a class; so `fields`, `replace` and `asdict` work as usual."""


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """Makes a class a frozen dataclass: `fields`, `replace`, equality, hash and repr work as usual.

    A method that the class defines itself stays.
    """
    written = vars(cls)
    if "__post_init__" in written:
        raise TypeError(f"{cls.__qualname__} has a __post_init__, which would not be called; use dataclass")
    made: Any = cls
    setattr(made, _FIELDS, _FieldsOnDemand(made))
    made.__init__ = _first(made)
    made.__setattr__, made.__delattr__ = _refuse_assignment, _refuse_deletion
    made.__getstate__, made.__setstate__ = _state, _restore
    for name, method in {"__eq__": _equal, "__hash__": _hash, "__repr__": _represent}.items():
        if name not in written:
            setattr(made, name, method)
    return cls


class _FieldsOnDemand:
    """Stands where the fields of a class will be, and puts them there when somebody looks."""

    def __init__(self, made: Any) -> None:
        self._made = made

    def __get__(self, _instance: object, _owner: type) -> dict[str, Field[Any]]:
        dataclass(init=False, repr=False, eq=False)(self._made)
        found: dict[str, Field[Any]] = vars(self._made)[_FIELDS]
        return found


def _equal(self: object, other: object) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    values = _values_of(self)
    return values(self) == values(other)


def _hash(self: object) -> int:
    return hash(_values_of(self)(self))


def _represent(self: Any) -> str:
    shown = [f"{item.name}={getattr(self, item.name)!r}" for item in fields(self) if item.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _values_of(instance: object) -> Callable[[object], Any]:
    """What gives the values of an instance that are compared; kept with its class."""
    cls: Any = type(instance)
    found = vars(cls).get("__compared__")
    if found is None:
        names = [item.name for item in fields(cls) if item.compare]
        found = cls.__compared__ = staticmethod(attrgetter(*names) if names else lambda _self: ())
    return found.__func__  # type: ignore[no-any-return]


def _first(made: Any) -> Callable[..., None]:
    """What makes the first instance: it compiles ``__init__``, which makes the others."""

    def __init__(self: object, *arguments: Any, **named: Any) -> None:  # noqa: N807  # stands in for it
        if made.__init__ is __init__:
            made.__init__ = _initializer(made)
        made.__init__(self, *arguments, **named)

    return __init__


def _initializer(made: Any) -> Callable[..., None]:
    """``__init__``, compiled, since it is called once for each instance and its arguments have names."""
    names: dict[str, Any] = {"_assign": object.__setattr__, "MISSING": MISSING}
    parameters, lines = ["self"], []
    for item in fields(made):
        default, content = "", item.name
        if item.default is not MISSING:
            names[f"_{item.name}"] = item.default
            default = f"=_{item.name}"
        elif item.default_factory is not MISSING:
            names[f"_{item.name}"] = item.default_factory
            default, content = "=MISSING", f"_{item.name}() if {item.name} is MISSING else {item.name}"
        parameters.append(f"{item.name}{default}")
        lines.append(f" _assign(self, {item.name!r}, {content})")
    exec(f"def __init__({', '.join(parameters)}):\n" + "\n".join(lines or [" pass"]), names)  # noqa: S102
    return names["__init__"]  # type: ignore[no-any-return]


def _refuse_assignment(_self: object, name: str, _value: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_deletion(_self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    """For copies and pickles, which would assign to the fields."""
    return [getattr(self, item.name) for item in fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for item, content in zip(fields(self), state, strict=True):
        object.__setattr__(self, item.name, content)
