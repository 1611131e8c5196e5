from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd
from nbscale import config
from nbscale.errors import EngineError
from tests.counting import SEEN, look


@pytest.fixture
def data():
    return pd.DataFrame({"x": np.arange(20), "y": np.arange(20) * 0.5, "z": "a"})


@pytest.fixture
def lazy(data):
    return nd.from_pandas(data, npartitions=4)


def test_compute_keeps_the_shape_of_its_arguments(lazy, data):
    got = ns.compute(lazy.x.sum(), {"a": [lazy.y.max(), 3]}, "plain")
    assert got == (data.x.sum(), {"a": [data.y.max(), 3]}, "plain")


def test_what_is_shared_is_computed_once(data):
    lazy = nd.from_pandas(data, npartitions=4).map_partitions(look)
    _ = lazy.columns
    SEEN.clear()
    ns.compute(lazy.x.sum(), lazy.y.sum())
    assert SEEN == [0, 5, 10, 15]


def test_persist_computes_once_and_stays_lazy(data):
    lazy = nd.from_pandas(data, npartitions=4)
    kept = lazy.map_partitions(look).persist()
    SEEN.clear()
    assert kept.npartitions == 4
    pd.testing.assert_frame_equal(kept.compute(), data)
    assert (kept.x + kept.y).sum().compute() == (data.x + data.y).sum()
    assert len(kept) == 20
    assert SEEN == []
    one, two = ns.persist(lazy.x, [lazy.y])
    assert isinstance(one, nd.Series)
    assert isinstance(two[0], nd.Series)


def test_explain_shows_each_rule_and_the_stages(lazy):
    text = lazy[lazy.x > 3].y.sum().explain()
    assert "as written:" in text
    assert "after prune:" in text
    assert "stages:" in text
    assert "rows" in text


def test_visualize_draws_svg(lazy, tmp_path):
    drawing = lazy.y.sum().visualize(filename=tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text()
    assert str(drawing) == text == drawing._repr_svg_()
    assert text.startswith("<svg")
    assert "from_pandas" in text
    assert ns.visualize(lazy.x, lazy.y.sum())._repr_svg_().count("<rect") >= 2


def test_visualize_escapes_names(data):
    lazy = nd.from_pandas(data.rename(columns={"x": "<script>"}))
    assert "<script>" not in str(lazy["<script>"].visualize())


def test_runs_are_recorded_with_the_reason(lazy):
    lazy.x.sum().compute()
    assert ns.runs()[-1].engine == "inline"
    assert ns.runs()[-1].reason == "small data"
    lazy.x.sum().compute(engine="threads")
    assert ns.runs()[-1].reason == "as you asked"
    assert "done" in str(ns.runs()[-1])
    with config.set(engine="threads"):
        lazy.map_partitions(len).compute()  # which runs no function of the user's
    assert (ns.runs()[-1].engine, ns.runs()[-1].reason) == ("inline", "small data")


def test_the_engine_can_be_fixed(lazy):
    with config.set(engine="threads"):
        lazy.x.sum().compute()
        assert ns.runs()[-1].engine == "threads"
        lazy.map_partitions(lambda part: part).compute()
        assert ns.runs()[-1].engine == "inline"
    with pytest.raises(EngineError, match="no engine 'nope'"):
        lazy.compute(engine="nope")
    with pytest.raises(EngineError, match="runs none"):
        lazy.map_partitions(len).compute(engine="threads")


def test_places_point_at_the_users_line(lazy):
    made = lazy.y * 2
    place = made._origin.place
    assert place.file == __file__
    stages = ns.session.current().plan([made._request()])[0]
    stages.step(None)
    assert any(str(__file__) in str(p) for s in stages.stages for p in s.places)


def test_equal_results_asked_for_twice(lazy, data):
    assert ns.compute(lazy.x.sum(), lazy.x.sum(), lazy[["x"]].x.sum()) == (data.x.sum(),) * 3


def test_calls_of_calls():
    add = ns.delayed(lambda a, b: a + b)
    x = add(1, 2)
    assert add(x, 3).compute() == 6
    assert ns.compute(x, add(x, x), [x]) == (3, 6, [3])


def test_delayed_takes_lazy_frames_whole(lazy, data):
    @ns.delayed
    def shape(frame, factor):
        return (*frame.shape, factor)

    assert shape(lazy, 2).compute() == (20, 3, 2)
