"""How a command answers input that it cannot work with."""

import argparse
import contextlib
import contextvars
import difflib
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

INTERRUPTED = 130  # the shell's exit code of Ctrl-C
CALLED = contextvars.ContextVar("called", default="")  # as what `vision-banana` runs a command


@contextlib.contextmanager
def exits(command: str) -> Iterator[None]:
    """Turns an error that the user can mend into one line and the exit code 2, Ctrl-C into 130.

    Args:
      command: its name, at the head of the line.

    Raises:
      SystemExit: for a ValueError (what was asked for), an OSError (files and network), an
        ImportError (an extra that is not installed) or a KeyboardInterrupt.
    """
    hear()
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        print(f"{command}: {' '.join(str(error).split())}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt as stop:
        print(f"\n{command}: interrupted", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from stop


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Lets Ctrl-C end the process at once while libraries are imported, which may swallow it."""
    before = signal.getsignal(signal.SIGINT)
    changes = before is signal.default_int_handler and _is_main_thread()
    if changes:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if changes:
            signal.signal(signal.SIGINT, before)


def hear() -> None:
    """Lets Ctrl-C raise KeyboardInterrupt again, where `unheard` has changed that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL and _is_main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def nearest(name: object, names: Iterable[str]) -> str:
    """Asks whether the names most like an unknown one were meant; empty where none is like it."""
    near = difflib.get_close_matches(str(name), names)
    return f"did you mean {' or '.join(near)}?" if near else ""


def nearest_or_all(name: object, names: Iterable[str]) -> str:
    """What to say of an unknown name: those most like it, else all that there are."""
    known = [str(x) for x in names]
    return nearest(name, known) or f"it must be one of {', '.join(known)}"


class Parser(argparse.ArgumentParser):
    """Reads a command's arguments: names in full, and a mistake is one sentence."""

    def __init__(self, **options: Any) -> None:
        """Takes argparse's options; the description, a docstring, keeps its lines.

        The name is the one by which the command was called, where `vision-banana` called it.
        """
        if called := CALLED.get():
            options["prog"] = called
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        options.setdefault("allow_abbrev", False)
        super().__init__(**options)

    def error(self, message: str) -> NoReturn:
        """Prints the message, with the options nearest to an unknown one; exits with code 2."""
        if unknown := re.match(r"unrecognized arguments: ([^\s=]+)", message):
            message += f"; {nearest(unknown[1], self._option_string_actions) or 'see --help'}"
        self.exit(2, f"{self.prog}: {' '.join(message.split())}\n")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            raise argparse.ArgumentError(
                action, f"{value!r} is unknown; {nearest_or_all(value, action.choices)}"
            )
