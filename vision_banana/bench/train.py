"""The train step of the pocket model against the same model in PyTorch."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from configs import pocket
from vision_banana.bench import machine, timing, weights
from vision_banana.data import pipeline
from vision_banana.models import flops
from vision_banana.models.generator import Generator
from vision_banana.training import objective as objective_lib
from vision_banana.training import profile_shares, sharding, train_state
from vision_banana.training import run as run_lib
from vision_banana.training import train_step as train_step_lib
from vision_banana.training.objective import Objective
from vision_banana.training.optimizer import Optimizer

TOLERANCE = 1e-3  # of the largest predicted pixel and of the largest loss, in float32
PROFILED = 3  # steps


def config() -> dict[str, Any]:
    """The pocket config, with AdamW for every weight and batches with one reference."""
    values = pocket.get_config().to_dict()
    values["optimizer"]["muon_rate"] = 0.0
    mixture = values["data"]["mixture"]
    values["data"]["mixture"] = {k: v for k, v in mixture.items() if v["references"] == 1}
    return values


def compare(rounds: int, settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Times the steps in turns, with matrix products between them.

    Args:
      rounds: how often each is timed.
      settings: a config as `config` gives, which is the default.

    Returns:
      What `report` prints, as plain values.

    Raises:
      ValueError: where port and original do not predict the same pixels or give the same loss;
        where JAX does not run on the CPU, as PyTorch does here.
    """
    from vision_banana.bench import torch_train_step

    if jax.default_backend() != "cpu":
        raise ValueError(
            f"PyTorch is timed on the CPU, but JAX runs on {jax.devices()[0].device_kind}; "
            "set JAX_PLATFORMS=cpu to time both on the CPU"
        )
    settings = dict(settings or config())
    run = run_lib.build(settings)
    with pipeline.open_run(settings) as batches:
        batch = next(batches)
    params = weights.draw(run.model)
    differences = check(run.model, params, batch, run.objective)
    networks = {
        f"PyTorch {how} {dtype}": torch_train_step.TorchStep(
            copy_of(run.model, batch, params),
            Optimizer(**settings["optimizer"]),
            run.objective,
            compiled=how == "compiled",
            bfloat16=dtype == "bfloat16",
        )
        for how in ("eager", "compiled")
        for dtype in ("float32", "bfloat16")
    }
    tensors = torch_train_step.tensors(batch)
    ours = _Step(run, params, batch)
    steps: dict[str, Callable[[], Any]] = {"JAX": ours}
    steps |= {name: lambda step=step: step(tensors) for name, step in networks.items()}  # type: ignore[misc]
    products = machine.matrix_products()
    times = timing.in_turns(steps | {k: f for k, (f, _) in products.items()}, rounds, warm=2)
    rates = {name: work / times[name].best for name, (_, work) in products.items()}
    groups, queries, *size = batch["target"].shape[:4]
    counts = groups, queries, batch["references"].shape[1]
    sizes = flops.batch_of(run.model, *counts, tuple(size), run.objective.kept_share)
    work = flops.train_step(run.model, sizes)
    return {
        "machine": machine.describe() | {"torch": torch_train_step.torch.__version__},
        "queries": int(np.prod(batch["tokens"].shape[:2])),
        "largest_differences": differences,
        "flops": work,
        "seconds": {name: times[name]._asdict() for name in steps},
        "matrix_flops_per_second": rates,
        "shares": ours.shares(),
    }


def copy_of(model: Generator, batch: Mapping[str, np.ndarray], params: Any) -> Any:
    """The PyTorch copy with the same weights."""
    from vision_banana.bench import torch_generator

    network = torch_generator.TorchGenerator(
        model, batch["target"].shape[2:4], batch["references"].shape[1]
    )
    network.load(params)
    return network


def check(
    model: Generator, params: Any, batch: Mapping[str, np.ndarray], objective: Objective
) -> dict[str, float]:
    """Compares port and original on one draw of patches, noise and times, both in float32.

    Returns:
      The largest difference of two predicted pixels, and of two queries' losses, each as a share
      of the largest one.

    Raises:
      ValueError: where one is above TOLERANCE.
    """
    import torch

    from vision_banana.bench import torch_train_step

    exact, size = dataclasses.replace(model, dtype="float32"), batch["target"].shape[2:4]

    @jax.jit
    def original(params: Any, batch: dict[str, jax.Array]) -> Any:
        seen = objective_lib.noised(batch, jax.random.key(0), exact, objective)
        predicted = exact.apply(params, *_given(seen), size)
        losses = objective_lib.loss_fn(params, seen, exact, objective, size)[1]
        return seen, {"pixel": predicted, "loss": losses}

    seen, ours = original(params, _arrays(batch))
    tensors = {k: torch.from_numpy(np.array(x)) for k, x in seen.items()}
    network = copy_of(model, batch, params)
    with torch.no_grad():
        predicted = network(*_given(tensors))
        losses = torch_train_step.losses(network, tensors, objective)
    differences = {}
    for name, theirs in (("pixel", predicted), ("loss", losses)):
        away = np.abs(theirs.numpy() - ours[name]).max() / np.abs(ours[name]).max()
        if not away <= TOLERANCE:
            raise ValueError(f"the PyTorch copy differs by {away:.2g} of the largest {name}")
        differences[name] = float(away)
    return differences


def _given(seen: Mapping[str, Any]) -> tuple[Any, Any, Any, Any, Any, Any]:
    """What a network is called with, of what `noised` gives."""
    names = ("z", "t", "tokens", "references", "reference_mask")
    z, t, tokens, references, mask = (seen[name] for name in names)
    return z, t, tokens, references, mask, seen.get("kept")


class _Step:
    """The jitted step with a state of its own, which every call replaces."""

    def __init__(self, run: run_lib.Run, params: Any, batch: Mapping[str, Any]) -> None:
        step = functools.partial(
            train_step_lib.train_step, seed=run.seed, schedule=run.schedule, run=run
        )
        self._batch = sharding.to_devices(_arrays(batch), run.mesh)
        with jax.set_mesh(run.mesh):
            self._state = train_state.start(jax.tree.map(jnp.array, params), run.optimizer)
            lowered = jax.jit(step, donate_argnums=0).lower(self._state, self._batch)
            self._compiled = lowered.compile()

    def __call__(self) -> None:
        self._state, metrics = self._compiled(self._state, self._batch)
        jax.block_until_ready((self._state, metrics))

    def shares(self) -> dict[str, float]:
        """Shares of the step's busy time, by part; see `profile_shares.measure`."""

        def run() -> None:
            for _ in range(PROFILED):
                self()

        return profile_shares.measure(self._compiled.as_text() or "", run)


def _arrays(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {k: x for k, x in batch.items() if isinstance(x, np.ndarray) and x.dtype != object}


def report(result: Mapping[str, Any]) -> str:
    """The result as lines to read."""
    seconds = {name: timing.Times(**times) for name, times in result["seconds"].items()}
    total, best = sum(result["flops"].values()), max(result["matrix_flops_per_second"].values())
    ours = seconds.pop("JAX")
    lines = [
        f"train step of the pocket model, {result['queries']} queries, AdamW, "
        f"{total / 1e9:.1f} GFLOP",
        "PyTorch copy: differs by "
        + ", ".join(f"{x:.1g} of the largest {k}" for k, x in result["largest_differences"].items())
        + " at most",
        "",
        f"{'':28}{'median (quartiles)':>26}{'GF/s':>7}{'of best':>9}{'JAX is':>9}",
    ]
    for name, times in [("JAX", ours), *seconds.items()]:
        rate = total / times.median
        lines.append(
            f"{name:28}{timing.milliseconds(times):>26}{rate / 1e9:>7.0f}{rate / best:>9.2f}"
            f"{times.median / ours.median:>8.2f}x"
        )
    lines += ["", f"best matrix products, of {ours.rounds} rounds, GF/s:"]
    for library in ("JAX", "PyTorch"):
        for dtype in ("float32", "bfloat16"):
            named = {
                k: v
                for k, v in result["matrix_flops_per_second"].items()
                if k.startswith(f"{library} {dtype} ")
            }
            name = max(named, key=lambda k: named[k])
            lines.append(f"  {name:40}{named[name] / 1e9:>6.0f}")
    lines += ["", "share of the step's busy time (profile) and of its matrix operations (counted):"]
    for part, share in result["shares"].items():
        work = result["flops"].get(part, 0.0)
        lines.append(f"  {part:14}{share:>6.0%}{work / total:>8.0%}")
    fastest = {
        how: min(v.median for k, v in seconds.items() if how in k) for how in ("eager", "compiled")
    }
    lines += [
        "",
        "JAX against PyTorch, each in its better precision: "
        + ", ".join(f"{v / ours.median:.2f} of {how}'s speed" for how, v in fastest.items()),
    ]
    return "\n".join(lines)
