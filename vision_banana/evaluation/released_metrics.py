"""Metrics of released benchmarks that differ from their tasks' own.

Each is a `Metric` over a task's answers, `update(state, answer, examples)`, as tasks have them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision_banana.metrics import presence as presence_metric
from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import colors, referring_segmentation
from vision_banana.tasks.task import Answer, Example

# The paper's decoder drops components of less than this share of the picture (appendix A).
PRESENT_SHARE = 2e-4


def pooled_classes() -> Metric:
    """mIoU over an example's listed classes, as cityscapesScripts counts it.

    One confusion matrix over all pixels of all pictures. Nothing but the listed classes enters
    the mean: an answer that is none of them is a miss of the true class and no false alarm.
    """

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for i, example in enumerate(examples):
            names = [colors.normalise(name) for name in example.words["classes"]]
            over = segmentation.mean_iou(len(names))
            order = [names.index(n) if n in names else -1 for n in answer["names"][i]]
            labels = np.asarray(answer["labels"][i])
            known = (labels >= 0) & (labels < len(order))
            prediction = np.where(known, np.array([*order, -1])[np.where(known, labels, -1)], -1)
            label = np.where(example.valid, example.label, 255)
            state = open_classes.merge(state, over.update(over.init(), prediction, label))
        return state

    # The number of classes is known with the first example.
    open_classes = segmentation.open_mean_iou()
    return open_classes._replace(update=update)


def presence() -> Metric:
    """Accuracy and Matthews correlation of whether what was asked for is in the picture.

    The answer says so by drawing it: any instance, or for each region its mask, of at least
    `PRESENT_SHARE` of the picture.
    """
    yes_no = presence_metric.presence()

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for i, example in enumerate(examples):
            if "ids" in answer:
                drawn = (np.asarray(answer["ids"])[i] > 0)[None]
            else:
                drawn = referring_segmentation.in_example_order(answer, i, example)
            said = drawn.mean((1, 2)) >= PRESENT_SHARE
            state = yes_no.update(state, said, is_there(example, said))
        return state

    return yes_no._replace(update=update)


def is_there(example: Example, said: np.ndarray) -> np.ndarray:
    """Whether each phrase that an example asks for is in its picture, (P,) bool.

    One phrase for instances (H, W), one for each of the regions (P, H, W). Where annotators
    differ, what was said, (P,) bool, is right: one of them agrees (as `concepts` counts).
    """
    if len({np.any(masks) for masks in example.words.get("annotators", ())}) > 1:
        return said
    label = np.asarray(example.label)
    return (label > 0).any((-2, -1)).reshape(-1)


def concepts() -> Metric:
    """cgF1, pmF1 and IL_MCC of instance answers against every annotator's masks."""
    pairs = segmentation.promptable_concepts()

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for ids, example in zip(np.asarray(answer["ids"]), examples, strict=True):
            drawn = np.unique(ids[ids > 0])
            masks = ids[None] == drawn[:, None, None]
            state = pairs.update(state, masks, example.words["annotators"])
        return state

    return pairs._replace(update=update)
