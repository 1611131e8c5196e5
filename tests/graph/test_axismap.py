"""Every map against a list of sets."""

from __future__ import annotations

import pickle
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale.graph.axismap import (
    All,
    At,
    AxisMap,
    Each,
    Group,
    Listed,
    Parent,
    Ranges,
    Window,
    bounds,
    reindex,
)
from nbscale.graph.intervals import union

MILLION = 1_000_000
Draw = Callable[[st.SearchStrategy[int]], int]
KINDS = (Each, All, At, Window, Group, Parent, Ranges, Listed)


def model(m: AxisMap) -> list[set[int]]:
    """What each output reads, said as simply as can be."""
    match m:
        case Each():
            return [{i} for i in range(m.n)]
        case All():
            return [set(range(m.n_in)) for _ in range(m.n_out)]
        case At():
            return [{m.c} for _ in range(m.n_out)]
        case Window():
            return [{j for j in range(m.n_in) if i + m.a <= j < i + m.b} for i in range(m.n_out)]
        case Group():
            return [
                {j for j in range(m.n_in) if j // m.k == i} for i in range((m.n_in - 1) // m.k + 1)
            ]
        case Parent():
            return [{i // m.k} for i in range(m.n_out)]
        case Ranges():
            return [set(range(lo, hi)) for lo, hi in zip(m.lo, m.hi, strict=True)]
        case Listed():
            return [set(part.tolist()) for part in np.split(m.indices, m.indptr[1:-1])][
                : m.indptr.size - 1
            ]
    raise AssertionError(m)


def is_interval(numbers: set[int]) -> bool:
    return not numbers or max(numbers) - min(numbers) + 1 == len(numbers)


@st.composite
def maps(draw: Draw, n_out: int | None = None, kinds: tuple[type, ...] = KINDS) -> AxisMap:
    """A map of any kind, with so many outputs."""
    small = st.integers(0, 7)
    n = draw(small) if n_out is None else n_out
    kind = draw(st.sampled_from(kinds))
    k = draw(st.integers(1, 4))
    n_in = draw(small)
    if kind is Each:
        return Each(n)
    if kind is At:
        return At(n, n_in + 1, draw(st.integers(0, n_in)))
    if kind is Window:
        return Window(n, n_in, draw(st.integers(-4, 4)), draw(st.integers(-4, 4)))
    if kind is Group:
        return Group(max(0, n * k - draw(st.integers(0, k - 1))) if n else 0, k)
    if kind is Parent:
        return Parent(n, -(-n // k) + draw(st.integers(0, 2)), k)
    if kind is Ranges:
        ends = [sorted((draw(st.integers(0, n_in)), draw(st.integers(0, n_in)))) for _ in range(n)]
        lo, hi = [e[0] for e in ends], [e[1] for e in ends]
        if draw(st.booleans()):
            lo, hi = sorted(lo), sorted(hi)
        return Ranges(n_in, lo, hi)
    if kind is Listed:
        sets = [draw(st.sets(st.integers(0, n_in - 1))) if n_in else set() for _ in range(n)]
        return listed(n_in, sets)
    return All(n, n_in)


def listed(n_in: int, sets: list[set[int]]) -> Listed:
    ends = np.cumsum([0, *map(len, sets)])
    return Listed(n_in, ends, np.array([j for s in sets for j in sorted(s)], dtype=np.int64))


@st.composite
def chains(draw: Draw) -> tuple[AxisMap, AxisMap]:
    """Two maps that meet, of any two kinds."""
    first = draw(maps())
    return first, draw(maps(n_out=first.n_in))


@given(maps())
def test_inputs_consumers_and_counts_are_those_of_the_sets(m: AxisMap) -> None:
    sets = model(m)
    assert m.n_out == len(sets)
    assert [set(map(int, m.inputs(i))) for i in range(m.n_out)] == sets
    for i in range(m.n_out):
        assert isinstance(m.inputs(i), np.ndarray if isinstance(m, Listed) else range)
    for j in range(m.n_in):
        readers = m.consumers(j)
        assert list(readers) == [i for i, s in enumerate(sets) if j in s]
        if is_interval(set(map(int, readers))):
            assert isinstance(readers, range)
            assert readers.step == 1
    counts = m.counts()
    assert counts.dtype == np.int64
    assert counts.tolist() == [len(s) for s in sets]


@given(maps())
def test_bounds_are_the_least_and_one_past_the_greatest(m: AxisMap) -> None:
    lo, hi = bounds(m)
    assert lo.dtype == hi.dtype == np.int64
    for low, high, numbers in zip(lo, hi, model(m), strict=True):
        if numbers:
            assert (low, high) == (min(numbers), max(numbers) + 1)
        else:
            assert low == high


@given(st.data())
def test_restrict_keeps_what_is_asked_and_what_that_needs(data: st.DataObject) -> None:
    m = data.draw(maps())
    sets = model(m)
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(m.n_out))))) if m.n_out else []
    if data.draw(st.booleans()) and chosen:
        chosen = list(range(chosen[0], chosen[-1] + 1))
        smaller, needed = m.restrict(range(chosen[0], chosen[-1] + 1))
    else:
        smaller, needed = m.restrict(np.array(chosen, dtype=np.int64))
    wanted = sorted(set().union(*(sets[i] for i in chosen)))
    assert list(needed) == wanted
    assert isinstance(needed, range) == is_interval(set(wanted))
    assert (smaller.n_out, smaller.n_in) == (len(chosen), len(wanted))
    assert model(smaller) == [{wanted.index(j) for j in sets[i]} for i in chosen]
    if not isinstance(m, Listed):
        assert not isinstance(smaller, Listed)


@given(chains())
def test_then_is_the_union_when_that_is_an_interval(pair: tuple[AxisMap, AxisMap]) -> None:
    one, two = pair
    last = model(two)
    wanted = [set().union(*(last[j] for j in middle)) for middle in model(one)]
    found = one.then(two)
    if isinstance(one, Each) or isinstance(two, Each):
        assert found == (two if isinstance(one, Each) else one)
    elif not all(map(is_interval, wanted)):
        assert found is None
    else:
        assert found is not None
        assert not isinstance(found, Listed)
        assert (found.n_out, found.n_in) == (one.n_out, two.n_in)
        assert model(found) == wanted


@given(st.data())
def test_restrict_then_reindex_gives_back_the_same_reads(data: st.DataObject) -> None:
    m = data.draw(maps())
    chosen = sorted(data.draw(st.sets(st.sampled_from(range(m.n_out))))) if m.n_out else []
    smaller, needed = m.restrict(np.array(chosen, dtype=np.int64))
    more = sorted(data.draw(st.sets(st.sampled_from(range(m.n_in))))) if m.n_in else []
    kept = union(needed, np.array(more, dtype=np.int64))
    placed = reindex(smaller, needed, kept)
    sets = model(m)
    assert [{int(kept[q]) for q in s} for s in model(placed)] == [sets[i] for i in chosen]
    if not isinstance(m, Listed):
        assert not isinstance(placed, Listed)


@given(maps())
def test_maps_are_values(m: AxisMap) -> None:
    for j in range(m.n_in):
        m.consumers(j)  # a built index must change nothing of this
    again = pickle.loads(pickle.dumps(m))
    assert again == m
    assert hash(again) == hash(m)
    if isinstance(again, Ranges):
        assert not again.lo.flags.writeable
        assert not again.hi.flags.writeable
    if isinstance(again, Listed):
        assert not again.indices.flags.writeable


def test_equality_looks_at_type_sizes_and_content() -> None:
    assert Ranges(3, [0], [1]) == Ranges(3, np.array([0]), np.array([1]))
    assert Ranges(3, [0], [1]) != Ranges(4, [0], [1])
    assert Ranges(3, [0], [1]) != Ranges(3, [0], [2])
    assert Ranges(3, [0, 1], [1, 2]) != Ranges(3, [0], [1])
    assert Ranges(2, [0, 0], [0, 0]) != Listed(2, [0, 0], [0][:0])
    assert Each(3) != All(3, 3)
    assert "Ranges(n_in=3" in repr(Ranges(3, [0], [1]))


def test_arrays_are_copied_and_read_only() -> None:
    lo = np.array([0, 1])
    m = Ranges(3, lo, [1, 3])
    lo[0] = 2
    assert m.inputs(0) == range(1)
    with pytest.raises(ValueError, match="read-only"):
        m.lo[0] = 1
    several = Listed(5, [0, 1, 2, 3], [4, 0, 4])
    with pytest.raises(ValueError, match="read-only"):
        several.inputs(0)[0] = 1
    readers = several.consumers(4)
    assert isinstance(readers, np.ndarray)
    with pytest.raises(ValueError, match="read-only"):
        readers[0] = 1


@pytest.mark.parametrize(
    ("one", "two", "wanted"),
    [
        (Group(5, 2), Group(14, 3), Group(14, 6)),
        (Parent(12, 4, 3), Parent(4, 2, 2), Parent(12, 2, 6)),
        (Group(12, 3), Parent(12, 4, 3), Each(4)),
        (Window(9, 9, -1, 2), Window(9, 9, -2, 3), Window(9, 9, -3, 4)),
        (Window(5, 9, 2, 3), Window(9, 9, 1, 2), Window(5, 9, 3, 4)),
        (All(4, 3), Group(9, 3), All(4, 9)),
        (All(4, 9), Parent(9, 3, 3), All(4, 3)),
        (At(4, 3, 1), Each(3), At(4, 3, 1)),
        (At(4, 3, 1), Parent(3, 3, 1), At(4, 3, 1)),
        (Parent(8, 2, 4), At(2, 7, 5), At(8, 7, 5)),
        (Group(8, 2), All(8, 3), All(4, 3)),
        (Window(4, 4, -1, 2), All(4, 3), All(4, 3)),
        (Window(1, 0, -1, 1), All(0, 1), Ranges(1, [0], [0])),
        (Window(4, 4, -2, 0), All(4, 3), Ranges(3, [0, 0, 0, 0], [0, 3, 3, 3])),
    ],
)
def test_then_stays_symbolic(one: AxisMap, two: AxisMap, wanted: AxisMap) -> None:
    assert one.then(two) == wanted


@pytest.mark.parametrize(
    ("m", "outputs", "wanted"),
    [
        (Each(9), np.array([1, 5]), Each(2)),
        (All(9, 4), np.array([1, 5]), All(2, 4)),
        (At(9, 4, 2), range(2, 5), At(3, 1, 0)),
        (Group(14, 3), range(1, 3), Group(6, 3)),
        (Group(14, 3), np.array([0, 4]), Group(5, 3)),
        (Parent(14, 5, 3), range(3, 8), Parent(5, 2, 3)),
        (Window(9, 9, -1, 2), range(3, 5), Window(2, 4, 0, 3)),
        (Ranges(9, [0, 2, 5], [2, 5, 9]), range(1, 3), Ranges(7, [0, 3], [3, 7])),
        (Ranges(9, [4, 2, 5], [5, 3, 6]), np.array([0, 2]), Each(2)),
    ],
)
def test_restrict_stays_symbolic(m: AxisMap, outputs: range, wanted: AxisMap) -> None:
    assert m.restrict(outputs)[0] == wanted


@pytest.mark.parametrize(
    "m",
    [
        Each(MILLION),
        All(MILLION, MILLION),
        At(MILLION, MILLION, 7),
        Group(MILLION * 8, 8),
        Parent(MILLION, MILLION // 8, 8),
        Window(MILLION, MILLION, -1, 2),
    ],
    ids=lambda m: type(m).__name__,
)
def test_a_million_outputs_cost_no_array(m: AxisMap) -> None:
    tracemalloc.start()
    try:
        smaller, needed = m.restrict(range(8, MILLION - 8))
        assert type(smaller) is type(m)
        assert isinstance(needed, range)
        assert smaller.n_out == MILLION - 16
        m.inputs(MILLION // 2)
        m.consumers(7)
        m.then(Each(m.n_in))
        m.then(All(m.n_in, 3))
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=6))
def test_consumers_of_few_long_intervals(ends: list[tuple[int, int]]) -> None:
    m = Ranges(60, [min(e) for e in ends], [max(e) for e in ends])
    sets = model(m)
    assert [list(m.consumers(j)) for j in range(60)] == [
        [i for i, s in enumerate(sets) if j in s] for j in range(60)
    ]


def test_an_inverse_lists_rows_once_for_a_whole_stretch() -> None:
    # Two wide interleaved kinds of rows, in no order: a list per coordinate would be 2,000,000.
    lo = np.tile([1000, 0], 1000)
    m = Ranges(2000, lo, lo + 1000)
    assert list(m.consumers(5)) == list(range(1, 2000, 2))
    assert m._inverse.rows.size == 2000


def test_then_gives_up_rather_than_list_too_many_pairs() -> None:
    n = 4000
    growing = Ranges(n, np.zeros(n, dtype=np.int64), np.arange(n))
    reversed_ = Ranges(n, np.arange(n)[::-1], np.arange(n)[::-1] + 1)
    assert growing.then(reversed_) is None
    assert reversed_.then(growing) is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Each(-1), "-1 outputs"),
        (lambda: All(2, -1), "-1 producers"),
        (lambda: At(2, 2, 2), "producer 2 is not one of the 2"),
        (lambda: Group(4, 0), "at least one member"),
        (lambda: Parent(4, 1, 3), "need more than 1"),
        (lambda: Ranges(3, [0], [4]), "0 <= lo <= hi <= 3"),
        (lambda: Ranges(3, [2], [1]), "0 <= lo <= hi <= 3"),
        (lambda: Ranges(3, [0, 1], [1]), "one length"),
        (lambda: Listed(3, [0, 2], [1, 1]), "sorted and distinct"),
        (lambda: Listed(3, [0, 1], [3]), "every index must be in 0..2"),
        (lambda: Listed(3, [0, 1], [0, 1]), "ascend from 0 to the 2"),
        (lambda: Each(3).then(Each(4)), "same number in the middle"),
        (lambda: Each(3).restrict(np.array([1, 1])), "sorted and distinct"),
        (lambda: reindex(Each(2), range(2), range(1, 3)), "coordinate 0 is needed"),
        (lambda: reindex(Each(2), range(3), range(3)), "has 2 producers, but 3"),
    ],
)
def test_mistakes_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@given(maps())
def test_coordinates_that_do_not_exist_are_refused(m: AxisMap) -> None:
    for i in (-1, m.n_out):
        with pytest.raises(IndexError, match="outputs, and none is"):
            m.inputs(i)
    for j in (-1, m.n_in):
        with pytest.raises(IndexError, match="producers, and none is"):
            m.consumers(j)
    with pytest.raises(IndexError, match="are not all in"):
        m.restrict(range(m.n_out + 1))


def test_floats_are_no_coordinates() -> None:
    with pytest.raises(TypeError, match="float64"):
        Ranges(3, [0.5], [1.0])
