"""Which part of the model a compiled program's time goes to.

The profiler says how long each operation of the program ran, on whichever thread; the compiled
program says which scope of the source (`jax.named_scope`) each operation came from. A fused
operation counts for the scope of its last one. The shares are of busy time: waiting has none.
"""

import pathlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import jax

from vision_banana.models import flops

# The first scope that stands in an operation's name decides: the text tower has its own attention.
SCOPES = {part.replace(" ", "_"): part for part in flops.PARTS} | {"update": "optimizer"}
REST = "rest"  # noise and loss, norms and modulation of the blocks, copies without a name
_HEAD = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{$")
_OPERATION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_OP_NAME = re.compile(r'op_name="([^"]*)"')
_CALLS = re.compile(r"calls=%?([\w.\-]+)")


def part_of(op_name: str) -> str:
    """The part of an operation's full name ("jit(step)/transpose(jvp(mlp))/dot_general")."""
    words = set(re.findall(r"\w+", op_name))
    return next((part for scope, part in SCOPES.items() if scope in words), REST)


def parts(program: str) -> dict[str, str]:
    """Operation -> part, of a compiled program's text.

    A fused operation without a name of its own belongs where most of those in it do.
    """
    belongs: dict[str, str] = {}
    unnamed: dict[str, str] = {}  # operation -> the computation it calls
    inside: dict[str, Counter] = {}
    current: Counter = Counter()
    for line in program.splitlines():
        if head := _HEAD.match(line):
            current = inside.setdefault(head[1], Counter())
        elif operation := _OPERATION.match(line):
            name, scope, called = operation[1], _OP_NAME.search(line), _CALLS.search(line)
            if scope:
                belongs[name] = part_of(scope[1])
                current[belongs[name]] += 1
            elif called:
                unnamed[name] = called[1]
            else:
                belongs[name] = REST
    for name, called_name in unnamed.items():
        named = inside.get(called_name, Counter())
        known = Counter({part: n for part, n in named.items() if part != REST}) or named
        belongs[name] = known.most_common(1)[0][0] if known else REST
    return belongs


def measure(program: str, run: Callable[[], Any]) -> dict[str, float]:
    """Runs a compiled program under the profiler.

    Args:
      program: its text, `jax.stages.Compiled.as_text()`.
      run: runs it, once or more often, to its end.

    Returns:
      Part -> share of busy time in [0, 1]; they sum to 1.

    Raises:
      RuntimeError: where the profiler saw no operation of the program.
    """
    belongs = parts(program)
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        busy = busy_time(jax.profiler.ProfileData.from_file(str(path)), belongs)
    total = sum(busy.values())
    if not total:
        raise RuntimeError("the profiler saw no operation of the program")
    return {part: busy[part] / total for part in (*SCOPES.values(), REST)}


def busy_time(profile: Any, belongs: Mapping[str, str]) -> Counter:
    """Busy time by part; what runs inside another operation counts for itself alone.

    Args:
      profile: `jax.profiler.ProfileData`.
      belongs: operation -> part; other events are left out.

    Returns:
      Part -> nanoseconds, over all threads and devices.
    """
    busy: Counter = Counter()
    for plane in profile.planes:
        for line in plane.lines:
            open_: list[tuple[float, str]] = []  # ends and parts of the operations around
            for event in sorted(line.events, key=lambda e: (e.start_ns, -e.duration_ns)):
                if event.name not in belongs:
                    continue
                while open_ and open_[-1][0] <= event.start_ns:
                    open_.pop()
                if open_:
                    busy[open_[-1][1]] -= event.duration_ns
                busy[belongs[event.name]] += event.duration_ns
                open_.append((event.start_ns + event.duration_ns, belongs[event.name]))
    return busy
