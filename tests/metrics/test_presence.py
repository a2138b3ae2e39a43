"""Accuracy and Matthews correlation of yes/no answers, by hand."""

import numpy as np
import pytest

from vision_banana.metrics import presence

METRIC = presence.presence()


def score(said, true):
    return METRIC.compute(METRIC.update(METRIC.init(), said, true))


def test_by_hand():
    # TP 3, FP 1, TN 2, FN 2: (6 - 2) / sqrt(4 * 5 * 3 * 4) = 4 / sqrt(240)
    said = [True, True, True, True, False, False, False, False]
    true = [True, True, True, False, False, False, True, True]
    scores = score(said, true)
    assert scores["accuracy"] == pytest.approx(5 / 8)
    assert scores["MCC"] == pytest.approx(4 / 240**0.5)
    assert score(true, true) == {"accuracy": 1.0, "MCC": 1.0}
    assert score(np.invert(true), true)["MCC"] == -1


def test_answers_of_one_kind_say_nothing():
    assert score([True, True], [True, False]) == {"accuracy": 0.5, "MCC": 0.0}
    assert np.isnan(METRIC.compute(METRIC.init())["accuracy"])


def test_batches_add_up():
    parts = [METRIC.update(METRIC.init(), s, t) for s, t in (([True], [False]), ([True], [True]))]
    assert METRIC.merge(*parts).counts.tolist() == [1, 1, 0, 0]
    with pytest.raises(ValueError, match="shape"):
        METRIC.update(METRIC.init(), [True], [True, False])
