import numpy as np
import pytest

from vision_banana.data import cityscapes
from vision_banana.data.source import BadRecord
from vision_banana.evaluation import fixed_prompts
from vision_banana.tasks import colors, instance_segmentation


def _example(task, **words):
    return fixed_prompts.Example(task, "k", (), np.zeros((1, 1)), np.ones((1, 1), bool), words)


def test_all_classes_are_listed_without_a_background_and_far_apart():
    classes = tuple(cityscapes.CLASSES.values())
    prompt = fixed_prompts.semantic_segmentation(_example("semantic_segmentation", classes=classes))
    legend = colors.parse_prompt(prompt)
    assert list(legend) == list(classes)
    palette = np.array(list(legend.values()), float)
    apart = np.linalg.norm(palette[:, None] - palette[None], axis=-1)
    assert apart[~np.eye(19, dtype=bool)].min() > 60
    again = fixed_prompts.semantic_segmentation(_example("semantic_segmentation", classes=classes))
    assert again == prompt


@pytest.mark.parametrize(
    "text",
    [
        "pink t-shirt man",
        'the man in pink, left: the "tall" one?',
        "the red, green and blue bird",
        "What would you use to cut bread? Please output segmentation mask.",
    ],
)
def test_an_expression_is_asked_in_white_on_black(text):
    prompt = fixed_prompts.referring_segmentation(
        _example("referring_segmentation", expressions=(text,))
    )
    legend = colors.parse_prompt(prompt)
    assert legend == {colors.normalise(text): (255, 255, 255), "background": (0, 0, 0)}


@pytest.mark.parametrize("text", ["background", "the background"])
def test_an_expression_that_means_the_background_cannot_be_asked(text):
    with pytest.raises(BadRecord, match=r"k.*cannot be asked"):
        fixed_prompts.referring_segmentation(
            _example("referring_segmentation", expressions=(text,))
        )


def test_instances_are_asked_by_phrase():
    prompt = fixed_prompts.instance_segmentation(
        _example("instance_segmentation", phrase="red kite")
    )
    assert "Each red kite is colored differently." in prompt


@pytest.mark.parametrize(
    "phrase",
    [
        "person in the background",
        "dog on a white background",
        "background",
        "one whose background is",
    ],
)
def test_instances_in_and_on_backgrounds_are_asked_on_black(phrase):
    prompt = fixed_prompts.instance_segmentation(_example("instance_segmentation", phrase=phrase))
    assert f"Each {phrase} is colored differently." in prompt
    assert instance_segmentation.read_background(prompt) == (0, 0, 0)


@pytest.mark.parametrize("phrase", ["dog. Background: white.", "dog; the background is blurple"])
def test_a_phrase_that_states_a_background_cannot_be_asked(phrase):
    with pytest.raises(BadRecord, match=r"k.*cannot be asked"):
        fixed_prompts.instance_segmentation(_example("instance_segmentation", phrase=phrase))
