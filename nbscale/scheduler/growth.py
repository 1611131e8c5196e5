"""Stage records from stages: columns filled, edges wired to what is there already."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np

from nbscale.graph.intervals import IntArray
from nbscale.graph.order import FloatArray, positions
from nbscale.graph.stage import Stage
from nbscale.scheduler.records import RunRecord, StageRecord
from nbscale.scheduler.states import HELD, LOST, READY, WAITING, exists
from nbscale.scheduler.wiring import (
    Wire,
    counts_of_readers,
    counts_of_reads,
    int_column,
    wire,
)

__all__ = ["append_stages", "become_ready", "unread"]

_FEW = 32

_NARROW = 8
"""Values up to which each leads to its reader by itself, which costs more memory than time."""


def append_stages(run: RunRecord, stages: Sequence[Stage]) -> list[StageRecord]:
    """Add stages to a run; return their records, in which every task is waiting.

    Raises
    ------
    ValueError
        A stage is not numbered on from those there are, or reads one that is not there.
    """
    first = len(run.stages)
    for number, stage in enumerate(stages, first):
        if stage.number != number:
            raise ValueError(f"stage {stage.name!r} is number {stage.number}, not {number}")
        for edge in stage.edges:
            gone = edge.producer < first and run.stages[edge.producer].retracted
            if edge.producer > number or gone:
                raise ValueError(
                    f"stage {number} ({stage.name!r}) reads stage {edge.producer}, "
                    "which is not there"
                )
    known = [record.stage for record in run.stages]
    placed = positions([*known, *stages], first, float(run.generation))
    for stage, place in zip(stages, placed, strict=True):
        _append(run, stage, place, first)
    for record in run.stages:
        record.simplify()
    return run.stages[first:]


def _append(run: RunRecord, stage: Stage, place: FloatArray, first: int) -> None:
    n = stage.n_tasks
    position = array("d")
    position.frombytes(place.tobytes())
    record = StageRecord(
        stage=stage,
        number=stage.number,
        n=n,
        position=position,
        state=bytearray(n),
        pending=array("i"),
        uses=array("i", bytes(4 * n)),
        undone=n,
        keep=stage.keep,
        delivered=None if stage.result is None else bytearray(n),
        repeatable=not (stage.user_code or stage.once),
    )
    if stage.once:
        run.once = True
        record.once = frozenset(t for t in range(n) if stage.flat_original(t) in stage.once)
    run.stages.append(record)
    if record.delivered is not None:
        run.undelivered += n
    pending = np.zeros(n, dtype=np.int64)
    for edge in stage.edges:
        producer = run.stages[edge.producer]
        record.repeatable = record.repeatable and producer.repeatable
        w = wire(edge, stage, producer.stage, len(record.gates))
        if w.common:
            _add_common(record, producer, w)
            continue
        record.ins.append((w, producer))
        few = _few(w, n, edge.is_same)
        producer.lead_to((w, record), few)
        if few is None:
            uses = np.frombuffer(producer.uses, dtype=np.intc)
            uses += counts_of_readers(edge, stage, producer.stage).astype(np.intc)
        else:
            for j in few:
                producer.uses[j] += 1
        counts = counts_of_reads(edge, stage)
        pending += counts if edge.producer >= first else _missing(w, producer, counts)
    record.pending = int_column(pending)


def _few(w: Wire, n: int, same: bool) -> Sequence[int] | None:
    """What a stage of one task reads over a wire; None for other stages, and if it is much."""
    if n != 1 or same:
        return None
    read = w.reads(0)
    return read if len(read) <= _NARROW and len(set(read)) == len(read) else None


def _add_common(record: StageRecord, producer: StageRecord, w: Wire) -> None:
    record.common_ins.append((w, producer))
    producer.common_outs.append((w, record))
    if producer.undone == producer.n:
        missing = producer.n if w.block is None else len(w.block)
    else:
        missing = sum(not exists(producer.state[j]) for j in w.numbers(0, producer.n))
    record.gates.append(missing)
    record.closed += missing > 0


def _missing(w: Wire, producer: StageRecord, counts: IntArray) -> IntArray:
    """How many values each task reads that do not exist, of a producer that may have begun."""
    state = np.frombuffer(producer.state, dtype=np.uint8)
    there = (state >= HELD) & (state <= LOST)
    if there.all():
        return np.zeros_like(counts)
    for j in np.flatnonzero(there).tolist():
        for i in w.readers(j):
            counts[i] -= 1
    return counts


def unread(record: StageRecord) -> list[int]:
    """Tasks that have no uses. One vectorised pass."""
    found: list[int] = np.flatnonzero(np.frombuffer(record.uses, dtype=np.intc) == 0).tolist()
    return found


def become_ready(run: RunRecord, record: StageRecord) -> None:
    """Make every waiting task of an open stage ready that waits for nothing; queue them."""
    if record.n <= _FEW:
        state, pending = record.state, record.pending
        for t in range(record.n):
            if state[t] == WAITING and not pending[t]:
                state[t] = READY
                run.push(record, t)
        return
    column = np.frombuffer(record.state, dtype=np.uint8)
    free = np.flatnonzero((column == WAITING) & (np.frombuffer(record.pending, np.intc) == 0))
    if not free.size:
        return
    column[free] = READY
    place = np.frombuffer(record.position, dtype=np.float64)[free]
    if np.any(place[1:] < place[:-1]):
        free = free[np.argsort(place, kind="stable")]
    elif free[-1] - free[0] + 1 == free.size:
        run.push_sorted(record, range(int(free[0]), int(free[-1]) + 1))
        return
    run.push_sorted(record, int_column(free))
