"""Frozen values: what ``dataclass(frozen=True, slots=True)`` makes, in a third of the time.

A command that only lists features defines some sixty of these classes first. The standard decorator compiles six
methods for each, in 0.6 ms; only ``__init__`` has to be compiled, when the first instance is made (of most classes
there is none), and the others can be shared by all: 25 ms of the 150 that ``list`` would take. Use it for the values of
modules that `list`, `show`, `plan` or `check` import. Everywhere else the standard decorator is what a reader expects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any, NoReturn, TypeVar, dataclass_transform, overload

T = TypeVar("T")


@overload
def frozen(cls: type[T]) -> type[T]: ...


@overload
def frozen(*, slots: bool = True) -> Callable[[type[T]], type[T]]: ...


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, *, slots: bool = True) -> type[T] | Callable[[type[T]], type[T]]:
    """Makes a class a frozen dataclass with slots: `fields`, `replace`, equality, hash and repr work as usual.

    A method that the class defines itself stays. A class with a ``cached_property`` has no ``slots``.
    """
    return _made(cls, slots=slots) if cls is not None else partial(_made, slots=slots)


def _made(cls: type[T], *, slots: bool) -> type[T]:
    written = vars(cls)
    if "__post_init__" in written:
        raise TypeError(f"{cls.__qualname__} has a __post_init__, which would not be called; use dataclass")
    made: Any = dataclass(init=False, repr=False, eq=False, slots=slots)(cls)
    found = fields(made)
    values = _getter([item.name for item in found if item.compare])
    shown = [item.name for item in found if item.repr]

    def equal(self: object, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def hashed(self: object) -> int:
        return hash(values(self))

    def represent(self: object) -> str:
        return f"{made.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

    made.__init__ = _first(made)
    made.__setattr__, made.__delattr__ = _refuse_assignment, _refuse_deletion
    made.__getstate__, made.__setstate__ = _state, _restore
    for name, method in {"__eq__": equal, "__hash__": hashed, "__repr__": represent}.items():
        if name not in written:
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


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


def _getter(names: list[str]) -> Callable[[object], Any]:
    return attrgetter(*names) if names else lambda _self: ()


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
