"""F29: whatever a task does to what it was given, nobody else sees it."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import nbscale as ns
import nbscale.dataframe as nd

pytestmark = pytest.mark.timeout(100)

N = 40_000  # 320 kB: mapped and not copied
SHARED = {"count": 0}


def array():
    return np.arange(N)


def frame():
    return pd.DataFrame({"x": np.arange(N), "y": [f"row {i % 7}" for i in range(N)]})


def nested():
    return {"a": [np.arange(N), {"b": frame()}], "c": list(range(50))}


def spoil_array(value):
    value[::2] = -1
    value.sort()


def spoil_view(value):
    value[10:].reshape(-1, 2)[:, 0] = -7
    memoryview(value)[0] = 3


def spoil_frame(value):
    value.iloc[0, 0] = -5
    value["z"] = 1
    value["x"].to_numpy(copy=False).flags.writeable and value.__setitem__("x", 0)
    value.drop(columns="y", inplace=True)


def spoil_nested(value):
    value["a"][0][:] = 0
    value["a"][1]["b"]["x"] = 9
    value["c"].clear()
    value.pop("a")


MAKERS = {
    array: [spoil_array, spoil_view],
    frame: [spoil_frame],
    nested: [spoil_nested],
}


def digest(value):
    """What a value is, bit by bit."""
    if isinstance(value, dict):
        return {key: digest(item) for key, item in value.items()}
    if isinstance(value, list):
        return [digest(item) for item in value]
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.tobytes())
    if isinstance(value, pd.DataFrame):
        return (list(value.columns), pd.util.hash_pandas_object(value).to_numpy().tobytes())
    return value


def warm_up():
    for make in MAKERS:
        for argument in (make(), ns.put(make()), ns.submit(make)) * 2:
            ns.gather([ns.submit(digest, argument) for _ in range(20)])
        digest(argument.result())
    df = nd.from_pandas(frame(), npartitions=4).persist()
    assert len(df.map_partitions(lambda part: part).compute(engine="local")) == N


def spoil(value, how):
    how(value)
    return 0


def test_f29_no_random_program_sees_what_another_task_changed(engine):
    """500 uses of values that others spoil before, meanwhile and afterwards."""
    uses = 0
    for seed in range(25):
        chance = random.Random(seed)
        make = chance.choice(list(MAKERS))
        original = make()
        expected = digest(original)
        given = chance.choice(["as it is", "put", "result"])
        if given == "put":
            argument = ns.put(original)
        elif given == "result":
            argument = ns.submit(make)
        else:
            argument = original
        calls = []
        for _ in range(20):
            if chance.random() < 0.5:
                calls.append(ns.submit(spoil, argument, chance.choice(MAKERS[make])))
            else:
                calls.append(ns.submit(digest, argument))
            uses += 1
        for found in ns.gather(calls):
            assert found in (0, expected), seed
        assert digest(original) == expected, seed
        if given != "as it is":
            assert digest(argument.result()) == expected, seed
    assert uses == 500


@pytest.mark.parametrize("face", ["delayed", "frame"])
def test_f29_tasks_that_read_one_value(engine, face):
    if face == "delayed":
        source = ns.delayed(array)()
        calls = [ns.delayed(spoil)(source, how) for how in (spoil_array, spoil_view) * 3]
        looks = [ns.delayed(digest)(source) for _ in range(6)]
        found = ns.compute(
            *[c for pair in zip(calls, looks, strict=True) for c in pair], engine="local"
        )
        assert found[1::2] == (digest(array()),) * 6
    else:
        pdf = frame()
        df = nd.from_pandas(pdf, npartitions=4).persist()

        def in_place(part):
            part["x"] = -1
            part.iloc[:, 0] = -2
            return part

        bad = df.map_partitions(in_place)
        assert set(bad.x.compute(engine="local")) == {-2}
        pd.testing.assert_frame_equal(df.compute(engine="local"), pdf)
        pd.testing.assert_frame_equal(pdf, frame())


def test_f29_an_arrow_table_cannot_be_changed(engine):
    table = pa.table({"x": np.arange(N)})

    def change(value):
        value["x"].chunk(0).to_numpy(zero_copy_only=True)[0] = 1

    with pytest.raises(ValueError, match="read-only"):
        ns.submit(change, table).result(30)
    assert table["x"][0].as_py() == 0


def test_f29_a_result_is_the_callers_own(engine):
    future = ns.submit(array)
    value = future.result()
    value[:] = 0
    assert ns.submit(digest, ns.submit(array)).result(30) == digest(array())


def count():
    SHARED["count"] += 1
    return SHARED["count"]


def test_f29_a_global_that_tasks_change_is_the_kernels_no_more(engine):
    """Names of a module are each worker's own: a task's change stays there, and never comes here."""
    assert all(found >= 1 for found in ns.gather([ns.submit(count) for _ in range(20)]))
    assert SHARED == {"count": 0}
