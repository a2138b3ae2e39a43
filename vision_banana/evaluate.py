"""Scores a trained generator on held-out pictures.

    python -m vision_banana.evaluate --workdir runs/my_pocket
    python -m vision_banana.evaluate --check nyu_depth --data /data/nyu
    python -m vision_banana.evaluate --benchmark nyu_depth --data /data/nyu --workdir runs/my_pocket

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

import contextlib
import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import tqdm

from vision_banana import _bad_input
from vision_banana.data import language, plugged
from vision_banana.evaluation import asked as asked_lib
from vision_banana.evaluation import (
    benchmarks,
    check,
    confidence,
    drawing,
    evaluate_arguments,
    judge,
    results,
    saved,
    score,
    totals,
)
from vision_banana.evaluation.asked import Asked
from vision_banana.evaluation.plans import How, Present, Rewrite
from vision_banana.evaluation.predict import DRAWING_GUIDANCE
from vision_banana.evaluation.records import Records, digest_of
from vision_banana.metrics.calibration import Curve
from vision_banana.training import distributed, weights_arguments
from vision_banana.training.trained import Trained

MOST_UNREAD = 0.01  # share of a released set: what lacks more is another set


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
      votes: how often each question is asked; see `plans.How`, as for the next one.
      apart: whether each region of a referring prompt is asked on its own.
      classes_at_once: the most classes of a semantic prompt that are asked at once; 0 for all or,
        of a released set whose legend is longer than the generator's prompts, as many as fit.
      answered_at: side of the square that a picture is resized to. Where it is larger than the
        generator's, the picture is answered in overlapping tiles, blended in decoded units
        (`tiles`). 0: the generator's.
      present: `(picture, phrase) -> bool`, a judge of what is in a picture; see `plans.How`. Its
        own answers are scored too (`judge.scored`).
      rewrite: `phrase -> phrase`, puts queries in other words.
      workdir: the run's folder, where its calibration is; "" for none. Curves that were fitted
        on a record that is scored are named and not used.
      records: folder, local or in a bucket, for the records' scores, from which an evaluation
        goes on; "" keeps none.
      shard: (i, n), this process's part of the records.
      save_predictions: folder for every answer; "" keeps none.
      fit_calibration: fits the calibration of this way of asking, on as many records after those
        that are scored, and stores it in `workdir`; scores nothing.
      progress: wraps a sequence, as `tqdm.tqdm` does.

    Returns:
      Result lines, see `results.rows`; none where other processes' records are still missing.
      Those of a task of which no record could be scored have a count of 0.

    Raises:
      ValueError: for a task that the benchmark does not have, one that people judge where no
        pictures are saved, more records than there are, a size that the generator cannot work at,
        damaged records, or a whole released set of which too much could not be read.
    """
    row = benchmarks.BENCHMARKS[benchmark]
    origin = {
        "run": run, "checkpoint_step": trained.step, "weights": trained.weights,
        "benchmark": benchmark, "seed": seed, "text_guidance": text_guidance,
    }  # fmt: skip
    if row.judged:
        _draw(trained, row, origin, data, count, steps, shard, save_predictions, progress)
        return []
    size = answered_at or trained.config["data"]["size"]
    tile = asked_lib.tile_of(trained, size)
    scorable = asked_lib.scorable(tasks or row.tasks, row)
    if present is not None:
        scorable = {name: judge.scored(task) for name, task in scorable.items()}
    source, count, whole = asked_lib.opened(row, size, data, count)
    if not classes_at_once:
        classes_at_once = asked_lib.classes_at_once(trained, row, scorable, source)
    how = How(votes, tile=tile, apart=apart, classes_at_once=classes_at_once,
              present=present, rewrite=rewrite)  # fmt: skip
    asked = Asked(trained, row, scorable, source, count, size, tuple(steps), how, origin)
    if fit_calibration:
        _fit(asked, workdir, progress)
        return []
    return _score(asked, whole, data, workdir, records, shard, save_predictions, progress)


def _draw(
    trained: Trained,
    row: benchmarks.Benchmark,
    origin: Mapping[str, Any],
    data: str,
    count: int,
    steps: Sequence[int],
    shard: tuple[int, int],
    folder: str,
    progress: Any,
) -> None:
    """Draws the pictures of a benchmark that people or a judge score."""
    if not folder:
        raise ValueError(
            f"{row.name} has no true answers: people or a judge compare its pictures. Name a "
            "folder for them (--save_predictions), then compare two with vision_banana.prefer"
        )
    (task,) = row.tasks
    seed, text_guidance = origin["seed"], score.guidance(task, origin["text_guidance"])
    origin = {**origin, "text_guidance": text_guidance}
    settings = {name: origin[name] for name in ("benchmark", "seed", "text_guidance", "weights")}
    settings |= asked_lib.depends_on(row, data)
    drawn, bad = drawing.run(
        trained, row, data, folder, count=count, steps=steps, seed=seed,
        text_guidance=text_guidance, shard=shard, progress=progress,
        evaluation=digest_of(json.dumps(settings, sort_keys=True)),
    )  # fmt: skip
    saved.write_origin(folder, origin)
    for line in check.by_reason(row.name, bad):
        print(line, file=sys.stderr)
    print(f"{drawn} pictures are in {folder}; vision_banana.prefer compares two such")


def _fit(asked: Asked, workdir: str, progress: Any) -> None:
    """Fits a calibration to as many records after those that are scored, and stores it.

    Raises:
      ValueError: the source has fewer.
    """
    if len(asked.source) < 2 * asked.count:
        raise ValueError(
            f"{asked.source.name} has {len(asked.source)} records and {asked.count} are scored: a "
            "calibration needs as many again behind them; score fewer (--count)"
        )
    held_out = benchmarks.After(asked.source, asked.count)
    metrics = confidence.metrics_of(asked.tasks)
    kept = asked.run(held_out, progress=progress)
    found = totals.scores(metrics, kept, asked.steps, beside=False)
    for n in asked.steps:
        fitted = confidence.fit({name: s.states[n] for name, s in found.items()})
        on = range(asked.count, 2 * asked.count)
        place = confidence.save(workdir, asked.origin["weights"], asked.way(n), fitted, on)
    print(f"the calibration of {', '.join(fitted)} is stored in {place}")


def _curves(asked: Asked, workdir: str) -> dict[int, dict[str, Curve]]:
    """Steps -> task -> curve. One that was fitted on what is scored is named, and not used."""
    curves: dict[int, dict[str, Curve]] = {n: {} for n in asked.steps}
    for n in asked.steps if workdir else ():
        fitted = confidence.load(workdir, asked.origin["weights"], asked.way(n))
        for task, (curve, on) in fitted.items():
            if on.start < asked.count:
                print(
                    f"{task} at {n} steps is not calibrated: {confidence.FILE} was fitted on "
                    f"records {on.start} to {on.stop - 1}, and 0 to {asked.count - 1} are scored. "
                    f"Fit it with the same count: --count {asked.count} --fit_calibration",
                    file=sys.stderr,
                )
            else:
                curves[n][task] = curve
    return curves


def _score(
    asked: Asked,
    whole: bool,
    data: str,
    workdir: str,
    records: str,
    shard: tuple[int, int],
    save_predictions: str,
    progress: Any,
) -> list[results.Row]:
    """Scores the records that are not scored yet; result lines where all are."""
    row, tasks, count, steps = asked.row, asked.tasks, asked.count, asked.steps
    curves = _curves(asked, workdir)
    metrics = confidence.metrics_of(tasks)
    calibrated = {
        str(n): {task: [x.tolist() for x in curve] for task, curve in found.items()}
        for n, found in curves.items()
    }
    origin = {**asked.origin, **asked.settings(), "whole": whole}
    settings = {**origin, "tasks": list(tasks), "count": count, "steps": list(steps),
                "calibrations": calibrated, "source": dict(row.source),
                **asked_lib.depends_on(row, data)}  # fmt: skip
    if asked.how.present is not None:
        # Earlier records hold none of its answers, or score them by the first annotator.
        settings["judge"] = "scored by all annotators"
        if asked.how.rewrite is not None:  # earlier, it heard what that had made of them
            settings["judge"] += ", hears the set's own phrases"
    kept = Records(metrics, records or None, settings, shard[0])
    keep = is_kept = None
    if save_predictions:
        keep = functools.partial(saved.save, save_predictions, evaluation=kept.digest)
        is_kept = functools.partial(saved.holds, save_predictions, kept.digest)
        saved.write_origin(save_predictions, asked.origin)
    with contextlib.closing(kept):
        asked.run(
            asked.source,
            None if row.training is None else benchmarks.open_source(row.training, asked.size),
            how=asked.how._replace(calibrations=curves),
            records=kept,
            shard=shard,
            keep=keep,
            is_kept=is_kept,
            progress=progress,
        )
    kept.read_all()  # what other processes have scored meanwhile
    missing = kept.missing(range(count), list(tasks))
    if missing:
        print(f"{count - len(missing)} of {count} records are scored; run the other shards too")
        return []
    scores = totals.scores(metrics, kept, steps, row.training is not None, resampled=True)
    for name, scored in scores.items():
        unasked = check.by_reason(f"{name}, answered with nothing", scored.unasked)
        for line in (*check.by_reason(name, scored.bad), *unasked):
            print(line, file=sys.stderr)
    if whole and row.training is None:
        _refuse_incomplete(row.name, scores)
    perfect = {name: task.perfect for name, task in tasks.items()}
    return [
        line
        | {
            "text_guidance": score.guidance(line["task"], line["text_guidance"]),
            "calibrated": line["task"] in curves[line["steps"]],
        }
        for line in results.rows(scores, perfect, **origin, records=kept.digest)
    ]


def _refuse_incomplete(benchmark: str, scores: Mapping[str, totals.Score]) -> None:
    """Refuses the scores of a released set that lacks more than `MOST_UNREAD` of its records.

    A number without them is none of the benchmark's. Records of which its own rules score no pixel
    are not lacking; where nothing at all is scored, that is told by itself.

    Raises:
      ValueError: how many are lacking, and what to do.
    """
    for name, scored in scores.items():
        unread = sum(not why.startswith(benchmarks.NO_PIXEL) for _, why in scored.bad)
        total = scored.asked + scored.skipped
        if scored.asked and unread > MOST_UNREAD * total:
            raise ValueError(
                f"{benchmark} is incomplete: {unread} of its {total} records could not be read for "
                f"{name}, more than {MOST_UNREAD:.0%}, and their reasons stand above. Fetch or "
                "mend what is missing (--check names it); the same command then asks for these "
                "alone, since all other scores are kept. A part is scored with --count"
            )


def _plugged(name: str | None, role: str) -> Callable[..., Any] | None:
    return plugged.find(name, role) if name else None


def _check(name: str, data: str) -> None:
    """Prints what is wrong with a benchmark's data; exits with status 1 if anything is."""
    with _bad_input.exits("evaluate"):
        report = check.check(benchmarks.BENCHMARKS[name], data)
    print(f"{name}: {report.seen}")
    if report.problems:
        print(*report.problems, sep="\n")
        raise SystemExit(1)
    print("nothing is missing or damaged")


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    arguments = evaluate_arguments.parse(sys.argv[1:] if argv is None else argv, __doc__)
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
            present=_plugged(arguments.present, "--present"),
            rewrite=_plugged(arguments.rewrite, "--rewrite"),
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
        scored = [line for line in lines if line["count"]]
        if scored and jax.process_index() == 0:
            results.write(output, scored)
        if scored:
            print(results.markdown(*results.table(scored)))
            print(f"\n{len(scored)} lines added to {output}")
        if unscored := sorted({line["task"] for line in lines if not line["count"]}):
            raise ValueError(
                f"no record could be scored of {', '.join(unscored)}: the reason stands above"
            )


if __name__ == "__main__":
    main()
