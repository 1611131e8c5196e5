from __future__ import annotations

import copy
import dataclasses
import pickle

import pytest

from nbscale.record import record, replace


@record
class Point:
    x: int
    y: int = 0
    tags: list = dataclasses.field(default_factory=list, compare=False, repr=False)


@record
class Checked(Point):
    z: int = 5

    def __post_init__(self):
        if self.z < 0:
            raise ValueError("z")

    def __repr__(self):
        return "mine"


@record(eq=False)
class Thing:
    x: int


def test_fields_defaults_and_factories():
    assert (Point(1).x, Point(1).y, Point(x=1, y=2).y) == (1, 0, 2)
    assert Point(1).tags is not Point(1).tags
    with pytest.raises(TypeError):
        Point()
    with pytest.raises(TypeError):
        Point(1, 2, [], 4)


def test_records_are_frozen_and_have_slots():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).x = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Point(1).x
    assert not hasattr(Point(1), "__dict__")


def test_equality_hash_and_repr():
    assert Point(1, 2, [1]) == Point(1, 2, [2])
    assert hash(Point(1, 2)) == hash(Point(1, 2))
    assert Point(1) != Point(2)
    assert Point(1) != Checked(1)
    assert repr(Point(1)) == "Point(x=1, y=0)"
    assert repr(Checked(1)) == "mine"
    assert Thing(1) != Thing(1)


def test_inheritance_and_checks():
    assert Checked(1, 2, [], 3).z == 3
    with pytest.raises(ValueError, match="z"):
        Checked(1, z=-1)
    with pytest.raises(ValueError, match="z"):
        replace(Checked(1), z=-1)


def test_copies():
    point = Point(1, 2, ["a"])
    assert replace(point, x=5) == Point(5, 2)
    assert pickle.loads(pickle.dumps(point)).tags == ["a"]
    assert copy.copy(point) == point
    assert copy.deepcopy(point) == point


def test_pattern_matching():
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)
        case _:
            pytest.fail("no match")


def test_the_method_is_compiled_at_the_first_look():
    @record
    class Late:
        x: int

    assert "__init__" in vars(Late)
    assert not callable(vars(Late)["__init__"])
    assert Late(1).x == 1
    assert callable(vars(Late)["__init__"])
