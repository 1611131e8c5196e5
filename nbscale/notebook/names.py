"""Which names the code of a cell reads and which it assigns: Python's own symbol tables say it."""

from __future__ import annotations

import ast
import re
import symtable
from collections.abc import Iterator

from nbscale.record import record

__all__ = ["Names", "altered_in", "names_of", "words_of_magics"]


@record
class Names:
    """Names at the top of a cell, each once, in alphabetical order.

    Attributes
    ----------
    read
        What the code takes from its surroundings, in functions and classes that it defines, too, and
        what ``df.query("a > @limit")`` does.
    assigned
        What it binds at its top: also by imports, ``def``, ``for`` and ``with``, and what its
        functions declare ``global``.
    """

    read: tuple[str, ...]
    assigned: tuple[str, ...]


def names_of(code: str, file: str = "<cell>") -> Names:
    """The names of a piece of code.

    A name that is read only after it was assigned counts as read, too: when, only running it tells.

    Raises
    ------
    SyntaxError
        If it is no code.

    Examples
    --------
    >>> names_of("y = [f(x) for x in xs]")
    Names(read=('f', 'xs'), assigned=('y',))
    """
    top = symtable.symtable(code, file, "exec")
    tree = ast.parse(code, file)
    read, assigned = {*_changed(tree), *_in_queries(tree)}, set()
    for symbol in top.get_symbols():
        if symbol.is_referenced():
            read.add(symbol.get_name())
        if symbol.is_assigned() or symbol.is_imported():
            assigned.add(symbol.get_name())
    for table in _inside(top):
        is_class = table.get_type() == "class"
        for symbol in table.get_symbols():
            # In the body of a class, what is not there yet is looked for at the top.
            if symbol.is_referenced() and (symbol.is_global() or (is_class and symbol.is_local())):
                read.add(symbol.get_name())
            if symbol.is_declared_global() and (symbol.is_assigned() or symbol.is_imported()):
                assigned.add(symbol.get_name())
                read.add(symbol.get_name())  # it may change what is there
    return Names(tuple(sorted(read)), tuple(sorted(assigned)))


def _inside(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    for child in table.get_children():
        yield child
        yield from _inside(child)


def _changed(tree: ast.AST) -> Iterator[str]:
    """Names that are changed or deleted, but for those in functions: they must be there before."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        changed: list[ast.expr] = [node.target] if isinstance(node, ast.AugAssign) else []
        if isinstance(node, ast.Delete):
            changed += node.targets
        yield from (name.id for name in changed if isinstance(name, ast.Name))
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            waiting += ast.iter_child_nodes(node)


def _in_queries(tree: ast.AST) -> Iterator[str]:
    """Names in texts for pandas' ``query`` and ``eval``, which look for them where they are called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "@" in node.value:
            yield from re.findall(r"(?<![\w@.])@([^\W\d]\w*)", node.value)


def altered_in(code: str) -> set[str]:
    """Names at the top of a piece of code whose items or attributes it assigns or deletes.

    Examples
    --------
    >>> sorted(altered_in("df['a'] = 1; model.best.score += 1; n = 2"))
    ['df', 'model']
    """
    found = set()
    waiting: list[ast.AST] = [ast.parse(code)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Attribute, ast.Subscript)) and not isinstance(node.ctx, ast.Load):
            whole: ast.expr = node
            while isinstance(whole, (ast.Attribute, ast.Subscript)):
                whole = whole.value
            if isinstance(whole, ast.Name):
                found.add(whole.id)
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)):
            waiting += ast.iter_child_nodes(node)
    return found


def words_of_magics(code: str) -> set[str]:
    """Words that magics are given, which may be names: IPython makes calls with text of them.

    Examples
    --------
    >>> sorted(words_of_magics("get_ipython().run_line_magic('timeit', '-n 1 f(x)')"))
    ['f', 'n', 'x']
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Call(ast.Attribute(ast.Call(ast.Name("get_ipython"))), [_, *_] as texts):
                for text in texts[len(texts) > 1 :]:
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        found.update(re.findall(r"[^\W\d]\w*", text.value))
    return found
