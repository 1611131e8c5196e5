"""Parquet files: what their footers say, row groups as pandas reads them, a part written."""

from __future__ import annotations

__all__ = ["looks_like_parquet"]


def looks_like_parquet(first_bytes: bytes) -> bool:
    """Whether a file that begins like this is a parquet file.

    Examples
    --------
    >>> looks_like_parquet(b"PAR1..."), looks_like_parquet(b"a,b")
    (True, False)
    """
    return first_bytes[:4] in (b"PAR1", b"PARE")
