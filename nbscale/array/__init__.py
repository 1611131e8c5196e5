"""Lazy NumPy arrays, cut into chunks: ``import nbscale.array as na``.

Names are NumPy's: functions (``na.sum``, ``na.where``), ufuncs (``na.sqrt``), dtypes and constants
(``na.float64``, ``na.pi``), and ``na.random``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nbscale.array import random
from nbscale.array.array import Array
from nbscale.array.blocks import map_blocks
from nbscale.array.create import (
    arange,
    empty,
    empty_like,
    eye,
    full,
    full_like,
    identity,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from nbscale.array.elementwise import allclose, angle, clip, imag, isclose, nan_to_num, real, where
from nbscale.array.elementwise import round_ as round  # NumPy's name
from nbscale.array.elementwise import ufunc as _ufunc
from nbscale.array.functions import UFUNCS
from nbscale.array.index import flip, take
from nbscale.array.io import array, asanyarray, asarray, from_array
from nbscale.array.join import concatenate, hstack, stack, vstack
from nbscale.array.linalg import dot, inner, matmul, outer, tensordot, vdot
from nbscale.array.reductions import FUNCTIONS as _REDUCTIONS
from nbscale.array.scan import cumprod, cumsum
from nbscale.array.shape import (
    broadcast_to,
    expand_dims,
    moveaxis,
    ravel,
    reshape,
    squeeze,
    swapaxes,
    transpose,
)

_NUMPY = frozenset(
    (
        "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intp float16 float32 "
        "float64 complex64 complex128 str_ bytes_ object_ datetime64 timedelta64 dtype "
        "newaxis pi e euler_gamma inf nan errstate iinfo finfo"
    ).split()
)
"""What is NumPy's own: types and constants."""

__all__ = [
    "Array",
    "allclose",
    "angle",
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "broadcast_to",
    "clip",
    "concatenate",
    "cumprod",
    "cumsum",
    "dot",
    "empty",
    "empty_like",
    "expand_dims",
    "eye",
    "flip",
    "from_array",
    "full",
    "full_like",
    "hstack",
    "identity",
    "imag",
    "inner",
    "isclose",
    "linspace",
    "map_blocks",
    "matmul",
    "moveaxis",
    "nan_to_num",
    "ones",
    "ones_like",
    "outer",
    "random",
    "ravel",
    "real",
    "reshape",
    "round",
    "squeeze",
    "stack",
    "swapaxes",
    "take",
    "tensordot",
    "transpose",
    "vdot",
    "vstack",
    "where",
    "zeros",
    "zeros_like",
]
__all__ += sorted({*_REDUCTIONS, *UFUNCS, *_NUMPY})  # noqa: PLE0605 - what else there is depends on NumPy


def __getattr__(name: str) -> Any:
    if name in _REDUCTIONS:
        return _REDUCTIONS[name]
    if name in UFUNCS:
        return _ufunc(name)
    if name in _NUMPY:
        return getattr(np, name)
    raise AttributeError(f"module 'nbscale.array' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
