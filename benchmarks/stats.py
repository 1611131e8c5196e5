"""Medians and their intervals, without assumptions about how times are distributed."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Sequence

__all__ = ["Interval", "median_interval", "ratios"]


@dataclasses.dataclass(frozen=True, slots=True)
class Interval:
    """A median, and the interval it lies in with at least the confidence asked for.

    ``low`` and ``high`` are infinitely far off when there are too few values to tell.
    """

    median: float
    low: float
    high: float
    n: int

    def share(self, of: float) -> float:
        """Width as a share of something, usually of the median."""
        if of == 0:
            return math.inf if self.high != self.low else 0.0
        return (self.high - self.low) / abs(of)

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"{self.median:.3g}"
        return f"{self.median:.3g} [{self.low:.3g}, {self.high:.3g}]"


def median_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """Return the median with its order-statistic interval.

    Of ``n`` values in order, the median of what they were drawn from lies between the ``k``-th
    from below and the ``k``-th from above with probability ``1 - 2 P(Binomial(n, 1/2) < k)``,
    whatever the distribution; ``k`` is the largest that keeps the confidence. Six values are the
    fewest that give 95 %; nine give the second from either end.

    Examples
    --------
    >>> print(median_interval([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]))
    5 [2, 8]
    """
    if not values:
        msg = "no values, so there is no median"
        raise ValueError(msg)
    ordered = sorted(values)
    n = len(ordered)
    tail = 0.0
    k = 0
    while k < n // 2:
        tail += math.comb(n, k) / 2**n
        if 1 - 2 * tail < confidence:
            break
        k += 1
    low, high = (ordered[k - 1], ordered[n - k]) if k else (-math.inf, math.inf)
    return Interval(statistics.median(ordered), low, high, n)


def ratios(
    above: Sequence[float], below: Sequence[float] | None, allowance: float = 0.0
) -> list[float]:
    """Divide pair by pair: ``above[i] / (below[i] + allowance)``.

    Raises
    ------
    ValueError
        If there are not as many above as below.
    """
    if below is None:
        return [a / allowance for a in above]
    return [a / (b + allowance) for a, b in zip(above, below, strict=True)]
