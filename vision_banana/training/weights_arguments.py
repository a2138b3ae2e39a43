"""The arguments that say whose weights a command uses."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from vision_banana import _bad_input, _progress
from vision_banana.training import pretrained, trained
from vision_banana.training.trained import Trained


def parser_of(module: str, description: str | None) -> _bad_input.Parser:
    """The parser of `python -m MODULE`, with the arguments that `add` adds."""
    parser = _bad_input.Parser(prog=f"python -m {module}", description=description)
    add(parser)
    return parser


def add(parser: argparse.ArgumentParser) -> None:
    """Adds `--workdir` and `--checkpoint`, of which one can be given."""
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--workdir", help="folder of a trained run")
    either.add_argument(
        "--checkpoint",
        help=f"weights to use: packaged ({', '.join(pretrained.PACKAGED)}), a folder made by "
        f"vision_banana.export, or {pretrained.HUB}owner/name on the Hugging Face hub",
    )


def load(arguments: argparse.Namespace, language: Mapping[str, Any]) -> Trained:
    """Loads what the arguments name; see `trained.load` and `pretrained.load`.

    Raises:
      ValueError: besides theirs, where neither argument was given.
    """
    _check(arguments)
    with _progress.stage("loading the weights"):
        if arguments.workdir is not None:
            return trained.load(arguments.workdir, language)
        return pretrained.load(arguments.checkpoint, language)


def results_folder(arguments: argparse.Namespace) -> str:
    """Where a command's results go: the run's own folder, or `runs/NAME` for a checkpoint.

    Raises:
      ValueError: where neither argument was given.
    """
    _check(arguments)
    if arguments.workdir is not None:
        return arguments.workdir
    name = arguments.checkpoint.partition("@")[0]
    return os.path.join("runs", os.path.basename(os.path.normpath(name)))


def _check(arguments: argparse.Namespace) -> None:
    if arguments.workdir is None and arguments.checkpoint is None:
        raise ValueError(
            "no weights are named: give --workdir, the folder of a trained run, or --checkpoint, "
            f"for example --checkpoint {pretrained.PACKAGED[0]}"
        )
