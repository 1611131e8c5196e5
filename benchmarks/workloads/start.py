"""From a fresh process to a first result: what every notebook pays before anything else."""

from __future__ import annotations

from typing import Any

from benchmarks.registry import Gate, script, workload

_FRAME = "pd.DataFrame({'a': [1, 2, 3], 'b': [0.5, 1.5, 2.5]})"
_SHOW = "import json; print(json.dumps({k: float(v) for k, v in found.items()}))"


@workload(
    "start",
    reference="pandas-sum",
    gates=[
        Gate("cpu_s", "nbscale-import", "bare-python", limit=1.0, allowance=0.06),
        Gate("wall_s", "nbscale-sum", "pandas-import", limit=1.0, allowance=0.1),
    ],
)
def start(value: Any) -> dict[str, float]:
    """A whole process: an import, or an import and the sum of a small frame."""
    return dict(value)


script("start", "bare-python", "pass")
script("start", "nbscale-import", "import nbscale")
script("start", "pandas-import", "import pandas")
script("start", "polars-import", "import polars")
script("start", "dask-dataframe-import", "import dask.dataframe")
script(
    "start",
    "nbscale-sum",
    f"import nbscale.dataframe as nd, pandas as pd\n"
    f"found = nd.from_pandas({_FRAME}).sum().compute()\n{_SHOW}",
)
script("start", "pandas-sum", f"import pandas as pd\nfound = {_FRAME}.sum()\n{_SHOW}")
script(
    "start",
    "dask-dataframe-sum",
    f"import dask.dataframe as dd, pandas as pd\n"
    f"found = dd.from_pandas({_FRAME}, npartitions=1).sum().compute()\n{_SHOW}",
)
script(
    "start",
    "polars-sum",
    "import polars as pl\n"
    "frame = pl.DataFrame({'a': [1, 2, 3], 'b': [0.5, 1.5, 2.5]}).lazy()\n"
    f"found = frame.sum().collect().to_dicts()[0]\n{_SHOW}",
)
