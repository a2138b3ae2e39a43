"""What training costs beside its steps: the loop's own time, checkpoints, another start."""

import contextlib
import importlib
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from configs import base, pocket
from vision_banana.bench import machine
from vision_banana.data import language, pipeline
from vision_banana.training import (
    json_lines,
    loss_parts,
    program_cache,
    provenance,
    sharding,
    train_state,
    train_step,
)
from vision_banana.training import run as run_lib
from vision_banana.training.checkpoint import Checkpoints

STEPS = 400  # of the loop with a stub for its step
INTERVAL = 5  # steps in a row, timed with and without a checkpoint before them
MOST_OWN_SECONDS, MOST_CHECKPOINT_SHARE, LEAST_FASTER = 2e-3, 0.02, 5.0  # what is promised


def config() -> dict[str, Any]:
    """The pocket config."""
    return pocket.get_config().to_dict()


def compare(rounds: int, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Measures the three.

    Args:
      rounds: how many checkpoints are timed.
      settings: a config as `config` gives, which is the default.

    Returns:
      What `report` prints, as plain values: times in seconds.
    """
    settings = dict(settings or config())
    with tempfile.TemporaryDirectory() as folder:
        own = own_seconds(settings, f"{folder}/stub", STEPS)
        checkpoint = checkpoint_seconds(settings, f"{folder}/saved", rounds)
        first, second = start_seconds(folder)
    return {
        "machine": machine.describe(),
        "own": {"median": statistics.median(own), "mean": statistics.fmean(own), "steps": len(own)},
        "checkpoint": checkpoint | {"every": base.get_config().checkpoint_every},
        "start": {"first": first, "second": second},
    }


def own_seconds(settings: Mapping[str, Any], workdir: str, steps: int) -> list[float]:
    """Runs the real loop with a stub in the place of the step and of reading.

    Returns:
      For every step but the last, the seconds from the end of the stub to its next call: bringing
      a batch to the devices, what was reported, logs.
    """
    ended: list[float] = []
    own: list[float] = []

    @jax.jit
    def metrics(loss: jax.Array) -> dict[str, jax.Array]:
        scalars = dict.fromkeys(("loss", "grad_norm", "update_norm"), loss)
        counts = dict.fromkeys(("in_a_row", "skipped"), jnp.int32(0))
        lead = (settings["data"]["groups"], settings["data"]["queries"])
        parts = loss_parts.add_up(jnp.full(lead, loss), jnp.zeros(lead, jnp.int32), jnp.zeros(lead))
        return {**scalars, **counts, **parts}

    def step(state: Any, batch: Any) -> Any:
        if ended:
            own.append(time.perf_counter() - ended[-1])
        reported = jax.block_until_ready(metrics(len(own)))  # never read before
        jax.block_until_ready(batch)
        ended.append(time.perf_counter())
        return state, reported

    train = importlib.import_module("vision_banana.train")  # a command, which no room imports
    changed = {**settings, "steps": steps, "checkpoint_every": steps}
    with (
        mock.patch.object(train_step, "compile_step", lambda run: step),
        mock.patch.object(pipeline, "open_run", _same_batch),
    ):
        train.train(changed, workdir)
    return own


@contextlib.contextmanager
def _same_batch(config: Mapping[str, Any], *_: Any, **__: Any) -> Iterator[Any]:
    """Batches that are there at once, in new arrays as a reader's are."""
    with pipeline.Batches(pipeline.run_dataset(config)) as batches:
        batch = next(batches)
        batches.waited = 0.0
        again = mock.MagicMock(waited=0.0, records=batches.records, read=1, bad=batches.bad)
        again.__next__.side_effect = lambda: {name: np.array(x) for name, x in batch.items()}
        yield again


def checkpoint_seconds(settings: Mapping[str, Any], workdir: str, rounds: int) -> dict[str, float]:
    """Times steps in a row without a checkpoint and, in turns, with one written beside them.

    Args:
      settings: the run's config.
      workdir: where checkpoints go.
      rounds: how many of each are timed.

    Returns:
      Median seconds of a `step`, for which a save holds up the loop (`blocked`), and which INTERVAL
      steps take longer with a save, to the end of its writing (`added`).
    """
    run = run_lib.build(settings)
    state = train_state.create(run.model, run.optimizer, run.mesh, run.seed)
    step = train_step.compile_step(run)
    with pipeline.open_run(settings) as batches:
        batch = sharding.to_devices(next(batches), run.mesh)
    description = provenance.describe(settings, language.describe())
    found: dict[str, list[float]] = {"step": [], "blocked": [], "added": []}
    with contextlib.closing(Checkpoints(workdir)) as checkpoints:
        for i in range(rounds + 1):
            times = [time.perf_counter()]
            for saves in (False, True):
                if saves:
                    checkpoints.save(state, description)
                    held = time.perf_counter() - times[-1]
                for _ in range(INTERVAL):
                    state = jax.block_until_ready(step(state, batch)[0])
                checkpoints.last_saved()
                times.append(time.perf_counter())
            if i:  # the first ones compile
                without, with_one = times[1] - times[0], times[2] - times[1]
                found["step"].append(without / INTERVAL)
                found["blocked"].append(held)
                found["added"].append(with_one - without)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def start_seconds(folder: str) -> tuple[float, float]:
    """From the command to its first step, without and with the programs that it compiled."""
    environment = os.environ | {program_cache.VARIABLE: f"{folder}/compiled"}
    seconds = []
    for name in ("first", "second"):
        workdir = pathlib.Path(folder, name)
        command = ["-m", "vision_banana.train", "--config", pocket.__file__]
        command += ["--workdir", str(workdir), "--config.steps=1"]
        started = time.perf_counter()
        with subprocess.Popen([sys.executable, *command], env=environment) as process:
            while not _stepped(workdir) and process.poll() is None:
                time.sleep(0.02)
            seconds.append(time.perf_counter() - started)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with code {process.returncode}")
    return seconds[0], seconds[1]


def _stepped(workdir: pathlib.Path) -> bool:
    log = workdir / "metrics.jsonl"
    return log.exists() and bool(json_lines.read(log))


def report(result: Mapping[str, Any]) -> str:
    """The result as lines to read."""
    own, checkpoint, start = result["own"], result["checkpoint"], result["start"]
    between = checkpoint["every"] * checkpoint["step"]
    # `added`, a difference of two noisy times, may by chance come out below its part `blocked`.
    cost = max(checkpoint["blocked"], checkpoint["added"])
    share = cost / (between + cost)
    faster = start["first"] / start["second"]

    def verdict(holds: bool, promise: str) -> str:
        return f"promised {promise}: {'yes' if holds else 'NO'}"

    return "\n".join(
        [
            f"the loop's own time, {own['steps']} steps: median {1e3 * own['median']:.2f} ms, mean "
            f"{1e3 * own['mean']:.2f} ms a step; "
            + verdict(own["mean"] < MOST_OWN_SECONDS, f"under {1e3 * MOST_OWN_SECONDS:.0f} ms"),
            f"a checkpoint holds it up for {1e3 * checkpoint['blocked']:.0f} ms, and {INTERVAL} "
            f"steps with one take {1e3 * checkpoint['added']:.0f} ms longer than without: "
            f"{share:.2%} of its time with one in {checkpoint['every']} steps of "
            f"{1e3 * checkpoint['step']:.0f} ms; "
            + verdict(share < MOST_CHECKPOINT_SHARE, f"under {MOST_CHECKPOINT_SHARE:.0%}"),
            f"to the first step {start['first']:.1f} s, started again {start['second']:.1f} s: "
            f"{faster:.1f} times faster; "
            + verdict(faster >= LEAST_FASTER, f"{LEAST_FASTER:.0f} times"),
        ]
    )
