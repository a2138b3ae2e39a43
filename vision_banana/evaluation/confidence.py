"""The confidence of answers: scored beside them, and calibrated on held-out records.

`WORKDIR/calibration.json`, beside the checkpoints, holds a curve for each task and way of asking
(benchmark, sampling steps, votes, size), with the records that it was fitted on, and names the
weights that it was fitted for. Curves of other weights are not used, nor those of files that name
none, which earlier versions wrote.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from etils import epath

from vision_banana.evaluation import totals
from vision_banana.evaluation.records import Records
from vision_banana.metrics import calibration
from vision_banana.metrics.calibration import ConfidenceState, Curve
from vision_banana.metrics.metric import Metric
from vision_banana.tasks.task import Answer, Example, Task
from vision_banana.training import folders

FILE = "calibration.json"
SCORES = ("ECE", "AURC")


class Fitted(NamedTuple):
    """A curve, and the records of the benchmark that it was fitted on."""

    curve: Curve
    records: range


def scored_too(task: Task) -> Metric:
    """The task's metric and, where its pixels are right or wrong, its confidence's ECE and AURC.

    The state is then the pair of the metric's and `calibration.calibration`'s.
    """
    metric, sure = task.metric(), calibration.calibration()
    below = task.right_below
    if below is None:
        return metric

    def update(state: Any, answer: Answer, examples: Sequence[Example]) -> Any:
        own, confidence = state
        own = metric.update(own, answer, examples)
        for i, example in enumerate(examples):
            error, stated = task.error(answer, i, example), answer["confidence"][i]
            known = np.isfinite(error) & ~np.isnan(stated)  # a question that was not asked has none
            right = np.where(known, error, math.inf) < below
            confidence = sure.update(confidence, stated, right, valid=known)
        return own, confidence

    return Metric(
        lambda: (metric.init(), sure.init()),
        update,
        lambda a, b: (metric.merge(a[0], b[0]), sure.merge(a[1], b[1])),
        lambda state: {**metric.compute(state[0]), **sure.compute(state[1])},
    )


def metrics_of(tasks: Mapping[str, Task]) -> dict[str, Metric]:
    """The metrics that tasks are scored by: their own, and their confidence's."""
    return {name: scored_too(task) for name, task in tasks.items()}


def calibrated(answer: Answer, curve: Curve) -> Answer:
    """The answer with probabilities of being right as its confidences."""
    return {**answer, "confidence": calibration.apply(curve, answer["confidence"])}


def fit(states: Mapping[str, Any]) -> dict[str, Curve]:
    """A curve for each task, from the states of `scored_too`; none for tasks without."""
    return {
        name: calibration.fit(state[1])
        for name, state in states.items()
        if isinstance(state, tuple) and len(state) == 2 and isinstance(state[1], ConfidenceState)
    }


def counted(
    folder: str | os.PathLike[str], tasks: Mapping[str, Task], steps: int, digest: str = ""
) -> dict[str, ConfidenceState]:
    """What the records of one evaluation say of their confidences.

    Args:
      folder: with the records of that evaluation.
      tasks: the tasks that it asked.
      steps: the number of sampling steps to read.
      digest: of the evaluation, `records` in its result lines; "" where the folder holds no other.

    Returns:
      Task name -> pixels by confidence, for the tasks whose pixels are right or wrong.

    Raises:
      ValueError: there is no record, or there are several evaluations and none is named.
    """
    metrics = metrics_of(tasks)
    kept = Records(metrics)
    paths = sorted(epath.Path(folder).glob(f"{digest}*.jsonl"))
    found = sorted({path.name.partition("-")[0] for path in paths})
    if len(found) > 1:
        raise ValueError(
            f"{folder} holds records of {len(found)} evaluations, {', '.join(found)}: name one "
            "(digest), which stands as `records` in its result lines"
        )
    for path in paths:
        kept.read(path)
    scored = {
        name: [e for e in kept.of(name) if not e.reason]
        for name, task in tasks.items()
        if task.right_below is not None
    }
    if not any(scored.values()):
        raise ValueError(f"{folder} holds no record of an evaluation; give its `records` folder")
    return {
        name: totals.total(calibration.calibration(), (e.states[str(steps)][1] for e in entries))
        for name, entries in scored.items()
    }


def _name(way: Mapping[str, Any]) -> str:
    return json.dumps(way, sort_keys=True)


def save(
    workdir: str | os.PathLike[str],
    weights: str,
    way: Mapping[str, Any],
    curves: Mapping[str, Curve],
    records: range,
) -> epath.Path:
    """Stores curves in a run's folder, beside those of other ways of asking.

    Args:
      workdir: the run's folder.
      weights: those that were asked, see `Trained.weights`; curves of others are dropped.
      way: how was asked, JSON values.
      curves: task -> curve.
      records: those that the curves were fitted on.

    Returns:
      The file.
    """
    path = epath.Path(workdir) / FILE
    table = _table(path)
    kept = table["ways"] if table.get("weights") == weights else {}
    stored = {
        task: {
            "records": [records.start, records.stop],
            "curve": {name: values.tolist() for name, values in curve._asdict().items()},
        }
        for task, curve in curves.items()
    }
    kept[_name(way)] = {**kept.get(_name(way), {}), **stored}
    path.parent.mkdir(parents=True, exist_ok=True)
    folders.write_whole(path, json.dumps({"weights": weights, "ways": kept}))
    return path


def load(
    workdir: str | os.PathLike[str], weights: str, way: Mapping[str, Any]
) -> dict[str, Fitted]:
    """The curves of weights that are asked in this way, by task; empty where there are none.

    Who scores a record must not use a curve that was fitted on it.

    Raises:
      ValueError: the file is no such table.
    """
    path = epath.Path(workdir) / FILE
    table = _table(path)
    if table.get("weights") != weights:
        return {}
    try:
        return {
            task: Fitted(calibration.from_lists(**kept["curve"]), range(*kept["records"]))
            for task, kept in table["ways"].get(_name(way), {}).items()
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} holds no calibration ({error!r}): delete it and fit again"
        ) from error


def _table(path: epath.Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    try:
        table = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON ({error}): delete it and fit again") from error
    if not isinstance(table, dict):
        raise ValueError(f"{path} holds no calibration: delete it and fit again")
    return table
