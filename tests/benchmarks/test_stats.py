from __future__ import annotations

import math
import random

import pytest

from benchmarks.stats import Interval, median_interval, ratios


def test_nine_values_give_the_second_from_either_end():
    found = median_interval([9, 1, 8, 2, 7, 3, 6, 4, 5])
    assert found == Interval(median=5, low=2, high=8, n=9)


@pytest.mark.parametrize(
    ("n", "k"), [(6, 1), (8, 1), (9, 2), (11, 2), (12, 3), (15, 4), (20, 6), (25, 8)]
)
def test_ranks_are_those_of_the_sign_test(n, k):
    # The published table of order-statistic intervals of the median at 95 %.
    found = median_interval(list(range(1, n + 1)))
    assert (found.low, found.high) == (k, n + 1 - k)


def test_five_values_are_too_few_for_an_interval():
    found = median_interval([1.0, 1.0, 1.0, 1.0, 1.0])
    assert found.low == -math.inf
    assert found.high == math.inf
    assert str(found) == "1"


def test_no_values_have_no_median():
    with pytest.raises(ValueError, match="no values"):
        median_interval([])


def test_the_interval_covers_the_true_median_as_often_as_promised():
    rng = random.Random(7)
    covered = 0
    for _ in range(2000):
        found = median_interval([rng.lognormvariate(0, 1) for _ in range(9)])
        covered += found.low <= 1.0 <= found.high
    assert 0.945 < covered / 2000 < 0.98


def test_width_is_a_share():
    assert Interval(2.0, 1.9, 2.1, 9).share(2.0) == pytest.approx(0.1)
    assert Interval(0.0, 0.0, 0.0, 9).share(0.0) == 0
    assert Interval(0.0, 0.0, 1.0, 9).share(0.0) == math.inf


def test_ratios_are_taken_pair_by_pair():
    assert ratios([1.0, 4.0], [2.0, 2.0]) == [0.5, 2.0]
    assert ratios([1.0, 3.0], [0.5, 1.0], allowance=0.5) == [1.0, 2.0]
    assert ratios([1.0, 3.0], None, allowance=2.0) == [0.5, 1.5]
    with pytest.raises(ValueError, match="argument"):
        ratios([1.0], [1.0, 2.0])
