"""What the package must not contain, found in its text: each ban has been a hole in a peer of ours.

A file's uses are found by what a name was imported as, so another name for it hides nothing. What is
allowed is named with the function it is in, and the reason.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

__all__ = ["ALLOWED", "Use", "in_python", "in_typescript", "uses"]

ROOT = Path(__file__).parents[1]

_SIGNED = "after the signature of the frame was checked"
_MADE_HERE = (
    "bytes that this process, or one of its pool, has made; named by a frame that was checked"
)
_PAIR = "from a socket pair whose other end only a child of this process has"
_OURS = "a text that is ours"
_USERS = "a text that is the user's own cell"

ALLOWED = {
    ("nbscale/comm/line.py", "Line.receive", "pickle.loads"): _PAIR,
    ("nbscale/engines/failure.py", "_again", "exec"): _OURS,
    ("nbscale/engines/failure.py", "_pickled", "pickle.loads"): "what was just pickled here",
    ("nbscale/engines/failure.py", "_unpickled", "pickle.loads"): _MADE_HERE,
    ("nbscale/engines/failure.py", "unpack", "pickle.loads"): _MADE_HERE,
    ("nbscale/engines/local/pool.py", "Pool._hear_workers", "marshal.loads"): _SIGNED,
    ("nbscale/engines/local/remote.py", "Remote.value", "pickle.loads"): _MADE_HERE,
    ("nbscale/engines/local/carrying.py", "Carrier.load", "pickle.loads"): _SIGNED,
    ("nbscale/engines/local/worker.py", "_Worker._take", "marshal.loads"): _SIGNED,
    ("nbscale/expr/function.py", "Function.__call__", "pickle.loads"): _MADE_HERE,
    (
        "nbscale/expr/reference.py",
        "refer",
        "pickle.loads",
    ): "bytes inside those that are being read",
    ("nbscale/notebook/loops.py", "Loop.__call__", "exec"): _USERS,
    ("nbscale/notebook/magics.py", "ParallelMagics._loop", "eval"): _USERS,
    ("nbscale/record.py", "_init_of", "exec"): _OURS,
    ("nbscale/store/codec.py", "decode", "pickle.loads"): _MADE_HERE,
}
"""(file, function, what) of the uses that are meant, and why each is safe."""

_UNPICKLING = {
    f"{module}.{name}"
    for module in ("pickle", "_pickle", "cloudpickle", "dill", "marshal", "joblib")
    for name in ("load", "loads", "Unpickler")
} | {"shelve.open", "pandas.read_pickle", "multiprocessing.connection.Listener"}
_CODE = {"eval", "exec", "builtins.eval", "builtins.exec"}
_SHELL = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput"}
_METHODS = {"recv_pyobj", "send_pyobj", "recv_serialized"}
_ANYWHERE = re.compile(r"^tcp://|\b0\.0\.0\.0\b")
_NETWORK = {"socket.AF_INET", "socket.AF_INET6", "socket.create_server"}

_MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc"
    r"|\beval\(|new Function\(|dangerouslySetInnerHTML|https?://(?!www\.w3\.org/)"
)


@dataclasses.dataclass(frozen=True)
class Use:
    """Something banned: where it is, in which function, and what."""

    file: str
    line: int
    function: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what} in {self.function or 'the module'}"


def uses() -> list[Use]:
    """Every use in what is shipped."""
    found = []
    for path in sorted((ROOT / "nbscale").rglob("*")):
        file = path.relative_to(ROOT).as_posix()
        if path.suffix == ".py":
            found += in_python(path.read_text(), file)
        elif path.suffix == ".ts":
            found += in_typescript(path.read_text(), file)
    return found


def in_typescript(text: str, file: str) -> list[Use]:
    """What makes markup or code of text, or brings something from elsewhere."""
    lines = enumerate(text.splitlines(), 1)
    return [Use(file, n, "", m.group()) for n, line in lines for m in _MARKUP.finditer(line)]


def in_python(text: str, file: str) -> list[Use]:
    """What is banned in a module."""
    tree = ast.parse(text)
    known = _imported(tree)
    return [
        Use(file, node.lineno, function, what)
        for node, function in _with_functions(tree)
        for what in _banned(node, known)
    ]


def _imported(tree: ast.AST) -> dict[str, str]:
    """The full names of what was imported, by the names it has here."""
    known = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                name = one.name if one.asname else one.name.partition(".")[0]
                known[one.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                known[one.asname or one.name] = f"{node.module}.{one.name}"
    return known


def _with_functions(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Every node and the qualified name of the function it is in."""
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, function = stack.pop()
        for child in ast.iter_child_nodes(node):
            inner = function
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inner = f"{function}.{child.name}".lstrip(".")
            stack.append((child, inner))
            if isinstance(child, ast.expr | ast.stmt | ast.keyword):
                yield child, inner


def _banned(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    name = _full_name(node, known)
    if name in _UNPICKLING | _CODE | _SHELL | _NETWORK:
        yield name.removeprefix("builtins.")
    match node:
        case ast.Attribute(attr=attr) if attr in _METHODS:
            yield attr
        case ast.Call(args=[owner, ast.Constant(value=str(attr)), *_]) if (
            _full_name(node.func, known) == "getattr"
            and f"{_full_name(owner, known)}.{attr}" in _UNPICKLING | _SHELL
        ):
            yield f"{_full_name(owner, known)}.{attr}"
        case ast.keyword(arg="shell", value=value) if not _is(value, False):
            yield "shell=True"
        case ast.keyword(arg="allow_pickle", value=value) if not _is(value, False):
            yield "allow_pickle=True"
        case ast.Constant(value=str(text)) if _ANYWHERE.search(text):
            yield text
        case ast.ImportFrom(module=str(module)) if _is_private_sklearn(module):
            yield f"from {module}"
        case ast.Import(names=names):
            yield from (f"import {one.name}" for one in names if _is_private_sklearn(one.name))
        case _:
            return


def _full_name(node: ast.AST, known: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return known.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        return f"{_full_name(node.value, known)}.{node.attr}"
    return ""


def _is(node: ast.expr, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _is_private_sklearn(module: str) -> bool:
    first, *rest = module.split(".")
    return first == "sklearn" and any(part.startswith("_") for part in rest)
