"""Which rows of what file a task is at, found through the stages it reads."""

import pytest

from nbscale.graph.axismap import All, Each, Group
from nbscale.graph.part import Part, part_at, part_text, parts_of
from nbscale.graph.stage import Edge, Program, Stage, Step


class Reads:
    """A kernel that reads ten rows of a file."""

    def __init__(self, name="a.csv"):
        self.name = name

    def part(self, index):
        return Part(self.name, 10 * index[0], 10 * index[0] + 10)


def plain(index, *inputs):
    return inputs


def stage(number, n, kernels, *edges):
    """A stage whose first steps read nothing, and whose last reads all of them and the edges."""
    sources = [Step(kernel, (), (0,), "read") for kernel in kernels]
    last = Step(plain, tuple(range(len(edges) + len(sources))), (0,), "last")
    program = Program.of(len(edges), [*sources, last])
    return Stage(number, "s", (range(n),), (n,), program, edges)


def texts(stage, task, *others, step=None):
    return [str(p) for p in parts_of(stage, task, {s.number: s for s in others}, step)]


def test_a_source_fused_in_the_task():
    assert texts(stage(0, 4, [Reads()]), 3) == ["rows 30-39 of a.csv"]


def test_a_source_several_stages_back():
    a = stage(0, 4, [Reads()])
    b = stage(1, 4, [], Edge(0, (0,), (Each(4),)))
    c = stage(2, 4, [], Edge(1, (0,), (Each(4),)))
    assert texts(c, 2, a, b) == ["rows 20-29 of a.csv"]


def test_pieces_side_by_side_are_one():
    a = stage(0, 4, [Reads()])
    assert texts(stage(1, 2, [], Edge(0, (0,), (Group(4, 2),), "list")), 1, a) == [
        "rows 20-39 of a.csv"
    ]


def test_two_files_are_both_named_and_three_are_not():
    two = parts_of(stage(0, 4, [Reads("b"), Reads("a")]), 0, {})
    assert part_text(two) == "rows 0-9 of a and rows 0-9 of b"
    assert part_text([Part("a"), Part("b"), Part("c")]) == ""


def test_only_what_goes_into_the_step():
    both = stage(0, 4, [Reads("a"), Reads("b")])
    assert texts(both, 0, step=1) == ["rows 0-9 of b"]
    assert texts(both, 0, step=2) == ["rows 0-9 of a", "rows 0-9 of b"]


@pytest.mark.parametrize(
    "edge",
    [
        Edge(0, (0,), (All(4, 4),), "list"),  # such as the prefix of a scan
        Edge(0, (0,), (Each(4),), "list", pieces=True),  # rows from everywhere
        Edge(7, (0,), (Each(4),)),  # a stage that is gone
    ],
)
def test_what_is_made_of_everything_is_no_part(edge):
    assert texts(stage(1, 4, [], edge), 0, stage(0, 4, [Reads()])) == []


def test_what_is_made_of_many_is_no_part():
    reader = stage(1, 1, [], Edge(0, (0,), (Group(30, 30),), "list"))
    assert texts(reader, 0, stage(0, 30, [Reads()])) == []


@pytest.mark.parametrize(
    ("part", "text"),
    [
        (Part("a.csv.gz"), "a.csv.gz"),
        (Part("a", 5, 5), "no rows of a"),
        (Part("a", 5, 6), "row 5 of a"),
        (Part("a", 4_100_000, 4_200_000), "rows 4,100,000-4,199,999 of a"),
        (Part("a", 4.1e6, 4.2e6, exact=False), "rows ~4.1-4.2 M of a"),
        (Part("a", 0, 20, exact=False, bytes=(0, 200)), "rows ~0-20 of a (bytes 0-199)"),
    ],
)
def test_text(part, text):
    assert str(part) == text


def test_a_kernel_that_says_something_else():
    class Odd:
        def part(self, index):
            return "partition"

    assert part_at(Odd(), (0,)) is None
    assert part_at(plain, (0,)) is None
