from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from nbscale.dataframe.read.parquet_file import parquet_files, parquet_info, read_row_groups
from nbscale.dataframe.read.parquet_groups import may_match
from tests.dataframe.read.test_parquet_file import FRAME, read_by_groups


def test_filters_keep_rows_and_leave_out_groups(tmp_path):
    path = tmp_path / "a.parquet"
    FRAME.to_parquet(path, row_group_size=4)
    for filters in (
        [("i", ">", 6)],
        [("i", "in", [1, 9]), ("b", "==", False)],
        [[("i", "<", 2)], [("s", "=", "w5")]],
        [("gap_i", "!=", 3)],
    ):
        expected = pd.read_parquet(path, columns=["f"], filters=filters)
        assert_frame_equal(read_by_groups(path, ["f"], filters), expected)
    groups = parquet_info(parquet_files(path)).groups
    assert [may_match(g, [("i", ">", 6)]) for g in groups] == [False, True, True]
    assert [may_match(g, [("i", "<=", 3)]) for g in groups] == [True, False, False]
    assert [may_match(g, [[("i", "<", 1)], [("s", "==", "w9")]]) for g in groups] == [
        True,
        False,
        True,
    ]
    assert [may_match(g, [("no such", "==", 1)]) for g in groups] == [True] * 3
    assert [may_match(g, [("i", "==", "x")]) for g in groups] == [True] * 3


@given(
    values=st.lists(st.one_of(st.none(), st.integers(0, 5)), min_size=1, max_size=9),
    op=st.sampled_from(["=", "==", "!=", "<", "<=", ">", ">=", "in", "not in"]),
    value=st.integers(-1, 6),
)
def test_no_group_is_left_out_that_holds_rows(tmp_path_factory, values, op, value):
    path = tmp_path_factory.getbasetemp() / "prune.parquet"
    pq.write_table(pa.table({"x": pa.array(values, pa.int64())}), path, row_group_size=2)
    filters = [("x", op, [value] if "in" in op else value)]
    info = parquet_info(parquet_files(path))
    for group in info.groups:
        rows = read_row_groups(group.file, [group.index], info.form, None, filters)
        assert may_match(group, filters) or not len(rows)
