"""The collectives of a compiled program: which, over which chips, and how many bytes they move."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vision_banana.pods import hlo

KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
MEGASCALE = "_xla_megascale_"  # attributes of what crosses slices


class Collective(NamedTuple):
    """One collective.

    Attributes:
      kind: one of `KINDS`.
      payload: bytes that a chip hands in.
      group: numbers of the partitions that take part with the first of them; of a permutation,
        the two ends of its first pair.
      times: how often it runs in a call of the program.
      dtype: of what it moves; of several arrays, the largest one's.
      memory: bytes that it reads from and writes to the chip's HBM, each time.
    """

    kind: str
    payload: float
    group: tuple[int, ...]
    times: int
    dtype: str
    memory: float

    @property
    def bytes(self) -> float:
        """Bytes that each chip sends, and as many that it receives, in one call of the program.

        Of n chips, each hands in p bytes: an all-gather brings (n - 1) p, a reduce-scatter or an
        all-to-all moves p (n - 1) / n, an all-reduce is a reduce-scatter and an all-gather of its
        result, so 2 p (n - 1) / n; a permutation moves p.
        """
        n = len(self.group)
        share = (n - 1) / n
        factor = {
            "all-gather": n - 1.0,
            "reduce-scatter": share,
            "all-to-all": share,
            "all-reduce": 2 * share,
            "collective-permute": 1.0,
        }[self.kind]
        return self.payload * factor * self.times


def find(program: hlo.Program, partitions: int) -> list[Collective]:
    """Lists a program's collectives.

    An asynchronous collective counts once: its start, or, where the compiler cut it into pieces
    that run beside other work, the first piece of a channel. An all-reduce whose computation
    returns only this chip's part of the sum is a reduce-scatter. What crosses slices is no
    collective any more in the program but a `send` to the host, whose attributes say what the
    runtime (Megascale) does with it: it is the collective of one chip of each slice.

    Args:
      program: as from `hlo.parse`.
      partitions: chips that run it.

    Raises:
      ValueError: where a collective's groups, or what a send to the host is for, cannot be read.
    """
    times = hlo.executions(program)
    callers = {
        called: name
        for name, instructions in program.computations.items()
        for instruction in instructions.values()
        for called in hlo.called_by(instruction)
    }
    found, pieces = [], set()
    for name, instructions in program.computations.items():
        for i in instructions.values():
            kind = i.opcode.removesuffix("-start")
            if name in times and kind == "send" and MEGASCALE in i.attributes:
                found.append(_across_slices(instructions, i, partitions, times[name]))
            if kind not in KINDS or name not in times:
                continue
            channel = re.search(r"channel_id=(\d+)", i.attributes)
            if channel and "async_collective_fusion_config" in i.attributes:
                piece = (callers.get(name), channel.group(1))
                if piece in pieces:
                    continue
                pieces.add(piece)
            if kind == "all-reduce" and _keeps_a_part(instructions, i):
                kind = "reduce-scatter"
            arrays = [a for o in i.operands for a in instructions[o].result]
            group = _group(i.attributes, partitions)
            if len(group) > 1:
                largest = max(arrays, key=lambda a: a.bytes)
                payload = sum(a.bytes for a in arrays)
                memory = sum(a.bytes for a in (*arrays, *i.result) if a.in_hbm)
                found.append(Collective(kind, payload, group, times[name], largest.dtype, memory))
    return found


def _across_slices(
    instructions: Mapping[str, hlo.Instruction], send: hlo.Instruction, partitions: int, times: int
) -> Collective:
    """A send to the host, as a collective over one chip of each slice."""
    transfer = re.search(r'_xla_megascale_transfer_type="(\w+)"', send.attributes)
    kind = transfer.group(1).lower().replace("_", "-") if transfer else ""
    target = re.search(r'_xla_megascale_target="\{([\d,]+)\}', send.attributes)
    if kind not in KINDS or target is None:
        raise ValueError(f"cannot read what a send to the host is for: {send.attributes[:300]!r}")
    slices = len(target.group(1).split(","))
    group = tuple(range(0, partitions, partitions // slices))
    (array,) = instructions[send.operands[0]].result
    # The sum comes back by a `recv`, to where the part was sent from.
    return Collective(kind, array.bytes, group, times, array.dtype, 2 * array.bytes)


def _keeps_a_part(instructions: Mapping[str, hlo.Instruction], reduce: hlo.Instruction) -> bool:
    users = [i for i in instructions.values() if reduce.name in i.operands]
    return len(users) == 1 and users[0].is_root and users[0].opcode == "dynamic-slice"


def _group(attributes: str, partitions: int) -> tuple[int, ...]:
    """The first group: written out, as an iota, or as axes of a mesh."""
    pairs = re.search(r"source_target_pairs=\{\{(\d+),(\d+)\}", attributes)
    if pairs:
        return int(pairs.group(1)), int(pairs.group(2))
    text = re.search(r"replica_groups=(mesh\[.*?\} *(?=,|$)|\{\{.*?\}\}|\S+?(?=, |$))", attributes)
    groups = text.group(1) if text else ""
    if written := re.match(r"\{\{([\d,]+)\}", groups):
        return tuple(int(n) for n in written.group(1).split(","))
    if groups == "{}":
        return tuple(range(partitions))
    if iota := re.match(r"\[(\d+),(\d+)\]<=(.*)", groups):
        ids = _iota("[" + iota.group(3).lstrip("["))
        return tuple(int(n) for n in ids.reshape(int(iota.group(1)), -1)[0])
    return _mesh_group(groups, partitions)


def _mesh_group(groups: str, partitions: int) -> tuple[int, ...]:
    """Reads "mesh['a'=2,'b'=8], device_ids=([8,2]T(1,0)) {'b'}"; 'b':(2)4 is a part of b."""
    order = r"(?:, device_ids=\((\[[\d,]+\](?:T\([\d,]+\))?)\))?"
    form = re.match(r"mesh\[([^\]]*)\]" + order + r" \{(.*)\}$", groups)
    if not form:
        raise ValueError(f"cannot read the groups of a collective: {groups[:120]!r}")
    sizes = {name: int(n) for name, n in re.findall(r"'([^']+)'=(\d+)", form.group(1))}
    ids = np.arange(partitions) if not form.group(2) else _iota(form.group(2))
    ids = ids.reshape(tuple(sizes.values()))
    chosen = re.findall(r"'([^']+)'(?::\((\d+)\)(\d+))?", form.group(3))
    index: list[int | Sequence[int]] = [[0]] * len(sizes)
    for name, before, part in chosen:
        place = list(sizes).index(name)
        if part:
            step = sizes[name] // (int(before) * int(part))
            index[place] = [i * step for i in range(int(part))]
        else:
            index[place] = list(range(sizes[name]))
    return tuple(int(n) for n in ids[np.ix_(*index)].ravel())


def _iota(text: str) -> np.ndarray:
    """Reads "[16,16]T(1,0)": numbers from 0 on in this shape, its axes reordered, as a row."""
    shape, order = re.match(r"\[([\d,]+)\](?:T\(([\d,]+)\))?", text).groups()  # type: ignore[union-attr]
    dims = [int(n) for n in shape.split(",")]
    ids = np.arange(math.prod(dims)).reshape(dims)
    return ids.transpose([int(n) for n in order.split(",")]).ravel() if order else ids.ravel()
