# ruff: noqa: PTH105, PTH108, PTH110, PTH116, PTH118 - paths stay text, as in files.py
"""Write one parquet file, whole or not at all."""

from __future__ import annotations

import io
import os
import posixpath
import uuid
from collections.abc import Mapping
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa

__all__ = ["write_parquet_part"]


def write_parquet_part(
    frame: pd.DataFrame,
    path: str | os.PathLike[str],
    *,
    schema: pa.Schema | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **keywords: Any,
) -> int:
    """Write a frame as one parquet file, whole or not at all.

    Parameters
    ----------
    frame
        Rows to write.
    path
        Local path or URL.
    schema
        Arrow schema that all parts of a data set share.
    storage_options
        For the file system of a URL.
    keywords
        Passed to ``DataFrame.to_parquet``, such as ``compression`` or ``index``.

    Returns
    -------
    int
        Bytes written.

    Notes
    -----
    A local file is written under a hidden name beside it and renamed; elsewhere the bytes are made
    in memory and sent at once.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "a.parquet"
    >>> write_parquet_part(pd.DataFrame({"x": [1]}), path) == path.stat().st_size
    True
    """
    target = os.fspath(path)
    if schema is not None:
        keywords["schema"] = schema
    if "://" in target:
        buffer = io.BytesIO()
        frame.to_parquet(buffer, engine="pyarrow", **keywords)
        fs, inner = fsspec.core.url_to_fs(target, **dict(storage_options or {}))
        fs.makedirs(posixpath.dirname(inner), exist_ok=True)
        fs.pipe_file(inner, buffer.getvalue())
        return buffer.tell()
    folder, name = os.path.split(target)
    hidden = os.path.join(folder, f".{name}.{uuid.uuid4().hex}.tmp")
    try:
        frame.to_parquet(hidden, engine="pyarrow", **keywords)
        size = os.stat(hidden).st_size
        os.replace(hidden, target)
    except BaseException:
        if os.path.exists(hidden):
            os.unlink(hidden)
        raise
    return size
