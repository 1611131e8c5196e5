"""The ledger: what memory is taken, what is promised, and what the next task is expected to need.

``held`` are the bytes of values in memory, ``promised`` the predicted peaks of tasks that were
given out. A task starts if held + promised + its own prediction fits in the limit less headroom.
A prediction is inputs + 2 x output + scratch: a kernel makes its output in its own memory before
it is stored.
"""

from __future__ import annotations

import dataclasses

from nbscale.scheduler.records import StageRecord

__all__ = ["UNKNOWN_OUTPUT", "Forecast", "Ledger", "inputs_of"]

UNKNOWN_OUTPUT = 1_000_000
"""Bytes that an output counts as if nothing is known, unless its inputs are larger."""

_SURE = 4
"""So many tasks of a kernel are measured before any number of it may run at once."""


@dataclasses.dataclass(frozen=True, slots=True)
class Forecast:
    """What a task is expected to need.

    Attributes
    ----------
    inputs
        Bytes it reads at once; measured.
    output
        Bytes of its value.
    known
        The output was measured, on this task or on others of its stage.
    peak
        Bytes it needs above what is held.
    """

    inputs: int
    output: int
    known: bool
    peak: int


@dataclasses.dataclass(slots=True)
class Ledger:
    """Memory taken and promised, in bytes.

    Parameters
    ----------
    limit
        What the work may use.
    headroom
        What is kept free of it; by default 64 MB or a tenth of the limit, whichever is more, but
        never more than a half.
    """

    limit: int
    headroom: int | None = None
    held: int = 0
    promised: int = 0

    @property
    def budget(self) -> int:
        """The limit less headroom."""
        if self.headroom is not None:
            return self.limit - self.headroom
        return self.limit - min(self.limit // 2, max(64_000_000, self.limit // 10))

    @property
    def room(self) -> int:
        """Bytes that are neither taken nor promised; negative if there are too many."""
        return self.budget - self.held - self.promised

    def clone(self) -> Ledger:
        """A copy."""
        return dataclasses.replace(self)

    def predict(self, record: StageRecord, task: int, inputs: int) -> Forecast:
        """What a task needs, from measured sizes where there are any."""
        output = record.size.get(task, -1)  # a value that was made before and lost
        known = True
        if output < 0:
            if record.known:
                output = record.out
            else:
                known = False
                estimate = record.stage.nbytes
                output = max(inputs, UNKNOWN_OUTPUT) if estimate is None else int(estimate)
        return Forecast(inputs, output, known, inputs + 2 * output + record.scratch)

    def allows(self, record: StageRecord, forecast: Forecast) -> bool:
        """Whether a task may start now, beside what is held and given out.

        A kernel of which nothing is known starts slowly, one more at once for each that was
        measured, unless memory is far away.
        """
        room = self.room - forecast.peak
        if room < 0:
            return False
        if record.known >= _SURE or 2 * room >= self.budget or record.stage.nbytes is not None:
            return True
        return record.busy <= record.known

    def measure(self, record: StageRecord, nbytes: int, peak: int) -> None:
        """Learn from a task that is done: the most seen lately, fading by a sixteenth a task."""
        record.known += 1
        out = record.out
        record.out = nbytes if nbytes >= out else out - ((out - nbytes) >> 4)
        if peak:
            scratch = peak - 2 * nbytes
            if scratch > record.scratch:
                record.scratch = scratch
            else:
                record.scratch -= (record.scratch - max(0, scratch)) >> 4


def inputs_of(stages: list[StageRecord], record: StageRecord, task: int) -> int:
    """Bytes a task reads at once: a piece of each value of an exchange, one at a time in turn."""
    total = 0
    for w in record.wires_in:
        size = stages[w.producer].size
        if w.same:
            part = size.get(task, 0)
        elif w.turn:
            part = max((size.get(j, 0) for j in w.reads(task)), default=0)
        else:
            part = sum(size.get(j, 0) for j in w.reads(task))
        if w.pieces:
            part //= max(1, record.n)
        total += part
    for w in record.common_in:
        producer = stages[w.producer]
        if w.turn:
            part = producer.out
        elif w.block is None:
            part = producer.nbytes
        else:
            part = sum(producer.size.get(j, 0) for j in w.block)
        total += part // max(1, record.n) if w.pieces else part
    return total
