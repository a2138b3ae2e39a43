"""Draws, edits, or answers any task about a picture of your own.

    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg

asks every task about a picture;

    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg --at 120,80
    python -m vision_banana.sample --workdir runs/quickstart/tune --prompt "a red cube in a room"
    python -m vision_banana.sample --workdir runs/quickstart/tune --image photo.jpg \\
        --prompt "Segment this image: car: red, road: gray, background: black"

print the metres at a point, draw from words, and ask in your own words.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import jax
import numpy as np
from absl import logging
from PIL import Image

from vision_banana.data import language, pictures
from vision_banana.evaluation import figure, own_pictures, point_cloud, questions
from vision_banana.evaluation.own_pictures import Reply
from vision_banana.training import distributed, trained

MILLIMETRES = 1000
LARGEST = 65535  # of a 16-bit PNG


def run(arguments: argparse.Namespace) -> list[Reply]:
    """Asks, writes the answers and prints what they say.

    Raises:
      ValueError, OSError: a picture, prompt, task or run that cannot be used.
    """
    shown = [pictures.read(path) for path in arguments.image]
    asked = _questions(arguments, len(shown))
    at = _point(arguments.at, shown, asked)
    point_cloud.focal_length(1, arguments.fov)
    model, params, config, step = trained.load(arguments.workdir, language.describe())
    replies = own_pictures.ask(
        model, params, asked, shown,
        size=config["data"]["size"], seed=arguments.seed, steps=arguments.steps,
        solver=arguments.solver, text_guidance=arguments.text_guidance,
        reference_guidance=arguments.reference_guidance,
    )  # fmt: skip
    if jax.process_index() > 0:
        return replies
    folder = pathlib.Path(arguments.output or pathlib.Path(arguments.workdir) / "samples")
    folder.mkdir(parents=True, exist_ok=True)
    print(f"weights of step {step}; answers in {folder}")
    for reply in replies:
        used = shown if reply.question.task == "image_editing" else shown[:1]
        _write(folder, reply, used, arguments.fov)
        print(f"{reply.question.task}: {reply.question.prompt}")
        for line in _said(reply, at, arguments.fov):
            print(f"    {line}")
    return replies


def _questions(arguments: argparse.Namespace, count: int) -> list[questions.Question]:
    """What is asked: the prompt, a task's default prompt, or every task's."""
    if arguments.prompt is None and arguments.task is None:
        if not count:
            raise ValueError("nothing is asked: give --prompt, --task or --image")
        return questions.everything(count)
    if arguments.prompt is None:
        return [questions.default(arguments.task, count)]
    task = arguments.task or questions.recognise(arguments.prompt, count)
    questions.check(task, count)
    return [questions.Question(task, arguments.prompt)]


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


def _said(reply: Reply, at: tuple[int, int] | None, fov_degrees: float) -> list[str]:
    """An answer in words."""
    lines = [figure.summary(reply)] if figure.summary(reply) else []
    if "depth" not in reply.answer:
        return lines
    if at is not None:
        x, y = at
        metres, sure = reply.answer["depth"][0, y, x], reply.answer["confidence"][0, y, x]
        far = "infinitely far" if np.isinf(metres) else f"{metres:.2f} m"
        lines.append(f"at {x},{y}: {far} (confidence {sure:.2f})")
    return [*lines, f"depth_points.ply assumes a field of view of {fov_degrees:g} degrees across"]


def _write(
    folder: pathlib.Path, reply: Reply, shown: Sequence[np.ndarray], fov_degrees: float
) -> None:
    """Writes what was drawn, the decoded arrays, and a picture for people."""
    name = reply.question.task
    _save(folder / f"{name}_rgb.png", np.rint(np.clip(reply.rgb, 0, 1) * 255).astype(np.uint8))
    _save(folder / f"{name}.png", figure.compose(reply, shown))
    arrays = {key: value[0] for key, value in reply.answer.items()}
    legend: dict[str, Any] = arrays.pop("legends", None) or {}
    if "names" in arrays:  # text arrays need no pickle, other objects would
        arrays["names"] = np.array(arrays["names"], str)
    if legend:
        arrays["legend_names"] = np.array(list(legend), str)
        arrays["legend_colors"] = np.array(list(legend.values()), np.uint8)
    np.savez_compressed(folder / f"{name}.npz", prompt=reply.question.prompt, **arrays)
    if "depth" in arrays:
        _save(folder / "depth_mm.png", millimetres(arrays["depth"]))
        points = point_cloud.unproject(arrays["depth"], fov_degrees)
        ply = point_cloud.ply(points, shown[0].reshape(-1, 3))
        (folder / "depth_points.ply").write_bytes(ply)


def millimetres(depth_m: np.ndarray) -> np.ndarray:
    """Depth as 16-bit pictures hold it.

    Args:
      depth_m: (H, W) metres.

    Returns:
      (H, W) uint16 millimetres, 0 where the depth is unknown, infinite or too far for 16 bits
      (65.5 m and more).
    """
    scaled = np.rint(np.asarray(depth_m, np.float64) * MILLIMETRES)
    with np.errstate(invalid="ignore"):
        known = np.isfinite(scaled) & (scaled >= 0) & (scaled <= LARGEST)
    return np.where(known, scaled, 0).astype(np.uint16)


def _save(path: pathlib.Path, levels: np.ndarray) -> None:
    Image.fromarray(levels).save(path)


class _Parser(argparse.ArgumentParser):
    """Reports a mistake in one sentence."""

    def error(self, message: str) -> NoReturn:
        """Prints the message and exits with code 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    made = _Parser(
        prog="python -m vision_banana.sample",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("--workdir", required=True, help="folder of a trained run")
    add("--prompt", help="what to draw or to ask; the task is recognised from its wording")
    add("--image", action="append", default=[], help="a picture; twice for an edit with two")
    add("--task", help="ask for this task, with its own wording where there is no --prompt")
    add("--at", metavar="X,Y", help="print the metres at this pixel, counted from the top left")
    add("--fov", type=float, default=60.0, help="horizontal field of view in degrees (60)")
    add("--steps", type=int, default=1, help="sampling steps (1; pictures want more, 20)")
    add("--solver", default="euler", help="euler or heun")
    add("--seed", type=int, default=0, help="of the noise (0)")
    add("--text_guidance", type=float, default=1.0, help="weight of the prompt, 1 for none")
    add("--reference_guidance", type=float, default=1.0, help="weight of pictures, 1 for none")
    add("--output", help="folder of the answers (samples in the workdir)")
    distributed.add_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    logging.set_verbosity(logging.ERROR)
    arguments = parser().parse_args(argv)
    try:
        distributed.initialize_from(arguments)
        run(arguments)
    except (ValueError, OSError) as error:
        print(f"sample: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
