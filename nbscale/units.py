"""Numbers for people: bytes, seconds and counts, read from text and written as text."""

from __future__ import annotations

import re

__all__ = [
    "counted",
    "format_bytes",
    "format_count",
    "format_range",
    "format_seconds",
    "parse_bytes",
]

_POWERS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}
_TEXT = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?\s*$", re.IGNORECASE)


def parse_bytes(text: str | float) -> int:
    """Bytes from ``"64 MB"``, ``"1.5 GiB"`` or a plain number.

    Raises
    ------
    ValueError
        If the text is not a size.

    Examples
    --------
    >>> parse_bytes("64 MB"), parse_bytes("1 KiB"), parse_bytes(10)
    (64000000, 1024, 10)
    """
    if isinstance(text, (int, float)):
        return int(text)
    match = _TEXT.match(text)
    if match is None:
        msg = f"{text!r} is not a size; write it like '64 MB' or '1.5 GiB'"
        raise ValueError(msg)
    return int(float(match[1]) * _POWERS[match[2].lower()])


def format_bytes(count: float) -> str:
    """Bytes as text with three significant digits.

    Examples
    --------
    >>> format_bytes(0), format_bytes(1_530), format_bytes(64_000_000)
    ('0 B', '1.53 kB', '64 MB')
    """
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB" if abs(size) < 999.5 else f"{size:,.0f} TB"


def format_seconds(seconds: float) -> str:
    """A duration as text.

    Examples
    --------
    >>> format_seconds(0.0123), format_seconds(75), format_seconds(7_500)
    ('12.3 ms', '1 min 15 s', '2 h 5 min')
    """
    if seconds < 1e-3:
        return f"{seconds * 1e6:.3g} us"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def format_count(count: int) -> str:
    """A count with thousands separated.

    Examples
    --------
    >>> format_count(336776)
    '336,776'
    """
    return f"{count:,}"


def counted(count: int, noun: str) -> str:
    """A count of things as text, in the singular for one.

    Examples
    --------
    >>> counted(1, "stage"), counted(0, "stage"), counted(12_000, "task")
    ('1 stage', '0 stages', '12,000 tasks')
    """
    return f"{format_count(count)} {noun}{'' if count == 1 else 's'}"


def format_range(start: float, stop: float) -> str:
    """Two counts as text, in one unit and with no more digits than tell them apart.

    Examples
    --------
    >>> format_range(4_103_000, 4_197_000), format_range(0, 950), format_range(12_300, 12_900)
    ('4.1-4.2 M', '0-950', '12-13 k')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if stop >= size:
            for digits in range(4):
                first, last = f"{start / size:.{digits}f}", f"{stop / size:.{digits}f}"
                if first != last:
                    break
            return f"{first}-{last} {unit}"
    return f"{round(start)}-{round(stop)}"
