"""Which part of the user's data a task is at, as far as the sources know it.

A kernel that reads something of the user's may have a method ``part(index) -> Part | None``. Whoever
reports on a task follows its inputs back to such kernels, and needs to know nothing of files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbscale.graph.stage import Program, Stage
from nbscale.record import record
from nbscale.units import format_count, format_range

__all__ = ["Part", "part_at", "part_text", "parts_of"]

_MOST_READ = 8
"""A value made of more tasks' values than that is of no part in particular."""

_MOST_SEEN = 64

_MOST_NAMED = 2


@record
class Part:
    """Consecutive rows of something that has a name.

    Attributes
    ----------
    of
        Its name, such as a file's.
    start, stop
        The rows, counted from 0; ``stop`` is not among them. None for all of it.
    exact
        Whether the rows are known, or only estimated.
    bytes
        Where in the file, or None.
    """

    of: str
    start: float = 0
    stop: float | None = None
    exact: bool = True
    bytes: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.stop is None:
            return self.of
        if self.exact and self.stop == self.start:
            return f"no rows of {self.of}"
        if self.exact:
            first, last = format_count(int(self.start)), format_count(int(self.stop) - 1)
            rows = f"row {first}" if first == last else f"rows {first}-{last}"
        else:
            rows = f"rows ~{format_range(self.start, self.stop)}"
        where = ""
        if self.bytes is not None:
            where = f" (bytes {self.bytes[0]:,}-{self.bytes[1] - 1:,})"
        return f"{rows} of {self.of}{where}"


def parts_of(
    stage: Stage, task: int, stages: Mapping[int, Stage], step: int | None = None
) -> list[Part]:
    """What a task reads of the sources, however far back, parts side by side made one.

    Parameters
    ----------
    stage, task
        The task.
    stages
        The stages of its job.
    step
        Of its program, only what goes into this step.

    Examples
    --------
    >>> from nbscale.graph.stage import Step
    >>> class Load:
    ...     def part(self, index):
    ...         return Part("a.csv", 10 * index[0], 10 * index[0] + 10)
    >>> program = Program.of(0, [Step(Load(), (), (0,), "load")])
    >>> stage = Stage(0, "load", (range(4),), (4,), program, ())
    >>> [str(part) for part in parts_of(stage, 2, {})]
    ['rows 20-29 of a.csv']
    """
    found: list[Part] = []
    seen: set[tuple[int, int]] = set()
    waiting = [(stage, task, step)]
    while waiting and len(seen) < _MOST_SEEN:
        stage, task, last = waiting.pop()
        if (stage.number, task) in seen:
            continue
        seen.add((stage.number, task))
        index = stage.index(task)
        steps, registers = _needed(stage.program, last)
        for number in sorted(steps):
            at = stage.program.steps[number]
            part = part_at(at.kernel, tuple(index[a] for a in at.axes))
            if part is not None:
                found.append(part)
        for register in sorted(registers, reverse=True):
            waiting += [(producer, j, None) for producer, j in _read(stage, task, register, stages)]
    return _joined(found)


def part_at(kernel: Any, index: tuple[int, ...]) -> Part | None:
    """The part that a kernel reads at an index; None if it does not say."""
    say = getattr(kernel, "part", None)
    part = None if say is None else say(index)
    return part if isinstance(part, Part) else None


def part_text(parts: list[Part]) -> str:
    """Parts as text, or '' if there are none or too many to name."""
    return " and ".join(map(str, parts)) if len(parts) <= _MOST_NAMED else ""


def _needed(program: Program, last: int | None) -> tuple[set[int], set[int]]:
    """The steps and the inputs that go into a step of a program; by default into its last."""
    n = program.n_inputs
    steps: set[int] = set()
    registers: set[int] = set()
    waiting = [n + (len(program.steps) - 1 if last is None else last)]
    while waiting:
        register = waiting.pop()
        if register < n:
            registers.add(register)
        elif register - n not in steps and register - n < len(program.steps):
            steps.add(register - n)
            waiting += program.steps[register - n].args
    return steps, registers


def _read(
    stage: Stage, task: int, register: int, stages: Mapping[int, Stage]
) -> list[tuple[Stage, int]]:
    """The few tasks whose values a task reads over an edge; none if they are many."""
    edge = stage.edges[register]
    producer = stage if edge.producer == stage.number else stages.get(edge.producer)
    if producer is None or edge.pieces or (edge.is_everything and producer.n_tasks > 1):
        return []
    found: list[tuple[Stage, int]] = []
    for j in stage.reads(task, edge, producer):
        if len(found) == _MOST_READ:
            return []
        found.append((producer, int(j)))
    return found


def _joined(parts: list[Part]) -> list[Part]:
    """Parts in order, those that lie side by side made one."""
    joined: list[Part] = []
    for part in sorted(set(parts), key=lambda part: (part.of, part.start)):
        last = joined[-1] if joined else None
        if last is None or last.of != part.of:
            joined.append(part)
        elif last.stop is None or part.stop is None:
            joined[-1] = Part(part.of)
        elif last.stop < part.start:
            joined.append(part)
        else:
            both = None
            if last.bytes is not None and part.bytes is not None:
                both = (last.bytes[0], max(last.bytes[1], part.bytes[1]))
            exact = last.exact and part.exact
            joined[-1] = Part(part.of, last.start, max(last.stop, part.stop), exact, both)
    return joined
