"""The scheduler's long checks: every numbering of the small worlds, and many random runs."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Inputs, Measured, peer, workload


@workload("small_worlds", options={"tasks": 4}, reference="nbscale")
def small_worlds(_value: Any) -> dict[str, float]:
    """Every way every graph of four tasks can go on two workers, each fault once."""
    return {}


@peer("small_worlds", "nbscale")
def _every_graph(inputs: Inputs):
    from nbscale.testing.worlds import all_graphs, explore

    def run() -> Measured:
        states = signals = 0
        graphs = all_graphs(inputs["tasks"])
        for graph in graphs:
            explored = explore(graph)
            states += explored.states
            signals += explored.signals
        return Measured(None, {"graphs": len(graphs), "states": states, "signals": signals})

    return run


@workload("simulations", options={"runs": 10_000}, reference="nbscale")
def simulations(_value: Any) -> dict[str, float]:
    """Random jobs with random faults through the scheduler, checked after every signal."""
    return {}


@peer("simulations", "nbscale")
def _many_seeds(inputs: Inputs):
    from nbscale.testing.random_jobs import check_seed

    def run() -> Measured:
        signals = 0
        for seed in range(inputs["runs"]):
            signals += len(check_seed(seed).log)
        return Measured(None, {"signals": signals})

    return run
