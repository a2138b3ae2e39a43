"""Runs a command of this project on Cloud TPU, and deletes what it ran on.

    python -m experiments.launch slice all --project P --zone us-west4-a --name run-1 \
        --accelerator v5litepod-16 -- python -m vision_banana.train --config ... --workdir gs://...

The target is `slice` (one slice, at once), `queue` (one or several slices, by the queue) or `gke`
(a cluster, by xpk); the action is `all`, or one of its steps: `create`, `install`, `run` (starts
the command on every host), `follow` (until it ends), `logs`, `delete`. `all` deletes in the end
whatever happens, unless `--keep` is given. `--dry_run` prints every command and runs none. Where
something fails, the last lines say what may still be there and cost money, and the command that
deletes it. README.md beside this file begins with an empty project.
"""

import argparse
import contextlib
import functools
import io
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from experiments.launch import accelerators
from experiments.launch.gke import Cluster
from experiments.launch.shell import Failed, Shell
from experiments.launch.target import Target
from experiments.launch.tpu_vm import Slices
from vision_banana import _bad_input
from vision_banana.pods.chips import PRICES

STEPS = ("create", "install", "run", "follow", "logs", "delete")
INTERRUPTED = 130  # the shell's exit code of Ctrl-C
# Options that not every target takes.
ONLY = {
    "runtime": ("slice", "queue"),
    "valid_for": ("queue",),
    "cluster": ("gke",),
    "image": ("gke",),
    "reservation": ("gke",),
}


def step(target: Target, shell: Shell, name: str, command: Sequence[str], logs: str) -> None:
    """Does one step. Raises Failed where a command ends badly."""
    if name == "run":
        target.run(shell, command)
    elif name == "logs":
        target.logs(shell, logs)
    else:
        getattr(target, name)(shell)


def left(target: Target) -> str:
    """Says what may still be there."""
    removal = "\n".join(f"    {shlex.join(command)}" for command in target.removal())
    return (
        f"IT MAY STILL BE THERE AND COST MONEY. Look:\n    {shlex.join(target.look())}\n"
        f"Delete:\n{removal}"
    )


def ended(error: BaseException) -> int:
    """The exit code of a step that an error has ended: the command's own where it was one."""
    if isinstance(error, Failed):
        return error.code
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else 1


def all_steps(target: Target, shell: Shell, command: Sequence[str], logs: str, keep: bool) -> int:
    """Does every step, and the last even where one before it fails; returns the exit code.

    Refuses where machines of that name are there already, which it would delete in the end.
    """
    code, reached = 0, ""
    try:
        shell.say("prints nothing, unless there is one of that name already:")
        there = shell.ask(target.find())
    except Failed as error:
        print(f"launch: nothing was created: {error}", file=sys.stderr)
        return error.code
    if there:
        print(
            f"launch: {there} is there already, and `all` would delete it: choose another name, or "
            "do the steps one by one",
            file=sys.stderr,
        )
        return 2
    try:
        for name in STEPS[: STEPS.index("logs")]:
            reached = name
            step(target, shell, name, command, logs)
    except (Failed, OSError) as error:
        code = ended(error)
        print(f"launch: {reached} failed: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        code = INTERRUPTED
        print(f"launch: interrupted while it did {reached}", file=sys.stderr)
    last = ["logs"] if reached in ("run", "follow") else []
    for name in last if keep else [*last, "delete"]:
        try:
            step(target, shell, name, command, logs)
        except (Failed, OSError, KeyboardInterrupt) as error:
            code = code or ended(error)
            print(f"launch: {name} failed: {error}", file=sys.stderr)
            if name == "delete":
                print(left(target), file=sys.stderr)
    if keep:
        shell.say(left(target))
    return code


def build(arguments: argparse.Namespace) -> Target:
    """The target that the arguments describe; raises ValueError where they make no sense."""
    common: dict[str, Any] = {
        name: getattr(arguments, name)
        for name in ("name", "project", "zone", "accelerator", "slices", "spot")
    }
    for option, targets in ONLY.items():
        if getattr(arguments, option) and arguments.target not in targets:
            raise ValueError(
                f"--{option} is for {' and '.join(targets)}; {arguments.target} would ignore it"
            )
    if arguments.target == "gke":
        if not arguments.image:
            raise ValueError("--image is needed: where the container image goes")
        return Cluster(
            **common, cluster=arguments.cluster or arguments.name, image=arguments.image,
            reservation=arguments.reservation,
        )  # fmt: skip
    return Slices(
        **common, queued=arguments.target == "queue", runtime=arguments.runtime,
        valid_for=arguments.valid_for,
    )  # fmt: skip


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """Reads the command line: the launcher's arguments, and the command behind `--`."""
    own, command = list(argv), []
    if "--" in own:
        at = own.index("--")
        own, command = own[:at], own[at + 1 :]
    parser = _bad_input.Parser(
        prog="python -m experiments.launch",
        description=__doc__,
    )
    add = parser.add_argument
    add("target", choices=("slice", "queue", "gke"))
    add("action", choices=("all", *STEPS))
    add("--name", required=True, help="of the slice, the queued resource or the workload")
    add("--project", required=True, help="the Google Cloud project")
    add("--zone", required=True, help="where the machines are")
    add("--accelerator", required=True, help="type of a slice, as in v5litepod-16")
    add("--slices", type=int, default=1, help="how many slices (queue and gke)")
    add("--spot", action="store_true", help="cheaper machines that can be taken away at any time")
    add("--price", type=float, help=f"US dollars for a chip-hour, see {PRICES}")
    add("--logs", default="logs", help="folder that gets the hosts' logs")
    add("--keep", action="store_true", help="`all` deletes nothing in the end")
    add("--dry_run", action="store_true", help="print every command, run none")
    add("--runtime", default="", help="software version of the hosts (slice and queue)")
    add("--valid_for", default="", help="how long to wait at most, as in 6h (queue)")
    add("--cluster", default="", help="name of the cluster (gke; default: --name)")
    add("--image", default="", help="where the container image goes (gke)")
    add("--reservation", default="", help="name of a reservation (gke)")
    arguments = parser.parse_args(own)
    if arguments.action in ("all", "run") and not command:
        parser.error("the command to run is missing: write it behind --")
    return arguments, command


class Lasting:
    """A stream that goes on elsewhere where nobody reads it; `print` needs no more of one.

    Args:
      stream: what is written to, a terminal or a pipe perhaps.
      lost: puts something else in its place.
    """

    def __init__(self, stream: Any, lost: Callable[[], None]) -> None:
        self._stream, self._lost = stream, lost

    def write(self, text: str) -> int:
        """Writes; a terminal's stream passes on whole lines at once."""
        self._lastingly(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Passes on what is left."""
        self._lastingly(self._stream.flush)

    def _lastingly(self, act: Callable[[], object]) -> None:
        try:
            act()
        except OSError:
            # What cannot be said, on a full disk perhaps, must not stop what is done.
            with contextlib.suppress(OSError):
                self._lost()
                if isinstance(self._stream.buffer, io.RawIOBase):  # `python -u` keeps nothing
                    act()
                else:
                    self._stream.flush()  # what could not be passed on is still there


@contextlib.contextmanager
def _interrupted_by_signals(logs: str) -> Iterator[None]:
    """Within it SIGTERM and the end of the terminal (SIGHUP) interrupt as Ctrl-C does.

    Where the terminal is gone, or the command that was read through a pipe, what is said goes to
    the file launch.log in the folder of the logs.
    """
    shown = [stream for stream in (1, 2) if os.isatty(stream)]

    def lost(*streams: int) -> None:
        os.makedirs(logs, exist_ok=True)
        with open(os.path.join(logs, "launch.log"), "a") as file:
            for stream in streams:
                os.dup2(file.fileno(), stream)

    def interrupt(number: int, _: object) -> None:
        if number == signal.SIGHUP:
            signal.signal(number, signal.SIG_IGN)  # the shell and the system may both send it
            lost(*shown)
        raise KeyboardInterrupt

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)
    # The signal may come after the first word that the terminal no longer takes.
    out, err = (
        Lasting(stream, functools.partial(lost, number))
        for number, stream in ((1, sys.stdout), (2, sys.stderr))
    )
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):  # type: ignore[type-var]
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code, that of the command which ran where it failed."""
    arguments, command = parse(sys.argv[1:] if argv is None else argv)
    shell = Shell(arguments.dry_run)
    try:
        target = build(arguments)
    except ValueError as error:
        print(f"launch: {error}", file=sys.stderr)
        return 2
    if arguments.action in ("all", "create"):
        shell.say(accelerators.cost(arguments.accelerator, arguments.slices, arguments.price))
    began = time.monotonic()
    if arguments.action == "all":
        with _interrupted_by_signals(arguments.logs):  # then too it is deleted
            code = all_steps(target, shell, command, arguments.logs, arguments.keep)
        if not shell.dry_run:
            shell.say(f"{(time.monotonic() - began) / 3600:.2f} hours from beginning to end")
        return code
    try:
        step(target, shell, arguments.action, command, arguments.logs)
    except (Failed, OSError, KeyboardInterrupt) as error:
        what = str(error) or "interrupted"
        print(f"launch: {arguments.action} failed: {what}\n{left(target)}", file=sys.stderr)
        return ended(error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
