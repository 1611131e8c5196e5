"""Text that shows itself as it is, where Python would show a string with quotes and escapes."""

from __future__ import annotations

import html

__all__ = ["Text"]


class Text(str):
    r"""A string whose lines are shown as lines; nothing in it is taken for HTML.

    Examples
    --------
    >>> Text("first\nsecond")
    first
    second
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self)}</pre>"
