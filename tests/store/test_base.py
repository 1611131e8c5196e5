"""Sizes are what they should be, and the store lets go."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from nbscale.store.base import KernelStore, measure


class Thing:
    pass


@pytest.mark.parametrize(
    ("value", "rows", "nbytes"),
    [
        (np.zeros((100, 3)), 100, 2400),
        (np.zeros(()), 1, 8),
        (np.broadcast_to(np.zeros(3), (1000, 3)), 1000, 24000),
        (pd.Series(np.zeros(1000)), 1000, 8000),
        (pd.DataFrame({"a": np.zeros(1000), "b": np.zeros(1000, np.int32)}), 1000, 12000),
        (pd.DataFrame({"a": []}), 0, 0),
        (pd.Index(np.arange(50)), 50, 400),
        (pa.array(np.arange(100)), 100, 800),
    ],
    ids=lambda value: type(value).__name__,
)
def test_columns_and_arrays_are_measured_exactly(value, rows, nbytes):
    found_rows, found = measure(value)
    assert found_rows == rows
    # A RangeIndex and the ends of Arrow's bitmaps are small change.
    assert nbytes <= found <= nbytes + 300


def test_a_column_of_objects_counts_what_it_refers_to():
    texts = np.array([f"text number {i}" * 10 for i in range(1000)], dtype=object)
    true = texts.nbytes + sum(text.__sizeof__() for text in texts)
    for value in (texts, pd.Series(texts, dtype=object), pd.DataFrame({"a": texts}, dtype=object)):
        assert measure(value)[1] == pytest.approx(true, rel=0.1)


def test_text_columns_and_multi_indexes_are_measured():
    texts = pd.Series([f"text number {i}" * 10 for i in range(1000)], dtype="str")
    assert measure(texts)[1] == pytest.approx(texts.memory_usage(deep=True), rel=0.1)
    levels = pd.MultiIndex.from_product([range(100), list("abcdefghij")])
    rows, nbytes = measure(pd.Series(np.zeros(1000), index=levels))
    assert rows == 1000
    assert nbytes > 8000 + 1000


def test_containers_are_estimated_from_a_sample():
    arrays = [np.zeros(1000) for _ in range(500)]
    for value in (arrays, tuple(arrays), dict(enumerate(arrays))):
        rows, nbytes = measure(value)
        assert rows == (1 if isinstance(value, int) else len(value))
        assert nbytes == pytest.approx(500 * 8000, rel=0.1)
    assert measure([])[0] == 0
    assert measure({})[1] > 0


def test_containers_that_hold_themselves():
    loop = [1]
    loop.append(loop)
    array = np.empty(1, dtype=object)
    array[0] = array
    assert measure(loop)[0] == 2
    assert measure([array])[0] == 1
    assert measure(array)[0] == 1


@pytest.mark.parametrize("value", [None, 3, "text", np.float64(1), object(), Thing(), len])
def test_anything_has_a_size(value):
    rows, nbytes = measure(value)
    assert rows == 1
    assert nbytes > 0


def test_a_value_is_kept_as_long_as_its_ref():
    store = KernelStore()
    thing = Thing()
    gone = weakref.ref(thing)
    ref = store.put(thing)
    assert store.get(ref) is thing
    del thing
    assert gone() is not None
    del ref
    gc.collect()
    store.put(1)
    assert gone() is None


def test_a_ref_of_another_store_is_an_error():
    ref = KernelStore().put(1)
    with pytest.raises(KeyError):
        KernelStore().get(ref)


def test_tables_of_a_run_go_together():
    store = KernelStore()
    one, two, other = store.table(1, 0), store.table(1, 1), store.table(2, 0)
    for table in (one, two, other):
        table[0] = "value"
    store.close_run(1)
    store.close_run(1)
    assert (one, two, other) == ({}, {}, {0: "value"})
    store.clear()
    assert other == {}
