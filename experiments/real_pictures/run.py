"""Held-out real pictures before and after tuning on others of their kind: a table and a page.

python -m experiments.real_pictures.run --before pocket --after runs/real_pictures
"""

import functools
import os
import pathlib
from collections.abc import Sequence

import jax
import numpy as np
import tqdm

from vision_banana import _bad_input, evaluate
from vision_banana.data import language
from vision_banana.evaluation import benchmarks, page, report_pictures, resize, results, score
from vision_banana.evaluation.benchmarks import Benchmark
from vision_banana.evaluation.page import Section
from vision_banana.evaluation.plans import Query
from vision_banana.tasks.task import Task
from vision_banana.training import pretrained
from vision_banana.training.trained import Trained

ROWS = [row for row in benchmarks.BENCHMARKS.values() if row.source["name"] == "samples"]
NAMES = ("before", "after")
SHOWN = 6  # pictures of a benchmark on the page
SIDE = 160  # longest side of a picture on the page
LEAD = (
    "The same generator before and after tuning on real pictures, asked about real pictures that "
    "it was not tuned on, of other scenes than those that it was."
)


def evaluated(models: Sequence[Trained], output: pathlib.Path, votes: int) -> list[results.Row]:
    """Result lines of every benchmark, for each of the models."""
    return [
        line
        for name, model in zip(NAMES, models, strict=True)
        for row in ROWS
        for line in evaluate.evaluate(
            model, name, row.name, steps=(1,), votes=votes, records=str(output / "records"),
            progress=functools.partial(tqdm.tqdm, desc=f"{row.name}, {name}", unit="chunk"),
        )
    ]  # fmt: skip


def table(lines: Sequence[results.Row]) -> tuple[list[str], list[list[str]]]:
    """A row for each benchmark and metric: blind, before and after with intervals, and the most.

    The most is the score of the true answer, drawn at the generator's size and read back.
    """
    header = ["benchmark", "task", "metric", "count", "blind", *NAMES, "at most"]
    found: dict[tuple[str, str], dict[str, results.Row]] = {}
    for line in lines:
        if line["perfect"] is not None:
            found.setdefault((line["benchmark"], line["metric"]), {})[line["run"]] = line
    body = []
    for (benchmark, metric), by_run in found.items():
        line = by_run[NAMES[-1]]
        arrow = "↑" if line["perfect"] else "↓"
        scores = [_with_interval(by_run[name]) for name in NAMES]
        row = [benchmark, line["task"], f"{metric} {arrow}", str(line["count"])]
        body.append([*row, _number(line["blind"]), *scores, _number(line["truth"])])
    return header, body


def _with_interval(line: results.Row) -> str:
    if line["low"] is None:  # one picture has none
        return _number(line["value"])
    return f"{_number(line['value'])} ({_number(line['low'])} to {_number(line['high'])})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def pictures(models: Sequence[Trained], row: Benchmark) -> str:
    """A benchmark's first pictures: input, truth, both answers and their errors, as HTML."""
    (name,) = row.tasks
    task = benchmarks.scored_task(row, name)
    size = models[0].config["data"]["size"]
    source = benchmarks.Scored(benchmarks.open_source(row.source, size), row.rules)
    indices = range(min(SHOWN, len(source)))
    asked = score.queries(
        source, {name: task}, indices, 0, models[0].model.text_length, size
    )  # fmt: skip
    drawn = [
        score.draw(score.asker_of(model, 1), asked, jax.random.key(0))[name] for model in models
    ]
    strips = [
        _strip(task, query, source.example(query.record, name).references[0], answers)
        for query, *answers in zip(asked[name], *drawn, strict=True)
    ]
    return f'<div class="card">{"".join(strips)}</div>'


def _strip(task: Task, query: Query, picture: np.ndarray, drawn: Sequence[np.ndarray]) -> str:
    height, width = picture.shape[:2]
    scale = SIDE / max(height, width)
    shape = (round(height * scale), round(width * scale))
    seen = resize.example(query.example, query.shape)
    figure = report_pictures.figure
    figures = [figure(resize.smooth(picture, shape), "input", "input")]
    for caption, rgb in zip(("truth", *NAMES), (query.truth(), *drawn), strict=True):
        answer = task.read(rgb[None], [query.prompt])
        shown = np.asarray(task.picture(answer, 0))
        if caption == "truth":
            shown = np.where(seen.valid[..., None], shown, report_pictures.UNKNOWN)
        figures.append(figure(resize.nearest(shown, shape), caption, caption))
    error = report_pictures.error_picture(np.asarray(task.error(answer, 0, seen)))
    figures.append(figure(resize.nearest(error, shape), "error after", "error map"))
    return (
        f'<div class="scene"><p class="prompt">asked <q>{page.text(query.prompt)}</q></p>'
        f'<div class="strip five">{"".join(figures)}</div></div>'
    )


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument("--before", default="pocket", help="weights before tuning")
    parser.add_argument("--after", required=True, help="weights or run after it")
    parser.add_argument("--votes", type=int, default=1, help="how often each question is asked")
    parser.add_argument("--output", help="folder of table and page (AFTER/real_pictures)")
    arguments = parser.parse_args(argv)
    output = pathlib.Path(arguments.output or os.path.join(arguments.after, "real_pictures"))
    with _bad_input.exits("real_pictures"):
        models = [
            pretrained.load(name, language.describe())
            for name in (arguments.before, arguments.after)
        ]
        if len({(m.config["data"]["size"], m.model.text_length) for m in models}) > 1:
            raise ValueError("--before and --after work at another size or length of prompts")
        lines = evaluated(models, output, arguments.votes)
    results.write(output / "results.jsonl", lines)
    header, body = table(lines)
    (output / "table.md").write_text(results.markdown(header, body) + "\n")
    sections = [
        Section(row.name, row.name, pictures(models, row))
        for row in ROWS
    ]  # fmt: skip
    facts = {name: str(getattr(arguments, name)) for name in NAMES}
    (output / "pictures.html").write_text(page.build("Real pictures", LEAD, facts, sections))
    print(results.markdown(header, body))
    print(f"\nwrote table.md, results.jsonl and pictures.html to {output}")


if __name__ == "__main__":
    main()
