"""The flag `--config` of the commands that take an experiment; one process may load them all."""

import sys

from absl import flags
from ml_collections import config_flags

CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, configs/NAME.py.")


def parse(argv: list[str]) -> list[str]:
    """Reads a command's flags, and the config that they name and change.

    Args:
      argv: the program's name and its arguments.

    Returns:
      What is no flag.

    Raises:
      SystemExit: with 2 and one line, where a flag, the config's file or one of its keys is wrong.
    """
    try:
        rest = flags.FLAGS(argv)
        CONFIG.value.to_dict()  # a file that is missing is told only where it is used
    except (flags.Error, OSError, LookupError, AttributeError, TypeError, ValueError) as error:
        text = str(error.args[0] if error.args else error).strip()
        if "Traceback" in text:  # of a config that refused what it was given
            text = text.splitlines()[-1]
        print(f"{argv[0]}: {' '.join(text.split())}", file=sys.stderr)
        raise SystemExit(2) from error
    return rest
