"""What a benchmark asks: one fixed wording for each task, the same for every record of a set.

Where a sentence with an expression in it would be misread, its legend is written as a map instead.
Prompts in training vary; a score must not depend on which variant was drawn. The paper says as
much of Cityscapes, asked with one prompt that lists all 19 classes, and nothing of the others.
"""

import numpy as np

from vision_banana.data.source import BadRecord
from vision_banana.evaluation import questions
from vision_banana.tasks import color_legends, colors
from vision_banana.tasks import instance_segmentation as instances
from vision_banana.tasks.color_names import BLACK, RGB
from vision_banana.tasks.task import Example

REGION: RGB = (255, 255, 255)
_MAP = color_legends.map_form(("Segment this image:",))
_SENTENCE = color_legends.sentence_form(
    ("A segmentation map image.",), ("the area that corresponds to {}",), ("is rendered {}",)
)


def depth(example: Example) -> str:
    """Metric depth in the colours of the cube's edges."""
    return questions.DEFAULTS["depth"]


def surface_normals(example: Example) -> str:
    """Normals in camera space."""
    return questions.DEFAULTS["surface_normals"]


def instance_segmentation(example: Example) -> str:
    """Every instance of the example's phrase, on black; BadRecord if the phrase changes that."""
    phrase = example.words["phrase"]
    asked = (
        "Generate an instance segmentation visualization of this image. "
        f"Each {phrase} is colored differently."
    )
    try:
        background = instances.read_background(asked)
    except ValueError as e:
        raise BadRecord(example.key, f"cannot be asked: {e}") from e
    if background != BLACK:
        raise BadRecord(example.key, f"cannot be asked: {phrase!r} states a background")
    return asked


def semantic_segmentation_legend(classes: tuple[str, ...]) -> dict[str, RGB]:
    """A named colour for each class, always the same ones.

    They are one random draw, whose least distance starts at `colors.draw_palette`'s and shrinks
    until so many fit; other palettes may lie further apart.
    """
    palette = colors.draw_palette(len(classes), np.random.default_rng(0))
    return dict(zip(classes, palette, strict=True))


def semantic_segmentation(example: Example) -> str:
    """All classes of the set, whatever the picture shows, and no background."""
    return _written(example, semantic_segmentation_legend(example.words["classes"]), _MAP)


def referring_segmentation(example: Example) -> str:
    """The example's one expression in white on black."""
    (expression,) = example.words["expressions"]
    if colors.normalise(expression) == colors.BACKGROUND:
        raise BadRecord(example.key, f"cannot be asked: {expression!r} means the background")
    return _written(example, {expression: REGION, colors.BACKGROUND: BLACK}, _SENTENCE)


def _written(example: Example, legend: dict[str, RGB], form: color_legends.Form) -> str:
    try:
        return color_legends.write(legend, (form,), np.random.default_rng(0))
    except ValueError as e:
        raise BadRecord(example.key, f"cannot be asked: {e}") from e
