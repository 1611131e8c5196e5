"""Threads work off what is on the desk, and the loop is told in time."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from nbscale.engines.base import deadline
from nbscale.engines.desk import Desk, Station, depth, work_off
from nbscale.engines.task import Work
from nbscale.scheduler.protocol import Run, TaskId
from nbscale.testing.jobs import stage


def work(kernel, n=10):
    return Work(None, 1, stage(0, n, kernel), {}, {}, None, None)


def item(made, task):
    return made, Run(0, TaskId(1, 0, task))


class Waker:
    def __init__(self):
        self.count = 0
        self.told = threading.Event()

    def __call__(self):
        self.count += 1
        self.told.set()


def test_items_are_worked_off_in_order_until_none():
    waker = Waker()
    desk = Desk(waker)
    order = []
    made = work(lambda index: order.append(index[0]))
    for task in (3, 1, 2):
        desk.items.put(item(made, task))
    desk.items.put(None)
    assert work_off(desk, Station(), deadline(None), interruptible=False)
    assert order == [3, 1, 2]
    assert [outcome[1].task.task for outcome in desk.outcomes] == [3, 1, 2]
    assert all(size == (1, 16) or size[0] == 1 for _, _, size, *_ in desk.outcomes)
    assert waker.count == 1


def test_time_is_up_when_nothing_comes():
    desk = Desk(Waker())
    assert not work_off(desk, Station(), deadline(0.01), interruptible=False)
    assert not work_off(desk, Station(), deadline(0.01), interruptible=True)
    assert not desk.idle


def test_the_loop_is_told_once_until_it_has_heard():
    waker = Waker()
    desk = Desk(waker)
    desk.tell()
    desk.tell()
    assert waker.count == 1
    desk.heard()
    desk.tell()
    assert waker.count == 2


def test_dead_work_is_skipped():
    desk = Desk(Waker())
    made = work(lambda index: 1 / 0)
    made.dead = True
    desk.items.put(item(made, 0))
    desk.items.put(None)
    work_off(desk, Station(), deadline(None), interruptible=False)
    (outcome,) = desk.outcomes
    assert outcome[2] is outcome[-1] is None
    assert outcome[3] == outcome[4]


def test_errors_are_outcomes_but_for_an_interrupt_of_the_waiter():
    def kernel(index):
        raise [KeyboardInterrupt, SystemExit][index[0]]

    desk = Desk(Waker())
    made = work(kernel)
    for task in (0, 1):
        desk.items.put(item(made, task))
    desk.items.put(None)
    work_off(desk, Station(), deadline(None), interruptible=False)
    assert [type(outcome[-1]) for outcome in desk.outcomes] == [KeyboardInterrupt, SystemExit]
    desk.items.put(item(made, 0))
    with pytest.raises(KeyboardInterrupt):
        work_off(desk, Station(), deadline(None), interruptible=True)
    assert len(desk.outcomes) == 2


def test_what_is_done_is_told_before_a_long_task_if_somebody_idles():
    """One thread idles; the other must not sit on its outcome while its next task takes long."""
    waker = Waker()
    desk = Desk(waker)
    go = threading.Event()

    def kernel(index):
        if index[0] == 1:
            go.wait(60)

    made = work(kernel)
    threads = [
        threading.Thread(
            target=work_off,
            args=(desk, Station(), deadline(None)),
            kwargs={"interruptible": False},
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    desk.items.put(item(made, 1))
    desk.items.put(item(made, 0))
    assert waker.told.wait(60)
    assert [outcome[1].task.task for outcome in desk.outcomes] == [0]
    go.set()
    for _ in threads:
        desk.items.put(None)
    for thread in threads:
        thread.join(60)


def test_somebody_idles_while_another_fetches_the_next_task():
    """Both were idle and one was faster: what it has done must not wait for what it does."""
    waker = Waker()
    desk = Desk(waker)
    seen = []

    def kernel(index):
        seen.append(waker.count)

    made = work(kernel)
    for task in range(3):
        desk.items.put(item(made, task))
    desk.items.put(None)
    desk.idle.append(None)
    waker.told.clear()
    desk.heard()
    work_off(desk, Station(), deadline(None), interruptible=False)
    assert seen == [0, 1, 1]


def test_an_error_that_is_gone_lets_the_inputs_go_at_once():
    class Big:
        pass

    gone = []

    def kernel(index):
        value = Big()
        gone.append(weakref.ref(value))
        raise ValueError

    desk = Desk(Waker())
    desk.items.put(item(work(kernel), 0))
    desk.items.put(None)
    gc.disable()
    try:
        work_off(desk, Station(), deadline(None), interruptible=False)
        desk.outcomes.clear()
        assert gone[0]() is None
    finally:
        gc.enable()


def test_a_thread_that_was_given_up_ends_after_its_task():
    desk = Desk(Waker())
    station = Station()
    made = work(lambda index: setattr(station, "given_up", True))
    desk.items.put(item(made, 0))
    desk.items.put(item(made, 1))
    assert work_off(desk, station, deadline(None), interruptible=False)
    assert len(desk.outcomes) == 1


def test_depth_counts_tasks_inside_tasks():
    found = []

    def kernel(index):
        found.append(depth())
        if index[0] == 0:
            desk.items.put(item(made, 1))
            desk.items.put(None)
            work_off(desk, Station(), deadline(None), interruptible=False)

    desk = Desk(Waker())
    made = work(kernel)
    desk.items.put(item(made, 0))
    assert depth() == 0
    work_off(desk, Station(), deadline(0.01), interruptible=False)
    assert found == [1, 2]
    assert depth() == 0
