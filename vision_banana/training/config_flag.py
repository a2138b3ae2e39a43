"""The flag `--config` of the commands that take an experiment; one process may load them all."""

import pathlib
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from absl import app, flags
from ml_collections import config_flags

from vision_banana import _bad_input

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, configs/NAME.py.")
NEEDED = {"config": "FILE", "workdir": "FOLDER", "topology": "KIND:SHAPE"}  # of some command
HELP = {"-h", "--h", "-help", "--help", "-helpshort", "--helpshort"}


def parse(argv: list[str]) -> list[str]:
    """Reads a command's flags, and the config that they name and change.

    Args:
      argv: the program's name and its arguments.

    Returns:
      What is no flag.

    Raises:
      SystemExit: with 0 where help is asked for; with 2 and one line, where a flag, the config's
        file or one of its keys is wrong, or something is no flag.
    """
    _bad_input.hear()
    if HELP & set(argv):
        app.usage(shorthelp=True, writeto_stdout=True)
        raise SystemExit(0)  # absl says 1
    try:
        rest = flags.FLAGS(argv)
        CONFIG.value.to_dict()  # a file that is missing is told only where it is used
    except (flags.Error, OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error).strip()
        if "Traceback" in text:  # of a config that refused what it was given
            text = _in_words(text.splitlines()[-1], argv)
        else:
            text = _unknown_file(argv) or _unknown_key(argv) or _in_words(text, argv)
        _stop(argv[0], text)
    if rest[1:]:
        _stop(argv[0], f"unexpected arguments: {' '.join(rest[1:])}")
    return rest


def _in_words(text: str, argv: Sequence[str]) -> str:
    """What absl and Python say, for who has not read either."""
    if missing := re.findall(r"flag --(\w+)=None", text):
        return f"missing: {' '.join(f'--{name} {NEEDED[name]}' for name in missing)}"
    if "get_config() takes 0 " in text:
        return f"--config {_named(argv)}: this config takes nothing behind a colon"
    return text


def _stop(command: str, text: str) -> NoReturn:
    print(f"{command}: {' '.join(text.split())}", file=sys.stderr)
    raise SystemExit(2)


def _named(argv: Sequence[str]) -> str:
    """What `--config` names: a file, perhaps with a colon and what it is told."""
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        if found := re.fullmatch(r"--?config(=(.*))?", word):
            return found[2] if found[1] else following
    return ""


def _unknown_file(argv: Sequence[str]) -> str:
    """Says that the config's file is missing, and which are near; empty where it is there."""
    file = pathlib.Path(_named(argv).partition(":")[0])
    if not file.name or file.is_file():
        return ""
    others = sorted(map(str, file.parent.glob("*.py")))
    remedy = _bad_input.nearest_or_all(file, others) if others else "write configs/NAME.py"
    return f"--config {file}: there is no such file; {remedy}"


def _unknown_key(argv: Sequence[str]) -> str:
    """Says which key the config lacks, and which are near; empty where it has all."""
    try:
        loaded: Any = flags.FLAGS["config"].parser.parse(_named(argv))
        config = loaded.to_dict()
    except (OSError, TypeError, ValueError):  # the file is not at fault for its keys
        return ""
    for word in argv:
        changed = re.match(r"--?(?:no)?config\.([^=\[]+)", word)
        section, place = config, "config"
        for key in changed[1].split(".") if changed else ():
            if not isinstance(section, Mapping):
                return f"{place} is {section!r}, which has no keys: {word} changes nothing"
            if key not in section:
                return f"{place} has no key {key!r}; {_bad_input.nearest_or_all(key, section)}"
            section, place = section[key], f"{place}.{key}"
    return ""
