"""What 1, 4 and 16 votes give for every task of a checkpoint, and what their confidence is worth.

python -m experiments.votes.run --workdir runs/my_pocket --output runs/my_pocket/votes
"""

import functools
import json
import os
import pathlib
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import tqdm

from experiments.votes import curves
from vision_banana import _bad_input, evaluate
from vision_banana.data import language, scenes
from vision_banana.evaluation import ask, benchmarks, confidence, predict, results, totals
from vision_banana.evaluation.records import Records
from vision_banana.metrics.calibration import ConfidenceState
from vision_banana.tasks import TASKS
from vision_banana.training import weights_arguments
from vision_banana.training.trained import Trained

VOTED = tuple(name for name, task in TASKS.items() if task.again is not None)
COST_VOTES = 20
REPEATS = 5


def score(
    model: Trained, run: str, output: pathlib.Path, votes: int, count: int, steps: int
) -> tuple[list[results.Row], dict[str, ConfidenceState]]:
    """Result lines without and with calibration, and each task's confidences before it.

    All that it writes, the calibration too, lies in `output`.
    """
    ask_all = functools.partial(
        evaluate.evaluate, model, run, "scenes",
        tasks=VOTED, count=count, steps=(steps,), votes=votes,
        progress=functools.partial(tqdm.tqdm, desc=f"{votes} votes", unit="chunk"),
    )  # fmt: skip
    plain = output / f"records-{votes}"
    lines = ask_all(records=str(plain))
    ask_all(workdir=str(output), fit_calibration=True)
    calibrated = str(output / f"records-{votes}-calibrated")
    (digest,) = {line["records"] for line in lines}
    lines += ask_all(workdir=str(output), records=calibrated)
    row = benchmarks.BENCHMARKS["scenes"]
    metrics = confidence.metrics_of({name: benchmarks.scored_task(row, name) for name in VOTED})
    kept = Records(metrics)
    for path in plain.glob(f"{digest}-*.jsonl"):  # older ones are of other settings or weights
        kept.read(path)
    scored = totals.scores(metrics, kept, [steps], beside=True)
    return lines, {name: scored[name].states[steps][1] for name in VOTED}


def table(lines: Sequence[results.Row]) -> str:
    """A row for each task and number of votes."""
    header = ["task", "metric", "votes", "score", "95 % interval", "blind", "ECE",
              "ECE calibrated", "AURC"]  # fmt: skip
    at: dict[tuple, Mapping[str, Any]] = {
        (r["task"], r["metric"], r["votes"], r["calibrated"]): r for r in lines
    }

    def number(task: str, metric: str, votes: int, calibrated: bool = False) -> str:
        value = at[task, metric, votes, calibrated]["value"]
        return "-" if value is None else f"{value:.3f}"

    body = []
    for (task, metric, votes, calibrated), r in at.items():
        if r["perfect"] is None or calibrated:
            continue
        blind = "-" if r["blind"] is None else f"{r['blind']:.3f}"
        between = "-" if r["low"] is None else f"{r['low']:.3f} to {r['high']:.3f}"
        body.append(
            [task, metric, str(votes), number(task, metric, votes), between, blind,
             number(task, "ECE", votes), number(task, "ECE", votes, True),
             number(task, "AURC", votes)]
        )  # fmt: skip
    return results.markdown(header, sorted(body, key=lambda row: (row[0], row[1], int(row[2]))))


def cost(model: Trained, steps: int) -> dict[str, float]:
    """Seconds of one answer and of many legend votes about one picture, and their ratio."""
    size = model.config["data"]["size"]
    example = scenes.Scenes("heldout", size).example(0, "semantic_segmentation")
    task, rng = TASKS["semantic_segmentation"], np.random.default_rng(0)
    first = task.prompt(example, rng)
    assert task.again is not None
    prompts = (first, *(task.again(first, rng) for _ in range(COST_VOTES - 1)))
    put = ask.build(
        predict.build(model.model, steps=steps), model.params, model.model.text_length, 1
    )
    seconds = {}
    for number in (1, COST_VOTES):
        group = ask.Group(prompts[:number], example.references, (size, size))
        put([group], jax.random.key(0))  # compiles
        taken = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            put([group], jax.random.key(0))
            taken.append(time.perf_counter() - start)
        seconds[str(number)] = statistics.median(taken)
    return seconds | {"ratio": seconds[str(COST_VOTES)] / seconds["1"]}


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    weights_arguments.add(parser)
    parser.add_argument("--output", required=True, help="folder that gets table and curves")
    parser.add_argument("--votes", default="1,4,16", help="numbers of votes")
    parser.add_argument("--count", type=int, default=256, help="scenes scored, and fitted on")
    parser.add_argument("--steps", type=int, default=1, help="sampling steps")
    arguments = parser.parse_args(argv)
    model = weights_arguments.load(arguments, language.describe())
    run = os.path.basename(os.path.normpath(weights_arguments.results_folder(arguments)))
    output = pathlib.Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    (output / "cost.json").write_text(json.dumps(cost(model, arguments.steps)) + "\n")
    lines: list[results.Row] = []
    states: dict[int, dict[str, ConfidenceState]] = {}
    for votes in map(int, arguments.votes.split(",")):
        found, states[votes] = score(model, run, output, votes, arguments.count, arguments.steps)
        lines += found
        (output / "table.md").write_text(table(lines) + "\n")
        (output / "curves.svg").write_text(curves.draw(states))
    results.write(output / "results.jsonl", lines)
    print(table(lines))


if __name__ == "__main__":
    main()
