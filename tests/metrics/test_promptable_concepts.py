"""Hand examples of SA-Co's official evaluator on a 10 x 10 canvas."""

import numpy as np
import pytest

from vision_banana.metrics import segmentation


def _masks(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    masks = np.zeros((len(boxes), 10, 10), bool)
    for mask, (top, left, height, width) in zip(masks, boxes, strict=True):
        mask[top : top + height, left : left + width] = True
    return masks


NONE = _masks()
FIRST, SECOND, SECOND_SHORT = (0, 0, 4, 4), (5, 5, 4, 4), (5, 5, 4, 3)
OTHER = (2, 2, 3, 3)
PAIR_1 = (_masks(FIRST, SECOND_SHORT), _masks(FIRST, SECOND))
PAIR_2 = (NONE, _masks(OTHER))
PAIR_3 = (NONE, NONE)
PAIR_4 = (_masks(OTHER), NONE)


def _score(*pairs):
    metric = segmentation.promptable_concepts()
    state = metric.init()
    for pair in pairs:
        state = metric.merge(state, metric.update(metric.init(), *pair))
    return metric.compute(state)


def _expect(scores, pmf1, mcc, cgf1):
    assert scores["pmF1"] == pytest.approx(pmf1, abs=1e-6)
    assert scores["IL_MCC"] == pytest.approx(mcc, abs=1e-6)
    assert scores["cgF1"] == pytest.approx(cgf1, abs=1e-6)


def test_a_false_alarm_on_a_negative_is_left_to_mcc():
    _expect(_score(PAIR_1, PAIR_2, PAIR_3, PAIR_4), 0.639926, 0, 0)


def test_b_without_the_false_alarm():
    _expect(_score(PAIR_1, PAIR_2, PAIR_3, (NONE, NONE)), 0.639926, 0.577350, 0.369462)


def test_c_three_annotators_oracle():
    b_1, c_1 = _masks(FIRST, SECOND_SHORT), _masks(FIRST)
    scores = _score(
        (PAIR_1[0], (PAIR_1[1], b_1, c_1)),
        (PAIR_2[0], (PAIR_2[1], NONE, PAIR_2[1])),
        (NONE, (NONE, NONE, NONE)),
        (PAIR_4[0], (NONE, NONE, NONE)),
    )
    _expect(scores, 0.999900, 0.577350, 0.577292)


def test_d_score_of_one_half_is_kept_and_less_is_dropped():
    scores = _score((*PAIR_1, np.array([0.50, 0.49])), PAIR_2, PAIR_3, (NONE, NONE))
    _expect(scores, 0.499938, 0.577350, 0.288639)


def test_e_tie_keeps_the_earlier_annotator():
    miss, truth = _masks(OTHER), _masks((8, 8, 2, 2))
    _expect(_score((miss, (NONE, truth)), (NONE, (NONE, NONE))), 0, 0, 0)
    _expect(_score((miss, (truth, NONE)), (NONE, (NONE, NONE))), 0, 0.999999, 0)


def test_iou_at_the_threshold_counts():
    metric = segmentation.promptable_concepts()
    state = metric.update(metric.init(), *PAIR_1)
    # 0.75 counts at 0.50, 0.55, 0.60, 0.65, 0.70 and 0.75; the exact square everywhere.
    np.testing.assert_array_equal(state.tp, [2] * 6 + [1] * 4)


def test_thresholds_run_from_one_half_to_95_hundredths():
    # 50 pixels, of which 46, 24 and 48 are drawn: IoU 0.92, 0.48 and 0.96.
    truth = np.arange(100).reshape(1, 10, 10) < 50
    metric = segmentation.promptable_concepts()
    for drawn, tp in ((46, [1] * 9 + [0]), (24, [0] * 10), (48, [1] * 10)):
        masks = np.arange(100).reshape(1, 10, 10) < drawn
        state = metric.update(metric.init(), masks, truth)
        np.testing.assert_array_equal(state.tp, tp)


def test_hungarian_maximises_total_iou():
    # Drawn 0 has IoU 0.6 with truth 0 and 0.5 with truth 1; drawn 1 has 0.55 with truth 0.
    # Chosen: 0.5 + 0.55, where greedy would keep 0.6 and leave 0. Masks over 100 pixels:
    d0, d1, g0, g1 = np.zeros((4, 100), bool)
    d0[0:30] = True
    g1[0:15] = True
    # |d0 & g0| = 24, |g0| = 34 -> 24 / 40 = 0.6; |d0 & g1| / |d0| = 15 / 30 = 0.5
    g0[6:40] = True
    # |d1 & g0| = 22, |d1| = 28 -> 22 / 40 = 0.55, off d0's and g1's 0..15
    d1[18:40] = True
    d1[50:56] = True
    drawn, truth = (np.stack(x).reshape(2, 10, 10) for x in ((d0, d1), (g0, g1)))
    metric = segmentation.promptable_concepts()
    state = metric.update(metric.init(), drawn, truth)
    np.testing.assert_array_equal(state.tp[:3], [2, 1, 0])
    np.testing.assert_array_equal(state.fp_positive[:3], [0, 1, 2])


def test_errors_and_nothing():
    metric = segmentation.promptable_concepts()
    with pytest.raises(ValueError, match="scores"):
        metric.update(metric.init(), *PAIR_1, np.array([1.0]))
    with pytest.raises(ValueError, match=r"\(5, 5\).*\(10, 10\)"):
        metric.update(metric.init(), np.ones((1, 5, 5), bool), _masks(FIRST))
    assert np.isnan(metric.compute(metric.init())["cgF1"])
