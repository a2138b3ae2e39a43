"""What the weights answer about the first held-out scenes, the same for every checkpoint.

    python -m vision_banana.evaluation.answer_sheet --checkpoint pocket

A row a task: picture, target, what the model drew in one sampling step, what that decodes to, for
three scenes side by side. The sheet goes to WORKDIR/answer_sheet_STEP.jpg (of exported weights,
to runs/NAME), from where `python -m vision_banana.export` puts it into the model card.
"""

import argparse
import io
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from etils import epath
from PIL import Image, ImageDraw, ImageFont

from vision_banana import _bad_input, _progress
from vision_banana.data import language, scenes
from vision_banana.evaluation import figure, score
from vision_banana.evaluation.plans import Query
from vision_banana.tasks import TASKS
from vision_banana.training import folders, pretrained, weights_arguments
from vision_banana.training.trained import Trained

COUNT, SEED = 3, 0
COLUMNS = ("picture", "target", "drawn", "decoded")
PICTURE, GAP, LINE, LINES, LEFT = 104, 6, 14, 2, 118


def draw(trained: Trained) -> dict[str, list[tuple[Query, np.ndarray]]]:
    """Asks every task of scenes that sees about the first held-out; task -> (question, answer)."""
    size = trained.config["data"]["size"]
    source = scenes.Scenes("heldout", size)
    seeing = [name for name in TASKS if name in source.tasks and not TASKS[name].draws]
    tasks = {name: TASKS[name] for name in seeing}
    asked = score.queries(source, tasks, range(COUNT), SEED, trained.model.text_length, size)
    drawn = score.draw(score.asker_of(trained, steps=1), asked, jax.random.key(SEED))
    return {name: list(zip(asked[name], drawn[name], strict=True)) for name in seeing}


def compose(drawn: Mapping[str, Sequence[tuple[Query, np.ndarray]]], title: str) -> np.ndarray:
    """The sheet, (H, W, 3) uint8.

    Args:
      drawn: task -> its questions and the answers, as many for each task.
      title: whose they are.
    """
    count = max(len(rows) for rows in drawn.values())
    wide, tall = len(COLUMNS) * (PICTURE + 2) + 2 * GAP, PICTURE + LINE * LINES + 2 * GAP
    top = 62
    sheet = Image.new("RGB", (LEFT + count * wide, top + len(drawn) * tall), figure.PAPER)
    pen, font, small = ImageDraw.Draw(sheet), ImageFont.load_default(18), ImageFont.load_default(11)
    pen.text((GAP, 10), title, figure.INK, font)
    for i in range(count):
        for k, name in enumerate(COLUMNS):
            pen.text((LEFT + i * wide + k * (PICTURE + 2), 42), name, figure.QUIET, small)
    for j, (name, rows) in enumerate(drawn.items()):
        y = top + j * tall
        for k, word in enumerate(name.split("_")):
            pen.text((GAP, y + 4 + 16 * k), word, figure.INK, ImageFont.load_default(14))
        for i, (q, rgb) in enumerate(rows):
            answer = TASKS[name].read(rgb[None], [q.prompt])
            shown = (q.example.references[0], q.truth(), rgb, TASKS[name].picture(answer, 0))
            for k, picture in enumerate(shown):
                # Between two colours of a code there is no meaning.
                panel = figure.image(picture).resize((PICTURE, PICTURE), Image.Resampling.NEAREST)
                sheet.paste(panel, (LEFT + i * wide + k * (PICTURE + 2), y))
            lines = figure.wrapped(q.prompt, small, wide - 2 * GAP)
            for k, line in enumerate(lines[:LINES]):
                more = "…" if k == LINES - 1 < len(lines) - 1 else ""
                left = LEFT + i * wide
                pen.text((left, y + PICTURE + 3 + k * LINE), line + more, figure.QUIET, small)
    return np.asarray(sheet)


def jpeg(sheet: np.ndarray) -> bytes:
    """A sheet, (H, W, 3) uint8, as it is kept."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def run(arguments: argparse.Namespace) -> epath.Path:
    """Draws and writes; returns the file.

    Raises:
      ValueError, OSError: weights that cannot be used.
    """
    home = epath.Path(weights_arguments.results_folder(arguments))
    trained = weights_arguments.load(arguments, language.describe())
    home.mkdir(parents=True, exist_ok=True)
    file = home / figure.of_step(pretrained.ANSWER_SHEET, trained.step)
    title = f"{home.name}, weights of step {trained.step:,}: held-out scenes, one sampling step"
    with _progress.stage("asking about held-out scenes (compiling takes a while)"):
        drawn = draw(trained)
    folders.write_whole(file, jpeg(compose(drawn, title)))
    return file


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = weights_arguments.parser_of("vision_banana.evaluation.answer_sheet", __doc__)
    with _bad_input.exits("answer_sheet"):
        print(f"wrote {run(parser.parse_args(argv))}")


if __name__ == "__main__":
    main()
