"""What a few seeds tell: a mean with its interval, and a verdict."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from scipy import stats

LEVEL = 0.95
FEWEST = 3  # seeds below which there is no verdict


class Interval(NamedTuple):
    """A mean and its interval over seeds, NaN where it is unknown."""

    mean: float
    low: float
    high: float
    count: int

    def __str__(self) -> str:
        if self.count == 0:
            return "-"
        if self.count == 1:
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} ({self.low:.3f} to {self.high:.3f})"


def interval(values: Sequence[float]) -> Interval:
    """Student's t interval of a mean, at `LEVEL` (Student 1908, "The probable error of a mean")."""
    count = len(values)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = statistics.fmean(values)
    if count == 1:
        return Interval(mean, math.nan, math.nan, 1)
    reach = float(stats.t.ppf((1 + LEVEL) / 2, count - 1)) * statistics.stdev(values) / count**0.5
    return Interval(mean, mean - reach, mean + reach, count)


def verdict(gain: Interval) -> str:
    """What a gain's interval allows to say: better, worse, undecided, or that seeds are too few."""
    if gain.count < FEWEST:
        return f"too few seeds ({gain.count} of at least {FEWEST})"
    if gain.low > 0:
        return "better"
    return "worse" if gain.high < 0 else "undecided"
