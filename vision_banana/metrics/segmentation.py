"""Scores of label maps, regions and instances.

All of them count in NumPy on the host: a state is a NamedTuple of small integer or float arrays
that merge by addition, so neither batching nor the number of hosts changes a score.

`mean_iou` follows Cityscapes' evalPixelLevelSemanticLabeling.py, `region_iou` LISA's
train_ds.py, and `promptable_concepts` SAM 3's cgf1_eval.py.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import optimize

from vision_banana.metrics.metric import Metric, valid_pixels

CUMULATIVE_EPS = 1e-10  # LISA: cIoU = sum I / (sum U + 1e-10)
EMPTY_IOU = 1.0  # LISA: a rightly empty answer; Seg-Zero has 0 and no 1e-5
PER_SAMPLE_EPS = 1e-5  # LISA: I / (U + 1e-5), so that a perfect region of 1 pixel is 0.99999
COUNT_EPS = 1e-4  # SAM 3: precision, recall and F1
MCC_EPS = 1e-6  # SAM 3: Matthews correlation
CONCEPT_THRESHOLDS = np.linspace(0.5, 0.95, 10)  # exactly pycocotools' IoU thresholds
BLOCK = 2**20  # pixels compared at once; float32 counts up to 2**24 exactly
SCORE_THRESHOLD = 0.5  # SAM 3: a prediction is kept if its score is >= 0.5


class ConfusionState(NamedTuple):
    """`matrix` (K, K + 1) int64: truth by row, prediction by column, the last one "no class"."""

    matrix: np.ndarray


class RegionState(NamedTuple):
    """Pixels of intersection and union summed, per-sample IoU summed, and how many samples."""

    intersection: np.ndarray
    union: np.ndarray
    iou: np.ndarray
    samples: np.ndarray


class MatchState(NamedTuple):
    """True positives, false positives, missed truths, pictures."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    pictures: np.ndarray


class ConceptState(NamedTuple):
    """Instance counts per IoU threshold, (10,) each, and image-level counts (TP, FP, TN, FN)."""

    tp: np.ndarray
    fp_positive: np.ndarray
    fn: np.ndarray
    presence: np.ndarray


def _add(a: Any, b: Any) -> Any:
    return type(a)(*(x + y for x, y in zip(a, b, strict=True)))


def _zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int64)


def _same_shape(what: str, prediction: np.ndarray, label: np.ndarray) -> None:
    if prediction.shape != label.shape:
        raise ValueError(
            f"{what}: prediction has shape {prediction.shape} and label {label.shape}; decode to "
            "labels first, then resize them (nearest) to the label's size"
        )


def _mask(what: str, mask: Any) -> np.ndarray:
    """Returns a mask as bool; refuses numbers other than 0 and 1, which are no membership."""
    mask = np.asarray(mask)
    if mask.dtype != bool and ((mask != 0) & (mask != 1)).any():
        odd = mask[(mask != 0) & (mask != 1)].flat[0]
        raise ValueError(
            f"{what} holds {odd}, and a mask holds True and False only: compare the label with "
            "the value meant, and give the pixels to leave out (255) as `ignore`"
        )
    return mask.astype(bool)


def mean_iou(num_classes: int, ignore_label: int = 255) -> Metric:
    """Returns mIoU from one confusion matrix pooled over all pixels of all pictures.

    `update(state, prediction, label, valid=None)`: labels (..., H, W) int; `valid` (..., H, W)
    bool leaves pixels out as `ignore_label` in the truth does. A prediction outside
    [0, num_classes) on a counted pixel is a miss of the true class and no false positive. A class
    that is neither in the truth nor predicted there is left out of the mean; one that is absent
    from the truth and predicted once counts as 0.

    Raises ValueError for shapes that differ, and a truth outside [0, num_classes) that is not
    `ignore_label`.
    """

    def init() -> ConfusionState:
        return ConfusionState(_zeros(num_classes, num_classes + 1))

    def update(
        state: ConfusionState, prediction: Any, label: Any, valid: Any = None
    ) -> ConfusionState:
        prediction, label = np.asarray(prediction), np.asarray(label)
        _same_shape("mean_iou", prediction, label)
        counted = (label != ignore_label) & valid_pixels("mean_iou", valid, label.shape)
        truth = label[counted].astype(np.int64)
        answer = prediction[counted].astype(np.int64)
        wrong = (truth < 0) | (truth >= num_classes)
        if wrong.any():
            raise ValueError(
                f"mean_iou: label {truth[wrong][0]} is outside 0..{num_classes - 1} and is not "
                f"the ignore label {ignore_label}; map it to one of them"
            )
        answer = np.where((answer >= 0) & (answer < num_classes), answer, num_classes)
        cells = np.bincount(
            truth * (num_classes + 1) + answer, minlength=num_classes * (num_classes + 1)
        )
        return ConfusionState(state.matrix + cells.reshape(num_classes, num_classes + 1))

    def compute(state: ConfusionState) -> dict[str, float]:
        iou = class_iou(state)
        total = state.matrix.sum()
        return {
            "mIoU": float(np.nanmean(iou)) if np.isfinite(iou).any() else float("nan"),
            "pixel_accuracy": float(np.trace(state.matrix) / total) if total else float("nan"),
        }

    return Metric(init, update, _add, compute)


def open_mean_iou() -> Metric:
    """mIoU for a number of classes that the first state merged in settles; it has no `update`."""

    def merge(a: ConfusionState, b: ConfusionState) -> ConfusionState:
        if not a.matrix.size or not b.matrix.size:
            return a if a.matrix.size else b
        return _add(a, b)

    def update(state: ConfusionState, prediction: Any, label: Any) -> ConfusionState:
        raise TypeError("open_mean_iou: update with mean_iou(num_classes), then merge")

    def compute(state: ConfusionState) -> dict[str, float]:
        return {"mIoU": mean_iou(1).compute(state)["mIoU"]}

    return Metric(lambda: ConfusionState(_zeros(0, 1)), update, merge, compute)


def class_iou(state: ConfusionState) -> np.ndarray:
    """Returns each class's IoU, (num_classes,) float64, NaN for a class seen on neither side."""
    classes = state.matrix[:, :-1]
    tp = np.diag(classes)
    union = state.matrix.sum(1) + classes.sum(0) - tp
    return np.where(union > 0, tp / np.maximum(union, 1), np.nan)


def region_iou(empty: float = EMPTY_IOU, smoothing: float = PER_SAMPLE_EPS) -> Metric:
    """Returns cIoU (pixels pooled) and gIoU (mean of per-sample IoU) of masks.

    `update(state, prediction, label, ignore=None)`: masks (..., H, W) bool, each leading index
    a sample of its own; `ignore`, broadcast against them, takes pixels out of both sides. A sample
    whose union is empty counts `empty`, also where all is ignored (so cut samples that fill up a
    batch off), an empty target with any prediction 0, any other I / (U + `smoothing`). gIoU
    divides by the number of samples n (LISA's multi-process reduction by n + 1e-5).

    Raises ValueError for shapes that differ, and for values other than 0 and 1: 255 cast to bool
    would make an ignored pixel part of the target.
    """

    def init() -> RegionState:
        return RegionState(_zeros(), _zeros(), np.zeros(()), _zeros())

    def update(state: RegionState, prediction: Any, label: Any, ignore: Any = None) -> RegionState:
        prediction = _mask("region_iou: prediction", prediction)
        label = _mask("region_iou: label", label)
        _same_shape("region_iou", prediction, label)
        counted = np.ones((), bool) if ignore is None else ~np.asarray(ignore, bool)
        if np.broadcast_shapes(counted.shape, label.shape) != label.shape:
            raise ValueError(
                f"region_iou: ignore has shape {counted.shape} and label {label.shape}, which it "
                "must not enlarge; give the pixels to leave out of each sample, or of all"
            )
        intersection = (prediction & label & counted).sum((-2, -1), dtype=np.int64)
        union = ((prediction | label) & counted).sum((-2, -1), dtype=np.int64)
        divisor = np.where(union == 0, 1.0, union + smoothing)
        iou = np.where(union == 0, empty, intersection / divisor)
        seen = RegionState(
            intersection.sum(), union.sum(), iou.sum(), np.asarray(union.size, np.int64)
        )
        return _add(state, seen)

    def compute(state: RegionState) -> dict[str, float]:
        if not state.samples:
            return {"cIoU": float("nan"), "gIoU": float("nan")}
        return {
            "cIoU": float(state.intersection / (state.union + CUMULATIVE_EPS)),
            "gIoU": float(state.iou / state.samples),
        }

    return Metric(init, update, _add, compute)


def instance_f1(iou: float = 0.5, min_pixels: int = 1) -> Metric:
    """Returns F1, precision and recall of instances, TP, FP and FN pooled over pictures.

    `update(state, ids, label_ids, valid=None)`: (..., H, W) int, 0 = background, `valid` bool.
    In each picture predictions and truths are paired so that the sum of IoU over pairs with
    IoU >= `iou` is greatest. Truth instances of fewer than `min_pixels` valid pixels are not
    asked for: their pixels are unknown, as those outside `valid` are. Unknown pixels count on
    neither side, and an unpaired prediction more than half of which lies on them is no error (so
    pad `ids` with 0).

    Raises ValueError where `iou` is not in (0, 1], `min_pixels` is below 1, or shapes differ.
    """
    if not 0 < iou <= 1 or min_pixels < 1:
        raise ValueError(
            f"instance_f1: iou={iou} must lie in (0, 1] and min_pixels={min_pixels} be 1 or more"
        )

    def init() -> MatchState:
        return MatchState(*(_zeros() for _ in MatchState._fields))

    def update(state: MatchState, ids: Any, label_ids: Any, valid: Any = None) -> MatchState:
        ids, label_ids = np.asarray(ids), np.asarray(label_ids)
        _same_shape("instance_f1", ids, label_ids)
        valid = valid_pixels("instance_f1", valid, ids.shape)
        height_width = ids.shape[-2:]
        pictures = zip(
            ids.reshape(-1, *height_width),
            label_ids.reshape(-1, *height_width),
            valid.reshape(-1, *height_width),
            strict=True,
        )
        for drawn, truth, known in pictures:
            counts = _match_picture(drawn, truth, known, iou, min_pixels)
            state = _add(state, MatchState(*counts, np.ones((), np.int64)))
        return state

    def compute(state: MatchState) -> dict[str, float]:
        tp, fp, fn = (float(x) for x in (state.tp, state.fp, state.fn))
        return {
            "F1": _ratio(2 * tp, 2 * tp + fp + fn),
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
        }

    return Metric(init, update, _add, compute)


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")


def contingency(
    ids: np.ndarray, label_ids: np.ndarray, valid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts the pixels that drawn and true instances share.

    Args:
      ids: (H, W) int.
      label_ids: (H, W) int.
      valid: (H, W) bool; None: everywhere.

    Returns:
      The P values of `ids` and the T of `label_ids`, rising, 0 among them where it occurs, and
      pixels (2, P, T) int64: those that are not valid, and those that are.
    """
    values, predictions = np.unique(ids, return_inverse=True)
    label_values, truths = np.unique(label_ids, return_inverse=True)
    known = np.ones(ids.size, int) if valid is None else valid.ravel().astype(int)
    shape = (2, values.size, label_values.size)
    cells = np.ravel_multi_index((known, predictions.ravel(), truths.ravel()), shape)
    return values, label_values, np.bincount(cells, minlength=math.prod(shape)).reshape(shape)


def _match_picture(
    ids: np.ndarray, label_ids: np.ndarray, valid: np.ndarray, iou: float, min_pixels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (TP, FP, FN) of one picture, (H, W) each; see `instance_f1`."""
    values, label_values, table = contingency(ids, label_ids, valid)
    asked = (table[1].sum(0) >= min_pixels) & (label_values != 0)
    small = ~asked & (label_values != 0)
    shared = table[1][:, ~small]  # pixels that count, truth background among them
    area = shared.sum(1)
    unknown = table.sum((0, 2)) - area

    is_prediction = values != 0
    shared, area, unknown = shared[is_prediction], area[is_prediction], unknown[is_prediction]
    shared = shared[:, label_values[~small] != 0]
    union = area[:, None] + table[1].sum(0)[None, asked] - shared
    pair_iou = shared / np.maximum(union, 1)
    pair_iou = np.where(pair_iou >= iou, pair_iou, 0.0)
    rows, columns = optimize.linear_sum_assignment(-pair_iou)
    paired = rows[pair_iou[rows, columns] > 0]
    excused = unknown > area
    excused[paired] = False
    tp = np.asarray(len(paired), np.int64)
    return tp, (~excused).sum() - tp, asked.sum() - tp


def promptable_concepts() -> Metric:
    """Returns cgF1, pmF1 and IL_MCC of SA-Co, each as a fraction of 1.

    `update(state, prediction, label, scores=None)` takes one image-phrase pair: prediction
    (N, H, W) bool, kept where `scores` (N,) >= 0.5; label (M, H, W) bool (leave crowd truths
    out), or a tuple of such, one per annotator in the files' order. N and M may be 0. Matching
    is Hungarian on total IoU, once, without threshold; of several annotators the one with the
    highest local F1 counts, the earlier on a tie, and a perfect negative beats any other.
    """

    def init() -> ConceptState:
        bins = len(CONCEPT_THRESHOLDS)
        return ConceptState(_zeros(bins), _zeros(bins), _zeros(bins), _zeros(4))

    def update(
        state: ConceptState, prediction: Any, label: Any, scores: Any = None
    ) -> ConceptState:
        prediction = _mask("promptable_concepts: prediction", prediction)
        if scores is not None:
            scores = np.asarray(scores)
            if scores.shape != prediction.shape[:1]:
                raise ValueError(
                    f"promptable_concepts: scores has shape {scores.shape}; give one for each of "
                    f"the {len(prediction)} predicted masks"
                )
            prediction = prediction[scores >= SCORE_THRESHOLD]
        annotators = label if isinstance(label, tuple) else (label,)
        if not annotators:
            raise ValueError("promptable_concepts: label is an empty tuple; give an annotator")
        masks = [_mask("promptable_concepts: label", x) for x in annotators]
        return _add(state, _best_annotator(prediction, masks))

    def compute(state: ConceptState) -> dict[str, float]:
        if not state.presence.sum():
            return {"cgF1": float("nan"), "pmF1": float("nan"), "IL_MCC": float("nan")}
        pmf1 = float(_soft_f1(state.tp, state.fp_positive, state.fn).mean())
        tp, fp, tn, fn = (float(x) for x in state.presence)
        margins = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
        mcc = (tp * tn - fp * fn) / (margins**0.5 + MCC_EPS)
        return {"cgF1": pmf1 * mcc, "pmF1": pmf1, "IL_MCC": mcc}

    return Metric(init, update, _add, compute)


def _soft_f1(tp: np.ndarray, fp: np.ndarray, fn: np.ndarray) -> np.ndarray:
    precision = tp / (tp + fp + COUNT_EPS)
    recall = tp / (tp + fn + COUNT_EPS)
    return 2 * precision * recall / (precision + recall + COUNT_EPS)


def _best_annotator(prediction: np.ndarray, labels: Sequence[np.ndarray]) -> ConceptState:
    best, best_f1 = None, -1.0
    for label in labels:
        present, drawn = len(label) > 0, len(prediction) > 0
        counts = _match_concept(prediction, label)
        # Image level: TP, FP, TN, FN.
        presence = np.array(
            [
                present and drawn,
                not present and drawn,
                not (present or drawn),
                present and not drawn,
            ],
            np.int64,
        )
        tp, fp, fn = counts
        f1 = float(_soft_f1(tp, fp, fn).mean()) if present or drawn else np.inf
        if f1 > best_f1:
            best, best_f1 = ConceptState(tp, fp if present else fp * 0, fn, presence), f1
    assert best is not None  # the caller gives at least one annotator
    return best


def _match_concept(
    prediction: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (TP, FP, FN), (10,) each, of (N, H, W) against (M, H, W) masks."""
    n, m = len(prediction), len(label)
    scores = np.zeros(0)
    if n and m:
        _same_shape("promptable_concepts", prediction[0], label[0])
        shared = _shared(prediction.reshape(n, -1), label.reshape(m, -1))
        union = prediction.sum((1, 2))[:, None] + label.sum((1, 2))[None] - shared
        pair_iou = shared / np.maximum(union, 1)
        rows, columns = optimize.linear_sum_assignment(-pair_iou)
        scores = pair_iou[rows, columns]
    tp = (scores[None] >= CONCEPT_THRESHOLDS[:, None]).sum(1)
    return tp, n - tp, m - tp


def _shared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """How many pixels each of a (N, P) bool shares with each of b (M, P), (N, M)."""
    shared = np.zeros((len(a), len(b)))
    for start in range(0, a.shape[1], BLOCK):
        one, other = (x[:, start : start + BLOCK].astype(np.float32) for x in (a, b))
        shared += one @ other.T
    return shared
