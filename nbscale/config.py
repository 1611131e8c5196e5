"""Settings: few, typed, with one value in force at a time.

``config.set(engine="inline")`` changes a setting until the end of a ``with`` block, or for good
when it is not used as one. Environment variables ``NBSCALE_<NAME>`` give the first values.
"""

from __future__ import annotations

import dataclasses
import os
from types import TracebackType
from typing import Any

from nbscale.record import record
from nbscale.units import parse_bytes

__all__ = ["Settings", "get", "set"]


@record
class Settings:
    """What a user can choose.

    Attributes
    ----------
    engine
        Name of the engine every run uses, or None: chosen per run.
    memory_limit
        Budget in bytes for what the work adds to memory, or None: measured from the machine.
    n_workers
        Tasks that run at the same time, or None: one per core this process may use.
    partition_size
        Target bytes in memory of one partition of a frame. Part of what fixes the bits of a
        result, so it never depends on the machine.
    chunk_size
        Target bytes of one chunk of an array.
    spill_folder
        Where values are written that do not fit in memory, in files without names; or None: the
        system's folder for temporary files, or another one if that is not on a disk.
    """

    engine: str | None = None
    memory_limit: int | None = None
    n_workers: int | None = None
    partition_size: int = 64_000_000
    chunk_size: int = 16_000_000
    spill_folder: str | None = None


_BYTES = {"memory_limit", "partition_size", "chunk_size"}


def _checked(name: str, value: Any) -> Any:
    if name not in Settings.__dataclass_fields__:
        known = ", ".join(Settings.__dataclass_fields__)
        msg = f"there is no setting {name!r}; the settings are: {known}"
        raise TypeError(msg)
    if value is None and name not in {"partition_size", "chunk_size"}:
        return None
    if name in _BYTES:
        value = parse_bytes(value)
    if name == "engine":
        if not isinstance(value, str):
            msg = f"engine is a name such as 'threads', not {value!r}"
            raise TypeError(msg)
        return value
    if name == "spill_folder":
        return _folder(value)
    value = int(value)
    if value < 1:
        msg = f"{name} must be at least 1, not {value}"
        raise ValueError(msg)
    return value


def _folder(value: Any) -> str:
    path: str = os.path.abspath(os.path.expanduser(value))  # noqa: PTH100, PTH111 - pathlib takes 5 ms
    if not os.path.isdir(path) or not os.access(path, os.W_OK):  # noqa: PTH112
        msg = f"spill_folder must be a folder that can be written to, not {value!r}"
        raise ValueError(msg)
    return path


def _from_environment() -> Settings:
    found = {
        name: _checked(name, os.environ[f"NBSCALE_{name.upper()}"])
        for name in Settings.__dataclass_fields__
        if os.environ.get(f"NBSCALE_{name.upper()}")
    }
    return Settings(**found)


_current: Settings = _from_environment()


def get() -> Settings:
    """Return the settings in force."""
    return _current


class set:  # noqa: N801 - the name users know from Dask: ns.config.set(...)
    """Change settings, for a ``with`` block or for good.

    Raises
    ------
    TypeError
        If there is no such setting; the message lists those there are.
    ValueError
        If a value is out of range or not a size.

    Examples
    --------
    >>> from nbscale import config
    >>> with config.set(engine="inline", partition_size="1 MB"):
    ...     config.get().partition_size
    1000000
    """

    def __init__(self, **changes: Any) -> None:
        global _current  # noqa: PLW0603 - one value in force at a time is what this module is
        self._before = _current
        try:
            checked = {name: _checked(name, value) for name, value in changes.items()}
        except (TypeError, ValueError) as error:
            from nbscale.errors import render_for_notebook  # noqa: PLC0415 - seldom needed

            render_for_notebook(error)
            raise error.with_traceback(None)  # noqa: B904 - the error itself, one frame of ours
        _current = dataclasses.replace(_current, **checked)

    def __enter__(self) -> Settings:
        return _current

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _current  # noqa: PLW0603
        _current = self._before
