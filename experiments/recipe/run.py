"""Compares training recipes at equal wall time, from random weights, on the tuning mix.

    python -m experiments.recipe.run --seconds 150 --seeds 0,1,2 --variants "baseline;adamw"
    python -m experiments.recipe.run --table   # of what the first has written

Each variant is the quickstart's tuning config with a few fields changed. After the given seconds of
training (compilation not counted), the averaged weights answer the same held-out queries in one
step; the squared error of their pictures by task goes to `results.jsonl`, one line a run. Time
nothing while something else runs on the machine.
"""

import argparse
import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import quickstart
from experiments import points
from vision_banana import _bad_input
from vision_banana.data import pipeline
from vision_banana.diffusion import flow_matching
from vision_banana.models import generator, sizes
from vision_banana.tasks import TASKS
from vision_banana.training import json_lines, memory, sharding, train_state, train_step
from vision_banana.training import run as run_lib

RESULTS = pathlib.Path(__file__).with_name("results.jsonl")
BASELINE = "baseline"
# Fields that differ from `configs/quickstart.py:tune`.
VARIANTS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "adamw": {"optimizer.muon_rate": 0.0},
    "adamw, rate 1.5e-3": {"optimizer.muon_rate": 0.0, "optimizer.learning_rate": 1.5e-3},
    "muon rate 0.01": {"optimizer.muon_rate": 0.01},
    "muon rate 0.04": {"optimizer.muon_rate": 0.04},
    "all patches": {"objective.kept_share": 1.0},
    "half of the patches": {"objective.kept_share": 0.5},
    "an eighth of the patches": {"objective.kept_share": 0.125},
    "half by names": {"data.mixture.pictures.source.named": 0.5},
    "the same regions for all prompts of a scene": {"data.mixture.pictures.source.regions": 0},
    "12 pictures, 3 queries, all patches": {
        "objective.kept_share": 1.0, "data.groups": 12, "data.queries": 3,
    },
    "3 pictures": {"data.groups": 3},
    "12 pictures": {"data.groups": 12},
    "4 queries": {"data.groups": 12, "data.queries": 4},
    "full attention": {"model.attention": "full"},
    "fewer answers from pure noise": {"time.noise_share": 0.5},
    "no answers from pure noise": {"time.noise_share": 0.0},
    "times around the middle": {"time.noise_share": 0.5, "time.mean": 0.0},
    "more prompt dropout": {"objective.drop_text": 0.1, "objective.drop_references": 0.1},
    "no prompt dropout": {"objective.drop_text": 0.0, "objective.drop_references": 0.0},
    "averaged over 50 steps": {"objective.ema_decay": 0.98},
    "averaged over 1,000 steps": {"objective.ema_decay": 0.999},
    "no weight decay": {"optimizer.weight_decay": 0.0},
    "all tasks alike": {"data.mixture.pictures.tasks": dict.fromkeys(TASKS, 1.0)},
    "pocket size": {"model.size": "pocket"},
    "4 blocks": {"model.size": "tiny, 4 blocks"},
    "patches of 4 pixels": {"model.size": "tiny, patches of 4"},
    "patches of 16 pixels": {"model.size": "tiny, patches of 16"},
    "patches of 16 pixels, half of them": {
        "model.size": "tiny, patches of 16", "objective.kept_share": 0.5,
    },
    "2 blocks": {"model.size": "mini"},
    "4 blocks, patches of 16 pixels": {"model.size": "tiny, 4 blocks, patches of 16"},
    "4 blocks, patches of 16 pixels, half of them": {
        "model.size": "tiny, 4 blocks, patches of 16", "objective.kept_share": 0.5,
    },
    "4 blocks, 32 pixels for half of the time": {"model.size": "tiny, 4 blocks"},
    "32 pixels for half of the time": {},
}  # fmt: skip
# Fields of a variant in the first half of its time alone.
SMALL = {"data.size": 32, "data.mixture.pictures.source.size": 32}
FIRST_HALF: dict[str, dict[str, Any]] = {
    "32 pixels for half of the time": SMALL,
    "4 blocks, 32 pixels for half of the time": SMALL,
}
TINY = sizes.SIZES["tiny"]
SIZES = {
    "tiny, 4 blocks": dataclasses.replace(TINY, depth=4),
    "tiny, patches of 4": dataclasses.replace(TINY, patch=4),
    "tiny, patches of 16": dataclasses.replace(TINY, patch=16),
    "tiny, 4 blocks, patches of 16": dataclasses.replace(TINY, depth=4, patch=16),
}
HELD_OUT_BATCHES, HELD_OUT_GROUPS = 2, 16
ANSWERED = ("target", "references", "reference_mask", "tokens", "weight", "task")  # of a batch


def configs_of(variant: str, seed: int) -> list[dict[str, Any]]:
    """The configs of a variant, each for an equal part of its time.

    Raises ValueError naming an unknown variant or its field.
    """
    if variant not in VARIANTS:
        said = _bad_input.nearest_or_all(variant, VARIANTS)
        raise ValueError(f"variant {variant!r} is unknown; {said}")
    parts = [VARIANTS[variant]]
    if variant in FIRST_HALF:
        parts = [parts[0] | FIRST_HALF[variant], *parts]
    configs = []
    for fields in parts:
        c = quickstart.get_config("tune")
        c.seed, c.init_from, c.steps = seed, "", 10**6  # a constant rate
        c.model.size = "tiny"
        c.data.vision_share = -1.0
        points.change(c, fields)
        configs.append(c.to_dict())
    return configs


def held_out(config: dict[str, Any]) -> list[dict[str, np.ndarray]]:
    """Batches of held-out scenes in which every task is asked equally often."""
    row = dict(config["data"]["mixture"]["pictures"])
    row |= {"source": row["source"] | {"split": "heldout"}, "tasks": dict.fromkeys(TASKS, 1.0)}
    data = pipeline.dataset(
        [row], groups=HELD_OUT_GROUPS, queries=len(TASKS), height=64, width=64,
        text_length=config["model"]["text_length"], seed=99,
    )  # fmt: skip
    return [{key: data[i][key] for key in ANSWERED} for i in range(HELD_OUT_BATCHES)]


def errors(
    model: generator.Generator, params: Any, batches: Sequence[dict[str, np.ndarray]]
) -> dict[str, float]:
    """Mean squared error of one-step answers by task, in the model's range [-1, 1]."""

    @jax.jit
    def of(batch: dict[str, jax.Array]) -> jax.Array:
        x = generator.to_model(batch["target"])
        references = generator.to_model(batch["references"])
        t = jnp.zeros(x.shape[:2])
        answer = model.apply(params, x * 0, t, batch["tokens"], references, batch["reference_mask"])
        known = (batch["weight"] > 0).astype(x.dtype)  # alike, whatever they weigh in training
        return flow_matching.velocity_loss(answer, x, t, known)  # at t = 0 the plain error

    found: dict[str, list[float]] = {}
    for batch in batches:
        for task, error in zip(batch["task"].ravel(), np.ravel(of(batch)), strict=True):
            found.setdefault(list(TASKS)[task], []).append(float(error))
    return {name: float(np.mean(values)) for name, values in sorted(found.items())}


def train(variant: str, seed: int, seconds: float) -> dict[str, Any]:
    """Trains one variant for a time and returns its result line.

    The line holds both the time asked for, `seconds`, and the time `spent`, which is longer by up
    to a step.
    """
    sizes.SIZES.update(SIZES)
    configs = configs_of(variant, seed)
    state, spent = None, 0.0
    for config in configs:
        run = run_lib.build(config)
        if state is None:
            state = train_state.create(run.model, run.optimizer, run.mesh, seed)
        step = train_step.compile_step(run)
        with pipeline.open_run(config) as batches:
            state, metrics = step(state, sharding.to_devices(next(batches), run.mesh))
            jax.block_until_ready(state)
            started, before = time.perf_counter(), metrics["loss"]
            while (part := time.perf_counter() - started) < seconds / len(configs):
                state, metrics = step(state, sharding.to_devices(next(batches), run.mesh))
                float(before)  # one step ahead of the device, no more
                before = metrics["loss"]
        spent += part
    steps = int(state["step"])
    return {
        "variant": variant, "seed": seed, "seconds": seconds, "spent": round(spent, 1),
        "steps": steps,
        "errors": errors(run.model, state["ema"], held_out(configs[-1])),
        "device": jax.devices()[0].device_kind,
    }  # fmt: skip


def table(lines: Sequence[dict[str, Any]]) -> str:
    """Markdown: each variant's mean error by task as a ratio to the baseline's of the same time.

    Runs of one variant belong together when they were asked to train as long; "-" where the
    baseline was not.
    """
    runs: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for line in lines:
        runs.setdefault((line["variant"], line["seconds"]), []).append(line)
    tasks = sorted({task for line in lines for task in line["errors"]})

    def mean(group: Sequence[dict[str, Any]], task: str) -> float:
        return statistics.fmean(line["errors"][task] for line in group)

    rows = ["| variant | s | seeds | steps | " + " | ".join(tasks) + " | mean |"]
    rows.append("|:--|" + "--:|" * (len(tasks) + 4))
    for (variant, seconds), group in runs.items():
        base = runs.get((BASELINE, seconds))
        cells = ["-"] * (len(tasks) + 1)
        if base is not None:
            ratios = [mean(group, task) / mean(base, task) for task in tasks]
            cells = [f"{ratio:.2f}" for ratio in [*ratios, statistics.geometric_mean(ratios)]]
        steps = round(statistics.fmean(line["steps"] for line in group))
        rows.append(
            f"| {variant} | {seconds:g} | {len(group)} | {steps} | " + " | ".join(cells) + " |"
        )
    return "\n".join(rows)


def _results() -> list[dict[str, Any]]:
    if not RESULTS.exists():
        raise ValueError(
            f"there is nothing to show: {RESULTS} is made by `python -m experiments.recipe.run` "
            "without --table, which trains the variants"
        )
    return json_lines.read(RESULTS)


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write seeds as in 0,1,2") from error


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(
        prog="python -m experiments.recipe.run",
        description=__doc__,
    )
    parser.add_argument("--seconds", type=float, default=150.0)
    parser.add_argument("--seeds", type=_numbers, default=[0], help="numbers, separated by commas")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="names, separated by ;")
    parser.add_argument("--table", action="store_true", help="print the table of all results")
    arguments = parser.parse_args(argv)
    with _bad_input.exits("recipe"):
        if arguments.table:
            print(table(_results()))
            return
        variants = arguments.variants.split(";")
        for variant in variants:
            configs_of(variant, arguments.seeds[0])  # before any is trained
        for seed in arguments.seeds:
            for variant in variants:
                line = train(variant, seed, arguments.seconds)
                with RESULTS.open("a") as file:
                    file.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    memory.use_huge_pages()
    main()
