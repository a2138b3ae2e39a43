"""The demo's requests without a page: every task, its files, its views and its mistakes."""

import base64
import io
import pathlib
import re

import nano_run
import numpy as np
import pytest
from PIL import Image

from vision_banana.api.model import Model
from vision_banana.data import scenes
from vision_banana.evaluation import predict
from vision_banana.tasks import TASKS, depth
from vision_banana.web import answering, views
from vision_banana.web.answering import PRESETS, Answerer, Form
from vision_banana.web.limits import Limits

HEIGHT, WIDTH = 6, 9
STEPS = 3  # of drawing; each number is compiled for
ENDINGS = {
    "Depth": {".npz", ".png", ".ply", ".glb"},
    "Normals": {".npz", ".png"},
    "Classes": {".npz", ".png", ".json"},
    "Instances": {".npz", ".png", ".json"},
    "Regions": {".npz", ".png", ".json"},
    "Edit": {".npz", ".png"},
    "Draw": {".npz", ".png"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answering")
    levels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    Image.fromarray(levels).save(folder / "photo.png")
    (folder / "answers").mkdir()
    return folder


@pytest.fixture(scope="module")
def answerer(place):
    return Answerer(Model(nano_run.model()), place / "answers", Limits())


def form(place, label, /, **changes):
    preset = PRESETS[label]
    photo = str(place / "photo.png") if preset.looks else None
    steps = STEPS if label == "Draw" else 1
    filled = Form(label, photo, preset.prompt, steps, preset.text_guidance)
    return filled._replace(**changes)


def test_the_tasks_of_scenes_have_presets():
    assert set(scenes.TASKS) <= {preset.task for preset in PRESETS.values()} <= set(TASKS)
    assert set(ENDINGS) == set(PRESETS)
    for preset in PRESETS.values():  # as everywhere else
        assert (preset.steps, preset.text_guidance) == predict.suited(preset.task)


@pytest.mark.parametrize("label", PRESETS)
def test_every_task_is_answered(answerer, place, label):
    pytest.importorskip("trimesh", reason="the extra `clouds` is not installed")
    told = []
    shown = answerer(form(place, label), lambda share, words: told.append((share, words)))
    own = (HEIGHT, WIDTH) if PRESETS[label].looks else (nano_run.SIZE, nano_run.SIZE)
    assert shown.drawn.shape == (*own, 3) and shown.drawn.dtype == np.uint8
    pictures = (shown.decoded, shown.overlay, shown.confidence)
    if label in ("Edit", "Draw"):
        assert pictures == (None, None, None)
    else:
        assert {p.shape for p in pictures} == {(*own, 3)}
    assert bool(shown.cloud) == (label == "Depth")
    assert bool(shown.legend) == (label in ("Depth", "Classes", "Regions"))
    files = [pathlib.Path(file) for file in shown.files]
    assert {file.suffix for file in files} == ENDINGS[label]
    assert all(file.stat().st_size for file in files)
    assert len({file.parent for file in files}) == 1
    assert files[0].parent.parent == place / "answers"
    np.testing.assert_array_equal(np.asarray(Image.open(files[0])), shown.drawn)
    assert f"Answered at {own[1]} x {own[0]} pixels in " in shown.said
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] == 0.9
    assert (0.1, f"Drawing, step 1 of {STEPS if label == 'Draw' else 1}") in told


def test_the_legend_of_depth_has_the_colours_that_the_prompt_names(answerer, place):
    f = np.linspace(0, 1, 256)[None]
    for prompt, colormap in (("depth", "cube"), ("depth map in viridis colors", "viridis")):
        legend = answerer(form(place, "Depth", prompt=prompt)).legend
        ramp = Image.open(io.BytesIO(base64.b64decode(re.search(r"base64,([^\"]+)", legend)[1])))
        expected = np.rint(255 * depth.encode(depth.uncurve(f), colormap))
        np.testing.assert_array_equal(np.asarray(ramp), expected)


def test_the_steps_are_told_and_the_noise_is_the_seeds(answerer, place):
    told = []
    first = answerer(form(place, "Draw"), lambda share, words: told.append(words))
    assert [w for w in told if "step" in w] == [f"Drawing, step {n} of 3" for n in (1, 2, 3)]
    config = nano_run.CONFIG | {"time": {"shift": 3.0}}  # steps that grow shorter
    uneven = Answerer(Model(nano_run.model()._replace(config=config)), place / "answers", Limits())
    shown = []
    uneven(form(place, "Draw"), lambda share, words: shown.append(words))
    assert shown == told
    again = answerer(form(place, "Draw"))
    other = answerer(form(place, "Draw", seed=1))
    np.testing.assert_array_equal(first.drawn, again.drawn)
    assert (first.drawn != other.drawn).any()


@pytest.mark.parametrize(
    ("label", "changes", "says"),
    [
        ("Depth", {"label": "Dreams"}, "task is 'Dreams'; it must be one of Depth"),
        ("Depth", {"upload": None}, "Depth is about a picture: choose one first"),
        ("Depth", {"prompt": " "}, "the prompt is empty"),
        ("Depth", {"steps": 51}, "steps is 51"),
        ("Depth", {"seed": -1}, "seed is -1"),
        ("Depth", {"text_guidance": 0}, "prompt guidance is 0"),
        ("Depth", {"reference_guidance": 11}, "picture guidance is 11"),
        ("Classes", {"prompt": "cube: rod, cone: blue"}, "rod"),
        ("Draw", {"prompt": "a red cube " * 30}, "at most 64"),
    ],
)
def test_mistakes_are_sentences(answerer, place, label, changes, says):
    before = len(list((place / "answers").iterdir()))
    with pytest.raises(ValueError, match=says):
        answerer(form(place, label, **changes))
    assert len(list((place / "answers").iterdir())) == before


def test_only_the_last_answers_are_kept(answerer, place, monkeypatch):
    monkeypatch.setattr(answering, "KEPT", 2)
    files = [answerer(form(place, "Normals")).files[0] for _ in range(3)]
    assert [pathlib.Path(file).exists() for file in files] == [False, True, True]
    assert len(list((place / "answers").iterdir())) == 2


class Read:
    """An answer as the views see it."""

    def __init__(self, task, picture, **read):
        self.task, self.picture, self.shown = task, picture, (np.zeros_like(picture),)
        self.confidence = np.ones(picture.shape[:2])
        self.reply = self
        self.answer = {name: value[None] for name, value in read.items()}


def test_an_overlay_marks_what_the_answer_says():
    white = np.ones((1, 3, 3), np.float32)
    labels = Read("semantic_segmentation", white, labels=np.array([[0, 255, 1]]))
    ids = Read("instance_segmentation", white, ids=np.array([[2, 0, 0]]))
    masks = Read("referring_segmentation", white,
                 masks=np.array([[[True, False, False]], [[False, True, False]]]))  # fmt: skip
    depth = Read("depth", white)
    for answer, expected in (
        (labels, [0.6, 0, 0.6]), (ids, [0.6, 0, 0]), (masks, [0.6, 0.6, 0]), (depth, [0.6] * 3),
    ):  # fmt: skip
        np.testing.assert_allclose(views.overlay(answer)[0, :, 0], expected, atol=1e-6)
    assert views.overlay(Read("image_editing", white)) is None


def test_confidence_is_white_where_sure():
    answer = Read("depth", np.zeros((1, 2, 3), np.float32))
    answer.confidence = np.array([[1.0, 0.0]])
    drawn = views.confidence(answer)[0]
    np.testing.assert_allclose(drawn[0], 1)
    np.testing.assert_allclose(drawn[1], (0.35, 0.02, 0.08), atol=1e-6)
    assert views.confidence(Read("image_editing", np.zeros((1, 2, 3)))) is None


def test_a_legend_says_what_the_colours_mean_and_is_no_markup():
    answer = Read("referring_segmentation", np.zeros((1, 2, 3)))
    answer.answer["legends"] = [{"<cat>": (255, 0, 10)}]
    assert "rgb(255, 0, 10)" in views.legend(answer) and "&lt;cat&gt;" in views.legend(answer)
    assert views.legend(Read("surface_normals", np.zeros((1, 2, 3)))) == ""
