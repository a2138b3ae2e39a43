"""Metrics of released benchmarks that differ from their tasks' own.

Each is a `Metric` over a task's answers, `update(state, answer, examples)`, as tasks have them.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vision_banana.metrics import segmentation
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import colors
from vision_banana.tasks.task import Answer, Example


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
            state = over.update(over.init() if state is None else state, prediction, label)
        return state

    # The number of classes is known with the first example: until then the state is None.
    def merge(a: Any, b: Any) -> Any:
        if a is None or b is None:
            return b if a is None else a
        return segmentation.mean_iou(1).merge(a, b)

    def compute(state: Any) -> dict[str, float]:
        if state is None:
            return {"mIoU": float("nan")}
        return {"mIoU": segmentation.mean_iou(1).compute(state)["mIoU"]}

    return Metric(lambda: None, update, merge, compute)


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
