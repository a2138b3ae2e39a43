"""Reads a compiled program's HLO text: its instructions, and how often each is executed."""

import collections
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "token": 0, "opaque": 0, "s4": 0.5, "u4": 0.5}
_ARRAY = re.compile(r"\b([a-z]+\d*(?:e\d+m\d+\w*)?)\[([\d,]*)\](\{[^}]*\})?")
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%?([\w.\-]+) = ")
_CALLED = re.compile(
    r"\b(?:calls|to_apply|body|true_computation|false_computation)=%?([\w.\-]+)"
    r"|(?:branch_computations|called_computations)=\{([^}]*)\}"
)
# Only these run what they name; a reduction's `to_apply` is a scalar function.
_CALLERS = ("fusion", "call", "while", "conditional", "async-start", "custom-call")


class Array(NamedTuple):
    """One array of an instruction's result.

    Attributes:
      dtype: as "bf16".
      shape: its dimensions.
      in_hbm: False where the compiler keeps it in the chip's own memory.
    """

    dtype: str
    shape: tuple[int, ...]
    in_hbm: bool

    @property
    def bytes(self) -> float:
        """Its size."""
        size = _BYTES.get(self.dtype)
        if size is None:
            digits = re.search(r"\d+", self.dtype)
            size = int(digits.group()) / 8 if digits else 0
        return math.prod(self.shape) * size


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    result: tuple[Array, ...]
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool


class Program(NamedTuple):
    """A module.

    Attributes:
      computations: name -> its instructions by name, in order.
      entry: the computation that the program is.
    """

    computations: Mapping[str, Mapping[str, Instruction]]
    entry: str


def parse(text: str) -> Program:
    """Reads the text of `compiled.as_text()`.

    Raises:
      ValueError: where the text holds no entry computation.
    """
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if current is None:
            header = _HEADER.match(line)
            if header:
                current = computations.setdefault(header.group(2), {})
                entry = header.group(2) if header.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif match := _INSTRUCTION.match(line):
            instruction = _instruction(match.group(1), line, match.end())
            current[instruction.name] = instruction
    if not entry:
        raise ValueError("the text holds no HLO module with an entry computation")
    return Program(computations, entry)


def executions(program: Program) -> dict[str, int]:
    """How often each computation runs in one call of the program; loops count their trips.

    Raises:
      ValueError: where a loop's number of trips cannot be read.
    """
    counts: collections.Counter[str] = collections.Counter()

    def visit(name: str, times: int) -> None:
        counts[name] += times
        for instruction in program.computations[name].values():
            for called in called_by(instruction):
                trips = trip_count(program, instruction) if instruction.opcode == "while" else 1
                visit(called, times * trips)

    visit(program.entry, 1)
    return dict(counts)


def called_by(instruction: Instruction) -> Iterator[str]:
    """The computations that an instruction runs, a loop's condition left out."""
    if instruction.opcode not in _CALLERS:
        return
    for one, several in _CALLED.findall(instruction.attributes):
        yield from [one] if one else [name.strip().lstrip("%") for name in several.split(",")]


def trip_count(program: Program, loop: Instruction) -> int:
    """How often a loop's body runs: what the compiler noted, or the bound of its counter.

    Raises:
      ValueError: where neither can be read.
    """
    noted = re.search(r"known_trip_count\W+n\W+(\d+)", loop.attributes)
    if noted:
        return int(noted.group(1))
    named = re.search(r"condition=%?([\w.\-]+)", loop.attributes)
    condition = program.computations[named.group(1)] if named else {}
    bounds = {
        int(i.attributes.partition(")")[0])
        for i in condition.values()
        if i.opcode == "constant" and i.result[0].dtype in ("s32", "u32") and not i.result[0].shape
    }
    if len(bounds) != 1:
        raise ValueError(f"cannot read how often the loop {loop.name} runs: bounds {bounds}")
    return bounds.pop()


def _instruction(name: str, line: str, start: int) -> Instruction:
    end = _closing(line, start) if line[start] == "(" else line.index(" ", start)
    opening = line.index("(", end)
    closing = _closing(line, opening) - 1
    result = tuple(
        Array(dtype, tuple(int(n) for n in shape.split(",") if n), not _on_chip(layout))
        for dtype, shape, layout in _ARRAY.findall(line[start:end])
    )
    opcode = line[end:opening].strip()
    inside = line[opening + 1 : closing]
    operands = tuple(re.findall(r"%([\w.\-]+)", inside))
    attributes = inside + ")" if opcode in ("constant", "parameter") else line[closing:]
    return Instruction(name, result, opcode, operands, attributes, line.lstrip().startswith("ROOT"))


def _on_chip(layout: str) -> bool:
    space = re.search(r"S\((\d+)\)", layout)
    return space is not None and space.group(1) != "0"


def _closing(line: str, start: int) -> int:
    """The place behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(line)):
        depth += {"(": 1, ")": -1}.get(line[i], 0)
        if depth == 0:
            return i + 1
    raise ValueError(f"unbalanced brackets in {line[start : start + 80]!r}")
