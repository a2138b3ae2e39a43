import math

import pytest

from experiments import seeds


def test_students_interval_by_hand():
    # Mean 2, standard deviation 1, t(0.975, 2) = 4.30265: 2 +- 4.30265 / sqrt(3).
    found = seeds.interval([1.0, 2.0, 3.0])
    assert found.mean == 2 and found.count == 3
    assert found.low == pytest.approx(2 - 2.48414, abs=1e-4)
    assert found.high == pytest.approx(2 + 2.48414, abs=1e-4)
    assert str(found) == "2.000 (-0.484 to 4.484)"


def test_too_little_is_said_to_be_too_little():
    assert math.isnan(seeds.interval([]).mean) and str(seeds.interval([])) == "-"
    assert math.isnan(seeds.interval([1.0]).low) and str(seeds.interval([1.0])) == "1.000"
    assert seeds.verdict(seeds.interval([1.0, 1.0])) == "too few seeds (2 of at least 3)"


@pytest.mark.parametrize(
    ("values", "word"),
    [([1.0, 1.1, 1.2], "better"), ([-1.0, -1.1, -1.2], "worse"), ([-1.0, 0.5, 1.0], "undecided")],
)
def test_verdicts(values, word):
    assert seeds.verdict(seeds.interval(values)) == word
