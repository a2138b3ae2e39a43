"""Typed answers: arrays in their own units at the picture's own size, which show and save."""

import dataclasses
import math
import numbers
import os
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from vision_banana.api import saving
from vision_banana.data import pictures
from vision_banana.evaluation import figure, point_cloud, saved
from vision_banana.evaluation.own_pictures import Reply

FOV_DEGREES = 60.0  # horizontal field of view of a common camera

Formats = dict[str, Callable[[], bytes]]


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Answer:
    """What was asked, and what every answer has. Its arrays may be written to.

    Attributes:
      task: the task that was picked, a key of `vision_banana.tasks.TASKS`.
      prompt: what the generator was told.
      seed: of the noise; the same question, asked alone with it, gets this answer.
      steps: sampling steps.
      votes: how often it was asked; the answer is what the votes come to.
      confidence: (H, W) float32 in [0, 1], how near each pixel's colour lies to the task's code;
        of several votes the mean, where those that disagree with the answer count 0; 1 where the
        picture itself is the answer.
      shown: the pictures that were asked about, each (H, W, 3) float32 RGB in [0, 1].
      reply: the answer before it was typed: what was drawn and what was read from it.
    """

    task: str
    prompt: str
    seed: int
    steps: int
    votes: int
    confidence: np.ndarray
    shown: tuple[np.ndarray, ...]
    reply: Reply

    @property
    def drawn(self) -> np.ndarray:
        """(H, W, 3) float32 RGB in [0, 1], drawn by the generator, of several the first."""
        return self.reply.rgb

    @property
    def picture(self) -> np.ndarray:
        """(H, W, 3) float32 RGB in [0, 1], the decoded answer for people."""
        return self.reply.picture

    def figure(self) -> np.ndarray:
        """(H', W', 3) uint8: pictures, drawn and decoded answer side by side, with a legend."""
        return figure.compose(self.reply, self.shown)

    def save(self, path: str | os.PathLike[str]) -> epath.Path:
        """Writes the answer in the format of the path's ending.

        `.npz` holds every array, by the name that it has here, with task, prompt, seed, steps and
        votes; `.png` holds depth in millimetres (0: unknown, infinite or 65.5 m and more), labels,
        ids or region numbers (from 1) in 16 bits, and colours in 8; `.json` holds labels,
        instances or regions as a COCO data set; `.ply` and `.glb` hold depth as coloured points in
        metres.

        Raises:
          ValueError: an ending that this kind of answer does not have.
        """
        return saving.write(path, self._formats())

    def arrays(self) -> dict[str, Any]:
        """All that was read from what was drawn, and what was asked, by name."""
        _, fields = TYPES.get(self.task, (Answer, {}))
        ours = {field: getattr(self, field) for field in fields}
        read = {
            name: value[0]
            for name, value in self.reply.answer.items()
            if name not in {"legends", *fields.values()}
        }
        asked = {name: getattr(self, name) for name in ("task", "prompt", "seed", "steps", "votes")}
        legend = self.reply.answer["legends"][0] if "legends" in self.reply.answer else {}
        if legend:
            asked["legend_names"] = list(legend)
            asked["legend_colors"] = np.array(list(legend.values()), np.uint8)
        return {**ours, **read, **asked}

    def _formats(self) -> Formats:
        return {
            ".npz": lambda: saved.npz(self.arrays()),
            ".png": lambda: saving.png(self._levels()),
        }

    def _levels(self) -> np.ndarray:
        return pictures.to_u8(self.picture)

    def __repr__(self) -> str:
        height, width = self.confidence.shape
        said = figure.summary(self.reply)
        votes = f", {self.votes} votes" if self.votes > 1 else ""
        return (
            f"{type(self).__name__}({width} x {height}, {self.prompt!r}, seed {self.seed}, "
            f"{self.steps} step{'s' if self.steps > 1 else ''}{votes}"
            f"{f': {said}' if said else ''})"
        )

    def _repr_png_(self) -> bytes:
        return saving.png(self.figure())


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Depth(Answer):
    """Metric depth.

    Attributes:
      depth_m: (H, W) float32, metres along the optical axis, in [0, inf]; infinity is sky.
    """

    depth_m: np.ndarray

    def points(self, fov_degrees: float = FOV_DEGREES) -> np.ndarray:
        """The point that each pixel shows, for a pinhole camera.

        Args:
          fov_degrees: horizontal field of view.

        Returns:
          (H * W, 3) float32 metres, x right, y up, z towards the camera; NaN for sky.

        Raises:
          ValueError: a field of view that is no number between 0 and 180 degrees.
        """
        if not isinstance(fov_degrees, numbers.Real):
            raise ValueError(f"fov_degrees is {fov_degrees!r}; it must be a number, 60 for example")
        return point_cloud.unproject(self.depth_m, fov_degrees)

    def save(
        self, path: str | os.PathLike[str], fov_degrees: float = FOV_DEGREES, most: int = 0
    ) -> epath.Path:
        """See `Answer.save`.

        Args:
          path: of the file.
          fov_degrees: horizontal field of view, for a point cloud.
          most: about how many points a point cloud may have; of a larger picture every second
            row and column is taken, or every third, and so on. 0: all.

        Raises:
          ValueError: besides those of `Answer.save`, a field of view or a `most` out of its range,
            or a point cloud of no point.
        """
        if not isinstance(most, numbers.Integral) or most < 0:
            raise ValueError(f"most is {most!r}; it must be a whole number of 0 or more, 0 for all")
        height, width = self.depth_m.shape
        stride = math.ceil(math.sqrt(height * width / most)) if most else 1

        def cloud(write: Callable[[np.ndarray, np.ndarray], bytes]) -> bytes:
            grids = self.points(fov_degrees).reshape(height, width, 3), self.shown[0]
            points, colors = (x[::stride, ::stride].reshape(-1, 3) for x in grids)
            if not np.isfinite(points).any():
                raise ValueError("there is no point to save: everything is infinitely far")
            return write(points, colors)

        clouds: Formats = {
            ".ply": lambda: cloud(point_cloud.ply),
            ".glb": lambda: cloud(saving.glb),
        }
        return saving.write(path, self._formats() | clouds)

    def _levels(self) -> np.ndarray:
        return saving.millimetres(self.depth_m)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Normals(Answer):
    """Surface normals.

    Attributes:
      normals: (H, W, 3) float32 unit vectors in camera space: x right, y up, z towards the camera.
    """

    normals: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Segmentation(Answer):
    """Semantic segmentation: each pixel belongs to one class of the prompt.

    Attributes:
      labels: (H, W) int32, index into `names`; 255 for the prompt's background.
      names: the classes, in the prompt's order.
    """

    labels: np.ndarray
    names: tuple[str, ...]

    def _formats(self) -> Formats:
        masks = [(name, self.labels == k) for k, name in enumerate(self.names)]
        return super()._formats() | {".json": lambda: saving.coco(masks, self.labels.shape)}

    def _levels(self) -> np.ndarray:
        return self.labels.astype(np.uint16)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Instances(Answer):
    """Instance segmentation.

    Attributes:
      ids: (H, W) int32, 0 for the background, instances from 1.
      names: where the prompt asks for several phrases ("each cube and each sphere"), that of each
        instance, of id k at place k - 1; else empty.
    """

    ids: np.ndarray
    names: tuple[str, ...] = ()

    def _formats(self) -> Formats:
        found = np.unique(self.ids[self.ids > 0])
        masks = [(self.names[k - 1] if self.names else "instance", self.ids == k) for k in found]
        return super()._formats() | {".json": lambda: saving.coco(masks, self.ids.shape)}

    def _levels(self) -> np.ndarray:
        return self.ids.astype(np.uint16)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Regions(Answer):
    """Referring segmentation: the regions that the prompt describes, no two overlapping.

    Attributes:
      masks: (K, H, W) bool.
      names: the K descriptions, in the prompt's order.
    """

    masks: np.ndarray
    names: tuple[str, ...]

    def _formats(self) -> Formats:
        masks = list(zip(self.names, self.masks, strict=True))
        return super()._formats() | {".json": lambda: saving.coco(masks, self.masks.shape[1:])}

    def _levels(self) -> np.ndarray:
        return np.where(self.masks.any(0), self.masks.argmax(0) + 1, 0).astype(np.uint16)


@dataclasses.dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Picture(Answer):
    """A picture drawn from words, or edited.

    Attributes:
      rgb: (H, W, 3) float32 RGB in [0, 1].
    """

    rgb: np.ndarray


# Type of each task's answer, and the task's own name of each of its fields.
TYPES: dict[str, tuple[type[Answer], dict[str, str]]] = {
    "depth": (Depth, {"depth_m": "depth"}),
    "surface_normals": (Normals, {"normals": "normals"}),
    "semantic_segmentation": (Segmentation, {"labels": "labels", "names": "names"}),
    "instance_segmentation": (Instances, {"ids": "ids", "names": "names"}),
    "referring_segmentation": (Regions, {"masks": "masks", "names": "names"}),
    "image_generation": (Picture, {"rgb": "rgb"}),
    "image_editing": (Picture, {"rgb": "rgb"}),
}


def typed(reply: Reply, shown: Sequence[np.ndarray], steps: int) -> Answer:
    """The typed form of a reply; a task without a type of its own gives a plain `Answer`."""
    kind, fields = TYPES.get(reply.question.task, (Answer, {}))
    reply = reply._replace(
        rgb=_writable(reply.rgb),
        picture=_writable(reply.picture),
        answer={name: _writable(value) for name, value in reply.answer.items()},
    )
    return kind(
        task=reply.question.task,
        prompt=reply.question.prompt,
        seed=reply.seed,
        steps=steps,
        votes=reply.votes,
        confidence=reply.answer["confidence"][0],
        shown=tuple(_writable(picture) for picture in shown),
        reply=reply,
        **{f: reply.answer[name][0] for f, name in fields.items() if name in reply.answer},
    )


def _writable(value: Any) -> Any:
    """An array as one that may be written to, a copy where it may not; anything else stays."""
    is_array = isinstance(value, np.ndarray | jax.Array)
    return np.require(value, requirements="W") if is_array else value
