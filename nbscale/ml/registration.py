"""Makes the backend known to joblib, whichever of the two is imported first.

Neither imports the other: joblib is told a name and a function that makes the backend, and if it is
not there yet, that happens right after its import.
"""

from __future__ import annotations

import _thread
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = ["when_joblib_is_imported"]

_JOBLIB = "joblib"


def when_joblib_is_imported() -> None:
    """Register the backend ``"nbscale"`` now, or as soon as joblib is there."""
    if _JOBLIB in sys.modules:
        import joblib  # noqa: PLC0415 - it waits for a thread that is still at it

        _register(joblib)
    else:
        sys.meta_path.insert(0, _AfterImport())


def _register(joblib: ModuleType) -> None:
    register = getattr(joblib, "register_parallel_backend", None)
    if register is not None:  # else it is in the middle of its import, further up in this thread
        register("nbscale", _make)


def _make(**options: Any) -> Any:
    from nbscale.ml.joblib_backend import NbscaleBackend  # noqa: PLC0415 - half a second

    return NbscaleBackend(**options)


class _AfterImport:
    """A finder that finds nothing itself: it waits for one module to be imported.

    It stays there. Another thread may be going through ``sys.meta_path``, and would skip a finder if
    this one was taken out.
    """

    def __init__(self) -> None:
        self._asking: set[int] = set()  # threads: a finder that is asked may ask all of them

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders say, with a word to its loader."""
        if name != _JOBLIB or _thread.get_ident() in self._asking:
            return None
        self._asking.add(_thread.get_ident())
        try:
            found = (
                finder.find_spec(name, path, target)
                for finder in sys.meta_path
                if finder is not self and hasattr(finder, "find_spec")
            )
            spec = next((spec for spec in found if spec is not None), None)
        finally:
            self._asking.discard(_thread.get_ident())
        if spec is not None and spec.loader is not None:
            loader: Any = _Loader(spec.loader)
            spec.loader = loader
        return spec


class _Loader:
    """Loads as another loader does, and registers then. The module does not get to know of it."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self._loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register(module)
