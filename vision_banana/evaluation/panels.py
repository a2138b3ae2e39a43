"""A look at a run in progress: pictures of every task of its mixture, held-out losses and scores.

A picture shows input, target and output. Loss and scores of the raw weights beside those of their
average, on the same held-out scenes, say what averaging gains and whether the run overfits.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vision_banana.data import pictures, pipeline, scenes, sources
from vision_banana.evaluation import ask, confidence, predict, score, totals
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS
from vision_banana.models.generator import Generator, Params
from vision_banana.tasks import TASKS
from vision_banana.training import objective, sharding
from vision_banana.training.metric_writer import MetricWriter
from vision_banana.training.run import Run

RECORDS = 4  # rows of a task's panel
SCORED = 32  # held-out scenes


def write(
    writer: MetricWriter, step: int, run: Run, params: Params, config: Mapping[str, Any]
) -> None:
    """Draws held-out examples of every task that scenes have and writes one panel a task.

    A panel has a row an example: the reference pictures, the target, what was drawn.

    Args:
      writer: where the panels go.
      step: the training step.
      run: the run's parts.
      params: the generator's weights.
      config: the run's config, a plain dict.
    """
    tasks = {name: TASKS[name] for name in _tasks(config)}
    source = sources.build(_heldout(config))
    asked = score.queries(source, tasks, range(RECORDS), config["seed"], run.model.text_length)
    model, shift = run.model, config["time"]["shift"]
    seeing = ask.build(predict.build(model), params, model.text_length)
    guided = predict.build(model, steps=DRAWING_STEPS, shift=shift, text_guidance=DRAWING_GUIDANCE)
    drawing = ask.build(guided, params, model.text_length)
    for draws in (False, True):
        part = {name: rows for name, rows in asked.items() if TASKS[name].draws == draws}
        asker = score.Asker(*(2 * (drawing if draws else seeing,)))
        for name, drawn in score.draw(asker, part, jax.random.key(config["seed"])).items():
            rows = [
                np.concatenate([*q.example.references, q.truth(), rgb], axis=1)
                for q, rgb in zip(part[name], drawn, strict=True)
            ]
            if rows:
                writer.picture(step, name, pictures.to_u8(np.concatenate(rows)))


def heldout_losses(
    run: Run, weights: Mapping[str, Params], config: Mapping[str, Any]
) -> dict[str, float]:
    """The training loss of several weights on one batch of held-out scenes, as large as a step's.

    Tasks are drawn alike; times, noise and hidden conditions as in training, always the same ones.

    Args:
      run: the run's parts.
      weights: name -> the generator's weights.
      config: the run's config, a plain dict.

    Returns:
      "heldout_loss/" and the name -> mean loss; nothing where scenes have no task of the mixture.
    """
    tasks = _tasks(config)
    if not tasks:
        return {}
    entry = {
        "source": _heldout(config),
        "tasks": dict.fromkeys(tasks, 1.0),
        "weight": 1.0, "references": 1, "flip": False,
    }  # fmt: skip
    # What passes through a step at once fits the memory here too.
    parts = {"groups": config["data"]["groups"] // run.micro_batches, "vision_share": -1.0}
    heldout = {**config, "data": {**config["data"], **parts, "mixture": {"heldout": entry}}}
    part = sharding.batch_part(run.mesh)
    data = pipeline.run_dataset(heldout, part.rows(heldout["data"]["groups"]))
    batch = {name: x for name, x in data[0].items() if name not in ("bad", "records")}
    batch = sharding.to_devices(batch, run.mesh)
    with jax.set_mesh(run.mesh):
        losses = {name: _loss(x, batch, run.model, run.objective) for name, x in weights.items()}
    return {f"heldout_loss/{name}": float(loss) for name, loss in losses.items()}


def heldout_scores(
    run: Run, weights: Mapping[str, Params], config: Mapping[str, Any]
) -> dict[str, float]:
    """What several weights see in the first held-out scenes, in one sampling step.

    Args:
      run: the run's parts.
      weights: name -> the generator's weights.
      config: the run's config, a plain dict.

    Returns:
      "heldout_TASK/METRIC/" and the name -> score, for the tasks of the mixture that see.
    """
    seeing = [name for name in _tasks(config) if not TASKS[name].draws]
    tasks = {name: TASKS[name] for name in seeing}
    source = sources.build(_heldout(config))
    plain, found = predict.build(run.model), {}
    for kind, params in weights.items():
        asks = ask.build(plain, params, run.model.text_length)
        records = score.run(
            source, None, tasks, {1: score.Asker(asks, asks)},
            count=SCORED, text_length=run.model.text_length, seed=config["seed"],
        )  # fmt: skip
        scored = totals.scores(confidence.metrics_of(tasks), records, [1], beside=False)
        for name, of in scored.items():
            for metric in TASKS[name].perfect:
                found[f"heldout_{name}/{metric}/{kind}"] = of.values[1][metric]
    return {name: value for name, value in found.items() if math.isfinite(value)}


def _heldout(config: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": "scenes", "split": "heldout", "size": config["data"]["size"]}


def _tasks(config: Mapping[str, Any]) -> list[str]:
    """The tasks of a run's mixture that can be asked about held-out scenes."""
    names = {name for entry in config["data"]["mixture"].values() for name in entry["tasks"]}
    return [name for name in TASKS if name in names.intersection(scenes.TASKS)]


@functools.partial(jax.jit, static_argnames=("model", "settings"))
def _loss(
    params: Params, batch: dict[str, jax.Array], model: Generator, settings: objective.Objective
) -> jax.Array:
    """Mean loss of a batch, () float32."""
    seen = objective.noised(batch, jax.random.key(0), model, settings)
    size = (batch["target"].shape[2], batch["target"].shape[3])
    return objective.loss_fn(params, seen, model, settings, size)[0]
