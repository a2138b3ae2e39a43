"""Writes one self-contained HTML page about a trained generator.

    python -m vision_banana.report --workdir runs/quickstart/tune --output report.html

It shows pictures drawn from held-out captions, every task's answers on held-out scenes and on real
photographs, the score table, the loss over all phases of training and a point cloud that turns.
Scores are read from WORKDIR/results.jsonl, which `python -m vision_banana.evaluate` writes. With
`--checkpoint NAME` in place of `--workdir`, runs/NAME takes the place of WORKDIR.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from vision_banana import _bad_input, _progress
from vision_banana.api.answers import FOV_DEGREES
from vision_banana.data import language, sources
from vision_banana.evaluation import arguments as asking
from vision_banana.evaluation import (
    own_pictures,
    phases,
    photographs,
    questions,
    report,
    results,
    score,
)
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.evaluation.plans import Query
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS, EDITING_STEPS
from vision_banana.tasks import TASKS
from vision_banana.tasks.task import Task
from vision_banana.training import folders, provenance, weights_arguments
from vision_banana.training.trained import Trained

LEAD = (
    "One image generator, trained from scratch: it draws from words, edits, and answers every "
    "question about a picture with another picture, which is decoded into metres, unit normals, "
    "labels, instances and masks. Only the prompt changes."
)
SCENES_NOTE = (
    "The model has seen nothing but procedurally rendered solids at {0} x {0} pixels. Real "
    "photographs are far from that: these answers show what carries over, and most of it does not."
)
PHOTOS_NOTE = (
    "None of these photographs was trained on. Each is squeezed to the square that the model works "
    "on, and its answer brought back to the photograph's size."
)
GENERATIONS, SCENES = 12, 4


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
    scored = _scored(workdir, model)
    source = sources.build({"name": "scenes", "split": "heldout", "size": size})
    with _progress.stages(3) as begin:
        with begin("drawing from captions"):
            generations = _generations(model, source, seed)
        with begin("asking about held-out scenes"):
            rows, clouds = _rows(model, source, seed, fov)
        with begin("asking about photographs"):
            photos = _photos(model, seed)
    return report.build(
        "Vision Banana",
        LEAD,
        _facts(model, workdir, seed),
        generations=generations,
        rows=rows,
        scores=report.Table(*results.table(scored)) if scored else None,
        scores_note=f"Scored on {results.counts(scored)}, at the numbers of sampling steps in the "
        "header.",
        phases=phases.find(workdir),
        clouds=clouds,
        photos=photos,
        photos_note=_note(model),
    )


def _generations(model: Trained, source: Any, seed: int) -> list[report.Generation]:
    tasks = {"image_generation": TASKS["image_generation"]}
    asked, drawn = _drawn(model, source, tasks, GENERATIONS, seed, DRAWING_STEPS)
    return [
        report.Generation(q.prompt, rgb)
        for q, rgb in zip(asked["image_generation"], drawn["image_generation"], strict=True)
    ]


def _drawn(
    model: Trained, source: Any, tasks: Mapping[str, Task], count: int, seed: int, steps: int
) -> tuple[dict[str, list[Query]], dict[str, list[np.ndarray]]]:
    """What is asked about the first records, and what the generator draws."""
    asked = score.queries(source, tasks, range(count), seed, model.model.text_length)
    asker = score.asker_of(model, steps, DRAWING_GUIDANCE)
    return asked, score.draw(asker, asked, jax.random.key(seed))


def _rows(
    model: Trained, source: Any, seed: int, fov: float
) -> tuple[list[report.Row], list[report.Cloud]]:
    """Every task about a picture that the source has."""
    rows: list[report.Row] = []
    clouds = []
    for editing in (False, True):
        tasks = {
            name: task
            for name, task in TASKS.items()
            if name in source.tasks
            and name != "image_generation"
            and (name == "image_editing") == editing
        }
        steps = EDITING_STEPS if editing else 1
        asked, drawn = _drawn(model, source, tasks, SCENES, seed, steps)
        for name, queries in asked.items():
            if not queries:
                continue
            task = tasks[name]
            answer = score.read(task, drawn[name], [q.prompt for q in queries])
            for i, (q, rgb) in enumerate(zip(queries, drawn[name], strict=True)):
                rows.append(
                    report.Row(
                        name, q.prompt, q.example.references, rgb, q.truth(),
                        None if editing else np.asarray(task.picture(answer, i)),
                        np.asarray(task.error(answer, i, q.example)),
                    )
                )  # fmt: skip
                if name == "depth":
                    depth_m = np.asarray(answer["depth"][i])
                    picture = q.example.references[0]
                    clouds.append(report.Cloud(f"scene {q.record}", depth_m, picture, fov))
    return rows, clouds


def _photos(model: Trained, seed: int) -> list[report.Photo]:
    shown = photographs.load()

    def ask(asked: list[questions.Question], steps: int) -> list[list[own_pictures.Reply]]:
        return own_pictures.ask(
            model.model, model.params, [QuestionSet(asked, [photo.picture]) for photo in shown],
            shape=model.shape, seed=seed, steps=steps, shift=model.shift,
        )  # fmt: skip

    everything = questions.everything(1)
    seeing = ask([q for q in everything if q.task != "image_editing"], 1)
    editing = ask([q for q in everything if q.task == "image_editing"], EDITING_STEPS)
    photos = []
    for photo, *replies in zip(shown, seeing, editing, strict=True):
        rows = [
            report.Row(
                r.question.task, r.question.prompt, [photo.picture], r.rgb,
                decoded=None if TASKS[r.question.task].draws else r.picture,
            )
            for r in itertools.chain(*replies)
        ]  # fmt: skip
        photos.append(report.Photo(photo.shows, photo.picture, photo.credit, rows))
    return photos


def _scored(workdir: str, model: Trained) -> list[results.Row]:
    """The newest result lines of these weights."""
    path = epath.Path(workdir) / "results.jsonl"
    lines = results.read(path) if path.exists() else []
    return results.of_weights(lines, model.step, model.weights)


def _note(model: Trained) -> str:
    """How far photographs are from what the model has seen."""
    names = {row["source"]["name"] for row in model.config["data"]["mixture"].values()}
    return SCENES_NOTE.format(model.config["data"]["size"]) if names == {"scenes"} else PHOTOS_NOTE


def _facts(model: Trained, workdir: str, seed: int) -> dict[str, str]:
    described = provenance.describe(model.config, {})
    parameters = sum(x.size for x in jax.tree.leaves(model.params))
    data = model.config["data"]
    return {
        "run": workdir,
        "model": f"{model.config['model']['size']}, {parameters / 1e6:.1f} M parameters, "
        f"{data['size']} x {data['size']} pixels",
        "trained": f"{model.step:,} steps of {data['groups'] * data['queries']} queries"
        + (f", from {before.rstrip('/')}" if (before := model.config["init_from"]) else ""),
        "seed": str(seed),
        "revision": described["revision"][:12],
        "versions": ", ".join(f"{k} {v}" for k, v in described["versions"].items()),
        "device": f"{described['device_count']} x {described['device']}",
    }


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = weights_arguments.parser_of("vision_banana.report", __doc__)
    parser.add_argument("--output", type=os.path.expanduser, help="the page (WORKDIR/report.html)")
    parser.add_argument("--seed", type=asking.seed, default=0, help="of prompts and noise")
    parser.add_argument(
        "--fov",
        type=asking.field_of_view,
        default=FOV_DEGREES,
        help="horizontal field of view in degrees of the point cloud",
    )
    arguments = parser.parse_args(argv)
    with _bad_input.exits("report"):
        workdir = weights_arguments.results_folder(arguments)
        output = epath.Path(arguments.output or os.path.join(workdir, "report.html"))
        if output.is_dir():
            page = output / "report.html"
            raise ValueError(f"--output {output} is a folder; name the page, {page} for example")
        model = weights_arguments.load(arguments, language.describe())
        page = build(model, workdir, arguments.seed, arguments.fov)
        output.parent.mkdir(parents=True, exist_ok=True)
        folders.write_whole(output, page)
    print(f"wrote {output}")


if __name__ == "__main__":
    main()
