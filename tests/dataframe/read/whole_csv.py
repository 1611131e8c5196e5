"""Read CSV files block by block and put them together: what a run does, in a loop."""

from __future__ import annotations

import pandas as pd

from nbscale.dataframe.read.csv_parse import read_csv_block
from nbscale.dataframe.read.csv_schema import sample_csv
from nbscale.dataframe.read.csv_split import QuotesMet, plan_blocks, scan_quotes, start_states
from nbscale.dataframe.read.files import resolve


def read_in_blocks(paths, blocksize, columns=None, log=None, **keywords):
    files = resolve(paths)
    schema = sample_csv(files, keywords)
    for _ in range(20):
        form = schema.form
        blocks = [
            b for f in files for b in plan_blocks(f, form.dialect, blocksize, form.header_size)
        ]
        states = [None] * len(blocks)
        if form.dialect.two_pass:
            states = start_states(blocks, [scan_quotes(b, form.dialect) for b in blocks])
        try:
            read = [
                read_csv_block(b, form, columns, s) for b, s in zip(blocks, states, strict=True)
            ]
        except QuotesMet:
            schema = sample_csv(files, keywords, quoted=True)
            if log is not None:
                log.append("quotes")
            continue
        misfits = [m for _, found in read for m in found]
        if log is not None:
            log.extend(misfits)
        if not misfits:
            parts = [part for part, _ in read]
            for part in parts:
                assert list(part.dtypes) == list(parts[0].dtypes)
            whole = pd.concat(parts, ignore_index=not form.index)
            return whole.astype(dict.fromkeys(schema.categories, "category"))
        schema = schema.widened(misfits)
    raise AssertionError("no end of widening")


def read_by_pandas(paths, **keywords):
    files = resolve(paths)
    if keywords.get("engine", "c") == "c":
        keywords = {"low_memory": False, **keywords}
    parts = [pd.read_csv(f.path, **keywords) for f in files]
    return pd.concat(parts, ignore_index=not names_index(keywords))


def names_index(keywords):
    index = keywords.get("index_col")
    return index is not None and index is not False
