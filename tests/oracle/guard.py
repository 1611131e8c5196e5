"""Run a job task by task and say what each task read and held: for the guard on every operation.

Bytes are inputs, output and the peak of what the task allocated, as tracemalloc (Python and NumPy)
and Arrow's pool count it. Inputs delivered in turn count one at a time.
"""

from __future__ import annotations

import dataclasses
import gc
import tracemalloc
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from nbscale.array.io import FromArray
from nbscale.dataframe.source import FromPandas
from nbscale.expr.node import walk
from nbscale.graph.job import Done, Observation
from nbscale.graph.stage import Stage
from nbscale.plan.jobs import Learned, PlanJob
from nbscale.plan.rewrite import rewrite
from nbscale.plan.rules import RULES


@dataclasses.dataclass(frozen=True)
class TaskReport:
    """What one task did.

    ``read``: bytes of its inputs, but for those delivered in turn, of which it may read what its
    AxisMap says; ``held``: the most it held at once.
    """

    stage: str
    task: int
    inputs: int
    read: int
    held: int


SOURCES = (FromPandas, FromArray)
"""What the data of the guard comes from."""

SMALL = 64_000
"""Bytes that no task is blamed for: what pandas and Python need for themselves."""

PARTITION = 256_000
"""Bytes below which a partition is not taken to be smaller: of narrow columns that is all there is."""


@dataclasses.dataclass
class Guarded:
    """A run under guard. ``share``: bytes of the largest partition that a source gave."""

    share: float = PARTITION
    reports: list[TaskReport] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """No task reads more than two partitions, but in turn, or holds more than four."""
        assert self.reports
        for report in self.reports:
            assert report.read <= 2 * self.share + SMALL, report
            assert report.held <= 4 * self.share + SMALL, report


_pools: list[Any] = []
"""A pool of its own for each task tells the task's peak; it must outlive what it gave."""


def nbytes(value: Any) -> int:
    """Bytes of a value; of a container, the sum of what it holds."""
    if isinstance(value, pd.DataFrame):
        return int(value.memory_usage(deep=False).sum())
    if isinstance(value, (pd.Series, pd.Index)):
        return int(value.memory_usage(deep=False))
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (pa.Table, pa.Array)):
        return value.nbytes
    if isinstance(value, dict):
        return sum(map(nbytes, value.values()))
    if isinstance(value, (list, tuple, set)):
        return sum(map(nbytes, value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return sum(nbytes(getattr(value, f.name)) for f in dataclasses.fields(value))
    return 8


def run_guarded(guarded: Guarded, *collections: Any) -> None:
    """Run the collections to the end and report on every task."""
    written = [c._node for c in collections]
    roots, _ = rewrite(written, RULES, {})
    job = PlanJob(roots, {}, Learned())
    stages: dict[int, Stage] = {}
    values: dict[int, list[Any]] = {}
    watches: list[Any] = []
    seen: Any = None
    # Of frames what is read after pruning counts; of arrays whole chunks, as they were cut.
    guarded.share = max([guarded.share, *_partitions(written, FromArray)])
    tracemalloc.start()
    try:
        while True:
            reply = job.step(seen)
            if isinstance(reply, Done):
                raise reply.error or RuntimeError("done without a result")
            guarded.share = max([guarded.share, *_partitions(job.roots)])
            watches += reply.watches
            for stage in reply.stages:
                stages[stage.number] = stage
                _run(stage, stages, values, guarded.reports)
            if not watches:
                return
            watch = watches.pop(0)
            seen = Observation(watch.stage, tuple(values[watch.stage]))
    finally:
        tracemalloc.stop()


def _partitions(roots: Iterable[Any], *kinds: type) -> list[float]:
    """Bytes of a partition of each source."""
    return [n.nbytes() or 0 for n in walk(tuple(roots)) if type(n) in (kinds or SOURCES)]


def _tasks(stage: Stage) -> Iterable[int]:
    """The tasks to run: all, or a few of a stage whose values nobody reads and that reads none.

    Such tasks differ in nothing but the piece of the source they begin with.
    """
    if stage.result is None or stage.edges or stage.n_tasks <= 2:
        return range(stage.n_tasks)
    return (0, stage.n_tasks - 1)


def _run(
    stage: Stage,
    stages: dict[int, Stage],
    values: dict[int, list[Any]],
    reports: list[TaskReport],
) -> None:
    made = values.setdefault(stage.number, [])
    for task in _tasks(stage):
        inputs: list[Any] = []
        read = at_once = count = 0
        for edge in stage.edges:
            producer = stages[edge.producer]
            items = [values[edge.producer][i] for i in stage.reads(task, edge, producer)]
            if edge.pieces:
                flat = stage.flat_original(task)
                items = [pieces[flat] for pieces in items]
            sizes = list(map(nbytes, items))
            read += sum(sizes) if edge.delivery != "turn" else 0
            at_once += max(sizes, default=0) if edge.delivery == "turn" else sum(sizes)
            count += len(items)
            if edge.delivery == "one":
                (item,) = items
                inputs.append(item)
            else:
                inputs.append(iter(items) if edge.delivery == "turn" else items)
            del items
        pool = pa.proxy_memory_pool(pa.system_memory_pool())
        _pools.append(pool)
        before = pa.default_memory_pool()
        pa.set_memory_pool(pool)
        gc.collect(0)
        base, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        try:
            value = stage.program(stage.index(task), inputs)
        finally:
            _, peak = tracemalloc.get_traced_memory()
            pa.set_memory_pool(before)
        made.append(value)
        held = at_once + max(0, peak - base) + (pool.max_memory() or 0)
        # A source hands out views of what exists: then the value is larger than what was allocated.
        reports.append(TaskReport(stage.name, task, count, read, max(held, nbytes(value))))
