"""A judge of what is in a picture: what it leaves out of answers, and how it is scored."""

import numpy as np
import pytest
import summed
from test_plans import LENGTH, OnePicture, run

from vision_banana.evaluation import judge, released_metrics, score
from vision_banana.evaluation.plans import How
from vision_banana.tasks import TASKS, colors
from vision_banana.tasks.task import Example


def test_what_a_judge_finds_absent_is_not_asked(monkeypatch):
    monkeypatch.setattr(score, "READ", 1)  # one shape to compile
    ids = np.zeros((8, 8), np.int32)
    source = OnePicture("instance_segmentation", ids, {"phrase": "cat"})
    asked = []

    def present(picture, phrase):
        asked.append((picture.shape, phrase))
        return phrase != "cat"

    def answer(prompt, picture):
        return np.ones((*picture.shape[:2], 3), np.float32)  # draws a large instance

    _, groups, joined = run(source, answer, How(present=present), size=32)
    assert groups == [] and asked == [((8, 8, 3), "cat")]  # it sees the picture's own pixels
    assert joined["ids"].shape == (1, 8, 8) and not joined["ids"].any()
    _, groups, joined = run(source, answer, How(present=lambda picture, phrase: True), size=32)
    assert len(groups) == 1 and joined["ids"].any()


def test_a_question_is_asked_where_any_of_its_phrases_is_there():
    masks = np.zeros((2, 8, 8), bool)
    source = OnePicture("referring_segmentation", masks, {"expressions": ("the cat", "the dog")})

    def answer(prompt, picture):
        return np.zeros((8, 8, 3), np.float32)

    _, groups, _ = run(source, answer, How(present=lambda picture, phrase: "dog" in phrase))
    assert len(groups) == 1
    _, groups, _ = run(source, answer, How(present=lambda picture, phrase: False))
    assert groups == []


@pytest.mark.parametrize(("apart", "there"), [(False, "cat"), (False, "dog"), (True, "dog")])
def test_of_several_phrases_those_that_are_absent_are_blanked(apart, there):
    """Left half cat, right half dog in the answer; only one is there."""
    masks = np.zeros((2, 8, 8), bool)
    source = OnePicture("referring_segmentation", masks, {"expressions": ("the cat", "the dog")})

    def answer(prompt, picture):
        legend = colors.parse_prompt(prompt)
        rgb = np.zeros((8, 8, 3), np.float32)
        for name, half in (("cat", np.s_[:, :4]), ("dog", np.s_[:, 4:])):
            rgb[half] = np.array(legend.get(name, legend.get("background", (0, 0, 0)))) / 255
        return rgb

    how = How(present=lambda picture, phrase: there in phrase, apart=apart)
    _, _, joined = run(source, answer, how)
    halves = {
        name: (mask[:, :4].all(), mask[:, 4:].any())
        for name, mask in zip(joined["names"][0], joined["masks"][0], strict=False)
    }
    assert halves == {"cat": (there == "cat", False), "dog": (False, there == "dog")}
    assert (joined["confidence"] == 1).all()
    assert joined[judge.SAID].tolist() == [[there == "cat", there == "dog"]]


@pytest.mark.parametrize(
    ("there", "right"), [((1, 0), (1, 1)), ((1, 1), (0, 1)), ((0, 0, 0), (1, 0))]
)
def test_a_judge_is_right_if_any_annotator_agrees(there, right):
    """What each annotator found, and whether "no" and "yes" are right."""
    annotators = tuple(np.ones((n, 2, 2), bool) for n in there)
    ids = np.full((2, 2), there[0])
    example = Example("instance_segmentation", "", (), ids, ids == ids, {"annotators": annotators})
    metric = judge.scored(TASKS["instance_segmentation"]).metric()
    for said in (0, 1):
        answer = {"ids": ids[None], "confidence": ids[None], judge.SAID: np.array([[bool(said)]])}
        values = metric.compute(metric.update(metric.init(), answer, [example]))
        assert values["judge_accuracy"] == right[said]


PROMPTS = {  # on black, which is what is drawn
    "instance_segmentation": "Segment every cat.",
    "referring_segmentation": "Segmentation map. The cat is red. The dog is blue. "
    "The background is black.",
}


class Presence:
    """Records of a cat that is there, and of two things of which one is."""

    name, tasks = "presence", judge.JUDGED

    def __len__(self):
        return 2

    def example(self, index, task):
        there = np.ones((8, 8), bool)
        picture = np.full((8, 8, 3), index, np.float32)
        if task == "instance_segmentation":  # the second is absent
            label, words = (there & (index == 0)).astype(np.int32), {"phrase": "cat"}
        else:
            label, words = np.stack([there, ~there]), {"expressions": ("the cat", "the dog")}
        return Example(task, f"presence/{index}", (picture,), label, there, words)


@pytest.mark.parametrize(("task", "right"), [(name, x) for name in judge.JUDGED for x in (1, 0)])
def test_a_judge_is_scored_where_the_generator_draws_nothing(task, right):
    """A judge that is always right, then one that always says yes; half of all are there."""
    source = Presence()

    def asks(groups, key):
        return [np.zeros((len(g.prompts), 8, 8, 3), np.float32) for g in groups]

    def present(picture, phrase):
        if not right:
            return True
        return picture.max() < 0.5 if task == "instance_segmentation" else "cat" in phrase

    plain = TASKS[task]._replace(
        metric=released_metrics.presence, perfect={"MCC": 1.0}, prompt=lambda *a: PROMPTS[task]
    )
    judged = judge.scored(plain)
    found = summed.run(
        source, source, {task: judged}, {1: score.Asker(asks, asks)}, count=2,
        text_length=LENGTH, seed=0, how=How(present=present),
    )[task].values  # fmt: skip
    assert (found[1]["accuracy"], found[1]["MCC"]) == (0.5, 0.0)  # of what is drawn
    assert found[1]["judge_accuracy"] == (1.0 if right else 0.5)
    assert found[1]["judge_MCC"] == right
    assert np.isnan(found["blind"]["judge_MCC"])  # there is no judge
    assert judged.perfect == {"MCC": 1.0, "judge_accuracy": 1.0, "judge_MCC": 1.0}
    assert judge.scored(TASKS["depth"]) is TASKS["depth"]
