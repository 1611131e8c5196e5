"""Lazy pandas and NumPy in the notebook's kernel, with the answers pandas and NumPy give.

The public names; each is loaded on first use, so that importing nbscale costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbscale import array, config, dataframe, errors
    from nbscale.delayed import delayed
    from nbscale.session import compute, persist, runs, visualize

__version__ = "0.1.0"

__all__ = [
    "array",
    "compute",
    "config",
    "dataframe",
    "delayed",
    "errors",
    "persist",
    "runs",
    "visualize",
]

# Where each name lives. A module of that name itself is public when the two are the same.
_HOMES = {
    "array": "nbscale.array",
    "compute": "nbscale.session",
    "config": "nbscale.config",
    "dataframe": "nbscale.dataframe",
    "delayed": "nbscale.delayed",
    "errors": "nbscale.errors",
    "persist": "nbscale.session",
    "runs": "nbscale.session",
    "visualize": "nbscale.session",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'nbscale' has no attribute {name!r}"
        raise AttributeError(msg)
    import importlib  # noqa: PLC0415 - not needed before the first use

    module = importlib.import_module(home)
    value = module if home == f"nbscale.{name}" and name != "delayed" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
