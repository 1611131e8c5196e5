"""What users get wrong, as programs: each with the error it must end in.

In every program ``here`` is a directory with ``0.csv``, ``1.csv``, ``2.csv`` (columns x, s), a
``bad.csv`` with a malformed row that no sample sees, and ``p.parquet`` (the same columns).
"""

from __future__ import annotations

import dataclasses
import textwrap

import pandas as pd

SETUP = """\
import os
import pandas as pd
import nbscale as ns
import nbscale.array as na
import nbscale.dataframe as nd
"""


@dataclasses.dataclass(frozen=True)
class Program:
    """Lines of a user, the last of which raises; and what the error must be and say."""

    text: str
    error: str
    says: tuple[str, ...]

    def lines(self, here) -> str:
        return textwrap.dedent(self.text).strip().replace("HERE", str(here))


def _program(text: str, error: str, *says: str) -> Program:
    return Program(text, error, says)


PROGRAMS = {
    "no match": _program(
        "nd.read_csv('HERE/none-*.csv')", "FileNotFoundError", "none-*.csv", "there is"
    ),
    "no file": _program("nd.read_csv('HERE/4.csv')", "FileNotFoundError", "4.csv", "there is"),
    "no match of parquet": _program(
        "nd.read_parquet('HERE/none-*.parquet')", "FileNotFoundError", "none-*.parquet", "p.parquet"
    ),
    "file gone": _program(
        """
        df = nd.read_csv('HERE/?.csv')
        os.unlink('HERE/1.csv')
        df.x.sum().compute()
        """,
        "FileNotFoundError",
        "1.csv",
        "vanished",
        "make the collection anew",
        "read_csv",
        "partition 1 of 0 to 2",
    ),
    "file changed": _program(
        """
        df = nd.read_csv('HERE/?.csv')
        with open('HERE/1.csv', 'a') as file:
            file.write('1,b')
        df.groupby('s').x.mean().compute()
        """,
        "nbscale.errors.SourceChanged",
        "1.csv",
        "was changed",
        "make the collection anew",
    ),
    "first file gone before head": _program(
        """
        df = nd.read_csv('HERE/?.csv')
        os.unlink('HERE/0.csv')
        df.head()
        """,
        "FileNotFoundError",
        "0.csv",
        "make the collection anew",
    ),
    "parquet gone": _program(
        """
        df = nd.read_parquet('HERE/p.parquet')
        os.unlink('HERE/p.parquet')
        df.compute()
        """,
        "FileNotFoundError",
        "p.parquet",
        "make the collection anew",
    ),
    "parquet changed": _program(
        """
        df = nd.read_parquet('HERE/p.parquet')
        pd.DataFrame({'x': [1]}).to_parquet('HERE/p.parquet')
        len(df[df.x > 3])
        """,
        "nbscale.errors.SourceChanged",
        "p.parquet",
        "make the collection anew",
    ),
    "missing column": _program(
        "nd.read_csv('HERE/0.csv')['xx']", "KeyError", "'xx'", "did you mean 'x'", "x, s"
    ),
    "missing attribute": _program(
        "nd.read_csv('HERE/0.csv').none", "AttributeError", "no attribute 'none'"
    ),
    "missing column of groups": _program(
        "nd.read_csv('HERE/0.csv').groupby('x')['none'].sum()", "KeyError", "'none'", "x, s"
    ),
    "missing column to sort by": _program(
        "nd.read_csv('HERE/0.csv').sort_values('none')", "KeyError", "'none'", "x, s"
    ),
    "missing column to merge on": _program(
        "nd.read_csv('HERE/0.csv').merge(nd.read_csv('HERE/1.csv'), on='none')",
        "KeyError",
        "'none'",
        "x, s",
    ),
    "missing column of parquet": _program(
        "nd.read_parquet('HERE/p.parquet', columns=['none'])", "KeyError", "'none'", "x, s"
    ),
    "malformed row": _program(
        "nd.read_csv('HERE/bad.csv').x.sum().compute()",
        "pandas.errors.ParserError",
        "Expected 2 fields in line 100002, saw 3",
        "bad.csv",
        "'7,b,c'",
        "on_bad_lines='skip'",
    ),
    "function that raises": _program(
        """
        def part_of(part):
            return part['none']
        def work(part):
            return part_of(part)
        nd.read_csv('HERE/?.csv').map_partitions(work).compute()
        """,
        "KeyError",
        "in work",
        "in part_of",
        "'none'",
    ),
    "function that raises late": _program(
        """
        def work(part):
            return 1 / (len(part) - 1000)  # a sample is shorter
        nd.read_csv('HERE/?.csv').map_partitions(work).compute()
        """,
        "ZeroDivisionError",
        "in work",
        "division by zero",
        "map_partitions(work)",
        "partition 0 of 0 to 2",
    ),
    "delayed function that raises": _program(
        """
        @ns.delayed
        def inverse(x):
            return 1 / x
        inverse(0).compute()
        """,
        "ZeroDivisionError",
        "in inverse",
        "while running inverse",
    ),
    "function of chunks that raises": _program(
        """
        def work(chunk):
            raise ValueError('mine')
        na.ones((10, 10), chunks=5).map_blocks(work, dtype=float).compute()
        """,
        "ValueError",
        "in work",
        "mine",
        "map_blocks(work)",
        "chunk (0, 0)",
    ),
    "shapes that do not go together": _program(
        "na.ones((10, 10)) + na.ones((3, 4))", "ValueError", "broadcast", "(10,10) (3,4)"
    ),
    "parquet read as text": _program(
        "nd.read_csv('HERE/p.parquet')", "ValueError", "p.parquet", "read_parquet"
    ),
    "text read as parquet": _program(
        "nd.read_parquet('HERE/0.csv')", "ValueError", "0.csv", "read_csv"
    ),
    "text and number": _program("nd.read_csv('HERE/0.csv').s + 1", "TypeError", "add", "str"),
    "what is not there yet": _program(
        "nd.read_csv('HERE/0.csv').loc[3]", "AttributeError", "'loc'", "compute() it first"
    ),
    "truth of a series": _program(
        "if nd.read_csv('HERE/0.csv').x > 3: pass", "ValueError", "ambiguous", ".any()"
    ),
    "unknown engine": _program(
        "nd.read_csv('HERE/0.csv').compute(engine='none')",
        "nbscale.errors.EngineError",
        "'none'",
        "inline, local, threads",
    ),
    "unknown setting": _program("ns.config.set(workers=3)", "TypeError", "'workers'", "n_workers"),
}


def make_files(here) -> None:
    """Write the files that the programs read."""
    good = "x,s\n" + "".join(f"{i},w{i % 7}\n" for i in range(1000))
    for name in ("0.csv", "1.csv", "2.csv"):
        (here / name).write_text(good)
    lines = "0,a\n" * 100_000
    (here / "bad.csv").write_text(f"x,s\n{lines}7,b,c\n{lines}")
    pd.DataFrame({"x": range(10), "s": ["a"] * 10}).to_parquet(here / "p.parquet")
