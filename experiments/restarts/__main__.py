"""Kills a training run at random moments and shows that it ends with the same bits all the same.

    python -m experiments.restarts --kills 5 --folder runs/restarts

Trains once without a stop. Trains again, with SIGKILL at random moments (while starting, between
and in steps, in saves) and a restart after each, the number of data workers changing between
restarts. Then compares weights, their average, optimiser, guard and the sequence of record ids, bit
by bit, writes FOLDER/report.md and exits with 1 where anything differs.
"""

import dataclasses
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from experiments.restarts import report
from vision_banana import _bad_input
from vision_banana.training import folders

CONFIG = pathlib.Path(__file__).with_name("config.py")
STEPS_PER_KILL = 40
MOMENTS = ("any", "save", "any", "start")  # the kinds of moment, in turn
PATIENCE = 3600.0  # seconds for one process to make a step or to end


@dataclasses.dataclass
class Kill:
    """One SIGKILL.

    Attributes:
      moment: "start" (before the first step), "save" (a checkpoint is being written) or "any".
      after: seconds between the start of the process and its end.
      steps: steps that this process had taken.
      checkpoint: the newest complete checkpoint it left, -1 for none.
      torn: whether it left a part of a checkpoint.
      workers: its data workers.
    """

    moment: str
    after: float
    steps: int
    checkpoint: int
    torn: bool
    workers: int


class Run:
    """A training run in a folder of its own."""

    def __init__(self, folder: pathlib.Path, steps: int) -> None:
        self.folder, self.steps = folder, steps
        shutil.rmtree(folder, ignore_errors=True)

    @property
    def log(self) -> pathlib.Path:
        """Where its messages go, FOLDER.log."""
        return self.folder.with_suffix(".log")

    def start(self, workers: int) -> subprocess.Popen:
        """Starts the train command."""
        command = [sys.executable, "-m", "vision_banana.train", "--config", str(CONFIG)]
        command += ["--workdir", str(self.folder), f"--config.steps={self.steps}"]
        with self.log.open("a") as log:
            return subprocess.Popen(
                [*command, f"--config.data.workers={workers}"], stdout=log, stderr=log
            )

    def finish(self, workers: int) -> None:
        """Runs to the end."""
        if code := self.start(workers).wait(PATIENCE):
            raise SystemExit(f"training failed with exit code {code}; see {self.log}")

    def lines(self) -> int:
        """Steps noted in the record log."""
        found = sorted((self.folder / "records").glob("*.jsonl"))
        return sum(path.read_bytes().count(b"\n") for path in found)

    def wait_for_steps(self, process: subprocess.Popen, count: int) -> None:
        """Waits until the process notes steps of its own (first it drops those done again)."""
        deadline, lowest = time.monotonic() + PATIENCE, self.lines()
        while process.poll() is None and time.monotonic() < deadline:
            now = self.lines()
            if now >= lowest + count:
                return
            lowest = min(now, lowest)
            time.sleep(0.01)

    def torn(self) -> bool:
        """Whether a checkpoint is being written, or its writer is gone."""
        return any("tmp" in path.name for path in (self.folder / "checkpoints").glob("*"))

    def newest(self) -> int:
        """The newest complete checkpoint's step, -1 for none."""
        names = [p.name for p in (self.folder / "checkpoints").glob("*") if p.name.isdecimal()]
        return max(map(int, names), default=-1)


def kill(run: Run, moment: str, workers: int, rng: random.Random) -> Kill | None:
    """Starts a run and kills it; None where it ended before.

    The moment is drawn in steps and a part of a second behind them, not in seconds alone, so that
    a run gets on however slow its machine is.
    """
    began = time.monotonic()
    process = run.start(workers)
    if moment == "start":
        time.sleep(rng.uniform(0.5, 4.0))
    else:
        run.wait_for_steps(process, rng.randint(1, STEPS_PER_KILL - 10))
        time.sleep(rng.uniform(0, 0.3))
    if moment == "save":
        torn = run.torn()
        while process.poll() is None and not (run.torn() and not torn):
            torn = run.torn() and torn
            time.sleep(0.001)
    process.kill()
    code = process.wait()
    if code == 0:
        return None
    if code != -signal.SIGKILL:
        raise SystemExit(f"training ended with exit code {code} by itself; see {run.log}")
    return Kill(moment, time.monotonic() - began, run.lines(), run.newest(), run.torn(), workers)


def study(folder: pathlib.Path, kills: int, seed: int) -> bool:
    """Runs everything; returns whether all bits are the same."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, steps = random.Random(seed), STEPS_PER_KILL * (kills + 1)
    whole, broken = Run(folder / "whole", steps), Run(folder / "broken", steps)
    print(f"training {steps} steps without a stop ...", flush=True)
    whole.finish(workers=0)
    done: list[Kill] = []
    for number in range(kills):
        made = kill(broken, MOMENTS[number % len(MOMENTS)], number % 2, rng)
        if made is None:
            print("the run ended before it could be killed", flush=True)
            break
        done.append(made)
        print(f"kill {len(done)} of {kills}: {made}", flush=True)
    broken.finish(workers=0)
    found = report.compare(whole.folder, broken.folder, steps)
    rows = [dataclasses.asdict(one) for one in done]
    text = report.write(rows, found, whole.folder, steps, seed)
    folders.write_whole(folder / "report.md", text)
    told = json.dumps({"kills": rows, **found}, indent=1)
    folders.write_whole(folder / "report.json", told + "\n")
    print(text)
    return not found["different"] and len(done) == kills


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _bad_input.Parser(
        prog="python -m experiments.restarts",
        description=__doc__,
    )
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path, default="runs/restarts")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args(argv)
    return 0 if study(arguments.folder, arguments.kills, arguments.seed) else 1


if __name__ == "__main__":
    raise SystemExit(main())
