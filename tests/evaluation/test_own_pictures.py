"""Votes on pictures of one's own, by a stand-in generator that is wrong the first time."""

import numpy as np
import pytest

from vision_banana.evaluation import figure, own_pictures
from vision_banana.evaluation.own_pictures import QuestionSet
from vision_banana.evaluation.questions import Question
from vision_banana.models.generator import Generator
from vision_banana.tasks import TASKS, colors, instance_segmentation
from vision_banana.text import tokenizer

SIZE = 4
PROMPT = '{"sphere": "blue", "cube": "red"}'
SAID = tokenizer.decode(tokenizer.encode(PROMPT, 64))  # with other spaces
DARK_LEFT = np.ones((SIZE, SIZE, 3), np.float32)
DARK_LEFT[:, :1] = 0  # a sphere a quarter wide
HALVES = np.ones((SIZE, SIZE, 3), np.float32)
HALVES[:, :2] = 0


def stand_in(monkeypatch, draw):
    """Has `draw(prompt, picture)` answer in place of a generator."""

    def predict(params, key, batch):
        groups = zip(batch["tokens"], batch["references"], strict=True)
        return np.stack([[draw(tokenizer.decode(t), shown[0]) for t in ts] for ts, shown in groups])

    monkeypatch.setattr(own_pictures.predict, "build", lambda model, **sampling: predict)


@pytest.fixture
def seen(monkeypatch):
    """Every (prompt, whether the picture was mirrored) that the stand-in was asked."""
    asked = []

    def draw(prompt, picture):
        asked.append((prompt, bool(picture[0, -1, 0] < 0.5)))
        legend = colors.parse_prompt(prompt)
        kinds = ("sphere", "cube")[:: -1 if prompt == SAID else 1]
        sphere, cube = (np.float32(legend[kind]) / 255 for kind in kinds)
        return np.where(picture < 0.5, sphere, cube)

    stand_in(monkeypatch, draw)
    return asked


def ask(votes, task="semantic_segmentation", prompt=PROMPT, picture=DARK_LEFT):
    model = Generator(size="nano", text_length=64, dtype="float32")
    asked = [QuestionSet([Question(task, prompt)], [picture])]
    ((reply,),) = own_pictures.ask(model, {}, asked, shape=(SIZE, SIZE), votes=votes)
    return reply


def test_the_majority_outvotes_a_wrong_answer(seen):
    alone = ask(1)
    assert alone.answer["labels"][0, 0].tolist() == [1, 0, 0, 0] and alone.votes == 1
    seen.clear()
    voted = ask(3)
    assert voted.answer["labels"][0, 0].tolist() == [0, 1, 1, 1] and voted.votes == 3
    assert voted.answer["names"][0] == ("sphere", "cube")
    # Two of three agree, each as sure as a colour that lies on its code.
    np.testing.assert_allclose(voted.answer["confidence"], 2 / 3, atol=0.02)
    np.testing.assert_array_equal(voted.rgb, alone.rgb)  # the first that was drawn
    asked = dict(seen)  # what fills up the batch repeats a prompt
    assert len(asked) == 3 and sum(asked.values()) == 1 and not asked[SAID]


def test_regions_are_voted_on_and_edits_drawn_once(seen):
    voted = ask(3, "referring_segmentation")
    assert voted.answer["masks"].shape == (1, 2, SIZE, SIZE)
    assert voted.answer["masks"][0, :, 0].tolist() == [[True, False, False, False],
                                                       [False, True, True, True]]  # fmt: skip
    edited = ask(3, "image_editing", PROMPT)
    assert edited.votes == 1 and edited.answer["rgb"].shape == (1, SIZE, SIZE, 3)


def test_instances_of_several_phrases_are_asked_for_one_by_one(monkeypatch):
    asked = []

    def draw(prompt, picture):
        asked.append(prompt)
        ground = np.float32(instance_segmentation.read_background(prompt)) / 255
        mask = picture < 0.5 if "each sphere" in prompt else picture > 0.5
        return np.where(mask, np.float32([0.5, 0.2, 0.7]), ground)

    stand_in(monkeypatch, draw)
    asks = ("instance_segmentation", "Color each sphere and each cube differently.", HALVES)
    reply = ask(3, *asks)
    assert reply.answer["ids"].tolist() == [[[1, 1, 2, 2]] * SIZE]
    assert reply.answer["names"] == [("sphere", "cube")]
    assert (reply.votes, reply.pictures) == (3, 6)
    assert {" and each" in prompt for prompt in asked} == {False}
    first = ask(1, *asks)
    assert (first.votes, first.pictures) == (1, 2)
    assert figure.summary(first).startswith("2 instances (1 x sphere, 1 x cube)")


def test_a_question_about_many_pictures_is_checked_once(monkeypatch):
    checked = []

    def read(rgb, prompts):
        checked.append(prompts[0])
        return {}

    monkeypatch.setitem(TASKS, "depth", TASKS["depth"]._replace(read=read))
    asked = [Question("depth", "depth map"), Question("depth", "how far is it?")]
    own_pictures.check(asked * 9, 64, (SIZE, SIZE))
    assert checked == ["depth map", "how far is it?"]
    with pytest.raises(ValueError, match="is no text"):
        own_pictures.check([Question("depth", ["no text"])], 64, (SIZE, SIZE))


def test_parts_must_fit_and_not_the_whole():
    kinds = [f"{color} cube" for color in ("red", "green", "blue", "yellow", "orange", "purple")]
    prompt = f"Color {', '.join(f'each {kind}' for kind in kinds)} differently."
    length = tokenizer.count("Color each yellow cube differently.") + 2
    assert tokenizer.count(prompt) > length
    own_pictures.check([Question("instance_segmentation", prompt)], length, (SIZE, SIZE))
    with pytest.raises(tokenizer.PromptTooLong):
        own_pictures.check([Question("depth", prompt)], length, (SIZE, SIZE))
