"""Which coordinates of one producer axis each output coordinate reads.

Every map but `Listed` gives an output an interval of producers, possibly empty, so an edge between
two stages of a million tasks is a few integers, and both directions can be asked at any coordinate.
"""

from __future__ import annotations

import abc
import dataclasses
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nbscale.graph.intervals import (
    Bounds,
    Coords,
    IntArray,
    Inverse,
    as_array,
    as_coords,
    compose,
    expand,
    frozen,
    hull,
    is_ascending,
    positions,
    squeeze,
)
from nbscale.record import record

__all__ = [
    "All",
    "At",
    "AxisMap",
    "Coords",
    "Each",
    "Group",
    "Listed",
    "Parent",
    "Ranges",
    "Window",
    "bounds",
    "reindex",
]

# Composing maps that are in no order lists every pair (output, middle, producer) first. Beyond so
# many the maps are left uncomposed, which is always right: two stages instead of one.
_MOST_PAIRS = 1 << 21


class AxisMap(abc.ABC):
    """For each output coordinate, the producer coordinates it reads. Immutable and hashable.

    Attributes
    ----------
    n_out, n_in
        Number of output and of producer coordinates.
    """

    __slots__ = ()

    if TYPE_CHECKING:  # at run time a property would become the default of the dataclass fields

        @property
        def n_out(self) -> int:
            """Number of output coordinates."""

        @property
        def n_in(self) -> int:
            """Number of producer coordinates."""

    def inputs(self, i: int) -> Coords:
        """Producers that output `i` reads; IndexError if there is no such output.

        Examples
        --------
        >>> Group(n_in=10, k=4).inputs(2)
        range(8, 10)
        """
        if not 0 <= i < self.n_out:
            raise IndexError(f"{type(self).__name__} has {self.n_out} outputs, and none is {i}")
        return self._inputs(i)

    def consumers(self, j: int) -> Coords:
        """Outputs that read producer `j`; IndexError if there is no such producer.

        Constant time, or a binary search. `Listed`, and `Ranges` not in ascending order, index
        themselves at the first call, in memory like their own.

        Examples
        --------
        >>> Window(n_out=10, n_in=10, a=-1, b=2).consumers(5)
        range(4, 7)
        """
        if not 0 <= j < self.n_in:
            raise IndexError(f"{type(self).__name__} has {self.n_in} producers, and none is {j}")
        return self._consumers(j)

    @abc.abstractmethod
    def _inputs(self, i: int) -> Coords:
        """`inputs` of an output that exists."""

    @abc.abstractmethod
    def _consumers(self, j: int) -> Coords:
        """`consumers` of a producer that exists."""

    @abc.abstractmethod
    def _bounds(self, outputs: Coords) -> Bounds:
        """First producer of each of the outputs, and one past the last."""

    def counts(self) -> IntArray:
        """Number of producers each output reads: int64, of length ``n_out``.

        Examples
        --------
        >>> Group(n_in=10, k=4).counts()
        array([4, 4, 2])
        """
        lo, hi = self._bounds(range(self.n_out))
        return hi - lo

    def restrict(self, outputs: Coords) -> tuple[AxisMap, Coords]:
        """Keep only some outputs, and only the producers that these read.

        Parameters
        ----------
        outputs
            Sorted, distinct output coordinates.

        Returns
        -------
        map
            Between new numbers: output *p* was ``outputs[p]``, producer *q* was ``needed[q]``.
        needed
            The producers that are left.

        Raises
        ------
        ValueError, IndexError
            As `nbscale.graph.intervals.as_coords`.

        Notes
        -----
        Constant for `Each`, `All`, `At`, `Group` and `Window` restricted to a range; else one
        vectorised pass over the outputs, and over what is needed if that has holes.

        Examples
        --------
        >>> Group(n_in=10, k=4).restrict(range(1, 3))
        (Group(n_in=6, k=4), range(4, 10))
        """
        kept = as_coords(outputs, self.n_out)
        if not len(kept):
            return All(0, 0), range(0)
        return self._restrict(kept)

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        """Restrict to outputs that have been checked and are at least one."""
        return self._restrict_by_looking(kept)

    def _restrict_by_looking(self, kept: Coords) -> tuple[AxisMap, Coords]:
        """Restrict by the bounds of every output that is kept."""
        lo, hi, needed = squeeze(*self._bounds(kept))
        return _simplest(len(needed), lo, hi), needed

    def then(self, other: AxisMap) -> AxisMap | None:
        """Compose: this map leads to the outputs of `other`.

        Parameters
        ----------
        other
            A map with as many outputs as this one has producers.

        Returns
        -------
        map
            From this map's outputs to the other's producers; None if an output would read a set
            with a hole, or if the maps are in no order and large (over two million pairs).
            Composing with `Each` gives the other one back, whatever it is.

        Raises
        ------
        ValueError
            The numbers in the middle differ.

        Notes
        -----
        Constant where the answer is symbolic, else vectorised: a pass over both maps if the other
        ascends, a sort of all pairs if not.

        Examples
        --------
        >>> Group(n_in=4, k=2).then(Group(n_in=11, k=3))
        Group(n_in=11, k=6)
        """
        if self.n_in != other.n_out:
            raise ValueError(
                f"{self!r} reads {self.n_in} coordinates, but {other!r} has {other.n_out}; "
                "only maps with the same number in the middle can be composed"
            )
        return _symbolic(self, other) or _computed(self, other)


@record
class Each(AxisMap):
    """Output *i* reads producer *i*."""

    n: int

    def __post_init__(self) -> None:
        _check_sizes(self)

    @property
    def n_out(self) -> int:
        return self.n

    @property
    def n_in(self) -> int:
        return self.n

    def _inputs(self, i: int) -> Coords:
        return range(i, i + 1)

    def _consumers(self, j: int) -> Coords:
        return range(j, j + 1)

    def _bounds(self, outputs: Coords) -> Bounds:
        at = as_array(outputs)
        return at, at + 1

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        return Each(len(kept)), kept


@record
class All(AxisMap):
    """Every output reads every producer."""

    n_out: int
    n_in: int

    def __post_init__(self) -> None:
        _check_sizes(self)

    def _inputs(self, i: int) -> Coords:
        return range(self.n_in)

    def _consumers(self, j: int) -> Coords:
        return range(self.n_out)

    def _bounds(self, outputs: Coords) -> Bounds:
        n = len(outputs)
        return np.zeros(n, dtype=np.int64), np.full(n, self.n_in, dtype=np.int64)

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        return All(len(kept), self.n_in), range(self.n_in)


@record
class At(AxisMap):
    """Every output reads producer `c`."""

    n_out: int
    n_in: int
    c: int

    def __post_init__(self) -> None:
        _check_sizes(self)
        if not 0 <= self.c < self.n_in:
            raise ValueError(f"producer {self.c} is not one of the {self.n_in} there are")

    def _inputs(self, i: int) -> Coords:
        return range(self.c, self.c + 1)

    def _consumers(self, j: int) -> Coords:
        return range(self.n_out if j == self.c else 0)

    def _bounds(self, outputs: Coords) -> Bounds:
        at = np.full(len(outputs), self.c, dtype=np.int64)
        return at, at + 1

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        return At(len(kept), 1, 0), range(self.c, self.c + 1)


@record
class Window(AxisMap):
    """Output *i* reads the producers from ``i + a`` up to ``i + b``, as far as they exist."""

    n_out: int
    n_in: int
    a: int
    b: int

    def __post_init__(self) -> None:
        _check_sizes(self)

    def _inputs(self, i: int) -> Coords:
        lo = min(max(i + self.a, 0), self.n_in)
        return range(lo, max(lo, min(i + self.b, self.n_in)))

    def _consumers(self, j: int) -> Coords:
        lo = min(max(j - self.b + 1, 0), self.n_out)
        return range(lo, max(lo, min(j - self.a + 1, self.n_out)))

    def _bounds(self, outputs: Coords) -> Bounds:
        at = as_array(outputs)
        lo = np.clip(at + self.a, 0, self.n_in)
        return lo, np.maximum(lo, np.minimum(at + self.b, self.n_in))

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        if not isinstance(kept, range) or self.a >= self.b:
            return self._restrict_by_looking(kept)
        lo = min(max(kept[0] + self.a, 0), self.n_in)
        hi = max(lo, min(kept[-1] + self.b, self.n_in))
        shift = kept[0] - lo
        return Window(len(kept), hi - lo, self.a + shift, self.b + shift), range(lo, hi)


@record
class Group(AxisMap):
    """Output *i* reads the *i*-th run of `k` producers; the last run may be shorter."""

    n_in: int
    k: int

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"a group has at least one member, not {self.k}")
        _check_sizes(self)

    @property
    def n_out(self) -> int:
        return -(-self.n_in // self.k)

    def _inputs(self, i: int) -> Coords:
        lo = i * self.k
        return range(lo, min(lo + self.k, self.n_in))

    def _consumers(self, j: int) -> Coords:
        i = j // self.k
        return range(i, i + 1)

    def _bounds(self, outputs: Coords) -> Bounds:
        lo = as_array(outputs) * self.k
        return lo, np.minimum(lo + self.k, self.n_in)

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        # Only the last group can be short, and where it is kept it is still the last.
        if isinstance(kept, range):
            needed: Coords = range(kept[0] * self.k, min((kept[-1] + 1) * self.k, self.n_in))
        else:
            lo, hi = self._bounds(kept)
            needed = expand(lo, hi - lo)
        return Group(len(needed), self.k), needed


@record
class Parent(AxisMap):
    """Output *i* reads producer ``i // k``: the opposite of `Group`."""

    n_out: int
    n_in: int
    k: int

    def __post_init__(self) -> None:
        _check_sizes(self)
        if self.k < 1:
            raise ValueError(f"a parent has at least one child, not {self.k}")
        if self.n_in * self.k < self.n_out:
            raise ValueError(
                f"{self.n_out} outputs, {self.k} for each producer, need more than {self.n_in}"
            )

    def _inputs(self, i: int) -> Coords:
        parent = i // self.k
        return range(parent, parent + 1)

    def _consumers(self, j: int) -> Coords:
        first = min(j * self.k, self.n_out)
        return range(first, min(first + self.k, self.n_out))

    def _bounds(self, outputs: Coords) -> Bounds:
        parent = as_array(outputs) // self.k
        return parent, parent + 1

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        if not isinstance(kept, range) or kept[0] % self.k:
            return self._restrict_by_looking(kept)
        needed = range(kept[0] // self.k, kept[-1] // self.k + 1)
        return Parent(len(kept), len(needed), self.k), needed


class _Stored(AxisMap):
    """A map that keeps two arrays: compared, hashed and pickled by their content."""

    __slots__ = ()

    @abc.abstractmethod
    def _stored(self) -> tuple[int, IntArray, IntArray]:
        """Arguments that make this map again."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, _Stored):
            return NotImplemented
        (n_in, one, two), (n_in2, one2, two2) = self._stored(), other._stored()
        return n_in == n_in2 and np.array_equal(one, one2) and np.array_equal(two, two2)

    def __hash__(self) -> int:
        n_in, one, two = self._stored()
        return hash((n_in, zlib.crc32(one.tobytes()), zlib.crc32(two.tobytes())))

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: unpickled arrays are writeable, and the index need not travel.
        return type(self), self._stored()


@dataclasses.dataclass(frozen=True, slots=True, eq=False, init=False)
class Ranges(_Stored):
    """Output *i* reads the producers from ``lo[i]`` up to ``hi[i]``, none when they are equal.

    The arrays are copied, unless they are read-only int64 arrays already, and made read-only.
    """

    n_in: int
    lo: IntArray
    hi: IntArray
    _inverse: Inverse | bool | None = dataclasses.field(repr=False)

    def __init__(self, n_in: int, lo: npt.ArrayLike, hi: npt.ArrayLike) -> None:
        lo, hi = frozen(lo), frozen(hi)
        if lo.ndim != 1 or lo.shape != hi.shape:
            raise ValueError(f"lo and hi must be rows of one length, not {lo.shape}, {hi.shape}")
        if lo.size and (lo.min() < 0 or hi.max() > n_in or np.any(lo > hi)):
            raise ValueError(f"every interval must satisfy 0 <= lo <= hi <= {n_in}")
        _fill(self, n_in=n_in, lo=lo, hi=hi, _inverse=None)
        _check_sizes(self)

    @property
    def n_out(self) -> int:
        return self.lo.size

    def _inputs(self, i: int) -> Coords:
        return range(self.lo.item(i), self.hi.item(i))

    def _consumers(self, j: int) -> Coords:
        inverse = self._inverse
        if inverse is None:
            # False: rows ascend, so both ends are found by a search and nothing is stored.
            ascending = is_ascending(self.lo) and is_ascending(self.hi)
            inverse = False if ascending else Inverse.of_intervals(self.lo, self.hi, self.n_in)
            _fill(self, _inverse=inverse)
        if isinstance(inverse, Inverse):
            return inverse.holders(j)
        first = int(self.hi.searchsorted(j, "right"))
        return range(first, max(first, int(self.lo.searchsorted(j, "right"))))

    def _bounds(self, outputs: Coords) -> Bounds:
        if isinstance(outputs, range):
            here = slice(outputs.start, outputs.stop)
            return self.lo[here], self.hi[here]
        return self.lo[outputs], self.hi[outputs]

    def _stored(self) -> tuple[int, IntArray, IntArray]:
        return self.n_in, self.lo, self.hi


@dataclasses.dataclass(frozen=True, slots=True, eq=False, init=False)
class Listed(_Stored):
    """Output *i* reads ``indices[indptr[i]:indptr[i + 1]]``, sorted and distinct: any set at all.

    The last resort, for graphs without a shape: memory grows with the number of edges.
    """

    n_in: int
    indptr: IntArray
    indices: IntArray
    _inverse: Inverse | None = dataclasses.field(repr=False)

    def __init__(self, n_in: int, indptr: npt.ArrayLike, indices: npt.ArrayLike) -> None:
        indptr, indices = frozen(indptr), frozen(indices)
        if indptr.ndim != 1 or indices.ndim != 1 or not indptr.size:
            raise ValueError("indptr and indices must be rows, and indptr starts with 0")
        if indptr[0] != 0 or indptr[-1] != indices.size or not is_ascending(indptr):
            raise ValueError(f"indptr must ascend from 0 to the {indices.size} indices there are")
        if indices.size and (indices.min() < 0 or indices.max() >= n_in):
            raise ValueError(f"every index must be in 0..{n_in - 1}")
        step = np.diff(indices)
        heads = indptr[(indptr > 0) & (indptr < indices.size)]
        step[heads - 1] = 1
        if np.any(step <= 0):
            raise ValueError("the indices of each output must be sorted and distinct")
        _fill(self, n_in=n_in, indptr=indptr, indices=indices, _inverse=None)
        _check_sizes(self)

    @property
    def n_out(self) -> int:
        return self.indptr.size - 1

    def _inputs(self, i: int) -> Coords:
        return self.indices[self.indptr.item(i) : self.indptr.item(i + 1)]

    def _consumers(self, j: int) -> Coords:
        inverse = self._inverse
        if inverse is None:
            inverse = Inverse.of_lists(self.indptr, self.indices, self.n_in)
            _fill(self, _inverse=inverse)
        return inverse.holders(j)

    def counts(self) -> IntArray:
        return np.diff(self.indptr)

    def _bounds(self, outputs: Coords) -> Bounds:
        at = as_array(outputs)
        first, stop = self.indptr[at], self.indptr[at + 1]
        lo, hi = np.zeros(at.size, dtype=np.int64), np.zeros(at.size, dtype=np.int64)
        some = stop > first
        lo[some], hi[some] = self.indices[first[some]], self.indices[stop[some] - 1] + 1
        return lo, hi

    def _restrict(self, kept: Coords) -> tuple[AxisMap, Coords]:
        at = as_array(kept)
        counts = self.indptr[at + 1] - self.indptr[at]
        read = self.indices[expand(self.indptr[at], counts)]
        needed, place = np.unique(read, return_inverse=True)
        indptr = np.concatenate(([0], np.cumsum(counts)))
        return Listed(needed.size, indptr, place), as_coords(needed, self.n_in)

    def _stored(self) -> tuple[int, IntArray, IntArray]:
        return self.n_in, self.indptr, self.indices


def bounds(m: AxisMap) -> Bounds:
    """First producer of every output and one past the last, as two int64 arrays.

    Equal where an output reads nothing. For `Listed` there may be holes between the two.

    Examples
    --------
    >>> bounds(Group(n_in=5, k=2))
    (array([0, 2, 4]), array([2, 4, 5]))
    """
    return m._bounds(range(m.n_out))  # noqa: SLF001 - the maps are of this module


def reindex(m: AxisMap, needed: Coords, kept: Coords) -> AxisMap:
    """Renumber the producers of a map: what was ``needed[q]`` is now its position in `kept`.

    Where several consumers prune one producer, each has its own `needed` from `restrict`, and the
    producer keeps their union. Interval maps stay such if what was kept lies around the intervals
    and not inside; otherwise the answer is `Listed`.

    Raises
    ------
    ValueError
        A needed coordinate is not among the kept ones.

    Examples
    --------
    >>> reindex(Each(2), range(4, 6), range(3, 9))
    Window(n_out=2, n_in=6, a=1, b=2)
    """
    if len(needed) != m.n_in:
        raise ValueError(f"{m!r} has {m.n_in} producers, but {len(needed)} are named")
    place = positions(needed, kept)
    moved = m.then(_simplest(len(kept), place, place + 1))
    if moved is not None:
        return moved
    _, columns = _pairs(m)
    return Listed(len(kept), np.concatenate(([0], np.cumsum(m.counts()))), place[columns])


def _symbolic(one: AxisMap, two: AxisMap) -> AxisMap | None:
    """Compose without looking at a single coordinate, where that is exact."""
    n_out, n_in = one.n_out, two.n_in
    if isinstance(one, Each):
        return two
    if isinstance(two, Each):
        return one
    match one, two:
        case _, All() if _never_empty(one):
            return All(n_out, n_in)
        case _, At() if _never_empty(one):
            return At(n_out, n_in, two.c)
        case All(), Group():
            return All(n_out, n_in)
        case At(), _:
            read = two.inputs(one.c)
            if len(read) == 1:
                return At(n_out, n_in, int(read[0]))
        case Group(), Group():
            return Group(n_in, one.k * two.k)
        case Parent(), Parent():
            return Parent(n_out, n_in, one.k * two.k)
        case Window(), Window() if _clips_harmlessly(one, two):
            return Window(n_out, n_in, one.a + two.a, one.b + two.b - 1)
    return None


def _never_empty(m: AxisMap) -> bool:
    """Every output is known, without looking, to read something."""
    if isinstance(m, Window):
        some = m.a < m.b and m.b >= 1 and m.n_out - 1 + m.a < m.n_in
    else:
        some = isinstance(m, (All, At, Group, Parent))
    return some and m.n_in > 0


def _clips_harmlessly(one: Window, two: Window) -> bool:
    """The sum of two windows is exact: what the first loses at an edge the second loses too."""
    middle, last = one.n_in, one.n_out - 1
    return (
        _never_empty(one)
        and two.a < two.b
        and (one.a >= 0 or two.a <= 0)
        and (last + one.b <= middle or middle - 1 + two.b >= two.n_in)
    )


def _computed(one: AxisMap, two: AxisMap) -> AxisMap | None:
    """Compose by looking at every coordinate, vectorised."""
    found: Bounds | None
    if isinstance(one, Listed) or isinstance(two, Listed):
        found = _through_pairs(one, two)
    else:
        # Neighbours that read the same are computed once: All and Parent shrink to their parents.
        lo, hi = bounds(one)
        new = np.ones(lo.size, dtype=np.bool_)
        new[1:] = (lo[1:] != lo[:-1]) | (hi[1:] != hi[:-1])
        heads = np.flatnonzero(new)
        lo2, hi2 = bounds(two)
        full = hi2 > lo2
        if is_ascending(lo2[full]) and is_ascending(hi2[full]):
            found = compose(lo[heads], hi[heads], lo2, hi2)
        else:
            found = _through_pairs(Ranges(one.n_in, lo[heads], hi[heads]), two)
        if found is not None and heads.size < lo.size:
            again = np.cumsum(new) - 1
            found = found[0][again], found[1][again]
    return None if found is None else _simplest(two.n_in, *found)


def _through_pairs(one: AxisMap, two: AxisMap) -> Bounds | None:
    """Bounds of the composed map, by listing and sorting what every output reads."""
    if int(one.counts().sum()) > _MOST_PAIRS:
        return None
    rows, middle = _pairs(one)
    if not isinstance(two, Listed):
        lo, hi = bounds(two)
        return hull(rows, lo[middle], hi[middle], one.n_out)
    wide = two.counts()[middle]
    if int(wide.sum()) > _MOST_PAIRS:
        return None
    read = two.indices[expand(two.indptr[middle], wide)]
    return hull(np.repeat(rows, wide), read, read + 1, one.n_out)


def _pairs(m: AxisMap) -> tuple[IntArray, IntArray]:
    """Every pair (output, producer) of a map."""
    counts = m.counts()
    rows = np.repeat(np.arange(counts.size, dtype=np.int64), counts)
    return rows, m.indices if isinstance(m, Listed) else expand(bounds(m)[0], counts)


def _simplest(n_in: int, lo: IntArray, hi: IntArray) -> AxisMap:
    """The map with these bounds, symbolic if one of the symbolic maps fits exactly."""
    if lo.size:
        last = lo.size - 1
        for m in _candidates(n_in, lo, hi):
            # One look at the far end spares the full comparison in nearly all cases.
            if m.inputs(last) == range(lo.item(last), hi.item(last)):
                lo2, hi2 = bounds(m)
                if np.array_equal(lo, lo2) and np.array_equal(hi, hi2):
                    return m
    lo.flags.writeable = hi.flags.writeable = False  # they are ours: Ranges need not copy them
    return Ranges(n_in, lo, hi)


def _candidates(n_in: int, lo: IntArray, hi: IntArray) -> Iterator[AxisMap]:
    """Symbolic maps that agree with the first interval."""
    n_out, start, stop = lo.size, lo.item(0), hi.item(0)
    width = stop - start
    if width == 1 and start == 0 and n_in == n_out:
        yield Each(n_out)
    if width == n_in:
        yield All(n_out, n_in)
    if width == 1:
        yield At(n_out, n_in, start)
    if start == 0 and width > 1 and -(-n_in // width) == n_out:
        yield Group(n_in, width)
    children = int(np.argmax(lo > 0))
    if start == 0 and width == 1 and children > 1 and n_in * children >= n_out:
        yield Parent(n_out, n_in, children)
    if width > 0:
        yield Window(n_out, n_in, start, stop)


def _check_sizes(m: AxisMap) -> None:
    if m.n_out < 0 or m.n_in < 0:
        raise ValueError(f"{type(m).__name__} between {m.n_out} outputs and {m.n_in} producers")


def _fill(m: AxisMap, **fields: object) -> None:
    """Set fields of a frozen map while it is being made, or its private index later."""
    for name, value in fields.items():
        object.__setattr__(m, name, value)
