"""The official evaluators' hand-checkable examples, through a task's answers."""

import numpy as np
import pytest

from vision_banana.data import cityscapes
from vision_banana.evaluation import released_metrics
from vision_banana.tasks.task import Example

CLASSES = tuple(cityscapes.CLASSES.values())
IDS = list(cityscapes.CLASSES)
TRUTH = [[7, 7, 7, 8], [0, 26, 26, 4]]


def _train_ids(ids):
    return np.array([[IDS.index(i) if i in IDS else 255 for i in row] for row in ids])


def _miou(*pairs, order=CLASSES):
    metric = released_metrics.pooled_classes()
    state = metric.init()
    for truth, prediction in pairs:
        label = _train_ids(truth)
        example = Example(
            "semantic_segmentation", "", (), label, label != 255, {"classes": CLASSES}
        )
        drawn = _train_ids(prediction)
        renumbered = np.array([order.index(c) for c in CLASSES] + [255] * 237)[drawn]
        answer = {"labels": renumbered[None], "names": [order]}
        state = metric.update(state, answer, [example])
    return metric.compute(state)["mIoU"]


def test_cityscapes_by_hand():
    # road 2/3 (what is drawn on an ignored pixel is free), sidewalk 1/2, car 1/2 (nothing drawn
    # on a car is a miss, and no class of its own).
    first = (TRUTH, [[7, 7, 8, 8], [7, 26, 0, 26]])
    assert _miou(first) == pytest.approx(5 / 9)
    # A class that is absent but drawn once counts as 0.
    assert _miou((TRUTH, [[7, 7, 8, 8], [7, 26, 28, 26]])) == pytest.approx(0.4166667)
    # A second picture is pooled with the first: road 10/11.
    assert _miou(first, ([[7] * 8], [[7] * 8])) == pytest.approx(0.6363636)


def test_the_order_of_the_prompt_does_not_matter():
    first = (TRUTH, [[7, 7, 8, 8], [7, 26, 0, 26]])
    assert _miou(first, order=CLASSES[::-1]) == pytest.approx(5 / 9)


def test_concepts_by_hand():
    """Example B: a pair with an exact mask and one of IoU 0.75, a miss, and two empty negatives."""
    truth = np.zeros((2, 10, 10), bool)
    truth[0, 0:4, 0:4] = truth[1, 5:9, 5:9] = True
    drawn = np.zeros((10, 10), int)
    drawn[0:4, 0:4], drawn[5:9, 5:8] = 3, 9
    nothing, none = np.zeros((10, 10), int), np.zeros((0, 10, 10), bool)
    metric = released_metrics.concepts()
    state = metric.init()
    for ids, masks in ((drawn, truth), (nothing, truth[:1]), (nothing, none), (nothing, none)):
        words = {"annotators": (masks,)}
        example = Example("instance_segmentation", "", (), ids, ids == ids, words)
        state = metric.update(state, {"ids": ids[None]}, [example])
    values = metric.compute(state)
    assert values["pmF1"] == pytest.approx(0.639926, abs=1e-6)
    assert values["IL_MCC"] == pytest.approx(0.577350, abs=1e-6)
    assert values["cgF1"] == pytest.approx(0.369462, abs=1e-6)


def test_the_best_annotator_counts():
    drawn = np.zeros((4, 4), int)
    drawn[:2, :2] = 1
    wrong, right = np.zeros((1, 4, 4), bool), (drawn == 1)[None]
    wrong[0, 3, 3] = True
    example = Example("instance_segmentation", "", (), drawn, drawn == drawn,
                      {"annotators": (wrong, right)})  # fmt: skip
    metric = released_metrics.concepts()
    values = metric.compute(metric.update(metric.init(), {"ids": drawn[None]}, [example]))
    assert values["pmF1"] == pytest.approx(0.9999, abs=1e-4)


def test_what_is_drawn_on_a_five_thousandth_of_the_picture_is_there():
    drawn = np.zeros((1, 50, 100), int)
    drawn[0, 0, 0] = 1
    example = Example("instance_segmentation", "", (), drawn[0], drawn[0] == drawn[0], {})
    metric = released_metrics.presence()
    assert metric.compute(metric.update(metric.init(), {"ids": drawn}, [example]))["accuracy"] == 1


def test_presence_goes_by_the_names_of_the_regions():
    """The prompt asks for b before a; a is there and drawn."""
    label, masks = np.zeros((2, 2, 10, 10), bool)
    label[0], masks[1] = True, True
    words = {"expressions": ("a", "b")}
    example = Example("referring_segmentation", "", (), label, np.ones((10, 10), bool), words)
    metric = released_metrics.presence()
    answer = {"masks": masks[None], "names": [("b", "a")]}
    values = metric.compute(metric.update(metric.init(), answer, [example]))
    assert values == {"accuracy": 1.0, "MCC": 1.0}
