"""Rows of the oracle: arrays. The same function works on NumPy arrays and on lazy ones."""

from __future__ import annotations

import numpy as np

from nbscale import array as na
from tests.oracle.case import Case

__all__ = ["CASES", "CHUNKS", "INPUTS", "cases_of"]


def _floats():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(7, 10)) * 10
    x[0, 0] = x[3, 4] = x[6, 9] = np.nan
    x[2, 2] = -0.0
    x[5, 1] = np.inf
    return x, rng.normal(size=10)


def _clean():
    rng = np.random.default_rng(2)
    return rng.normal(size=(7, 10)), rng.normal(size=10) + 3


def _ints():
    rng = np.random.default_rng(3)
    return rng.integers(-5, 6, (7, 10)), rng.integers(1, 4, 10)


def _small():
    rng = np.random.default_rng(4)
    return rng.integers(0, 200, (7, 10)).astype("u1"), rng.integers(1, 4, 10).astype("i2")


def _bools():
    rng = np.random.default_rng(5)
    return rng.random((7, 10)) < 0.4, rng.random(10) < 0.6


def _complex():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(7, 10)) + 1j * rng.normal(size=(7, 10))
    return x, rng.normal(size=10) + 1j


def _empty():
    return np.empty((0, 10)), np.ones(10)


def _cube():
    rng = np.random.default_rng(7)
    return rng.normal(size=(4, 5, 6)), rng.normal(size=(5, 6))


INPUTS = {
    "floats": _floats,
    "clean": _clean,
    "ints": _ints,
    "small": _small,
    "bools": _bools,
    "complex": _complex,
    "empty": _empty,
    "cube": _cube,
}
"""Makers of the two arrays that cases are run on, by name."""

CHUNKS = {
    "floats": (-1, 3, (2, 10), ((1, 5, 1), (4, 4, 2))),
    "clean": (-1, 3, (4, 7)),
    "ints": (-1, 4, (1, 3)),
    "small": (3,),
    "bools": (-1, 3),
    "complex": (4,),
    "empty": (-1, 4),
    "cube": (-1, 2, (3, 5, 4)),
}
"""Chunks of the first array to try, by the name of the input; the second is cut into fours."""

REAL = ("floats", "clean", "ints", "small", "bools", "empty", "cube")
NUMBERS = ("floats", "clean", "ints", "complex", "empty")
FLOATS = ("floats", "clean", "empty")
TABLE = ("clean", "ints", "small", "bools", "complex")
TWO_AXES = ("floats", "clean", "ints", "small", "bools", "complex")
WHOLE = ("ints", "small", "bools")
SOME = ("floats", "clean", "ints", "bools", "cube")


def _ufuncs():
    """A row for every ufunc there is, on inputs it takes."""
    rows = []
    bits = {
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "invert",
        "bitwise_not",
        "bitwise_invert",
        "bitwise_count",
        "gcd",
        "lcm",
        "left_shift",
        "right_shift",
        "bitwise_left_shift",
        "bitwise_right_shift",
    }
    skip = {"isnat"}
    for name in sorted(na.functions.UFUNCS - skip):
        real = getattr(np, name)
        on = ("ints",) if name in bits else ("ints", "floats")
        kinds = "".join(t.split("->")[0] for t in real.types)
        if name not in bits and "d" not in kinds:
            on = ("bools",)

        def one(x, y, real=real):
            return real(x)

        def two(x, y, real=real):
            return real(x, y)

        if name == "ldexp":

            def two(x, y):
                return np.ldexp(x, 2)

        rows.append(Case(f"ufunc {name}", one if real.nin == 1 else two, two=True, on=on))
    return rows


def _reductions():
    rows = []
    for name, rule, on in (
        ("sum", "sum", None),
        ("prod", "sum", ("clean", "ints", "small", "bools", "empty")),
        ("min", "exact", None),
        ("max", "exact", None),
        ("any", "exact", None),
        ("all", "exact", None),
        ("mean", "sum", None),
        ("var", "moment", None),
        ("std", "moment", None),
        ("argmin", "exact", None),
        ("argmax", "exact", None),
        ("nansum", "sum", None),
        ("nanmean", "sum", None),
        ("nanmin", "exact", None),
        ("nanmax", "exact", None),
        ("nanprod", "sum", ("clean", "ints")),
        ("count_nonzero", "exact", None),
        ("ptp", "exact", ("clean", "ints", "small", "cube")),
    ):
        call = getattr(np, name)
        no_identity = name in {"min", "max", "argmin", "argmax", "nanmin", "nanmax"}
        full = on or (
            ("floats", "clean", "ints", "small", "bools", "complex", "cube")
            if no_identity
            else ("floats", "clean", "ints", "small", "bools", "complex", "empty", "cube")
        )
        if name in {"nanmin", "nanmax"}:
            full = tuple(n for n in full if n != "complex")
        keep = name != "count_nonzero"
        rows += [
            Case(name, lambda x, y, f=call: f(x), rule, True, on=full),
            Case(
                f"{name} axis 1",
                lambda x, y, f=call: f(x, axis=1),
                rule,
                True,
                on=tuple(n for n in full if n != "empty"),
            ),
            Case(
                f"{name} last axis",
                lambda x, y, f=call: f(x, axis=-1),
                rule,
                True,
                on=tuple(n for n in full if n != "empty"),
            ),
            Case(
                f"{name} axis 0 kept",
                lambda x, y, f=call: f(x, axis=0, keepdims=True),
                rule,
                True,
                on=tuple(n for n in full if n != "empty"),
            ),
        ]
        if keep and not name.startswith("arg"):
            rows.append(
                Case(
                    f"{name} two axes", lambda x, y, f=call: f(x, axis=(0, -1)), rule, True, on=full
                )
            )
    return [
        *rows,
        Case(
            "sum dtype", lambda x, y: x.sum(axis=0, dtype="f8"), "sum", True, on=("ints", "small")
        ),
        Case("sum axis 0 of nothing", lambda x, y: x.sum(axis=0), "sum", True, on=("empty",)),
        Case("mean dtype", lambda x, y: x.mean(dtype="c16"), "sum", True, on=("ints", "clean")),
        Case("var ddof", lambda x, y: x.var(axis=0, ddof=1), "moment", True, on=TABLE),
        Case("std ddof", lambda x, y: x.std(ddof=2), "moment", True, on=TABLE),
        Case("method max", lambda x, y: x.max(axis=1, keepdims=True), two=True, on=SOME),
        Case("method argmax kept", lambda x, y: x.argmax(axis=0, keepdims=True), two=True, on=SOME),
        Case("amin", lambda x, y: np.amin(x, axis=0), two=True, on=SOME),
        Case("amax", lambda x, y: np.amax(x), two=True, on=SOME),
        Case("min of ufunc", lambda x, y: np.minimum.reduce(x), two=True, on=SOME),
        Case("sum of ufunc", lambda x, y: np.add.reduce(x, axis=1), "sum", True, on=SOME),
        Case("cumsum", lambda x, y: x.cumsum(axis=0), "sum", True, on=(*SOME, "complex", "empty")),
        Case("cumsum last", lambda x, y: np.cumsum(x, axis=-1), "sum", True, on=SOME),
        Case("cumsum flat", lambda x, y: x.cumsum(), "sum", True, on=SOME),
        Case("cumsum dtype", lambda x, y: x.cumsum(axis=1, dtype="f4"), two=True, on=("ints",)),
        Case("cumprod", lambda x, y: np.cumprod(x, axis=1), "sum", True, on=("clean", "ints")),
    ]


def _elementwise():
    return [
        Case("add", lambda x, y: x + y, two=True, on=NUMBERS),
        Case("radd", lambda x, y: 2 + x, two=True, on=NUMBERS),
        Case("sub", lambda x, y: x - y, two=True, on=NUMBERS),
        Case("rsub", lambda x, y: 1.5 - x, two=True, on=NUMBERS),
        Case("mul", lambda x, y: x * y, two=True),
        Case("rmul", lambda x, y: np.float32(3) * x, two=True),
        Case("truediv", lambda x, y: x / y, two=True, on=NUMBERS),
        Case("rtruediv", lambda x, y: 1 / x, two=True, on=NUMBERS),
        Case("floordiv", lambda x, y: x // y, two=True, on=("floats", "ints", "small")),
        Case("rfloordiv", lambda x, y: 7 // x, two=True, on=("floats", "ints")),
        Case("mod", lambda x, y: x % y, two=True, on=("floats", "ints", "small")),
        Case("rmod", lambda x, y: 7 % x, two=True, on=("floats", "ints")),
        Case("divmod", lambda x, y: divmod(x, y)[1], two=True, on=("floats", "ints")),
        Case("rdivmod", lambda x, y: divmod(5, x)[0], two=True, on=("floats", "ints")),
        Case("pow", lambda x, y: x**2, two=True, on=(*NUMBERS, "small")),
        Case("pow half", lambda x, y: x**0.5, two=True, on=("floats", "ints")),
        Case("rpow", lambda x, y: 2.0**x, two=True, on=("floats", "ints")),
        Case("and", lambda x, y: x & y, two=True, on=("ints", "bools")),
        Case("rand", lambda x, y: True & x, two=True, on=("ints", "bools")),
        Case("or", lambda x, y: x | y, two=True, on=("ints", "bools")),
        Case("xor", lambda x, y: x ^ y, two=True, on=("ints", "bools")),
        Case("lshift", lambda x, y: x << 2, two=True, on=("ints", "small")),
        Case("rshift", lambda x, y: x >> y, two=True, on=("ints", "small")),
        Case("lt", lambda x, y: x < y, two=True),
        Case("le", lambda x, y: x <= 3, two=True),
        Case("gt", lambda x, y: x < 3, two=True),
        Case("ge", lambda x, y: x >= y, two=True),
        Case("eq", lambda x, y: x == y, two=True),
        Case("ne", lambda x, y: x != 0, two=True),
        Case("neg", lambda x, y: -x, two=True, on=NUMBERS),
        Case("pos", lambda x, y: +x, two=True, on=NUMBERS),
        Case("abs", lambda x, y: abs(x), two=True),
        Case("invert", lambda x, y: ~x, two=True, on=WHOLE),
        Case("weak scalar", lambda x, y: x + 1.5, two=True),
        Case("weak int", lambda x, y: x + 1, two=True),
        Case("strong scalar", lambda x, y: x + np.float64(1), two=True),
        Case("numpy operand", lambda x, y: np.arange(x.shape[-1]) * x, two=True),
        Case("ufunc dtype", lambda x, y: np.add(x, 1, dtype="f8"), two=True, on=("ints", "small")),
        Case("astype", lambda x, y: x.astype("f4"), two=True, on=REAL),
        Case("astype int", lambda x, y: x.astype("i2"), two=True, on=("clean", "ints", "bools")),
        Case(
            "astype text",
            lambda x, y: x.astype("U"),
            two=True,
            on=("ints", "bools"),
            why="the text of an integer of 8 bytes takes 84, in NumPy too",
        ),
        Case("clip", lambda x, y: x.clip(-1, 2), two=True, on=("floats", "ints", "cube")),
        Case("clip above", lambda x, y: np.clip(x, None, 2), two=True, on=("floats", "ints")),
        Case("clip by array", lambda x, y: np.clip(x, -y, y), two=True, on=("clean", "ints")),
        Case("round", lambda x, y: x.round(1), two=True, on=("floats", "clean", "complex")),
        Case("round up", lambda x, y: np.round(x, -1), two=True, on=("floats", "ints")),
        Case("where", lambda x, y: np.where(x > 1, x, y), two=True, on=REAL),
        Case("where scalar", lambda x, y: np.where(x > 1, x, 0), two=True, on=REAL),
        Case("real", lambda x, y: x.real, two=True, on=("complex", "clean")),
        Case("imag", lambda x, y: np.imag(x), two=True, on=("complex", "clean")),
        Case("conj", lambda x, y: x.conj(), two=True, on=("complex", "clean")),
        Case("angle", lambda x, y: np.angle(x), two=True, on=("complex",)),
        Case("isclose", lambda x, y: np.isclose(x, x + 1e-9), two=True, on=("floats",)),
        Case("allclose", lambda x, y: np.allclose(x, x + 1e-9), two=True, on=("clean", "floats")),
        Case("nan_to_num", lambda x, y: np.nan_to_num(x, nan=1.0), two=True, on=("floats",)),
        Case("chain", lambda x, y: (x * 2 + y**2) / 3 - np.sqrt(abs(x)), two=True, on=("floats",)),
        Case("broadcast column", lambda x, y: x - x[:, :1], two=True, on=("floats", "ints")),
        Case("outer sum", lambda x, y: y[:, None] + y, two=True, on=("clean", "ints")),
        Case("centred", lambda x, y: x - x.mean(axis=0), "sum", True, on=("clean", "cube")),
        Case("scaled", lambda x, y: x / x.max(), two=True, on=("clean", "cube")),
    ]


def _shapes():
    return [
        Case("T", lambda x, y: x.T, two=True),
        Case("transpose", lambda x, y: x.transpose(1, 0), two=True, on=TWO_AXES),
        Case("transpose cube", lambda x, y: np.transpose(x, (2, 0, 1)), two=True, on=("cube",)),
        Case("T plus", lambda x, y: x.T + x.T, two=True, on=NUMBERS),
        Case("swapaxes", lambda x, y: x.swapaxes(0, 1), two=True),
        Case("moveaxis", lambda x, y: np.moveaxis(x, 0, -1), two=True),
        Case("squeeze", lambda x, y: x[:1].squeeze(), two=True, on=SOME),
        Case("squeeze axis", lambda x, y: np.squeeze(x[:, :1], axis=1), two=True, on=SOME),
        Case("expand_dims", lambda x, y: np.expand_dims(x, (0, 2)), two=True),
        Case("reshape flat", lambda x, y: x.reshape(-1), two=True),
        Case("ravel", lambda x, y: np.ravel(x), two=True),
        Case("flatten", lambda x, y: x.flatten(), two=True),
        Case("ravel F", lambda x, y: np.ravel(x, order="F"), two=True, on=SOME),
        Case("reshape", lambda x, y: x.reshape(10, 7), two=True, on=TWO_AXES),
        Case("reshape split", lambda x, y: np.reshape(x, (7, 5, 2)), two=True, on=TWO_AXES),
        Case("reshape mixed", lambda x, y: x.reshape(1, 14, 1, 5), two=True, on=TWO_AXES),
        Case("reshape cube", lambda x, y: x.reshape(20, 6), two=True, on=("cube",)),
        Case(
            "reshape cube back",
            lambda x, y: x.reshape(2, 2, 30),
            two=True,
            on=("cube",),
            why="a new chunk lies across several old ones, which are read whole",
        ),
        Case("reshape 1-d", lambda x, y: y.reshape(2, 5), two=True, on=("clean", "ints")),
        Case("broadcast_to", lambda x, y: np.broadcast_to(y, (3, 10)), two=True, on=("clean",)),
        Case(
            "broadcast_to long",
            lambda x, y: np.broadcast_to(x[:, :1], (7, 9)),
            two=True,
            on=("ints",),
        ),
        Case("concatenate", lambda x, y: np.concatenate([x, x[1:]]), two=True, on=SOME),
        Case("concatenate axis", lambda x, y: np.concatenate([x, x], axis=-1), two=True),
        Case("concatenate promotes", lambda x, y: np.concatenate([x, x > 0]), two=True, on=SOME),
        Case("concatenate flat", lambda x, y: np.concatenate([x, y], axis=None), two=True),
        Case("concatenate empty", lambda x, y: np.concatenate([x[:0], x]), two=True, on=SOME),
        Case(
            "concatenate head",
            lambda x, y: np.concatenate([x, x + x])[:3],
            two=True,
            on=("ints", "floats"),
        ),
        Case("stack", lambda x, y: np.stack([y, y, y]), two=True),
        Case("stack last", lambda x, y: np.stack([x, x], axis=-1), two=True),
        Case("vstack", lambda x, y: np.vstack([y, y]), two=True),
        Case("hstack", lambda x, y: np.hstack([x, x]), two=True, on=TWO_AXES),
    ]


def _indexing():
    return [
        Case("int", lambda x, y: x[2], two=True, on=SOME),
        Case("int negative", lambda x, y: x[-1], two=True, on=SOME),
        Case("two ints", lambda x, y: x[1, 3], two=True, on=SOME),
        Case("column", lambda x, y: x[:, 3], two=True),
        Case("slice", lambda x, y: x[1:3], two=True),
        Case("slices", lambda x, y: x[2:, :-3], two=True),
        Case("step", lambda x, y: x[::2, 1::3], two=True),
        Case("long step", lambda x, y: x[::5, ::7], two=True, on=SOME),
        Case("backwards", lambda x, y: x[::-1], two=True),
        Case("backwards step", lambda x, y: x[-2:0:-2, ::-3], two=True, on=SOME),
        Case("nothing", lambda x, y: x[3:3], two=True),
        Case("beyond", lambda x, y: x[1:99], two=True),
        Case("new axis", lambda x, y: x[None, ..., None], two=True),
        Case("new axis between", lambda x, y: x[:, None, 2:4], two=True, on=TWO_AXES),
        Case("ellipsis", lambda x, y: x[..., 1], two=True),
        Case("everything", lambda x, y: x[...], two=True),
        Case("slice of slice", lambda x, y: x[1:][::2][:, 2:][0], two=True, on=TWO_AXES),
        Case("slice of sum", lambda x, y: (x + y)[1:3, ::2], two=True, on=("floats", "ints")),
        Case("slice of mean", lambda x, y: x.mean(axis=0)[1:3], "sum", True, on=("clean",)),
        Case("slice of T", lambda x, y: x.T[2:5, 1:], two=True, on=("floats", "ints")),
        Case("integers", lambda x, y: x[[3, 0, -1, 3]], two=True, on=TWO_AXES),
        Case("integers of axis", lambda x, y: x[:, [9, 2, 2, 5]], two=True, on=TWO_AXES),
        Case("no integers", lambda x, y: x[[]], two=True, on=TWO_AXES),
        Case("integers and int", lambda x, y: x[2, [4, 1]], two=True, on=TWO_AXES),
        Case("integers apart", lambda x, y: x[1, :, [4, 1]], two=True, on=("cube",)),
        Case("integers 2-d", lambda x, y: x[[[0, 1], [2, 3]], 1:], two=True, on=TWO_AXES),
        Case("mask", lambda x, y: x[np.arange(x.shape[0]) % 2 == 0], two=True, on=SOME),
        Case(
            "mask of all axes",
            lambda x, y: x[np.arange(70).reshape(7, 10) % 3 == 0],
            two=True,
            on=TWO_AXES,
        ),
        Case("take", lambda x, y: np.take(x, [1, 8, 4], axis=1), two=True, on=TWO_AXES),
        Case("take flat", lambda x, y: x.take([11, 3, 60]), two=True, on=TWO_AXES),
        Case("take one", lambda x, y: x.take(3, axis=1), two=True, on=TWO_AXES),
        Case("lazy mask", lambda x, y: x[x > 1], two=True, on=REAL),
        Case("lazy mask of rows", lambda x, y: x[x[:, 0] > 0], two=True, on=TWO_AXES),
        Case(
            "lazy mask of none",
            lambda x, y: x[x > 99][:3],
            two=True,
            on=("ints",),
            why="how many elements a mask leaves is counted when it is first asked, and kept",
        ),
        Case(
            "lazy mask, then work",
            lambda x, y: (x[x > 1] * 2).sum(),
            "sum",
            True,
            on=SOME,
            why="how many elements a mask leaves is counted when it is first asked, and kept",
        ),
        Case("flip", lambda x, y: np.flip(x), two=True),
        Case("flip axis", lambda x, y: np.flip(x, axis=1), two=True),
    ]


def _products():
    on = ("clean", "ints", "complex")
    return [
        Case("dot symmetric", lambda x, y: x.dot(x.T), "sum", True, on=(*on, "bools")),
        Case("dot symmetric T", lambda x, y: x.T.dot(x), "sum", True, on=on),
        Case("dot", lambda x, y: np.dot(x, (x + 1).T), "sum", True, on=on),
        Case("dot vector", lambda x, y: x.dot(y), "sum", True, on=on),
        Case("dot vectors", lambda x, y: y.dot(y), "sum", True, on=on),
        Case("dot scalar", lambda x, y: np.dot(x, 2), two=True, on=on),
        Case("dot cube", lambda x, y: np.dot(x, y.T), "sum", True, on=("cube",)),
        Case("matmul", lambda x, y: x @ x.T, "sum", True, on=on),
        Case(
            "rmatmul",
            lambda x, y: np.ones((2, 7)) @ x,
            "sum",
            True,
            on=on,
            why="the two rows are one chunk, cut to meet those of x, of which each is read whole",
        ),
        Case("matmul vector", np.matmul, "sum", True, on=on),
        Case("matmul vector left", lambda x, y: y @ x.T, "sum", True, on=on),
        Case("matmul of small ints", lambda x, y: x @ x.T, two=True, on=("small",)),
        Case("matmul stack", lambda x, y: x @ x.swapaxes(1, 2), "sum", True, on=("cube",)),
        Case("matmul broadcast", lambda x, y: x @ y.T, "sum", True, on=("cube",)),
        Case(
            "matmul broadcast left",
            lambda x, y: y @ x[:1].swapaxes(1, 2),
            "sum",
            True,
            on=("cube",),
        ),
        Case("matmul stack vector", lambda x, y: x @ y[0], "sum", True, on=("cube",)),
        Case("tensordot", np.tensordot, "sum", True, on=("cube",)),
        Case(
            "tensordot axes",
            lambda x, y: np.tensordot(x, y, ([2, 1], [1, 0])),
            "sum",
            True,
            on=("cube",),
        ),
        Case("tensordot 0", lambda x, y: np.tensordot(y, y, 0), "sum", True, on=("clean",)),
        Case("inner", np.inner, "sum", True, on=on),
        Case("outer", lambda x, y: np.outer(y, y), "sum", True, on=on),
        Case("vdot", lambda x, y: np.vdot(x, x), "sum", True, on=on),
        Case(
            "the array job", lambda x, y: x.dot(x.T) - x.T.mean(axis=0), "sum", True, on=("clean",)
        ),
    ]


CASES = [
    *_ufuncs(),
    *_elementwise(),
    *_reductions(),
    *_shapes(),
    *_indexing(),
    *_products(),
]
"""Every operation on arrays that exist. Those that make arrays have tests of their own."""


def cases_of(name):
    """The cases that make sense on an input."""
    return [case for case in CASES if not case.on or name in case.on]
