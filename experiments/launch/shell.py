"""Commands of other programs: run, or printed in a dry run."""

import shlex
import subprocess
from collections.abc import Sequence


class Failed(Exception):
    """A command that ended badly.

    Attributes:
      code: its exit code.
    """

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Shell:
    """Runs commands one by one, each printed before it runs.

    A command is a list of words and never passes through a local shell, so that no word is taken
    apart. What is printed can be pasted into one.

    Args:
      dry_run: whether commands are printed only.
    """

    def __init__(self, dry_run: bool = False) -> None:
        self.dry_run = dry_run

    def say(self, text: str) -> None:
        """Prints a remark, which a shell would take for a comment."""
        print("\n".join(f"# {line}" for line in text.splitlines()), flush=True)

    def run(self, command: Sequence[str], to: str = "") -> None:
        """Runs a command; `to` names a file that gets its output.

        Raises:
          Failed: it ended with another code than 0, or there is no such program.
        """
        print(shlex.join(command) + (f" > {shlex.quote(to)}" if to else ""), flush=True)
        if self.dry_run:
            return
        if to:
            with open(to, "wb") as file:
                self._checked(command, stdout=file)
        else:
            self._checked(command)

    def ask(self, command: Sequence[str]) -> str:
        """What a command prints, stripped; empty in a dry run. Raises as `run` does."""
        print(shlex.join(command), flush=True)
        if self.dry_run:
            return ""
        return self._checked(command, stdout=subprocess.PIPE).stdout.decode().strip()

    def _checked(self, command: Sequence[str], **options: object) -> subprocess.CompletedProcess:
        try:
            done = subprocess.run(command, check=False, **options)  # type: ignore[call-overload]
        except FileNotFoundError as error:
            raise Failed(
                f"there is no program {command[0]!r}; experiments/launch/README.md says what to "
                "install",
                127,
            ) from error
        if done.returncode:
            words = " ".join(command[:5])
            raise Failed(f"{words} ... ended with code {done.returncode}", done.returncode)
        return done
