"""What takes long is shown, as it goes on; what is short is not."""

from __future__ import annotations

import threading

import pytest

from nbscale.events import RunEnded, RunStarted, StageAdded, TaskEnded, TaskStarted
from nbscale.notebook import progress as module
from nbscale.notebook.progress import Progress


class Screen:
    def __init__(self, seen, telling):
        self.seen = seen
        seen.append(("open", telling.status))

    def show(self, telling):
        self.seen.append(("show", telling.status))

    def fold(self, telling):
        self.seen.append(("fold", telling.status))


class Clockwork(Progress):
    """A progress without its thread: the test looks."""

    def __init__(self, waited_for=lambda _: True):
        self.seen = []
        super().__init__(lambda telling: Screen(self.seen, telling), waited_for)
        self._thread = threading.current_thread()


def begin(run=1, time=0.0, depth=0):
    return RunStarted(run, time, "sum", "inline", "", None, depth)


def stage(tasks=4, run=1):
    return StageAdded(run, 0, "sum", tasks, (), ())


def ended(task, run=1):
    return TaskEnded(run, 0, task, 0, 0.0, 0.1, 8)


def test_nothing_is_shown_before_half_a_second():
    progress = Clockwork()
    progress(begin())
    progress(stage())
    assert progress.look(0.1) == pytest.approx(0.4)
    assert progress.look(0.49) == pytest.approx(0.01)
    assert progress.seen == []
    assert progress.look(0.5) == pytest.approx(0.1)
    assert progress.seen == [("open", "0%")]


def test_a_short_run_is_never_shown_and_nothing_is_kept_of_it():
    progress = Clockwork()
    for event in (begin(), stage(), ended(0), RunEnded(1, 0.4, "done")):
        progress(event)
    assert progress.look(0.6) is None
    assert progress.seen == []
    assert progress._runs == {}


def test_it_is_live_although_no_event_comes():
    progress = Clockwork()
    progress(begin())
    for now in (0.5, 0.6, 0.7):
        progress.look(now)
    assert progress.seen == [("open", "planning"), ("show", "planning"), ("show", "planning")]


def test_progress_is_shown_and_then_folded_once():
    progress = Clockwork()
    progress(begin())
    progress(stage())
    progress(TaskStarted(1, 0, 0, 0, 0.0))
    progress(ended(0))
    progress.look(0.5)
    progress(ended(1))
    progress(ended(2))
    progress.look(0.6)
    progress(RunEnded(1, 0.65, "done"))
    progress.look(0.7)
    assert progress.look(0.8) is None
    assert progress.seen == [("open", "25%"), ("show", "75%"), ("fold", "done in 650 ms")]


def test_runs_at_the_same_time_have_a_screen_each():
    progress = Clockwork()
    progress(begin(1))
    progress(begin(2, time=0.3))
    progress.look(0.5)
    assert len(progress.seen) == 1
    progress.look(0.8)
    assert [kind for kind, _ in progress.seen] == ["open", "show", "open"]


def test_a_run_inside_a_task_is_not_shown():
    progress = Clockwork()
    progress(begin(depth=1))
    progress(stage())
    assert progress.look(9.0) is None
    assert progress.seen == []


def test_a_screen_that_breaks_is_left_alone_and_said_once(monkeypatch):
    errors = []
    monkeypatch.setattr(module, "report_error", errors.append)

    class Broken(Screen):
        def show(self, telling):
            raise OSError("gone")

    progress = Clockwork()
    progress._open_screen = lambda telling: Broken(progress.seen, telling)
    progress(begin())
    for now in (0.5, 0.6, 0.7):
        progress.look(now)
    progress(RunEnded(1, 0.8, "done"))
    assert progress.look(0.8) is None
    assert len(errors) == 1
    assert progress.seen == [("open", "planning")]


def test_settle_waits_for_what_is_over_and_for_nothing_else():
    waited_for = {1}
    progress = Clockwork(waited_for.__contains__)
    progress(begin())
    progress.look(0.5)
    assert not progress._unsettled()  # it is still under way
    waited_for.clear()
    assert progress._unsettled()
    progress(RunEnded(1, 0.6, "done"))
    progress.look(0.6)
    assert not progress._unsettled()


def test_its_own_thread_shows_and_folds():
    shown, folded = threading.Event(), threading.Event()

    class Told(Screen):
        def __init__(self, telling):
            shown.set()

        def show(self, telling):
            pass

        def fold(self, telling):
            folded.set()

    now = [0.0]
    progress = Progress(Told, lambda _: False, clock=lambda: now[0])
    progress(begin())
    now[0] = 0.6
    assert shown.wait(30)
    progress(RunEnded(1, 0.7, "done"))
    assert folded.wait(30)
    progress.settle()
    assert progress._runs == {}


def test_a_forked_child_shows_nothing():
    progress = Clockwork()
    progress(begin())
    progress.forget()
    assert progress._runs == {}
    assert progress._open_screen(None) is None
