"""Every way a small world can go: four tasks, two workers, each fault once, every interleaving.

A world is the real machine and a model of what surrounds it: workers, a store, a disk, a job. From
each state every signal that could come next is tried on a clone of its own; states are told apart
by what matters for the future, and two workers that only differ by name are the same. The checks of
``nbscale.scheduler.check`` hold in every state, and from every state the run can end without
another fault, so that there is no dead end.

Cost: about a tenth of a millisecond a signal; some thousands of states for each graph.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Sequence
from typing import TypeAlias

from nbscale.graph.axismap import All, Each
from nbscale.graph.stage import Edge, Program, Stage
from nbscale.record import record
from nbscale.scheduler.check import Checker
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Action,
    Cancel,
    Deliver,
    Drop,
    End,
    Frozen,
    Grown,
    Load,
    Loaded,
    OpenRun,
    Report,
    Run,
    SetLimit,
    Signal,
    Spill,
    Spilled,
    Stop,
    Stopped,
    TaskDone,
    TaskFailed,
    TaskId,
    Thawed,
    WorkerJoined,
    WorkerLeft,
)

__all__ = ["Explored", "all_graphs", "distinct_graphs", "explore"]

Graph: TypeAlias = tuple[tuple[int, ...], ...]
"""For each task the tasks it reads, all with smaller numbers."""

FAULTS = ("die", "freeze", "cancel", "spill", "retract")

_AMPLE, _TIGHT = 1000, 6
"""Every value has one byte. In the tight limit a task that reads two values fits if it is alone."""


def all_graphs(n: int = 4) -> list[Graph]:
    """Every graph of tasks numbered in some order of running: ``2 ** (n * (n - 1) / 2)``."""
    pairs = [(i, j) for i in range(n) for j in range(i)]
    graphs = []
    for bits in range(1 << len(pairs)):
        chosen = [pair for k, pair in enumerate(pairs) if bits >> k & 1]
        graphs.append(tuple(tuple(j for i, j in chosen if i == task) for task in range(n)))
    return graphs


def distinct_graphs(n: int = 4) -> list[Graph]:
    """One graph of each shape: those that differ by the numbers of the tasks are the same."""
    seen: dict[tuple[tuple[int, int], ...], Graph] = {}
    for graph in all_graphs(n):
        seen.setdefault(_shape(graph), graph)
    return list(seen.values())


def _shape(graph: Graph) -> tuple[tuple[int, int], ...]:
    n = len(graph)
    return min(
        tuple(sorted((order[i], order[j]) for i in range(n) for j in graph[i]))
        for order in itertools.permutations(range(n))
    )


def stages_of(graph: Graph, first: int = 0, of: Sequence[int] | None = None) -> list[Stage]:
    """A stage of one task for each task of a graph; tasks that nobody reads are results.

    ``first`` is the number of the first stage and ``of`` says which stage stands for which task,
    for those that are made anew.
    """
    stands = list(range(len(graph))) if of is None else list(of)
    read = {j for reads in graph for j in reads}
    stages = []
    for task, reads in enumerate(graph):
        if of is not None and stands[task] < first:
            continue
        edges = []
        for j in reads:
            # Both kinds of edges take part: counted task by task, and counted once for all.
            m = All(1, 1) if (task + j) % 2 else Each(1)
            edges.append(Edge(stands[j], (0,), (m,), "list"))
        stages.append(
            Stage(
                number=stands[task],
                name=f"task {task}",
                axes=(range(1),),
                original_grid=(1,),
                program=Program(0, (), ()),
                edges=tuple(edges),
                result=None if task in read else task,
                nbytes=1.0,
            )
        )
    return stages


@functools.cache
def _answer(graph: Graph, stands: tuple[int, ...], failed: int) -> Grown:
    """The failed task and all that read it are taken back and made anew."""
    cone = {stands.index(failed)}
    for task, reads in enumerate(graph):
        if cone & set(reads):
            cone.add(task)
    anew = list(stands)
    for at, task in enumerate(sorted(cone), len(graph)):
        anew[task] = at
    new = stages_of(graph, len(graph), anew)
    return Grown(1, tuple(new), sealed=True, retract=tuple(stands[t] for t in sorted(cone)))


@dataclasses.dataclass(slots=True)
class _World:
    """The machine and what surrounds it."""

    machine: Machine
    graph: Graph
    stands: tuple[int, ...]
    faults: tuple[str, ...]
    hands: dict[int, TaskId | None]
    told: frozenset[int] = frozenset()
    frozen: int | None = None
    disk: dict[TaskId, bool] = dataclasses.field(default_factory=dict)  # True: it is on disk
    moving: tuple[tuple[str, TaskId], ...] = ()
    delivered: frozenset[int] = frozenset()
    report: TaskId | None = None
    end: str = ""

    def clone(self) -> _World:
        return _World(
            self.machine.clone(),
            self.graph,
            self.stands,
            self.faults,
            self.hands.copy(),
            self.told,
            self.frozen,
            self.disk.copy(),
            self.moving,
            self.delivered,
            self.report,
            self.end,
        )

    # What can happen ------------------------------------------------------------------------

    def signals(self) -> Iterator[tuple[str, Signal]]:
        """Every signal that could come next, with the fault it is, or ''."""
        if self.end:
            return
        alike = self._are_alike()
        for number, task in self.hands.items():
            frozen = number == self.frozen
            if task is not None:
                # Of a frozen worker: the news was under way.
                yield "", TaskDone(number, task, 1)
                if number in self.told and not frozen:
                    yield "", Stopped(number, task)
                if "retract" in self.faults and not frozen and number not in self.told:
                    yield "retract", TaskFailed(number, task, replan=True)
            if alike:
                alike = False
                continue
            if "die" in self.faults:
                yield "die", WorkerLeft(number)
            if "freeze" in self.faults and not frozen:
                yield "freeze", Frozen(number)
            if frozen:
                yield "", Thawed(number)
        for kind, task in self.moving:
            yield "", Spilled(task) if kind == "spill" else Loaded(task)
            if "disk" in self.faults:
                yield "disk", Spilled(task, False) if kind == "spill" else Loaded(task, False)
        if self.report is not None:
            yield "", _answer(self.graph, self.stands, self.report.stage)
        if "cancel" in self.faults:
            yield "cancel", Cancel(1)
        if "spill" in self.faults:
            yield "spill", SetLimit(_TIGHT, can_spill=True)

    def _are_alike(self) -> bool:
        """Two idle workers, neither frozen: what befalls one might as well befall the other."""
        return list(self.hands.values()) == [None, None] and self.frozen is None

    # What it does ---------------------------------------------------------------------------

    def step(self, fault: str, signal: Signal) -> None:
        """Let a signal happen, and do what the machine answers."""
        if fault:
            self.faults = tuple(f for f in self.faults if f != fault)
            if fault == "spill":
                self.faults += ("disk",)
        match signal:
            case TaskDone(worker, task) | TaskFailed(worker, task) | Stopped(worker, task):
                self.hands[worker] = None
                self.told -= {worker}
                if isinstance(signal, TaskDone):
                    self.disk.setdefault(task, False)
            case WorkerLeft(worker):
                del self.hands[worker]
                self.told -= {worker}
                if worker == self.frozen:
                    self.frozen = None
            case Frozen(worker):
                self.frozen = worker
            case Thawed():
                self.frozen = None
            case Spilled(task, ok) | Loaded(task, ok):
                spilled = isinstance(signal, Spilled)
                self.moving = tuple(m for m in self.moving if m[1] != task)
                if ok:
                    self.disk[task] = spilled
                elif not spilled:
                    del self.disk[task]
            case Grown():
                self.report = None
                new = {int(stage.name.split()[1]): stage.number for stage in signal.stages}
                self.stands = tuple(new.get(t, s) for t, s in enumerate(self.stands))
        for action in self.machine.handle(signal):
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case Run(worker, task):
                free = self.hands.get(worker, task) is None and worker != self.frozen
                assert free, f"{action}: no such worker, or it is not free"
                reads = self.graph[self.stands.index(task.stage)]
                inputs = [TaskId(1, self.stands[j], 0) for j in reads]
                assert all(self.disk.get(i) is False for i in inputs), f"{action}: no inputs"
                assert task not in self.disk, f"{action}: the value is there"
                self.hands[worker] = task
            case Stop(worker, task):
                assert self.hands.get(worker) == task, f"{action}: not at that task"
                assert worker not in self.told, f"{action}: told already"
                self.told |= {worker}
            case Drop(task):
                assert task in self.disk, f"{action}: no such value"
                del self.disk[task]
            case Spill(task):
                assert self.disk.get(task) is False, f"{action}: not in memory"
                self.moving += (("spill", task),)
            case Load(task):
                assert self.disk.get(task) is True, f"{action}: not on disk"
                self.moving += (("load", task),)
            case Deliver(task):
                assert self.disk.get(task) is False, f"{action}: not in memory"
                assert task.stage not in self.delivered, f"{action}: delivered already"
                self.delivered |= {task.stage}
            case Report(failed=failed):
                assert self.report is None, f"{action}: the job was asked before"
                self.report = failed
            case End(outcome=outcome):
                self._over(outcome)

    def _over(self, outcome: str) -> None:
        assert not self.end, "ended twice"
        assert not self.disk, f"values are left: {self.disk}"
        assert not self.moving, f"values are on the move: {self.moving}"
        at_work = {w: t for w, t in self.hands.items() if t is not None and w != self.frozen}
        assert not at_work, f"tasks are running: {at_work}"
        if outcome == "done":
            read = {j for reads in self.graph for j in reads}
            wanted = {self.stands[t] for t in range(len(self.graph)) if t not in read}
            assert wanted <= self.delivered, f"not delivered: {wanted - self.delivered}"
        else:
            assert outcome == "cancelled", outcome
        self.end = outcome

    def key(self) -> object:
        """What matters for the future; names of workers do not."""
        machine = self.machine
        order = {number: at for at, number in enumerate(machine.free)}
        workers = []
        for number, task in self.hands.items():
            worker = machine.workers[number]
            own = task is not None and task in worker.queue
            told, frozen = number in self.told, number == self.frozen
            workers.append((task or (), own, told, frozen, order.get(number, -1)))
        workers.sort()
        if self.end:
            return self.end
        run = machine.runs[1]
        stages = tuple(
            (r.state[0], r.retracted, tuple(r.dropped.values()), bool(r.stuck)) for r in run.stages
        )
        asked = (run.asked, run.answering, tuple(run.reports), tuple(run.lives.items()))
        moving = (tuple(machine.fetching), tuple(machine.fetched), self.moving)
        return (
            *(stages, asked, moving, tuple(workers), self.faults, self.report, run.outcome),
            *(machine.blocked, machine.overtaken, self.delivered, self.stands),
        )


@record
class Explored:
    """How large a world is: distinct states, and signals tried."""

    states: int
    signals: int


def explore(
    graph: Graph, faults: Sequence[str] = FAULTS, machine: type[Machine] = Machine
) -> Explored:
    """Go every way a graph can go.

    Parameters
    ----------
    graph
        For each task the tasks it reads.
    faults
        What may go wrong, each once: of "die", "freeze", "cancel", "spill", "retract". With
        "spill" the memory becomes tight at some moment, and one transfer to or from disk may fail.
    machine
        The class of the machine.

    Raises
    ------
    AssertionError
        Something does not hold; the message ends with the signals that lead there.
    """
    checker = Checker()
    start = _begin(graph, tuple(faults), machine)
    checker.check(start.machine)
    numbers: dict[object, int] = {start.key(): 0}
    origins: list[tuple[int, Signal | None]] = [(0, None)]
    back: list[list[int]] = [[]]
    ended: list[int] = []
    frontier = [(0, start)]
    signals = 0
    while frontier:
        following: list[tuple[int, _World]] = []
        for number, world in frontier:
            if world.end:
                ended.append(number)
            coming = list(world.signals())
            signals += len(coming)
            for fault, signal in coming:
                # Nobody needs the world itself any more when its last signal is tried.
                other = world if signal is coming[-1][1] else world.clone()
                try:
                    other.step(fault, signal)
                    key = other.key()
                    if key not in numbers:
                        checker.check(other.machine)
                except AssertionError as error:
                    path = [*_path(origins, number), signal]
                    raise AssertionError(f"{error}\n{_story(graph, path)}") from error
                at = numbers.setdefault(key, len(numbers))
                if at == len(origins):
                    origins.append((number, signal))
                    back.append([])
                    following.append((at, other))
                if not fault:
                    back[at].append(number)
        frontier = following
    _check_ends(graph, ended, back, origins)
    return Explored(len(numbers), signals)


def _begin(graph: Graph, faults: tuple[str, ...], kind: type[Machine]) -> _World:
    machine = kind(_AMPLE, 0)
    world = _World(machine, graph, tuple(range(len(graph))), faults, {0: None, 1: None})
    for worker in world.hands:
        machine.handle(WorkerJoined(worker))
    machine.handle(OpenRun(1))
    world.step("", Grown(1, tuple(stages_of(graph)), sealed=True))
    return world


def _check_ends(
    graph: Graph,
    ended: Sequence[int],
    back: Sequence[Sequence[int]],
    origins: Sequence[tuple[int, Signal | None]],
) -> None:
    """From every state an end is reached without another fault."""
    reached = set(ended)
    stack = list(ended)
    while stack:
        for number in back[stack.pop()]:
            if number not in reached:
                reached.add(number)
                stack.append(number)
    for number in range(len(origins)):
        if number not in reached:
            path = _path(origins, number)
            raise AssertionError(f"a dead end: the run never ends\n{_story(graph, path)}")


def _path(origins: Sequence[tuple[int, Signal | None]], number: int) -> list[Signal]:
    path: list[Signal] = []
    while number:
        number, signal = origins[number]
        if signal is not None:
            path.append(signal)
    return path[::-1]


def _story(graph: Graph, path: Sequence[Signal]) -> str:
    lines = [f"tasks read {graph}; then came:"]
    for signal in path:
        told = dataclasses.replace(signal, stages=()) if isinstance(signal, Grown) else signal
        lines.append(f"  {told}")
    return "\n".join(lines)
