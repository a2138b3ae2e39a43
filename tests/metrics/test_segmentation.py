import numpy as np
import pytest

from vision_banana.metrics import segmentation

TRAIN_ID = {7: 0, 8: 1, 11: 2, 26: 13, 28: 15}  # Cityscapes id -> index of the 19 classes


def _cityscapes(rows: list[list[int]]) -> np.ndarray:
    return np.array([[TRAIN_ID.get(v, 255) for v in row] for row in rows])


TRUTH = [[7, 7, 7, 8], [0, 26, 26, 4]]
PREDICTION = [[7, 7, 8, 8], [7, 26, 0, 26]]


def _mean_iou(*pairs, **options):
    metric = segmentation.mean_iou(19, **options)
    state = metric.init()
    for prediction, label in pairs:
        state = metric.update(state, _cityscapes(prediction), _cityscapes(label))
    return metric.compute(state), state


def test_mean_iou_is_cityscapes():
    scores, state = _mean_iou((PREDICTION, TRUTH))
    assert scores["mIoU"] == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3, abs=1e-12)
    iou = segmentation.class_iou(state)
    np.testing.assert_allclose(iou[[0, 1, 13]], [2 / 3, 1 / 2, 1 / 2])
    assert np.isnan(np.delete(iou, [0, 1, 13])).all()
    assert scores["pixel_accuracy"] == pytest.approx(4 / 6)


def test_mean_iou_counts_a_predicted_absent_class_as_zero():
    scores, _ = _mean_iou(([PREDICTION[0], [7, 26, 28, 26]], TRUTH))
    assert scores["mIoU"] == pytest.approx(0.416667, abs=1e-6)


def test_mean_iou_pools_pixels_over_pictures():
    whole = [[7] * 4] * 2
    scores, _ = _mean_iou((PREDICTION, TRUTH), (whole, whole))
    assert scores["mIoU"] == pytest.approx(0.636364, abs=1e-6)


def test_mean_iou_counts_the_background_too():
    # Intersection over union, not recall: everything predicted as class 1.
    metric = segmentation.mean_iou(2)
    label = np.array([[[0, 0, 0, 1]], [[0, 0, 1, 1]], [[1, 1, 1, 1]]])
    state = metric.update(metric.init(), np.ones_like(label), label)
    assert metric.compute(state)["mIoU"] == pytest.approx((0 + 7 / 12) / 2)


def test_mean_iou_is_the_same_in_any_batching():
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 2, 3, 255], (6, 5, 4))
    prediction = rng.integers(-1, 5, (6, 5, 4))
    metric = segmentation.mean_iou(4)
    whole = metric.update(metric.init(), prediction, label)
    merged = metric.init()
    for part in (slice(0, 1), slice(1, 3), slice(3, 6)):
        merged = metric.merge(merged, metric.update(metric.init(), prediction[part], label[part]))
    np.testing.assert_array_equal(whole.matrix, merged.matrix)
    assert whole.matrix.sum() == (label != 255).sum()
    pad = np.zeros((2, 5, 4), bool)
    valid = np.concatenate([~np.zeros_like(label, bool), pad])
    padded = metric.update(
        metric.init(), np.concatenate([prediction, pad]), np.concatenate([label, pad]), valid
    )
    np.testing.assert_array_equal(whole.matrix, padded.matrix)


def test_mean_iou_of_nothing_is_nan():
    metric = segmentation.mean_iou(3)
    assert np.isnan(metric.compute(metric.init())["mIoU"])


def test_mean_iou_names_a_label_out_of_range_and_a_wrong_size():
    metric = segmentation.mean_iou(3)
    with pytest.raises(ValueError, match=r"label 7 is outside 0\.\.2"):
        metric.update(metric.init(), np.zeros((1, 1), int), np.full((1, 1), 7))
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(4, 4\)"):
        metric.update(metric.init(), np.zeros((2, 2), int), np.zeros((4, 4), int))


# ReasonSeg's four-pixel pictures: (prediction, truth), 255 in the truth is ignored.
REASONSEG = {
    "A": ([1, 1, 0, 0], [1, 0, 0, 0]),
    "B": ([1, 1, 1, 0], [1, 1, 1, 255]),
    "C": ([0, 0, 0, 0], [0, 0, 0, 0]),
    "D": ([1, 0, 0, 0], [0, 0, 0, 0]),
}


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize(
    ("names", "giou", "ciou"),
    [("AB", 0.749997, 0.8), ("ABC", 0.833331, 0.8), ("ABD", 0.499998, 0.666667)],
)
def test_region_iou_is_reasonseg(names, giou, ciou, one_by_one):
    metric = segmentation.region_iou()
    prediction = np.array([[REASONSEG[n][0]] for n in names]) == 1
    truth = np.array([[REASONSEG[n][1]] for n in names])
    state = metric.init()
    if one_by_one:
        for p, t in zip(prediction, truth, strict=True):
            one = metric.update(metric.init(), p, t == 1, ignore=t == 255)
            state = metric.merge(state, one)
    else:
        state = metric.update(state, prediction, truth == 1, ignore=truth == 255)
    scores = metric.compute(state)
    assert scores["gIoU"] == pytest.approx(giou, abs=1e-6)
    assert scores["cIoU"] == pytest.approx(ciou, abs=1e-6)


def test_region_iou_weighs_samples_not_batches():
    # A has 1/2, B 1, D 0: 1/2 in any batches, where means of batches would give 3/8 for AB, D and
    # 5/8 for B, AD.
    metric = segmentation.region_iou()
    for names in (["A", "BD"], ["AB", "D"], ["D", "AB"], ["B", "AD"]):
        state = metric.init()
        for batch in names:
            p, t = (np.array([[REASONSEG[n][k]] for n in batch]) for k in (0, 1))
            state = metric.update(state, p == 1, t == 1, ignore=t == 255)
        assert state.samples == 3
        assert metric.compute(state)["gIoU"] == pytest.approx(1 / 2, abs=1e-5)


def test_masks_hold_truth_values_only():
    p, t = (np.array([x]) for x in REASONSEG["B"])
    region, concepts = segmentation.region_iou(), segmentation.promptable_concepts()
    for update in (
        lambda: region.update(region.init(), p, t),
        lambda: region.update(region.init(), t, p),
        lambda: concepts.update(concepts.init(), p[None], t[None]),
        lambda: concepts.update(concepts.init(), t[None], p[None]),
    ):
        with pytest.raises(ValueError, match=r"holds 255.*`ignore`"):
            update()
    # 0 and 1 are truth values, whatever their type.
    scores = region.compute(region.update(region.init(), p, p.astype(float)))
    assert scores["cIoU"] == pytest.approx(1)


def test_region_iou_ignore_is_not_target():
    # B's ignored pixel, not predicted, would make the union 4 if it were cast to bool.
    p, t = (np.array([x]) for x in REASONSEG["B"])
    metric = segmentation.region_iou()
    scores = metric.compute(metric.update(metric.init(), p == 1, t == 1, t == 255))
    assert scores["cIoU"] == pytest.approx(1.0)
    over = metric.compute(metric.update(metric.init(), np.ones((1, 4), bool), t == 1, t == 255))
    assert over["cIoU"] == pytest.approx(1.0)
    as_target = metric.compute(metric.update(metric.init(), p == 1, t.astype(bool)))
    assert as_target["cIoU"] == pytest.approx(0.75)


def test_region_iou_refcocog_parts_are_joined_by_or():
    summed = np.array([[2, 1, 0, 0]])
    prediction = np.array([[1, 1, 0, 0]], bool)
    metric = segmentation.region_iou()
    joined = metric.compute(metric.update(metric.init(), prediction, summed > 0))
    quirk = metric.compute(metric.update(metric.init(), prediction, summed == 1))
    assert joined["cIoU"] == pytest.approx(1.0)
    assert quirk["cIoU"] == pytest.approx(0.5)


def test_region_iou_of_no_sample_is_nan():
    metric = segmentation.region_iou()
    state = metric.update(metric.init(), np.zeros((0, 3, 3), bool), np.zeros((0, 3, 3), bool))
    assert np.isnan(metric.compute(state)["gIoU"])


def _f1(ids, label_ids, valid=None, **options):
    metric = segmentation.instance_f1(**options)
    return metric.update(metric.init(), np.array(ids), np.array(label_ids), valid)


def _counts(state):
    return int(state.tp), int(state.fp), int(state.fn)


def test_instance_f1_by_hand():
    # Truth 1 is hit with IoU 1/2 (counts), truth 2 with 1/3 (does not), 9 hits nothing.
    label = [[1, 1, 0, 2, 2, 2, 0, 0]]
    drawn = [[5, 0, 0, 3, 0, 0, 9, 9]]
    state = _f1(drawn, label)
    assert _counts(state) == (1, 2, 1)
    scores = segmentation.instance_f1().compute(state)
    assert scores["F1"] == pytest.approx(2 / 5)
    assert scores["precision"] == pytest.approx(1 / 3)
    assert scores["recall"] == pytest.approx(1 / 2)


def test_instance_f1_split_and_merged_instances():
    label = [[1, 1, 1, 1, 2, 2, 2, 2]]
    assert _counts(_f1([[1] * 8], label)) == (1, 0, 1)  # IoU 1/2 with either: one is taken
    assert _counts(_f1([[1, 1, 2, 2, 3, 3, 4, 4]], label)) == (2, 2, 0)
    assert _counts(_f1([[0] * 8], label)) == (0, 0, 2)


def test_instance_f1_matching_is_optimal_not_greedy():
    # IoU: drawn 1 has 5/10 with truth 1 and 1/11 with truth 2, drawn 2 has 4/9 with truth 1
    # only: taking the best pair first would leave drawn 2 alone.
    label = [[1] * 9 + [2] * 6]
    drawn = [[2] * 4 + [1] * 5 + [1] * 1 + [0] * 5]
    assert _counts(_f1(drawn, label, iou=0.05)) == (2, 0, 0)


def test_instance_f1_small_and_unknown_truths_are_not_asked_for():
    label = [[1, 1, 1, 0, 2, 0, 3, 3]]
    drawn = [[1, 1, 1, 0, 7, 0, 4, 4]]
    known = np.array([[1, 1, 1, 1, 1, 1, 0, 0]], bool)
    assert _counts(_f1(drawn, label, known, min_pixels=2)) == (1, 0, 0)
    assert _counts(_f1([[1, 1, 1, 0, 7, 7, 4, 4]], label, known, min_pixels=2)) == (1, 1, 0)
    assert _counts(_f1([[0] * 8], label, known, min_pixels=2)) == (0, 0, 1)
    # Two pixels are asked for if `min_pixels` is 2, not if it is 3.
    two = [[5, 5, 0, 0]]
    assert _counts(_f1([[0] * 4], two, min_pixels=2)) == (0, 0, 1)
    assert _counts(_f1([[0] * 4], two, min_pixels=3)) == (0, 0, 0)
    # A pair stays a pair where most of the prediction lies on unknown pixels.
    few = np.array([[1, 1, 1, 0, 0, 0, 0, 0]], bool)
    assert _counts(_f1([[1] * 8], [[1] * 8], few)) == (1, 0, 0)
    # Pixels of an unknown region do not lower the IoU of a truth that reaches into it.
    assert _counts(_f1([[1, 1, 1, 1, 1, 1, 1, 1]], [[1] * 3 + [0] * 5], valid=known)) == (1, 0, 0)


def test_instance_f1_batches_merge():
    rng = np.random.default_rng(1)
    label, drawn = rng.integers(0, 4, (2, 5, 6, 6))
    drawn = np.where(rng.random(drawn.shape) < 0.8, label, drawn)
    metric = segmentation.instance_f1()
    whole = metric.update(metric.init(), drawn, label)
    parts = [metric.update(metric.init(), d, t) for d, t in zip(drawn, label, strict=True)]
    merged = metric.init()
    for part in parts:
        merged = metric.merge(merged, part)
    assert whole == merged
    assert whole.pictures == 5
    assert whole.tp > 0


def test_instance_f1_ids_are_names_only():
    label = np.array([[1, 1, 0, 2, 2]])
    assert _f1(label, label) == _f1(np.array([[90, 90, 0, -4, -4]]), label)


@pytest.mark.parametrize("options", [{"iou": 0.0}, {"iou": 1.5}, {"min_pixels": 0}])
def test_instance_f1_bad_options(options):
    with pytest.raises(ValueError, match="instance_f1"):
        segmentation.instance_f1(**options)
