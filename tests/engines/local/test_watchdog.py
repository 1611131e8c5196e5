"""Nothing moves though tasks are given out: the watchdog names it."""

import time

import pytest

from nbscale.engines.base import RunInfo
from nbscale.engines.local.watchdog import Watchdog
from nbscale.errors import Stuck
from nbscale.testing.board import wait_until
from nbscale.testing.jobs import Results, plain, run, stage
from tests.engines.local.pooled import Pooled


def always(number):
    return True


def test_a_worker_that_works_is_left_alone():
    dog = Watchdog(20)
    for now in range(0, 1000, 10):
        assert dog.look(now, {1: 5, 2: 0}, lambda number: number == 2, starting=False) == {}


def test_one_that_waits_with_tasks_is_named_after_a_while():
    dog = Watchdog(20)
    assert dog.look(0, {1: 3, 2: 1}, always, starting=False) == {}
    assert dog.look(19, {1: 3, 2: 1}, always, starting=False) == {}
    assert dog.look(21, {1: 3, 2: 1}, always, starting=False) == {
        1: "worker 1 has waited for work for 21 s, though it was given 3 tasks",
        2: "worker 2 has waited for work for 21 s, though it was given a task",
    }


def test_whatever_it_says_or_does_counts_anew():
    dog = Watchdog(20)
    dog.look(0, {1: 3}, always, starting=False)
    dog.heard(1)
    assert dog.look(25, {1: 3}, always, starting=False) == {}
    dog.look(30, {1: 3}, lambda number: False, starting=False)  # it is at one
    assert dog.look(46, {1: 3}, always, starting=False) == {}
    assert dog.look(66, {1: 3}, always, starting=False).keys() == {1}


def test_a_worker_that_starts_for_ever():
    dog = Watchdog(20)
    dog.look(0, {1: 0}, always, starting=True)
    [text] = dog.look(30, {1: 0}, always, starting=True).values()
    assert text == "no task was given out for 30 s, and a worker has been starting all the time"
    assert dog.look(40, {1: 1}, lambda number: False, starting=True) == {}
    assert dog.look(50, {}, always, starting=True) == {}  # the first one: somebody else looks at it


@pytest.fixture
def engine():
    engine = Pooled()
    yield engine
    engine.close()


def test_mail_that_is_lost_ends_the_run_and_the_pool_goes_on(engine, monkeypatch):
    engine.wait_ready()
    engine.driver._watchdog._patience = 0.3
    pool = engine.pool
    plainly = pool.send

    def lose(number, messages):
        # What is sent is never told of: the worker has nothing to do, the kernel waits for it.
        pool.send = plainly

    monkeypatch.setattr(pool, "send", lose)
    with pytest.raises(Stuck) as caught:
        run(engine, plain(stage(0, 1, lambda index: index[0], result=0, name="lost")))
    message = str(caught.value)
    assert message.startswith("nothing can move any more in 'a test': worker ")
    assert "has waited for work for" in message
    assert "though it was given a task; stage 0 (lost): 0 of 1 values" in message
    wait_until(lambda: engine.is_whole(2), "the pool to be whole again")
    assert run(engine, plain(stage(0, 9, lambda index: index[0], result=0))) == list(range(9))


def test_a_long_task_is_no_standstill(engine):
    engine.wait_ready()
    engine.driver._watchdog._patience = 0.3

    def sleep(index):
        time.sleep(2.0)  # in C, and no time of a processor
        return index[0]

    results = Results()
    job = plain(stage(0, 2, sleep, result=0))
    engine.run(job, info=RunInfo(1), deliver=results).wait()
    assert results.of(0) == [0, 1]
