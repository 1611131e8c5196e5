"""The contract of an engine: inherit ``EngineTests`` and say how the engine is made.

No test sleeps or looks at a clock: what must happen at the same time waits for one another.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nbscale import config
from nbscale.engines.base import Engine, RunInfo
from nbscale.errors import EngineError, RunCancelled, TaskMemoryError
from nbscale.events import (
    Advised,
    Event,
    MemoryHeld,
    Place,
    RunEnded,
    RunStarted,
    StageAdded,
    TaskEnded,
    TaskStarted,
)
from nbscale.graph.axismap import All, At, Each, Group, Listed, Parent, Ranges, Window
from nbscale.graph.job import Done, Failure, Grow, Observation, Replan, Watch
from nbscale.graph.stage import Edge, Program, Stage, Step
from nbscale.testing.board import Board
from nbscale.testing.jobs import (
    Results,
    Script,
    each,
    everything,
    over,
    plain,
    run,
    stage,
)

__all__ = ["EngineTests", "InKernelTests"]


class _Own(Exception):
    """An error of the user's."""


class _Object:
    """Something a weak reference can point to."""


def _index(index: tuple[int, ...]) -> int:
    return index[0]


def _same(index: tuple[int, ...], value: Any) -> Any:
    return value


def _raise(error: BaseException) -> Any:
    raise error


def _constant(value: Any) -> Stage:
    return stage(1, 1, lambda index: value, result=0)


class EngineTests:
    """What every engine does. Subclasses say how the engine is made.

    Attributes
    ----------
    share
        The engine uses one in so many bytes of the budget.
    """

    share = 1

    def make_engine(self) -> Engine:
        """Return an engine that was not started."""
        raise NotImplementedError

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        engine = self.make_engine()
        engine.start()
        yield engine
        engine.close()

    @pytest.fixture
    def board(self, tmp_path: Path) -> Board:
        return Board(tmp_path)

    # Values ---------------------------------------------------------------------------------

    def test_results_come_in_order(self, engine: Engine) -> None:
        assert run(engine, plain(stage(0, 500, _index, result=0))) == list(range(500))

    def test_an_empty_stage_is_a_result_without_values(self, engine: Engine) -> None:
        assert run(engine, plain(stage(0, 0, _index, result=0))) == []

    def test_several_results(self, engine: Engine) -> None:
        a = stage(0, 3, _index, result=1)
        b = stage(1, 3, lambda index, value: value * 10, each(a), result=0)
        results = Results()
        engine.run(plain(a, b), info=RunInfo(1), deliver=results).wait()
        assert results.of(0) == [0, 10, 20]
        assert results.of(1) == [0, 1, 2]

    def test_a_list_holds_what_the_map_says(self, engine: Engine) -> None:
        a = stage(0, 10, _index)
        maps = {
            "Group": Group(10, 4),
            "Window": Window(10, 10, -1, 2),
            "At": At(3, 10, 7),
            "Parent": Parent(20, 10, 2),
            "Ranges": Ranges(10, [3, 0, 5], [6, 0, 6]),
            "Listed": Listed(10, [0, 2, 2, 5], [1, 9, 0, 4, 8]),
        }
        for name, m in maps.items():
            b = stage(1, m.n_out, _same, over(a, m), result=0)
            expected = [[int(j) for j in m.inputs(i)] for i in range(m.n_out)]
            assert run(engine, plain(a, b)) == expected, name

    def test_in_turn_is_an_iterator(self, engine: Engine) -> None:
        def first_two(index: tuple[int, ...], values: Iterator[int]) -> list[int]:
            return [next(values), next(values)]

        a = stage(0, 5, _index)
        b = stage(1, 1, first_two, everything(a, "turn"), result=0)
        assert run(engine, plain(a, b)) == [[0, 1]]

    @pytest.mark.parametrize("delivery", ["list", "turn"])
    def test_pieces_are_addressed_by_the_reader(self, engine: Engine, delivery: str) -> None:
        a = stage(0, 3, lambda index: [(index[0], piece) for piece in range(4)])
        edge = over(a, All(4, 3), delivery=delivery, pieces=True)
        b = stage(1, 4, lambda index, pieces: list(pieces), edge, result=0)
        assert run(engine, plain(a, b)) == [[(i, j) for i in range(3)] for j in range(4)]

    def test_the_piece_of_one_producer(self, engine: Engine) -> None:
        a = stage(0, 1, lambda index: {0: "a", 1: "b"})
        b = stage(1, 2, _same, over(a, At(2, 1, 0), delivery="one", pieces=True), result=0)
        assert run(engine, plain(a, b)) == ["a", "b"]

    def test_a_pruned_stage_keeps_its_coordinates(self, engine: Engine) -> None:
        program = Program.of(0, [Step(lambda index: index, (), (0, 1), "op")])
        axes = (range(2, 4), np.array([0, 5]))
        a = Stage(0, "a", axes, (9, 9), program, (), result=0)
        assert run(engine, plain(a)) == [(2, 0), (2, 5), (3, 0), (3, 5)]

    def test_grids_of_two_axes(self, engine: Engine) -> None:
        a = stage(0, (3, 4), lambda index: index[0] * 10 + index[1])
        row = Edge(0, (0, -1), (Each(3), All(1, 4)), "list")
        turned = Edge(0, (1, 0), (Each(3), Each(4)), "one")
        b = stage(1, 3, _same, row, result=0)
        c = stage(1, (4, 3), _same, turned, result=0)
        d = stage(1, (3, 4), _same, each(a), result=0)
        table = [[i * 10 + j for j in range(4)] for i in range(3)]
        assert run(engine, plain(a, b)) == table
        assert run(engine, plain(a, c)) == [table[i][j] for j in range(4) for i in range(3)]
        assert run(engine, plain(a, d)) == [value for line in table for value in line]

    def test_a_stage_that_reads_itself(self, engine: Engine) -> None:
        # 0, 1 <- 0, 2 <- 0 and 1, 3 <- 2: each is the sum of what it reads, plus one.
        own = Listed(4, [0, 0, 1, 3, 4], [0, 0, 1, 2])
        a = stage(0, 4, lambda index, values: sum(values) + 1, Edge(0, (0,), (own,), "list"))
        b = stage(1, 1, _same, everything(a), result=0)
        assert run(engine, plain(a, b)) == [[1, 2, 4, 5]]

    @pytest.mark.parametrize("seed", range(10))
    def test_any_graph_of_calls(self, engine: Engine, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - a graph that can be made again
        n = chance.randrange(1, 60)
        reads = [sorted(chance.sample(range(i), min(i, chance.randrange(4)))) for i in range(n)]
        ends = np.cumsum([0, *map(len, reads)])
        own = Listed(n, ends, [j for row in reads for j in row])
        a = stage(0, n, lambda index, values: sum(values) + index[0], Edge(0, (0,), (own,), "list"))
        b = stage(1, n, lambda index, value: value, each(a), result=0)
        expected: list[int] = []
        for i, row in enumerate(reads):
            expected.append(i + sum(expected[j] for j in row))
        assert run(engine, plain(a, b)) == expected

    def test_a_tree(self, engine: Engine) -> None:
        stages = [stage(0, 1000, _index)]
        while stages[-1].n_tasks > 1:
            below = stages[-1]
            m = Group(below.n_tasks, 8)
            stages.append(stage(below.number + 1, m.n_out, lambda index, v: sum(v), over(below, m)))
        last = stages.pop()
        final = stage(last.number, 1, lambda index, v: sum(v), *last.edges, result=0)
        assert run(engine, plain(*stages, final)) == [sum(range(1000))]

    def test_a_chain_of_a_hundred_thousand_steps(self, engine: Engine) -> None:
        def add(index: tuple[int, ...], value: int) -> int:
            return value + 1

        n = 100_000
        steps = [Step(lambda index: 0, (), (0,), "start")]
        steps += [Step(add, (i,), (0,), "add") for i in range(n)]
        program = Program.of(0, steps)
        a = Stage(0, "chain", (range(1),), (1,), program, (), result=0)
        assert run(engine, plain(a)) == [n]

    # Growth ---------------------------------------------------------------------------------

    def test_a_job_grows_by_what_it_sees(self, engine: Engine) -> None:
        a = stage(0, 4, _index, keep=True)

        def more(seen: Any) -> Grow:
            b = stage(1, sum(seen.values), lambda index, v: (index[0], v), over(a, At(6, 4, 3)))
            c = stage(2, 1, _same, everything(b), result=0)
            return Grow((b, c), sealed=True, release=(0,))

        job = Script(Grow((a,), (Watch(0),)), more)
        assert run(engine, job) == [[(i, [3]) for i in range(6)]]
        assert job.seen == [None, Observation(0, (0, 1, 2, 3))]

    def test_a_watch_of_the_first_few(self, engine: Engine) -> None:
        a = stage(0, 50, _index, keep=True)
        job = Script(
            Grow((a,), (Watch(0, 2),)),
            lambda seen: Grow((_constant(seen.values),), sealed=True),
        )
        assert run(engine, job) == [(0, 1)]

    def test_a_job_that_is_done_at_once(self, engine: Engine) -> None:
        results = Results()
        engine.run(Script(Done()), info=RunInfo(1), deliver=results).wait()
        assert results.values == {}

    def test_a_job_that_gives_up(self, engine: Engine) -> None:
        a = stage(0, 2, _index, keep=True)
        with pytest.raises(_Own, match="no plan"):
            run(engine, Script(Grow((a,), (Watch(0),)), Done(_Own("no plan"))))

    def test_a_job_whose_step_raises(self, engine: Engine) -> None:
        a = stage(0, 2, _index, keep=True)
        with pytest.raises(_Own, match="mistake"):
            run(engine, Script(Grow((a,), (Watch(0),)), lambda seen: _raise(_Own("mistake"))))

    def test_replan_takes_back_and_goes_on(self, engine: Engine) -> None:
        def narrow(index: tuple[int, ...]) -> str:
            if index[0] == 3:
                raise Replan("key", {"column": "text"})
            return "narrow"

        a = stage(0, 8, narrow)
        b = stage(1, 8, _same, each(a), result=0)
        c = stage(2, 8, lambda index: "wide")
        d = stage(3, 8, _same, each(c), result=0)
        job = Script(Grow((a, b), sealed=True), Grow((c, d), sealed=True, retract=(0, 1)))
        assert run(engine, job) == ["wide"] * 8
        failure = job.seen[1]
        assert isinstance(failure, Failure)
        assert (failure.stage, failure.task) == (0, 3)
        assert failure.signal.fact == {"column": "text"}

    def test_sizes_are_told_to_the_job(self, engine: Engine) -> None:
        a = stage(0, 3, lambda index: np.zeros(index[0] + 1), value_of="key", result=0)
        job = plain(a)
        run(engine, job)
        assert job.sizes == {0: {0: (1, 8), 1: (2, 16), 2: (3, 24)}}

    # Errors ---------------------------------------------------------------------------------

    def test_an_error_comes_back_as_it_is_with_a_note(self, engine: Engine) -> None:
        error = _Own("mine")

        def kernel(index: tuple[int, ...]) -> int:
            if index[0] == 11:
                raise error
            return 0

        place = Place("notebook", 3, cell=7)
        a = stage(0, 64, kernel, result=0, name="assign", place=place)
        with pytest.raises(_Own) as raised:
            run(engine, plain(a))
        assert str(raised.value) == "mine"
        assert (raised.value is error) is not engine.capabilities.processes
        assert raised.value.__notes__ == [
            "while running assign (cell 7, line 3), on partition 11 of 0 to 63"
        ]
        assert not hasattr(raised.value, "__nbscale_step__")
        assert raised.traceback[-1].name == "kernel"

    @pytest.mark.parametrize("kind", [SystemExit, GeneratorExit, KeyboardInterrupt, RunCancelled])
    def test_no_exception_kills_the_engine(self, engine: Engine, kind: type[BaseException]) -> None:
        a = stage(0, 3, lambda index: _raise(kind("told")), result=0)
        with pytest.raises(kind):
            run(engine, plain(a))
        assert run(engine, plain(stage(0, 3, _index, result=0))) == [0, 1, 2]

    def test_waiting_twice_raises_twice_with_the_same_trace(self, engine: Engine) -> None:
        a = stage(0, 1, lambda index: _raise(_Own("mine")), result=0)
        ticket = engine.run(plain(a), info=RunInfo(1), deliver=Results())
        lengths = []
        for _ in range(2):
            with pytest.raises(_Own) as raised:
                ticket.wait()
            lengths.append(len(raised.traceback))
        assert lengths[0] == lengths[1]
        assert ticket.done

    def test_an_error_of_who_takes_the_values(self, engine: Engine) -> None:
        def take(index: tuple[int, ...], value: Any) -> None:
            raise _Own("no room")

        a = stage(0, 3, _index, result=0)
        with pytest.raises(_Own, match="no room"):
            engine.run(plain(a), info=RunInfo(1), deliver=lambda result: take).wait()
        with pytest.raises(_Own, match="refused"):
            engine.run(
                plain(a), info=RunInfo(1), deliver=lambda result: _raise(_Own("refused"))
            ).wait()

    # Stopping -------------------------------------------------------------------------------

    def test_cancel_from_another_thread(self, engine: Engine, board: Board) -> None:
        def kernel(index: tuple[int, ...]) -> None:
            board.mark("begun")
            board.wait("go")

        def stop() -> None:
            board.wait("begun")
            engine.cancel(ticket)
            board.mark("go")

        ticket = engine.run(
            plain(stage(0, 1000, kernel, result=0)), info=RunInfo(1), deliver=Results()
        )
        ticket.begin()
        other = threading.Thread(target=stop)
        other.start()
        with pytest.raises(RunCancelled):
            ticket.wait()
        other.join()
        assert board.count("begun") < 100
        assert run(engine, plain(stage(0, 3, _index, result=0))) == [0, 1, 2]

    def test_cancel_is_heard_in_a_stream_of_short_tasks(self, engine: Engine, board: Board) -> None:
        n = 100_000

        def kernel(index: tuple[int, ...]) -> None:
            if index[0] in (1000, n - 1):
                board.mark(f"ran {index[0]}")

        def stop() -> None:
            board.wait("ran 1000")
            ticket.cancel()

        ticket = engine.run(
            plain(stage(0, n, kernel, result=0)), info=RunInfo(1), deliver=Results()
        )
        other = threading.Thread(target=stop)
        other.start()
        with pytest.raises(RunCancelled):
            ticket.wait()
        other.join()
        assert not board.count(f"ran {n - 1}")

    def test_cancel_before_anything_ran(self, engine: Engine, board: Board) -> None:
        a = stage(0, 1000, lambda index: board.mark("ran"), result=0)
        ticket = engine.run(plain(a), info=RunInfo(1), deliver=Results())
        ticket.cancel()
        ticket.cancel()
        ticket.begin()
        with pytest.raises(RunCancelled):
            ticket.wait()
        assert board.count("ran") < 1000

    @pytest.mark.skipif(os.name != "posix", reason="signals to a thread are POSIX")
    def test_an_interrupt_stops_the_run_though_a_task_hangs(
        self, engine: Engine, board: Board
    ) -> None:
        main = threading.main_thread()
        assert threading.current_thread() is main

        def kernel(index: tuple[int, ...]) -> None:
            board.mark("begun")
            board.wait("go")

        def interrupt() -> None:
            board.wait("begun")
            signal.pthread_kill(main.ident or 0, signal.SIGINT)

        ticket = engine.run(
            plain(stage(0, 100, kernel, result=0)), info=RunInfo(1), deliver=Results()
        )
        other = threading.Thread(target=interrupt)
        other.start()
        with pytest.raises(KeyboardInterrupt):
            ticket.wait()
        other.join()
        assert ticket.done
        with pytest.raises(RunCancelled):
            ticket.wait()
        # The engine works though hanging tasks may still hang.
        assert run(engine, plain(stage(0, 50, _index, result=0))) == list(range(50))
        board.mark("go")

    def test_time_is_up_and_the_run_goes_on(self, engine: Engine) -> None:
        release = threading.Event()

        def kernel(index: tuple[int, ...], values: list[Any]) -> Any:
            return values

        a = stage(0, 10, _index)
        b = stage(1, 1, kernel, everything(a), result=0)
        results = Results()
        ticket = engine.run(plain(a, b), info=RunInfo(1), deliver=results)
        release.set()
        for _ in range(1000):
            try:
                ticket.wait(timeout=0.05)
            except TimeoutError:
                continue
            break
        assert results.of(0) == [list(range(10))]

    # Several at once ------------------------------------------------------------------------

    def test_two_runs_at_the_same_time(self, engine: Engine, board: Board) -> None:
        found: dict[int, list[int]] = {}

        def kernel(number: int, index: tuple[int, ...]) -> int:
            if index[0] == 0:
                board.mark(f"run {number}")
                board.wait(f"run {3 - number}")
            return number * 1000 + index[0]

        def one(number: int) -> None:
            a = stage(0, 100, functools.partial(kernel, number), result=0)
            found[number] = run(engine, plain(a))

        if engine.capabilities.parallel:
            engine.scale(2)
        others = [threading.Thread(target=one, args=(number,)) for number in (1, 2)]
        for other in others:
            other.start()
        for other in others:
            other.join()
        assert found == {n: [n * 1000 + i for i in range(100)] for n in (1, 2)}

    def test_a_task_that_computes(self, engine: Engine) -> None:
        def outer(index: tuple[int, ...]) -> int:
            inner = stage(0, 5, lambda inner_index: inner_index[0] * index[0], result=0)
            return sum(run(engine, plain(inner)))

        a = stage(0, 6, outer, result=0)
        assert run(engine, plain(a)) == [10 * i for i in range(6)]

    def test_an_error_inside_a_task_that_computes(self, engine: Engine) -> None:
        def outer(index: tuple[int, ...]) -> Any:
            return run(engine, plain(stage(0, 1, lambda i: _raise(_Own("deep")), result=0)))

        with pytest.raises(_Own, match="deep"):
            run(engine, plain(stage(0, 1, outer, result=0)))
        assert run(engine, plain(stage(0, 3, _index, result=0))) == [0, 1, 2]

    # Life -----------------------------------------------------------------------------------

    def test_closed_and_started_again(self, engine: Engine) -> None:
        for _ in range(3):
            assert run(engine, plain(stage(0, 9, _index, result=0))) == list(range(9))
            engine.close()
            engine.close()
            engine.start()

    def test_a_run_starts_what_was_not_started(self) -> None:
        engine = self.make_engine()
        assert run(engine, plain(stage(0, 3, _index, result=0))) == [0, 1, 2]
        engine.close()

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
    @pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
    def test_a_forked_child_can_compute(self, engine: Engine) -> None:
        job = functools.partial(stage, 0, 20, _index, result=0)
        assert run(engine, plain(job())) == list(range(20))
        child = os.fork()
        if child == 0:
            try:
                right = run(engine, plain(job())) == list(range(20))
            finally:
                os._exit(0 if right else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert run(engine, plain(job())) == list(range(20))

    def test_put_and_get(self, engine: Engine) -> None:
        value = _Object()
        ref = engine.put(value)
        assert engine.get(ref) is value

    # Memory ---------------------------------------------------------------------------------

    def test_a_task_that_can_never_fit_is_refused(self, engine: Engine) -> None:
        size = 1_000_000
        a = stage(0, 8, lambda index: np.ones(size, dtype=np.uint8), nbytes=float(size))
        b = stage(1, 1, lambda index, values: len(values), everything(a), nbytes=28.0, result=0)
        with (
            config.set(memory_limit=self.share * 4 * size),
            pytest.raises(TaskMemoryError),
        ):
            run(engine, plain(a, b))

    # News -----------------------------------------------------------------------------------

    def _watched(self, engine: Engine, job: Script, *others: Any) -> list[Event]:
        events: list[Event] = []
        over = threading.Event()

        def observe(event: Event) -> None:
            events.append(event)
            if isinstance(event, RunEnded):
                over.set()

        try:
            run(engine, job, [*others, observe])
        finally:
            assert over.wait(60)
        return events

    def test_observers_see_everything_in_order(self, engine: Engine) -> None:
        a = stage(0, 5, _index, name="source")
        b = stage(1, 1, lambda index, v: sum(v), everything(a), result=0, name="sum")
        events = self._watched(engine, plain(a, b))
        assert isinstance(events[0], RunStarted)
        assert events[0].engine == engine.name
        added = [event for event in events if isinstance(event, StageAdded)]
        assert [(e.stage, e.name, e.tasks, e.edges) for e in added] == [
            (0, "source", 5, ()),
            (1, "sum", 1, (0,)),
        ]
        assert isinstance(events[-1], RunEnded)
        assert events[-1].outcome == "done"
        for task in [(0, i) for i in range(5)] + [(1, 0)]:
            mine = [
                type(event)
                for event in events
                if isinstance(event, (TaskStarted, TaskEnded)) and (event.stage, event.task) == task
            ]
            assert mine == [TaskStarted, TaskEnded]
        ends = {(e.stage, e.task): n for n, e in enumerate(events) if isinstance(e, TaskEnded)}
        begun = {(e.stage, e.task): n for n, e in enumerate(events) if isinstance(e, TaskStarted)}
        assert all(ends[0, i] < begun[1, 0] for i in range(5))

    def test_observers_see_the_memory_that_is_held(self, engine: Engine) -> None:
        def wait(index: tuple[int, ...], value: np.ndarray) -> int:
            time.sleep(0.05)  # so that the run lasts: an event comes ten times a second at most
            return len(value)

        a = stage(0, 8, lambda index: np.ones(100_000, np.uint8), nbytes=1e5)
        b = stage(1, 8, wait, each(a), result=0)
        events = self._watched(engine, plain(a, b))
        told = [event for event in events if isinstance(event, MemoryHeld)]
        assert told
        assert all(0 <= event.held <= event.budget for event in told)

    def test_observers_see_the_error(self, engine: Engine) -> None:
        a = stage(0, 1, lambda index: _raise(_Own("mine")), result=0)
        events: list[Event] = []
        over = threading.Event()

        def observe(event: Event) -> None:
            events.append(event)
            if isinstance(event, RunEnded):
                over.set()

        with pytest.raises(_Own):
            run(engine, plain(a), [observe])
        assert over.wait(60)
        assert [e.error for e in events if isinstance(e, TaskEnded)] == ["_Own"]
        last = events[-1]
        assert isinstance(last, RunEnded)
        assert (last.outcome, last.message) == ("failed", "_Own: mine")

    def test_an_observer_that_raises_is_reported_once(self, engine: Engine) -> None:
        def bad(event: Event) -> None:
            raise _Own("observer")

        with pytest.warns(RuntimeWarning, match="observer") as caught:
            events = self._watched(engine, plain(stage(0, 5, _index, result=0)), bad)
        assert len(caught) == 1
        assert sum(not isinstance(event, (Advised, MemoryHeld)) for event in events) == 13

    def test_an_observer_cannot_compute(self, engine: Engine) -> None:
        errors: list[EngineError] = []

        def bad(event: Event) -> None:
            try:
                run(engine, plain(stage(0, 1, _index, result=0)))
            except EngineError as error:
                errors.append(error)

        self._watched(engine, plain(stage(0, 1, _index, result=0)), bad)
        assert "runs observers" in str(errors[0])


class InKernelTests(EngineTests):
    """What engines do besides whose tasks run in the kernel: values are objects, never copied."""

    def test_values_taken_back_are_gone(self, engine: Engine) -> None:
        made: list[weakref.ref[_Object]] = []

        def narrow(index: tuple[int, ...]) -> _Object:
            if index[0] == 7:
                raise Replan("key", "wider")
            value = _Object()
            made.append(weakref.ref(value))
            return value

        def last(index: tuple[int, ...], values: list[int]) -> int:
            gc.collect()
            return sum(ref() is not None for ref in made)

        a = stage(0, 8, narrow)
        b = stage(1, 1, last, everything(a), result=0)
        c = stage(2, 100, _index)
        d = stage(3, 1, last, everything(c), result=0)
        job = Script(Grow((a, b), sealed=True), Grow((c, d), sealed=True, retract=(0, 1)))
        assert run(engine, job) == [0]
        assert made

    def test_a_value_goes_when_nobody_needs_it(self, engine: Engine) -> None:
        made: list[weakref.ref[_Object]] = []

        def make(index: tuple[int, ...]) -> _Object:
            value = _Object()
            made.append(weakref.ref(value))
            return value

        def last(index: tuple[int, ...], values: list[int]) -> int:
            gc.collect()
            return sum(ref() is not None for ref in made)

        a = stage(0, 64, make)
        b = stage(1, 64, lambda index, value: 0, each(a))
        c = stage(2, 1, last, everything(b), result=0)
        assert run(engine, plain(a, b, c)) == [0]

    def test_nothing_is_held_after_a_run(self, engine: Engine) -> None:
        value = _Object()
        gone = weakref.ref(value)
        held = [value]
        a = stage(0, 1, lambda index: held[0], keep=True)
        b = stage(1, 1, lambda index, value: None, each(a), result=0)
        assert run(engine, plain(a, b)) == [None]
        held.clear()
        del value
        gc.collect()
        assert gone() is None

    def test_the_budget_is_kept(self, engine: Engine) -> None:
        size = 1_000_000
        live: set[int] = set()
        peak: list[int] = []

        def make(index: tuple[int, ...]) -> np.ndarray:
            value = np.ones(size, dtype=np.uint8)
            live.add(id(value))
            weakref.finalize(value, live.discard, id(value))
            peak.append(len(live))
            return value

        a = stage(0, 100, make, nbytes=float(size))
        b = stage(1, 100, lambda index, value: int(value.sum()), each(a), nbytes=28.0)
        c = stage(2, 1, lambda index, values: sum(values), everything(b), result=0)
        with config.set(memory_limit=self.share * 10 * size):
            assert run(engine, plain(a, b, c)) == [100 * size]
        assert max(peak) <= 10
