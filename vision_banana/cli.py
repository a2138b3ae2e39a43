"""The command line.

    vision-banana depth photo.jpg
    vision-banana train --config configs/pocket.py --workdir runs/pocket

A task asks the packaged generator, or the one that `--checkpoint` or `--workdir` names, and takes
the options of `vision-banana sample`. The other commands are those of `python -m vision_banana.X`.
"""

import importlib
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
      takes: what follows the command, in order, as options of `sample`.
      example: what may follow the command.
      optional: how many of `takes` may be missing.
    """

    task: str
    takes: tuple[str, ...]
    example: str
    optional: int = 0

    @property
    def usage(self) -> str:
        """What follows the command, in capitals, in brackets where it may be missing."""
        words = [option.removeprefix("--").upper() for option in self.takes]
        needed = len(words) - self.optional
        return " ".join([*words[:needed], *(f"[{word}]" for word in words[needed:])])


SHORTCUTS = {
    "depth": Shortcut("depth", ("--image",), "photo.jpg --at 120,80"),
    "normals": Shortcut("surface_normals", ("--image",), "photo.jpg"),
    "segment": Shortcut(
        "semantic_segmentation",
        ("--image", "--prompt"),
        'photo.jpg "cube: red, sphere: blue, background: black"',
        optional=1,
    ),
    "instances": Shortcut(
        "instance_segmentation",
        ("--image", "--prompt"),
        'photo.jpg "Color each cube differently. Background: black."',
        optional=1,
    ),
    "regions": Shortcut(
        "referring_segmentation",
        ("--image", "--prompt"),
        'photo.jpg "The largest object is rendered red."',
        optional=1,
    ),
    "edit": Shortcut("image_editing", ("--image", "--prompt"), 'photo.jpg "make the cube blue"'),
    "generate": Shortcut("image_generation", ("--prompt",), '"a red cube in a room" --seed 3'),
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
            command, shortcut = f"vision-banana {name}", SHORTCUTS[name]
            with _bad_input.exits(command):
                asked = sample_arguments(name, rest)
            sample = importlib.import_module("vision_banana.sample")
            sample.main(
                asked,
                sample.parser(
                    command,
                    f"{command} {shortcut.usage} [option ...]",
                    f"For example: {command} {shortcut.example}",
                ),
            )
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
    try:
        runpy.run_module(f"vision_banana.{name}", run_name="__main__", alter_sys=True)
    finally:
        sys.argv = before


def sample_arguments(name: str, rest: Sequence[str]) -> list[str]:
    """A shortcut's arguments as those of `sample`.

    Raises:
      ValueError: too few or too many words before the options.
    """
    shortcut = SHORTCUTS[name]
    options = [x for x in rest if x.startswith("-")]
    if "-h" in options or "--help" in options:
        return ["--help"]
    first = rest.index(options[0]) if options else len(rest)
    words, others = rest[:first], list(rest[first:])
    if not len(shortcut.takes) - shortcut.optional <= len(words) <= len(shortcut.takes):
        raise ValueError(
            f"write `vision-banana {name} {shortcut.usage}`, options behind; got {len(words)}"
        )
    given = {option.partition("=")[0] for option in options}
    if not given & {"--checkpoint", "--workdir"}:
        others += ["--checkpoint", "pocket"]
    asked = [f"{option}={word}" for option, word in zip(shortcut.takes, words, strict=False)]
    return ["--task", shortcut.task, *asked, *others]


def _help() -> str:
    tasks = "\n".join(f"    vision-banana {name} {x.example}" for name, x in SHORTCUTS.items())
    return (
        f"{(__doc__ or '').strip()}\n\ntasks, each with an example:\n\n{tasks}\n\n"
        f"commands: {', '.join(COMMANDS)}; `vision-banana COMMAND --help` for each"
    )


if __name__ == "__main__":
    raise SystemExit(main())
