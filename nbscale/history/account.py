"""The account of a run: where cores x wall went, to 100 %, and to which line of the user's.

Everything is counted in whole nanoseconds. The time of every worker from the beginning to the end of
the run is cut in intervals, and each goes to one entry, so the sum is exact. While a worker has no
task, what counts is why it does not have its *next* one yet: what that reads is not there (dependency),
there is no memory for it, or it is on its way (hand-over).
"""

from __future__ import annotations

import bisect
import html
from collections.abc import Iterable, Iterator, Mapping, Sequence

from nbscale.events import Place
from nbscale.history.recording import MEMORY, SPILL, Operation, Recording, Row
from nbscale.record import record
from nbscale.units import counted, format_bytes, format_seconds

__all__ = ["ENTRIES", "Account", "LineAccount", "account_of", "portions"]

ENTRIES: Mapping[str, str] = {
    "compute": "operations and your functions",
    "parse": "reading and parsing of files, slicing of what is in memory",
    "move": "inputs brought to tasks, values stored",
    "processor": "tasks that waited for a processor which others had",
    "memory": "waiting for memory",
    "spill": "waiting for values on their way to or from disk",
    "dependency": "idle: nothing could run before others were done, or nothing was left",
    "hand-over": "tasks on their way to workers, results on theirs to you",
    "start-up": "workers that were not there yet",
    "other runs": "workers that were at other runs",
}
"""What time goes to, in the order in which it is told."""


@record
class LineAccount:
    """What was spent on one line of the user's, in nanoseconds of workers."""

    place: Place | None
    names: tuple[str, ...]
    compute: int
    parse: int


@record
class Account:
    """Where the time of all workers went.

    Attributes
    ----------
    workers
        How many there were.
    wall
        Seconds.
    nanoseconds
        For each of ``ENTRIES``; their sum is workers x wall.
    lines
        What compute and parse were spent on, the most expensive first.
    peak
        Bytes of the largest value.
    """

    workers: int
    wall: float
    nanoseconds: Mapping[str, int]
    lines: tuple[LineAccount, ...]
    largest: int

    @property
    def total(self) -> int:
        """Nanoseconds of all workers."""
        return sum(self.nanoseconds.values())

    @property
    def percent(self) -> dict[str, int]:
        """Whole percents that add up to 100, unless the run took no time at all."""
        shares = portions(100 if self.total else 0, list(self.nanoseconds.values()))
        return dict(zip(self.nanoseconds, shares, strict=True))

    def __str__(self) -> str:
        lines = [
            (
                f"{counted(self.workers, 'worker')} x {format_seconds(self.wall)}"
                f" = {format_seconds(self.total / 1e9)} of work and waiting"
            )
        ]
        for name, share in self.percent.items():
            ns = self.nanoseconds[name]
            if ns:
                lines.append(f"{share:4} %  {format_seconds(ns / 1e9):>9}  {name}: {ENTRIES[name]}")
        if self.lines:
            lines.append("by line:")
        for line in self.lines:
            spent = format_seconds((line.compute + line.parse) / 1e9)
            parse = f", {format_seconds(line.parse / 1e9)} of it parse" if line.parse else ""
            place = "no line of yours" if line.place is None else str(line.place)
            names = ", ".join(line.names[:4]) + (", ..." if len(line.names) > 4 else "")
            lines.append(f"        {spent:>9}  {place}: {names}{parse}")
        lines.append(f"largest value: {format_bytes(self.largest)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def portions(total: int, weights: Sequence[float]) -> list[int]:
    """Cut a whole number in whole parts in proportion to weights: largest remainders.

    Examples
    --------
    >>> portions(100, [1, 1, 1]), portions(7, [0, 0])
    ([34, 33, 33], [7, 0])
    """
    if not weights:
        return []
    whole = sum(weights)
    if whole <= 0:
        return [total, *[0] * (len(weights) - 1)]
    exact = [total * weight / whole for weight in weights]
    parts = [int(part) for part in exact]
    order = sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])
    rest = total - sum(parts)
    for turn in range(abs(rest)):
        parts[order[turn % len(order)]] += 1 if rest > 0 else -1
    return parts


Interval = tuple[int, int]


def account_of(recording: Recording, others: Iterable[Recording] = ()) -> Account:
    """Split the time of the workers of a run that is over.

    Parameters
    ----------
    recording
        What the run did.
    others
        Runs of the same engine at the same time.

    Raises
    ------
    ValueError
        If the run goes on, or was too large to be recorded whole.

    Notes
    -----
    Costs a few microseconds for each task and each value it reads.
    """
    if recording.ended is None:
        raise ValueError("the run is not over yet: its account is made when it is")
    if not recording.complete:
        raise ValueError(
            f"the run had more tasks than are recorded ({len(recording):,}), so there is no account"
        )
    return _Accounting(recording, others).result()


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


class _Accounting:
    def __init__(self, recording: Recording, others: Iterable[Recording]) -> None:
        self._of = recording
        self._begin = _ns(recording.began)
        self._end = max(self._begin, _ns(recording.ended or 0.0))
        self._spent = dict.fromkeys(ENTRIES, 0)
        self._busy: dict[tuple[int, int | None], int] = {}
        self._marks = [(_ns(time), state) for time, state in recording.marks]
        rows = sorted(recording.rows(), key=lambda row: (row.worker, row.start, row.stop))
        self._last = min(self._end, max((_ns(row.stop) for row in rows), default=self._begin))
        self._largest = max((row.nbytes for row in rows), default=0)
        self._ready = _Readiness(recording, rows)
        self._rows: dict[int, list[Row]] = {}
        for row in rows:
            self._rows.setdefault(row.worker, []).append(row)
        self._others: dict[int, list[Interval]] = {}
        for other in others:
            for row in other.rows():
                self._others.setdefault(row.worker, []).append((_ns(row.start), _ns(row.stop)))
        for intervals in self._others.values():
            intervals.sort()

    def result(self) -> Account:
        presence = self._presence()
        for worker, intervals in presence.items():
            rows = self._rows.get(worker, [])
            for interval in intervals:
                self._walk(worker, interval, rows)
        self._spent["start-up"] += self._missing(presence)
        lines = self._by_line()
        return Account(
            self._of.workers, (self._end - self._begin) / 1e9, self._spent, lines, self._largest
        )

    def _presence(self) -> dict[int, list[Interval]]:
        """When each worker was there."""
        found: dict[int, list[Interval]] = {}
        since: dict[int, int] = {}
        for time, worker, here in self._of.present:
            at = min(max(_ns(time), self._begin), self._end)
            if here:
                since.setdefault(worker, at)
            elif worker in since:
                found.setdefault(worker, []).append((since.pop(worker), at))
        for worker, at in since.items():
            found.setdefault(worker, []).append((at, self._end))
        return found

    def _missing(self, presence: Mapping[int, Sequence[Interval]]) -> int:
        """Time of workers that should have been there."""
        changes = [(start, 1) for intervals in presence.values() for start, _ in intervals]
        changes += [(stop, -1) for intervals in presence.values() for _, stop in intervals]
        total, here, last = 0, 0, self._begin
        for at, change in sorted(changes):
            total += max(0, self._of.workers - here) * (at - last)
            here, last = here + change, at
        return total + max(0, self._of.workers - here) * (self._end - last)

    def _walk(self, worker: int, interval: Interval, rows: Sequence[Row]) -> None:
        """Go along the time of a worker: tasks, and what is between them."""
        at, end = interval
        for row in rows:
            start, stop = max(at, _ns(row.start)), min(end, _ns(row.stop))
            if stop <= at or start >= end:
                continue
            self._idle(worker, (at, start), self._ready.of(row))
            stage = self._of.stages.get(row.stage)
            # Calls are each of a line of their own, tasks of other stages of the same lines.
            call = stage.index(row.task)[0] if stage is not None and stage.calls else None
            at_work = (row.stage, call)
            self._busy[at_work] = self._busy.get(at_work, 0) + stop - start
            at = stop
        self._idle(worker, (at, min(end, max(at, self._last))), None)
        self._idle(worker, (min(end, max(at, self._last)), end), self._begin)

    def _idle(self, worker: int, interval: Interval, ready: int | None) -> None:
        """A worker had no task of this run; the next was ready at some time, or there is none."""
        for start, stop in self._without_others(worker, interval):
            cut = stop if ready is None else min(max(ready, start), stop)
            self._because(start, cut, "dependency")
            self._because(cut, stop, "hand-over")

    def _without_others(self, worker: int, interval: Interval) -> Iterator[Interval]:
        at, end = interval
        for start, stop in self._others.get(worker, ()):
            if stop <= at or start >= end:
                continue
            if start > at:
                yield at, start
            taken = min(stop, end)
            self._spent["other runs"] += taken - max(start, at)
            at = taken
        if at < end:
            yield at, end

    def _because(self, start: int, stop: int, otherwise: str) -> None:
        """Split an interval by what kept tasks from being given out."""
        if start >= stop:
            return
        marks = self._marks
        at = bisect.bisect_right(marks, (start, SPILL + 1)) - 1
        while start < stop:
            state = marks[at][1] if at >= 0 else 0
            until = min(stop, marks[at + 1][0]) if at + 1 < len(marks) else stop
            name = {MEMORY: "memory", SPILL: "spill"}.get(state, otherwise)
            self._spent[name] += max(0, until - start)
            start, at = max(start, until), at + 1

    def _by_line(self) -> tuple[LineAccount, ...]:
        """Split the time at tasks by step, in proportion to what was measured of each stage."""
        lines: dict[Place | None, list[int]] = {}
        names: dict[Place | None, dict[str, None]] = {}
        for (number, call), busy in self._busy.items():
            operations = self._of.operations.get(number, ())
            if call is not None:
                name, place = self._of.stages[number].calls[call]
                operations = (Operation(name, place, reads=False),)
            weights = self._of.spent.get(number)
            if not operations:
                self._spent["compute"] += busy
                continue
            if weights is None or len(weights) != len(operations) + 2 or not sum(weights[:-1]):
                weights = [1.0] * len(operations) + [0.0, 0.0]
            share = self._of.waited(number)
            working, waited = portions(busy, [1 - share, share])
            *steps, moved = portions(working, weights[:-1])
            self._spent["move"] += moved
            self._spent["processor"] += waited
            for operation, ns in zip(operations, steps, strict=True):
                self._spent["parse" if operation.reads else "compute"] += ns
                line = lines.setdefault(operation.place, [0, 0])
                line[operation.reads] += ns
                names.setdefault(operation.place, {})[operation.name] = None
        found = [
            LineAccount(place, tuple(names[place]), compute, parse)
            for place, (compute, parse) in lines.items()
        ]
        return tuple(sorted(found, key=lambda line: -(line.compute + line.parse)))


class _Readiness:
    """When a task could have begun: everything it reads was there."""

    def __init__(self, recording: Recording, rows: Iterable[Row]) -> None:
        self._of = recording
        self._made: dict[int, dict[int, int]] = {}
        for row in rows:
            if row.ok:
                stage = self._made.setdefault(row.stage, {})
                stop = _ns(row.stop)
                stage[row.task] = min(stop, stage.get(row.task, stop))
        self._all = {number: max(stops.values()) for number, stops in self._made.items()}
        self._joined = {number: _ns(time) for number, time in recording.joined.items()}

    def of(self, row: Row) -> int:
        stage = self._of.stages.get(row.stage)
        ready = self._joined.get(row.stage, _ns(self._of.began))
        if stage is None:
            return ready
        for edge in stage.edges:
            producer = self._of.stages.get(edge.producer)
            made = self._made.get(edge.producer, {})
            if producer is None:
                continue
            if edge.is_everything:
                ready = max(ready, self._all.get(edge.producer, ready))
            else:
                for j in stage.reads(row.task, edge, producer):
                    ready = max(ready, made.get(int(j), ready))
        return ready
