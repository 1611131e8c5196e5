from __future__ import annotations

from nbscale import array as na
from nbscale.plan.explain import plan_text
from nbscale.plan.rules import push_slice


def pushed(*arrays):
    return push_slice.apply(tuple(a._node for a in arrays))


def names(node):
    return [line.strip().split("(")[0].split("] ")[1] for line in plan_text(node).splitlines()]


def test_a_slice_moves_to_the_sources():
    x, y = na.random.random((100, 10)), na.random.random(10)
    (node,) = pushed((x + y)[:5, ::2])
    assert names(node) == ["add", "random.random", "random.random"]
    assert node.shape == (5, 5)
    assert [child.shape for child in node.inputs] == [(5, 5), (5,)]


def test_the_plan_before_and_after():
    x = na.zeros((8, 6), chunks=4)
    wanted = (-x)[2:4]
    assert plan_text(wanted._node).splitlines() == [
        "[1] getitem(picks=((2, 1, 2), (0, 1, 6))) of shape (2, 6), float64",
        "  [2] negative() of shape (8, 6), float64",
        "    [3] full(value=np.float64(0.0)) of shape (8, 6), float64",
    ]
    assert plan_text(pushed(wanted)[0]).splitlines() == [
        "[1] negative() of shape (2, 6), float64",
        "  [2] full(value=np.float64(0.0)) of shape (2, 6), float64",
    ]


def test_slices_of_slices_become_one():
    x = na.random.random(100)
    (node,) = pushed(x[10:90][::-2][1:4])
    assert names(node) == ["random.random"]
    assert node.picks == ((87, -2, 3),)


def test_what_is_read_whole_too_is_made_once():
    x = na.random.random(100) + 1
    whole, part = pushed(x, x[:5])
    assert part.inputs == (whole,)
    assert names(part)[0] == "getitem"


def test_slices_that_together_are_everything_are_taken_of_the_whole():
    x = na.random.random(10) + 1
    one, other = pushed(x[:6], x[4:])
    assert one.inputs == other.inputs == (x._node,)


def test_different_small_slices_are_made_apart():
    x = na.random.random((1000, 1000))
    (node,) = pushed(x[:5].sum(axis=1)[:5] + x[:, :5].sum(axis=0))
    assert sum("random" in name for name in names(node)) == 2


def test_a_slice_stays_above_what_it_cannot_pass():
    x = na.random.random(100).cumsum()
    (node,) = pushed(x[:5])
    assert names(node) == ["getitem", "cumsum", "random.random"]


def test_without_slices_nothing_is_touched():
    x = na.ones(5) + 1
    assert pushed(x) == (x._node,)


def test_chunks_stay_those_of_the_slice():
    x = na.random.random((50, 60), chunks=(7, 9)) * 2 + na.ones(60, chunks=9)
    wanted = x.T[3:50:4, 2:40]
    (node,) = pushed(wanted)
    assert node.cuts == wanted._node.cuts
    assert node.signature == wanted._node.signature
