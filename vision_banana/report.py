"""Writes one self-contained HTML page about a trained generator.

    python -m vision_banana.report --workdir runs/quickstart/finish --output report.html

It shows pictures drawn from held-out captions, every task's answers on held-out scenes and on real
photographs, the score table, the loss over all phases of training and a point cloud that turns.
Scores are read from WORKDIR/results.jsonl, which `python -m vision_banana.evaluate` writes. With
`--checkpoint NAME` in place of `--workdir`, runs/NAME takes the place of WORKDIR.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from vision_banana.data import language, sources
from vision_banana.evaluation import (
    ask,
    own_pictures,
    phases,
    photographs,
    predict,
    questions,
    report,
    results,
    score,
)
from vision_banana.evaluation.own_pictures import Asked
from vision_banana.tasks import TASKS
from vision_banana.training import provenance, weights_arguments
from vision_banana.training.trained import Trained

LEAD = (
    "One image generator, trained from scratch: it draws from words, edits, and answers every "
    "question about a picture with another picture, which is decoded into metres, unit normals, "
    "labels, instances and masks. Only the prompt changes."
)
PHOTOS_NOTE = (
    "The model has seen nothing but procedurally rendered solids at 64 x 64 pixels. Real "
    "photographs are far from that: these answers show what carries over, and most of it does not."
)
DRAWING_STEPS = 20
TEXT_GUIDANCE = 2.0
GENERATIONS, SCENES = 12, 4
FOV_DEGREES = 60.0


def build(model: Trained, workdir: str, seed: int = 0, fov: float = FOV_DEGREES) -> str:
    """Asks a generator everything and builds the page.

    Args:
      model: the generator with its weights.
      workdir: its run's folder, for results and, with the phases before it, the loss curve.
      seed: of prompts and noise.
      fov: horizontal field of view in degrees that unprojects the point cloud.

    Returns:
      HTML.
    """
    size = model.config["data"]["size"]
    source = sources.build({"name": "scenes", "split": "heldout", "size": size})
    seeing = {name: task for name, task in TASKS.items() if name != "image_generation"}
    rows, clouds = _rows(model, source, seeing, seed, fov)
    return report.build(
        "Vision Banana",
        LEAD,
        _facts(model, workdir, seed),
        generations=_generations(model, source, seed),
        rows=rows,
        scores=_scores(workdir),
        scores_note="Scored on held-out scenes; drawing tasks and seeing tasks at the numbers of "
        "sampling steps in the header.",
        phases=phases.find(workdir),
        clouds=clouds,
        photos=_photos(model, size, seed),
        photos_note=PHOTOS_NOTE,
    )


def _asker(model: Trained) -> score.Asker:
    """Perception in one step, drawing in many."""
    length = model.model.text_length
    plain = predict.build(model.model)
    guided = predict.build(model.model, steps=DRAWING_STEPS, text_guidance=TEXT_GUIDANCE)
    return score.Asker(*(ask.build(p, model.params, length) for p in (plain, guided)))


def _generations(model: Trained, source: Any, seed: int) -> list[report.Generation]:
    tasks = {"image_generation": TASKS["image_generation"]}
    asked = score.queries(source, tasks, range(GENERATIONS), seed, model.model.text_length)
    drawn = score.draw(_asker(model), asked, jax.random.key(seed))["image_generation"]
    return [
        report.Generation(q.prompt, rgb)
        for q, rgb in zip(asked["image_generation"], drawn, strict=True)
    ]


def _rows(
    model: Trained, source: Any, tasks: Mapping[str, Any], seed: int, fov: float
) -> tuple[list[report.Row], list[report.Cloud]]:
    asked = score.queries(source, tasks, range(SCENES), seed, model.model.text_length)
    drawn = score.draw(_asker(model), asked, jax.random.key(seed))
    rows, clouds = [], []
    for name, queries in asked.items():
        if not queries:
            continue
        answer = score.read(tasks[name], drawn[name], [q.prompt for q in queries])
        for i, (q, rgb) in enumerate(zip(queries, drawn[name], strict=True)):
            drawing = name in score.APART
            rows.append(
                report.Row(
                    name, q.prompt, q.example.references, rgb, q.truth(),
                    None if drawing else np.asarray(tasks[name].picture(answer, i)),
                    np.asarray(tasks[name].error(answer, i, q.example)),
                )
            )  # fmt: skip
            if name == "depth":
                depth_m = np.asarray(answer["depth"][i])
                picture = q.example.references[0]
                clouds.append(report.Cloud(f"scene {q.record}", depth_m, picture, fov))
    return rows, clouds


def _photos(model: Trained, size: int, seed: int) -> list[report.Photo]:
    asked = [q for q in questions.everything(1) if q.task != "image_editing"]
    shown = photographs.load()
    replies = own_pictures.ask(
        model.model, model.params, [Asked(asked, [photo.picture]) for photo in shown],
        size=size, seed=seed,
    )  # fmt: skip
    photos = []
    for photo, answers in zip(shown, replies, strict=True):
        rows = [
            report.Row(r.question.task, r.question.prompt, [photo.picture], r.rgb,
                       decoded=r.picture)
            for r in answers
        ]  # fmt: skip
        photos.append(report.Photo(photo.shows, photo.picture, photo.credit, rows))
    return photos


def _scores(workdir: str) -> report.Table | None:
    path = epath.Path(workdir) / "results.jsonl"
    return report.Table(*results.table(results.read(path))) if path.exists() else None


def _facts(model: Trained, workdir: str, seed: int) -> dict[str, str]:
    described = provenance.describe(model.config, {})
    parameters = sum(x.size for x in jax.tree.leaves(model.params))
    data = model.config["data"]
    return {
        "run": workdir,
        "model": f"{model.config['model']['size']}, {parameters / 1e6:.1f} M parameters, "
        f"{data['size']} x {data['size']} pixels",
        "trained": f"{model.step:,} steps of {data['groups'] * data['queries']} queries",
        "seed": str(seed),
        "revision": described["revision"][:12],
        "versions": ", ".join(f"{k} {v}" for k, v in described["versions"].items()),
        "device": f"{described['device_count']} x {described['device']}",
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m vision_banana.report",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weights_arguments.add(parser)
    parser.add_argument("--output", help="the page (WORKDIR/report.html)")
    parser.add_argument("--seed", type=int, default=0, help="of prompts and noise")
    parser.add_argument(
        "--fov",
        type=float,
        default=FOV_DEGREES,
        help="horizontal field of view in degrees of the point cloud",
    )
    arguments = parser.parse_args(argv)
    try:
        workdir = weights_arguments.results_folder(arguments)
        output = pathlib.Path(arguments.output or os.path.join(workdir, "report.html"))
        model = weights_arguments.load(arguments, language.describe())
        page = build(model, workdir, arguments.seed, arguments.fov)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page, encoding="utf-8")
    except (ValueError, OSError) as error:
        print(f"report: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
