"""The command line.

    vision-banana depth photo.jpg
    vision-banana edit photo.jpg "make the cube blue"
    vision-banana generate "a red cube in a room" --seed 3
    vision-banana train --config configs/pocket.py --workdir runs/pocket

A task asks the packaged generator, or the one that `--checkpoint` or `--workdir` names, and takes
the options of `vision-banana sample`. The other commands are those of `python -m vision_banana.X`.
"""

import difflib
import importlib
import pathlib
import pkgutil
import runpy
import sys
from collections.abc import Sequence
from typing import NamedTuple

from vision_banana import _bad_input

# Every file beside this one is a command.
COMMANDS = tuple(
    module.name
    for module in pkgutil.iter_modules([str(pathlib.Path(__file__).parent)])
    if not module.ispkg and module.name != "cli" and not module.name.startswith("_")
)


class Shortcut(NamedTuple):
    """A task as a command.

    Attributes:
      task: its name.
      takes: what follows the command, in order, as options of `sample`.
      optional: how many of these may be missing.
    """

    task: str
    takes: tuple[str, ...]
    optional: int = 0


SHORTCUTS = {
    "depth": Shortcut("depth", ("--image",)),
    "normals": Shortcut("surface_normals", ("--image",)),
    "segment": Shortcut("semantic_segmentation", ("--image", "--prompt"), 1),
    "instances": Shortcut("instance_segmentation", ("--image", "--prompt"), 1),
    "regions": Shortcut("referring_segmentation", ("--image", "--prompt"), 1),
    "edit": Shortcut("image_editing", ("--image", "--prompt")),
    "generate": Shortcut("image_generation", ("--prompt",)),
}
INTERRUPTED = 130  # the shell's exit code of Ctrl-C


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
            with _bad_input.exits(f"vision-banana {name}"):
                asked = sample_arguments(name, rest)
            importlib.import_module("vision_banana.sample").main(asked)
            return 0
    except KeyboardInterrupt:
        print(f"\nvision-banana {name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    near = difflib.get_close_matches(name, (*COMMANDS, *SHORTCUTS))
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    print(f"vision-banana: there is no command {name!r}; {meant}See --help", file=sys.stderr)
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
    usage = " ".join(x.removeprefix("--").upper() for x in shortcut.takes)
    if not len(shortcut.takes) - shortcut.optional <= len(words) <= len(shortcut.takes):
        raise ValueError(f"write `vision-banana {name} {usage}`, options behind; got {len(words)}")
    given = {option.partition("=")[0] for option in options}
    if not given & {"--checkpoint", "--workdir"}:
        others += ["--checkpoint", "pocket"]
    asked = [f"{option}={word}" for option, word in zip(shortcut.takes, words, strict=False)]
    return ["--task", shortcut.task, *asked, *others]


def _help() -> str:
    return (
        f"{(__doc__ or '').strip()}\n\ntasks:    {', '.join(SHORTCUTS)}\n"
        f"commands: {', '.join(COMMANDS)}; `vision-banana COMMAND --help` for each"
    )


if __name__ == "__main__":
    raise SystemExit(main())
