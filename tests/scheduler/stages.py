"""Small stages by hand, and a machine that is spoken to in few words."""

from __future__ import annotations

import dataclasses

from nbscale.graph.stage import Edge, Program, Stage
from nbscale.scheduler.check import Checker
from nbscale.scheduler.growth import append_stages
from nbscale.scheduler.machine import Machine
from nbscale.scheduler.protocol import (
    Deliver,
    Drop,
    End,
    Grown,
    Load,
    Loaded,
    OpenRun,
    Report,
    Run,
    Spill,
    Spilled,
    Stop,
    TaskDone,
    TaskFailed,
    TaskId,
    WorkerJoined,
)
from nbscale.scheduler.records import RunRecord

NOTHING = Program(0, (), ())


def stage(number, grid, *edges, **facts):
    """A stage that does nothing."""
    grid = (grid,) if isinstance(grid, int) else grid
    axes = tuple(range(n) for n in grid)
    return Stage(number, f"step {number}", axes, grid, NOTHING, edges, **facts)


def edge(producer, *maps, axes=None, delivery="list", pieces=False):
    """An edge along the same axes."""
    return Edge(producer, tuple(range(len(maps))) if axes is None else axes, maps, delivery, pieces)


def run_of(*stages):
    """A run that has these stages."""
    run = RunRecord(1)
    append_stages(run, stages)
    return run


def record_of(one):
    """The record of a single stage."""
    return run_of(one).stages[0]


class Talk:
    """A machine, and what it said last, by kind; checked after every signal.

    Tasks of run 1 are written (stage, task).
    """

    def __init__(self, workers=1, limit=10**9, **options):
        self.machine = Machine(limit, options.pop("headroom", 0), **options)
        self.checker = Checker()
        self.moving = []
        for worker in range(workers):
            self.tell(WorkerJoined(worker))

    def tell(self, *signals):
        """Tell it signals; return what it does about them."""
        said = []
        for signal in signals:
            said += self.machine.handle(signal)
            self.checker.check(self.machine)
        self.moving += [a for a in said if type(a) in (Spill, Load)]
        return said

    def begin(self, *stages, sealed=True, run=1, **grown):
        """Open a run with stages."""
        return self.tell(OpenRun(run), Grown(run, stages, sealed=sealed, **grown))

    def grow(self, *stages, sealed=True, run=1, **grown):
        """A job's answer."""
        return self.tell(Grown(run, stages, sealed=sealed, **grown))

    def done(self, worker, task, nbytes=1, run=1, peak=0):
        """A worker has finished a task."""
        return self.tell(TaskDone(worker, TaskId(run, *task), nbytes, peak))

    def end(self, task, nbytes=1):
        """Whoever has a task of run 1 has finished it."""
        name = TaskId(1, *task)
        (worker,) = [w.number for w in self.machine.workers.values() if name in w.queue]
        return self.tell(TaskDone(worker, name, nbytes))

    def fails(self, task, *, replan=False):
        """Whoever has a task of run 1 has failed at it."""
        name = TaskId(1, *task)
        (worker,) = [w.number for w in self.machine.workers.values() if name in w.queue]
        return self.tell(TaskFailed(worker, name, replan))

    def finish(self, nbytes=1, disk=lambda _: True):
        """Let everything that is given out end, until nothing is; all it said.

        ``nbytes`` of a task, or a function of it; ``disk`` says if a transfer goes well.
        """
        said = []
        while True:
            given = [(w.number, t) for w in self.machine.workers.values() for t in w.queue]
            if self.moving:
                action = self.moving.pop(0)
                kind = Spilled if type(action) is Spill else Loaded
                said += self.tell(kind(action.task, disk(action)))
            elif given:
                worker, task = given[0]
                size = nbytes(task) if callable(nbytes) else nbytes
                said += self.tell(TaskDone(worker, task, size))
            else:
                return said

    def running(self):
        """Which tasks run where, as {worker: [(stage, task), ...]}."""
        return {
            number: [t[1:] for t in worker.queue]
            for number, worker in self.machine.workers.items()
            if worker.queue
        }


def tasks(kind, actions):
    """(stage, task) of the actions of a kind."""
    return [a.task[1:] for a in actions if type(a) is kind]


def runs(actions):
    return tasks(Run, actions)


def drops(actions):
    return tasks(Drop, actions)


def delivered(actions):
    return tasks(Deliver, actions)


def stops(actions):
    return tasks(Stop, actions)


def spills(actions):
    return tasks(Spill, actions)


def loads(actions):
    return tasks(Load, actions)


def reports(actions):
    return [dataclasses.astuple(a)[1:] for a in actions if type(a) is Report]


def ends(actions):
    """(outcome, error) of the ends."""
    return [(a.outcome, a.error) for a in actions if type(a) is End]
