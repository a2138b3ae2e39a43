"""Whether an answer says rightly that what was asked for is, or is not, in the picture."""

from typing import Any, NamedTuple

import numpy as np

from vision_banana.metrics.metric import Metric


class PresenceState(NamedTuple):
    """`counts` (4,) int64: true positives, false positives, true negatives, false negatives."""

    counts: np.ndarray


def presence() -> Metric:
    """Returns accuracy and Matthews correlation (MCC) of yes/no answers.

    `update(state, prediction, label)`: (...) bool, whether it is there. MCC = (TP TN - FP FN) /
    sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN)) (Matthews 1975), and 0 where answer or truth
    are all of one kind. SA-Co's IL_MCC adds 1e-6 to the divisor (`promptable_concepts`).
    """

    def init() -> PresenceState:
        return PresenceState(np.zeros(4, np.int64))

    def update(state: PresenceState, prediction: Any, label: Any) -> PresenceState:
        said, true = np.asarray(prediction, bool), np.asarray(label, bool)
        if said.shape != true.shape:
            raise ValueError(
                f"presence: prediction has shape {said.shape} and label {true.shape}; give one "
                "of each for every question"
            )
        kinds = (said & true, said & ~true, ~said & ~true, ~said & true)
        return merge(state, PresenceState(np.array([kind.sum() for kind in kinds], np.int64)))

    def merge(a: PresenceState, b: PresenceState) -> PresenceState:
        return PresenceState(a.counts + b.counts)

    def compute(state: PresenceState) -> dict[str, float]:
        tp, fp, tn, fn = (float(x) for x in state.counts)
        if not state.counts.sum():
            return {"accuracy": float("nan"), "MCC": float("nan")}
        margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        return {
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "MCC": (tp * tn - fp * fn) / margins**0.5 if margins else 0.0,
        }

    return Metric(init, update, merge, compute)
