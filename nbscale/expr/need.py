"""What is needed of a node's value by those who read it: columns, index, order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from nbscale.record import record

__all__ = ["EVERYTHING", "Need"]


@record
class Need:
    """What somebody reads of a value.

    Attributes
    ----------
    columns
        Names of the columns read, or None for all of them.
    index
        Whether the index is read.
    order
        Whether the order of the rows matters.
    """

    columns: frozenset[Hashable] | None = None
    index: bool = True
    order: bool = True

    def __or__(self, other: Need) -> Need:
        """What two readers need together."""
        columns = (
            None if self.columns is None or other.columns is None else self.columns | other.columns
        )
        return Need(columns, self.index or other.index, self.order or other.order)

    def of(self, columns: Iterable[Hashable] | None) -> Need:
        """The same need of other columns."""
        return Need(None if columns is None else frozenset(columns), self.index, self.order)

    def plus(self, columns: Iterable[Hashable]) -> Need:
        """The same need of these columns too."""
        if self.columns is None:
            return self
        return Need(self.columns | frozenset(columns), self.index, self.order)


EVERYTHING = Need()
