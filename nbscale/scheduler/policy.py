"""Judgement: which value leaves memory first, and which task may overtake another.

Pure questions about the records; the machine acts on the answers.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping

from nbscale.scheduler.ledger import Forecast, Ledger, inputs_of
from nbscale.scheduler.records import (
    GONE,
    HELD,
    LOST,
    PARKED,
    READY,
    RunRecord,
    StageRecord,
)
from nbscale.scheduler.wiring import Wire

__all__ = [
    "MOST_DROPS",
    "MOST_OVERTAKEN",
    "Pins",
    "Victim",
    "absent_inputs",
    "can_be_made_again",
    "candidates",
    "frees_more_than_it_makes",
    "is_needed",
    "victims",
]

MOST_DROPS = 2
"""A value is dropped to be made again at most so often."""

MOST_OVERTAKEN = 8
"""The head of the queue is overtaken at most so often by tasks that fill memory."""

_LARGEST_CONE = 64
"""To make a value again at most so many tasks may be needed."""

_LOOK_AHEAD = 8
_MOST_READERS = 32

Victim = tuple[float, int, int, int]
"""A value that could leave: when it is needed next, run, stage, task."""


def is_needed(stages: list[StageRecord], record: StageRecord, task: int) -> bool:
    """Whether somebody wants a task's value: to keep it, to have it delivered, or to read it."""
    if record.keep or record.uses[task]:
        return True
    if record.delivered is not None and not record.delivered[task]:
        return True
    return any(w.covers(task) and stages[w.consumer].undone for w in record.common_out)


def absent_inputs(
    stages: list[StageRecord], record: StageRecord, task: int
) -> list[tuple[StageRecord, int]]:
    """Values a ready task reads that exist but are not in memory, each once."""
    found: dict[tuple[int, int], StageRecord] = {}
    for w in itertools.chain(record.wires_in, record.common_in):
        producer = stages[w.producer]
        if producer.absent:
            for j in block_of(w, producer) if w.common else w.reads(task):
                if producer.state[j] != HELD:
                    found[w.producer, j] = producer
    return [(producer, j) for (_, j), producer in found.items()]


def block_of(w: Wire, producer: StageRecord) -> Iterable[int]:
    """Tasks of the block of a common wire, in order."""
    return range(producer.n) if w.block is None else sorted(w.block)


class Pins:
    """Values that may not leave memory: somebody looks at them or is about to."""

    def __init__(self) -> None:
        self.values: set[tuple[int, int, int]] = set()
        self.stages: set[tuple[int, int]] = set()

    def add_inputs(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Pin what a task reads."""
        for w in record.wires_in:
            self.values.update((run.number, w.producer, j) for j in w.reads(task))
        for w in record.common_in:
            if w.block is None:
                self.stages.add((run.number, w.producer))
            else:
                self.values.update((run.number, w.producer, j) for j in w.block)

    def hold(self, run: int, stage: int, task: int) -> bool:
        """Whether a value is pinned."""
        return (run, stage) in self.stages or (run, stage, task) in self.values


def victims(runs: Mapping[int, RunRecord], pins: Pins, *, spill: bool) -> list[Victim]:
    """Values that could leave memory, those needed last at the end. Looks at every value held."""
    found: list[Victim] = []
    for run in runs.values():
        if run.outcome:
            continue
        for record in run.stages:
            if record.pinned or record.retracted or not (spill or record.repeatable):
                continue
            for task in record.size:
                if record.state[task] != HELD or pins.hold(run.number, record.number, task):
                    continue
                if (spill and task not in record.stuck) or may_be_dropped(record, task):
                    when = next_use(run.stages, record, task)
                    found.append((when, run.number, record.number, task))
    found.sort()
    return found


def may_be_dropped(record: StageRecord, task: int) -> bool:
    """Whether a value may be dropped and made again, once more."""
    return record.repeatable and record.dropped.get(task, 0) < MOST_DROPS


def next_use(stages: list[StageRecord], record: StageRecord, task: int) -> float:
    """Position of the first task that still has to read a value; infinite if none is known."""
    when = float("inf")
    for w in record.wires_out:
        reader = stages[w.consumer]
        for i in itertools.islice(w.readers(task), _MOST_READERS):
            if reader.state[i] <= PARKED and reader.position[i] < when:
                when = reader.position[i]
    for w in record.common_out:
        reader = stages[w.consumer]
        if reader.undone and w.covers(task):
            when = min(when, reader.position[0])
    return when


def can_be_made_again(
    stages: list[StageRecord], record: StageRecord, task: int, ledger: Ledger
) -> bool:
    """Whether making a value again is possible: few tasks, each of which fits by itself."""
    cone = {(record.number, task)}
    stack = [(record, task)]
    while stack:
        record, task = stack.pop()
        if ledger.predict(record, task, inputs_of(stages, record, task)).peak > ledger.budget:
            return False
        for w in itertools.chain(record.wires_in, record.common_in):
            producer = stages[w.producer]
            reads = block_of(w, producer) if w.common else w.reads(task)
            for j in reads:
                if producer.state[j] in (GONE, LOST) and (w.producer, j) not in cone:
                    if len(cone) == _LARGEST_CONE or not producer.repeatable:
                        return False
                    cone.add((w.producer, j))
                    stack.append((producer, j))
    return True


def candidates(run: RunRecord, blocked: tuple[int, int]) -> Iterator[tuple[StageRecord, int]]:
    """The next ready tasks of a run behind the blocked one; the queue is as before in the end.

    A task may be given out between two steps: it is ready no more, and its entry is skipped later.
    """
    seen: dict[tuple[int, int], StageRecord] = {}
    try:
        for _ in range(_LOOK_AHEAD + 1):
            head = run.first_ready()
            if head is None:
                break
            record, task = head
            run.pop(record, task)
            if (record.number, task) in seen:
                continue
            seen[record.number, task] = record
            if (record.number, task) != blocked:
                yield record, task
    finally:
        for (_, task), record in seen.items():
            if record.state[task] == READY:
                heapq.heappush(run.queue, record.entry(task))


def frees_more_than_it_makes(
    stages: list[StageRecord], record: StageRecord, task: int, forecast: Forecast
) -> bool:
    """Whether less is held when a task is done than when it starts."""
    freed = 0
    for w in record.wires_in:
        producer = stages[w.producer]
        if producer.keep or producer.common_out:
            continue
        freed += sum(producer.size.get(j, 0) for j in w.reads(task) if producer.uses[j] == 1)
    for w in record.common_in:
        producer = stages[w.producer]
        alone = len(producer.common_out) == 1 and not producer.wires_out and not producer.keep
        if alone and record.undone == 1 and w.block is None:
            freed += producer.nbytes
    leaves = record.delivered is not None and not record.uses[task] and not record.common_out
    return freed > (0 if leaves and not record.keep else forecast.output)
