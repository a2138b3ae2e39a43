"""A blind comparison of two generators' pictures: the pairs, their order, and what votes say.

A rater sees two pictures of one prompt and says which is better. Nobody is told whose they are:
order and sides are drawn for each rater alone, from the study and the rater's name, so a study that
is interrupted goes on with the same pairs.
"""

import hashlib
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vision_banana.data import pictures
from vision_banana.evaluation import results, totals
from vision_banana.metrics import preference

CHOICES = ("left", "tie", "right")


class Pair(NamedTuple):
    """Two generators' answers to one prompt.

    Attributes:
      name: path of both files inside their folders, without ending.
      prompt: what was asked.
      ours: file of the one.
      theirs: file of the other.
    """

    name: str
    prompt: str
    ours: pathlib.Path
    theirs: pathlib.Path


class Study(NamedTuple):
    """What is compared.

    Attributes:
      pairs: in the order of their names.
      bad: (name, reason) of what is in the folders and cannot be compared.
      digest: tells it from other studies.
    """

    pairs: tuple[Pair, ...]
    bad: tuple[tuple[str, str], ...]
    digest: str


class Showing(NamedTuple):
    """One pair as one rater sees it: whether the left picture is ours."""

    pair: Pair
    ours_left: bool


def read(ours: str, theirs: str) -> Study:
    """Finds the pairs in two folders that `evaluate --save_predictions` wrote.

    Answers that are no pictures (depth, labels, ...) are passed over.

    Raises:
      ValueError: a folder that is not there, or no pair at all.
    """
    roots = [pathlib.Path(ours), pathlib.Path(theirs)]
    for root in roots:
        if not root.is_dir():
            raise ValueError(f"{root} is no folder; give what evaluate --save_predictions wrote")
    if roots[0].resolve() == roots[1].resolve():
        raise ValueError(f"{root} is compared with itself; give the folders of two generators")
    found = [{p.relative_to(r).as_posix(): p for p in sorted(r.rglob("*.npz"))} for r in roots]
    pairs, bad = [], []
    for name in sorted({*found[0], *found[1]}):
        files = [of.get(name) for of in found]
        try:
            pair = _pair(name.removesuffix(".npz"), files, roots)
        except ValueError as error:
            bad.append((name, str(error)))
            continue
        if pair is not None:
            pairs.append(pair)
    if not pairs:
        reasons = "".join(f"\n{name}: {reason}" for name, reason in bad[:3])
        raise ValueError(f"{ours} and {theirs} hold no two pictures of one prompt{reasons}")
    said = [(p.name, p.prompt, p.ours.stat().st_size, p.theirs.stat().st_size) for p in pairs]
    return Study(tuple(pairs), tuple(bad), hashlib.sha256(repr(said).encode()).hexdigest()[:16])


def _pair(
    name: str, files: Sequence[pathlib.Path | None], roots: Sequence[pathlib.Path]
) -> Pair | None:
    """Two files as a pair; None where they hold no pictures; ValueError where they do not fit."""
    heads = [None if file is None else _head(file) for file in files]
    if all(head is None or not head["drawn"] for head in heads):
        return None
    for head, root in zip(heads, roots, strict=True):
        if head is None or not head["drawn"]:
            raise ValueError(f"{root} has no picture of that name")
    (ours, theirs) = heads
    assert ours and theirs and files[0] and files[1]
    if (ours["key"], ours["prompt"]) != (theirs["key"], theirs["prompt"]):
        raise ValueError(
            f"asked differently: {ours['key']} {ours['prompt']!r}, and {theirs['key']} "
            f"{theirs['prompt']!r}"
        )
    return Pair(name, ours["prompt"], files[0], files[1])


def _head(file: pathlib.Path) -> dict[str, Any]:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            drawn = "rgb" in arrays.files
            return {"drawn": drawn, "key": str(arrays["key"]), "prompt": str(arrays["prompt"])}
    except Exception as error:  # zip files break in many ways
        raise ValueError(f"{file} cannot be read ({error}); draw it again") from error


def picture(file: pathlib.Path) -> np.ndarray:
    """The drawn picture of a file, (H, W, 3) uint8; ValueError names a file that holds none."""
    found = _levels(file, "rgb")
    if found is None:
        raise ValueError(f"{file} holds no picture; draw it again")
    return found


def sides(showing: Showing) -> tuple[np.ndarray, np.ndarray]:
    """The left and the right picture, (H, W, 3) uint8; ValueError where a file cannot be read."""
    ours, theirs = picture(showing.pair.ours), picture(showing.pair.theirs)
    return (ours, theirs) if showing.ours_left else (theirs, ours)


def edited(pair: Pair) -> np.ndarray | None:
    """The picture that was to be edited, (H, W, 3) uint8; None where there was none.

    Raises ValueError where the file cannot be read.
    """
    return _levels(pair.ours, "picture")


def _levels(file: pathlib.Path, name: str) -> np.ndarray | None:
    try:
        with np.load(file, allow_pickle=False) as arrays:
            array = arrays[name] if name in arrays.files else None
    except Exception as error:  # zip files break in many ways
        raise ValueError(f"{file} cannot be read ({error}); draw it again") from error
    if array is None:
        return None
    if (
        array.ndim != 3
        or array.shape[-1] != 3
        or array.shape[0] * array.shape[1] > (pictures.MAX_PIXELS)
    ):
        raise ValueError(f"{file} has shape {array.shape}; a picture is (H, W, 3)")
    return array if array.dtype == np.uint8 else pictures.to_u8(array)


def order(study: Study, rater: str) -> list[Showing]:
    """Every pair once, in the rater's own order, with the sides drawn for this rater."""
    seed = hashlib.sha256(f"{study.digest}/{rater}".encode()).digest()
    rng = np.random.default_rng(list(seed))
    places = rng.permutation(len(study.pairs))
    sides = rng.integers(0, 2, len(study.pairs))
    return [Showing(study.pairs[i], bool(side)) for i, side in zip(places, sides, strict=True)]


def vote(showing: Showing, choice: str) -> int:
    """A choice in the numbers of `metrics.preference`: 1 ours, 0 a tie, -1 theirs.

    Raises:
      ValueError: another choice than "left", "tie" and "right".
    """
    if choice not in CHOICES:
        raise ValueError(f"the choice is {choice!r}; it must be one of {', '.join(CHOICES)}")
    if choice == "tie":
        return 0
    return 1 if (choice == "left") == showing.ours_left else -1


def tally(votes: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """What people say, all together, and what each judge says.

    Args:
      votes: records of `preference_votes`.

    Returns:
      "people" or the judge's name -> `pairs`, `votes`, `raters`, `left` (share of the decided votes
      that went to the left picture; near a half where sides do not matter), and the numbers of
      `metrics.preference.pairwise_win_rate`.
    """
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for record in votes:
        groups.setdefault(record["rater"] if record["judge"] else "people", []).append(record)
    return {name: _numbers(groups[name]) for name in sorted(groups, key=lambda n: n != "people")}


def _numbers(votes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    names = {name: i for i, name in enumerate(sorted({v["pair"] for v in votes}))}
    raters = {name: i for i, name in enumerate(sorted({v["rater"] for v in votes}))}
    table = np.zeros((len(names), len(raters)), int)
    cast = np.zeros(table.shape, bool)
    for v in votes:
        at = names[v["pair"]], raters[v["rater"]]
        table[at], cast[at] = v["vote"], True
    metric = preference.pairwise_win_rate()
    decided = [v["choice"] == "left" for v in votes if v["choice"] != "tie"]
    return {
        "pairs": len(names),
        "votes": int(cast.sum()),
        "raters": len(raters),
        "left": float(np.mean(decided)) if decided else float("nan"),
        **metric.compute(metric.update(metric.init(), table, cast)),
    }


def lines(
    study: Study,
    votes: Sequence[Mapping[str, Any]],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
) -> list[results.Row]:
    """What people say, and what each judge says, as result lines.

    Args:
      study: what was compared.
      votes: records of `preference_votes`.
      ours, theirs: whose pictures the folders hold, see `saved.origin`.

    Returns:
      A line `win_rate` for each task, number of steps and judge, in [0, 1] with its interval:
      `count` pairs have a vote and `skipped` none, `against` names the other generator, and
      `judge` the judge, None for people. See `results.rows`.

    Raises:
      ValueError: the folders are of different benchmarks, or a pair's name is not TASK/STEPS/NAME.
    """
    if ours["benchmark"] != theirs["benchmark"]:
        raise ValueError(
            f"the pictures are of {ours['benchmark']} and of {theirs['benchmark']}: compare two "
            "generators on one benchmark"
        )
    asked: dict[tuple[str, int], set[str]] = {}
    for pair in study.pairs:
        task, steps, _ = _place(pair.name)
        asked.setdefault((task, steps), set()).add(pair.name)
    against = f"{theirs['run']} at checkpoint {theirs['checkpoint_step']}"
    made = []
    for (task, steps), names in asked.items():
        for who, x in tally([v for v in votes if v["pair"] in names]).items():
            ends = (x["win_rate_low"], x["win_rate_high"])
            score = totals.Score(
                {steps: {"win_rate": x["win_rate"]}},
                int(x["pairs"]),
                len(names) - int(x["pairs"]),
                intervals={steps: {"win_rate": ends}},
            )
            judge = None if who == "people" else who
            made += results.rows(
                {task: score}, {task: {"win_rate": 1.0}}, **ours, against=against, judge=judge
            )
    return made


def _place(name: str) -> tuple[str, int, str]:
    """A pair's task, number of steps and record."""
    try:
        task, steps, record = name.split("/")
        return task, int(steps), record
    except ValueError as error:
        raise ValueError(
            f"the pair {name!r} does not say its task and steps: give the folders that "
            "evaluate --save_predictions wrote, TASK/STEPS/RECORD.npz and all"
        ) from error


def markdown(numbers: Mapping[str, Mapping[str, float]]) -> str:
    """`tally`'s numbers as a table, in per cent."""
    head = ("by", "win rate", "95 % interval", "ties", "alpha", "left", "votes", "pairs", "raters")
    rows = [head, (":--", *["--:"] * (len(head) - 1))]
    for name, x in numbers.items():
        interval = f"{_percent(x['win_rate_low'])} to {_percent(x['win_rate_high'])}"
        alpha = "" if np.isnan(x["alpha"]) else f"{x['alpha']:.2f}"
        counts = (f"{x[count]:.0f}" for count in ("votes", "pairs", "raters"))
        rows.append(
            (name, _percent(x["win_rate"]), interval, _percent(x["ties"]), alpha,
             _percent(x["left"]), *counts)
        )  # fmt: skip
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"
