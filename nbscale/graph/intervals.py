"""Sets of coordinates, and vectorised work on rows of intervals.

A set is a ``range`` of step 1 when it has no holes, else a sorted array. A row of intervals is two
arrays, ``lo`` and ``hi``; row *i* stands for the coordinates ``lo[i] <= j < hi[i]``, none when the
two are equal. Nothing here knows what the rows mean.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nbscale.record import record

__all__ = [
    "Bounds",
    "Coords",
    "IntArray",
    "Inverse",
    "as_array",
    "as_coords",
    "compose",
    "expand",
    "frozen",
    "hull",
    "is_ascending",
    "positions",
    "squeeze",
    "union",
]

IntArray: TypeAlias = npt.NDArray[np.int64]
Coords: TypeAlias = range | IntArray
Bounds: TypeAlias = tuple[IntArray, IntArray]


def frozen(values: npt.ArrayLike) -> IntArray:
    """Read-only int64 array of the values; copies unless they are one already."""
    if isinstance(values, np.ndarray) and values.dtype == np.int64 and not values.flags.writeable:
        return values
    given = np.asarray(values)
    if given.size and given.dtype.kind not in "iu":
        raise TypeError(f"coordinates are integers, but an array of {given.dtype} was given")
    array = np.array(given, dtype=np.int64)
    array.flags.writeable = False
    return array


def as_array(coords: Coords) -> IntArray:
    """The coordinates as an int64 array."""
    if isinstance(coords, range):
        return np.arange(coords.start, coords.stop, coords.step, dtype=np.int64)
    return coords


def as_coords(values: Coords | npt.ArrayLike, n: int) -> Coords:
    """Sorted, distinct coordinates below `n`: a ``range`` if they have no holes, else an array.

    Parameters
    ----------
    values
        A range or integers, sorted and distinct.
    n
        Number of coordinates there are.

    Raises
    ------
    ValueError
        They are not sorted or not distinct.
    IndexError
        One is not in ``0 .. n-1``.

    Notes
    -----
    One pass over an array, none over a range of step 1.

    Examples
    --------
    >>> as_coords([3, 4, 5], 10)
    range(3, 6)
    """
    if isinstance(values, range) and (values.step == 1 or len(values) <= 1):
        if not values:
            return range(0)
        if values[0] < 0 or values[-1] >= n:
            raise IndexError(f"coordinates {values[0]}..{values[-1]} are not all in 0..{n - 1}")
        return range(values[0], values[-1] + 1)
    array = frozen(as_array(values) if isinstance(values, range) else values)
    if array.ndim != 1:
        raise ValueError(f"coordinates are one row of integers, not {array.ndim}-dimensional")
    if not array.size:
        return range(0)
    if np.any(array[1:] <= array[:-1]):
        raise ValueError("coordinates must be sorted and distinct; use numpy.unique first")
    first, last = int(array[0]), int(array[-1])
    if first < 0 or last >= n:
        raise IndexError(f"coordinates {first}..{last} are not all in 0..{n - 1}")
    return range(first, last + 1) if last - first + 1 == array.size else array


def union(*sets: Coords) -> Coords:
    """Coordinates in at least one of the sets.

    Examples
    --------
    >>> union(range(0, 3), range(2, 6))
    range(0, 6)
    """
    some = sorted((s for s in sets if len(s)), key=lambda s: int(s[0]))
    if not some:
        return range(0)
    if all(isinstance(s, range) and s.step == 1 for s in some):
        stop = some[0][-1] + 1
        for s in some[1:]:
            if s[0] > stop:
                break
            stop = max(stop, s[-1] + 1)
        else:
            return range(int(some[0][0]), int(stop))
    array = np.unique(np.concatenate([as_array(s) for s in some]))
    return as_coords(array, int(array[-1]) + 1)


def positions(wanted: Coords, among: Coords) -> IntArray:
    """Where each wanted coordinate stands among others; ValueError if one is not there."""
    values = as_array(wanted)
    if isinstance(among, range) and among.step == 1:
        at = values - among.start
        missing = (at < 0) | (at >= len(among))
    else:
        array = as_array(among)
        at = np.asarray(array.searchsorted(values), dtype=np.int64)
        missing = at >= array.size
        missing[~missing] = array[at[~missing]] != values[~missing]
    if missing.any():
        raise ValueError(f"coordinate {int(values[missing.argmax()])} is needed but was not kept")
    return at


def is_ascending(values: IntArray) -> bool:
    """Every value is at least the one before it."""
    return not bool(np.any(values[1:] < values[:-1]))


def expand(lo: IntArray, counts: IntArray) -> IntArray:
    """The runs ``lo[i], lo[i]+1, ...`` of ``counts[i]`` integers, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if ends.size else 0
    run: IntArray = np.repeat(lo - (ends - counts), counts)
    run += np.arange(total, dtype=np.int64)
    return run


def squeeze(lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray, Coords]:
    """Renumber the coordinates so that those in no interval are gone.

    Returns the intervals in the new numbers and the old coordinates that are left. Intervals stay
    intervals, since nothing inside one can go. Sorts only if `lo` is not ascending.
    """
    full = hi > lo
    everyone = bool(full.all())
    low, high = (lo, hi) if everyone else (lo[full], hi[full])
    if not low.size:
        zeros = np.zeros(lo.size, dtype=np.int64)
        return zeros, zeros, range(0)
    ordered = is_ascending(low)
    if not ordered:
        order = np.argsort(low, kind="stable")
        low, high = low[order], high[order]
    top = np.maximum.accumulate(high)
    gap = low[1:] > top[:-1]
    cut = np.flatnonzero(gap)
    starts = low[np.concatenate(([0], cut + 1))]
    ends = top[np.concatenate((cut, [low.size - 1]))]
    sizes = ends - starts
    base = np.cumsum(sizes) - sizes
    if ordered and everyone:  # then the block of a row is known without a search
        block = np.zeros(lo.size, dtype=np.int64)
        np.cumsum(gap, out=block[1:])
    else:
        block = np.asarray(np.maximum(starts.searchsorted(lo, "right") - 1, 0), dtype=np.int64)
    # Empty intervals may lie in a hole: clipped, they stay in order with their neighbours.
    new = base[block] + np.minimum(np.maximum(lo - starts[block], 0), sizes[block])
    if starts.size == 1:
        return new, new + (hi - lo), range(int(starts[0]), int(ends[0]))
    return new, new + (hi - lo), expand(starts, sizes)


def compose(lo: IntArray, hi: IntArray, lo2: IntArray, hi2: IntArray) -> Bounds | None:
    """Union of the second row's intervals over each interval of the first, in one pass.

    For a second row that ascends; one that does not gives ValueError (see `hull`). None if a union
    has a hole.
    """
    full = hi2 > lo2
    if not full.all():  # empty ones take part in no union: drop them and renumber
        at = np.zeros(full.size + 1, dtype=np.int64)
        np.cumsum(full, out=at[1:])
        lo, hi, lo2, hi2 = at[lo], at[hi], lo2[full], hi2[full]
    if not (is_ascending(lo2) and is_ascending(hi2)):
        raise ValueError("the second row of intervals must be in ascending order")
    if not lo2.size:
        zeros = np.zeros(lo.size, dtype=np.int64)
        return zeros, zeros
    holes = np.zeros(lo2.size, dtype=np.int64)
    np.cumsum(lo2[1:] > hi2[:-1], out=holes[1:])
    first = np.minimum(lo, lo2.size - 1)
    last = np.maximum(hi - 1, 0)
    some = hi > lo
    if np.any(some & (holes[first] != holes[last])):
        return None
    start = lo2[first]
    return start, np.where(some, hi2[last], start)


def hull(rows: IntArray, lo: IntArray, hi: IntArray, n_rows: int) -> Bounds | None:
    """Union of all intervals that bear the same row number, in any order; None if one has a hole.

    Sorts all of them.
    """
    full = hi > lo
    rows, lo, hi = rows[full], lo[full], hi[full]
    start, stop = np.zeros(n_rows, dtype=np.int64), np.zeros(n_rows, dtype=np.int64)
    if not rows.size:
        return start, stop
    order = np.lexsort((lo, rows))
    rows, lo, hi = rows[order], lo[order], hi[order]
    # A running maximum within each row: the row number, scaled, lifts it over the rows before.
    lift = rows * (int(hi.max()) + 1)
    top = np.maximum.accumulate(hi + lift) - lift
    same = rows[1:] == rows[:-1]
    if np.any(same & (lo[1:] > top[:-1])):
        return None
    heads = np.flatnonzero(np.concatenate(([True], ~same)))
    tails = np.concatenate((heads[1:] - 1, [rows.size - 1]))
    start[rows[heads]], stop[rows[heads]] = lo[heads], top[tails]
    return start, stop


@record(eq=False)
class Inverse:
    """Which rows hold a coordinate, for rows of any order; built once, asked often.

    Coordinates between two ends of intervals are held by the same rows, so rows are listed once
    for each such stretch and not for each coordinate.

    Attributes
    ----------
    starts
        First coordinate of each stretch; None if each coordinate is a stretch.
    indptr, rows
        Stretch *s* is held by ``rows[indptr[s]:indptr[s + 1]]``, sorted.
    """

    starts: IntArray | None
    indptr: IntArray
    rows: IntArray

    @classmethod
    def of_intervals(cls, lo: IntArray, hi: IntArray, n: int) -> Inverse:
        """Index rows of intervals of coordinates below `n`."""
        counts = hi - lo
        if int(counts.sum()) + n <= 8 * lo.size:  # small enough to list outright, and faster
            rows = np.repeat(np.arange(lo.size, dtype=np.int64), counts)
            return cls(None, *_grouped(expand(lo, counts), rows, n))
        starts = np.unique(np.concatenate((lo, hi)))
        first = starts.searchsorted(lo)
        counts = starts.searchsorted(hi) - first
        rows = np.repeat(np.arange(lo.size, dtype=np.int64), counts)
        return cls(starts, *_grouped(expand(first, counts), rows, starts.size))

    @classmethod
    def of_lists(cls, indptr: IntArray, indices: IntArray, n: int) -> Inverse:
        """Index rows that list their coordinates, of which there are `n`."""
        rows = np.repeat(np.arange(indptr.size - 1, dtype=np.int64), np.diff(indptr))
        return cls(None, *_grouped(indices, rows, n))

    def holders(self, j: int) -> Coords:
        """Rows that hold coordinate `j`."""
        stretch = j
        if self.starts is not None:
            stretch = int(self.starts.searchsorted(j, "right")) - 1
            if stretch < 0:
                return range(0)
        begin, end = self.indptr.item(stretch), self.indptr.item(stretch + 1)
        if begin == end:
            return range(0)
        first, last = self.rows.item(begin), self.rows.item(end - 1)
        if last - first == end - begin - 1:
            return range(first, last + 1)
        return self.rows[begin:end]


def _grouped(keys: IntArray, rows: IntArray, n: int) -> tuple[IntArray, IntArray]:
    """Rows grouped by key, with the ends of the groups; rows keep their order within a key."""
    indptr = np.zeros(n + 1, dtype=np.int64)
    np.cumsum(np.bincount(keys, minlength=n), out=indptr[1:])
    grouped = rows[np.argsort(keys, kind="stable")]
    grouped.flags.writeable = False
    return indptr, grouped
