"""How runs go on and end: stages come, are watched, released and taken back; jobs are asked."""

from __future__ import annotations

from collections.abc import Iterable

from nbscale.scheduler.growth import append_stages, become_ready, unread
from nbscale.scheduler.protocol import Drop, End, Grown, Report, Stop, TaskId
from nbscale.scheduler.records import RunRecord, StageRecord, Watched, WorkerRecord
from nbscale.scheduler.states import (
    FETCHING,
    GONE,
    HELD,
    LOADING,
    LOST,
    PARKED,
    READY,
    RETRACTED,
    RUNNING,
    SPILLED,
    SPILLING,
    WAITING,
    exists,
    move,
)
from nbscale.scheduler.values import Values

__all__ = ["Runs", "cannot_repeat"]


class Runs(Values):
    """What a job's answers do, what it is asked, and how its run ends."""

    def _grow(self, run: RunRecord, signal: Grown) -> None:
        _check(run, signal)
        if any(self._was_begun(run, run.stages[number]) for number in signal.retract):
            return
        new = append_stages(run, signal.stages)
        run.generation += 1
        run.sealed = signal.sealed
        for number, first in signal.watches:
            self._watch(run, run.stages[number], first)
        if run.outcome:
            return
        for number in signal.retract:
            run.stages[number].retracted = True
        for number in signal.retract:
            self._retract(run, run.stages[number])
        for number in signal.release:
            self._release(run, run.stages[number])
        if any(self._needs_again(run, record) for record in new):
            return
        for record in reversed(new):
            self._give_up_unneeded(run, record)
        for record in new:
            self._revive_inputs(run, record)
        for record in new:
            if not record.closed:
                become_ready(run, record)
        run.asked = False
        if run.answering is not None:
            # Its stage was not taken back: the job wants it tried again.
            stage, task = run.answering
            run.answering = None
            if run.stages[stage].state[task] == PARKED:
                move(run.stages[stage], task, WAITING)
                self._maybe_ready(run, run.stages[stage], task)
        self._report(run)
        self._settle(run)

    # Watching -------------------------------------------------------------------------------

    def _watch(self, run: RunRecord, record: StageRecord, first: int) -> None:
        record.pinned = True
        watched = Watched(min(first, record.n), 0)
        for task in range(watched.first):
            state = record.state[task]
            watched.left += state != HELD
            if state == SPILLED:
                self._load(run, record, task)
            elif state in (LOST, GONE):
                self._again(run, record, task)
        if watched.left:
            record.watches.append(watched)
        else:
            run.reports.append((record.number, None))

    def _seen(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """A value of a watched stage is in memory."""
        for watched in list(record.watches):
            if task < watched.first:
                watched.left -= 1
                if not watched.left:
                    record.watches.remove(watched)
                    run.reports.append((record.number, None))
                    self._report(run)

    def _report(self, run: RunRecord) -> None:
        """Ask the job, unless it owes an answer."""
        while run.reports and not run.asked and not run.outcome:
            stage, task = run.reports.popleft()
            record = run.stages[stage]
            if record.retracted or (task is not None and record.state[task] != PARKED):
                continue
            run.asked = True
            failed = None
            if task is not None:
                failed = TaskId(run.number, stage, task)
                run.answering = (stage, task)
            self._actions.append(Report(run.number, stage, failed))

    # Stages nobody needs any more -----------------------------------------------------------

    def _release(self, run: RunRecord, record: StageRecord) -> None:
        record.keep = record.pinned = False
        record.watches.clear()
        record.simplify()
        for task in unread(record):
            if not record.is_needed(task):
                self._let_go(run, record, task)

    def _give_up_unneeded(self, run: RunRecord, record: StageRecord) -> None:
        """Tasks of a new stage that nobody wants are never run."""
        if record.keep or record.delivered is not None or record.retracted:
            return
        if any(w.block is None and reader.undone for w, reader in record.common_outs):
            return
        for task in unread(record):
            if record.state[task] == WAITING and not record.is_needed(task):
                self._give_up(run, record, task)

    def _was_begun(self, run: RunRecord, record: StageRecord) -> bool:
        """Whether a stage that is taken back has begun what is run only once: that ends the run."""
        for task in sorted(record.once):
            if record.state[task] >= RUNNING:
                error = cannot_repeat(record, task, "was made of what is planned anew")
                self._begin_end(run, "failed", error)
                return True
        return False

    def _needs_again(self, run: RunRecord, record: StageRecord) -> bool:
        """Whether a new stage reads what is gone and is not made again: that ends the run."""
        for _, producer in record.ins + record.common_ins if run.once else ():
            for task in _all_in(producer, GONE):
                if producer.is_needed(task) and self._is_final(run, producer, task):
                    return True
        return False

    def _is_final(self, run: RunRecord, record: StageRecord, task: int) -> bool:
        """Whether a value cannot be made again, since a task for it is run only once.

        That ends the run.
        """
        found = self._unrepeatable(run, record, task)
        if found is not None:
            self._begin_end(run, "failed", cannot_repeat(*found, "is not there any more"))
        return found is not None

    def _again(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Make a value again that is needed, or end the run if it cannot be."""
        if not self._is_final(run, record, task):
            self._make_again(run, record, task)

    def _revive_inputs(self, run: RunRecord, record: StageRecord) -> None:
        """Values that an earlier step of the job used up and a new stage reads are made again."""
        for _, producer in record.ins + record.common_ins:
            at = producer.state.find(GONE)
            while at >= 0:
                if producer.is_needed(at):
                    self._make_again(run, producer, at)
                at = producer.state.find(GONE, at + 1)

    def _retract(self, run: RunRecord, record: StageRecord) -> None:
        record.keep = record.pinned = False
        record.watches.clear()
        if record.delivered is not None:
            run.undelivered -= record.n - sum(record.delivered)
            record.delivered = None
        for worker in self.workers.values():
            self._stop(
                worker,
                [t for t in worker.queue if t.run == run.number and t.stage == record.number],
            )
        links = record.ins + record.common_ins
        if all(producer.retracted for _, producer in links):
            tasks: Iterable[int] = [*record.size, *_all_in(record, FETCHING)]
        else:
            tasks = range(record.n)
        for task in tasks:
            self._take_back(run, record, task)
        _fill_retracted(record)
        for name in [t for t in self.anew if t[:2] == (run.number, record.number)]:
            del self.anew[name]

    def _take_back(self, run: RunRecord, record: StageRecord, task: int) -> None:
        """Drop a value of a retracted stage, or do not make it. What is in other hands stays."""
        state = record.state[task]
        if state in (SPILLING, LOADING, RETRACTED):
            return
        if state == FETCHING:
            self._unfetch(run, record, task)
        if exists(state):
            nbytes = record.size.pop(task)
            record.nbytes -= nbytes
            if state == HELD:
                self.ledger.held -= nbytes
            if state != LOST:
                self._actions.append(Drop(record.name(run.number, task)))
        move(record, task, RETRACTED)
        if state <= PARKED:
            for producer, j in self._inputs_left(record, task):
                if not producer.retracted:
                    self._let_go(run, producer, j)

    def _stop(self, worker: WorkerRecord, names: Iterable[TaskId]) -> None:
        for name in names:
            self.free.pop(worker.number, None)
            worker.leftover[name] = worker.queue.pop(name)
            worker.told[name] = None
            self._actions.append(Stop(worker.number, name))

    # Ends -----------------------------------------------------------------------------------

    def _begin_end(
        self, run: RunRecord, outcome: str, error: str = "", culprit: TaskId | None = None
    ) -> None:
        """Stop everything of a run; it ends when nothing of it is in other hands."""
        if run.outcome:
            return
        run.outcome, run.error, run.culprit = outcome, error, culprit
        run.queue.clear()
        run.reports.clear()
        self.turn.remove(run.number)
        for worker in self.workers.values():
            self._stop(worker, [t for t in worker.queue if t.run == run.number])
        for name in [t for t in self.fetching if t.run == run.number]:
            self._unfetch(run, run.stages[name.stage], name.task)
        for name in [t for t in self.anew if t.run == run.number]:
            del self.anew[name]
        if self.blocked is not None and self.blocked.run == run.number:
            self.blocked = None
        self._settle(run)

    def _settle_all(self) -> None:
        for run in list(self.runs.values()):
            self._settle(run)

    def _settle(self, run: RunRecord) -> None:
        """End a run whose work is done, and one that was to end and has nothing outside."""
        if not run.outcome:
            over = run.sealed and not run.undelivered and not run.asked and not run.reports
            if over and not any(record.watches for record in run.stages):
                self._begin_end(run, "done")
            return
        if run.outside or run.number not in self.runs:
            return
        for record in run.stages:
            for task, nbytes in record.size.items():
                state = record.state[task]
                if state == HELD:
                    self.ledger.held -= nbytes
                if state in (HELD, SPILLED):
                    self._actions.append(Drop(record.name(run.number, task)))
        del self.runs[run.number]
        self._actions.append(End(run.number, run.outcome, run.error, run.culprit))


def _check(run: RunRecord, signal: Grown) -> None:
    """Whether a job's answer makes sense; ValueError if not."""
    n = len(run.stages)
    for number in signal.retract:
        if number >= n:
            raise ValueError(f"stage {number} is retracted, but there are only {n}")
        record = run.stages[number]
        for w, reader in record.outs + record.common_outs:
            if w.consumer not in signal.retract and not reader.retracted:
                raise ValueError(
                    f"stage {number} is retracted, but stage {w.consumer} that reads it is not"
                )
    for number, _ in signal.watches:
        kept = run.stages[number].keep if number < n else signal.stages[number - n].keep
        if not kept:
            raise ValueError(f"stage {number} is watched but not kept")


def cannot_repeat(record: StageRecord, task: int, why: str) -> str:
    """What is said of a value that would have to be made again by a task that runs once."""
    return (
        f"WorkerLost: the value of {record.stage.name!r}, task {task + 1} of {record.n}, {why}, "
        "and the task is to be run only once"
    )


def _all_in(record: StageRecord, state: int) -> list[int]:
    found = []
    at = record.state.find(state)
    while at >= 0:
        found.append(at)
        at = record.state.find(state, at + 1)
    return found


_BULK = bytes(RETRACTED if s in (WAITING, READY, RUNNING, PARKED, GONE) else s for s in range(256))


def _fill_retracted(record: StageRecord) -> None:
    """What was not taken back one by one has neither a value nor inputs: all at once."""
    record.state[:] = record.state.translate(_BULK)
    record.undone = record.busy = 0
