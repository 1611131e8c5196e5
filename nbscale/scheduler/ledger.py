"""The ledger: what memory is taken, what is promised, and what the next task is expected to need.

``held`` are the bytes of values in memory, ``promised`` the predicted peaks of tasks that were
given out. A task starts if held + promised + its own prediction fits in the limit less headroom.
A prediction is inputs + 2 x output + scratch: a kernel makes its output in its own memory before
it is stored.
"""

from __future__ import annotations

import dataclasses

from nbscale.scheduler.records import StageRecord

__all__ = ["UNKNOWN_OUTPUT", "Ledger", "inputs_of"]

UNKNOWN_OUTPUT = 1_000_000
"""Bytes that an output counts as if nothing is known, unless its inputs are larger."""

_SURE = 4
"""So many tasks of a kernel are measured before any number of it may run at once."""


@dataclasses.dataclass(slots=True)
class Ledger:
    """Memory taken and promised, in bytes.

    Attributes
    ----------
    limit
        What the work may use.
    headroom
        What is kept free of it; by default 64 MB or a tenth of the limit, whichever is more, but
        never more than a half.
    budget
        The limit less headroom.
    held, promised
        Bytes of values in memory, and of predictions of tasks given out.
    """

    limit: int
    headroom: int | None = None
    budget: int = 0
    held: int = 0
    promised: int = 0

    def __post_init__(self) -> None:
        self.set_limit(self.limit)

    def set_limit(self, limit: int) -> None:
        """Change the limit; nothing leaves memory by it."""
        self.limit = limit
        if self.headroom is None:
            self.budget = limit - min(limit // 2, max(64_000_000, limit // 10))
        else:
            self.budget = limit - self.headroom

    @property
    def room(self) -> int:
        """Bytes that are neither taken nor promised; negative if there are too many."""
        return self.budget - self.held - self.promised

    def output(self, record: StageRecord, inputs: int) -> int:
        """Bytes that a task's value is expected to have."""
        if record.known:
            return record.out
        estimate = record.stage.nbytes
        return max(inputs, UNKNOWN_OUTPUT) if estimate is None else int(estimate)

    def peak(self, record: StageRecord, inputs: int) -> int:
        """Bytes a task is expected to need above what is held."""
        output = record.out if record.known else self.output(record, inputs)
        return inputs + 2 * output + record.scratch

    def allows(self, record: StageRecord, peak: int) -> bool:
        """Whether a task may start now, beside what is held and given out.

        A kernel of which nothing is known starts slowly, one more at once for each that was
        measured, unless memory is far away.
        """
        left = self.budget - self.held - self.promised - peak
        if left < 0:
            return False
        if record.known >= _SURE or 2 * left >= self.budget:
            return True
        return record.busy <= record.known or record.stage.nbytes is not None

    def measure(self, record: StageRecord, nbytes: int, peak: int) -> None:
        """Learn from a task that is done: the most seen lately, fading by a sixteenth a task."""
        record.known += 1
        out = record.out
        if nbytes != out:
            record.out = nbytes if nbytes > out else out - ((out - nbytes) >> 4)
        if peak:
            scratch = max(0, peak - 2 * nbytes)
            if scratch >= record.scratch:
                record.scratch = scratch
            else:
                record.scratch -= (record.scratch - scratch) >> 4

    def clone(self) -> Ledger:
        """A copy."""
        return dataclasses.replace(self)


def inputs_of(record: StageRecord, task: int) -> int:
    """Bytes a task reads at once: its piece of each value of an exchange, one at a time in turn."""
    total = 0
    for w, producer in record.ins:
        size = producer.size
        if w.same:
            part = size.get(task, 0)
        else:
            sizes = [size.get(j, 0) for j in w.reads(task)]
            part = max(sizes, default=0) if w.turn else sum(sizes)
        total += part // record.n if w.pieces else part
    for w, producer in record.common_ins:
        if w.turn:
            part = producer.out
        elif w.block is None:
            part = producer.nbytes
        else:
            part = sum(producer.size.get(j, 0) for j in w.block)
        total += part // record.n if w.pieces else part
    return total
