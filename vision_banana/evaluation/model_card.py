"""The model card of exported weights: what they are, from what, how good, and their limits."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import jax
from etils import epath

from vision_banana.evaluation import caption_sheet, figure, leaks, phases, results
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS
from vision_banana.tasks import TASKS
from vision_banana.training import pretrained
from vision_banana.training.trained import Trained

FRONT_MATTER = """---
license: apache-2.0
library_name: vision-banana
pipeline_tag: image-to-image
tags: [jax, text-to-image, depth-estimation, image-segmentation]
---
"""
ALSO = ("off_path",)  # scores without a skill whose intervals a card tells
LIMITS = (
    "The answers are no better than the data: a model that has seen rendered scenes alone is far "
    "from home on photographs, and its metres, labels and masks must not be relied on where a "
    "mistake can do harm. It has no filter of any kind. By default everything is computed on a "
    "square of {0} x {0} pixels, to which pictures of another shape are squeezed."
)


def build(model: Trained, description: Mapping[str, Any], workdir: str) -> str:
    """Writes a run's model card.

    Args:
      model: the generator.
      description: of its checkpoint, see `provenance.describe`.
      workdir: the run's folder, for its scores, hours and drawings.

    Returns:
      Markdown with the front matter that the Hugging Face hub reads.
    """
    config = model.config
    size = config["data"]["size"]
    drawn = sheets(model.step, workdir)
    parameters = sum(x.size for x in jax.tree.leaves(model.params))
    return "\n".join(
        [
            FRONT_MATTER,
            f"# Vision Banana, {config['model']['size']}\n",
            "One image generator that draws from words, edits, and answers questions about a "
            "picture with another picture, which is decoded: "
            f"{', '.join(name.replace('_', ' ') for name in TASKS)}.\n",
            "```python\nimport vision_banana as vb\n\n"
            'model = vb.load("FOLDER")  # this folder\n'
            'model.perceive("photo.jpg", "metric depth").depth_m\n```\n',
            "## What it is\n",
            f"* {parameters / 1e6:.1f} M parameters, pictures of {size} x {size} pixels",
            f"* EMA weights of step {model.step:,}, in bfloat16",
            f"* code revision {description['revision']}\n",
            "## Training\n",
            *_training(config, description, workdir),
            "\n## Scores\n",
            _scores(model, workdir),
            *_answers(drawn),
            "\n## Drawings\n",
            _drawings(drawn),
            "\n## Leaks\n",
            *_leaks(workdir),
            "\n## Limits\n",
            LIMITS.format(size) + "\n",
            "## Licence\n",
            "Apache-2.0, code and weights.\n",
        ]
    )


def hours(records: Sequence[Mapping[str, Any]]) -> float:
    """Hours that a run's steps took, by the lines of its `metrics.jsonl`.

    A line holds the mean time of the steps since the line before; of steps that were done again
    after an interruption the last time counts.
    """
    seconds = {r["step"]: r["seconds_per_step"] for r in records if "seconds_per_step" in r}
    steps = sorted(seconds)
    counts = (step - before for before, step in zip([0, *steps], steps, strict=False))
    return sum(n * seconds[step] for n, step in zip(counts, steps, strict=True)) / 3600


def _training(config: Mapping[str, Any], description: Mapping[str, Any], workdir: str) -> list[str]:
    processor = f"{description['device_count']} x {description['device']}"
    trained = phases.find(workdir)
    lines = [f"* on {processor}" + ("" if trained else ", hours not recorded")]
    for phase in trained:
        own = epath.Path(phase.folder) / "config.json"
        data = (json.loads(own.read_text()) if own.exists() else config)["data"]
        steps = max((line["step"] for line in phase.records), default=0)
        lines.append(
            f"* `{phase.name}`: {steps:,} steps of "
            f"{data['groups'] * data['queries']} queries in {hours(phase.records):.1f} hours"
        )
    for name, entry in config["data"]["mixture"].items():
        lines.append(
            f"* data `{name}`, weight {entry['weight']:g}: source `{entry['source']['name']}`, "
            f"tasks {', '.join(entry['tasks'])}"
        )
    return lines


def _leaks(workdir: str) -> list[str]:
    path = epath.Path(workdir) / leaks.FILE
    if not path.exists():
        return [
            "Not looked for: `python -m vision_banana.evaluation.leaks` writes what stands here."
        ]
    return [f"* {line}" for line in leaks.sentences(json.loads(path.read_text()))]


def sheets(step: int, workdir: str) -> dict[str, bytes]:
    """The sheets that these weights drew, file of `pretrained.SHEETS` -> its content."""
    own = {name: epath.Path(workdir) / figure.of_step(name, step) for name in pretrained.SHEETS}
    return {name: path.read_bytes() for name, path in own.items() if path.exists()}


def _answers(drawn: Collection[str]) -> list[str]:
    if pretrained.ANSWER_SHEET not in drawn:
        return []
    return [
        f"\n![Every task's answers about held-out scenes]({pretrained.ANSWER_SHEET})\n\n"
        "The first held-out scenes, one step, drawn by `python -m "
        "vision_banana.evaluation.answer_sheet`."
    ]


def _drawings(drawn: Collection[str]) -> str:
    if pretrained.CAPTION_SHEET not in drawn:
        return (
            "Not drawn yet: `python -m vision_banana.evaluation.caption_sheet` draws the sheet "
            "that stands here."
        )
    return (
        f"![{caption_sheet.COUNT} pictures with their captions]({pretrained.CAPTION_SHEET})\n\n"
        f"The same {caption_sheet.COUNT} held-out captions, seed {caption_sheet.SEED}, "
        f"{DRAWING_STEPS} steps and a weight of {DRAWING_GUIDANCE:g} on the text for every "
        "checkpoint; `python -m vision_banana.evaluation.caption_sheet` draws them again."
    )


def _scores(model: Trained, workdir: str) -> str:
    path = epath.Path(workdir) / "results.jsonl"
    lines = results.read(path) if path.exists() else []
    lines = results.of_weights(lines, model.step, model.weights)
    if not lines:
        return (
            "Not scored yet: `python -m vision_banana.evaluate` writes the scores that stand here."
        )
    scored = [line for line in lines if line["perfect"] is not None or line["metric"] in ALSO]
    return (
        f"{results.markdown(*results.table(lines))}\n\nOn {results.counts(lines)}, weights of step "
        f"{model.step:,}; blind is the best answer that never looks at the picture, skill is "
        "(score - blind) / (perfect - blind). 95 % bootstrap intervals over pictures; off_path "
        "is how far drawn depth lies from its colour map, in grey levels of 255 (median in a "
        "picture):\n\n"
        f"{results.markdown(*results.intervals(scored))}"
    )
