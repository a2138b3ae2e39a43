"""The arguments of the evaluate command."""

import argparse
import os
from collections.abc import Sequence

from vision_banana.evaluation import arguments as asking
from vision_banana.evaluation import benchmarks
from vision_banana.evaluation.predict import DRAWING_GUIDANCE
from vision_banana.tasks import TASKS
from vision_banana.training import distributed, weights_arguments


def parse(argv: Sequence[str], description: str | None = None) -> argparse.Namespace:
    """Reads the command line; an argument that makes no sense exits with status 2.

    Args:
      argv: the words behind the command.
      description: what its help says first.
    """
    parser = weights_arguments.parser_of("vision_banana.evaluate", description)
    add = parser.add_argument
    add("--benchmark", default="scenes", choices=sorted(benchmarks.BENCHMARKS))
    add(
        "--data",
        type=os.path.expanduser,
        default="",
        help="folder of a released benchmark's data",
    )
    add(
        "--check",
        choices=sorted(n for n, row in benchmarks.BENCHMARKS.items() if row.training is None),
        help="say what is missing or damaged in DATA for this benchmark, and score nothing",
    )
    add("--count", type=_positive, default=0, help="records to score (default: the benchmark's)")
    add("--steps", type=_steps, default=(1, 4, 20), help="numbers of sampling steps, as in 1,4,20")
    add("--tasks", type=_tasks, default=(), help="names with commas (default: the benchmark's)")
    add("--seed", type=asking.seed, default=0, help="of prompts and noise")
    add(
        "--text_guidance",
        type=float,
        default=DRAWING_GUIDANCE,
        help=f"weight of the text in image generation (default: {DRAWING_GUIDANCE})",
    )
    add("--votes", type=_positive, default=1, help="how often each question is asked")
    add("--apart", action="store_true", help="ask each region of a referring prompt on its own")
    add(
        "--classes_at_once",
        type=_positive,
        default=0,
        help="most classes of a semantic prompt; more are asked in parts (default: all that fit)",
    )
    add(
        "--answered_at",
        type=_positive,
        default=0,
        help="side of the square that a picture is resized to (default: the generator's); a "
        "larger one is answered in overlapping tiles",
    )
    add(
        "--present",
        metavar="MODULE:FUNCTION",
        help="a judge, (picture, phrase) -> bool; what it finds absent is not asked for",
    )
    add(
        "--rewrite",
        metavar="MODULE:FUNCTION",
        help="puts phrases and expressions in other words, phrase -> phrase",
    )
    add("--shard", type=_shard, default=(0, 1), help="this process's part, as in 0/4")
    add(
        "--save_predictions",
        type=os.path.expanduser,
        default="",
        help="folder that gets every decoded answer",
    )
    add(
        "--fit_calibration",
        action="store_true",
        help="learn what confidences are worth, on records that are not scored; score nothing",
    )
    add(
        "--output",
        type=os.path.expanduser,
        help="file that gets the lines (default: WORKDIR/results.jsonl)",
    )
    distributed.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.check and not arguments.data:
        parser.error("--data is needed: the folder to check")
    if benchmarks.BENCHMARKS[arguments.benchmark].source.get("root") == "" and not arguments.data:
        parser.error(f"--data is needed: the folder of {arguments.benchmark}'s files")
    return arguments


def _steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write numbers as in 1,4,20") from error
    if min(steps) < 1 or len(set(steps)) < len(steps):
        raise argparse.ArgumentTypeError(f"{text!r}: each must be 1 or more and differ")
    return steps


def _tasks(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no task: use {', '.join(TASKS)}")
    return names


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: write a shard as 0/4, 1/4, 2/4 or 3/4")
    return int(number), int(of)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of 1 or more")
    return int(text)
