"""What can be launched on: a protocol that TPU slices and clusters implement."""

import re
from collections.abc import Sequence
from typing import Protocol

from experiments.launch.shell import Shell

_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")


class Target(Protocol):
    """Machines that are created, run one command on all hosts, and are deleted.

    Every method but the last three runs commands and raises `shell.Failed` where one ends badly.
    """

    def create(self, shell: Shell) -> None:
        """Creates the machines and waits until they are there."""

    def install(self, shell: Shell) -> None:
        """Brings the last commit of this checkout to them."""

    def run(self, shell: Shell, command: Sequence[str]) -> None:
        """Starts a command on every host; it goes on when this process ends."""

    def follow(self, shell: Shell) -> None:
        """Waits until the command has ended; Failed with its exit code if it is not 0."""

    def logs(self, shell: Shell, folder: str) -> None:
        """Fetches what every host printed into a folder."""

    def delete(self, shell: Shell) -> None:
        """Deletes the machines."""

    def find(self) -> list[str]:
        """A command that prints a name if such machines are there already, and nothing else."""

    def look(self) -> list[str]:
        """The command that lists what is there."""

    def removal(self) -> list[list[str]]:
        """The commands that delete it."""


def check_name(name: str, what: str) -> str:
    """A name that Google Cloud takes, or a ValueError that says what it must be."""
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} is {name!r}: lower-case letters, digits and hyphens, a letter first and no "
            "hyphen last, at most 40"
        )
    return name
