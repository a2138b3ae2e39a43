"""The pictures of the report: as data URIs, with captions, and the legend of depth."""

import base64
import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vision_banana.data import pictures
from vision_banana.tasks import depth

RAMP_M = (0.0, 0.8, 1.8, 3.2, 5.3, 8.7, 16.5, np.inf)  # metres at the corners of the cube path


UNKNOWN = 0.78  # grey where the truth is unknown


def error_picture(error: np.ndarray) -> np.ndarray:
    """Draws errors: white is right, dark red is 1 or more, grey is unknown (NaN).

    Args:
      error: (H, W) float, NaN where the truth is unknown.

    Returns:
      (H, W, 3) float32 RGB in [0, 1].
    """
    stops = np.array(((1, 1, 1), (0.99, 0.78, 0.42), (0.86, 0.26, 0.16), (0.35, 0.02, 0.08)))
    known = np.isfinite(error)
    at = np.clip(np.where(known, error, 0), 0, 1) * (len(stops) - 1)
    drawn = np.stack([np.interp(at, np.arange(len(stops)), stops[:, c]) for c in range(3)], axis=-1)
    return np.where(known[..., None], drawn, UNKNOWN).astype(np.float32)


def data_uri(picture: np.ndarray) -> str:
    """An (H, W, 3) picture, RGB in [0, 1], as a PNG data URI; values are clipped, NaN is black."""
    file = io.BytesIO()
    Image.fromarray(pictures.to_u8(picture)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def figure(picture: np.ndarray | None, caption: str, what: str) -> str:
    """A picture with its caption; `what` describes it to people who cannot see it."""
    if picture is None:
        shown = f'<div class="none">{html.escape(what)}</div>'
    else:
        exact = "exact" if max(picture.shape[:2]) <= 160 else ""
        shown = f'<img class="{exact}" src="{data_uri(picture)}" alt="{html.escape(what)}">'
    return f"<figure>{shown}<figcaption>{html.escape(caption)}</figcaption></figure>"


def depth_legend(colormap: str) -> str:
    """The code that the model draws, one of `depth.COLORMAPS`, and the map that people read."""
    f = np.linspace(0, 1, 256)[None]
    code = depth.encode(depth.uncurve(f), colormap)
    near, far = depth.SHOWN_M
    metres = np.geomspace(near, far, 256)[None]
    shown = depth.TASK.picture({"depth": metres[None]}, 0)
    code_ticks = [(float(depth.curve(m)), "∞" if np.isinf(m) else f"{m:g}") for m in RAMP_M]
    people = (near, 1.0, 2.0, 5.0, 10.0, 20.0, far)
    shown_ticks = [(float(np.log(m / near) / np.log(far / near)), f"{m:g}") for m in people]
    return (
        '<div class="ramps">'
        + _ramp(code, code_ticks, "generated RGB, metres")
        + _ramp(shown, shown_ticks, "decoded, metres")
        + "</div>"
    )


def _ramp(picture: np.ndarray, ticks: Sequence[tuple[float, str]], name: str) -> str:
    marks = "".join(
        f'<span style="left:{100 * at:.1f}%">{html.escape(t)}</span>' for at, t in ticks
    )
    return (
        f'<div class="ramp"><img src="{data_uri(picture)}" alt="{html.escape(name)}">'
        f"<div>{marks}</div><figcaption>{html.escape(name)}</figcaption></div>"
    )
