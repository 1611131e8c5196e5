"""``python -m benchmarks.mutants TARGET``: change code at one place at a time, and see who notices.

Every change is one of an operator, a comparison, a constant, a condition, or a statement left out. A
sample of them, drawn with a seed, is tried in a copy of the tree: what imports quickly is done once,
then each change is a forked child that runs the target's tests until the first that fails. One that
takes long after all others is caught, too: it never ends. What is missed is written down, to be
judged: some changes change nothing, such as of a limit that only costs time.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import dataclasses
import functools
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.rows import RESULTS, ROOT

__all__ = ["TARGETS", "Mutant", "Target", "changed", "main", "mutants_of", "tried"]

ENOUGH = 0.85
"""The share of changes that must be caught."""


_AT_LEAST, _TIMES = 10.0, 3.0
"""Tests that take so many seconds and so many times as long as without a change never end."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Files to change, and the tests that should notice, those that are quick first.

    Of tests that take minutes a part is run: what it catches, all of them do.
    """

    files: tuple[str, ...]
    tests: tuple[tuple[str, ...], ...]
    sample: int


TARGETS = {
    "frames": Target(("nbscale/comm/frame.py",), (("tests/comm",),), 1000),
    "scheduler": Target(
        tuple(
            f"nbscale/scheduler/{name}.py"
            for name in (
                "machine", "giving", "values", "runs", "records", "growth", "ledger", "states",
                "wiring", "policy",
            )
        ),
        (
            ("tests/scheduler",),
            ("tests/simulate/test_random.py::test_every_run_ends_and_every_rule_holds[0]",),
            ("tests/simulate/test_simulate.py",),
        ),
        300,
    ),
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One change: where it is, what it is, and its number among those of the file."""

    file: str
    line: int
    what: str
    number: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


# Changes ------------------------------------------------------------------------------------

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult, ast.Mod: ast.Mult, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip

Change = Callable[[Any], Any]


def _changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be done to a node: a name of it, and a function that makes another of a copy."""
    match node:
        case ast.Compare(ops=[op]) if type(op) in _COMPARED:
            yield "a comparison turned", lambda n: _with(n, ops=[_COMPARED[type(op)]()])
        case ast.BinOp(op=op) | ast.AugAssign(op=op) if type(op) in _COMPUTED:
            yield "another operator", lambda n: _with(n, op=_COMPUTED[type(op)]())
        case ast.BoolOp(op=ast.And()):
            yield "`or` for `and`", lambda n: _with(n, op=ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield "`and` for `or`", lambda n: _with(n, op=ast.And())
        case ast.UnaryOp(op=ast.Not()):
            yield "`not` left out", lambda n: n.operand
        case ast.Constant(value=bool(value)):
            yield f"{not value} for {value}", lambda n: _with(n, value=not n.value)
        case ast.Constant(value=int(value)):
            yield f"{value + 1} for {value}", lambda n: _with(n, value=n.value + 1)
        case ast.If() | ast.While() | ast.IfExp():
            yield "a condition turned", lambda n: _with(n, test=ast.UnaryOp(ast.Not(), n.test))
        case ast.Break():
            yield "`continue` for `break`", lambda _: ast.Continue()
        case ast.Continue():
            yield "`break` for `continue`", lambda _: ast.Break()
        case _:
            pass
    if isinstance(node, ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Delete):
        yield "a statement left out", lambda _: ast.Pass()
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "None returned", lambda n: _with(n, value=None)


def _with(node: Any, **fields: Any) -> Any:
    for name, value in fields.items():
        setattr(node, name, value)
    return node


def _places(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int | None]]:
    """Every (parent, field, index) whose node is code that runs: no annotation, no docstring."""
    stack: list[ast.AST] = [tree]
    while stack:
        parent = stack.pop()
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "type_params", "bases"):
                continue
            for index, node in enumerate(value if isinstance(value, list) else [value]):
                if isinstance(node, ast.AST) and not _says_nothing(parent, node):
                    stack.append(node)
                    yield parent, field, index if isinstance(value, list) else None


def _says_nothing(parent: ast.AST, node: ast.AST) -> bool:
    """Whether a node is none of the program: imports, docstrings, asserts, names of types."""
    if isinstance(node, ast.Import | ast.ImportFrom | ast.Assert | ast.AnnAssign | ast.JoinedStr):
        return not (isinstance(node, ast.AnnAssign) and isinstance(parent, ast.FunctionDef))
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    names = [one.id for one in getattr(node, "targets", []) if isinstance(one, ast.Name)]
    return bool({"__all__", "__slots__"} & set(names)) or (
        isinstance(parent, ast.Module) and isinstance(node, ast.If)
    )


def mutants_of(file: str, text: str) -> list[Mutant]:
    """Every change of a file."""
    found: list[Mutant] = []
    for node, _, what, _ in _all_changes(ast.parse(text)):
        said = ast.unparse(node).splitlines()[0][:60]
        line = getattr(node, "lineno", 0)
        found.append(Mutant(file, line, f"{what} in `{said}`", len(found)))
    return found


def changed(text: str, number: int) -> str:
    """The text of a file with one of its changes."""
    tree = ast.parse(text)
    node, put, _, change = next(itertools.islice(_all_changes(tree), number, None))
    put(ast.copy_location(change(copy.deepcopy(node)), node))
    return ast.unparse(ast.fix_missing_locations(tree))


def _all_changes(tree: ast.Module) -> Iterator[tuple[ast.AST, Change, str, Change]]:
    for parent, field, index in list(_places(tree)):
        held = getattr(parent, field)
        node = held if index is None else held[index]
        put = functools.partial(_put, parent, field, index)
        yield from ((node, put, what, change) for what, change in _changes(node))


def _put(parent: ast.AST, field: str, index: int | None, node: Any) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


# Trying them --------------------------------------------------------------------------------


def _run(tests: tuple[str, ...]) -> int:
    """Run tests in this process, which is a child, and return pytest's exit code."""
    import pytest

    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    return int(pytest.main(["-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]))


def _outcome(tests: tuple[str, ...], timeout: float) -> int | None:
    """The exit code of tests in a child; None if it had to be ended."""
    pid = os.fork()
    if not pid:
        code = 70
        try:
            os.setpgid(0, 0)
            code = _run(tests)
        finally:
            os._exit(code)
    end = time.monotonic() + timeout
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            for kill in (os.killpg, os.kill):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return None
        time.sleep(0.02)


@contextlib.contextmanager
def _copy_of_the_tree() -> Iterator[Path]:
    """The package and its tests in a folder of their own, found before the real ones."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        tree = Path(folder)
        for name in ("nbscale", "tests"):
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", tree)
        before = Path.cwd()
        os.chdir(tree)
        sys.path.insert(0, folder)
        sys.dont_write_bytecode = True  # files change faster than their times
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        try:
            yield tree
        finally:
            os.chdir(before)
            sys.path.remove(folder)


def tried(
    target: Target, say: Callable[[str], None], *, sample: int, seed: int, seconds: float
) -> tuple[int, list[Mutant]]:
    """Try a sample of changes: how many were tried, and those that nobody noticed.

    Parameters
    ----------
    seconds
        After which no other is tried.
    """
    import hypothesis  # noqa: F401 - done once, for all children
    import numpy as np  # noqa: F401
    import pandas as pd  # noqa: F401
    import pytest  # noqa: F401

    if any(name.partition(".")[0] == "nbscale" for name in sys.modules):
        raise RuntimeError("nbscale is imported already: the copy would not be")
    texts = {file: (ROOT / file).read_text() for file in target.files}
    every = [m for file, text in texts.items() for m in mutants_of(file, text)]
    chosen = random.Random(seed).sample(every, min(sample, len(every)))
    missed: list[Mutant] = []
    count, began = 0, time.monotonic()
    with _copy_of_the_tree() as tree:
        timeouts = {}
        for tests in target.tests:
            start = time.monotonic()
            if _outcome(tests, 600) != 0:
                raise RuntimeError(f"{tests[0]} fails without any change")
            timeouts[tests] = _AT_LEAST + _TIMES * (time.monotonic() - start)
        for mutant in chosen:
            if time.monotonic() - began > seconds:
                break
            path = tree / mutant.file
            path.write_text(changed(texts[mutant.file], mutant.number))
            how = next((t for t in target.tests if _outcome(t, timeouts[t]) != 0), None)
            path.write_text(texts[mutant.file])
            count += 1
            if how is None:
                missed.append(mutant)
            say(
                f"{count:>4} {'MISSED' if how is None else 'caught'} {mutant} {how[0] if how else ''}"
            )
    say(f"{count - len(missed)} of {count} caught, of {len(every)} there are")
    return count, missed


def main(words: list[str] | None = None) -> int:
    """Try a target's changes, and write down what was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--sample", type=int, help="how many changes; default: as the target says")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3600, help="after which no other is tried")
    parser.add_argument("--results", type=Path, default=RESULTS / "mutations")
    args = parser.parse_args(words)
    target = TARGETS[args.target]
    count, missed = tried(
        target,
        lambda line: print(line, flush=True),
        sample=args.sample or target.sample,
        seed=args.seed,
        seconds=args.seconds,
    )
    share = (count - len(missed)) / count
    lines = [
        f"# Mutations of {args.target}: {count - len(missed)} of {count} caught, {share:.1%}",
        f"Seed {args.seed}; at least {ENOUGH:.0%} must be. Missed:",
        "\n".join(f"- {one}" for one in missed) or "none.",
    ]
    args.results.mkdir(parents=True, exist_ok=True)
    (args.results / f"{args.target}.md").write_text("\n\n".join(lines) + "\n")
    return 0 if share >= ENOUGH else 1


if __name__ == "__main__":
    sys.exit(main())
