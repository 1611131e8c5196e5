from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbscale import config
from nbscale.array.chunks import Cut, cuts_of, picked, stepping

sizes = st.lists(st.integers(0, 6), min_size=1, max_size=8)


def sizes_of(chunks, shape, itemsize=8, **more):
    return tuple(cut.sizes for cut in cuts_of(chunks, shape, itemsize, **more))


@given(st.integers(0, 50), st.integers(1, 60))
def test_a_regular_cut_is_the_same_as_its_sizes(length, size):
    cut = Cut(length, size)
    assert Cut.of(cut.sizes) == cut
    assert sum(cut.sizes) == length
    assert len(cut.sizes) == cut.n >= 1
    assert cut.size == max(cut.sizes)
    assert [cut.start(i) for i in range(cut.n + 1)] == cut.bounds.tolist()
    assert cut.starts(0, cut.n + 1).tolist() == cut.bounds.tolist()


@given(sizes)
def test_any_sizes_come_back(sizes):
    cut = Cut.of(sizes)
    assert cut.sizes == tuple(sizes) or (not any(sizes) and cut.length == 0)
    for position in range(cut.length):
        i = cut.find(position)
        assert cut.start(i) <= position < cut.start(i + 1)


@given(sizes, sizes)
def test_overlaps_are_the_chunks_with_common_elements(one, two):
    a, b = Cut.of(one), Cut.of(two)
    length = max(a.length, b.length)
    a, b = (Cut.of([*c.sizes, length - c.length]) for c in (a, b))
    lo, hi = a.overlaps(b)
    for j in range(b.n):
        shared = [
            i
            for i in range(a.n)
            if max(a.start(i), b.start(j)) < min(a.start(i + 1), b.start(j + 1))
        ]
        read = range(lo[j], hi[j])
        assert [i for i in read if a.extent(i)] == shared


@given(sizes.filter(any), st.data())
def test_picked_chunks_give_the_elements_of_the_slice(sizes, data):
    cut = Cut.of(sizes)
    everything = np.arange(cut.length)
    index = data.draw(st.slices(cut.length))
    start, stop, step = index.indices(cut.length)
    count = len(range(start, stop, step))
    if not count:
        return
    made, owners = picked(cut, (start, step, count))
    parts = []
    for i, owner in enumerate(owners.tolist()):
        begin = start + made.start(i) * step - cut.start(owner)
        parts.append(everything[cut.slice(owner)][stepping(begin, step, made.extent(i))])
    np.testing.assert_array_equal(np.concatenate(parts), everything[index])
    assert [len(p) for p in parts] == list(made.sizes)


@pytest.mark.parametrize(
    ("chunks", "shape", "want"),
    [
        (4, (10,), ((4, 4, 2),)),
        ((4, 5), (10, 10), ((4, 4, 2), (5, 5))),
        ((3, 7), (10,), ((3, 7),)),
        (((3, 7), -1), (10, 2), ((3, 7), (2,))),
        ((None, 1), (3, 2), ((3,), (1, 1))),
        (-1, (3, 0), ((3,), (0,))),
        ({1: 2}, (3, 4), ((3,), (2, 2))),
        ("auto", (), ()),
        ("16 B", (4, 1), ((2, 2), (1,))),
        ("auto", (5, 5), ((5,), (5,))),
    ],
)
def test_what_users_write(chunks, shape, want):
    assert sizes_of(chunks, shape) == want


def test_chosen_chunks_hold_the_target_and_are_near_square():
    with config.set(chunk_size="8 MB"):
        assert sizes_of("auto", (10_000, 10_000))[0][0] == 1000
        assert sizes_of("auto", (10_000_000, 2)) == ((500_000,) * 20, (2,))
        assert sizes_of(("auto", 100), (10_000, 1000))[0] == (10_000,)


def test_chosen_chunks_are_multiples_of_tiles():
    rows = sizes_of("auto", (10_000, 10_000), tile=(256, 256))[0]
    assert all(n % 256 == 0 for n in rows[:-1])
    assert sum(rows) == 10_000


def test_a_dict_keeps_the_axes_it_does_not_name():
    old = cuts_of((2, 3), (4, 9), 8)
    assert sizes_of({0: -1}, (4, 9), old=old) == ((4,), (3, 3, 3))


@pytest.mark.parametrize(
    ("chunks", "match"),
    [
        ((3, 3), "add up"),
        (((3, 3),), "add up"),
        ((1, 2, 3, 5), "add up"),
        (0, "at least one"),
        ({3: 1}, "names axis 3"),
        ("many", "not a size"),
        ((1.5,), "says nothing"),
    ],
)
def test_chunks_that_do_not_fit(chunks, match):
    with pytest.raises(ValueError, match=match):
        cuts_of(chunks, (10,), 8)


def test_more_chunks_than_axes():
    with pytest.raises(ValueError, match="same length/dimension"):
        cuts_of((1, 2, 3), (10, 10), 8)
