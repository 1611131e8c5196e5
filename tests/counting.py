"""A function of the user's that says what it saw. Importable, so it is captured by reference."""

from __future__ import annotations

SEEN: list[int] = []


def look(part):
    """Note the first value of x in the partition, and give the partition back."""
    SEEN.append(int(part.x.iloc[0]) if len(part) else -1)
    return part
