"""Checks everything that must hold in the machine between two signals, the slow and sure way.

Every count is counted again from the states and the stages' own maps; then the rules that keep a
run from getting stuck: nothing ready is outside the queue (no lost wake-up), P1 a running task has
its inputs in memory and its memory promised, P2 a value is dropped to be made again at most twice,
P3 whenever something is ready and a worker is free something runs, P4 the head of the queue is
overtaken at most eight times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from nbscale.graph.axismap import All, At
from nbscale.graph.stage import Stage
from nbscale.scheduler import policy
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import TaskId
from nbscale.scheduler.records import RunRecord, StageRecord
from nbscale.scheduler.states import (
    FETCHING,
    HELD,
    LOADING,
    LOST,
    PARKED,
    READY,
    RETRACTED,
    RUNNING,
    SPILLED,
    SPILLING,
    STATES,
    WAITING,
    exists,
)

__all__ = ["Checker", "validate"]

_Edge: TypeAlias = tuple[int, bool, list[Sequence[int]], bool]
"""The producer, whether all tasks read the same, what each task reads, and whether in pieces."""

_IN_MEMORY = (HELD, SPILLING, LOADING)


def validate(machine: Machine) -> None:
    """Check the machine; AssertionError says what does not hold. Costs a look at every edge."""
    Checker().check(machine)


class Checker:
    """Checks machines again and again; remembers what the stages' maps say."""

    def __init__(self) -> None:
        # By identity: hashing a stage costs more. The stage is kept, so that its id stays its own.
        self._reads: dict[int, tuple[Stage, list[_Edge]]] = {}

    def check(self, machine: Machine) -> None:
        """AssertionError says what does not hold."""
        for run in machine.runs.values():
            self._check_run(run)
        _check_hands(machine)
        _check_memory(machine)
        self._check_rules(machine)

    def _edges(self, run: RunRecord, record: StageRecord) -> list[_Edge]:
        stage = record.stage
        known = self._reads.get(id(stage))
        if known is not None:
            return known[1]
        found: list[_Edge] = []
        for edge in stage.edges:
            producer = run.stages[edge.producer].stage
            common = producer is not stage and all(isinstance(m, (All, At)) for m in edge.maps)
            reads: list[Sequence[int]] = [
                [int(j) for j in stage.reads(t, edge, producer)] for t in range(record.n)
            ]
            found.append((edge.producer, common, reads, edge.pieces))
        self._reads[id(stage)] = (stage, found)
        return found

    # One run -------------------------------------------------------------------------------

    def _check_run(self, run: RunRecord) -> None:
        uses: list[list[int]] = [[0] * record.n for record in run.stages]
        for record in run.stages:
            for producer, common, reads, _ in self._edges(run, record):
                if not common:
                    for task, state in enumerate(record.state):
                        if state <= PARKED:
                            for j in reads[task]:
                                uses[producer][j] += 1
        queued = {(-minus, task) for _, minus, task in run.queue}
        for record in run.stages:
            self._check_counts(run, record)
            for task in range(record.n):
                self._check_task(run, record, task, uses[record.number][task])
                if record.state[task] == READY and not run.outcome:
                    listed = (record.number, record.head) in queued
                    if (record.number, task) not in queued and not (
                        listed and task in record.rest[record.at :]
                    ):
                        _fail(run, record, task, "is ready but not in the queue")
        left = sum(r.n - sum(r.delivered) for r in run.stages if r.delivered is not None)
        _check(run.undelivered == left, "undelivered", run.undelivered, left)

    def _check_counts(self, run: RunRecord, record: StageRecord) -> None:
        state = record.state
        counts = [state.count(s) for s in range(len(STATES))]
        where = f"run {run.number}, stage {record.number}:"
        undone = sum(counts[: PARKED + 1])
        _check(record.undone == undone, where, "undone", record.undone, undone)
        absent = counts[SPILLING] + counts[SPILLED] + counts[LOADING] + counts[LOST]
        _check(record.absent == absent, where, "absent", record.absent, absent)
        busy = counts[FETCHING] + counts[RUNNING]
        _check(record.busy == busy, where, "busy", record.busy, busy)
        nbytes = sum(record.size.values())
        _check(record.nbytes == nbytes, where, "bytes", record.nbytes, nbytes)
        slot = 0
        for number, common, reads, _ in self._edges(run, record):
            if common:
                producer = run.stages[number]
                block = reads[0] if record.n else []
                missing = sum(not exists(producer.state[j]) for j in block)
                right = record.gates[slot] == missing or record.retracted or not record.n
                _check(right, where, "gate", slot, record.gates[slot], missing)
                slot += 1
        _check(record.closed == sum(g > 0 for g in record.gates), where, "closed")

    def _check_task(self, run: RunRecord, record: StageRecord, task: int, uses: int) -> None:
        state = record.state[task]
        if record.retracted or state == RETRACTED:
            if not record.retracted or state not in (RETRACTED, SPILLING, LOADING):
                _fail(run, record, task, "retracted, or not")
            return
        if record.uses[task] != uses:
            _fail(run, record, task, f"has {record.uses[task]} uses, not {uses}")
        if (task in record.size) != exists(state):
            _fail(run, record, task, "has a size, or none")
        if record.dropped.get(task, 0) > policy.MOST_DROPS:
            _fail(run, record, task, "P2: was dropped too often")
        if run.outcome:
            return
        if state <= PARKED:
            pending = sum(
                not exists(run.stages[number].state[j])
                for number, common, reads, _ in self._edges(run, record)
                if not common
                for j in reads[task]
            )
            if state in (WAITING, PARKED):
                if record.pending[task] != pending:
                    _fail(run, record, task, f"waits for {record.pending[task]}, not {pending}")
            elif state == RUNNING and any(edge.pieces for edge in record.stage.edges):
                pass  # a piece may be read from a file that was found broken meanwhile
            elif pending or record.closed:
                _fail(run, record, task, "has inputs that do not exist")
            if state == WAITING and not pending and not record.closed:
                _fail(run, record, task, "a lost wake-up: it waits for nothing")
        moves = state in (RUNNING, PARKED, SPILLING, LOADING)
        if not moves and not record.is_needed(task) and (state <= PARKED or exists(state)):
            _fail(run, record, task, "is needed by nobody")

    def _check_rules(self, machine: Machine) -> None:
        given = [t for w in machine.workers.values() for t in w.queue]
        for name in [*given, *machine.fetching]:
            run = machine.runs[name.run]
            record = run.stages[name.stage]
            fetching = record.state[name.task] == FETCHING
            missing = set()
            for producer, _, reads, pieces in self._edges(run, record):
                there: tuple[int, ...] = (HELD,)
                if run.stages[producer].pieces:
                    there = (HELD, SPILLED)
                if pieces and not fetching:
                    # It may read from a file that was found broken or brought back meanwhile.
                    there = tuple(s for s in range(len(STATES)) if s != SPILLING)
                for j in reads[name.task]:
                    state = run.stages[producer].state[j]
                    if state not in there:
                        missing.add((producer, j))
                        if not fetching or state not in (LOADING, SPILLING):
                            _fail(run, record, name.task, f"P1: reads {producer}, {j}: {state}")
            if fetching:
                fetch = machine.fetching[name]
                _check(fetch.missing == len(missing), name, fetch, missing)
                _check((name in machine.fetched) == (not missing), name, "fetched")
        _check(machine.overtaken <= policy.MOST_OVERTAKEN, "P4: overtaken", machine.overtaken)
        idle = not machine.fetching and not any(r.outside for r in machine.runs.values())
        if machine.free and idle:
            for run in machine.runs.values():
                for record in run.stages:
                    at = record.state.find(READY)
                    if at >= 0:
                        _fail(run, record, at, "P3: and a worker are idle")


def _check(holds: bool, *what: object) -> None:
    if not holds:
        raise AssertionError(*what)


def _fail(run: RunRecord, record: StageRecord, task: int, what: str) -> None:
    state = STATES[record.state[task]]
    raise AssertionError(f"run {run.number}, stage {record.number}, task {task} ({state}): {what}")


def _check_hands(machine: Machine) -> None:
    """Who has which task, and what is outside the machine."""
    running: Counter[TaskId] = Counter()
    outside: Counter[int] = Counter()
    for worker in machine.workers.values():
        running.update(list(worker.queue))
        _check(not (worker.frozen and worker.queue), "frozen and at work", worker)
        _check(set(worker.told) <= set(worker.leftover), "told", worker)
        _check(worker.queue.keys().isdisjoint(worker.leftover), "has a task twice", worker)
        moves = not (worker.frozen or worker.doomed or worker.leftover)
        has_room = moves and len(worker.queue) < worker.most
        _check((worker.number in machine.free) == has_room, "free, or not", worker)
        if not worker.frozen:
            outside.update(t.run for t in worker.queue)
            outside.update(t.run for t in worker.leftover if t.run in machine.runs)
    _check(set(machine.free) <= set(machine.workers), "a worker that left is free")
    for run in machine.runs.values():
        for record in run.stages:
            for task, state in enumerate(record.state):
                if state in (RUNNING, FETCHING) and not run.outcome:
                    name = TaskId(run.number, record.number, task)
                    where = running.pop(name, 0) if state == RUNNING else name in machine.fetching
                    if where != 1:
                        _fail(run, record, task, f"is given out {where} times")
                outside[run.number] += state in (SPILLING, LOADING)
        _check(run.outside == outside[run.number], "outside", run.number, run.outside)
        _check(not run.outcome or run.outside > 0, "should have ended", run.number)
        _check((run.number in machine.turn) == (not run.outcome), "turn", run.number)
    _check(not running, "workers hold tasks that do not run", list(running))
    for name in machine.anew:
        state = machine.runs[name.run].stages[name.stage].state[name.task]
        _check(state <= PARKED, name, "is made anew", STATES[state])
    for name in machine.fetching:
        state = machine.runs[name.run].stages[name.stage].state[name.task]
        _check(state == FETCHING, name, "is fetching", STATES[state])


def _check_memory(machine: Machine) -> None:
    """Bytes held, promised and on their way to the disk."""
    held = spilling = 0
    for run in machine.runs.values():
        for record in run.stages:
            for task, nbytes in record.size.items():
                held += nbytes * (record.state[task] in _IN_MEMORY)
                spilling += nbytes * (record.state[task] == SPILLING)
    promised = sum(f.reserved for f in machine.fetching.values())
    for worker in machine.workers.values():
        promised += sum(worker.queue.values()) + sum(worker.leftover.values())
    ledger = machine.ledger
    _check(ledger.held == held, "held", ledger.held, held)
    _check(machine.spilling == spilling, "spilling", machine.spilling, spilling)
    _check(ledger.promised == promised, "promised", ledger.promised, promised)
