"""How values are pickled for another process: what the user may be editing, with its version.

::

    kernel   helpers.clean ── pickled as: ──> its name, the version of helpers, and what it is
    worker   its helpers has that version ──> that function: state, caches and classes are the module's
             its file was edited ───────────> imported anew; has that version now ──> that function
             neither ───────────────────────> made of what it is: the kernel's, as it was captured

cloudpickle alone names what can be imported, so a worker would go on with a module that was edited
since, or begin with one that the kernel has not loaded yet.
"""

from __future__ import annotations

import functools
import io
import sys
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as by_value

from nbscale.expr.reference import Reference, Twin, cached, fill, refer
from nbscale.expr.version import Start, Version, home, is_local, reached, version

__all__ = ["Pickler", "dumps"]

_MOST_BYTES = 1 << 20
"""What a function or class is, beside its name: more than that does not travel with each."""

_NO_FILE = "<dynamic-code>"

_CACHED = type(functools.lru_cache(None)(lambda: None))


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Pickles as cloudpickle, but for what is in modules that the user may be editing."""

    def __init__(self, file: Any, **options: Any) -> None:
        super().__init__(file, **options)
        self._versions: dict[str, Version | None] = {}

    def reducer_override(self, obj: Any) -> Any:
        """How an object is pickled, unless in the usual way."""
        found = self._found(obj)
        if found is None:
            return super().reducer_override(obj)
        return refer, (found, _contents(obj, found))

    def _found(self, obj: Any) -> Reference | None:
        if isinstance(obj, ModuleType):
            module, name = (obj, "") if is_local(obj) and _is_imported(obj) else (None, "")
        elif isinstance(obj, (FunctionType, type, _CACHED)):
            module, name = home(obj), getattr(obj, "__qualname__", "")
        else:
            return None
        if module is None:
            return None
        known = self._versions
        if module.__name__ not in known:
            known[module.__name__] = version(module)
        wanted = known[module.__name__]
        if wanted is None:
            return None
        return module.__name__, name, wanted, _reached(module, name.partition(".")[0], wanted)


def dumps(value: Any, protocol: int | None = 5, **options: Any) -> bytes:
    """Pickle a value for another process, or for later: as ``pickle.dumps``.

    Examples
    --------
    >>> import pickle
    >>> pickle.loads(dumps(lambda x: x + 1))(1)
    2
    """
    file = io.BytesIO()
    Pickler(file, protocol=protocol, **options).dump(value)
    return file.getvalue()


def _is_imported(module: ModuleType) -> bool:
    return sys.modules.get(module.__name__) is module


# What it is ---------------------------------------------------------------------------------


class _ByValue(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles functions, classes and modules of the user's by what they are."""

    def __init__(self, file: Any, *, whole: bool = True) -> None:
        super().__init__(file, protocol=5)
        self._whole = whole

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, ModuleType):
            if not is_local(obj):
                return NotImplemented
            inside = _items(obj) if self._whole else {}
            return Twin, (obj.__name__,), inside, None, None, fill
        if isinstance(obj, (FunctionType, type, _CACHED)) and home(obj) is not None:
            if isinstance(obj, FunctionType):
                return self._dynamic_function_reduce(obj)
            if isinstance(obj, type):
                return by_value._dynamic_class_reduce(obj)  # noqa: SLF001 - it has no other name
            options: Any = obj.cache_parameters()
            return cached, (obj.__wrapped__, options)
        if isinstance(obj, CodeType):
            # cloudpickle leaves the file out, which a traceback needs.
            make, args = by_value._code_reduce(obj)  # noqa: SLF001 - the same
            return make, tuple(obj.co_filename if a == _NO_FILE else a for a in args)
        return super().reducer_override(obj)


def _items(module: ModuleType) -> dict[str, Any]:
    """What of a module can be pickled; the rest each process has for itself."""
    found: dict[str, Any] = {}
    left: dict[str, str] = {}
    for name, value in vars(module).items():
        if not (name.startswith("__") and name.endswith("__")):
            if _valued(value, whole=False) is not None:
                found[name] = value
            else:
                left[name] = reached(module, name)
    return found | {"__left__": left}


def _valued(value: Any, *, whole: bool = True) -> bytes | None:
    start = Start(_MOST_BYTES)
    try:
        _ByValue(start, whole=whole).dump(value)
    except Exception:  # noqa: BLE001 - it is large, or reads a lock, ...: then it has its name only
        return None
    return bytes(start.data)


_codes: dict[tuple[str, str], tuple[Version, str]] = {}


def _reached(module: ModuleType, name: str, wanted: Version) -> str:
    """The digest of the code that a name comes to; looked for once for each version."""
    if not name:
        return ""
    known = _codes.get((module.__name__, name))
    if known is None or known[0] != wanted:
        known = _codes[module.__name__, name] = (wanted, reached(module, name))
    return known[1]


_known: dict[tuple[str, str], tuple[Version, Any, bytes | None]] = {}


def _contents(value: Any, found: Reference) -> bytes | None:
    """What a value is, as bytes; made once for each version."""
    module, name, wanted, _ = found
    known = _known.get((module, name))
    if known is None or known[0] != wanted or known[1] is not value:
        _known[module, name] = known = (wanted, value, _valued(value))
    return known[2]
