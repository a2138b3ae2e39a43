"""Pictures of a run in progress: for every task of its mixture, input, target and output."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from vision_banana.data import sources
from vision_banana.evaluation import ask, predict, score
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS
from vision_banana.models.generator import Params
from vision_banana.tasks import TASKS
from vision_banana.training.metric_writer import MetricWriter
from vision_banana.training.run import Run

RECORDS = 4  # rows of a task's panel


def write(
    writer: MetricWriter, step: int, run: Run, params: Params, config: Mapping[str, Any]
) -> None:
    """Draws held-out examples of every task and writes one panel a task.

    A panel has a row an example: the reference pictures, the target, what was drawn.

    Args:
      writer: where the panels go.
      step: the training step.
      run: the run's parts.
      params: the generator's weights.
      config: the run's config, a plain dict.
    """
    size = config["data"]["size"]
    names = {name for entry in config["data"]["mixture"].values() for name in entry["tasks"]}
    tasks = {name: task for name, task in TASKS.items() if name in names}
    source = sources.build({"name": "scenes", "split": "heldout", "size": size})
    asked = score.queries(source, tasks, range(RECORDS), config["seed"], run.model.text_length)
    model, build = run.model, functools.partial(predict.build, run.model, mesh=run.mesh)
    seeing = ask.build(build(), params, model.text_length)
    guided = build(steps=DRAWING_STEPS, text_guidance=DRAWING_GUIDANCE)
    drawing = ask.build(guided, params, model.text_length)
    for apart in (False, True):
        part = {name: rows for name, rows in asked.items() if (name in score.APART) == apart}
        asker = score.Asker(*(2 * (drawing if apart else seeing,)))
        for name, drawn in score.draw(asker, part, jax.random.key(config["seed"])).items():
            rows = [
                np.concatenate([*q.example.references, q.truth(), rgb], axis=1)
                for q, rgb in zip(part[name], drawn, strict=True)
            ]
            if rows:
                writer.picture(step, name, np.concatenate(rows))
