"""Reads what the steps report, one step late, so that the device never waits for the host."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import tqdm
from absl import logging

from vision_banana.training.metric_writer import MetricWriter

SHOWN = 64  # record keys in a message


class _Step(NamedTuple):
    """A step under way."""

    step: int
    task: np.ndarray
    records: Sequence[str]
    metrics: Any


class Meter:
    """Collects losses and times, logs their means, and stops a run whose numbers went bad."""

    def __init__(
        self,
        config: Mapping[str, Any],
        writer: MetricWriter,
        tasks: Sequence[str],
        start_step: int,
        last_saved: Callable[[], int | None],
    ) -> None:
        """Starts measuring.

        Args:
          config: the run's config, a plain dict.
          writer: where means go.
          tasks: names of the tasks in the order of their numbers.
          start_step: the step that the run goes on from.
          last_saved: gives the step of the newest complete checkpoint.
        """
        self._config, self._writer, self._tasks = config, writer, tasks
        self._last_saved = last_saved
        self._bar = tqdm.tqdm(
            total=config["steps"],
            initial=start_step,
            desc="training",
            unit="step",
            mininterval=1.0,
            disable=jax.process_index() > 0,
        )
        self._pending: _Step | None = None
        self._logged, self._saved = _Means(), _Means()  # since the last log, the last checkpoint
        self._steps, self._skipped, self._bad = 0, 0, 0
        self._since, self._waited = time.perf_counter(), 0.0

    def record(self, step: int, batches: Any, task: np.ndarray, metrics: Any) -> None:
        """Notes a step that was just started, and reads the one before.

        Args:
          step: its number, from 0.
          batches: the `pipeline.Batches` that its batch came from.
          task: (G, Q) numbers of the tasks of this process's queries.
          metrics: what `train_step` returned.
        """
        self.flush()
        self._pending = _Step(step, task, batches.records, metrics)
        self._waited += batches.waited
        self._bad = sum(batches.bad.values())

    def flush(self) -> None:
        """Reads the step under way.

        Raises:
          FloatingPointError: as many updates in a row as the config says were skipped.
        """
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        loss, norm = float(done.metrics["loss"]), float(done.metrics["grad_norm"])
        if in_a_row := int(done.metrics["in_a_row"]):
            self._refused(done, loss, norm, in_a_row)
        else:
            self._accept(done, loss, norm)
        self._skipped = int(done.metrics["skipped"])
        self._steps += 1
        self._bar.update()
        count = done.step + 1
        if count % self._config["log_every"] == 0 or count == self._config["steps"]:
            self._log(count)

    def means(self) -> dict[str, float]:
        """Mean losses since this was last asked, or since the run was (re)started."""
        return self._saved.take()

    def _accept(self, done: _Step, loss: float, norm: float) -> None:
        values = [("loss", loss), ("grad_norm", norm)]
        if done.metrics["losses"].is_fully_addressable:
            losses = np.asarray(done.metrics["losses"]).ravel()
            for number, value in zip(done.task.ravel(), losses, strict=True):
                values.append((f"loss/{self._tasks[number]}", float(value)))
        for means in (self._logged, self._saved):
            means.add(values)

    def _refused(self, done: _Step, loss: float, norm: float, in_a_row: int) -> None:
        shown = ", ".join(done.records[:SHOWN])
        if len(done.records) > SHOWN:
            shown += f" and {len(done.records) - SHOWN} more"
        what = f"step {done.step}: loss {loss}, gradient norm {norm}; its records: {shown}"
        logging.warning("update skipped at %s", what)
        if in_a_row >= self._config["guard"]["stop_after"]:
            saved = self._last_saved()
            good = "there is no checkpoint yet" if saved is None else f"its step is {saved}"
            raise FloatingPointError(
                f"{in_a_row} updates in a row were skipped, the last at {what}. The last good "
                f"checkpoint: {good}. Look at these records, see config.guard, or begin a new "
                "--workdir with --config.init_from=OLD_WORKDIR and a lower "
                "config.optimizer.learning_rate"
            )

    def _log(self, step: int) -> None:
        elapsed = time.perf_counter() - self._since
        data = self._config["data"]
        rate = self._steps * data["groups"] * data["queries"] / elapsed
        values = self._logged.take()
        loss = values.get("loss", float("nan"))
        values |= {
            "images_per_second": rate,
            "seconds_per_step": elapsed / self._steps,
            "data_wait_share": self._waited / elapsed,
            "skipped_updates": self._skipped,
            "bad_records": self._bad,
        }
        self._writer.scalars(step, values)
        self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} images/s")
        self._steps, self._since, self._waited = 0, time.perf_counter(), 0.0

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.close()


class _Means:
    """Means of named numbers."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, values: Sequence[tuple[str, float]]) -> None:
        for name, value in values:
            self._values.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        """The means so far; then it begins anew."""
        values, self._values = self._values, {}
        return {name: float(np.mean(numbers)) for name, numbers in values.items()}
