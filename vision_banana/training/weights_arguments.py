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
    """Adds `--workdir` and `--checkpoint`, of which one can be given; "~" is the home folder."""
    either = parser.add_mutually_exclusive_group()
    # A shell leaves the "~" of --workdir=~/runs as it is.
    either.add_argument("--workdir", type=os.path.expanduser, help="folder of a trained run")
    either.add_argument(
        "--checkpoint",
        type=os.path.expanduser,
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

    NAME is the last part of the checkpoint's folder or of its address, so that checkpoints of one
    name share a folder; what is written there says of which weights it is (`Trained.weights`).

    Raises:
      ValueError: where neither argument was given, or the checkpoint's folder has no name.
    """
    _check(arguments)
    if arguments.workdir is not None:
        return arguments.workdir
    place = arguments.checkpoint
    hub = place.startswith(pretrained.HUB)
    place = place.partition("@")[0] if hub else os.path.abspath(place)  # "." has a name too
    name = os.path.basename(os.path.normpath(place))
    if not name:
        raise ValueError(f"--checkpoint {arguments.checkpoint} is no folder with a name")
    return os.path.join("runs", name)


def _check(arguments: argparse.Namespace) -> None:
    if arguments.workdir is None and arguments.checkpoint is None:
        raise ValueError(
            "no weights are named: give --workdir, the folder of a trained run, or --checkpoint, "
            f"for example --checkpoint {pretrained.PACKAGED[0]}"
        )
