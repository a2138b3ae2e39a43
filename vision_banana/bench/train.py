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
from vision_banana.training import profile_shares, sharding, train_state
from vision_banana.training import run as run_lib
from vision_banana.training import train_step as train_step_lib
from vision_banana.training.optimizer import Optimizer

TOLERANCE = 1e-3  # of the predicted pictures' largest value, in float32
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
      ValueError: where port and original do not draw the same picture.
    """
    from vision_banana.bench import torch_train_step

    settings = dict(settings or config())
    run = run_lib.build(settings)
    with pipeline.open_run(settings) as batches:
        batch = next(batches)
    params = weights.draw(run.model)
    difference = check(run.model, params, batch)
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
        "largest_difference": difference,
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


def check(model: Generator, params: Any, batch: Mapping[str, np.ndarray]) -> float:
    """Compares port and original on a batch, both in float32.

    Returns:
      The largest difference of two pixels, as a share of the largest pixel.

    Raises:
      ValueError: where it is above TOLERANCE.
    """
    import torch

    rng = np.random.default_rng(0)
    t = rng.random(batch["tokens"].shape[:2]).astype(np.float32)
    arrays = [batch[k] for k in ("target", "tokens", "references", "reference_mask")]
    arrays.insert(1, t)
    exact = dataclasses.replace(model, dtype="float32")
    ours = np.asarray(jax.jit(exact.apply)(params, *arrays))
    with torch.no_grad():
        theirs = copy_of(model, batch, params)(*(torch.from_numpy(np.array(x)) for x in arrays))
    difference = float(np.abs(theirs.numpy() - ours).max() / np.abs(ours).max())
    if difference > TOLERANCE:
        raise ValueError(f"the PyTorch copy differs by {difference:.2g} of the largest pixel")
    return difference


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
        f"PyTorch copy: largest difference {result['largest_difference']:.1g} of the largest pixel",
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
    counted = {"MLP": "mlp"}
    for part, share in result["shares"].items():
        work = result["flops"].get(counted.get(part, part), 0.0)
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
