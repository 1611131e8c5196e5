"""Judgement: which value leaves memory first, and which task may overtake another.

Pure questions about the records; the machine acts on the answers.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator, Mapping, Sequence
from typing import Final, TypeAlias

from nbscale.scheduler.ledger import Ledger, inputs_of
from nbscale.scheduler.records import RunRecord, StageRecord
from nbscale.scheduler.states import GONE, HELD, LOST, PARKED, READY, WAITING

__all__ = [
    "MOST_DROPS",
    "MOST_OVERTAKEN",
    "Pins",
    "Victim",
    "can_be_made_again",
    "candidates",
    "frees_more_than_it_makes",
    "may_be_dropped",
    "victims",
    "worth_it",
]

MOST_DROPS: Final = 2
"""A value is dropped to be made again at most so often."""

MOST_OVERTAKEN: Final = 8
"""The head of the queue is overtaken at most so often by tasks that fill memory."""

_LARGEST_CONE: Final = 64
"""To make a value again at most so many tasks may be needed."""

_SMALLEST_SHARE: Final = 64
"""A value smaller than this part of the room that is missing makes no difference."""

_LOOK_AHEAD: Final = 8
_MOST_READERS: Final = 32
_LAST: Final = 4

Victim: TypeAlias = tuple[float, int, int, int]
"""A value that could leave: position of what needs it next, run, stage, task."""


class Pins:
    """Values that may not leave memory: somebody reads them or is about to."""

    def __init__(self) -> None:
        self.values: set[tuple[int, int, int]] = set()
        self.stages: set[tuple[int, int]] = set()

    def add_inputs(self, run: int, record: StageRecord, task: int) -> None:
        """Pin what a task reads."""
        for w, producer in record.ins + record.common_ins:
            if w.common and w.block is None:
                self.stages.add((run, w.producer))
            else:
                self.values.update((run, w.producer, j) for j in w.numbers(task, producer.n))

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
                    found.append((_next_use(record, task), run.number, record.number, task))
    found.sort()
    return found


def worth_it(
    runs: Mapping[int, RunRecord],
    found: Sequence[Victim],
    missing: int,
    least: float,
    *,
    alone: bool,
) -> list[Victim]:
    """Of the values that could leave, those that should, the first to leave first.

    Only values needed behind position `least`. Small ones stay if they make no difference. If all
    together do not make the room that is missing, none leaves as long as something else runs: what
    runs will make room, too.
    """
    open_ = [v for v in found if v[0] > least]
    sizes = {v: runs[v[1]].stages[v[2]].size[v[3]] for v in open_}
    large = [v for v in open_ if sizes[v] * _SMALLEST_SHARE >= missing]
    enough = sum(sizes.values()) >= missing
    if not enough and not alone:
        return []
    if not enough or sum(sizes[v] for v in large) >= missing:
        open_ = large
    return open_[::-1]


def may_be_dropped(record: StageRecord, task: int) -> bool:
    """Whether a value may be dropped and made again, once more."""
    return record.repeatable and record.dropped.get(task, 0) < MOST_DROPS


def _next_use(record: StageRecord, task: int) -> float:
    """Position of the first task that still has to read a value; infinite if none is known."""
    when = float("inf")
    for w, reader in record.outs_of(task):
        for i in itertools.islice(w.readers(task), _MOST_READERS):
            if reader.state[i] <= PARKED and reader.position[i] < when:
                when = min(when, _begins(reader, i))
    for w, reader in record.common_outs:
        if reader.undone and w.covers(task):
            when = min(when, _begins(reader, 0))
    return when


def _begins(record: StageRecord, task: int) -> float:
    """Position at which a task can begin: its own, or that of the last it waits for, if later.

    A task that reads all of a stage stands beside the first of it, and begins after the last.
    """
    when = record.position[task]
    if record.state[task] == WAITING:
        for w, producer in record.ins:
            for j in w.reads(task)[-_LAST:]:
                if producer.state[j] <= PARKED:
                    when = max(when, producer.position[j])
        for w, producer in record.common_ins:
            read = range(producer.n) if w.block is None else w.block
            last = next(reversed(read), None)
            if last is not None and producer.state[last] <= PARKED:
                when = max(when, producer.position[last])
    return when


def can_be_made_again(record: StageRecord, task: int, ledger: Ledger) -> bool:
    """Whether making a value again is possible: few tasks, each of which can run alone."""
    cone = {(record.number, task)}
    stack = [(record, task)]
    while stack:
        record, task = stack.pop()
        inputs = inputs_of(record, task)
        if inputs + ledger.output(record, inputs) > ledger.limit:
            return False
        for w, producer in record.ins + record.common_ins:
            for j in w.numbers(task, producer.n):
                if producer.state[j] in (GONE, LOST) and (w.producer, j) not in cone:
                    if len(cone) == _LARGEST_CONE or not producer.repeatable:
                        return False
                    cone.add((w.producer, j))
                    stack.append((producer, j))
    return True


def candidates(run: RunRecord, blocked: tuple[int, int]) -> Generator[tuple[StageRecord, int]]:
    """The next ready tasks of a run behind the blocked one; the queue is as before in the end.

    A task may be given out between two steps: it is ready no more, and its entry is skipped later.
    """
    seen: dict[tuple[int, int], StageRecord] = {}
    try:
        while len(seen) <= _LOOK_AHEAD:
            head = run.take_first()
            if head is None:
                break
            record, task = head
            if (record.number, task) in seen:
                continue
            seen[record.number, task] = record
            if (record.number, task) != blocked:
                yield record, task
    finally:
        for (_, task), record in seen.items():
            if record.state[task] == READY:
                heapq.heappush(run.queue, record.entry(task))


def frees_more_than_it_makes(record: StageRecord, task: int, output: int) -> bool:
    """Whether less is held when a task is done than when it starts."""
    freed = 0
    for w, producer in record.ins:
        if producer.simple:
            freed += sum(producer.size.get(j, 0) for j in w.reads(task) if producer.uses[j] == 1)
    for w, producer in record.common_ins:
        alone = len(producer.common_outs) == 1 and not producer.outs and not producer.keep
        if alone and record.undone == 1 and w.block is None:
            freed += producer.nbytes
    leaves = record.delivered is not None and not record.uses[task] and not record.common_outs
    return freed > (0 if leaves and not record.keep else output)
