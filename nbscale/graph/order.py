"""The order in which tasks should run: depth-first from the outputs, so that few values wait.

Every task gets a position, a float; of the tasks that could run, the one with the lowest position
runs first. Stages are visited from the outputs backwards. The tasks of a stage that nobody reads
stand side by side; a task that is read stands within the stretch of its first reader, behind what
that reader reads before it::

    final      |0                                                            )
    combine    |0                  |1/3                |2/3                  )
    leaves     |0     |1/9  |2/9   |1/3   |4/9  |5/9   |2/3   |7/9  |8/9     )

so the whole cone below a task lies in the task's own stretch, and is done before the next begins.
Where positions are equal the stage nearer to the outputs goes first. No object is made for a task.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nbscale.graph.axismap import All, At, AxisMap, Each, Group, Listed, Parent, Window, bounds
from nbscale.graph.intervals import IntArray, expand, is_ascending
from nbscale.graph.stage import Edge, Stage

__all__ = ["FloatArray", "positions"]

FloatArray = npt.NDArray[np.float64]

_SLAB = 1 << 16
"""So many tasks are placed at once: what is made on the way stays small."""


def positions(stages: Sequence[Stage], first: int = 0, base: float = 0.0) -> list[FloatArray]:
    """Place the tasks of ``stages[first:]``; stages before these keep the places they have.

    Parameters
    ----------
    stages
        All stages of a job so far, by number.
    first
        Number of the first stage to place.
    base
        Positions lie in ``[base, base + 1)``: stages of a later step of a job stand behind.

    Returns
    -------
    list
        One array for each stage placed, by flat number of the task.

    Notes
    -----
    A few vectorised passes for each edge; eight bytes a task. A stage of calls that read one
    another costs a step of Python for each call and each argument.

    Examples
    --------
    >>> from nbscale.graph.axismap import Coords, Each, Group
    >>> from nbscale.graph.stage import Edge, Program, Stage
    >>> nothing = Program(0, (), ())
    >>> leaves = Stage(0, "load", (range(4),), (4,), nothing, ())
    >>> edge = Edge(0, (0,), (Group(4, 2),), "list")
    >>> pairs = Stage(1, "sum", (range(2),), (2,), nothing, (edge,), result=0)
    >>> [p.tolist() for p in positions([leaves, pairs])]
    [[0.0, 0.25, 0.5, 0.75], [0.0, 0.5]]
    """
    places: list[FloatArray | None] = [None] * (len(stages) - first)
    stretch = [1.0] * (len(stages) - first)
    for number in range(len(stages) - 1, first - 1, -1):
        stage = stages[number]
        place = _fill_unread(places[number - first], stage.n_tasks, base)
        step = min(stretch[number - first], 1.0 / max(1, stage.n_tasks))
        for edge in stage.edges:
            if edge.producer == number:
                place, step = _among_calls(edge.maps[0], place, step)
        places[number - first] = place
        for edge in stage.edges:
            at = edge.producer - first
            if at < 0 or edge.producer == number:
                continue
            narrow = _spread(stage, edge, stages[edge.producer], place, step, places, at)
            stretch[at] = min(stretch[at], narrow)
    return [place for place in places if place is not None]


def _fill_unread(place: FloatArray | None, n: int, base: float) -> FloatArray:
    """Tasks that nobody reads stand side by side over the whole stretch."""
    if place is None:
        place = np.arange(n, dtype=np.float64)
        place /= max(1, n)
        place += base
        return place
    unread = np.flatnonzero(np.isinf(place))
    if unread.size:
        place[unread] = base + unread / n
    return place


def _spread(
    stage: Stage,
    edge: Edge,
    producer: Stage,
    place: FloatArray,
    step: float,
    places: list[FloatArray | None],
    at: int,
) -> float:
    """Offer the producer's tasks places behind their first readers; return their stretch."""
    straight = edge.axes == tuple(range(len(stage.grid))) and stage.grid == producer.grid
    if straight and edge.is_same:
        old = places[at]
        if old is None:
            places[at] = place.copy()
        else:
            np.minimum(old, place, out=old)
        return step
    result = places[at]
    if result is None:
        result = places[at] = np.full(producer.n_tasks, np.inf)
    if not stage.n_tasks or not producer.n_tasks:
        return step
    if not producer.grid:  # a single value, read by everybody
        np.minimum(result, place.min(), out=result)
        return step
    readers = [_FirstReader(m) for m in edge.maps]
    narrow = step
    scales = []
    for reader in readers:
        scales.append(narrow / reader.width)
        narrow /= reader.width
    grid = producer.grid
    rows = result.reshape(grid)
    slab = max(1, _SLAB * grid[0] // producer.n_tasks)
    for start in range(0, grid[0], slab):
        stop = min(start + slab, grid[0])
        offer = _offer(stage.grid, edge, readers, scales, grid, (start, stop), place)
        np.minimum(rows[start:stop], offer, out=rows[start:stop])
    return narrow


def _offer(
    consumers: tuple[int, ...],
    edge: Edge,
    readers: Sequence[_FirstReader],
    scales: Sequence[float],
    grid: tuple[int, ...],
    slab: tuple[int, int],
    place: FloatArray,
) -> FloatArray:
    """Places for a slab of the producer's tasks; infinity where nobody reads one."""
    index: list[IntArray | int] = [0] * len(consumers)
    behind: FloatArray = np.zeros((1,) * len(grid))
    for axis, (driver, reader, scale) in enumerate(zip(edge.axes, readers, scales, strict=True)):
        lo, hi = slab if axis == 0 else (0, grid[axis])
        first, offset = reader.of(np.arange(lo, hi, dtype=np.int64))
        shape = [1] * len(grid)
        shape[axis] = hi - lo
        behind = behind + (offset * scale).reshape(shape)
        if driver >= 0:
            # Where one axis drives two, a reader of both is not before the first of either.
            index[driver] = np.maximum(index[driver], first.reshape(shape))
    found: FloatArray = place.reshape(consumers)[tuple(index)]
    return found + behind


class _FirstReader:
    """For the producers of one axis: who reads them first, and how many that one reads before."""

    def __init__(self, m: AxisMap) -> None:
        self.m = m
        self.width = 1
        self._lo: IntArray = np.zeros(0, dtype=np.int64)
        self._hi = self._lo
        self._first: IntArray | None = None
        match m:
            case All():
                self.width = m.n_in
            case Window():
                self.width = m.b - m.a
            case Group():
                self.width = m.k
            case Each() | At() | Parent():
                pass
            case _:
                self._look()
        self.width = max(1, self.width)

    def _look(self) -> None:
        lo, hi = bounds(self.m)
        self._lo, self._hi = lo, hi
        self.width = int((hi - lo).max(initial=1))
        if isinstance(self.m, Listed):
            self._first = np.full(self.m.n_in, self.m.n_out, dtype=np.int64)
            rows = np.repeat(np.arange(self.m.n_out, dtype=np.int64), self.m.counts())
            np.minimum.at(self._first, self.m.indices, rows)
        elif not (is_ascending(lo) and is_ascending(hi)):
            self._first = np.full(self.m.n_in, self.m.n_out, dtype=np.int64)
            for row in range(lo.size - 1, -1, -1):
                self._first[lo[row] : hi[row]] = row

    def of(self, at: IntArray) -> tuple[IntArray, FloatArray]:
        """First readers (any, if there is none) and offsets (infinite, if there is none)."""
        first, lo = self._of(at)
        offset = (at - lo).astype(np.float64)
        missing = (first < 0) | (first >= self.m.n_out) | (offset < 0)
        if missing.any():
            offset[missing] = np.inf
            first = np.where(missing, 0, first)
        return first, offset

    def _of(self, at: IntArray) -> tuple[IntArray, IntArray]:
        m = self.m
        zero = np.zeros_like(at)
        match m:
            case Each():
                return at, at
            case All():
                return zero, zero
            case At():
                return np.where(at == m.c, 0, -1), at
            case Window():
                first = np.maximum(at - m.b + 1, 0)
                read = (first < m.n_out) & (first + m.a <= at)
                return np.where(read, first, -1), np.maximum(first + m.a, 0)
            case Group():
                group = at // m.k
                return group, group * m.k
            case Parent():
                return at * m.k, at
        if self._first is None:
            first = np.asarray(self._hi.searchsorted(at, "right"), dtype=np.int64)
        else:
            first = self._first[at]
        return first, self._lo[np.minimum(first, self._lo.size - 1)]


def _among_calls(m: AxisMap, place: FloatArray, step: float) -> tuple[FloatArray, float]:
    """Order calls that read one another: what a call reads stands before it, in one stretch.

    Returns their places and the stretch of each.
    """
    n = m.n_out
    lo, hi = bounds(m)
    if isinstance(m, Listed):
        ends, reads = m.indptr.tolist(), m.indices.tolist()
    else:
        counts = hi - lo
        ends = [0, *np.cumsum(counts).tolist()]
        reads = expand(lo, counts).tolist()
    read = np.zeros(n, dtype=np.bool_)
    read[reads] = True
    roots = np.flatnonzero(~read)
    order: list[int] = []
    seen = bytearray(n)
    result = place.copy()
    longest = 1
    for root in roots[np.argsort(place[roots], kind="stable")].tolist():
        begin = len(order)
        _post_order(root, ends, reads, seen, order)
        cone = order[begin:]
        longest = max(longest, len(cone))
        result[cone] = place[root] + step * np.arange(len(cone)) / len(cone)
    return result, step / longest


def _post_order(
    root: int, ends: list[int], reads: list[int], seen: bytearray, order: list[int]
) -> None:
    """Append the calls below a root that are not placed yet, inputs before their readers."""
    seen[root] = 1
    stack = [root]
    cursor = [ends[root]]
    while stack:
        call = stack[-1]
        at = cursor[-1]
        if at < ends[call + 1]:
            cursor[-1] = at + 1
            child = reads[at]
            if not seen[child]:
                seen[child] = 1
                stack.append(child)
                cursor.append(ends[child])
        else:
            stack.pop()
            cursor.pop()
            order.append(call)
