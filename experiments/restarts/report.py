"""Compares two runs bit by bit and tells what was found."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp

from vision_banana.training import fingerprint, record_log


def arrays(folder: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    """Every array of a checkpoint, by path."""
    found = {}
    with ocp.StandardCheckpointer() as reader:
        for item in ("params", "ema", "train"):
            tree = reader.restore(folder / "checkpoints" / str(step) / item)
            for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]:
                found[f"{item}/{fingerprint.path_name(path)}"] = np.asarray(leaf)
    return found


def compare(whole: pathlib.Path, broken: pathlib.Path, step: int) -> dict[str, Any]:
    """Compares the states after the last step, and the records of all steps.

    Returns:
      Numbers of arrays, bytes and record ids compared, and the names of what differs.
    """
    a, b = arrays(whole.absolute(), step), arrays(broken.absolute(), step)
    different = sorted(a.keys() ^ b.keys())
    for name in sorted(a.keys() & b.keys()):
        same = a[name].dtype == b[name].dtype and a[name].shape == b[name].shape
        if not same or a[name].tobytes() != b[name].tobytes():
            different.append(name)
    ids, other_ids = record_log.read(str(whole)), record_log.read(str(broken))
    if ids != other_ids or list(ids) != list(range(1, step + 1)):
        different.append("sequence of record ids")
    return {
        "arrays": len(a),
        "bytes": sum(x.nbytes for x in a.values()),
        "record_ids": sum(map(len, ids.values())),
        "different": different,
    }


def write(
    kills: Sequence[Mapping[str, Any]],
    found: Mapping[str, Any],
    whole: pathlib.Path,
    steps: int,
    seed: int,
) -> str:
    """The report, in Markdown."""
    told = json.loads((whole / "checkpoints" / str(steps) / "description/metadata").read_text())
    versions = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    torn = sum(kill["torn"] for kill in kills)
    different = found["different"]
    verdict = "the same bits" if not different else f"DIFFERENT: {', '.join(different)}"
    lines = [
        f"# {len(kills)} kills: {verdict}",
        "",
        f"{steps} steps of the {told['config']['model']['size']} size, {len(kills)} times SIGKILL "
        f"({torn} of them left a half-written checkpoint) and a restart; seed {seed}. Compared "
        f"with a run without a stop: {found['arrays']} arrays of weights, their average, optimiser "
        f"and guard ({found['bytes']:,} bytes), and {found['record_ids']:,} record ids in order.",
        "",
        f"* processor: {told['processor']}, {told['device_count']} device(s) ({told['device']}), "
        f"{told['process_count']} process(es), mesh {told['config']['mesh']}",
        f"* Python {told['python']}; {versions}",
        f"* code: {told['revision']}",
        "",
        "| kill | moment | seconds after start | step reached | newest checkpoint | half-written "
        "checkpoint left | data workers |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, kill in enumerate(kills, 1):
        lines.append(
            f"| {number} | {kill['moment']} | {kill['after']:.1f} | {kill['steps']} | "
            f"{kill['checkpoint'] if kill['checkpoint'] >= 0 else 'none'} | "
            f"{'yes' if kill['torn'] else 'no'} | {kill['workers']} |"
        )
    return "\n".join(lines) + "\n"
