"""References to what is in modules that the user may be editing, as another process reads them.

A process that only runs tasks keeps up with the files: where a version is wanted that it has not
loaded, it imports anew. One in which the user edits never does, since that is hers to do.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias

from nbscale.expr.version import Version, is_local, reached, version

__all__ = ["Reference", "Twin", "cached", "fill", "follow_files", "refer"]

Reference: TypeAlias = tuple[str, str, Version, str]
"""Where something is: its module, its name there ('' for the module), the version of the module, and
a digest of the code it can come to."""

_MOST_MADE = 256

_loaded: dict[str, tuple[ModuleType, Version | None]] = {}
"""Modules and their versions when they were first looked at: later their state is their own."""

_tried: dict[tuple[str, Version], int] = {}
"""Versions that the files did not have, and the files as they were then."""

_made: dict[bytes, Any] = {}
"""What was made of contents, by their digests."""

_follows = False


def follow_files() -> None:
    """Import modules anew in this process where their files were edited: nobody else does it here."""
    global _follows  # noqa: PLW0603 - of the process
    _follows = True


def refer(found: Reference, contents: bytes | None) -> Any:
    """The function, class or module of that version."""
    name, path, wanted, code = found
    wanted = Version(*wanted)
    module = _with(name, wanted)
    if module is None and contents is not None:
        key = hashlib.blake2b(contents, digest_size=16).digest()
        if key not in _made:  # so that there is one of each class
            if len(_made) > _MOST_MADE:
                _made.clear()
            # The bytes lie inside those being read, which were checked.
            _made[key] = pickle.loads(contents)
        return _made[key]
    if module is None:
        module = _with_the_code(name, path.partition(".")[0], code)
    value: Any = module
    for part in path.split(".") if path else ():
        value = getattr(value, part)
    return value


def _with(name: str, wanted: Version) -> ModuleType | None:
    """The module, if it has that version or its file does."""
    try:
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - the path or the folder is another here
        return None
    if _version(module) == wanted:
        return module
    if not _follows:
        return None
    files = _files()
    if _tried.get((name, wanted)) == files:
        return None
    anew = _imported_anew(name)
    if anew is None or _version(anew[0]) != wanted:
        _tried[name, wanted] = files
        if anew is not None:
            _put_back(anew[1])
        return None
    return anew[0]


def _version(module: ModuleType) -> Version | None:
    if not _follows:
        return version(module)  # who edits here may have changed it in its place
    known = _loaded.get(module.__name__)
    if known is None or known[0] is not module:
        known = _loaded[module.__name__] = (module, version(module))
    return known[1]


def _local_modules() -> dict[str, ModuleType]:
    return {n: m for n, m in list(sys.modules.items()) if isinstance(m, ModuleType) and is_local(m)}


def _files() -> int:
    """A number for the files as they are now."""
    stamps = []
    for module in _local_modules().values():
        try:
            stat = Path(module.__file__ or "").stat()
            stamps.append((module.__name__, stat.st_mtime_ns, stat.st_size))
        except OSError:
            stamps.append((module.__name__, 0, 0))
    return hash(tuple(sorted(stamps)))


def _imported_anew(name: str) -> tuple[ModuleType, dict[str, ModuleType]] | None:
    """A module, imported again with those that it imports, and what was there before."""
    before = _local_modules()
    for one in before:
        del sys.modules[one]
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(name)
    except Exception:  # noqa: BLE001 - it is being edited: what was there stays
        _put_back(before)
        return None
    _put_back({n: m for n, m in before.items() if n not in sys.modules})  # which it does not import
    return module, before


def _put_back(modules: dict[str, ModuleType]) -> None:
    sys.modules.update(modules)
    for name, module in modules.items():
        package, _, last = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], last, module)


def _with_the_code(name: str, of: str, code: str) -> ModuleType:
    """The module if at least the code of something in it is the same: what it holds is its own."""
    module = importlib.import_module(name)
    if reached(module, of) != code:
        raise ImportError(
            f"{name}.py is another than the {name} from which {of} was taken, and that cannot be "
            f"pickled: it reads a lock, a connection or more than 1 MB. Make both the same with "
            f"importlib.reload({name}), and then make what uses {of} again",
            name=name,
        )
    return module


class Twin(ModuleType):
    """A module as it was in the process that pickled it, beside the one that can be imported."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        left = self.__dict__.get("__left__", {})
        if name not in left:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return getattr(_with_the_code(self.__name__, name, left[name]), name)


def fill(module: ModuleType, inside: dict[str, Any]) -> None:
    """Put into a twin what is in it; it may hold the twin itself."""
    vars(module).update(inside)


def cached(function: Any, options: dict[str, Any]) -> Any:
    """A function with a cache of its own, as ``functools.lru_cache`` makes it."""
    return functools.lru_cache(**options)(function)
