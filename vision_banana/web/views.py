"""What a page shows of an answer beside the drawn and the decoded picture."""

import html

import numpy as np

from vision_banana.api.answers import FOV_DEGREES, Answer, Depth
from vision_banana.evaluation import report_pictures, turning_cloud
from vision_banana.tasks import TASKS, depth, semantic_segmentation

OPACITY = 0.6  # of the answer over the picture


def overlay(answer: Answer) -> np.ndarray | None:
    """The decoded answer over its picture.

    Returns:
      (H, W, 3) float32 RGB in [0, 1]; where an answer marks nothing, the picture shines through
      whole. None where the answer is itself a picture.
    """
    if TASKS[answer.task].draws:
        return None
    picture = answer.shown[0]
    mixed = (1 - OPACITY) * picture + OPACITY * answer.picture
    return np.where(_marked(answer)[..., None], mixed, picture).astype(np.float32)


def _marked(answer: Answer) -> np.ndarray:
    """(H, W) bool, the pixels about which an answer says something."""
    read = answer.reply.answer
    if "labels" in read:
        return np.asarray(read["labels"][0] != semantic_segmentation.NONE)
    if "ids" in read:
        return np.asarray(read["ids"][0] > 0)
    if "masks" in read:
        return np.asarray(np.any(read["masks"][0], axis=0))
    return np.ones(answer.confidence.shape, bool)


def confidence(answer: Answer) -> np.ndarray | None:
    """(H, W, 3) RGB: white where it is sure, dark red where not; None for a picture."""
    if TASKS[answer.task].draws:
        return None
    return report_pictures.error_picture(1 - np.asarray(answer.confidence, np.float32))


def legend(answer: Answer) -> str:
    """What the colours mean, as HTML; "" where they mean nothing."""
    if isinstance(answer, Depth):
        ramps = report_pictures.depth_legend(depth.read_colormap(answer.prompt))
        return f'<div class="legend">{ramps}</div>'
    if "legends" not in answer.reply.answer:
        return ""
    swatches = "".join(
        f'<span><i style="background: rgb{tuple(map(int, color))}"></i>{html.escape(name)}</span>'
        for name, color in answer.reply.answer["legends"][0].items()
    )
    return f'<div class="legend">{swatches}</div>' if swatches else ""


def cloud(answer: Answer) -> str:
    """Depth as a cloud that turns, as HTML; "" for other answers."""
    if not isinstance(answer, Depth):
        return ""
    seen = turning_cloud.Cloud("depth in space", answer.depth_m, answer.shown[0], FOV_DEGREES)
    return f"<p>{turning_cloud.HELP}</p>{turning_cloud.frame(seen)}"
