"""Trains a generator.

    python -m vision_banana.train --config configs/pocket.py --workdir runs/my_pocket

Any key of the config can be changed on the command line (`--config.steps=200`). The same command
again goes on from the newest good checkpoint. On Cloud TPU the command runs on every host as it
stands; elsewhere each of several processes is told who it is:

    python -m vision_banana.train ... --coordinator_address=HOST:PORT --num_processes=2 \
        --process_id=0

`--profile_steps=20:25` records steps 20 to 24 with JAX's profiler and writes them to the work
folder; experiments/launch/README.md says how to read them.

Exit codes: 0, the last step is done and saved; 75, the run was asked to stop (SIGTERM) and has
saved what it reached, start it again; 2, a restart alone will not help (a bad config, bad data, a
package that is missing, a loss that is no number), the message says what would; any other,
something broke (a full disk, a lost machine), and the same command goes on from the last good
checkpoint. Where one of several processes fails, all end with its code within seconds.
"""

import contextlib
import functools
from collections.abc import Mapping
from typing import Any

import jax
from absl import app, flags, logging

from vision_banana.data import language, pipeline
from vision_banana.pods import chips
from vision_banana.tasks import TASKS
from vision_banana.training import (
    config_flag,
    distributed,
    folders,
    memory,
    preemption,
    pretrained,
    program_cache,
    provenance,
    sharding,
    step_profile,
    train_state,
    train_step,
    trained,
)
from vision_banana.training import run as run_lib
from vision_banana.training.checkpoint import Checkpoints, saved_steps
from vision_banana.training.config_flag import CONFIG
from vision_banana.training.meter import Meter
from vision_banana.training.metric_writer import MetricWriter, check_wandb
from vision_banana.training.preemption import Preempted, Preemption
from vision_banana.training.record_log import RecordLog

flags.declare_key_flag("config")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs, config.")
_COORDINATOR = flags.DEFINE_string(
    "coordinator_address", None, distributed.HELP["coordinator_address"]
)
_PROCESSES = flags.DEFINE_integer("num_processes", None, distributed.HELP["num_processes"])
_PROFILE = flags.DEFINE_string("profile_steps", "", "Steps to record, FIRST:END, as in 20:25.")
_PROCESS = flags.DEFINE_integer("process_id", None, distributed.HELP["process_id"])
RECORDS = "records"  # in a checkpoint's description: how many were tried, and were bad
# What a restart does not help against.
_MISTAKES = (ValueError, TypeError, FileNotFoundError, FloatingPointError, ImportError)


def train(config: Mapping[str, Any], workdir: str, profile_steps: range = range(0)) -> None:
    """Runs a config to its last step.

    Args:
      config: a plain dict with the keys of `configs/base.py`.
      workdir: the run's folder, local or in a bucket.
      profile_steps: steps that are recorded with JAX's profiler.

    Raises:
      ValueError: for a bad config, before any work is done; or too many bad records.
      FloatingPointError: where too many updates in a row were skipped; names step and records.
      Preempted: where the run was asked to stop, once everything is saved.
    """
    language.check_vocabulary(config["model"]["vocabulary"])
    run, workdir = run_lib.build(config), str(folders.full(workdir))
    _check_best_metric(config)
    check_wandb(config.get("wandb_project", ""))
    part = sharding.batch_part(run.mesh)
    provenance.check(workdir, config)
    rows = part.rows(config["data"]["groups"])
    data = pipeline.run_dataset(config, rows)
    if config["init_from"] and not saved_steps(workdir):
        pretrained.check(config["init_from"], run.model, language.describe())
    with contextlib.ExitStack() as stack:
        stop = stack.enter_context(Preemption())
        checkpoints = Checkpoints(
            workdir,
            config["keep"],
            keep_every=config["keep_every"],
            keep_best=config["keep_best"],
            best_metric=config["best_metric"],
        )
        stack.callback(checkpoints.close)
        state, before = _start(config, run, checkpoints)
        first = int(state["step"])
        reader = {"before": before, "alone": jax.process_count() == 1}
        batches = stack.enter_context(pipeline.open_run(config, data, first, **reader))
        provenance.claim(workdir, config)  # only now: weights that do not fit take no folder
        step_fn = train_step.compile_step(run)
        description = provenance.describe(config, language.describe())
        writer = MetricWriter(workdir, first, config)
        stack.callback(writer.close)
        record_log = RecordLog(workdir, first, config["log_records"])
        stack.callback(record_log.close)
        peak = chips.peak_flops(run.mesh.devices.flat[0].device_kind)
        tasks, last_saved = tuple(TASKS), checkpoints.last_saved
        meter = Meter(config, run, writer, tasks, first, last_saved, peak, part.first)
        stack.callback(meter.close)
        profile = step_profile.StepProfile(workdir, profile_steps)
        stack.callback(profile.close)

        def save() -> None:
            meter.flush()
            writer.flush()
            record_log.flush()
            counted = {RECORDS: meter.records()}
            checkpoints.save(state, description | counted, meter.means())

        for step in range(first, config["steps"]):
            if stop.asked(step):
                if step > first:
                    meter.flush()
                    meter.log()  # what came after the last log would have no line
                    save()
                raise Preempted(f"asked to stop after step {step}")
            profile.before(step, state)
            batch = next(batches)
            state, metrics = step_fn(state, sharding.to_devices(batch, run.mesh))
            done = step + 1
            if part.first:
                record_log.write(done, rows, batches.records)
            meter.record(step, batches, batch["references"].shape[1], metrics)
            if done % config["checkpoint_every"] == 0 or done == config["steps"]:
                save()
            if config["panels_every"] and done % config["panels_every"] == 0:
                stop.interruptible(functools.partial(_look, writer, done, run, state, config))


def _look(
    writer: MetricWriter, step: int, run: run_lib.Run, state: Any, config: Mapping[str, Any]
) -> None:
    """Panels of the averaged weights, and the held-out losses and scores of both."""
    from vision_banana.evaluation import panels  # the rest of training needs no evaluation

    panels.write(writer, step, run, state["ema"], config)
    weights = {"raw": state["params"], "ema": state["ema"]}
    losses = panels.heldout_losses(run, weights, config)
    writer.scalars(step, losses | panels.heldout_scores(run, weights, config))


def _check_best_metric(config: Mapping[str, Any]) -> None:
    """Checks that there will be such a metric; a bad mixture is told by whoever opens it."""
    entries = config["data"]["mixture"].values()
    tasks = {task for entry in entries if "tasks" in entry for task in entry["tasks"]}
    names = ("loss", "grad_norm", *(f"loss/{task}" for task in sorted(tasks)))
    if config["best_metric"] not in names:
        raise ValueError(
            f"config.best_metric is {config['best_metric']!r}; it must be one of {', '.join(names)}"
        )


def _start(
    config: Mapping[str, Any], run: run_lib.Run, checkpoints: Checkpoints
) -> tuple[Any, tuple[int, int]]:
    """A new state, one that begins with another run's weights, or the newest good checkpoint.

    Beside it what this process has to begin to count records from, see `pipeline.Batches`.
    """
    if checkpoints.steps():
        abstract = train_state.abstract_state(run.model, run.optimizer, run.mesh)
        state = checkpoints.restore(abstract)
        saved = checkpoints.description(int(state["step"]))
        trained.check_language(saved["language"], language.describe(), str(checkpoints.folder))
        if jax.process_index() > 0:  # the first one tells, and counts, for all
            return state, (0, 0)
        print(f"going on from step {int(state['step'])}", flush=True)
        if changed := provenance.changes(saved, config):
            print(f"not promised to end with the same bits: {changed}", flush=True)
        return state, tuple(saved.get(RECORDS, (0, 0)))
    state = train_state.create(run.model, run.optimizer, run.mesh, config["seed"])
    if config["init_from"]:
        weights = pretrained.load_weights(
            config["init_from"], run.model, run.mesh, language.describe()
        )
        state |= {"params": weights, "ema": jax.tree.map(lambda x: x.copy(), weights)}
    return state, (0, 0)


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # nothing but flags, see `config_flag.parse`
    logging.set_verbosity(logging.WARNING)  # Orbax tells a long story of every save
    workdir = str(folders.full(str(_WORKDIR.value)))
    try:
        distributed.initialize(_COORDINATOR.value, _PROCESSES.value, _PROCESS.value)
        with distributed.failing_together(_MISTAKES, agreed=Preempted), folders.room_in(workdir):
            program_cache.keep_in(workdir)
            train(CONFIG.value.to_dict(), workdir, step_profile.parse(_PROFILE.value))
    except Preempted as request:
        logging.warning("%s; the same command goes on", request)
        raise SystemExit(preemption.EXIT_CODE) from request
    except _MISTAKES as error:
        logging.error("%s", error)
        raise SystemExit(2) from error
    except folders.NoRoom as error:
        logging.error("%s", error)
        raise SystemExit(1) from error


if __name__ == "__main__":
    memory.use_huge_pages()
    flags.mark_flags_as_required(["config", "workdir"])
    app.run(main, flags_parser=config_flag.parse)
