"""`frozen` makes what the standard decorator makes."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace

import pytest

from featurestore.frozen import frozen


@frozen
class Point:
    """A point."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list, compare=False, repr=False)

    @property
    def far(self) -> bool:
        return self.x > 10


@dataclass(frozen=True)
class Standard:
    """A point."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list, compare=False, repr=False)


@frozen
class Nothing:
    """No fields."""


@frozen
class Named:
    name: str

    def __repr__(self) -> str:
        return "mine"


def test_it_is_a_dataclass() -> None:
    point = Point(1, y=2)
    assert [item.name for item in fields(Point)] == [item.name for item in fields(Standard)]
    assert asdict(point) == asdict(Standard(1, y=2))
    assert repr(point) == repr(Standard(1, y=2)).replace("Standard", "Point")
    assert replace(point, x=11).far
    for name in ("__doc__", "__match_args__"):
        assert getattr(Point, name) == getattr(Standard, name)
    assert is_dataclass(point)


def test_it_is_a_value() -> None:
    assert Point(1) == Point(1, 0, ["ignored"])
    assert Point(1) != Point(2)
    other: object = Standard(1)
    assert Point(1) != other
    assert len({Point(1), Point(1), Point(2)}) == 2
    assert Nothing() == Nothing()
    assert len({Nothing(), Nothing()}) == 1
    assert Point(1).names is not Point(1).names


def test_nothing_of_it_can_be_changed() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del point.x
    with pytest.raises(FrozenInstanceError):
        point.z = 2  # type: ignore[attr-defined]


def test_copies_and_pickles_are_equal() -> None:
    point = Point(1, 2, ["a"])
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point
    assert pickle.loads(pickle.dumps(point)).names == ["a"]


def test_a_method_of_the_class_stays_and_wrong_arguments_are_refused() -> None:
    assert repr(Named("x")) == "mine"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        Point(1, z=3)  # type: ignore[call-arg]


def test_a_step_after_initialising_is_refused_not_skipped() -> None:
    with pytest.raises(TypeError, match="__post_init__"):

        @frozen
        class Checked:
            x: int

            def __post_init__(self) -> None:
                raise AssertionError


def test_the_first_instance_of_a_class_is_made_as_the_others_are() -> None:
    @frozen
    class Pair:
        left: int
        right: int = 2

    with pytest.raises(TypeError, match="missing 1 required positional argument: 'left'"):
        Pair()  # type: ignore[call-arg]
    assert Pair(1) == Pair(left=1, right=2)
