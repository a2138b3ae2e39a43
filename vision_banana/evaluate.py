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
"""

import argparse
import functools
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import tqdm

from vision_banana.data import language
from vision_banana.evaluation import ask, benchmarks, check, predict, results, score
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Task
from vision_banana.training import distributed, weights_arguments
from vision_banana.training.trained import Trained

TEXT_GUIDANCE = 2.0


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
    text_guidance: float = TEXT_GUIDANCE,
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
      progress: wraps a sequence, as `tqdm.tqdm` does.

    Returns:
      Result lines, see `results.rows`.

    Raises:
      ValueError: for a task that the benchmark does not have, one that people judge, or more
        records than there are.
    """
    row = benchmarks.BENCHMARKS[benchmark]
    if row.judged:
        raise ValueError(f"{benchmark} has no true answers: people or a judge compare its pictures")
    asked = _scorable(tasks or row.tasks, row)
    size = trained.config["data"]["size"]
    model = trained.model

    def asker(n: int) -> score.Asker:
        build = functools.partial(predict.build, model, steps=n)
        drawers = (build(), build(text_guidance=text_guidance))
        return score.Asker(*(ask.build(p, trained.params, model.text_length) for p in drawers))

    source = benchmarks.Scored(benchmarks.open_source(row.source, size, data), row.rules)
    if row.training is None and not count and len(source) != row.records:
        raise ValueError(
            f"{benchmark} has {row.records} records and {data} {len(source)}: --check says what "
            "is missing; a part can be scored with --count"
        )
    scores = score.run(
        source,
        None if row.training is None else benchmarks.open_source(row.training, size),
        asked,
        {n: asker(n) for n in steps},
        count=count or row.records,
        text_length=model.text_length,
        seed=seed,
        size=size,
        progress=progress,
    )
    for name, scored in scores.items():
        print(*check.by_reason(name, scored.bad), sep="\n", end="", file=sys.stderr)
    return results.rows(
        scores,
        {name: task.perfect for name, task in asked.items()},
        run=run,
        checkpoint_step=trained.step,
        benchmark=benchmark,
        seed=seed,
        text_guidance=text_guidance,
        answered_at=size,
        rules=dict(row.rules),
    )


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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: write a number of 1 or more")
    return int(text)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Reads the command line; an argument that makes no sense exits with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m vision_banana.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    weights_arguments.add(parser)
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
        default=TEXT_GUIDANCE,
        help=f"weight of the text in image generation (default: {TEXT_GUIDANCE})",
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
    try:
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
            progress=functools.partial(tqdm.tqdm, desc="scoring", unit="chunk"),
        )
        if jax.process_index() == 0:
            results.write(output, lines)
    except (ValueError, OSError, ImportError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print(results.markdown(*results.table(lines)))
    print(f"\n{len(lines)} lines added to {output}")


if __name__ == "__main__":
    main()
