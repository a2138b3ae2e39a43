"""64 held-out captions and edits, the same for every checkpoint, so that progress can be seen.

    python -m vision_banana.evaluation.caption_sheet --workdir runs/my_pocket
    python -m vision_banana.evaluation.caption_sheet --workdir runs/tune --against runs/pretrain

The first draws the captions, always with the same noise, into WORKDIR/caption_sheet_STEP.jpg, a
labelled grid that `python -m vision_banana.export` puts into the model card. The second asks
another checkpoint too, with the same captions, edits and noise, and writes both side by side, with
the scores of the detector and intervals on their differences, to WORKDIR/drawings_STEP.html: is
drawing kept? `--checkpoint NAME` in place of `--workdir` uses exported weights and runs/NAME.
"""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from vision_banana import _bad_input, _progress
from vision_banana.data import language, scenes
from vision_banana.evaluation import answer_sheet, drawings_compared, figure, score, totals
from vision_banana.evaluation.plans import Query
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS
from vision_banana.metrics.metric import State
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Example
from vision_banana.training import folders, pretrained, weights_arguments
from vision_banana.training.trained import Trained

COUNT = 64  # the first held-out scenes
SEED = 0
CAPTION_SIZE = 64  # of the scenes that the captions tell of, whatever the generator's pictures are
WORDS = {"image_generation": "caption", "image_editing": "instruction"}
# What the detector counts, in words.
SCORES = {
    "color_present": "named colours present",
    "color_on_shape": "on their object's shape",
    "position": "stated orders right",
    "all_correct": "pictures all right",
}

COLUMNS, CELL, PICTURE, GAP, LINE, LINES = 8, 176, 160, 12, 15, 5
RIGHT = (26, 138, 74)


class Drawn(NamedTuple):
    """What was drawn for one task.

    Attributes:
      queries: what was asked; `truth()` draws the target.
      pictures: the answers, each (H, W, 3) float32 RGB in [0, 1].
      states: the state of the task's metric of each answer.
    """

    queries: list[Query]
    pictures: list[np.ndarray]
    states: list[State]


def draw(
    trained: Trained, tasks: Sequence[str] = tuple(WORDS), count: int = COUNT
) -> dict[str, Drawn]:
    """Draws the sheet's captions and edits.

    The captions stand as they are, in no frame ("a picture of ..."), and are the same at every
    size of picture; edits are asked about scenes of the generator's own size, without guidance.

    Args:
      trained: the generator.
      tasks: keys of `WORDS`.
      count: how many of each.
    """
    size, length = trained.config["data"]["size"], trained.model.text_length
    asker = score.asker_of(trained, DRAWING_STEPS, DRAWING_GUIDANCE)
    found = {}
    with _progress.stages(len(tasks)) as begin:
        for name in tasks:
            source = scenes.Scenes("heldout", CAPTION_SIZE if name == "image_generation" else size)
            task = TASKS[name]._replace(prompt=_bare)
            asked = score.queries(source, {name: task}, range(count), SEED, length, size)
            with begin(f"drawing {count} {WORDS[name]}s"):
                pictures = score.draw(asker, asked, jax.random.key(SEED))[name]
            metric = task.metric()
            states = [
                metric.update(metric.init(), task.read(rgb[None], [q.prompt]), [q.example])
                for q, rgb in zip(asked[name], pictures, strict=True)
            ]
            found[name] = Drawn(asked[name], pictures, states)
    return found


def _bare(example: Example, rng: np.random.Generator) -> str:
    del rng
    return str(example.words[WORDS[example.task]])


def compose(drawn: Drawn, title: str) -> np.ndarray:
    """The sheet: a grid of pictures with their captions; a green frame where all is right.

    Args:
      drawn: pictures from captions.
      title: whose they are.

    Returns:
      (H, W, 3) uint8.
    """
    metric = TASKS["image_generation"].metric()
    rows = -(-len(drawn.pictures) // COLUMNS)
    top, tall = 76, PICTURE + GAP + LINE * LINES
    sheet = Image.new("RGB", (COLUMNS * CELL + GAP, top + rows * tall), figure.PAPER)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(20), ImageFont.load_default(12)
    pen.text((GAP, 12), title, figure.INK, font)
    whole = metric.compute(totals.total(metric, drawn.states))
    said = ", ".join(f"{words} {whole[name]:.0%}" for name, words in SCORES.items())
    said = f"By the rule-based detector: {said} (framed). Every checkpoint draws these captions."
    pen.text((GAP, 44), said, figure.QUIET, ImageFont.load_default(14))
    for i, (q, rgb, state) in enumerate(
        zip(drawn.queries, drawn.pictures, drawn.states, strict=True)
    ):
        left, y = GAP + i % COLUMNS * CELL, top + i // COLUMNS * tall
        shown = figure.image(rgb).resize((PICTURE, PICTURE), Image.Resampling.BICUBIC)
        sheet.paste(shown, (left, y))
        if metric.compute(state)["all_correct"] == 1:
            pen.rectangle((left - 3, y - 3, left + PICTURE + 2, y + PICTURE + 2), None, RIGHT, 3)
        lines = figure.wrapped(q.prompt, small, PICTURE)
        for k, line in enumerate(lines[:LINES]):
            pen.text((left, y + PICTURE + 5 + k * LINE), line, figure.INK, small)
    return np.asarray(sheet)


def titled(trained: Trained, name: str) -> str:
    """Whose pictures they are, in a line."""
    return (
        f"{name}, weights of step {trained.step:,}: {COUNT} held-out captions, seed {SEED}, "
        f"{DRAWING_STEPS} steps, guidance {DRAWING_GUIDANCE:g}"
    )


def run(arguments: argparse.Namespace) -> epath.Path:
    """Draws, writes and prints; returns the file.

    Raises:
      ValueError, OSError: weights that cannot be used or do not fit together.
    """
    home = epath.Path(weights_arguments.results_folder(arguments))
    trained = weights_arguments.load(arguments, language.describe())
    home.mkdir(parents=True, exist_ok=True)
    if arguments.against is None:
        file = home / figure.of_step(pretrained.CAPTION_SHEET, trained.step)
        drawn = draw(trained, ["image_generation"])["image_generation"]
        sheet = compose(drawn, titled(trained, home.name))
        folders.write_whole(file, answer_sheet.jpeg(sheet))
        return file
    other = pretrained.load(arguments.against, language.describe())
    sizes = [(m.config["data"]["size"], m.model.text_length) for m in (other, trained)]
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"{arguments.against} works at (size, text length) {sizes[0]} and the other at "
            f"{sizes[1]}: the same noise would mean nothing"
        )
    names = (epath.Path(arguments.against).name, home.name)
    facts: Mapping[str, Any] = {
        name: f"step {m.step:,}" for name, m in zip(names, (other, trained), strict=True)
    }
    sampling = f"{DRAWING_STEPS} steps, guidance {DRAWING_GUIDANCE:g}"
    facts = {**facts, "seed": str(SEED), "sampling": sampling}
    before, after = draw(other), draw(trained)
    print(drawings_compared.markdown(before, after, names))
    file = home / f"drawings_{trained.step}.html"
    folders.write_whole(file, drawings_compared.build(before, after, names, facts))
    return file


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = weights_arguments.parser_of("vision_banana.evaluation.caption_sheet", __doc__)
    parser.add_argument("--against", help="weights or run to compare with, those before")
    with _bad_input.exits("caption_sheet"):
        print(f"wrote {run(parser.parse_args(argv))}")


if __name__ == "__main__":
    main()
