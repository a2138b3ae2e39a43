"""Starts the project's commands as processes that compile quickly."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

import xla_flags

ROOT = pathlib.Path(__file__).parents[1]
IGNORED = (signal.SIGINT, signal.SIGHUP)
CONFIG = ROOT / "experiments" / "restarts" / "config.py"


def environment(devices=1, **more):
    """Little optimised code; what is compiled is shared with the tests."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{xla_flags.devices(devices)} {xla_flags.QUICK}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        **more,
    }


def start(arguments, log, **options):
    """Starts `python ARGUMENTS`, whose output goes to a file; in the project's folder, or `cwd`."""
    with open(log, "ab") as file:
        command = [sys.executable, *map(str, arguments)]
        with heard():
            return subprocess.Popen(command, stdout=file, stderr=file, **({"cwd": ROOT} | options))


@contextlib.contextmanager
def heard():
    """What is started within it hears Ctrl-C and the end of its terminal.

    Tests that run in the background or under nohup ignore them, and what they start would too.
    """
    before = {number: signal.signal(number, signal.SIG_DFL) for number in IGNORED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def together(count):
    """Flags of `count` processes that run as one."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = found.getsockname()[1]
    return [
        [f"--coordinator_address=localhost:{port}", f"--num_processes={count}", f"--process_id={i}"]
        for i in range(count)
    ]
