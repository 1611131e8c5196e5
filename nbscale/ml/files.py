"""Arrays that lie in files: other processes map the same file, and what they write is seen here."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["in_file"]


def in_file(array: Any) -> tuple[Any, ...] | None:
    """How an array is pickled that is a ``numpy.memmap``, or a view of one.

    Returns
    -------
    function, arguments
        That make it again; None if it lies in no file, or may differ from what is in it.

    Examples
    --------
    >>> in_file(np.ones(3)) is None
    True
    """
    whole = array
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not (isinstance(whole, np.memmap) and isinstance(whole.base, mmap.mmap)):
        return None
    if whole.mode == "c" or whole.filename is None or not Path(whole.filename).exists():
        return None
    order = "C" if whole.flags.c_contiguous else "F"
    mode = "r+" if whole.mode == "w+" else whole.mode  # "w+" would empty it
    start = _address(array) - _address(whole)
    at = (whole.filename, whole.dtype, mode, whole.offset, whole.shape, order)
    return _view, (at, array.shape, array.dtype, start, array.strides)


def _view(at: Any, shape: Any, dtype: Any, start: int, strides: Any) -> Any:
    whole = np.memmap(*at)
    if (shape, dtype, start, strides) == (whole.shape, whole.dtype, 0, whole.strides):
        return whole
    return np.ndarray(shape, dtype, whole, start, strides)


def _address(array: Any) -> int:
    address: int = array.__array_interface__["data"][0]
    return address
