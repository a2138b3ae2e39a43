"""How a command answers input that it cannot work with."""

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def exits(command: str) -> Iterator[None]:
    """Turns an error that the user can mend into one line and the exit code 2.

    Args:
      command: its name, at the head of the line.

    Raises:
      SystemExit: for a ValueError (what was asked for), an OSError (files and network) or an
        ImportError (an extra that is not installed).
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error
