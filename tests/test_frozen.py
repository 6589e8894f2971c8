"""Our frozen dataclasses behave as those of the standard library, whatever made them."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from featurestore import frozen


@frozen.dataclass(frozen=True, slots=True, order=True)
class Ours:
    """A value."""

    name: str
    number: float = 1.5
    hidden: str = field(default="x", repr=False, compare=False)
    items: tuple[str, ...] = field(default_factory=tuple)

    @property
    def loud(self) -> str:
        return self.name.upper()


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Theirs:
    """A value."""

    name: str
    number: float = 1.5
    hidden: str = field(default="x", repr=False, compare=False)
    items: tuple[str, ...] = field(default_factory=tuple)


@frozen.dataclass(frozen=True, slots=True)
class Longer(Ours):
    more: int = 0


BOTH: list[Any] = [Ours, Theirs]


@pytest.mark.parametrize(
    "make",
    [
        lambda cls: cls("a"),
        lambda cls: cls("a", 2, "y", ("b",)),
        lambda cls: cls(name="a", items=("b",)),
        lambda cls: replace(cls("a", hidden="y"), number=3),
        lambda cls: copy.deepcopy(cls("a", items=("b",))),
        lambda cls: pickle.loads(pickle.dumps(cls("a", 7))),
    ],
)
def test_values_are_made_and_shown_alike(make: Any) -> None:
    ours, theirs = map(make, BOTH)
    assert asdict(ours) == asdict(theirs)
    assert repr(ours).replace("Ours", "") == repr(theirs).replace("Theirs", "")
    assert [item.name for item in fields(ours)] == [item.name for item in fields(theirs)]


@pytest.mark.parametrize("make", [lambda cls: cls(), lambda cls: cls(*"abcde"), lambda cls: cls("a", other=1)])
def test_wrong_arguments_are_refused_alike(make: Any) -> None:
    for cls in BOTH:
        with pytest.raises(TypeError):
            make(cls)


@pytest.mark.parametrize("cls", BOTH)
def test_values_compare_by_what_they_compare_by(cls: Any) -> None:
    assert cls("a", hidden="x") == cls("a", hidden="y")
    assert len({cls("a"), cls("a", hidden="y"), cls("b")}) == 2
    assert cls("a") != ("a", 1.5, "x", ())
    assert sorted([cls("b"), cls("a", 2), cls("a", 1)]) == [cls("a", 1), cls("a", 2), cls("b")]
    with pytest.raises(TypeError):
        cls("a") < 1  # noqa: B015


@pytest.mark.parametrize("cls", BOTH)
def test_values_are_frozen(cls: Any) -> None:
    value = cls("a")
    with pytest.raises(FrozenInstanceError):
        value.name = "b"
    with pytest.raises(FrozenInstanceError):
        del value.name
    assert not hasattr(value, "__dict__")


def test_a_class_may_extend_another() -> None:
    assert (Longer("a", more=2).more, Longer("a").loud) == (2, "A")
    assert Longer("a") != Ours("a")


def test_only_frozen_classes_are_made() -> None:
    with pytest.raises(TypeError):
        frozen.dataclass(frozen=False)
