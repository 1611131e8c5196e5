"""The text of a cell: compiled so that its errors name the lines that the user sees."""

from __future__ import annotations

import ast
import builtins
import linecache
import re
from types import CodeType

from nbscale.record import record

__all__ = ["BREAK", "ITEM", "VALUE", "Source", "show_lines", "split_header", "without_first"]

ITEM = "__nbscale_item__"
"""Where the body of a loop finds its item."""

VALUE = "__nbscale_value__"
"""Where it leaves the value of its last expression."""

BREAK = "'break' cannot end a parallel loop: other items run at the same time"


@record
class Source:
    """The code below the first line of a cell.

    Attributes
    ----------
    text
        The code.
    file
        What IPython calls the file of the cell.
    first
        How many lines of the cell stand before it.
    lines
        All lines of the cell, as the user sees them.
    """

    text: str
    file: str
    first: int
    lines: tuple[str, ...]

    @property
    def padded(self) -> str:
        """The code below as many empty lines as there are lines before it."""
        return "\n" * self.first + self.text

    def below(self, transformed: str) -> str:
        """The code as IPython has transformed it, below as many lines as the text has in the cell.

        IPython takes away lines at the beginning in which there is nothing.
        """
        lines = self.text.splitlines()
        empty = next((n for n, line in enumerate(lines) if line.strip()), 0)
        return "\n" * (self.first + empty) + transformed

    def tree(self) -> ast.Module:
        """The code, parsed.

        Raises
        ------
        SyntaxError
            Names the line of the cell.
        """
        return ast.parse(self.padded, self.file)

    def loop(self, target: str) -> CodeType:
        """The code as the body of a loop over one item, which is found under ``ITEM``.

        The value of its last expression is left under ``VALUE``.

        Raises
        ------
        SyntaxError
            If it is no body of a loop, or ends the loop by ``break``.
        """
        header = ast.parse(f"for {target} in ({ITEM},): pass").body[0]
        assert isinstance(header, ast.For)
        for part in ast.walk(header):  # it stands in the first line, whatever its length
            if isinstance(part, (ast.expr, ast.stmt)):
                part.lineno = part.end_lineno = 1
                part.col_offset = part.end_col_offset = 0
        body = self.tree().body
        self._forbid_break(body)
        if body and isinstance(body[-1], ast.Expr):
            last = body[-1]
            kept = ast.Name(VALUE, ast.Store())
            body[-1] = ast.copy_location(ast.Assign([kept], last.value), last)
            ast.copy_location(kept, last)
        header.body = body or [ast.copy_location(ast.Pass(), header)]
        module = ast.Module([header], [])
        return builtins.compile(module, self.file, "exec", dont_inherit=True)

    @property
    def ends_with_value(self) -> bool:
        """Whether the code ends with an expression."""
        body = self.tree().body
        return bool(body) and isinstance(body[-1], ast.Expr)

    def _forbid_break(self, body: list[ast.stmt]) -> None:
        for node in _of_this_loop(body):
            if isinstance(node, ast.Break):
                where = (self.file, node.lineno, node.col_offset + 1, self.lines[node.lineno - 1])
                raise SyntaxError(BREAK, where)  # noqa: TRY004 - it is the user's code


def _of_this_loop(body: list[ast.stmt]) -> list[ast.AST]:
    """Every node of a body but those inside loops, functions and classes of its own."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(body)
    while waiting:
        node = waiting.pop()
        found.append(node)
        if isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            waiting += node.orelse
        elif not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def show_lines(source: Source) -> None:
    """Let tracebacks in this process show the lines of a cell as the user sees them."""
    text = "\n".join(source.lines)
    lines = [line + "\n" for line in source.lines]
    linecache.cache[source.file] = (len(text), None, lines, source.file)


def without_first(raw: str, body: str) -> int:
    """How many lines of a cell stand before its body."""
    whole, below = raw.rstrip().splitlines(), body.rstrip().splitlines()
    first = len(whole) - len(below)
    return first if first > 0 and whole[first:] == below else 1


def split_header(line: str, options: dict[str, bool]) -> tuple[str, str]:
    """Split what follows the name of the magic into the head of a loop and options.

    Parameters
    ----------
    line
        Such as ``--gather ys for x in xs`` or ``for x in xs --gather ys``.
    options
        Names of options, and whether a word follows.

    Returns
    -------
    header, rest
        The head, or '', and the text of the options.

    Examples
    --------
    >>> split_header("for s in ['a --gather b'] --gather ys", {"--gather": True})
    ("for s in ['a --gather b']", '--gather ys')
    """
    at = 0
    while (match := _WORD.match(line, at)) is not None:
        if match[1] == "for":
            break
        at = match.end()
        if options.get(match[1]) and (following := _WORD.match(line, at)) is not None:
            at = following.end()
    else:
        return "", line
    begin = match.start(1)
    end = _end_of_head(line, begin, options)
    return line[begin:end].strip(), f"{line[:begin]} {line[end:]}".strip()


_WORD = re.compile(r"\s*(\S+)")
_SKIPPED = re.compile(r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[(\[{]|[)\]}]|\s--[a-z]+""")


def _end_of_head(line: str, begin: int, options: dict[str, bool]) -> int:
    """Where the first option after a head begins: outside of quotes and brackets."""
    depth = 0
    for match in _SKIPPED.finditer(line, begin):
        found = match[0]
        if found in "([{":
            depth += 1
        elif found in ")]}":
            depth -= 1
        elif found.strip() in options and depth <= 0:
            return match.start()
    return len(line)
