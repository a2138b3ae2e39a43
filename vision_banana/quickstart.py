"""The main job, end to end: pre-train, instruction-tune, sample, decode, score, report.

    python -m vision_banana.quickstart

A short timed probe picks the number of training steps for this machine and stores it in
`probe.json`; where training turns out slower than that, the phases that are left get fewer steps.
Given the numbers (`--probe FILE`) a run can be repeated exactly. Every other part is a command of
its own, printed before it runs. The same command again goes on where it was interrupted.
"""

import argparse
import itertools
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from configs import quickstart as config_lib
from vision_banana import _bad_input
from vision_banana.data import pipeline
from vision_banana.training import (
    folders,
    json_lines,
    memory,
    program_cache,
    sharding,
    train_state,
    train_step,
)
from vision_banana.training import run as run_lib

SHARES = {"pretrain": 0.06, "words": 0.34, "tune": 0.6}  # of the training time
MINUTES = 14.0  # for everything
SCORED = 64  # held-out scenes
STEPS_SCORED = "1,4"
# Seconds that are not training steps, on two cores; a faster machine has time left over.
STARTING = 20.0  # of each phase
SCORING = 160.0  # and the report
LEAST = 20  # steps of a phase
# The remedy, since a run goes on with the steps that it began with.
ANEW = "to time anew give another --folder, and no --probe"


def shared_out(seconds: float, paces: Mapping[str, float]) -> dict[str, int]:
    """The steps of phases that have `seconds` until the end, at so many seconds a step each."""
    left = seconds - SCORING - STARTING * len(paces)
    whole = sum(SHARES[phase] for phase in paces)
    return {
        phase: max(LEAST, int(left * SHARES[phase] / whole / pace)) for phase, pace in paces.items()
    }


def timed(folder: pathlib.Path, environment: Mapping[str, str]) -> dict[str, Any]:
    """Times a few train steps of each phase.

    In a process of its own: a TPU belongs to one process at a time, and a GPU's memory mostly.

    Args:
      folder: gets a file with the result.
      environment: of that process.

    Returns:
      `seconds_per_step` of each phase, `groups` of a step, and the machine's `device`.

    Raises:
      SystemExit: it failed.
    """
    file = folder / "timed.json"
    command = [sys.executable, "-m", "vision_banana.quickstart", "--time", str(file)]
    done = subprocess.run(command, check=False, env=environment)
    if done.returncode:
        raise SystemExit(f"timing failed with exit code {done.returncode}, see above")
    return json.loads(file.read_text())


def _time() -> dict[str, Any]:
    """What `timed` returns, in this process."""
    devices = jax.device_count()
    paces: dict[str, float] = {}
    of_size: dict[int, float] = {}  # phases of one size share a program
    for phase in reversed(SHARES):  # of two the later, which takes more of the steps
        config = config_lib.get_config(phase).to_dict()
        # Every device takes as many groups.
        groups = config["data"]["groups"] = -(-config["data"]["groups"] // devices) * devices
        size = config["data"]["size"]
        if size not in of_size:
            of_size[size] = _seconds_per_step(config)
        paces[phase] = of_size[size]
    return {
        "seconds_per_step": {phase: paces[phase] for phase in SHARES},
        "groups": groups,
        "device": f"{devices} x {jax.devices()[0].device_kind}",
    }


def _seconds_per_step(config: Mapping[str, Any], warm: int = 3, steps: int = 30) -> float:
    run = run_lib.build(config)
    state = train_state.create(run.model, run.optimizer, run.mesh, config["seed"])
    step = train_step.compile_step(run)
    with pipeline.open_run(config) as batches:
        for i in range(warm + steps):
            if i == warm:
                started = time.perf_counter()
            state, metrics = step(state, sharding.to_devices(next(batches), run.mesh))
            jax.block_until_ready((state, metrics))
    return (time.perf_counter() - started) / steps


def _pace(folder: pathlib.Path) -> float | None:
    """Seconds of a step of a phase that has run; None where it has logged too little."""
    log = folder / "metrics.jsonl"
    lines = json_lines.read(log) if log.exists() else []
    # The first line holds compiling.
    steps = [b["step"] - a["step"] for a, b in itertools.pairwise(lines)]
    spent = [n * line["seconds_per_step"] for n, line in zip(steps, lines[1:], strict=True)]
    return sum(spent) / sum(steps) if steps else None


def _said(paces: Mapping[str, float]) -> str:
    return ", ".join(f"{pace:.3f} ({phase})" for phase, pace in paces.items())


def commands(folder: pathlib.Path, probed: Mapping[str, Any]) -> list[list[str]]:
    """The commands that make up the quickstart, in order.

    Args:
      folder: for all that they write.
      probed: the `steps` of each phase, and the `groups` of a step where they are not the config's.
    """
    config = str(pathlib.Path(config_lib.__file__))
    groups = [f"--config.data.groups={probed['groups']}"] if "groups" in probed else []
    trains, before = [], ""
    for phase in SHARES:
        trains.append(
            ["vision_banana.train", "--config", f"{config}:{phase}", "--workdir",
             str(folder / phase), f"--config.steps={probed['steps'][phase]}",
             f"--config.init_from={before}", *groups]
        )  # fmt: skip
        before = str(folder / phase)
    return [
        *trains,
        ["vision_banana.evaluate", "--workdir", before, "--count", str(SCORED),
         "--steps", STEPS_SCORED],
        ["vision_banana.report", "--workdir", before, "--output", str(folder / "report.html")],
    ]  # fmt: skip


def stored_probe(path: pathlib.Path) -> dict[str, Any]:
    """What an earlier run has stored.

    Raises:
      SystemExit: the file is missing, damaged, or lacks the steps of a phase; says so in a line.
    """
    try:
        probed = json.loads(path.read_text())
        steps = {phase: probed["steps"].get(phase) for phase in SHARES}
    except OSError as error:
        raise SystemExit(f"--probe {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SystemExit(f"{path} is damaged: it holds no steps; {ANEW}") from error
    for phase, count in steps.items():
        if not isinstance(count, int) or count < 1:
            raise SystemExit(f"{path} has no steps for {phase!r}; {ANEW}")
    return probed


def run(arguments: argparse.Namespace) -> None:
    """Runs every part that is not done yet.

    Raises:
      SystemExit: a part failed, or the stored probe cannot be used; says so in a line.
    """
    started, folder = time.perf_counter(), arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    # What one part has compiled, the next need not.
    environment = os.environ | {
        program_cache.VARIABLE: program_cache.keep_in(str(folder.absolute()))
    }
    stored = folder / "probe.json"
    source = arguments.probe or (stored if stored.exists() else None)
    if source:
        probed = stored_probe(source)
        print(f"steps from {source}: {probed['steps']}")
        if arguments.minutes is not None:
            print(f"--minutes {arguments.minutes:g} has no effect; {ANEW}")
    else:
        print("timing the train step on this machine ...", flush=True)
        minutes = MINUTES if arguments.minutes is None else arguments.minutes
        probed = {"minutes": minutes, **timed(folder, environment)}
        left = minutes * 60 - (time.perf_counter() - started)
        probed["steps"] = shared_out(left, probed["seconds_per_step"])
        print(f"{_said(probed['seconds_per_step'])} s a step: training {probed['steps']} steps")
    folders.write_whole(stored, json.dumps(probed, indent=1) + "\n")
    phases = list(SHARES)
    for i in range(len(commands(folder, probed))):
        if source is None and 0 < i < len(phases) and (pace := _pace(folder / phases[i - 1])):
            left = probed["minutes"] * 60 - (time.perf_counter() - started)
            paces = probed["seconds_per_step"]
            # Than when the probe ran; that a phase was faster says little about larger pictures.
            slower = max(1.0, pace / paces[phases[i - 1]])
            paces = {phase: slower * paces[phase] for phase in phases[i:]}
            probed["steps"] |= shared_out(left, paces)
            folders.write_whole(stored, json.dumps(probed, indent=1) + "\n")
            print(f"{pace:.3f} s a step: training {probed['steps']} steps")
        command = commands(folder, probed)[i]
        print(
            f"\n[{(time.perf_counter() - started) / 60:.1f} min] python -m {shlex.join(command)}",
            flush=True,
        )
        done = subprocess.run([sys.executable, "-m", *command], check=False, env=environment)
        if done.returncode:
            raise SystemExit(f"{command[0]} failed with exit code {done.returncode}, see above")
    minutes = (time.perf_counter() - started) / 60
    print(f"\ndone in {minutes:.1f} minutes; open {folder / 'report.html'} in a browser")


def _path(text: str) -> pathlib.Path:
    """A shell leaves the "~" of --folder=~/runs as it is."""
    return pathlib.Path(os.path.expanduser(text))


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(prog="python -m vision_banana.quickstart", description=__doc__)
    parser.add_argument("--folder", default="runs/quickstart", type=_path)
    parser.add_argument("--minutes", type=float, help=f"time for everything ({MINUTES:g})")
    parser.add_argument("--probe", type=_path, help="a stored probe.json to repeat")
    parser.add_argument("--time", type=pathlib.Path, help="only time a step, into this file")
    arguments = parser.parse_args(argv)
    with _bad_input.exits("quickstart"):
        if arguments.minutes is not None and not 0 < arguments.minutes < math.inf:
            raise ValueError(f"--minutes is {arguments.minutes:g}: it must be a number above 0")
        if arguments.time:
            program_cache.keep_in(str(arguments.time.parent.absolute()))
            folders.write_whole(arguments.time, json.dumps(_time()) + "\n")
        else:
            run(arguments)


if __name__ == "__main__":
    memory.use_huge_pages()
    main()
