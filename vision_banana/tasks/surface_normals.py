"""Surface normals as a picture: R = (1 - x) / 2, G = (1 + y) / 2, B = (1 + z) / 2.

Camera space, right-handed: x right, y up, z out of the picture towards the camera. A surface facing
left is pinkish red, one facing up light green, one facing the camera light blue. Mind the sign
of x: it is the code of DSINE's pictures too, channel by channel.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vision_banana.metrics import surface_normals as normals_metric
from vision_banana.metrics.metric import Metric
from vision_banana.tasks import confidence
from vision_banana.tasks.task import Answer, Example, Task

AXIS_SIGNS = (-1.0, 1.0, 1.0)
LENGTH_TOLERANCE = 0.05  # labels read from 8-bit pictures are up to 1 % off
TOWARDS_CAMERA = (0.0, 0.0, 1.0)

QUESTIONS = (
    "surface normal map",
    "normal map",
    "a surface normal map of this picture",
    "generate a surface normal map of this image",
    "show which way every surface faces, as a normal map",
    "paint the surface normals in camera space",
)


def encode(normals: Any) -> np.ndarray:
    """Draws normals.

    Args:
      normals: (..., H, W, 3) unit vectors; (0, 0, 0), no normal, becomes grey 0.5.

    Returns:
      (..., H, W, 3) float32 RGB in [0, 1].

    Raises ValueError for NaN or infinite values and for lengths that are neither 0 nor near 1.
    """
    normals = np.asarray(normals, np.float32)
    length = np.linalg.norm(normals, axis=-1)
    bad = ~((np.abs(length - 1) <= LENGTH_TOLERANCE) | (length == 0))  # NaN is bad too
    if bad.any():
        raise ValueError(
            f"surface_normals: {bad.sum()} of {bad.size} vectors are not unit vectors, the first "
            f"{normals[bad][0]}; normalise them, and write (0, 0, 0) where there is no normal"
        )
    return np.clip((1 + np.array(AXIS_SIGNS, np.float32) * normals) / 2, 0, 1)


@jax.jit
def decode(rgb: Any) -> tuple[jax.Array, jax.Array]:
    """Reads normals.

    Args:
      rgb: (..., H, W, 3) RGB in [0, 1].

    Returns:
      unit vectors (..., H, W, 3) float32, and their confidence (..., H, W) in [0, 1], from the
      RGB distance to the sphere of unit vectors. Exact grey, which has no direction, is read as
      facing the camera.
    """
    rgb = jnp.asarray(rgb, jnp.float32)
    # One plane a channel: an axis of length 3 leaves vector units idle.
    planes = [sign * (2 * rgb[..., c] - 1) for c, sign in enumerate(AXIS_SIGNS)]
    length = jnp.sqrt(sum(jnp.square(plane) for plane in planes))
    unit = [
        jnp.where(length > 1e-6, plane / length, towards)
        for plane, towards in zip(planes, TOWARDS_CAMERA, strict=True)
    ]
    return jnp.stack(unit, axis=-1), confidence.from_distance(jnp.abs(length - 1) / 2)


def _known(example: Example) -> np.ndarray:
    """Returns where there is a normal, (H, W) bool: known, and not sky."""
    return example.valid & (example.label != 0).any(-1)


def _prompt(example: Example, rng: np.random.Generator) -> str:
    del example
    return QUESTIONS[rng.integers(len(QUESTIONS))]


def _again(prompt: str, rng: np.random.Generator) -> str:
    """Asks in one of the other wordings: there is nothing else to vary."""
    other = [question for question in QUESTIONS if question != prompt]
    return other[rng.integers(len(other))]


def _draw(example: Example, prompt: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    del prompt, rng
    known = _known(example)
    return encode(np.where(known[..., None], example.label, 0)), known.astype(np.float32)


def _read(rgb: Any, prompts: Sequence[str]) -> Answer:
    """Returns `normals`, (B, H, W, 3) float32 unit vectors, and `confidence`."""
    del prompts
    normals, sure = decode(rgb)
    return {"normals": np.asarray(normals), "confidence": np.asarray(sure)}


def _metric(**options: Any) -> Metric:
    errors = normals_metric.angular_errors(**options)

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        for normals, example in zip(answer["normals"], examples, strict=True):
            state = errors.update(state, normals, example.label, valid=_known(example))
        return state

    return errors._replace(update=update)


def _blind(examples: Iterable[Example]) -> Callable[[Sequence[Example]], Answer]:
    """Answers with each pixel position's mean normal, normalised."""
    total = sum(np.where(_known(x)[..., None], x.label, 0).astype(np.float64) for x in examples)
    length = np.linalg.norm(total, axis=-1, keepdims=True)
    mean = np.where(length > 0, total / np.where(length > 0, length, 1), TOWARDS_CAMERA)

    def answer(examples: Sequence[Example]) -> Answer:
        normals = np.broadcast_to(mean.astype(np.float32), (len(examples), *mean.shape))
        return {"normals": normals, "confidence": np.ones(normals.shape[:-1], np.float32)}

    return answer


def _picture(answer: Answer, i: int) -> np.ndarray:
    return encode(answer["normals"][i])


def _error(answer: Answer, i: int, example: Example) -> np.ndarray:
    """Returns the angle over 90 degrees, at most 1; NaN where there is no normal."""
    angle = normals_metric.angle_deg(np.asarray(answer["normals"][i]), example.label)
    return np.where(_known(example), np.clip(angle / 90, 0, 1), np.nan)


TASK = Task(
    name="surface_normals",
    prompt=_prompt,
    draw=_draw,
    read=_read,
    metric=_metric,
    perfect={"mean": 0.0, "median": 0.0},
    blind=_blind,
    picture=_picture,
    error=_error,
    again=_again,
    right_below=11.25 / 90,
)
