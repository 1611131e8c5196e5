"""The simplest thing that runs a job: one task after the other, everything kept. For tests only."""

from __future__ import annotations

from typing import Any

from nbscale.graph.job import Done, Failure, Observation, Replan
from nbscale.graph.stage import Stage
from nbscale.plan.jobs import Learned, PlanJob
from nbscale.plan.rewrite import rewrite
from nbscale.plan.rules import RULES


def run_nodes(*nodes: Any, rules: Any = RULES) -> list[list[Any]]:
    """The values of each node, as lists in C order."""
    roots, _ = rewrite(nodes, rules, {})
    job = PlanJob(roots, {}, Learned())
    return run_job(job, len(nodes))


def run_job(job: PlanJob, results: int) -> list[list[Any]]:
    stages: dict[int, Stage] = {}
    values: dict[int, list[Any]] = {}
    watches: list[Any] = []
    seen: Any = None
    while True:
        reply = job.step(seen)
        if isinstance(reply, Done):
            raise reply.error or RuntimeError("done without a result")
        for number in reply.retract:
            values.pop(number, None)
        watches = [w for w in watches if w.stage not in reply.retract] + list(reply.watches)
        failure = None
        for stage in reply.stages:
            stages[stage.number] = stage
            try:
                values[stage.number] = _run_stage(stage, stages, values)
            except Replan as signal:
                failure = Failure(stage.number, 0, signal)
                break
        if failure is not None:
            seen = failure
            continue
        if not watches:
            break
        watch = watches.pop(0)
        seen = Observation(watch.stage, tuple(values[watch.stage]))
    found: list[list[Any]] = [[] for _ in range(results)]
    for number, stage in stages.items():
        if stage.result is not None and number in values:
            found[stage.result] = values[number]
    return found


def _run_stage(stage: Stage, stages: dict[int, Stage], values: dict[int, list[Any]]) -> list[Any]:
    made: list[Any] = []
    values[stage.number] = made
    for task in range(stage.n_tasks):
        inputs = []
        for edge in stage.edges:
            producer = stages[edge.producer]
            items = [values[edge.producer][i] for i in stage.reads(task, edge, producer)]
            if edge.pieces:
                flat = stage.flat_original(task)
                items = [pieces[flat] for pieces in items]
            if edge.delivery == "one":
                (item,) = items
                inputs.append(item)
            else:
                inputs.append(iter(items) if edge.delivery == "turn" else items)
        made.append(stage.program(stage.index(task), inputs))
    return made


def compute(collection: Any) -> Any:
    """What ``collection.compute()`` gives, without an engine."""
    roots, _ = rewrite([collection._node], RULES, {})
    job = PlanJob(roots, {}, Learned())
    (values,) = run_job(job, 1)
    gather = collection._gather(job.roots[0])
    for flat, value in enumerate(values):
        index = []
        rest = flat
        for n in reversed(job.roots[0].grid):
            rest, i = divmod(rest, n)
            index.append(i)
        gather.take(tuple(reversed(index)), value)
    return gather.result()
