"""Draws, edits, or answers any task about a picture of your own.

    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg

asks every task about a picture;

    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg --at 120,80
    python -m vision_banana.sample --workdir runs/quickstart/tune --prompt "a red cube in a room"
    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg \\
        --prompt "Segment this image: car: red, road: gray, background: black"

print the metres at a point, draw from words, and ask in your own words. `--shape 64,96` draws, or
looks at the picture, at another shape than that of the training. `--votes 16` asks each
question 16 times, with other colours and on the mirrored picture too, and joins the decoded
answers. `--checkpoint pocket` instead of `--workdir` asks the generator that ships with the
package. What was read from photo.jpg stands in files whose names begin with `photo_`. What is drawn
has the prompt's words and the seed in its name, an edit behind its pictures' names. The point cloud
of a depth is thinned to about 100,000 points. `--image FOLDER` asks about each picture of a folder;
one that cannot be read is named and passed over, and the exit code is then 1.
"""

import argparse
import contextlib
import os
import pathlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import tqdm
from absl import logging
from etils import epath

from vision_banana import _bad_input, _progress
from vision_banana.api import images, saving
from vision_banana.api.answers import FOV_DEGREES, Answer, Depth
from vision_banana.api.model import Model
from vision_banana.data import language, pictures
from vision_banana.evaluation import arguments as asking
from vision_banana.evaluation import figure, predict, questions
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.tasks import TASKS
from vision_banana.training import distributed, weights_arguments

POINTS = 100_000  # of a point cloud, which the picture's own size would make needlessly large
WORDS = 60  # characters of a prompt in the name of what is drawn


class Shown(NamedTuple):
    """What is asked about together.

    Attributes:
      paths: none to draw from words, one picture, or two for an edit.
      begins: what the names of the answers begin with, so that another picture's go beside them.
    """

    paths: Sequence[str]
    begins: str = ""


def run(arguments: argparse.Namespace, command: str = "sample") -> bool:
    """Asks, writes the answers and prints what they say.

    Args:
      arguments: see `parser`.
      command: its name, at the head of what it says of pictures that cannot be read.

    Returns:
      Whether every picture could be read; where only one file is given, it must be.

    Raises:
      ValueError, OSError: a picture, prompt, task or run that cannot be used.
    """
    rows = _pictures(arguments.image, arguments.each)
    given = [*arguments.image, *arguments.each]
    if len(arguments.each) < 2 and not any(images.is_folder(path) for path in given):
        shown = [images.to_rgb(path) for path in rows[0].paths]
        asked = _questions(arguments, len(shown))
        answer = _answerer(arguments, asked, _point(arguments.at, shown, asked))
        answer(rows[0], shown)
        return True
    if arguments.at is not None:
        raise ValueError("--at is a pixel of one picture; give one file")
    asked = _questions(arguments, len(rows[0].paths))
    answer, failed = _answerer(arguments, asked, None, named=True), []
    for row in tqdm.tqdm(rows, unit="picture"):
        try:
            shown = [images.to_rgb(path) for path in row.paths]
        except (ValueError, OSError) as error:
            failed.append(" ".join(str(error).split()))
            continue
        answer(row, shown)
    for reason in failed:
        print(f"{command}: passed over: {reason}", file=sys.stderr)
    return not failed


def _pictures(together: Sequence[str], each: Sequence[str] = ()) -> list[Shown]:
    """What to ask about: pictures together, beside each of some others, or each of a folder's."""
    given = [*each, *together]
    if folders := [path for path in given if images.is_folder(path)]:
        if len(given) > 1:
            raise ValueError(f"{folders[0]} is a folder: give it alone, or files")
        found = epath.Path(folders[0]).expanduser().iterdir()
        files = sorted(f for f in found if f.suffix.lower() in pictures.ENDINGS)
        if not files:
            raise ValueError(f"{folders[0]} holds no pictures ({', '.join(pictures.ENDINGS)})")
        each, together = [os.fspath(f) for f in files], ()
    asked = [[path, *together] for path in dict.fromkeys(each)] or [list(together)]
    firsts = [pathlib.PurePath(paths[0]) for paths in asked if paths]
    stems, names = Counter(f.stem for f in firsts), Counter(f.name for f in firsts)

    def begins(file: pathlib.PurePath) -> str:
        if stems[file.stem] == 1:
            return f"{file.stem}_"
        if names[file.name] == 1:  # photo.jpg and photo.png
            return f"{file.name}_"
        parts = [part for part in file.parts if part not in (file.anchor, "..")]
        return f"{'_'.join(parts)}_"  # of two folders

    heads = [begins(f) for f in firsts]
    if len(set(heads)) < len(heads):  # photo.jpg, photo.png and photo.jpg.webp
        heads = [f"{n}_{head}" for n, head in enumerate(heads, 1)]
    others = "".join(f"{pathlib.PurePath(path).stem}_" for path in asked[0][1:])
    return [Shown(p, head + others) for p, head in zip(asked, heads, strict=False)] or [Shown(())]


def _answerer(
    arguments: argparse.Namespace,
    asked: Sequence[questions.Question],
    at: tuple[int, int] | None,
    named: bool = False,
) -> Callable[[Shown, Sequence[np.ndarray]], None]:
    """Loads the generator; gives a function that asks it and writes and prints its answers.

    Where they are to be `named`, what is printed begins with the picture's path.
    """
    # Drawing from words is asked alone, and all that looks at a picture is asked alike.
    steps, guidance = predict.suited(asked[0].task)
    model = Model(weights_arguments.load(arguments, language.describe()))
    home = weights_arguments.results_folder(arguments)
    folder = epath.Path(arguments.output or os.path.join(home, "samples"))
    if jax.process_index() == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f"{folder} cannot be made a folder for the answers ({error.strerror}); give "
                "--output another one"
            ) from error
        print(f"weights of step {model.step}; answers in {folder}", flush=True)

    def answer(row: Shown, shown: Sequence[np.ndarray]) -> None:
        with _progress.stage("compiling and asking (the first time takes a while)"):
            (answers,) = model.ask(
                [QuestionSet(asked, shown)], steps if arguments.steps is None else arguments.steps,
                arguments.seed, arguments.votes, arguments.shape, solver=arguments.solver,
                text_guidance=guidance if arguments.text_guidance is None
                else arguments.text_guidance,
                reference_guidance=arguments.reference_guidance,
            )  # fmt: skip
        if jax.process_index() > 0:
            return
        said = [row.paths[0]] if named else []
        for one in answers:
            begins = row.begins + (_words(one) if TASKS[one.task].draws else "")
            cloud = _write(folder, begins, one, arguments.fov)
            said += [f"{one.task}: {one.prompt}"]
            said += [f"    {line}" for line in _said(one, at)]
            if cloud:
                fov = f"{arguments.fov:g} degrees across"
                said.append(f"    {cloud} assumes a field of view of {fov}")
        tqdm.tqdm.write("\n".join(said))

    return answer


def _questions(arguments: argparse.Namespace, count: int) -> list[questions.Question]:
    """What is asked: the prompt, a task's default prompt, or every task's."""
    if arguments.prompt is None and arguments.task is None:
        if not count:
            raise ValueError("nothing is asked: give --prompt, --task or --image")
        return questions.everything(count)
    return [questions.choose(arguments.prompt, count, arguments.task)]


def _point(
    text: str | None, shown: Sequence[np.ndarray], asked: Sequence[questions.Question]
) -> tuple[int, int] | None:
    """Reads X,Y, a pixel of the first picture counted from its top left corner, from 0."""
    if text is None:
        return None
    try:
        x, y = (int(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"--at is {text!r}; write a pixel as X,Y, for example 120,80") from error
    if not any(task == "depth" for task, _ in asked):
        raise ValueError("--at reads metres, but no depth is asked for; add --task depth")
    height, width = shown[0].shape[:2]
    if not (0 <= x < width and 0 <= y < height):
        raise ValueError(
            f"--at is {text}; the picture has x from 0 to {width - 1} and y from 0 to {height - 1}"
        )
    return x, y


def _sides(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r}: write HEIGHT,WIDTH in pixels, for example 64,96"
        ) from error


def _said(answer: Answer, at: tuple[int, int] | None) -> list[str]:
    """An answer in words."""
    lines = [said] if (said := figure.summary(answer.reply)) else []
    if isinstance(answer, Depth) and at is not None:
        x, y = at
        metres, sure = answer.depth_m[y, x], answer.confidence[y, x]
        far = "infinitely far" if np.isinf(metres) else f"{metres:.2f} m"
        lines.append(f"at {x},{y}: {far} (confidence {sure:.2f})")
    return lines


def _words(answer: Answer) -> str:
    """What tells a drawn picture's files from those of others: the prompt's words and the seed."""
    words = re.sub(r"\W+", "_", answer.prompt.lower()).strip("_")
    return f"{words[:WORDS].strip('_')}_seed_{answer.seed}_"


def _write(folder: epath.Path, begins: str, answer: Answer, fov_degrees: float) -> str:
    """Writes what was drawn, the decoded arrays, and a picture for people; `begins` their names.

    Returns the name of a depth's point cloud, "" where there is none.
    """
    name = f"{begins}{answer.task}"
    saving.write_png(folder / f"{name}_rgb.png", pictures.to_u8(answer.drawn))
    saving.write_png(folder / f"{name}.png", answer.figure())
    answer.save(folder / f"{name}.npz")
    if isinstance(answer, Depth):
        answer.save(folder / f"{name}_mm.png")
        with contextlib.suppress(ValueError):  # everything is infinitely far
            return answer.save(folder / f"{name}_points.ply", fov_degrees, POINTS).name
    return ""


def parser(
    command: str = "python -m vision_banana.sample",
    usage: str | None = None,
    description: str | None = __doc__,
) -> argparse.ArgumentParser:
    """The arguments of the command, or of one that asks as it does.

    Args:
      command: its name.
      usage: how it is called; made from the arguments where None.
      description: what its help begins with.
    """
    made = _bad_input.Parser(prog=command, usage=usage, description=description)
    made.set_defaults(each=[])  # pictures that are asked about one after the other
    add = made.add_argument
    weights_arguments.add(made)
    add("--prompt", help="what to draw or to ask; the task is recognised from its wording")
    add(
        "--image",
        action="append",
        default=[],
        help="a picture, or a folder of them; twice for an edit with two",
    )
    add("--task", help="ask for this task, with its own wording where there is no --prompt")
    add("--at", metavar="X,Y", help="print the metres at this pixel, counted from the top left")
    add(
        "--fov",
        type=asking.field_of_view,
        default=FOV_DEGREES,
        help=f"horizontal field of view in degrees ({FOV_DEGREES:g}), for the point cloud",
    )
    steps, guidance = predict.suited("image_generation")
    add("--steps", type=int, help=f"sampling steps (1; {steps} to draw from words)")
    add("--solver", default="euler", help="euler or heun")
    add(
        "--seed",
        type=asking.seed,
        default=0,
        help="of the first answer's noise and its votes' wordings, below 2**31 (0); the next has "
        "the next seed",
    )
    add(
        "--shape",
        metavar="HEIGHT,WIDTH",
        type=_sides,
        help="at which the generator works, and of what is drawn from words (that of its training)",
    )
    add("--votes", type=int, default=1, help="how often each question is asked (1)")
    add(
        "--text_guidance",
        type=float,
        help=f"weight of the prompt, 1 for none (1; {guidance:g} to draw from words)",
    )
    add("--reference_guidance", type=float, default=1.0, help="weight of pictures, 1 for none")
    add(
        "--output",
        type=os.path.expanduser,
        help="folder of the answers (WORKDIR/samples, or runs/CHECKPOINT/samples)",
    )
    distributed.add_arguments(made)
    return made


def start(arguments: argparse.Namespace, command: str) -> None:
    """Asks what the arguments of a `parser` say, under a command's name."""
    logging.set_verbosity(logging.ERROR)
    with _bad_input.exits(command):
        distributed.initialize_from(arguments)
        if not run(arguments, command):
            raise SystemExit(1)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    reader = parser()
    start(reader.parse_args(argv), reader.prog)


if __name__ == "__main__":
    main()
