"""What a task costs as the graph grows, and what a graph costs before anything runs.

The work itself is nothing: chunks of one number. ``us_per_task`` is the wall time of building,
planning and running, divided by the tasks that were run, ``cpu_us_per_task`` the CPU time; ``us_per_chunk`` by the chunks of the
expression, which are the same for every peer.
"""

from __future__ import annotations

import gc
import time
from typing import Any

from benchmarks.registry import Gate, Inputs, Measured, peer, workload

_SIZES = (1_000, 10_000, 100_000, 1_000_000)


def _named(n: int) -> str:
    """Ten to the power of something: 1e4."""
    return f"1e{len(str(n)) - 1}"


@workload(
    "graph_growth",
    reference="nbscale-inline-1e4",
    gates=[
        Gate(measure, f"nbscale-{engine}-1e6", f"nbscale-{engine}-1e4", limit=1.3)
        for engine in ("inline", "threads")
        for measure in ("us_per_task", "cpu_us_per_task")
    ],
)
def graph_growth(value: Any) -> dict[str, float]:
    """The sum of n chunks of one number: cost per task at a thousand to a million tasks."""
    return {"mean": float(value)}


@workload(
    "graph_plan",
    reference="nbscale-map-1e6",
    gates=[
        Gate("plan_s", "nbscale-map-1e6", None, limit=1.0, allowance=2.0),
        Gate("grown_mb", "nbscale-map-1e6", None, limit=1.0, allowance=50.0),
        Gate("plan_s", "nbscale-reduce-1e6", None, limit=1.0, allowance=2.0),
        Gate("grown_mb", "nbscale-reduce-1e6", None, limit=1.0, allowance=50.0),
    ],
)
def graph_plan(_value: Any) -> dict[str, float]:
    """An expression over a million chunks, built and planned but not run; a long chain, run."""
    return {}


def _times(n: int) -> int:
    """How often a small graph is run in one timing: else a hiccup is a third of it."""
    return max(1, 100_000 // n)


def _measures(chunks: int, tasks: int, wall: float, cpu: float) -> dict[str, float]:
    return {
        "tasks": tasks,
        "us_per_task": wall / tasks * 1e6,
        "cpu_us_per_task": cpu / tasks * 1e6,
        "us_per_chunk": wall / chunks * 1e6,
    }


def _nbscale(n: int, engine: str):
    def prepare(_inputs: Inputs):
        import nbscale as ns
        import nbscale.array as na

        # The first run starts the engine's threads and fills caches; that is not a task's cost.
        (na.ones((8,), chunks=1) + 1).sum().compute(engine=engine)

        times = _times(n)

        def run() -> Measured:
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(times):
                value = (na.ones((n,), chunks=1) + 1).sum().compute(engine=engine)
            spent, cpu = time.perf_counter() - began, time.process_time() - cpu
            tasks = times * ns.runs()[-1].tasks
            return Measured(value / n, _measures(n * times, tasks, spent, cpu))

        return run

    return prepare


def _dask(n: int):
    def prepare(_inputs: Inputs):
        import dask
        import dask.array as da

        (da.ones(8, chunks=1) + 1).sum().compute(scheduler="threads")

        def run() -> Measured:
            began, cpu = time.perf_counter(), time.process_time()
            total = (da.ones(n, chunks=1) + 1).sum()
            value = total.compute(scheduler="threads")
            spent, cpu = time.perf_counter() - began, time.process_time() - cpu
            tasks = len(dask.optimize(total)[0].__dask_graph__())
            return Measured(value / n, _measures(n, tasks, spent, cpu))

        return run

    return prepare


for _n in _SIZES:
    for _engine in ("inline", "threads"):
        peer("graph_growth", f"nbscale-{_engine}-{_named(_n)}")(_nbscale(_n, _engine))
peer("graph_growth", "dask-threads-1e3")(_dask(1_000))
peer("graph_growth", "dask-threads-1e4")(_dask(10_000))
# A minute and a half a run: enough to see where it goes, too slow to do nine times.
peer("graph_growth", "dask-threads-3e4", most=1)(_dask(30_000))


def _map(n: int):
    import nbscale.array as na

    return na.ones((n,), chunks=1) * 2 + 1


def _reduce(n: int):
    return _map(n).sum()


def _planned(make: Any, n: int):
    def prepare(_inputs: Inputs):
        from nbscale.session import current

        def plan(size: int) -> int:
            # What `compute` does up to the point where it would hand stages to an engine.
            job, _ = current().plan([make(size)._request()])  # noqa: SLF001 - no public verb plans without words
            job.step(None)
            return sum(stage.n_tasks for stage in job.stages)

        plan(8)
        gc.collect()

        def run() -> Measured:
            began = time.perf_counter()
            tasks = plan(n)
            return Measured(None, {"plan_s": time.perf_counter() - began, "tasks": tasks})

        return run

    return prepare


peer("graph_plan", "nbscale-map-1e6")(_planned(_map, 1_000_000))
peer("graph_plan", "nbscale-reduce-1e6")(_planned(_reduce, 1_000_000))


@peer("graph_plan", "nbscale-chain-1e5")
def _chain(_inputs: Inputs):
    import nbscale.array as na

    def run() -> Measured:
        operations = 100_000
        x = na.ones((10,))
        began = time.perf_counter()
        for _ in range(operations):
            x = x + 1
        built = time.perf_counter()
        value = x.compute()
        done = time.perf_counter()
        assert float(value[0]) == operations + 1
        measures = {
            "us_per_operation_built": (built - began) / operations * 1e6,
            "us_per_operation_run": (done - built) / operations * 1e6,
        }
        return Measured(value, measures)

    return run


@peer("graph_plan", "dask-map-1e5")
def _dask_plan(_inputs: Inputs):
    import dask
    import dask.array as da

    def run() -> Measured:
        began = time.perf_counter()
        (best,) = dask.optimize(da.ones(100_000, chunks=1) * 2 + 1)
        tasks = len(best.__dask_graph__())
        return Measured(None, {"plan_s": time.perf_counter() - began, "tasks": tasks})

    return run
