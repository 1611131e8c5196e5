from __future__ import annotations

from benchmarks.registry import Workload
from benchmarks.rows import Row
from benchmarks.table import table


def test_peers_are_compared_by_the_measure_of_the_workload():
    made = Workload("w", "", dict, None, {}, "theirs", 1e-9, "m", measure="us_per_task")
    rows = [
        Row("w", peer, 1, {}, 0, "ok", {"wall_s": wall, "cpu_s": 1.0, "us_per_task": each})
        for peer, wall, each in (("theirs", 1.0, 8.0), ("ours", 2.0, 4.0))
    ]
    lines = table(made, [*rows, Row("w", "absent", 1, {}, 0, "missing", error="why")]).splitlines()
    assert lines[0] == "| peer | runs | us_per_task | to theirs | CPU s | peak MB |"
    assert lines[2:4] == ["| ours | 1 | 4 | 0.5 | 1 |  |", "| theirs | 1 | 8 | 1 | 1 |  |"]
    assert lines[-1] == "absent: missing: why"
