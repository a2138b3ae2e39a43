"""One request of the demo page: what is asked, the answer, and the files that come with it."""

import contextlib
import itertools
import os
import pathlib
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from vision_banana.api import saving
from vision_banana.api.answers import Answer, Depth, Instances, Regions, Segmentation
from vision_banana.api.model import Model
from vision_banana.data import pictures
from vision_banana.evaluation import figure, own_pictures, questions
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS, EDITING_STEPS
from vision_banana.evaluation.questions import Question
from vision_banana.tasks import TASKS
from vision_banana.web import limits as limits_lib
from vision_banana.web import views
from vision_banana.web.limits import Limits

KEPT = 20  # answers whose files can still be downloaded

Tell = Callable[[float, str], object]


class Preset(NamedTuple):
    """A task as the page offers it.

    Attributes:
      task: its name.
      label: what it is called.
      steps: sampling steps to begin with.
      text_guidance: weight of the prompt to begin with.
    """

    task: str
    label: str
    steps: int = 1
    text_guidance: float = 1.0

    @property
    def prompt(self) -> str:
        """The prompt to begin with."""
        return questions.DEFAULTS[self.task]

    @property
    def looks(self) -> bool:
        """Whether it is about a picture."""
        return self.task != "image_generation"


PRESETS = {
    preset.label: preset
    for preset in (
        Preset("depth", "Depth"),
        Preset("surface_normals", "Normals"),
        Preset("semantic_segmentation", "Classes"),
        Preset("instance_segmentation", "Instances"),
        Preset("referring_segmentation", "Regions"),
        Preset("image_editing", "Edit", EDITING_STEPS),
        Preset("image_generation", "Draw", DRAWING_STEPS, DRAWING_GUIDANCE),
    )
}


class Form(NamedTuple):
    """What a visitor has filled in.

    Attributes:
      label: of the task, a key of `PRESETS`.
      upload: path of the picture, None for none.
      prompt: what is asked.
      steps: sampling steps.
      text_guidance: weight of the prompt, 1 for no guidance.
      reference_guidance: weight of the picture, 1 for no guidance.
      seed: of the noise.
    """

    label: str
    upload: str | None
    prompt: str | None
    steps: float | None = 1
    text_guidance: float | None = 1.0
    reference_guidance: float | None = 1.0
    seed: float | None = 0


class Shown(NamedTuple):
    """What the page shows of an answer; pictures are (H, W, 3) uint8, None where there is none.

    Attributes:
      said: the answer in words.
      drawn: what the generator drew.
      decoded: what it means.
      overlay: what it means, over the picture.
      confidence: white where it is sure.
      legend: what the colours mean, HTML.
      cloud: depth in space, HTML.
      files: to download.
    """

    said: str
    drawn: np.ndarray
    decoded: np.ndarray | None
    overlay: np.ndarray | None
    confidence: np.ndarray | None
    legend: str
    cloud: str
    files: list[str]


class Answerer:
    """Answers one request after the other.

    Args:
      model: what is asked.
      folder: an empty folder of its own, for the files.
      limits: of what is let in.
    """

    def __init__(self, model: Model, folder: str | os.PathLike[str], limits: Limits) -> None:
        self.model, self.limits = model, limits
        self._folder = pathlib.Path(folder)
        self._lock = threading.Lock()
        self._hear: Callable[[float], object] = _ignore

    def __call__(self, form: Form, tell: Tell = lambda share, words: None) -> Shown:
        """Answers a form.

        Args:
          form: as it was filled in.
          tell: is told how far it is, from 0 to 1, and what is done.

        Raises:
          ValueError: what cannot be asked, in a sentence.
        """
        began = time.monotonic()
        preset = PRESETS.get(form.label)
        if preset is None:
            raise ValueError(f"task is {form.label!r}; it must be one of {', '.join(PRESETS)}")
        bound = self.limits
        text = limits_lib.prompt(form.prompt, bound)
        steps = limits_lib.whole("steps", form.steps, 1, bound.steps)
        seed = limits_lib.whole("seed", form.seed, 0, own_pictures.SEEDS - 1)
        text_guidance = limits_lib.weight("prompt guidance", form.text_guidance, bound.guidance)
        reference_guidance = limits_lib.weight(
            "picture guidance", form.reference_guidance, bound.guidance
        )
        tell(0.0, "Reading what is asked")
        shown = []
        if preset.looks:
            if not form.upload:
                raise ValueError(f"{preset.label} is about a picture: choose one first")
            shown = [limits_lib.read_picture(form.upload, bound)]
        tell(0.05, "Preparing; the first answer of a kind takes longer")
        with self._heard(tell, steps):
            asked = QuestionSet([Question(preset.task, text)], shown)
            ((answer,),) = self.model.ask(
                [asked], steps, seed, solver="euler", text_guidance=text_guidance,
                reference_guidance=reference_guidance, on_time=self._on_time,
            )  # fmt: skip
        tell(0.9, "Decoding and saving")
        files = self._save(answer)
        return _shown(answer, files, time.monotonic() - began)

    @contextlib.contextmanager
    def _heard(self, tell: Tell, steps: int) -> Iterator[None]:
        """One at a time; passes on how far the sampler is."""

        heard = itertools.count()

        def hear(t: float) -> None:
            # Counted, since times may lie unevenly; a prompt may be asked in parts, one by one.
            tell(0.1 + 0.8 * t, f"Drawing, step {next(heard) % steps + 1} of {steps}")

        with self._lock:
            self._hear = hear
            try:
                yield
            finally:
                self._hear = _ignore

    # One function for all requests: with another the generator would be compiled anew.
    def _on_time(self, t: Any) -> None:
        self._hear(float(t))

    def _save(self, answer: Answer) -> list[str]:
        """Writes an answer's files into a folder of its own; the oldest folders go."""
        folders = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for old in folders[: max(0, len(folders) - KEPT + 1)]:
            shutil.rmtree(old, ignore_errors=True)
        place = epath.Path(tempfile.mkdtemp(dir=self._folder))
        drawn, whole = place / f"{answer.task}_drawn.png", place / f"{answer.task}_figure.png"
        saving.write_png(drawn, pictures.to_u8(answer.drawn))
        saving.write_png(whole, answer.figure())
        made = [drawn, whole]
        for ending in (".npz", ".png", *_MORE.get(type(answer), ())):
            made.append(answer.save(place / f"{answer.task}{ending}"))
        if isinstance(answer, Depth) and np.isfinite(answer.points()).any():
            made.append(answer.save(place / f"{answer.task}.ply"))
            with contextlib.suppress(ValueError):  # trimesh is not installed
                made.append(answer.save(place / f"{answer.task}.glb"))
        return [str(path) for path in made]


_MORE: dict[type[Answer], tuple[str, ...]] = {
    Segmentation: (".json",),
    Instances: (".json",),
    Regions: (".json",),
}


def _shown(answer: Answer, files: list[str], seconds: float) -> Shown:
    """What the page shows of an answer."""
    is_picture = TASKS[answer.task].draws
    plain = "the picture is the answer"
    if not is_picture:
        plain = f"mean confidence {float(np.mean(answer.confidence)):.2f}"
    said = figure.summary(answer.reply) or plain
    height, width = answer.drawn.shape[:2]  # not the upload's, where that was shrunk
    return Shown(
        f"{said[0].upper()}{said[1:]}. Answered at {width} x {height} pixels in {seconds:.1f} s.",
        pictures.to_u8(answer.drawn),
        None if is_picture else pictures.to_u8(answer.picture),
        _levels(views.overlay(answer)),
        _levels(views.confidence(answer)),
        views.legend(answer),
        views.cloud(answer),
        files,
    )


def _levels(picture: np.ndarray | None) -> np.ndarray | None:
    return None if picture is None else pictures.to_u8(picture)


def _ignore(t: float) -> None:
    """Hears the sampler's time where nobody waits for it."""
