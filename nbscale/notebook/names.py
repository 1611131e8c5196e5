"""Which names the code of a cell reads and which it assigns: Python's own symbol tables say it."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator

from nbscale.record import record

__all__ = ["Names", "names_of"]


@record
class Names:
    """Names at the top of a cell, each once, in alphabetical order.

    Attributes
    ----------
    read
        What the code takes from its surroundings, in functions and classes that it defines, too.
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
    read, assigned = set(_changed(ast.parse(code, file))), set()
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
