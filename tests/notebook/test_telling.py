"""What a person is told, and that it is text."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import pytest

from nbscale.events import MemoryHeld, Place, RunEnded, RunStarted, StageAdded, TaskEnded
from nbscale.notebook.state import reduce_all
from nbscale.notebook.telling import as_dict, as_html, as_line, told

CELL = "/tmp/ipykernel_1/2.py"
BEGIN = RunStarted(1, 100.0, "mean", "threads", "in memory", Place(CELL, 4, 3))


def stage(number, name, tasks, *lines):
    return StageAdded(1, number, name, tasks, (), tuple(Place(CELL, line, 2) for line in lines))


def ended(number, tasks, stop, seconds=1.0, nbytes=2_000_000):
    return [TaskEnded(1, number, i, 0, stop - seconds, stop, nbytes) for i in tasks]


def at(now, *events):
    return told(reduce_all(None, [BEGIN, *events]), now)


HALF = (
    stage(0, "read_csv + filter", 8, 1, 2),
    *ended(0, range(4), 102.0),
    stage(1, "merge groups", 2, 3),
    stage(2, "merge groups", 1, 3),
    stage(3, "count groups", 1),
)


def test_a_run_is_told_in_the_users_words():
    telling = at(102.0, *HALF)
    assert telling.title == "mean"
    assert telling.where == "cell 3, line 4"
    assert telling.note == "on threads: in memory"
    assert telling.status == "33%"
    assert telling.fraction == pytest.approx(4 / 12)
    assert telling.figures == (
        "4 of 12 tasks",
        "8 MB made",
        "4 MB/s",
        "2 s so far",
        "about 4 s left",
    )


def test_the_levels_of_a_tree_are_one_operation_and_what_nobody_wrote_is_named_so():
    rows = at(102.0, *HALF).rows
    assert [(row.name, row.where, row.count) for row in rows] == [
        ("read_csv + filter", "cell 2, lines 1 and 2", "4 of 8"),
        ("merge groups", "cell 2, line 3", "0 of 3"),
        ("steps in between", "", "0 of 1"),
    ]
    assert [row.made for row in rows] == ["8 MB", "", ""]


def test_the_time_left_goes_on_falling_while_no_task_ends():
    assert "about 4 s left" in at(102.0, *HALF).figures
    assert "about 1 s left" in at(105.0, *HALF).figures


def test_no_time_is_guessed_from_too_few_tasks():
    telling = at(102.0, stage(0, "sum", 8), *ended(0, range(2), 102.0))
    assert not any("left" in figure for figure in telling.figures)


def test_small_values_are_counted_by_their_tasks():
    telling = at(102.0, stage(0, "note", 8, 1), *ended(0, range(4), 102.0, nbytes=28))
    assert "2 tasks/s" in telling.figures


def test_before_there_is_a_plan_there_is_no_percentage():
    assert at(100.6).status == "planning"
    assert at(100.6).fraction == 0


def test_memory_is_shown_against_the_budget_while_it_runs():
    held = MemoryHeld(1, 101.0, 1_200_000_000, 4_000_000_000)
    telling = at(102.0, *HALF, held)
    assert telling.memory == "1.2 GB of 4 GB"
    assert telling.memory_fraction == pytest.approx(0.3)
    assert at(102.0, *HALF).memory == ""
    assert at(102.0, *HALF, held, RunEnded(1, 103.0, "done")).memory == ""


def test_a_run_that_is_done_is_whole_even_if_news_of_tasks_were_dropped():
    telling = at(999.0, *HALF, RunEnded(1, 105.2, "done"))
    assert telling.fraction == 1
    assert telling.status == "done in 5.2 s"
    assert telling.figures[0] == "12 tasks"


def test_a_run_that_was_stopped_says_how_far_it_came():
    telling = at(999.0, *HALF, RunEnded(1, 102.1, "cancelled", "RunCancelled: stopped"))
    assert telling.status == "stopped after 2.1 s"
    assert telling.figures[0] == "4 of 12 tasks"


def test_a_failure_is_told_in_one_line_that_has_an_end():
    telling = at(
        999.0, *HALF, RunEnded(1, 102.0, "failed", "ValueError: first\nsecond " + "x" * 900)
    )
    assert telling.status.startswith("failed after 2 s: ValueError: first second xxx")
    assert len(telling.status) < 200


def test_the_line_is_one_line():
    line = as_line(at(999.0, *HALF, RunEnded(1, 105.2, "done")))
    assert line == "mean (cell 3, line 4): done in 5.2 s; 12 tasks, 8 MB made, 1.54 MB/s"


def test_the_dictionary_is_plain():
    said = as_dict(at(102.0, *HALF))
    assert json.loads(json.dumps(said)) == said
    assert said["rows"][0]["count"] == "4 of 8"


class Reading(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags = []
        self.text = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data):
        self.text.append(data)


def test_names_of_the_users_are_text_in_the_html():
    evil = "<img src=x onerror=alert(1)>&amp;"
    begin = RunStarted(1, 100.0, evil, evil, evil, Place(evil, 4, None))
    added = StageAdded(1, 0, evil, 1, (), (Place(evil, 1),))
    state = reduce_all(None, [begin, added, RunEnded(1, 101.0, "failed", evil)])
    reading = Reading()
    reading.feed(as_html(told(state, 101.0)))
    reading.close()
    wanted = {"details", "summary", "span", "b", "table", "thead", "tbody", "tr", "th", "td", "div"}
    assert set(reading.tags) <= wanted
    assert "".join(reading.text).count(evil) >= 5
