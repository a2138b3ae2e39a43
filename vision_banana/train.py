"""Trains a generator.

    python -m vision_banana.train --config configs/pocket.py --workdir runs/pocket

Any key of the config can be changed on the command line (`--config.steps=200`). The same command
again goes on from the newest checkpoint.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
import tqdm
from absl import app, flags, logging
from ml_collections import config_flags

from vision_banana.data import language, pipeline
from vision_banana.evaluation import panels
from vision_banana.tasks import TASKS
from vision_banana.training import memory, provenance, sharding, train_state, train_step
from vision_banana.training import run as run_lib
from vision_banana.training.checkpoint import Checkpoints
from vision_banana.training.metric_writer import MetricWriter

_CONFIG = config_flags.DEFINE_config_file("config", None, "The experiment, configs/NAME.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs, config.")


def train(config: Mapping[str, Any], workdir: str) -> None:
    """Runs a config to its last step.

    Args:
      config: a plain dict with the keys of `configs/base.py`.
      workdir: the run's folder.

    Raises:
      ValueError: for a bad config, before any work is done.
      FloatingPointError: where the loss is no longer finite; names the step.
    """
    run = run_lib.build(config)
    provenance.claim(workdir, config)
    checkpoints = Checkpoints(workdir, config["keep"])
    state = _start(config, run, checkpoints)
    step_fn = train_step.compile_step(
        run.model, run.optimizer, run.objective, run.mesh, config["seed"], config["micro_batches"]
    )
    description = provenance.describe(config, language.describe())
    writer = MetricWriter(workdir)
    batches = pipeline.open_run(
        config,
        start_step=int(state["step"]),
        process_index=jax.process_index(),
        process_count=jax.process_count(),
    )
    meter = _Meter(config, writer, int(state["step"]))
    try:
        for step in range(int(state["step"]), config["steps"]):
            batch = next(batches)
            state, metrics = step_fn(state, sharding.to_devices(batch, run.mesh))
            meter.record(step, batch["task"], metrics, batches.waited)
            done = step + 1
            if done % config["checkpoint_every"] == 0 or done == config["steps"]:
                meter.flush()  # a state that follows from a non-finite loss is never saved
                checkpoints.save(state, description)
            if config["panels_every"] and done % config["panels_every"] == 0:
                panels.write(writer, done, run.model, state["ema"], config)
    finally:
        batches.close()
        meter.close()
        writer.close()
        checkpoints.close()


def _start(config: Mapping[str, Any], run: run_lib.Run, checkpoints: Checkpoints) -> Any:
    """A new state, one that begins with another run's weights, or the newest checkpoint."""
    if checkpoints.latest_step() is not None:
        abstract = train_state.abstract_state(run.model, run.optimizer, run.mesh)
        print(f"going on from step {checkpoints.latest_step()}", flush=True)
        return checkpoints.restore(abstract)
    state = train_state.create(run.model, run.optimizer, run.mesh, config["seed"])
    if config["init_from"]:
        source = Checkpoints(config["init_from"], read_only=True)
        weights = source.restore_weights(run.model, run.mesh)
        source.close()
        state |= {"params": weights, "ema": jax.tree.map(lambda x: x.copy(), weights)}
    return state


class _Meter:
    """Reads each step's numbers one step late, so that the device never waits for the host."""

    def __init__(self, config: Mapping[str, Any], writer: MetricWriter, start: int) -> None:
        self._config, self._writer = config, writer
        self._bar = tqdm.tqdm(
            total=config["steps"], initial=start, desc="training", unit="step", mininterval=1.0
        )
        self._pending: tuple | None = None
        self._window: list[tuple[float, float]] = []
        self._by_task: dict[str, list[float]] = {}
        self._since, self._waited = time.perf_counter(), 0.0

    def record(self, step: int, task: np.ndarray, metrics: Any, waited: float) -> None:
        """Notes a step that was just started, and reads the one before."""
        self.flush()
        self._pending = (step, task, metrics)
        self._waited += waited

    def flush(self) -> None:
        """Reads the step under way; raises FloatingPointError where its loss is not finite."""
        if self._pending is None:
            return
        step, task, metrics = self._pending
        self._pending = None
        loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss of step {step} is {loss}; the newest checkpoint is from before it. "
                "Lower config.optimizer.learning_rate or look at the data of that step"
            )
        self._window.append((loss, norm))
        if metrics["losses"].is_fully_addressable:
            names = list(TASKS)
            for index, value in zip(
                task.ravel(), np.asarray(metrics["losses"]).ravel(), strict=True
            ):
                self._by_task.setdefault(names[index], []).append(float(value))
        self._bar.update()
        if (step + 1) % self._config["log_every"] == 0:
            self._log(step + 1)

    def _log(self, step: int) -> None:
        elapsed = time.perf_counter() - self._since
        steps, data = len(self._window), self._config["data"]
        loss, norm = np.mean(self._window, axis=0)
        rate = steps * data["groups"] * data["queries"] / elapsed
        values = {
            "loss": loss,
            "grad_norm": norm,
            "images_per_second": rate,
            "seconds_per_step": elapsed / steps,
            "data_wait_share": self._waited / elapsed,
        } | {f"loss/{name}": float(np.mean(v)) for name, v in self._by_task.items()}
        self._writer.scalars(step, values)
        self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} images/s")
        self._window, self._by_task = [], {}
        self._since, self._waited = time.perf_counter(), 0.0

    def close(self) -> None:
        self._bar.close()


def main(argv: list[str]) -> None:
    """The command."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {' '.join(argv[1:])}")
    logging.set_verbosity(logging.WARNING)  # Orbax tells a long story of every save
    try:
        train(_CONFIG.value.to_dict(), str(_WORKDIR.value))
    except (ValueError, TypeError, FileNotFoundError, FloatingPointError) as error:
        logging.error("%s", error)
        raise SystemExit(2) from error


if __name__ == "__main__":
    memory.use_huge_pages()
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main)
