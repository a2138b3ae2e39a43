"""Compiles the large sizes for many topologies and writes the table of README.md.

    python -m experiments.pod.table            # what is missing in results/, then the table
    python -m experiments.pod.table --table    # the table alone, from results/

Each row is one run of `python -m vision_banana.compile` in a process of its own (a TPU compiler
serves one kind of chip for a process's life); its report stays in results/ and is not made again.
"""

import importlib.util
import json
import pathlib
import subprocess
import sys
from typing import NamedTuple

from vision_banana.training import folders

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"


class Row(NamedTuple):
    """One compilation."""

    config: str
    topology: str
    slices: int = 1
    changes: tuple[str, ...] = ()  # flags of the config beside the number of groups
    note: str = ""

    @property
    def chips(self) -> int:
        """Chips of all slices."""
        total = self.slices
        for side in self.topology.partition(":")[2].split("x"):
            total *= int(side)
        return total

    @property
    def file(self) -> pathlib.Path:
        """Where its report lies."""
        config = self.config.removeprefix("configs/").replace(".py", "").replace(":", "-")
        parts = [config, f"{self.slices}x" + self.topology.replace(":", "-"), self.note]
        return RESULTS / ("_".join(p for p in parts if p) + ".json")

    @property
    def flags(self) -> list[str]:
        """Of the compile command."""
        return [
            f"--config={self.config}",
            f"--topology={self.topology}",
            f"--slices={self.slices}",
            f"--config.data.groups={self.chips}",  # one for each
            f"--output={self.file}",
            f"--hlo=runs/compile/{self.file.stem}",
            *self.changes,
        ]


ONE, EIGHT = "configs/large_1b.py:pretrain", "configs/large_8b.py:pretrain"
ALL_ON_ONE_AXIS = ("--config.mesh.replica=1", "--config.mesh.fsdp=-1", "--sampling_steps=0")
NO_SAMPLER = ("--sampling_steps=0",)
FOUR_BY_FOUR = (*NO_SAMPLER, "--config.mesh.replica=4", "--config.mesh.fsdp=4")
FOUR_GROUPS = (*NO_SAMPLER, "--config.data.groups=1024")  # for each of 256 chips
V5E = (("v5e:4x4", 1), ("v5e:8x8", 1), ("v5e:16x16", 1), ("v5e:16x16", 2), ("v5e:16x16", 4))
V5P = (("v5p:2x2x4", 1), ("v5p:4x4x4", 1), ("v5p:4x8x8", 1), ("v5p:8x8x16", 1))

# The rows that matter most first.
ROWS = (
    Row(ONE, "v5e:16x16"),
    Row(EIGHT, "v5e:16x16", changes=NO_SAMPLER),
    Row(EIGHT, "v5p:4x8x8", changes=NO_SAMPLER),
    Row(ONE, "v5p:4x8x8", changes=NO_SAMPLER),
    Row(ONE, "v5e:8x8", changes=NO_SAMPLER),
    Row(ONE, "v5e:16x16", 4, changes=NO_SAMPLER),
    Row(ONE, "v5e:16x16", changes=ALL_ON_ONE_AXIS, note="one-axis"),
    Row(EIGHT, "v5p:4x4x4", changes=NO_SAMPLER),
    Row(EIGHT, "v5p:8x8x16", changes=NO_SAMPLER),
    Row("configs/large_1b.py:tune", "v5e:16x16", changes=NO_SAMPLER),
    Row("configs/large_8b.py:tune", "v5p:4x8x8", changes=NO_SAMPLER),
    Row(EIGHT, "v5e:16x16", 4, changes=NO_SAMPLER),
    *(Row(ONE, name, n, changes=NO_SAMPLER) for name, n in V5E if n == 2 or "4x4" in name),
    *(Row(ONE, name, n, changes=NO_SAMPLER) for name, n in V5P if "4x8x8" not in name),
    Row(ONE, "v5e:4x4", changes=FOUR_BY_FOUR, note="replica-4"),
    Row(ONE, "v6e:16x16", changes=NO_SAMPLER),
    Row(ONE, "v6e:16x16", changes=FOUR_GROUPS, note="4-groups"),
    Row(EIGHT, "v6e:16x16", changes=NO_SAMPLER),
)

COLUMNS = (
    *("config", "topology", "chips", "mesh", "batch", "GiB/chip", "collectives GB/chip"),
    *("all-gather", "reduce-scatter", "all-reduce", "compute ms", "HBM ms", "ICI ms", "DCN ms"),
    *("binds", "MFU bound", "compile s"),
)


def compile_missing() -> None:
    """Runs the rows that have no report, one after the other."""
    if importlib.util.find_spec("libtpu") is None:
        sys.exit("compiling for a TPU needs its compiler: pip install 'vision-banana[tpu]'")
    RESULTS.mkdir(exist_ok=True)
    for row in ROWS:
        failed = row.file.with_suffix(".failed")
        if row.file.exists() or failed.exists():
            continue
        print(f"compiling {row.file.stem}", flush=True)
        command = [sys.executable, "-m", "vision_banana.compile", *row.flags]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        said = _last_line(done.stdout)
        if done.returncode == 1 and said.startswith("does not fit on"):
            print(f"  {said}", flush=True)
            folders.write_whole(failed, said + "\n")
        elif done.returncode:  # of this machine, or a mistake: nothing about the row
            reason = _last_line(done.stderr)
            sys.exit(f"  exit {done.returncode}: {reason}\nrun this again to go on")


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def table() -> str:
    """All rows as a Markdown table, in order of size, phase, kind of chip and chips."""
    lines = [" | ".join(COLUMNS), "|".join("---" for _ in COLUMNS)]
    for row in sorted(ROWS, key=lambda r: (r.config, r.topology[:3], r.chips, r.note)):
        name = row.config.removeprefix("configs/large_").replace(".py:", " ")
        place = (f"{row.slices} x " if row.slices > 1 else "") + row.topology
        if row.file.exists():
            report = json.loads(row.file.read_text())
            for program in report["train"]:
                label = f"{name}, {program['references']} references"
                lines.append(" | ".join([label, place, *_cells(report, program)]))
        elif row.file.with_suffix(".failed").exists():
            reason = row.file.with_suffix(".failed").read_text().strip()
            lines.append(f"{name} | {place} | {row.chips} | {reason}" + " | " * 13)
    return "\n".join(f"| {line} |" for line in lines)


def _cells(report: dict, program: dict) -> list[str]:
    memory, moved = program["memory_bytes"], program["collective_bytes"]
    used = sum(memory[k] for k in ("arguments", "activations_and_temporaries", "results", "code"))
    kinds = {
        kind: sum(size for name, size in moved.items() if name.startswith(kind))
        for kind in ("all-gather", "reduce-scatter", "all-reduce")
    }
    seconds = program["roofline_seconds"]
    return [
        str(report["chips"]),
        " x ".join(str(n) for n in report["mesh"].values()),
        str(report["batch"]),
        f"{used / 2**30:.1f}",
        f"{program['collective_bytes_total'] / 1e9:.2f}",
        *(f"{size / 1e9:.2f}" for size in kinds.values()),
        *(f"{seconds[name] * 1e3:.0f}" for name in ("compute", "hbm", "ici", "dcn")),
        program["binds"],
        f"{program['mfu_bound']:.1%}",
        f"{program['compile_seconds']:.0f}",
    ]


def main() -> None:
    """The command."""
    if "--table" not in sys.argv[1:]:
        compile_missing()
    readme = HERE / "README.md"
    head = readme.read_text().partition("<!-- table -->")[0]
    folders.write_whole(readme, f"{head}<!-- table -->\n{table()}\n")
    print(f"wrote {readme}")


if __name__ == "__main__":
    main()
