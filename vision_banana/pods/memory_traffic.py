"""Bytes that a compiled program moves between a chip's HBM and its cores.

Counted from the HLO, since the compiler's own figure counts a loop's body once. Every instruction
outside a fusion reads its operands and writes its result; what the compiler placed in the chip's
own memory costs nothing, of a sliced operand only the slice is read, of an updated one only the
update is written, and what merely passes through is not touched.
"""

from collections.abc import Iterator, Mapping, Sequence

from vision_banana.pods import hlo
from vision_banana.pods.collectives import KINDS, Collective

_FREE = {
    *("parameter", "constant", "tuple", "get-tuple-element", "bitcast", "while", "conditional"),
    *("call", "after-all", "partition-id", "replica-id", "opt-barrier", "add-dependency"),
    *("async-start", "async-update", "async-done", "copy-done", "slice-done"),
}
_SLICES = ("dynamic-slice", "slice", "gather")
_COLLECTIVES = {name + end for name in KINDS for end in ("", "-start", "-done")}
_COLLECTIVES |= {"send", "send-done", "recv", "recv-done"}  # across slices

Computation = Mapping[str, hlo.Instruction]


def count(program: hlo.Program, collectives: Sequence[Collective]) -> float:
    """Bytes read and written in one call of the program, on each chip.

    Args:
      program: as from `hlo.parse`.
      collectives: as from `collectives.find`; they are counted by themselves.
    """
    times = hlo.executions(program)
    inside = {
        called
        for computation in program.computations.values()
        for i in computation.values()
        if i.opcode == "fusion"
        for called in hlo.called_by(i)
    }
    total = sum(c.memory * c.times for c in collectives)
    for name, computation in program.computations.items():
        if name in times and name not in inside:
            each = sum(_instruction(program, computation, i) for i in computation.values())
            total += times[name] * each
    return total


def _instruction(program: hlo.Program, computation: Computation, i: hlo.Instruction) -> float:
    if i.opcode in _FREE or i.opcode in _COLLECTIVES:
        return 0.0
    operands = [computation[o].result for o in i.operands if o in computation]
    if i.opcode == "fusion":
        body = program.computations[next(hlo.called_by(i))]
        reads = [_read(program, body, place) for place in range(len(operands))]
        writes = list(_writes(body))
    else:
        reads = [_read_by(i, place) for place in range(len(operands))]
        writes = [_written(computation, i)] * len(i.result)
    if i.opcode in ("copy-start", "slice-start"):  # the result also names source and semaphore
        source, destination = operands[0][0], i.result[i.opcode == "slice-start"]
        moved = min(source.bytes, destination.bytes)
        return moved * (source.in_hbm + destination.in_hbm)
    total = 0.0
    for arrays, limit in zip(operands, reads, strict=True):
        total += sum(min(a.bytes, limit) for a in arrays if a.in_hbm)
    for array, limit in zip(i.result, writes, strict=False):
        total += min(array.bytes, limit) if array.in_hbm else 0.0
    return total


def _read(program: hlo.Program, body: Computation, place: int) -> float:
    """Bytes that a fusion reads of its operand at a place."""
    for i in body.values():
        if i.opcode == "parameter" and i.attributes == f"{place})":
            return _read_of(program, body, i.name)
    return 0.0


def _read_of(program: hlo.Program, body: Computation, name: str) -> float:
    total = 0.0
    for user in body.values():
        for place, operand in enumerate(user.operands):
            if operand != name:
                continue
            if user.opcode == "bitcast":
                total += _read_of(program, body, user.name)
            elif user.opcode == "fusion":
                total += _read(program, program.computations[next(hlo.called_by(user))], place)
            else:
                total += _read_by(user, place)
    return total


def _read_by(user: hlo.Instruction, place: int) -> float:
    """At most so many bytes an instruction reads of its operand at a place."""
    if place == 0 and user.opcode in _SLICES:
        return sum(a.bytes for a in user.result)
    passes = user.opcode == "tuple" or user.opcode in _COLLECTIVES
    if passes or (place == 0 and user.opcode == "dynamic-update-slice") or _signals(user):
        return 0.0
    return float("inf")


def _writes(body: Computation) -> Iterator[float]:
    root = next(i for i in body.values() if i.is_root)
    outputs = [body[o] for o in root.operands] if root.opcode == "tuple" else [root]
    for output in outputs:
        yield _written(body, output)


def _written(body: Computation, i: hlo.Instruction) -> float:
    """At most so many bytes an instruction writes of its result."""
    if i.opcode == "bitcast":
        return _written(body, body[i.operands[0]])
    if i.opcode == "dynamic-update-slice":
        return sum(a.bytes for a in body[i.operands[1]].result)
    if i.opcode in ("parameter", "get-tuple-element") or i.opcode in _COLLECTIVES or _signals(i):
        return 0.0
    if i.opcode == "dynamic-slice" and body[i.operands[0]].opcode in _COLLECTIVES:
        return 0.0
    return float("inf")


def _signals(i: hlo.Instruction) -> bool:
    """Whether an instruction only begins or ends a piece of an asynchronous collective."""
    return i.opcode == "custom-call" and "AsyncCollective" in i.attributes
