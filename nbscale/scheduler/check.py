"""Checks everything that must hold in the machine between two signals, the slow and sure way.

Every count is counted again from the states and the stages' own maps; then the rules that keep a
run from getting stuck: nothing ready is outside the queue (no lost wake-up), P1 a running task has
its inputs in memory and its memory promised, P2 a value is dropped to be made again at most twice,
P3 whenever something is ready and a worker is free something runs, P4 the head of the queue is
overtaken at most eight times.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from nbscale.graph.axismap import All, At
from nbscale.graph.stage import Edge
from nbscale.scheduler import policy
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import TaskId
from nbscale.scheduler.records import (
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
    RunRecord,
    StageRecord,
)

__all__ = ["validate"]


def validate(machine: Machine) -> None:
    """Check the machine; AssertionError says what does not hold. Costs a look at every edge."""
    for run in machine.runs.values():
        _check_run(run)
    _check_hands(machine)
    _check_memory(machine)
    _check_rules(machine)


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _name(run: RunRecord, record: StageRecord, task: int) -> str:
    state = STATES[record.state[task]]
    return f"run {run.number}, stage {record.number}, task {task} ({state})"


def _reads(run: RunRecord, record: StageRecord, task: int, edge: Edge) -> Iterator[int]:
    return map(int, record.stage.reads(task, edge, run.stages[edge.producer].stage))


def _is_common(record: StageRecord, edge: Edge) -> bool:
    itself = edge.producer == record.number
    return not itself and all(isinstance(m, (All, At)) for m in edge.maps)


def _exists(state: int) -> bool:
    return HELD <= state <= LOST


# One run -----------------------------------------------------------------------------------


def _check_run(run: RunRecord) -> None:
    uses: Counter[tuple[int, int]] = Counter()
    for record in run.stages:
        for edge in record.stage.edges:
            if not _is_common(record, edge):
                for task in range(record.n):
                    if record.state[task] <= PARKED:
                        uses.update((edge.producer, j) for j in _reads(run, record, task, edge))
    queued = {(-minus, task) for _, minus, task in run.queue}
    for record in run.stages:
        _check_counts(run, record)
        for task in range(record.n):
            _check_task(run, record, task, uses[record.number, task])
            if record.state[task] == READY and not run.outcome:
                found = (record.number, task) in queued or (
                    (record.number, record.head) in queued and task in record.rest[record.at :]
                )
                _check(found, f"{_name(run, record, task)} is ready but not in the queue")
    undelivered = sum(r.n - sum(r.delivered) for r in run.stages if r.delivered is not None)
    _check(run.undelivered == undelivered, f"run {run.number}: undelivered {run.undelivered}")


def _check_counts(run: RunRecord, record: StageRecord) -> None:
    where = f"run {run.number}, stage {record.number}"
    state = record.state
    _check(record.undone == sum(s <= PARKED for s in state), f"{where}: undone {record.undone}")
    absent = sum(s in (SPILLING, SPILLED, LOADING, LOST) for s in state)
    _check(record.absent == absent, f"{where}: absent {record.absent}, not {absent}")
    busy = sum(s in (FETCHING, RUNNING) for s in state)
    _check(record.busy == busy, f"{where}: busy {record.busy}, not {busy}")
    _check(record.nbytes == sum(record.size.values()), f"{where}: bytes")
    _check(set(record.size) <= set(range(record.n)), f"{where}: sizes")
    slot = 0
    for edge in record.stage.edges:
        if _is_common(record, edge):
            producer = run.stages[edge.producer]
            block = list(_reads(run, record, 0, edge)) if record.n else []
            missing = sum(not _exists(producer.state[j]) for j in block)
            right = record.gates[slot] == missing or record.retracted or not record.n
            _check(right, f"{where}: gate {slot} is {record.gates[slot]}, not {missing}")
            slot += 1
    _check(record.closed == sum(g > 0 for g in record.gates), f"{where}: closed")


def _check_task(run: RunRecord, record: StageRecord, task: int, uses: int) -> None:
    state = record.state[task]
    name = _name(run, record, task)
    _check(record.retracted or state != RETRACTED, f"{name}: not retracted")
    if record.retracted:
        _check(state in (RETRACTED, SPILLING, LOADING), f"{name}: retracted")
        return
    _check(record.uses[task] == uses, f"{name}: uses {record.uses[task]}, not {uses}")
    _check((task in record.size) == _exists(state), f"{name}: size")
    _check(record.dropped.get(task, 0) <= policy.MOST_DROPS, f"{name}: P2: dropped too often")
    if run.outcome:
        return
    if state <= PARKED:
        pending = 0
        for edge in record.stage.edges:
            if not _is_common(record, edge):
                producer = run.stages[edge.producer]
                reads = _reads(run, record, task, edge)
                pending += sum(not _exists(producer.state[j]) for j in reads)
        ready = not pending and not record.closed
        if state in (WAITING, PARKED):
            _check(record.pending[task] == pending, f"{name}: pending {record.pending[task]}")
        _check(ready or state in (WAITING, PARKED), f"{name}: inputs do not exist")
        _check(state != WAITING or not ready, f"{name}: a lost wake-up")
    if state in (WAITING, READY, FETCHING) or (_exists(state) and state not in (SPILLING, LOADING)):
        _check(policy.is_needed(run.stages, record, task), f"{name}: nobody needs it")


# Workers, memory, rules --------------------------------------------------------------------


def _check_hands(machine: Machine) -> None:
    running: Counter[TaskId] = Counter()
    outside: Counter[int] = Counter()
    for worker in machine.workers.values():
        running.update(worker.queue)
        _check(not (worker.frozen and worker.queue), f"worker {worker.number} is frozen")
        _check(set(worker.told) <= set(worker.leftover), f"worker {worker.number}: told")
        given = len(worker.queue) + len(worker.leftover)
        has_room = not worker.frozen and given < machine.queue
        _check((worker.number in machine.free) == has_room, f"worker {worker.number}: free")
        if not worker.frozen:
            outside.update(t.run for t in worker.queue)
            outside.update(t.run for t in worker.leftover if t.run in machine.runs)
    _check(set(machine.free) <= set(machine.workers), "a worker that left is free")
    for run in machine.runs.values():
        for record in run.stages:
            for task, state in enumerate(record.state):
                name = TaskId(run.number, record.number, task)
                given = running.pop(name, 0)
                want = state == RUNNING and not run.outcome
                _check(given == want, f"{_name(run, record, task)}: given out {given} times")
                fetching = name in machine.fetching
                want = state == FETCHING and not run.outcome
                _check(fetching == want, f"{_name(run, record, task)}: fetching")
                outside[run.number] += state in (SPILLING, LOADING)
        _check(run.outside == outside[run.number], f"run {run.number}: outside {run.outside}")
        _check(not run.outcome or run.outside > 0, f"run {run.number} should have ended")
        _check((run.number in machine.turn) == (not run.outcome), f"run {run.number}: turn")
    _check(not running, f"workers hold tasks that are not running: {list(running)}")


def _check_memory(machine: Machine) -> None:
    held = spilling = 0
    for run in machine.runs.values():
        for record in run.stages:
            for task, nbytes in record.size.items():
                held += nbytes * (record.state[task] in (HELD, SPILLING, LOADING))
                spilling += nbytes * (record.state[task] == SPILLING)
    promised = sum(f.reserved for f in machine.fetching.values())
    for worker in machine.workers.values():
        promised += sum(worker.queue.values()) + sum(worker.leftover.values())
    ledger = machine.ledger
    _check(ledger.held == held, f"held {ledger.held}, not {held}")
    _check(machine.spilling == spilling, f"spilling {machine.spilling}, not {spilling}")
    _check(ledger.promised == promised, f"promised {ledger.promised}, not {promised}")


def _check_rules(machine: Machine) -> None:
    given = [t for w in machine.workers.values() for t in w.queue]
    for name in [*given, *machine.fetching]:
        run = machine.runs[name.run]
        record = run.stages[name.stage]
        fetching = record.state[name.task] == FETCHING
        missing = 0
        for producer, j in set(_inputs(run, record, name.task)):
            state = run.stages[producer].state[j]
            missing += state != HELD
            _check(
                state == HELD or (fetching and state in (LOADING, SPILLING)),
                f"P1: {_name(run, record, name.task)} reads stage {producer}, task {j}, "
                f"which is {STATES[state]}",
            )
        if fetching:
            fetch = machine.fetching[name]
            _check(fetch.missing == missing, f"{_name(run, record, name.task)}: {fetch}")
            _check((name in machine.fetched) == (not missing), "fetched")
    _check(machine.overtaken <= policy.MOST_OVERTAKEN, f"P4: overtaken {machine.overtaken} times")
    idle = not machine.fetching and not any(r.outside for r in machine.runs.values())
    if machine.free and idle:
        for run in machine.runs.values():
            for record in run.stages:
                at = record.state.find(READY)
                _check(at < 0, f"P3: {_name(run, record, at)} and a worker are idle")


def _inputs(run: RunRecord, record: StageRecord, task: int) -> Iterator[tuple[int, int]]:
    for edge in record.stage.edges:
        for j in _reads(run, record, task, edge):
            yield edge.producer, j
