"""Times functions in turns, so that what disturbs the machine disturbs all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tqdm


class Times(NamedTuple):
    """Seconds of one function over the rounds.

    Attributes:
      median: half of the rounds took less.
      low: a quarter of the rounds took less.
      high: three quarters of the rounds took less.
      best: the shortest round.
      rounds: how many there were.
    """

    median: float
    low: float
    high: float
    best: float
    rounds: int


def summarise(seconds: list[float]) -> Times:
    """Median, quartiles and best of at least one time."""
    low, _, high = (
        statistics.quantiles(seconds, n=4, method="inclusive")
        if len(seconds) > 1
        else [seconds[0]] * 3
    )
    return Times(statistics.median(seconds), low, high, min(seconds), len(seconds))


def in_turns(
    functions: Mapping[str, Callable[[], Any]], rounds: int, warm: int = 1
) -> dict[str, Times]:
    """Runs every function once in each round, in the given order.

    Args:
      functions: name -> what to time; it returns when its work is done.
      rounds: that count.
      warm: rounds before them that do not.

    Returns:
      Name -> times.
    """
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    bar = tqdm.tqdm(range(warm + rounds), desc="compiling", unit="round")
    for i in bar:
        if i == warm:
            bar.set_description("timing")
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            if i >= warm:
                seconds[name].append(time.perf_counter() - started)
    return {name: summarise(times) for name, times in seconds.items()}


def milliseconds(times: Times) -> str:
    """ "12.3 ms (11.9-13.0)": the median and the quartiles."""
    low, middle, high = (
        f"{1e3 * x:.0f}" if x >= 0.1 else f"{1e3 * x:.3g}"
        for x in (times.low, times.median, times.high)
    )
    return f"{middle} ms ({low}-{high})"
