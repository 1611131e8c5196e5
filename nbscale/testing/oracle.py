"""What *equal* means between nbscale's answer and pandas' or NumPy's."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd

__all__ = ["assert_same"]

Rule = Literal["exact", "sum", "moment"]


def assert_same(got: Any, want: Any, rule: Rule = "exact", scale: Any = None) -> None:
    """Check that two answers are the same, to the type.

    Parameters
    ----------
    got, want
        nbscale's answer and the reference's.
    rule
        ``"exact"``: dtype, index, order, missing values and every value, floats bit for bit but
        for the sign of zero and the payload of NaN. ``"sum"``: floats may differ by 1e-12 of
        ``scale``. ``"moment"``: floats may differ by 1e-9 relative.
    scale
        For ``"sum"``: the same operation on absolute values, of the shape of ``want``; a single
        number holds for all.

    Raises
    ------
    AssertionError
        Says what differs.
    """
    assert type(got) is type(want) or _both_plain(got, want), (
        f"type {type(got).__name__}, expected {type(want).__name__}"
    )
    if isinstance(want, pd.DataFrame):
        _same_frame(got, want, rule, scale)
    elif isinstance(want, pd.Series):
        _same_series(got, want, rule, scale, repr(want.name))
    elif isinstance(want, pd.Index):
        pd.testing.assert_index_equal(got, want, exact=True)
    elif isinstance(want, np.ndarray):
        assert got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}"
        assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
        _same_values(got, want, rule, scale, "array")
    elif isinstance(want, (tuple, list)):
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            assert_same(g, w, rule, scale)
    else:
        _same_values(np.asarray(got), np.asarray(want), rule, scale, "scalar")


def _both_plain(got: Any, want: Any) -> bool:
    """Python's and NumPy's scalars of one kind: pandas itself gives now one, now the other."""
    kinds = ((bool, np.bool_), (str, np.str_))
    return any(isinstance(got, k) and isinstance(want, k) for k in kinds)


def _same_frame(got: Any, want: pd.DataFrame, rule: Rule, scale: Any) -> None:
    pd.testing.assert_index_equal(got.columns, want.columns, exact=True)
    pd.testing.assert_index_equal(got.index, want.index, exact=True)
    for i, name in enumerate(want.columns):
        part = scale.iloc[:, i] if isinstance(scale, pd.DataFrame) else scale
        _same_series(got.iloc[:, i], want.iloc[:, i], rule, part, f"column {name!r}")


def _same_series(got: Any, want: pd.Series, rule: Rule, scale: Any, what: str) -> None:
    assert got.dtype == want.dtype, f"{what}: dtype {got.dtype}, expected {want.dtype}"
    assert got.name == want.name or (got.name is want.name), f"name {got.name!r}"
    pd.testing.assert_index_equal(got.index, want.index, exact=True)
    if rule != "exact" and (want.dtype.kind == "f" or want.dtype == object):
        reference = scale.to_numpy() if isinstance(scale, pd.Series) else scale
        _same_values(got.to_numpy(), want.to_numpy(), rule, reference, what)
        return
    pd.testing.assert_series_equal(got, want, check_exact=True)


def _same_values(got: Any, want: Any, rule: Rule, scale: Any, what: str) -> None:
    if want.dtype == object:
        for g, w, s in zip(got.ravel(), want.ravel(), _each(scale, want.size), strict=True):
            if isinstance(w, float):
                _same_values(np.asarray(g), np.asarray(w), rule, s, what)
            else:
                assert type(g) is type(w), (what, g, w)
                assert g is w or g == w or (g != g and w != w), (what, g, w)  # noqa: PLR0124
        return
    if want.dtype.kind not in "fc" or rule == "exact":
        np.testing.assert_array_equal(got, want, err_msg=what)
        return
    missing = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(got), missing, err_msg=f"{what}: missing values")
    got, want = np.where(missing, 0, got), np.where(missing, 0, want)
    infinite = np.isinf(want)
    np.testing.assert_array_equal(got[infinite], want[infinite], err_msg=what)
    far = np.abs(np.where(infinite, 0, got) - np.where(infinite, 0, want))
    if rule == "sum":
        size = np.abs(np.asarray(scale if scale is not None else want, dtype=float))
        allowed = 1e-12 * np.where(np.isfinite(size), size, 0)
    else:
        allowed = 1e-9 * np.abs(np.where(infinite, 0, want)) + 1e-300
    worst = np.argmax(far - allowed) if far.size else 0
    assert np.all(far <= allowed), (
        f"{what}: {np.ravel(got)[worst]!r}, expected {np.ravel(want)[worst]!r} ({rule})"
    )


def _each(scale: Any, size: int) -> Any:
    values = np.ravel(np.asarray(scale, dtype=object)) if scale is not None else [None]
    return values if len(values) == size else [None] * size
