"""Compiles a run's train step and sampler for a topology and works out what they cost."""

import collections
import importlib.metadata
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from vision_banana import _progress
from vision_banana.evaluation import predict
from vision_banana.models import flops
from vision_banana.models.generator import Generator
from vision_banana.pods import collectives, hlo, memory_traffic, roofline, traced_flops
from vision_banana.pods.topology import Topology, devices
from vision_banana.training import run as run_lib
from vision_banana.training import sharding, train_state, train_step

WHY_FLOPS_DIFFER = (
    "model FLOPs count each matrix product of the architecture once, and its two of the backward "
    "pass; step FLOPs add what is computed again (remat); the compiler's figure counts "
    "the body of a loop once, whatever its trips, and elementwise work as well"
)


class DoesNotFit(Exception):
    """The program needs more memory than a chip has; the message says how much."""


def plan(
    config: Mapping[str, Any],
    topology: Topology,
    *,
    price: float | None = None,
    efficiency: float = 0.7,
    sampling_steps: int = 20,
    hlo_folder: str = "",
) -> dict[str, Any]:
    """Compiles and reports.

    Args:
      config: a plain dict with the keys of `configs/base.py`.
      topology: what to compile for.
      price: US dollars for a chip-hour, 0 or more; the list price where None.
      efficiency: the share of the roofline's speed that the estimate of hours assumes, above 0 and
        at most 1.
      sampling_steps: of the sampler, with guidance on the text; 0 leaves the sampler out.
      hlo_folder: where the compiled programs' text is written, nowhere when empty.

    Returns:
      A dict for JSON: the run, `train` with one program for each number of reference pictures
      that the mixture draws, `sample`, and `schedule`.

    Raises:
      DoesNotFit: where a program needs more memory than a chip has.
      ValueError: for a config that does not fit the topology, or a number that makes no sense.
      ImportError: without the TPU compiler.
    """
    if not 0 < efficiency <= 1:
        raise ValueError(f"--efficiency is {efficiency:g}; it must be above 0 and at most 1")
    if price is not None and not 0 <= price < math.inf:
        raise ValueError(f"--price is {price:g}; it must be 0 or more")
    if sampling_steps < 0:
        raise ValueError(f"--sampling_steps is {sampling_steps}; it must be 0 or more")
    parts = run_lib.build(config, devices(topology))
    shares = reference_shares(config["data"]["mixture"])
    train = [
        {"references": n, "share": share, **_train(config, topology, parts, n, hlo_folder)}
        for n, share in shares.items()
    ]
    report = {
        "topology": topology.name,
        "chips": topology.chips,
        "model": config["model"],
        "parameters": _parameters(parts.model),
        "mesh": dict(parts.mesh.shape),
        "micro_batches": config["micro_batches"],
        "batch": config["data"]["groups"] * config["data"]["queries"],
        "size": config["data"]["size"],
        "versions": {n: importlib.metadata.version(n) for n in ("jax", "libtpu")},
        "train": train,
        "schedule": _schedule(config, topology, train, price, efficiency),
    }
    if sampling_steps:
        most = max(shares)
        text = pathlib.Path(hlo_folder, "sample.txt") if hlo_folder else None
        with _progress.stage("compiling the sampler"):
            traced = lower_sample(config, parts, most, sampling_steps)
            sampler = _compile(traced, topology, parts.mesh, text)
        report["sample"] = {"references": most, "steps": sampling_steps, **sampler}
    return report


def reference_shares(mixture: Mapping[str, Mapping[str, Any]]) -> dict[int, float]:
    """How often a batch has how many reference pictures."""
    weights: collections.Counter[int] = collections.Counter()
    for row in mixture.values():
        weights[row["references"]] += row["weight"]
    total = sum(weights.values())
    return {n: w / total for n, w in sorted(weights.items()) if w > 0}


def abstract_batch(
    config: Mapping[str, Any], mesh: Mesh, references: int
) -> dict[str, jax.ShapeDtypeStruct]:
    """A batch of a config without memory, as `data.pipeline` makes it."""
    data, model, rows = config["data"], config["model"], sharding.batch_sharding(mesh)
    lead, size = (data["groups"], data["queries"]), data["size"]
    features = model["text_features"]
    words = (model["text_length"], features) if features else (model["text_length"],)

    def array(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(shape, dtype, sharding=rows)

    return {
        "target": array((*lead, size, size, 3), jnp.float32),
        "weight": array((*lead, size, size), jnp.float32),
        "tokens": array((*lead, *words), jnp.float32 if features else jnp.int32),
        "task": array(lead, jnp.int32),
        "references": array((data["groups"], references, size, size, 3), jnp.float32),
        "reference_mask": array((*lead, references), jnp.bool_),
    }


def lower_train(config: Mapping[str, Any], parts: run_lib.Run, references: int) -> Any:
    """The real train step, traced on abstract arguments: `.lower().compile()` finishes it."""
    step = train_step.jit_step(parts)
    state = train_state.abstract_state(parts.model, parts.optimizer, parts.mesh)
    with jax.set_mesh(parts.mesh):
        batch = abstract_batch(config, parts.mesh, references)
        return step.trace(state, batch, parts.seed, parts.schedule)


def lower_sample(config: Mapping[str, Any], parts: run_lib.Run, references: int, steps: int) -> Any:
    """The real sampler, traced on abstract arguments."""
    guidance = predict.DRAWING_GUIDANCE
    shift = config["time"]["shift"]
    draw = predict.jit_draw(
        parts.model, parts.mesh, steps=steps, shift=shift, text_guidance=guidance
    )
    weights = train_state.abstract_state(parts.model, parts.optimizer, parts.mesh)["ema"]
    batch = abstract_batch(config, parts.mesh, references)
    key = jax.eval_shape(lambda: jax.random.key(0))
    seen = [batch[name] for name in ("tokens", "references", "reference_mask")]
    with jax.set_mesh(parts.mesh):
        return draw.trace(weights, key, *seen, (config["data"]["size"],) * 2)


def _train(
    config: Mapping[str, Any],
    topology: Topology,
    parts: run_lib.Run,
    references: int,
    hlo_folder: str,
) -> dict[str, Any]:
    text = pathlib.Path(hlo_folder, f"train_{references}.txt") if hlo_folder else None
    with _progress.stage(f"compiling the train step with {references} reference pictures"):
        traced = lower_train(config, parts, references)
        report = _compile(traced, topology, parts.mesh, text)
    data, share = config["data"], config["objective"]["kept_share"]
    counts = data["groups"], data["queries"], references
    batch = flops.batch_of(parts.model, *counts, (data["size"],) * 2, share)
    work = flops.train_step(parts.model, batch)
    state = train_state.abstract_state(parts.model, parts.optimizer, parts.mesh)
    memory = report["memory_bytes"]
    memory["weights"] = _held(state["params"]) + _held(state["ema"])
    memory["optimizer"] = _held(state["opt_state"])
    memory["batch_and_rest"] = memory["arguments"] - memory["weights"] - memory["optimizer"]
    model = sum(work.values()) / topology.chips
    seconds = report["roofline_seconds"]["step"]
    report["flops"] |= {"model": model, "model_of_batch": work, "why": WHY_FLOPS_DIFFER}
    report["mfu_bound"] = model / topology.chip.flops / seconds
    return report


def _compile(
    traced: Any, topology: Topology, mesh: Mesh, save_to: pathlib.Path | None
) -> dict[str, Any]:
    """Memory, operations, traffic and times of one program, all for one chip."""
    begin = time.perf_counter()
    try:
        with jax.set_mesh(mesh):
            compiled = traced.lower().compile()
    except jax.errors.JaxRuntimeError as e:
        if "RESOURCE_EXHAUSTED" not in str(e):
            raise
        raise DoesNotFit(str(e).strip().splitlines()[0]) from e
    seconds = time.perf_counter() - begin
    chips = list(mesh.devices.flat)
    text = compiled.as_text()
    if save_to is not None:
        save_to.parent.mkdir(parents=True, exist_ok=True)
        save_to.write_text(text)
    program = hlo.parse(text)
    moved = collectives.find(program, len(chips))
    traffic = memory_traffic.count(program, moved)
    work = traced_flops.count(traced.jaxpr) / len(chips)
    bound = roofline.times(topology, chips, work, traffic, moved)
    analysis = compiled.cost_analysis() or {}
    by_kind: collections.Counter[str] = collections.Counter()
    for c in moved:
        by_kind[f"{c.kind} {c.dtype}"] += int(c.bytes)
    return {
        "compile_seconds": seconds,
        "memory_bytes": _memory(compiled.memory_analysis(), topology),
        "flops": {"step": work, "compiler": analysis.get("flops", 0.0)},
        "collective_bytes": dict(by_kind.most_common()),
        "collective_bytes_total": sum(by_kind.values()),
        "hbm_bytes": traffic,
        "roofline_seconds": {**bound._asdict(), "step": bound.seconds},
        "binds": bound.binds,
    }


def _memory(stats: Any, topology: Topology) -> dict[str, float]:
    arguments, temporaries = stats.argument_size_in_bytes, stats.temp_size_in_bytes
    results = stats.output_size_in_bytes - stats.alias_size_in_bytes
    code = stats.generated_code_size_in_bytes
    used = arguments + temporaries + results + code
    if used > topology.chip.hbm:
        raise DoesNotFit(
            f"it needs {used / 2**30:.1f} GiB on each chip (arguments {arguments / 2**30:.1f}, "
            f"temporaries {temporaries / 2**30:.1f}); a {topology.kind} chip has "
            f"{topology.chip.hbm / 2**30:.0f} GiB"
        )
    return {
        "arguments": arguments,
        "activations_and_temporaries": temporaries,
        "results": results,
        "code": code,
        "headroom": topology.chip.hbm - used,
    }


def _schedule(
    config: Mapping[str, Any],
    topology: Topology,
    train: Sequence[Mapping[str, Any]],
    price: float | None,
    efficiency: float,
) -> dict[str, float]:
    """What the config's steps take, at the roofline and at the assumed share of it."""
    price = topology.chip.price if price is None else price
    step = sum(p["share"] * p["roofline_seconds"]["step"] for p in train)
    least = config["steps"] * step / 3600 * topology.chips
    return {
        "steps": config["steps"],
        "seconds_per_step_at_least": step,
        "chip_hours_at_least": least,
        "assumed_efficiency": efficiency,
        "chip_hours": least / efficiency,
        "hours": least / efficiency / topology.chips,
        "dollars_per_chip_hour": price,
        "dollars": least / efficiency * price,
    }


def _held(tree: Any) -> int:
    """Bytes that each device holds of a tree of abstract arrays."""
    return sum(
        math.prod(x.sharding.shard_shape(x.shape)) * x.dtype.itemsize for x in jax.tree.leaves(tree)
    )


def _parameters(model: Generator) -> int:
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(x.size for x in jax.tree.leaves(shapes))
