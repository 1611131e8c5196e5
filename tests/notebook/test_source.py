"""The text of a cell: where its head ends, and that its lines keep their numbers."""

from __future__ import annotations

import pytest

from nbscale.notebook.source import ITEM, VALUE, Source, split_header, without_first

OPTIONS = {"--gather": True, "--background": False}


@pytest.mark.parametrize(
    ("line", "header", "rest"),
    [
        ("", "", ""),
        ("--background", "", "--background"),
        ("for x in xs", "for x in xs", ""),
        ("for x in xs --gather ys", "for x in xs", "--gather ys"),
        ("--gather ys for x in xs", "for x in xs", "--gather ys"),
        ("--gather for for x in xs", "for x in xs", "--gather for"),
        ("--background for x in a --gather b", "for x in a", "--background   --gather b"),
        ("for x in f('a  --gather b', [-1, --2])", "for x in f('a  --gather b', [-1, --2])", ""),
        (r"for x in 'a\' --gather b' --background", r"for x in 'a\' --gather b'", "--background"),
        ("for x in range(9, -1, -1)", "for x in range(9, -1, -1)", ""),
        ("for x in a --b", "for x in a --b", ""),
    ],
)
def test_the_head_of_a_loop_and_options(line, header, rest):
    assert split_header(line, OPTIONS) == (header, rest)


def source(text):
    whole = ("%%parallel for x in xs", *text.splitlines())
    return Source(text, "cell.py", 1, whole)


def run(text, item, target="x"):
    space = {ITEM: item}
    exec(source(text).loop(target), space)
    return space


def test_the_value_of_the_last_expression():
    assert run("y = x\ny + 1", 1)[VALUE] == 2
    assert VALUE not in run("y = x", 1)
    assert VALUE not in run("", 1)


def test_any_target_and_continue():
    space = run("if a:\n    continue\nb", (1, [2, 3]), "a, (b, *c)")
    assert VALUE not in space
    assert space["c"] == [3]


def test_errors_name_the_line_of_the_cell():
    with pytest.raises(SyntaxError) as raised:
        source("a = 1\nb = = 2").loop("x")
    assert (raised.value.filename, raised.value.lineno) == ("cell.py", 3)
    with pytest.raises(ZeroDivisionError) as raised:
        run("a = 1\n1 / x", 0)
    assert raised.traceback[-1].lineno + 1 == 3


@pytest.mark.parametrize(
    "text", ["break", "if x:\n    break", "for i in x:\n    pass\nelse:\n    break"]
)
def test_break_is_refused(text):
    with pytest.raises(SyntaxError, match="'break' cannot end"):
        source(text).loop("x")
    run("for i in (1, 2):\n    break", 1)


def test_lines_before_the_body():
    assert without_first("%%parallel\na\nb\n", "a\nb\n") == 1
    assert without_first("\n\n%%parallel\na\n", "a\n") == 3
