"""Runs an expression task by task in this thread, and counts the calls of its kernels."""

from __future__ import annotations

from collections import Counter

from nbscale.collection import Collection
from nbscale.engines.task import Work
from nbscale.graph.job import Done
from nbscale.session import current


class Counted:
    """What a run gave, and how often each operation was called."""

    def __init__(self, value, calls, stages):
        self.value = value
        self.calls = calls
        self.stages = stages


def run(*wanted: Collection) -> Counted:
    """Compute the collections; the value is a list if there are several."""
    job, _ = current().plan([c._request() for c in wanted])
    gathers = {}
    calls: Counter[str] = Counter()
    works = {}

    def take(result):
        def give(index, value):
            if result not in gathers:
                gathers[result] = wanted[result]._gather(job.roots[result])
            gathers[result].take(index, value)

        return give

    reply = job.step(None)
    if isinstance(reply, Done):
        raise reply.error
    assert job.sealed, "nothing here asks for values first"
    for stage in job.stages:
        table = {}
        give = take(stage.result) if stage.result is not None else None
        work = Work(None, 0, stage, table, works, give, None)
        works[stage.number] = work
        for task in range(stage.n_tasks):
            work.execute(task)
        for step in stage.program.steps:
            calls[step.name] += stage.n_tasks
    values = [gathers[i].result() for i in range(len(wanted))]
    return Counted(values if len(values) > 1 else values[0], calls, job.stages)
