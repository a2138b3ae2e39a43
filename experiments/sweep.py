"""Runs a config at many points, in this process's machine or as one launch for each point.

    python -m experiments.sweep experiments/mix_keeps_drawing/sweep.py --folder runs/mix
    python -m experiments.sweep FILE --folder FOLDER --table
    python -m experiments.sweep FILE --folder gs://BUCKET/mix --emit 'PREFIX --name p-{number} --'

FILE defines `stages(folder) -> [Stage, ...]`, run in order. Every field of every point is checked
against its config before anything runs. Points are trained and scored one after another; progress
stands in FOLDER/progress.md. The same command again goes on: what is done is skipped, what was
interrupted or failed goes on from its last checkpoint, and scores that a stage has been given since
are computed. A point that fails does not stop the others; the exit code is then 1. `--table`
gathers what is there into FOLDER/results.csv, .md and .svg, wherever the points ran: how far one
is, its newest checkpoint and its scores say.
`--emit` runs nothing and prints a command for each point, behind a prefix of your own in which
`{number}` stands for the point's number: see `experiments/launch`.
"""

import fcntl
import itertools
import json
import pathlib
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath

from experiments import points, sweep_results
from experiments.points import Run
from vision_banana import _bad_input
from vision_banana.evaluation import benchmarks, evaluate_arguments, results, score
from vision_banana.training import checkpoint, folders, preemption

UNSCORED = "trained, not scored"
HERE = "{folder}"  # in notes: the sweep's folder, wherever it lies and however it is written


def emit(runs: Sequence[Run], prefix: str) -> list[str]:
    """A shell line for each point: the prefix, and the point's commands as one."""
    lines = []
    for number, run in enumerate(runs):
        if run.number == 0:
            lines.append(f"# {run.stage.name}: start when what stands above has ended")
        front = [word.replace("{number}", str(number)) for word in shlex.split(prefix)]
        lines.append(shlex.join([*front, *points.as_one(run)]))
    return lines


def execute(runs: Sequence[Run], place: str) -> bool:
    """Runs every point that is not done; returns whether all of them are.

    Raises:
      ValueError: the folder belongs to another sweep, a training still runs in it, or it is a
        bucket.
      SystemExit: with the code of `preemption`, where the sweep was asked to stop.
    """
    if folders.in_bucket(place):
        raise ValueError(f"{place} is a bucket: a sweep runs there with --emit alone")
    recall(runs)
    folder = pathlib.Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        _take(lock, folder)
        folders.write_whole(folder / "sweep.json", json.dumps(check(runs, place), indent=1) + "\n")
        for run in runs:
            if run.state != "done":
                run.state = "running"
                _show(runs, folder)
                _try(run, lock.fileno())
        _show(runs, folder)
    print((folder / "progress.md").read_text(), flush=True)
    return all(run.state == "done" for run in runs)


def _try(run: Run, lock: int) -> None:
    """Trains and scores one point; its messages go to WORKDIR/sweep.log."""
    workdir, began = pathlib.Path(run.workdir), time.monotonic()
    workdir.mkdir(parents=True, exist_ok=True)
    run.state = "done"
    for part, command in zip(run.parts, points.commands(run), strict=True):
        if part in run.finished:
            continue
        with (workdir / "sweep.log").open("a") as log:
            code = _call([sys.executable, *command], log, lock)
        if code == preemption.EXIT_CODE:
            raise SystemExit(code)
        if code:
            run.state = f"failed: {command[1]} ended with code {code}, see {workdir}/sweep.log"
            break
        run.finished.append(part)
    run.seconds = time.monotonic() - began
    note = {"state": run.state, "seconds": run.seconds, "finished": run.finished}
    folders.write_whole(workdir / "sweep.json", json.dumps(note) + "\n")


def _call(command: Sequence[str], log: Any, lock: int) -> int:
    """Runs a command, which keeps the lock as long as it lives; SIGTERM is handed on to it."""
    process, asked = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(lock,)), []

    def stop(*_: Any) -> None:
        asked.append(True)
        process.terminate()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        code = process.wait()
        return preemption.EXIT_CODE if asked else code
    finally:
        signal.signal(signal.SIGTERM, before)
        process.kill()


def _take(lock: Any, folder: pathlib.Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ValueError(
            f"a sweep, or a training that a killed sweep left behind, still runs in {folder}; "
            "wait for it or end it"
        ) from error


def check(runs: Sequence[Run], place: str) -> dict[str, Any]:
    """Checks that a folder's runs are of these points; returns which point is whose, noted or new.

    Raises:
      ValueError: one of them is of another point.
    """
    path = epath.Path(place) / "sweep.json"
    noted = json.loads(path.read_text()) if path.exists() else {}
    theirs = {}
    for key, (config, point) in noted.items():
        name = "/".join(key.split("/")[-2:])  # older notes have the sweep's folder in front
        theirs[name] = [config, _freed(point, key.removesuffix(name) or place)]
    ours = {r.name: [r.stage.config, _freed(r.point, place)] for r in runs}
    ours = json.loads(json.dumps(ours))
    for name, one in ours.items():
        if theirs.get(name, one) != one:
            raise ValueError(
                f"{place}/{name} holds the point {theirs[name]}, not {one}: choose another "
                "--folder for a sweep of other points, or add new ones at the end"
            )
    return theirs | ours


def _freed(point: Mapping[str, Any], place: str) -> dict[str, Any]:
    """A point in which paths below the sweep's folder begin with HERE."""
    folder = folders.full(place)

    def free(value: Any) -> Any:
        if not isinstance(value, str) or value.startswith(HERE):
            return value
        path = folders.full(value)
        return f"{HERE}/{path.relative_to(folder)}" if path.is_relative_to(folder) else value

    return {field: free(value) for field, value in point.items()}


def recall(runs: Sequence[Run]) -> None:
    """Gives runs the state in which an earlier sweep left them."""
    for run in runs:
        path = epath.Path(run.workdir) / "sweep.json"
        if path.exists():
            note = json.loads(path.read_text())
            run.state, run.seconds = note["state"], note["seconds"]
            # Older notes name no parts: then "done" means all that is asked for.
            run.finished = note.get("finished", run.parts if run.state == "done" else [])
            if run.state == "done" and not set(run.parts) <= set(run.finished):
                run.state = UNSCORED  # scores were added since


def observe(runs: Sequence[Run]) -> None:
    """Gives runs that no sweep has noted, as emitted ones, the state that their folders show."""
    for run in runs:
        if run.state != "waiting":
            continue
        reached = max(checkpoint.saved_steps(run.workdir), default=0)
        if not reached:
            continue
        config = points.load_config(run.stage.config)
        points.change(config, run.point)
        scores = epath.Path(run.workdir) / "results.jsonl"
        rows = results.read(scores) if scores.exists() else []
        rows = [row for row in rows if row["checkpoint_step"] == reached]
        if reached < config.steps:
            run.state = f"at step {reached} of {config.steps}"
        elif not all(_told(one, rows) for one in run.stage.scores):
            run.state = UNSCORED
        else:
            run.state = "done"


def _told(asked_for: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there are lines of all that a stage's score asks for, asked in its way."""
    asked = evaluate_arguments.parse(["--workdir", ".", *shlex.split(asked_for)], "")
    way = (asked.benchmark, asked.seed, asked.votes)

    def is_asked(row: Mapping[str, Any]) -> bool:
        if (row["benchmark"], row["seed"], row.get("votes", 1)) != way:
            return False
        guidance = score.guidance(row["task"], asked.text_guidance)
        records = row["count"] + row.get("skipped", 0)
        all_of_it = row.get("whole", records == benchmarks.BENCHMARKS[asked.benchmark].records)
        return row.get("text_guidance") in (guidance, None) and (
            records == asked.count if asked.count else all_of_it
        )

    told = {(row["task"], row["steps"]) for row in rows if is_asked(row)}
    tasks = asked.tasks or {task for task, _ in told}
    return bool(tasks) and told >= set(itertools.product(tasks, asked.steps))


def _show(runs: Sequence[Run], folder: pathlib.Path) -> None:
    """Writes the progress table, and says what just begins."""
    rows = [
        f"| {r.name} | {r.title} | {r.state} | {f'{r.seconds / 60:.1f}' if r.seconds else ''} |"
        for r in runs
    ]
    head = ["| run | point | state | minutes |", "|:--|:--|:--|--:|"]
    folders.write_whole(folder / "progress.md", "\n".join([*head, *rows]) + "\n")
    for run in runs:
        if run.state == "running":
            ended = sum(r.state == "done" for r in runs)
            print(f"[{ended} of {len(runs)} done] {run.name}: {run.title}", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _bad_input.Parser(prog="python -m experiments.sweep", description=__doc__)
    parser.add_argument("file", help="Python file that defines stages(folder)")
    parser.add_argument("--folder", required=True, help="gets the work folders and the results")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--table", action="store_true", help="gather the results, run nothing")
    either.add_argument("--emit", metavar="PREFIX", help="print a command for each point")
    arguments = parser.parse_args(argv)
    with _bad_input.exits("sweep"):
        stages = points.load_module(arguments.file).stages(arguments.folder)
        runs = points.plan(stages, arguments.folder)
        if arguments.emit is not None:
            print("\n".join(emit(runs, arguments.emit)))
            return 0
        if arguments.table:
            check(runs, arguments.folder)
            recall(runs)
            observe(runs)
        finished = arguments.table or execute(runs, arguments.folder)
        sweep_results.write(runs, arguments.folder)
        return 0 if finished else 1


if __name__ == "__main__":
    raise SystemExit(main())
