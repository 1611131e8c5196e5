"""The note of an error that a task raised: which rows of what file, on every engine."""

import traceback

import pandas as pd
import pytest

import nbscale as ns
import nbscale.dataframe as nd

ROWS = 1000
FRAME = pd.DataFrame({"x": range(10_000, 10_000 + ROWS), "y": "abc"})


def clean(part):
    if (part.x == 10_555).any():
        raise ValueError("bad value")
    return part


def csv(folder):
    FRAME.to_csv(folder / "trips.csv", index=False)
    return nd.read_csv(folder / "trips.csv", blocksize=1000)


def parquet(folder):
    FRAME.to_parquet(folder / "trips.parquet", row_group_size=100)
    return nd.read_parquet(folder / "trips.parquet", blocksize=1)


def memory(folder):
    return nd.from_pandas(FRAME, npartitions=10)


NOTES = {
    csv: ", on rows ~500-600 of trips.csv (bytes 5,002-6,001), partition 5 of 0 to 9",
    parquet: ", on rows 500-599 of trips.parquet, partition 5 of 0 to 9",
    memory: ", on rows 500-599 of the DataFrame given to from_pandas, partition 5 of 0 to 9",
}


@pytest.mark.parametrize("engine", ["inline", "local"])
@pytest.mark.parametrize("source", NOTES, ids=lambda source: source.__name__)
@pytest.mark.parametrize("then", [lambda df: df, lambda df: df.x.sum()], ids=["fused", "read"])
def test_the_note_names_the_rows(source, engine, then, tmp_path):
    bad = then(source(tmp_path).map_partitions(clean))
    with pytest.raises(ValueError, match="bad value") as caught:
        bad.compute(engine=engine)
    [note] = caught.value.__notes__
    assert note.startswith("while running map_partitions(clean) (")
    assert note.endswith(NOTES[source])


def test_rows_that_a_reader_behind_an_exchange_gets_come_from_everywhere(tmp_path):
    df = csv(tmp_path)
    bad = df.sort_values("y").map_partitions(clean)
    with pytest.raises(ValueError, match="bad value") as caught:
        bad.compute(engine="inline")
    assert "trips.csv" not in caught.value.__notes__[0]


def test_the_trace_shows_the_users_frames_only(tmp_path):
    for bad in (
        lambda: csv(tmp_path).map_partitions(clean).compute(engine="local"),
        lambda: ns.submit(clean, FRAME).result(),
        lambda: ns.gather(ns.map(clean, [FRAME])),
    ):
        with pytest.raises(ValueError, match="bad value") as caught:
            bad()
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert [name for name in names if name != "call"][1:] == ["<lambda>", "clean"]


def test_a_future_says_what_was_called_and_where():
    with pytest.raises(ZeroDivisionError) as caught:
        ns.submit(divmod, 1, 0).result()
    [note] = caught.value.__notes__
    assert note.startswith("while running divmod (")
    assert "test_errors_of_tasks.py, line" in note
