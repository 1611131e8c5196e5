"""What a task costs in a pool of two processes when the work itself is nothing.

Every peer is given as many tasks as take it a second or two, so ``wall_s`` of different peers says
nothing: ``us_per_task`` does.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pools import WORKERS, noop, start, starting
from benchmarks.registry import Gate, Inputs, Measured, peer, workload

_FEW = 3
"""Runs of a peer that no gate asks for."""


def _per_task(tasks: int, seconds: float) -> dict[str, float]:
    return {"tasks": tasks, "us_per_task": seconds / tasks * 1e6}


def _nothing(values: Any) -> float:
    """How many values are None."""
    return float(sum(value is None for value in values))


# Many at once -------------------------------------------------------------------------------------


@workload(
    "pool_noop",
    reference="joblib-loky",
    measure="us_per_task",
    options={"n": 100_000},
    gates=[
        Gate("us_per_task", "nbscale-map", "joblib-loky", limit=1.3),
        Gate("us_per_task", "nbscale-map", None, limit=1.0, allowance=8.0),
    ],
)
def pool_noop(value: float) -> dict[str, float]:
    """Tasks that do nothing, all handed over at once: the share of them that came back."""
    return {"share": value}


class _Job:
    """One stage and no more."""

    def __init__(self, stage: Any) -> None:
        self._stage = stage

    def step(self, seen: Any) -> Any:
        del seen
        from nbscale.graph.job import Grow

        return Grow((self._stage,), sealed=True)

    def measured(self, sizes: Any) -> None:
        """Nobody plans with them."""


def _stage(n: int) -> Any:
    from nbscale.graph.stage import Program, Stage, Step

    program = Program.of(0, [Step(noop, (), (0,), "noop")])
    return Stage(
        0, "noop", (range(n),), (n,), program, (), result=0, gil_free=False, user_code=True
    )


@peer("pool_noop", "nbscale-map")
def _nbscale_map(inputs: Inputs) -> Callable[[], Measured]:
    from nbscale.session import current

    start("nbscale")

    # A stage as the engine is given it: `map` would fuse, and `submit` send calls in batches.
    def spent(n: int) -> tuple[float, list[Any]]:
        values: list[Any] = [noop] * n
        errors: list[BaseException | None] = []
        over = threading.Event()

        def take(index: tuple[int, ...], value: Any) -> None:
            values[index[0]] = value

        def ended(error: BaseException | None) -> None:
            errors.append(error)
            over.set()

        job = _Job(_stage(n))
        began = time.perf_counter()
        current().begin(job, "noop", "measured", lambda _result: take, ended, None, n)
        over.wait()
        seconds = time.perf_counter() - began
        if errors[0] is not None:
            raise errors[0]
        return seconds, values

    spent(1000)

    def run() -> Measured:
        seconds, values = spent(inputs["n"])
        return Measured(_nothing(values) / inputs["n"], _per_task(inputs["n"], seconds))

    return run


def _timed(n: int, work: Callable[[int], float]) -> Callable[[], Measured]:
    """A run that makes n calls by ``work``, which says how many of them came back."""
    n = max(1, n)
    work(min(n, 1000))

    def run() -> Measured:
        began = time.perf_counter()
        done = work(n)
        seconds = time.perf_counter() - began
        return Measured(done / n, _per_task(n, seconds))

    return run


@peer("pool_noop", "joblib-loky")
def _joblib(inputs: Inputs) -> Callable[[], Measured]:
    from joblib import Parallel, delayed

    def work(n: int) -> float:
        return _nothing(Parallel(n_jobs=WORKERS)(delayed(noop)(i) for i in range(n)))

    with starting("joblib-loky"):
        work(1000)
    return _timed(inputs["n"], work)


def _same(block: Any) -> Any:
    return block


@peer("pool_noop", "nbscale-array", most=_FEW)
def _nbscale_array(inputs: Inputs) -> Callable[[], Measured]:
    import nbscale.array as na

    start("nbscale")

    def work(n: int) -> float:
        return float(na.ones((n,), chunks=1).map_blocks(_same).compute(engine="local").sum())

    return _timed(inputs["n"], work)


@peer("pool_noop", "nbscale-delayed", most=_FEW)
def _nbscale_delayed(inputs: Inputs) -> Callable[[], Measured]:
    ns = start("nbscale").home

    def work(n: int) -> float:
        return float(ns.delayed(_nothing)([ns.delayed(noop)(i) for i in range(n)]).compute())

    return _timed(inputs["n"] // 5, work)


@peer("pool_noop", "nbscale-delayed-each", most=_FEW)
def _nbscale_delayed_each(inputs: Inputs) -> Callable[[], Measured]:
    # Every call a result of its own, in the place of one call that is given all of them.
    ns = start("nbscale").home

    def work(n: int) -> float:
        return _nothing(ns.compute(*[ns.delayed(noop)(i) for i in range(n)]))

    return _timed(inputs["n"] // 100, work)


@peer("pool_noop", "distributed", most=_FEW)
def _distributed(inputs: Inputs) -> Callable[[], Measured]:
    client = start("distributed").home

    def work(n: int) -> float:
        return _nothing(client.gather(client.map(noop, range(n), pure=False)))

    return _timed(inputs["n"] // 20, work)


@peer("pool_noop", "ray", most=_FEW)
def _ray(inputs: Inputs) -> Callable[[], Measured]:
    ray = start("ray").home
    remote = ray.remote(noop)

    def work(n: int) -> float:
        return _nothing(ray.get([remote.remote(i) for i in range(n)]))

    return _timed(inputs["n"] // 20, work)


@peer("pool_noop", "ipyparallel", most=_FEW)
def _ipyparallel(inputs: Inputs) -> Callable[[], Measured]:
    view = start("ipyparallel").home.load_balanced_view()

    def work(n: int) -> float:
        return _nothing(view.map_sync(noop, range(n)))

    return _timed(inputs["n"] // 50, work)


@peer("pool_noop", "ipyparallel-direct", most=_FEW)
def _ipyparallel_direct(inputs: Inputs) -> Callable[[], Measured]:
    # It cuts the items into one piece an engine: two messages, and a loop at the other end.
    view = start("ipyparallel").home[:]

    def work(n: int) -> float:
        return _nothing(view.map_sync(noop, range(n)))

    return _timed(inputs["n"], work)


@peer("pool_noop", "executor", most=_FEW)
def _executor(inputs: Inputs) -> Callable[[], Measured]:
    executor = start("executor").home

    def work(n: int) -> float:
        return _nothing(executor.map(noop, range(n), chunksize=1))

    return _timed(inputs["n"] // 10, work)


# One call after the other -------------------------------------------------------------------------


@workload(
    "pool_submit",
    reference="executor",
    measure="us_per_task",
    options={"n": 10_000},
    gates=[Gate("us_per_task", "nbscale", None, limit=1.0, allowance=30.0)],
)
def pool_submit(value: float) -> dict[str, float]:
    """A call submitted for each of many items, and all results gathered: the share that came."""
    return {"share": value}


@workload(
    "pool_round_trip",
    reference="executor",
    measure="ms_each",
    options={"n": 300},
    gates=[Gate("ms_each", "nbscale", "executor", limit=1.0)],
)
def pool_round_trip(value: float) -> dict[str, float]:
    """One call there and back, again and again: the median of milliseconds."""
    return {"share": value}


@workload(
    "pool_tree",
    reference="nbscale",
    measure="us_per_task",
    options={"leaves": 8192},
)
def pool_tree(value: float) -> dict[str, float]:
    """Sums of two over sums of two, down to one call a leaf, all handed over before any is done."""
    return {"mean": value}


def _submit(name: str, less: int) -> Callable[[Inputs], Callable[[], Measured]]:
    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        pool = start(name)

        def work(n: int) -> float:
            return _nothing(pool.gather([pool.submit(noop, i) for i in range(n)]))

        return _timed(inputs["n"] // less, work)

    return prepare


def _round_trip(name: str) -> Callable[[Inputs], Callable[[], Measured]]:
    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        pool = start(name)
        for i in range(50):
            pool.result(pool.submit(noop, i))

        def run() -> Measured:
            seconds, values = [], []
            for i in range(inputs["n"]):
                began = time.perf_counter()
                values.append(pool.result(pool.submit(noop, i)))
                seconds.append(time.perf_counter() - began)
            share = _nothing(values) / inputs["n"]
            return Measured(share, {"ms_each": statistics.median(seconds) * 1e3})

        return run

    return prepare


def leaf(number: int) -> int:
    """Give a leaf of the tree."""
    return number


def add(left: int, right: int) -> int:
    """Give the sum of two."""
    return left + right


def _tree(call: Callable[..., Any], leaves: int) -> Any:
    """The one future that holds the sum of all leaves."""
    row = [call(leaf, i) for i in range(leaves)]
    while len(row) > 1:
        row = [call(add, left, right) for left, right in zip(row[::2], row[1::2], strict=True)]
    return row[0]


def _tree_by(
    name: str, grow: Callable[[Any, int], int]
) -> Callable[[Inputs], Callable[[], Measured]]:
    def prepare(inputs: Inputs) -> Callable[[], Measured]:
        pool = start(name)
        grow(pool, 256)

        def run() -> Measured:
            leaves = inputs["leaves"]
            began = time.perf_counter()
            total = grow(pool, leaves)
            seconds = time.perf_counter() - began
            return Measured(total / leaves, _per_task(2 * leaves - 1, seconds))

        return run

    return prepare


def _grow_futures(pool: Any, leaves: int) -> int:
    return pool.result(_tree(pool.submit, leaves))


def _grow_delayed(pool: Any, leaves: int) -> int:
    return _tree(lambda function, *args: pool.home.delayed(function)(*args), leaves).compute()


for _name, _less in (
    ("nbscale", 1),
    ("executor", 1),
    ("loky", 2),
    ("distributed", 4),
    ("ray", 4),
    ("ipyparallel", 10),
):
    peer("pool_submit", _name, most=None if _name == "nbscale" else _FEW)(_submit(_name, _less))
    peer("pool_round_trip", _name, most=None if _name in {"nbscale", "executor"} else _FEW)(
        _round_trip(_name)
    )
# The others take no futures as arguments.
for _name in ("nbscale", "distributed", "ray"):
    peer("pool_tree", _name, most=_FEW)(_tree_by(_name, _grow_futures))
peer("pool_tree", "nbscale-delayed", most=_FEW)(_tree_by("nbscale", _grow_delayed))
