"""Lazy pandas and NumPy in the notebook's kernel, with the answers pandas and NumPy give.

The public names; each is loaded on first use, so that importing nbscale costs next to nothing.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from nbscale.ml import registration

if TYPE_CHECKING:
    from nbscale import array, bag, config, dataframe, errors
    from nbscale.collection import compute, persist, visualize
    from nbscale.debugging import debug
    from nbscale.delayed import delayed
    from nbscale.futures import Future, as_completed, cancel, gather, map, submit, wait
    from nbscale.resource import per_worker
    from nbscale.session import runs
    from nbscale.sharing import put, scatter
    from nbscale.why import why

__version__ = "0.1.0"

__all__ = [
    "Future",
    "array",
    "as_completed",
    "bag",
    "cancel",
    "compute",
    "config",
    "dataframe",
    "debug",
    "delayed",
    "errors",
    "gather",
    "map",
    "per_worker",
    "persist",
    "put",
    "runs",
    "scatter",
    "submit",
    "visualize",
    "wait",
    "why",
]

# Where each name lives: a module, or a module and what is taken from it.
_HOMES = {
    "array": "nbscale.array",
    "bag": "nbscale.bag",
    "wait": "nbscale.futures:wait",
    "submit": "nbscale.futures:submit",
    "map": "nbscale.futures:map",
    "gather": "nbscale.futures:gather",
    "cancel": "nbscale.futures:cancel",
    "as_completed": "nbscale.futures:as_completed",
    "Future": "nbscale.futures:Future",
    "compute": "nbscale.collection:compute",
    "config": "nbscale.config",
    "dataframe": "nbscale.dataframe",
    "debug": "nbscale.debugging:debug",
    "delayed": "nbscale.delayed:delayed",
    "errors": "nbscale.errors",
    "per_worker": "nbscale.resource:per_worker",
    "persist": "nbscale.collection:persist",
    "put": "nbscale.sharing:put",
    "runs": "nbscale.session:runs",
    "scatter": "nbscale.sharing:scatter",
    "visualize": "nbscale.collection:visualize",
    "why": "nbscale.why:why",
}


class _Package(ModuleType):
    """Keeps `nbscale.delayed` and `nbscale.why` the functions: importing the submodule would put itself there.

    A function that reads `ns` travels to other processes, so it is pickled by its name.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in ("delayed", "why") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __reduce__(self) -> tuple[object, ...]:
        return __import__, (self.__name__,)


sys.modules[__name__].__class__ = _Package
registration.when_joblib_is_imported()


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'nbscale' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - not needed before the first use

    path, _, attribute = home.partition(":")
    module = importlib.import_module(path)
    value: object = getattr(module, attribute) if attribute else module
    globals()[name] = value
    return value


def load_ipython_extension(shell: object) -> None:
    """Add the cell magic ``%%parallel``: what ``%load_ext nbscale`` calls."""
    from nbscale.notebook.magics import load_ipython_extension as load  # noqa: PLC0415 - needs IPython

    load(shell)


def unload_ipython_extension(shell: object) -> None:
    """Take it away again: what ``%unload_ext nbscale`` calls."""
    from nbscale.notebook.magics import unload_ipython_extension as unload  # noqa: PLC0415 - likewise

    unload(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
