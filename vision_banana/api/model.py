"""A generator that is ready to be asked."""

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vision_banana import _bad_input
from vision_banana.api import answers, images
from vision_banana.api.answers import Answer
from vision_banana.api.images import Image_
from vision_banana.data import language
from vision_banana.diffusion import samplers
from vision_banana.evaluation import own_pictures, predict, questions
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS, EDITING_STEPS
from vision_banana.evaluation.questions import Question
from vision_banana.training import pretrained
from vision_banana.training.trained import Trained

Shown = Image_ | tuple[Image_, Image_]  # one picture, or two for an edit
Prompts = str | Iterable[str]

LARGEST = 8  # a side, in times of that on which the generator was trained


def load(checkpoint: str | os.PathLike[str] = "pocket") -> "Model":
    """Loads a generator.

    Args:
      checkpoint: "pocket" (ships with the package), a folder of weights or of a training run,
        local or in a bucket, or "hf://owner/name" on the Hugging Face hub; a bucket and the hub
        alone touch the network.

    Raises:
      FileNotFoundError: where there is no such checkpoint, or one of its files is missing.
      ValueError: for weights that are damaged, or of another version, and for what names nothing.
    """
    if not isinstance(checkpoint, str | os.PathLike) or checkpoint == "":
        packaged = " or ".join(pretrained.PACKAGED)
        raise ValueError(f"checkpoint is {checkpoint!r}; give {packaged}, a folder, or hf://...")
    return Model(pretrained.load(checkpoint, language.describe()))


class Model:
    """A generator with its weights.

    One picture and one prompt give one answer. A list of prompts gives a list of answers, for
    which the picture is looked at once; a list of pictures gives a list with what one picture
    gives. Answers have the picture's own size, whatever it is; what is drawn from words alone has
    the `shape` that is asked for, or the generator's. The first answer of a list has the seed that
    is given, and the n-th after it `seed + n`, which it names: asked alone with that seed, the same
    question gets the same answer.
    """

    def __init__(self, trained: Trained) -> None:
        """Wraps a generator that is loaded."""
        self._trained = trained

    @property
    def config(self) -> dict[str, Any]:
        """The config that the generator was trained with."""
        return self._trained.config

    @property
    def step(self) -> int:
        """The training step of the weights."""
        return self._trained.step

    @property
    def size(self) -> int:
        """Side in pixels of the square on which the generator was trained."""
        return self.config["data"]["size"]

    def __repr__(self) -> str:
        name = self._trained.model.size
        return f"Model({name}, {self.size} x {self.size} pixels, step {self.step})"

    def perceive(
        self,
        image: Shown | list[Shown],
        prompt: Prompts | None = None,
        *,
        task: str | None = None,
        steps: int = 1,
        seed: int = 0,
        votes: int = 1,
        shape: tuple[int, int] | None = None,
        solver: str = "euler",
        text_guidance: float = 1.0,
        reference_guidance: float = 1.0,
    ) -> Any:
        """Answers questions about pictures.

        Args:
          image: a picture, see `images.to_rgb`, a tuple of two for an edit that takes something
            from the second, or a list of either.
          prompt: a task's name ("metric depth", "surface normals"), which stands for that task's
            own question, or free text, from whose wording the task is recognised; or a list. What
            was asked and which task was picked stands in the answer.
          task: the task's name, where the wording shall not decide.
          steps: sampling steps.
          seed: of the noise, which a single step does not depend on, and of the votes' wordings.
          votes: how often each question is asked, in other words and colours and on the mirrored
            picture too; the decoded answers are joined (labels and masks by majority, depth by the
            median, normals by the mean direction). Edits are drawn once.
          shape: height and width in pixels to which a picture is resized for the generator; by
            default the square on which it was trained. The answer has the picture's own size.
          solver: "euler" or "heun".
          text_guidance: weight of the prompt, 1 for no guidance.
          reference_guidance: weight of the picture, 1 for no guidance.

        Returns:
          `Depth`, `Normals`, `Segmentation`, `Instances`, `Regions` or `Picture`, or (nested)
          lists of them, pictures outside, prompts inside.

        Raises:
          FileNotFoundError: where a path leads nowhere.
          ValueError: a picture or prompt that cannot be read, an unknown task or option, a prompt
            from which the task is not clear, two pictures for a task that looks at one.
        """
        if prompt is None and task is None:
            raise ValueError("nothing is asked: give a prompt or a task")
        return self._over_pictures(
            image,
            prompt,
            lambda text, count: questions.choose(text, max(1, count), task),
            steps, seed,
            votes=votes, shape=shape, solver=solver,
            text_guidance=text_guidance, reference_guidance=reference_guidance,
        )  # fmt: skip

    def generate(
        self,
        prompt: Prompts,
        *,
        steps: int = DRAWING_STEPS,
        seed: int = 0,
        shape: tuple[int, int] | None = None,
        solver: str = "euler",
        text_guidance: float = DRAWING_GUIDANCE,
    ) -> Any:
        """Draws pictures from words.

        Args:
          prompt: what to draw, or a list; the same prompt twice gives two pictures.
          steps: sampling steps.
          seed: of the noise.
          shape: height and width of the picture in pixels; by default the square on which the
            generator was trained.
          solver: "euler" or "heun".
          text_guidance: weight of the prompt, 1 for no guidance.

        Returns:
          A `Picture`, or a list of them.

        Raises:
          ValueError: an empty or too long prompt, an unknown option.
        """
        asked = [QuestionSet([Question("image_generation", text)], []) for text in _texts(prompt)]
        drawn = self.ask(
            asked, steps, seed, shape=shape, solver=solver, text_guidance=text_guidance
        )
        return drawn[0][0] if isinstance(prompt, str) else [row[0] for row in drawn]

    def edit(
        self,
        image: Shown | list[Shown],
        prompt: Prompts,
        *,
        steps: int = EDITING_STEPS,
        seed: int = 0,
        shape: tuple[int, int] | None = None,
        solver: str = "euler",
        text_guidance: float = 1.0,
        reference_guidance: float = 1.0,
    ) -> Any:
        """Edits pictures.

        Args:
          image: a picture, a tuple of two (the first is edited with the help of the second), or a
            list of either.
          prompt: what to change, or a list.
          steps: sampling steps.
          seed: of the noise, which a single step does not depend on.
          shape: as for `perceive`.
          solver: "euler" or "heun".
          text_guidance: weight of the instruction, 1 for no guidance.
          reference_guidance: weight of the picture, 1 for no guidance.

        Returns:
          A `Picture`, or (nested) lists of them, pictures outside, prompts inside.

        Raises:
          FileNotFoundError: where a path leads nowhere.
          ValueError: a picture or prompt that cannot be read, an unknown option.
        """
        return self._over_pictures(
            image,
            prompt,
            lambda text, count: Question("image_editing", text),
            steps, seed, shape=shape,
            solver=solver, text_guidance=text_guidance, reference_guidance=reference_guidance,
        )  # fmt: skip

    def ask(
        self,
        asked: Sequence[QuestionSet],
        steps: int = 1,
        seed: int = 0,
        votes: int = 1,
        shape: tuple[int, int] | None = None,
        **sampling: Any,
    ) -> list[list[Answer]]:
        """Asks several questions about several sets of pictures, whatever their tasks.

        Args:
          asked: the questions and (H, W, 3) float RGB pictures of each set.
          steps: sampling steps.
          seed: of the noise and of the votes' wordings, below 2**31.
          votes: how often each question is asked, see `perceive`.
          shape: height and width at which the generator works, see `perceive` and `generate`.
          **sampling: `solver` and guidance, see `vision_banana.evaluation.predict.build`.

        Returns:
          For each set the answers to its questions.

        Raises:
          ValueError: a prompt that cannot be read, an unknown solver, no steps, a seed, a shape or
            a guidance weight out of its range, a task that does not look at so many pictures.
        """
        steps, seed = _whole("steps", steps, 1), _whole("seed", seed, 0, own_pictures.SEEDS - 1)
        votes = _whole("votes", votes, 1)
        solver = sampling.get("solver", "euler")
        if solver not in samplers.SOLVERS:
            meant = _bad_input.nearest_or_all(solver, samplers.SOLVERS)
            raise ValueError(f"solver is {solver!r}; {meant}")
        sampling = predict.checked(sampling)
        replies = own_pictures.ask(
            self._trained.model, self._trained.params, asked,
            shape=self._shape(shape), seed=seed, votes=votes, steps=steps,
            shift=self._trained.shift,
            **sampling,
        )  # fmt: skip
        return [
            [answers.typed(reply, shown, steps) for reply in row]
            for row, (_, shown) in zip(replies, asked, strict=True)
        ]

    def _shape(self, shape: Any) -> tuple[int, int]:
        """The shape at which the generator works: what was asked for, or its own."""
        if shape is None:
            return self._trained.shape
        patch, most = self._trained.model.dims.patch, LARGEST * self.size
        try:
            height, width = (operator.index(side) for side in shape)
        except (TypeError, ValueError):
            height = width = 0
        if any(side % patch or not patch <= side <= most for side in (height, width)):
            raise ValueError(
                f"shape is {shape!r}; give (height, width), multiples of {patch} up to {most}"
            )
        return height, width

    def _over_pictures(
        self,
        image: Any,
        prompt: Prompts | None,
        choose: Callable[[Any, int], Question],
        steps: int,
        seed: int,
        **sampling: Any,
    ) -> Any:
        """Asks each prompt about each picture, and gives lists where lists were given."""
        one_image = not isinstance(image, list)
        texts = _texts(prompt)
        asked = []
        for one in [image] if one_image else image:
            shown = [images.to_rgb(x) for x in (one if isinstance(one, tuple) else (one,))]
            asked.append(QuestionSet([choose(text, len(shown)) for text in texts], shown))
        rows: list[Any] = self.ask(asked, steps, seed, **sampling) if texts else [[] for _ in asked]
        if prompt is None or isinstance(prompt, str):
            rows = [row[0] for row in rows]
        return rows[0] if one_image else rows


def _texts(prompt: Any) -> list[Any]:
    """The prompts, one or several; `questions.check_prompt` refuses what is no text."""
    one = isinstance(prompt, str | bytes) or not isinstance(prompt, Iterable)
    return [prompt] if one else list(prompt)


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        span = f"of {least} or more" if most is None else f"from {least} to {most}"
        raise ValueError(f"{name} is {value!r}; it must be a whole number {span}")
    return number
