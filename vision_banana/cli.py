"""The command line.

    vision-banana depth photo.jpg
    vision-banana train --config configs/pocket.py --workdir runs/my_pocket

A task asks the packaged generator, or the one that `--checkpoint` or `--workdir` names, and takes
the options of `vision-banana sample`. The other commands are those of `python -m vision_banana.X`.
"""

import argparse
import importlib
import os
import pathlib
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from typing import NamedTuple

from vision_banana import _bad_input

FOLDER = pathlib.Path(__file__).parent
# Every file beside this one is a command, and every folder that can be run.
COMMANDS = tuple(
    module.name
    for module in pkgutil.iter_modules([str(FOLDER)])
    if (not module.ispkg or (FOLDER / module.name / "__main__.py").exists())
    and module.name != "cli"
    and not module.name.startswith("_")
)


class Shortcut(NamedTuple):
    """A task as a command.

    Attributes:
      task: its name.
      example: what may follow the command.
      prompt: how its last word is called, in brackets where it may be missing; "" for none.
      shows: whether pictures stand before it.
    """

    task: str
    example: str
    prompt: str = ""
    shows: bool = True

    @property
    def usage(self) -> str:
        """The words that it takes beside options."""
        return f"{'IMAGE ... ' if self.shows else ''}{self.prompt}".strip()


SHORTCUTS = {
    "depth": Shortcut("depth", "photo.jpg --at 120,80"),
    "normals": Shortcut("surface_normals", "photo.jpg"),
    "segment": Shortcut(
        "semantic_segmentation",
        'photo.jpg "cube: red, sphere: blue, background: black"',
        "[PROMPT]",
    ),
    "instances": Shortcut(
        "instance_segmentation",
        'photo.jpg "Color each cube and each sphere differently."',
        "[PROMPT]",
    ),
    "regions": Shortcut(
        "referring_segmentation",
        'photo.jpg "The largest object is rendered red."',
        "[PROMPT]",
    ),
    "edit": Shortcut("image_editing", 'photo.jpg "make the cube blue"', "PROMPT"),
    "generate": Shortcut(
        "image_generation", '"a red cube in a room" --seed 3', "PROMPT", shows=False
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name, rest = (arguments[0], arguments[1:]) if arguments else ("--help", [])
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name == "--version":
        print(importlib.import_module("vision_banana").__version__)
        return 0
    try:
        if name in COMMANDS:
            _run(name, rest)
            return 0
        if name in SHORTCUTS:
            with _bad_input.unheard():
                sample = importlib.import_module("vision_banana.sample")
            command = f"vision-banana {name}"
            with _bad_input.exits(command):
                asked = sample_arguments(name, rest)
            sample.start(asked, command)
            return 0
    except KeyboardInterrupt:
        print(f"\nvision-banana {name}: interrupted", file=sys.stderr)
        return _bad_input.INTERRUPTED
    meant = _bad_input.nearest(name, (*COMMANDS, *SHORTCUTS)) or "see --help"
    print(f"vision-banana: there is no command {name!r}; {meant}", file=sys.stderr)
    return 2


def _run(name: str, rest: Sequence[str]) -> None:
    """Runs a command as `python -m` would; its exit code leaves as SystemExit."""
    before = sys.argv
    sys.argv = [f"vision-banana {name}", *rest]
    called = _bad_input.CALLED.set(sys.argv[0])
    try:
        with _bad_input.unheard():  # until the command hears, see `_bad_input.hear`
            runpy.run_module(f"vision_banana.{name}", run_name="__main__", alter_sys=True)
    finally:
        _bad_input.CALLED.reset(called)
        sys.argv = before


def sample_arguments(name: str, rest: Sequence[str]) -> argparse.Namespace:
    """A shortcut's arguments as those of `sample`, each picture asked about on its own.

    Raises:
      ValueError: too few or too many words beside the options, or one that can be no picture.
    """
    sample = importlib.import_module("vision_banana.sample")
    command, shortcut = f"vision-banana {name}", SHORTCUTS[name]
    usage = f"{command} {shortcut.usage} [option ...]"
    reader = sample.parser(command, usage, f"For example: {command} {shortcut.example}")
    reader.add_argument(
        "words", nargs="*", metavar=shortcut.usage, help="options may stand between"
    )
    asked = reader.parse_intermixed_args(rest)
    right = f"write `{command} {shortcut.usage}`"
    right += ", a prompt in quotes or behind --prompt" if shortcut.prompt else ""
    words, others = list(asked.words), asked.image if shortcut.shows else []
    if shortcut.prompt and asked.prompt is None and _ends_in_prompt(words, others, shortcut.shows):
        asked.prompt = words.pop()
    needs_prompt = shortcut.prompt == "PROMPT" and asked.prompt is None
    if bool(words or others) != shortcut.shows or needs_prompt:
        raise ValueError(f"{right}; got {len(asked.words)} words")
    for word in words:
        if not (_is_picture(word) or "://" in word or os.path.exists(os.path.expanduser(word))):
            raise ValueError(f"{word!r} names no picture: {right}")
    if asked.checkpoint is None and asked.workdir is None:
        asked.checkpoint = "pocket"
    asked.each, asked.task = words, asked.task or shortcut.task
    return asked


def _ends_in_prompt(words: Sequence[str], others: Sequence[str], shows: bool) -> bool:
    """Whether the last word, beside a picture where there is one, is none itself."""
    if not shows or not words:
        return bool(words)
    return len(words) + len(others) > 1 and not _is_picture(words[-1])


def _is_picture(word: str) -> bool:
    endings = importlib.import_module("vision_banana.data.pictures").ENDINGS
    # Unlike pathlib's, this `isfile` takes a prompt that is too long to be a name.
    return pathlib.Path(word).suffix.lower() in endings or os.path.isfile(word)


def _help() -> str:
    tasks = "\n".join(f"    vision-banana {name} {x.example}" for name, x in SHORTCUTS.items())
    return (
        f"{(__doc__ or '').strip()}\n\ntasks, each with an example:\n\n{tasks}\n\n"
        f"commands: {', '.join(COMMANDS)}; `vision-banana COMMAND --help` for each"
    )


if __name__ == "__main__":
    raise SystemExit(main())
