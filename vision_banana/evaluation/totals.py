"""What is made of the states of single records: their sum, and how sure its numbers are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np

from vision_banana.evaluation.records import Entry, Records
from vision_banana.metrics.metric import Metric, State

RESAMPLES = 1000
LEVEL = 0.95
BLOCK = 50  # resamples summed at once

Column = str | int  # "blind", "truth" or a number of steps


class Score(NamedTuple):
    """One task's scores.

    Attributes:
      values: metric name -> value, for each column: each step count, and "blind" and "truth"
        where there are training records.
      asked: records that were asked and scored, `unasked` among them.
      skipped: records that could not be: unusable, or no drawn prompt fits the generator.
      bad: (key, reason) of each of those.
      intervals: metric name -> (low, high), a bootstrap interval over pictures, for each step
        count.
      states: the metric's state at each step count.
      pictures: how many different ones were asked about; None where that is not known.
      unasked: (key, reason) of questions of a released set that could not be put, and are scored
        as answered with nothing.
    """

    values: Mapping[Column, Mapping[str, float]]
    asked: int
    skipped: int
    bad: tuple[tuple[str, str], ...] = ()
    intervals: Mapping[Column, Mapping[str, tuple[float, float]]] = {}
    states: Mapping[Column, State] = {}
    pictures: int | None = None
    unasked: tuple[tuple[str, str], ...] = ()


def scores(
    metrics: Mapping[str, Metric],
    records: Records,
    steps: Sequence[int],
    beside: bool,
    resampled: bool = False,
) -> dict[str, Score]:
    """The scores of all records there are.

    Args:
      metrics: task name -> metric, whose states the records hold.
      records: the records' states.
      steps: the step counts that were asked.
      beside: whether the blind and the true answer were scored too.
      resampled: whether intervals are wanted, which take a while.
    """
    columns: tuple[Column, ...] = (*(("blind", "truth") if beside else ()), *steps)
    found = {}
    for name, metric in metrics.items():
        entries = records.of(name)
        scored = [e for e in entries if not e.reason]
        whole = {c: total(metric, (e.states[str(c)] for e in scored)) for c in columns}
        places = _by_picture(scored)
        found[name] = Score(
            {c: metric.compute(state) for c, state in whole.items()},
            len(scored),
            len(entries) - len(scored),
            tuple((e.key, e.reason) for e in entries if e.reason),
            {c: _interval(metric, scored, c, places) for c in steps} if resampled else {},
            {c: whole[c] for c in steps},
            len(places),
            tuple((e.key, e.unasked) for e in scored if e.unasked),
        )
    return found


def _by_picture(entries: Sequence[Entry]) -> list[list[int]]:
    """The places of the entries about each picture."""
    places: dict[str | int, list[int]] = {}
    for place, entry in enumerate(entries):
        places.setdefault(entry.picture or entry.record, []).append(place)
    return list(places.values())


def _interval(
    metric: Metric, entries: Sequence[Entry], column: Column, places: Sequence[Sequence[int]]
) -> dict[str, tuple[float, float]]:
    """Intervals over pictures: questions about one are right or wrong together, as a cluster is."""
    name = str(column)
    return bootstrap(
        metric, [total(metric, (entries[i].states[name] for i in of_one)) for of_one in places]
    )


def skill(value: float, blind: float, perfect: float) -> float:
    """(value - blind) / (perfect - blind): 0 for the blind answer, 1 for the perfect one.

    NaN where the blind answer is perfect, or where either is unknown.
    """
    return (value - blind) / (perfect - blind) if perfect != blind else float("nan")


def total(metric: Metric, states: Iterable[State]) -> State:
    """All records' state; states merge by addition."""
    whole = metric.init()
    for state in states:
        whole = metric.merge(whole, state)
    return whole


def bootstrap(metric: Metric, states: Sequence[State]) -> dict[str, tuple[float, float]]:
    """95 % intervals of a metric's numbers over the choice of pictures.

    The percentile bootstrap (Efron 1979): pictures are drawn again with replacement, as many as
    there are, and each draw's number is computed from the sum of its states. The draws are the
    same for every call with as many pictures.

    Args:
      metric: whose states merge by addition, array by array.
      states: one of each picture, that of all records about it.

    Returns:
      Name -> (low, high); nothing for fewer than two pictures, and without the names whose number
      is not finite in every draw.
    """
    tail = 100 * (1 - LEVEL) / 2
    return {
        name: (float(np.percentile(x, tail)), float(np.percentile(x, 100 - tail)))
        for name, x in _resampled(metric, states).items()
    }


class Difference(NamedTuple):
    """How much higher a number is in the second of two columns, with its bootstrap interval."""

    value: float
    low: float
    high: float


def differences(
    metric: Metric, before: Sequence[State], after: Sequence[State]
) -> dict[str, Difference]:
    """What two answers to the same records differ by, with 95 % intervals.

    Each draw takes the same records of both (the paired bootstrap), so that what is hard about a
    record is hard for both.

    Args:
      metric: whose states merge by addition, array by array.
      before: a state of each record.
      after: the same records' other states.

    Returns:
      Name -> difference of the metric's numbers; see `bootstrap` for what is left out.

    Raises:
      ValueError: the columns have different lengths.
    """
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} records are not the same records")
    values = [metric.compute(total(metric, states)) for states in (before, after)]
    draws = [_resampled(metric, states) for states in (before, after)]
    tails = (50 * (1 - LEVEL), 100 - 50 * (1 - LEVEL))
    return {
        name: Difference(
            values[1][name] - values[0][name],
            *(float(x) for x in np.percentile(draws[1][name] - draws[0][name], tails)),
        )
        for name in draws[0].keys() & draws[1].keys()
    }


def _resampled(metric: Metric, states: Sequence[State]) -> dict[str, np.ndarray]:
    """A metric's numbers, (RESAMPLES,) each, of draws that depend on nothing but their count."""
    if len(states) < 2:
        return {}
    structure = jax.tree.structure(states[0])
    leaves = [np.stack(parts) for parts in zip(*map(jax.tree.leaves, states), strict=True)]
    rng = np.random.default_rng(0)
    drawn: dict[str, list[float]] = {}
    for _ in range(RESAMPLES // BLOCK):
        times = rng.multinomial(len(states), np.full(len(states), 1 / len(states)), BLOCK)
        sums = [_sum(times, leaf) for leaf in leaves]
        for parts in zip(*sums, strict=True):
            for name, value in metric.compute(jax.tree.unflatten(structure, parts)).items():
                drawn.setdefault(name, []).append(value)
    return {name: np.array(x) for name, x in drawn.items() if np.isfinite(x).all()}


def _sum(times: np.ndarray, leaf: np.ndarray) -> np.ndarray:
    """Weighted sums (BLOCK, ...) of (n, ...), as floats: exact for counts below 2^53."""
    flat = times.astype(np.float64) @ leaf.reshape(len(leaf), -1).astype(np.float64)
    return flat.reshape(-1, *leaf.shape[1:]).astype(leaf.dtype)
