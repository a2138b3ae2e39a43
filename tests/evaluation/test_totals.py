"""Sums of records' states, and intervals over records."""

import numpy as np
import pytest

from vision_banana.evaluation import totals
from vision_banana.evaluation.records import Entry, Records
from vision_banana.metrics import depth as depth_metric
from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric

METRIC = depth_metric.depth_errors(0.1, 100.0)


def states(predictions, truth=10.0):
    return [
        METRIC.update(METRIC.init(), np.full((2, 2), p), np.full((2, 2), truth))
        for p in predictions
    ]


def test_the_sum_is_the_score_of_all():
    whole = METRIC.compute(totals.total(METRIC, states([11.0, 12.0, 10.0])))
    assert whole["AbsRel"] == pytest.approx((0.1 + 0.2 + 0.0) / 3)


def test_an_interval_holds_the_mean_and_has_the_right_width():
    """Errors of 0 or 1 at even odds over 100 pictures: standard error 0.5 / 10."""
    predictions = [10.0, 20.0] * 50
    low, high = totals.bootstrap(METRIC, states(predictions))["AbsRel"]
    assert low < 0.5 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.15)


def test_pooled_numbers_are_resampled_by_record():
    """Two kinds of pictures, IoU 1 and 0: a resample's IoU is its share of right pixels."""
    metric = segmentation.mean_iou(1)
    right, wrong = np.zeros((2, 2), int), np.full((2, 2), 7)
    made = [metric.update(metric.init(), x, right) for x in [right, wrong] * 50]
    low, high = totals.bootstrap(metric, made)["mIoU"]
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.2)
    assert totals.bootstrap(metric, made) == {"mIoU": (low, high), "pixel_accuracy": (low, high)}


def test_one_record_or_an_unknown_number_has_no_interval():
    assert totals.bootstrap(METRIC, states([11.0])) == {}
    empty = METRIC.update(METRIC.init(), np.ones((2, 2)), np.zeros((2, 2)))
    assert totals.bootstrap(METRIC, [empty, empty]) == {}


def test_a_difference_is_of_the_same_records():
    """Errors differ widely between records and by 0.1 between answers: only pairs see that."""
    before, after = [10.0, 20.0] * 20, [11.0, 21.0] * 20
    found = totals.differences(METRIC, states(before), states(after))["AbsRel"]
    assert found == pytest.approx((0.1, 0.1, 0.1), abs=1e-6)
    back = totals.differences(METRIC, states(after), states(before))["AbsRel"]
    assert back.value == pytest.approx(-0.1, abs=1e-6)
    with pytest.raises(ValueError, match="40 and 1 records"):
        totals.differences(METRIC, states(before), states([10.0]))


def scored(pictures, predictions):
    kept = Records({"depth": METRIC})
    for i, (picture, state) in enumerate(zip(pictures, states(predictions), strict=True)):
        kept.add([Entry(i, "depth", f"r{i}", "", {"1": state}, picture)])
    return totals.scores({"depth": METRIC}, kept, [1], beside=False, resampled=True)["depth"]


def test_questions_about_one_picture_are_drawn_together():
    """25 pictures of error 0 and 25 of error 1, four questions about each."""
    alone = scored([f"p{i}" for i in range(50)], [10.0, 20.0] * 25)
    each_four = scored([f"p{i}" for i in range(50)] * 4, [10.0, 20.0] * 100)
    assert (each_four.asked, each_four.pictures) == (200, 50)
    assert each_four.values[1]["AbsRel"] == pytest.approx(0.5)
    assert each_four.intervals == alone.intervals
    unknown = scored([""] * 200, [10.0, 20.0] * 100)  # each a picture of its own
    assert unknown.pictures == 200
    (a, b), (c, d) = (x.intervals[1]["AbsRel"] for x in (each_four, unknown))
    assert b - a == pytest.approx(2 * (d - c), rel=0.15)


def test_an_interval_by_hand():
    """Two pictures of errors 0 and 1: a draw's mean is 0, 1/2 or 1, at odds of 1 : 2 : 1."""
    assert totals.bootstrap(METRIC, states([10.0, 20.0]))["AbsRel"] == pytest.approx((0.0, 1.0))


def test_a_thousand_draws_of_as_many_as_there_are():
    """A metric that counts how often it is asked, and what is in each draw."""
    seen = []
    counts = Metric(
        lambda: np.zeros((), np.int64), lambda n: n, np.add, lambda n: {"n": seen.append(n) or n}
    )
    assert totals.bootstrap(counts, [np.int64(1)] * 9) == {"n": (9.0, 9.0)}
    assert len(seen) == 1000
