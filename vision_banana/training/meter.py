"""Reads what the steps report, one step late, so that the device does not wait for the host.

It waits at a log of several processes, which add up how many records they have tried.

What it logs every `log_every` steps, as means over them: `loss`, `loss/<task>`,
`loss_at/t0.00-0.25` and so on (by time), `grad_norm`, `update_norm`, `seconds_per_step`,
`images_per_second`, `mfu` (model FLOP utilisation: counted operations over what the devices could
do at their peak, arXiv 2204.02311, appendix B; only where that peak is known), `data_wait_share`;
and as they are: `peak_memory_gib`, `skipped_updates`, and `bad_records`, of all processes since the
run began.
"""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import tqdm
from absl import logging

from vision_banana.models import flops
from vision_banana.training import distributed, loss_parts, memory, record_log
from vision_banana.training.metric_writer import MetricWriter
from vision_banana.training.run import Run

SHOWN = 64  # record keys in a message


class _Step(NamedTuple):
    """A step under way."""

    step: int
    references: int
    records: Sequence[str]
    metrics: Any


class Meter:
    """Collects losses and times, logs their means, and stops a run whose numbers went bad."""

    def __init__(
        self,
        config: Mapping[str, Any],
        run: Run,
        writer: MetricWriter,
        tasks: Sequence[str],
        start_step: int,
        last_saved: Callable[[], int | None],
        peak_flops: float = math.nan,
        first: bool = True,
    ) -> None:
        """Starts measuring.

        Args:
          config: the run's config, a plain dict.
          run: the run's parts.
          writer: where means go.
          tasks: names of the tasks in the order of their numbers, `loss_parts.TASKS` at most.
          start_step: the step that the run goes on from.
          last_saved: gives the step of the newest complete checkpoint.
          peak_flops: operations a second that one device reaches at its best, NaN where unknown.
          first: whether this process's records count; no other one's may be the same.
        """
        self._config, self._run, self._writer, self._tasks = config, run, writer, tasks
        self._peak = peak_flops * run.mesh.devices.size
        self._flops = functools.cache(self._count_flops)
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
        self._step, self._skipped = start_step, 0
        self._first, self._seen = first, (0, 0)
        self._batches: Any = None
        self._begin()

    def _begin(self) -> None:
        """Begins a new time between two logs."""
        self._steps, self._work, self._waited = 0, 0.0, 0.0
        self._since = time.perf_counter()

    def record(self, step: int, batches: Any, references: int, metrics: Any) -> None:
        """Notes a step that was just started, and reads the one before.

        Args:
          step: its number, from 0.
          batches: the `pipeline.Batches` that its batch came from.
          references: R, reference pictures of each of its groups.
          metrics: what `train_step` returned.
        """
        self.flush()
        self._pending = _Step(step, references, batches.records, metrics)
        self._waited += batches.waited
        self._batches, self._seen = batches, (batches.read, sum(batches.bad.values()))

    def flush(self) -> None:
        """Reads the step under way.

        Raises:
          FloatingPointError: as many updates in a row as the config says were skipped.
          ValueError: see `records`.
        """
        if self._pending is None:
            return
        done, self._pending = self._pending, None
        metrics = jax.device_get(done.metrics)
        if metrics["in_a_row"]:
            self._refuse(done, metrics)
        else:
            self._accept(metrics)
        self._skipped = int(metrics["skipped"])
        self._steps += 1
        self._work += self._flops(done.references)
        self._bar.update()
        self._step = done.step + 1
        if self._step % self._config["log_every"] == 0 or self._step == self._config["steps"]:
            self.log()

    def means(self) -> dict[str, float]:
        """Mean losses since this was last asked, or since the run was (re)started."""
        return self._saved.take()

    def records(self) -> tuple[int, int]:
        """Records that the run has tried, and how many of them it had to replace.

        All processes must ask together.

        Raises:
          ValueError: several processes found too many bad ones; one alone knows by itself.
        """
        read, bad = distributed.total(self._seen if self._first else (0, 0))
        if jax.process_count() > 1 and self._batches is not None:
            self._batches.check_share(read, bad)
        return read, bad

    def _accept(self, metrics: Mapping[str, Any]) -> None:
        names = ("loss", "grad_norm", "update_norm")
        values = [(name, float(metrics[name]), 1.0) for name in names]
        values += loss_parts.named(metrics["by_task"], metrics["by_time"], self._tasks)
        for means in (self._logged, self._saved):
            means.add(values)

    def _refuse(self, done: _Step, metrics: Mapping[str, Any]) -> None:
        shown = ", ".join(done.records[:SHOWN])
        if len(done.records) > SHOWN:
            shown += f" and {len(done.records) - SHOWN} more"
        if len(done.records) > SHOWN or jax.process_count() > 1:
            on = self._config["log_records"]
            lists = "lists" if on else "will list (same command with --config.log_records)"
            shown += f"; {record_log.FOLDER!r} in the work folder {lists} all, of every process"
        loss, norm, in_a_row = (metrics[name] for name in ("loss", "grad_norm", "in_a_row"))
        what = f"step {done.step + 1}: loss {loss}, gradient norm {norm}; its records: {shown}"
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

    def log(self) -> None:
        """Logs the steps read since the last log, if there are any."""
        if not self._steps:
            return
        bad = self.records()[1]
        elapsed = time.perf_counter() - self._since
        data = self._config["data"]
        rate = self._steps * data["groups"] * data["queries"] / elapsed
        values = self._logged.take()
        loss = values.get("loss", math.nan)
        values |= {
            "images_per_second": rate,
            "seconds_per_step": elapsed / self._steps,
            "mfu": self._work / elapsed / self._peak,
            "data_wait_share": self._waited / elapsed,
            "peak_memory_gib": memory.peak(self._run.mesh.local_devices) / 2**30,
            "skipped_updates": self._skipped,
            "bad_records": bad,
        }
        self._writer.scalars(self._step, values)
        self._bar.set_postfix_str(f"loss {loss:.4f}, {rate:.0f} images/s")
        self._begin()

    def _count_flops(self, references: int) -> float:
        """Matrix operations of a step over the whole batch; 0 where no peak would need them."""
        if math.isnan(self._peak):
            return 0.0
        data, model, share = self._config["data"], self._run.model, self._run.objective.kept_share
        lead, size = (data["groups"], data["queries"]), (data["size"], data["size"])
        batch = flops.batch_of(model, *lead, references, size, share)
        return sum(flops.train_step(model, batch).values())

    def close(self) -> None:
        """Ends the progress bar."""
        self._bar.close()


class _Means:
    """Means of named numbers."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, float]] = {}

    def add(self, values: Sequence[tuple[str, float, float]]) -> None:
        """Adds a sum and of how many numbers it is, by name."""
        for name, total, count in values:
            before, counted = self._sums.get(name, (0.0, 0.0))
            self._sums[name] = before + total, counted + count

    def take(self) -> dict[str, float]:
        """The means so far; then it begins anew."""
        sums, self._sums = self._sums, {}
        return {name: total / count for name, (total, count) in sums.items()}
