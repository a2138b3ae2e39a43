"""Answers about pictures: time and operations by sampling steps and by what is computed anew.

Three ways to give the same number of answers, each with the pocket model's random weights:

* anew: text and picture are encoded again at every sampling step, as if nothing were cached;
* once an answer: encoded once, then sampled (`evaluation.predict`);
* shared: as before, and all prompts are about one picture, which is encoded once.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import pocket
from vision_banana.bench import machine, timing, weights
from vision_banana.evaluation import predict
from vision_banana.models import flops, generator
from vision_banana.models.generator import Generator

STEPS = (1, 4, 20)
WAYS = ("anew", "once an answer", "shared")
ANSWERS = 8


def compare(rounds: int, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Times all ways and numbers of steps in turns.

    Args:
      rounds: how often each is timed.
      settings: a config's `model` section and `data.size`; those of the pocket model by default.

    Returns:
      What `report` prints, as plain values; times and operations are those of one answer.
    """
    settings = settings or pocket.get_config().to_dict()
    model = Generator(**settings["model"])
    side = settings["data"]["size"]
    params = jax.device_put(weights.draw(model))
    functions: dict[str, Callable[[], Any]] = {}
    work = {}
    for steps in STEPS:
        drawn = predict.build(model, steps=steps)
        for way in WAYS:
            groups, queries = (1, ANSWERS) if way == "shared" else (ANSWERS, 1)
            batch = _batch(model, groups, queries, side)
            name = f"{way}, {steps}"
            if way == "anew":
                functions[name] = _anew(model, params, batch, steps)
            else:
                functions[name] = _call(drawn, params, batch)
            sizes = flops.batch_of(model, groups, queries, 1, (side, side))
            passes = steps if way == "anew" else 1
            work[name] = flops.answer(model, sizes, steps, passes) / ANSWERS
    check(functions)
    times = timing.in_turns(functions, rounds)
    return {
        "machine": machine.describe(),
        "answers": ANSWERS,
        "flops": work,
        "seconds": {
            name: {k: x if k == "rounds" else x / ANSWERS for k, x in t._asdict().items()}
            for name, t in times.items()
        },
    }


def check(functions: Mapping[str, Callable[[], Any]]) -> None:
    """Checks that encoding anew and once draw the same pictures.

    Raises:
      ValueError: where they do not.
    """
    for steps in STEPS:
        anew, once = (np.asarray(functions[f"{way}, {steps}"]()) for way in WAYS[:2])
        if not np.allclose(anew, once, atol=0.02):  # bfloat16 products, in another order
            raise ValueError(
                f"with {steps} steps, answers encoded anew differ by {np.abs(anew - once).max()}"
            )


def _batch(model: Generator, groups: int, queries: int, side: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "tokens": jnp.asarray(
            rng.integers(1, model.vocabulary, (groups, queries, model.text_length))
        ),
        "references": jnp.asarray(rng.random((groups, 1, side, side, 3), np.float32)),
        "reference_mask": jnp.ones((groups, queries, 1), bool),
        "shape": (side, side),
    }


def _call(drawn: predict.Predict, params: Any, batch: Mapping[str, Any]) -> Callable[[], Any]:
    def run() -> jax.Array:
        return drawn(params, jax.random.key(0), batch).block_until_ready()

    return run


def _anew(model: Generator, params: Any, batch: Mapping[str, Any], steps: int) -> Callable[[], Any]:
    """Euler's method with the whole network at every step, a call each."""
    lead = batch["tokens"].shape[:2]

    @jax.jit
    def begin() -> jax.Array:
        return jax.random.normal(jax.random.key(0), (*lead, *batch["shape"], 3))

    @jax.jit
    def step(params: Any, z: jax.Array, t: jax.Array, t_next: jax.Array) -> jax.Array:
        references = generator.to_model(batch["references"])
        context = model.encode(params, batch["tokens"], references, batch["reference_mask"])
        x = model.denoise(params, z, jnp.full(lead, t), context)
        share = (t_next - t) / (1 - t)
        return (1 - share) * z + share * x

    def run() -> jax.Array:
        z, grid = begin(), np.linspace(0, 1, steps + 1, dtype=np.float32)
        for t, t_next in itertools.pairwise(grid):
            z = step(params, z, t, t_next)
        return generator.to_rgb(z).block_until_ready()

    return run


def report(result: Mapping[str, Any]) -> str:
    """The result as lines to read."""
    lines = [
        f"one answer of the pocket model about one picture, of {result['answers']} at a time:",
        "",
        f"{'encoded':16}{'steps':>6}{'median (quartiles)':>26}{'GFLOP':>8}{'GF/s':>7}",
    ]
    for name, values in result["seconds"].items():
        way, steps = name.split(", ")
        times, work = timing.Times(**values), result["flops"][name]
        lines.append(
            f"{way:16}{steps:>6}{timing.milliseconds(times):>26}{work / 1e9:>8.2f}"
            f"{work / times.median / 1e9:>7.0f}"
        )
    return "\n".join(lines)
