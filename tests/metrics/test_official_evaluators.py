"""The same numbers as the evaluators that are packages, on 1,000 random predictions each."""

import io
import itertools

import numpy as np
import pytest
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as cityscapes
from cityscapesscripts.helpers import labels as cityscapes_labels
from PIL import Image
from pycocotools import coco, cocoeval
from pycocotools import mask as rle_tools

from vision_banana.metrics import segmentation

COUNT = 1000


def _png(array):
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG", compress_level=0)
    return file


def _rle(mask):
    return rle_tools.encode(np.asfortranarray(mask, np.uint8))


def test_mean_iou_is_cityscapes_scripts():
    args = cityscapes.args
    args.evalInstLevelScore = False
    classes = sorted(
        (x for x in cityscapes_labels.labels if x.id >= 0 and not x.ignoreInEval),
        key=lambda x: x.trainId,
    )
    to_train_id = np.full(256, 255)
    to_train_id[[x.id for x in classes]] = np.arange(19)

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 34, (COUNT, 5, 7), np.uint8)
    right = rng.random(truth.shape) < rng.random((COUNT, 1, 1))
    drawn = np.where(right, truth, rng.integers(0, 34, truth.shape, np.uint8))
    metric = segmentation.mean_iou(19)
    pooled, theirs = metric.init(), cityscapes.generateMatrix(args)

    def official(matrix):
        scores = {x.name: cityscapes.getIouScoreForLabel(x.id, matrix, args) for x in classes}
        return list(scores.values()), cityscapes.getScoreAverage(scores, args)

    for d, t in zip(drawn, truth, strict=True):
        one = cityscapes.generateMatrix(args)
        cityscapes.evaluatePair(_png(d), _png(t), one, {}, {}, args)
        theirs += one
        state = metric.update(metric.init(), to_train_id[d], to_train_id[t])
        pooled = metric.merge(pooled, state)
        per_class, mean = official(one)
        np.testing.assert_allclose(segmentation.class_iou(state), per_class, atol=1e-6)
        assert metric.compute(state)["mIoU"] == pytest.approx(mean, abs=1e-6)
    per_class, mean = official(theirs)
    assert 0.2 < mean < 0.8
    np.testing.assert_allclose(segmentation.class_iou(pooled), per_class, atol=1e-6)
    assert metric.compute(pooled)["mIoU"] == pytest.approx(mean, abs=1e-6)


def test_region_iou_counts_as_pycocotools():
    rng = np.random.default_rng(1)
    truth = rng.random((COUNT, 5, 7)) < 0.5 * rng.random((COUNT, 1, 1))
    drawn = truth ^ (rng.random(truth.shape) < 0.5 * rng.random((COUNT, 1, 1)))
    both = np.array(
        [
            [rle_tools.area(rle_tools.merge([_rle(d), _rle(t)], intersect=how)) for how in (1, 0)]
            for d, t in zip(drawn, truth, strict=True)
        ],
        np.float64,
    )
    shared, union = both.T
    metric = segmentation.region_iou()
    scores = metric.compute(metric.update(metric.init(), drawn, truth))
    assert scores["cIoU"] == pytest.approx(shared.sum() / (union.sum() + 1e-10), abs=1e-6)
    each = np.where(union > 0, shared / (union + 1e-5), 1)
    assert scores["gIoU"] == pytest.approx(each.mean(), abs=1e-6)
    assert (union == 0).any() and (shared == 0).any() and (shared == union).any()


def _blobs(rng, count):
    """Rectangles of (6, 8) that may overlap, (count, 6, 8) bool."""
    masks = np.zeros((count, 6, 8), bool)
    for mask in masks:
        top, left = rng.integers(0, 5), rng.integers(0, 6)
        mask[top : top + rng.integers(1, 5), left : left + rng.integers(1, 6)] = True
    return masks


def _best_matching(iou):
    """IoUs of the pairs of greatest sum, over all matchings."""
    iou = iou if len(iou) <= len(iou[0]) else iou.T
    rows = range(len(iou))
    ways = [iou[rows, list(way)] for way in itertools.permutations(range(len(iou[0])), len(iou))]
    return max(ways, key=lambda chosen: chosen.sum())


def _official_concept(drawn, truth):
    """(TP, FP, FN) per threshold, and the F1 that an annotator is chosen by."""
    matched = np.zeros(0)
    if len(drawn) and len(truth):
        d, t = ([_rle(m) for m in masks] for masks in (drawn, truth))
        matched = _best_matching(np.asarray(rle_tools.iou(d, t, [0] * len(t))))
    tp = np.array([(matched >= t).sum() for t in cocoeval.Params("segm").iouThrs])
    fp, fn = len(drawn) - tp, len(truth) - tp
    return tp, fp, fn, _f1(tp, fp, fn).mean() if len(drawn) or len(truth) else np.inf


def _f1(tp, fp, fn):
    precision, recall = tp / (tp + fp + 1e-4), tp / (tp + fn + 1e-4)
    return 2 * precision * recall / (precision + recall + 1e-4)


def test_promptable_concepts_with_iou_of_pycocotools_and_every_matching():
    rng = np.random.default_rng(2)
    metric = segmentation.promptable_concepts()
    state = metric.init()
    tp, fp, fn = np.zeros((3, 10))
    image = {(True, True): 0, (False, True): 0, (True, False): 0, (False, False): 0}
    for _ in range(COUNT):
        truths = tuple(_blobs(rng, rng.integers(0, 4)) for _ in range(rng.integers(1, 4)))
        same = truths[rng.integers(len(truths))]
        drawn = np.roll(same, rng.integers(0, 2), -1) if rng.random() < 0.6 else _blobs(rng, 3)
        scores = rng.choice([0.49, 0.5, 1.0], len(drawn))
        state = metric.update(state, drawn, truths, scores)
        kept = drawn[scores > 0.495]
        counts = [_official_concept(kept, truth) for truth in truths]
        best = int(np.argmax([c[3] for c in counts]))  # the first of equals
        positive = len(truths[best]) > 0
        tp += counts[best][0]
        fp += counts[best][1] * positive
        fn += counts[best][2]
        image[positive, len(kept) > 0] += 1
    hit, alarm, miss, quiet = image.values()
    margins = (hit + alarm) * (hit + miss) * (quiet + alarm) * (quiet + miss)
    mcc = (hit * quiet - alarm * miss) / (margins**0.5 + 1e-6)
    assert min(image.values()) > 20
    found = metric.compute(state)
    assert found["pmF1"] == pytest.approx(_f1(tp, fp, fn).mean(), abs=1e-6)
    assert found["IL_MCC"] == pytest.approx(mcc, abs=1e-6)
    assert found["cgF1"] == pytest.approx((_f1(tp, fp, fn) * mcc).mean(), abs=1e-6)


def test_instance_f1_counts_as_pycocotools():
    # Above one half no mask of disjoint ones has two partners, so COCO's greedy matching, in the
    # order of scores, is the best one too.
    rng = np.random.default_rng(3)
    truth = np.zeros((COUNT, 6, 8), np.int64)
    for ids in truth:
        for k, blob in enumerate(_blobs(rng, rng.integers(0, 5)), 1):
            ids[blob] = k
    drawn = np.where(rng.random(truth.shape) < 0.7, truth, 0)

    def rows(maps):
        return [
            {"id": 10 * i + int(k), "image_id": i, "category_id": 1, "iscrowd": 0, "score": 1.0,
             "area": int((ids == k).sum()), "segmentation": _rle(ids == k)}
            for i, ids in enumerate(maps, 1)
            for k in np.unique(ids[ids > 0])
        ]  # fmt: skip

    true = coco.COCO()
    true.dataset = {
        "images": [{"id": i, "height": 6, "width": 8} for i in range(1, COUNT + 1)],
        "annotations": rows(truth),
        "categories": [{"id": 1}],
        "info": {},
    }
    true.createIndex()
    found = rows(drawn)
    run = cocoeval.COCOeval(true, true.loadRes(found), "segm")
    run.params.iouThrs, run.params.areaRng = np.array([0.55]), [[0, 1e5]]
    run.evaluate()
    tp = sum(int((x["dtMatches"] > 0).sum()) for x in run.evalImgs if x)
    metric = segmentation.instance_f1(iou=0.55)
    state = metric.update(metric.init(), drawn, truth)
    assert 200 < tp < len(found) - 200
    assert (state.tp, state.fp, state.fn) == (tp, len(found) - tp, len(rows(truth)) - tp)
