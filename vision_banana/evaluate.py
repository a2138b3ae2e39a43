"""Scores a trained generator on held-out pictures.

    python -m vision_banana.evaluate --workdir runs/pocket
    python -m vision_banana.evaluate --check nyu_depth --data /data/nyu
    python -m vision_banana.evaluate --benchmark nyu_depth --data /data/nyu --workdir runs/pocket

On the embedded scenes every score stands beside the blind one (the best answer that never looks at
the picture) and as skill, (score - blind) / (perfect - blind). Adds lines to WORKDIR/results.jsonl,
one for each task, metric and number of sampling steps, and prints a table. A released benchmark
needs the folder that its reader in vision_banana/data describes; --check says what is missing or
damaged in it, and needs no generator. `--checkpoint pocket` instead of `--workdir` scores the
generator that ships with the package, and writes to runs/pocket.

Each record's scores are written as they come to the folder `records` beside the lines: the same
command again goes on from there, trying again the records that could not be asked, and
`--shard 0/4` ... `--shard 3/4` share a benchmark among four processes, the last of which adds the
lines. Other weights, settings, data or scenes begin anew. `--votes 16` asks each question 16 times,
with other colours and on the mirrored picture too, and joins the decoded answers;
`--fit_calibration` learns, on records that are not scored, how often a stated confidence is right,
for later evaluations.
"""

import argparse
import functools
import json
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import tqdm

from vision_banana import _bad_input
from vision_banana.data import language, samples, scenes
from vision_banana.evaluation import (
    benchmarks,
    check,
    confidence,
    drawing,
    results,
    saved,
    score,
    totals,
)
from vision_banana.evaluation.plans import How, Present, Rewrite
from vision_banana.evaluation.predict import DRAWING_GUIDANCE
from vision_banana.evaluation.records import Records, digest_of, fingerprint
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Task
from vision_banana.training import distributed, weights_arguments
from vision_banana.training.trained import Trained

GROUPS = 8  # pictures of a batch; fewer where each is asked many times


def evaluate(
    trained: Trained,
    run: str,
    benchmark: str = "scenes",
    *,
    data: str = "",
    tasks: Sequence[str] = (),
    count: int = 0,
    steps: Sequence[int] = (1, 4, 20),
    seed: int = 0,
    text_guidance: float = DRAWING_GUIDANCE,
    votes: int = 1,
    flips: bool = True,
    apart: bool = False,
    classes_at_once: int = 0,
    answered_at: int = 0,
    present: Present | None = None,
    rewrite: Rewrite | None = None,
    workdir: str = "",
    records: str = "",
    shard: tuple[int, int] = (0, 1),
    save_predictions: str = "",
    fit_calibration: bool = False,
    progress: Any = iter,
) -> list[results.Row]:
    """Scores a generator on a benchmark.

    Args:
      trained: the generator.
      run: its name in the result lines.
      benchmark: a name of `benchmarks.BENCHMARKS`.
      data: the folder that holds a released benchmark's data.
      tasks: names of the tasks to score; all of the benchmark's when empty.
      count: records to score, the first ones; when 0 the benchmark's own number, and all that are
        there of a released set, which must then be complete.
      steps: numbers of sampling steps.
      seed: of prompts and noise.
      text_guidance: weight of the text in image generation; other tasks are asked without.
      votes: how often each question is asked; see `plans.How`, as for the next three.
      flips: whether every second vote sees the mirrored picture.
      apart: whether each region of a referring prompt is asked on its own.
      classes_at_once: the most classes of a semantic prompt that are asked at once; 0 for all.
      answered_at: side of the square that a picture is resized to. Where it is larger than the
        generator's, the picture is answered in overlapping tiles, blended in decoded units
        (`tiles`). 0: the generator's.
      present: `(picture, phrase) -> bool`, a judge of what is in a picture; see `plans.How`.
      rewrite: `phrase -> phrase`, puts queries in other words.
      workdir: the run's folder, where its calibration is; "" for none.
      records: folder for the records' scores, from which an evaluation goes on; "" keeps none.
      shard: (i, n), this process's part of the records.
      save_predictions: folder for every answer; "" keeps none.
      fit_calibration: fits the calibration of this way of asking, on as many records after those
        that are scored, and stores it in `workdir`; scores nothing.
      progress: wraps a sequence, as `tqdm.tqdm` does.

    Returns:
      Result lines, see `results.rows`; none where other processes' records are still missing.

    Raises:
      ValueError: for a task that the benchmark does not have, one that people judge where no
        pictures are saved, more records than there are, a size that tiles do not fit, or damaged
        records.
    """
    row = benchmarks.BENCHMARKS[benchmark]
    if row.judged:
        if not save_predictions:
            raise ValueError(
                f"{benchmark} has no true answers: people or a judge compare its pictures. Name a "
                "folder for them (--save_predictions), then compare two with vision_banana.prefer"
            )
        settings = {"benchmark": benchmark, "seed": seed, "text_guidance": text_guidance}
        if jax.process_count() == 1:  # else no process holds all weights
            settings |= _depends_on(trained, row, data)
        drawn, bad = drawing.run(
            trained, row, data, save_predictions, count=count, steps=steps, seed=seed,
            text_guidance=text_guidance, shard=shard, progress=progress,
            evaluation=digest_of(json.dumps(settings, sort_keys=True)),
        )  # fmt: skip
        for line in check.by_reason(benchmark, bad):
            print(line, file=sys.stderr)
        print(f"{drawn} pictures are in {save_predictions}; vision_banana.prefer compares two such")
        return []
    asked = _scorable(tasks or row.tasks, row)
    own = trained.config["data"]["size"]
    size = answered_at or own
    model = trained.model

    def asker(n: int) -> score.Asker:
        return score.asker_of(trained, n, text_guidance, max(1, GROUPS // votes))

    opened = benchmarks.open_source(row.source, size, data)
    complete = row.training is not None or check.released(opened) == row.records
    if not count and not complete:
        raise ValueError(
            f"{benchmark} has {row.records} records and {data} {check.released(opened)}: --check "
            "says what is missing; a part can be scored with --count"
        )
    source: Any = benchmarks.Scored(opened, row.rules)
    own_count = row.records if row.training is not None else len(source)
    count = count or own_count
    named = [None if f is None else getattr(f, "__name__", repr(f)) for f in (present, rewrite)]
    tile = own if size > own else 0
    way = {
        "votes": votes, "flips": votes > 1 and flips, "apart": apart,
        "classes_at_once": classes_at_once or None, "answered_at": size,
        "tile": tile or None, "present": named[0], "rewrite": named[1],
    }  # fmt: skip
    at = {n: {"benchmark": benchmark, "steps": n, "rules": dict(row.rules)} | way for n in steps}
    curves = (
        {n: confidence.load(workdir, trained.step, at[n]) for n in steps}
        if workdir and not fit_calibration
        else {}
    )
    how = How(votes, flips, tile, apart, classes_at_once, present, rewrite, curves)
    origin = {
        "run": run, "checkpoint_step": trained.step, "benchmark": benchmark, "seed": seed,
        "text_guidance": text_guidance, **way, "rules": dict(row.rules),
        "whole": complete and count == own_count,
    }  # fmt: skip
    ask_all = functools.partial(
        score.run, tasks=asked, count=count, text_length=model.text_length, seed=seed, size=size,
        progress=progress, how=how,
    )  # fmt: skip
    if fit_calibration:
        held_out = benchmarks.After(source, count)
        found = ask_all(held_out, None, askers={n: asker(n) for n in steps})
        for n in steps:
            fitted = confidence.fit({name: s.states[n] for name, s in found.items()})
            place = confidence.save(
                workdir, trained.step, at[n], fitted, {"first": count, "records": count}
            )
        print(f"the calibration of {', '.join(fitted)} is stored in {place}")
        return []
    metrics = confidence.metrics_of(asked)
    calibrated = {
        str(n): {task: [x.tolist() for x in curve] for task, curve in found.items()}
        for n, found in curves.items()
    }
    settings = {**origin, "tasks": list(asked), "count": count, "steps": list(steps),
                "calibrations": calibrated, "source": dict(row.source)}  # fmt: skip
    if records:
        settings |= _depends_on(trained, row, data)
    kept = Records(metrics, pathlib.Path(records) if records else None, settings, shard[0])
    ask_all(
        source,
        None if row.training is None else benchmarks.open_source(row.training, size),
        askers={n: asker(n) for n in steps},
        records=kept,
        shard=shard,
        keep=functools.partial(saved.save, save_predictions, evaluation=kept.digest)
        if save_predictions
        else None,
        is_kept=functools.partial(saved.holds, save_predictions, kept.digest)
        if save_predictions
        else None,
    )
    kept.read_all()  # what other processes have scored meanwhile
    missing = kept.missing(range(count), list(asked))
    if missing:
        print(f"{count - len(missing)} of {count} records are scored; run the other shards too")
        return []
    scores = totals.scores(metrics, kept, steps, row.training is not None, resampled=True)
    for name, scored in scores.items():
        print(*check.by_reason(name, scored.bad), sep="\n", end="", file=sys.stderr)
    perfect = {name: task.perfect for name, task in asked.items()}
    return results.rows(
        scores, perfect, **origin, calibrated=any(curves.values()), records=kept.digest
    )


def _depends_on(trained: Trained, row: benchmarks.Benchmark, data: str) -> dict[str, Any]:
    """What the scores depend on beside the arguments: weights, language, scenes and data."""
    place = data
    if row.source["name"] == "samples":
        place = os.environ.get(samples.VARIABLE, "")
    return {
        "weights": fingerprint(trained.params),
        "language": language.describe(),
        "scenes": scenes.SCENES_VERSION,
        "data": os.path.realpath(place) if place else "",
    }


def _scorable(names: Sequence[str], row: benchmarks.Benchmark) -> Mapping[str, Task]:
    """The tasks by name, without those whose metric needs something that is not installed."""
    unknown = [name for name in names if name not in row.tasks]
    if unknown:
        raise ValueError(
            f"benchmark {row.name!r} has no task {', '.join(map(repr, unknown))}: it has "
            f"{', '.join(row.tasks)}"
        )
    kept = {}
    for name in names:
        task = benchmarks.scored_task(row, name)
        try:
            task.metric()
        except ImportError as error:
            print(f"{name} is not scored: {error}", file=sys.stderr)
        else:
            kept[name] = task
    return kept


def _steps(text: str) -> tuple[int, ...]:
    try:
        steps = tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write numbers as in 1,4,20") from error
    if min(steps) < 1 or len(set(steps)) < len(steps):
        raise argparse.ArgumentTypeError(f"{text!r}: each must be 1 or more and differ")
    return steps


def _tasks(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is no task: use {', '.join(TASKS)}")
    return names


def _shard(text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isdecimal() and of.isdecimal() and int(number) < int(of)):
        raise argparse.ArgumentTypeError(f"{text!r}: write a shard as 0/4, 1/4, 2/4 or 3/4")
    return int(number), int(of)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of 1 or more")
    return int(text)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line; an argument that makes no sense exits with status 2."""
    parser = weights_arguments.parser_of("vision_banana.evaluate", __doc__)
    add = parser.add_argument
    add("--benchmark", default="scenes", choices=sorted(benchmarks.BENCHMARKS))
    add("--data", default="", help="folder of a released benchmark's data")
    add(
        "--check",
        choices=sorted(n for n, row in benchmarks.BENCHMARKS.items() if row.training is None),
        help="say what is missing or damaged in DATA for this benchmark, and score nothing",
    )
    add("--count", type=_positive, default=0, help="records to score (default: the benchmark's)")
    add("--steps", type=_steps, default=(1, 4, 20), help="numbers of sampling steps, as in 1,4,20")
    add("--tasks", type=_tasks, default=(), help="names with commas (default: the benchmark's)")
    add("--seed", type=int, default=0, help="of prompts and noise")
    add(
        "--text_guidance",
        type=float,
        default=DRAWING_GUIDANCE,
        help=f"weight of the text in image generation (default: {DRAWING_GUIDANCE})",
    )
    add("--votes", type=_positive, default=1, help="how often each question is asked")
    add("--apart", action="store_true", help="ask each region of a referring prompt on its own")
    add(
        "--classes_at_once",
        type=_positive,
        default=0,
        help="most classes of a semantic prompt; more are asked in parts (all)",
    )
    add(
        "--answered_at",
        type=_positive,
        default=0,
        help="side of the square that a picture is resized to (default: the generator's); a "
        "larger one is answered in overlapping tiles",
    )
    add("--shard", type=_shard, default=(0, 1), help="this process's part, as in 0/4")
    add("--save_predictions", default="", help="folder that gets every decoded answer")
    add(
        "--fit_calibration",
        action="store_true",
        help="learn what confidences are worth, on records that are not scored; score nothing",
    )
    add("--output", help="file that gets the lines (default: WORKDIR/results.jsonl)")
    distributed.add_arguments(parser)
    arguments = parser.parse_args(argv)
    if arguments.check and not arguments.data:
        parser.error("--data is needed: the folder to check")
    return arguments


def _check(name: str, data: str) -> None:
    """Prints what is wrong with a benchmark's data; exits with status 1 if anything is."""
    report = check.check(benchmarks.BENCHMARKS[name], data)
    print(f"{name}: {report.seen}")
    if report.problems:
        print(*report.problems, sep="\n")
        raise SystemExit(1)
    print("nothing is missing or damaged")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    if arguments.check:
        return _check(arguments.check, arguments.data)
    with _bad_input.exits("evaluate"):
        distributed.initialize_from(arguments)
        folder = weights_arguments.results_folder(arguments)
        output = arguments.output or os.path.join(folder, "results.jsonl")
        lines = evaluate(
            weights_arguments.load(arguments, language.describe()),
            os.path.basename(os.path.normpath(folder)),
            arguments.benchmark,
            data=arguments.data,
            tasks=arguments.tasks,
            count=arguments.count,
            steps=arguments.steps,
            seed=arguments.seed,
            text_guidance=arguments.text_guidance,
            votes=arguments.votes,
            apart=arguments.apart,
            classes_at_once=arguments.classes_at_once,
            answered_at=arguments.answered_at,
            workdir=folder,
            # Processes that draw together (jax.distributed) must all score the same records.
            records=os.path.join(os.path.dirname(output), "records")
            if jax.process_count() == 1
            else "",
            shard=arguments.shard,
            save_predictions=arguments.save_predictions,
            fit_calibration=arguments.fit_calibration,
            progress=functools.partial(tqdm.tqdm, desc="scoring", unit="chunk"),
        )
        if lines and jax.process_index() == 0:
            results.write(output, lines)
    if not lines:
        return
    print(results.markdown(*results.table(lines)))
    print(f"\n{len(lines)} lines added to {output}")


if __name__ == "__main__":
    main()
